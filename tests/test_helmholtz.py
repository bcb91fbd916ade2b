"""Wake and sleep: their gradients, and their fixed point, by the sum over all states."""

import autograd.numpy as np
import numpy as onp
import pytest
from checkers import assert_gradient, assert_mean

from vae_np import adam, astype, train, value_and_grad
from vae_np.extensions.helmholtz import sleep, wake, wake_sleep
from vae_np.extensions.sbn import enumerate_states, exact, infer, log_joint, log_q, sbn
from vae_np.nests import leaves

NETS = [(4, 3), (4, 3, 2)]
both_nets = pytest.mark.parametrize("sizes", NETS, ids=["one layer", "two layers"])


def network(sizes, rng):
    params = astype(sbn(*sizes).init(rng), onp.float64)
    for leaf in leaves(params):
        leaf += rng.standard_normal(leaf.shape)
    return params


def flat(gradient):
    return onp.concatenate([onp.ravel(leaf) for leaf in leaves(gradient)])


def softplus(a):
    return onp.logaddexp(0, a)


def exact_wake(params, x, p_x):
    """∇_θ Σ_x p(x) Σ_h q(h|x) {−log p_θ(x, h)}: the mean of the wake phase, all states summed."""
    h = enumerate_states([layer["W"].shape[1] for layer in params["phi"]])
    q = onp.exp(log_q(params["phi"], x, h))
    return value_and_grad(lambda theta: -np.sum(p_x * q * log_joint(theta, x, h)))(params["theta"])[1]


def exact_sleep(params):
    """∇_φ Σ_{x, h} p_θ(x, h) {−log q_φ(h|x)}: the mean of the sleep phase, all states summed."""
    x, *h = enumerate_states([layer["W"].shape[0] for layer in params["phi"]] + [params["phi"][-1]["W"].shape[1]])
    p = onp.exp(log_joint(params["theta"], x, h))
    return value_and_grad(lambda phi: -np.sum(p * log_q(phi, x, h)))(params["phi"])[1]


def solved(layers, rng):
    """A network whose posterior is factorial and affine, and so in the recognition family: each unit of h_1 has pixels
    of its own, each unit of h_2 one child. Bayes' rule for one coin h with children c_j of bias b_j and weight w_j:
    logit q(h) = logit p(h) + Σ_j {c_j w_j − softplus(w_j + b_j) + softplus(b_j)}.
    """
    def invert(W, b, prior):  # W: (above, below)
        return {"W": W.T, "b": prior - onp.sum(softplus(W + b) - softplus(b), axis=1)}

    W = onp.kron(onp.eye(3), onp.ones((1, 2))) * rng.normal(0, 2, (3, 6))
    b, prior = rng.standard_normal(6), rng.standard_normal(3)
    if layers == 1:
        return {"phi": [invert(W, b, prior)], "theta": {"layers": [{"W": W, "b": b}], "prior": prior}}
    W2, b2 = onp.diag(rng.normal(0, 2, 3)), rng.standard_normal(3)
    on = 1 / (1 + onp.exp(-prior))
    p_h1 = (1 - on) / (1 + onp.exp(-b2)) + on / (1 + onp.exp(-b2 - onp.diag(W2)))       # h_2 summed out
    return {"phi": [invert(W, b, onp.log(p_h1 / (1 - p_h1))), invert(W2, b2, prior)],
            "theta": {"layers": [{"W": W, "b": b}, {"W": W2, "b": b2}], "prior": prior}}


@pytest.mark.parametrize("layers", [1, 2])
def test_the_fixed_point(layers, rng):
    """At q_φ = p_θ's posterior and the data's law = p_θ, both mean gradients vanish; a step away they do not."""
    params, x = solved(layers, rng), enumerate_states([6])[0][:, 0]
    log_p, elbo = exact(params, x)
    assert onp.allclose(log_p, elbo, atol=1e-12)                       # the bound is tight: q is the posterior
    p_x = onp.exp(log_p)
    assert onp.abs(flat(exact_wake(params, x, p_x))).max() < 1e-14
    assert onp.abs(flat(exact_sleep(params))).max() < 1e-14
    away = {"phi": params["phi"], "theta": {**params["theta"], "prior": params["theta"]["prior"] + 1}}
    assert onp.abs(flat(exact_wake(away, x, p_x))).max() > 1e-2
    assert onp.abs(flat(exact_sleep(away))).max() > 1e-2


@pytest.mark.parametrize("layers", [1, 2])
def test_at_the_fixed_point_the_sampled_gradients_vanish_in_the_mean(layers, rng):
    params, x = solved(layers, rng), enumerate_states([6])[0][:, 0]
    rows = rng.choice(len(x), (200, 500), p=onp.exp(exact(params, x)[0]))
    hidden = 3 * layers
    differentiate = value_and_grad(lambda p, x, noise: np.mean(wake_sleep(p, x, noise)))
    draws = onp.array([flat(differentiate(params, x[i], (rng.random((500, hidden)), rng.random((500, 6 + hidden))))[1])
                       for i in rows])
    assert_mean(draws, 0.0)


@both_nets
def test_each_phase_moves_one_half_and_its_mean_is_the_enumerated_one(sizes, rng):
    params, x = network(sizes, rng), onp.repeat((rng.random((2, 4)) < 0.5).astype(float), 200, axis=0)
    hidden = sum(sizes[1:])
    awake = value_and_grad(lambda p, u: np.mean(wake(p, x, u)))
    asleep = value_and_grad(lambda p, u: np.mean(sleep(p, u)))
    gradients = [[f(params, rng.random((400, n)))[1] for _ in range(200)]
                 for f, n in ((awake, hidden), (asleep, sum(sizes)))]
    assert all(not flat(g["phi"]).any() for g in gradients[0])         # draws are constants: exactly zero
    assert all(not flat(g["theta"]).any() for g in gradients[1])
    p_x = onp.full(len(x), 1 / len(x))
    assert_mean([flat(g["theta"]) for g in gradients[0]], flat(exact_wake(params, x, p_x)))
    assert_mean([flat(g["phi"]) for g in gradients[1]], flat(exact_sleep(params)))
    bound = value_and_grad(lambda p: -np.mean(exact(p, x)[1]))(params)[1]
    assert onp.allclose(flat(exact_wake(params, x, p_x)), flat(bound["theta"]), rtol=1e-9, atol=1e-12)
    # Sleep's is another gradient than the bound's: not a matter of noise.
    assert onp.abs(flat(exact_sleep(params)) - flat(bound["phi"])).max() > 0.1


@both_nets
def test_values_shapes_and_one_step_for_both(sizes, rng):
    params, x = network(sizes, rng), (rng.random((3, 4)) < 0.5).astype(float)
    u, v = rng.random((2, 3, sum(sizes[1:]))), rng.random((2, 3, sum(sizes)))
    h = infer(params["phi"], x, u)
    assert onp.array_equal(wake(params, x, u), -log_joint(params["theta"], x, h))
    nelbo = sbn(*sizes).apply(params, x, u)
    assert onp.allclose(wake(params, x, u), nelbo - log_q(params["phi"], x, h))
    assert sleep(params, v).shape == wake(params, x, u).shape == (2, 3) and onp.all(sleep(params, v) > 0)
    assert onp.array_equal(wake_sleep(params, x, (u, v)), wake(params, x, u) + sleep(params, v))
    one = value_and_grad(lambda p: np.sum(wake_sleep(p, x, (u, v))))(params)[1]
    for part, phase in (("theta", lambda p: np.sum(wake(p, x, u))), ("phi", lambda p: np.sum(sleep(p, v)))):
        assert onp.array_equal(flat(one[part]), flat(value_and_grad(phase)(params)[1][part]))


@both_nets
def test_gradients(sizes, rng):
    """Each phase is a plain log-density once its draws are fixed. (A parameter step of 1e-4 flips none of these.)"""
    params, x = network(sizes, rng), (rng.random((3, 4)) < 0.5).astype(float)
    u, v, weights = rng.random((3, sum(sizes[1:]))), rng.random((3, sum(sizes))), rng.standard_normal(3)
    assert_gradient(lambda theta: np.sum(weights * wake({"phi": params["phi"], "theta": theta}, x, u)), params["theta"])
    assert_gradient(lambda phi: np.sum(weights * sleep({"phi": phi, "theta": params["theta"]}, v)), params["phi"])


def test_training_by_wake_and_sleep_raises_the_exact_likelihood(rng):
    """Two patterns, equally likely: the best possible log p(x) is −log 2."""
    model, x = sbn(4, 2), onp.array([[1, 1, 0, 0], [0, 0, 1, 1]], onp.float32)
    params = model.init(rng)
    before = exact(params, x)[0].mean()
    *_, state = train(lambda *args: np.mean(wake_sleep(*args)), params, [onp.repeat(x, 10, axis=0)] * 600,
                      lambda n: (rng.random((n, 2)), rng.random((n, 6))), adam(0.03))
    after = exact(state.params, x)[0].mean()
    assert before < -2.5 and -onp.log(2) - 0.15 < after < -onp.log(2)


def test_float32_stays_float32(rng):
    params, x = sbn(4, 3).init(rng), onp.ones((3, 4), onp.float32)
    assert wake_sleep(params, x, (rng.random((3, 3)), rng.random((3, 7)))).dtype == onp.float32


def test_bad_input(rng):
    params, x = network((4, 3), rng), onp.ones((3, 4))
    with pytest.raises(ValueError, match=r"layers of \[3\] units: noise has shape \(3, 7\), expected \(..., n, 3\)"):
        wake(params, x, rng.random((3, 7)))
    with pytest.raises(ValueError, match=r"layers of \[4, 3\] units: noise has shape \(3, 3\), expected \(..., n, 7\)"):
        sleep(params, rng.random((3, 3)))
    with pytest.raises(ValueError, match="expected uniform"):
        sleep(params, rng.standard_normal((3, 7)))
