"""Sigmoid belief networks: every estimator against the sum over all states."""

import itertools

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.special
import scipy.stats
from checkers import assert_gradient, assert_mean

from vae_np import astype, value_and_grad
from vae_np.extensions.relaxed import bernoulli_kl, binary_concrete
from vae_np.extensions.sbn import (
    bernoulli_sample,
    enumerate_states,
    exact,
    generate,
    infer,
    log_joint,
    log_q,
    sbn,
    score_function,
)
from vae_np.nests import leaves

NETS = [(4, 3), (4, 3, 2)]
both_nets = pytest.mark.parametrize("sizes", NETS, ids=["one layer", "two layers"])
all_nets = pytest.mark.parametrize("sizes", [*NETS, (4, 2, 2, 2)], ids=["one layer", "two layers", "three layers"])


def network(sizes, rng, scale=1.5):
    """Parameters in float64, all of them away from zero: biases and the prior too."""
    params = astype(sbn(*sizes).init(rng), onp.float64)
    for leaf in leaves(params):
        leaf += scale * rng.standard_normal(leaf.shape)
    return params


def data(rng, n=3):
    return (rng.random((n, 4)) < 0.5).astype(float)


def flat(gradient):
    return onp.concatenate([onp.ravel(leaf) for leaf in leaves(gradient)])


def by_hand(params, x, h):
    """log q(h|x) and log p(x, h) of one state, unit by unit, by scipy."""
    def coin(value, logit):
        return scipy.stats.bernoulli.logpmf(value, scipy.special.expit(logit))

    units = [x, *h]
    up = sum(coin(units[l + 1][j], units[l] @ layer["W"][:, j] + layer["b"][j])
             for l, layer in enumerate(params["phi"]) for j in range(len(units[l + 1])))
    down = sum(coin(units[l][j], units[l + 1] @ layer["W"][:, j] + layer["b"][j])
               for l, layer in enumerate(params["theta"]["layers"]) for j in range(len(units[l])))
    return up, down + sum(coin(value, logit) for value, logit in zip(h[-1], params["theta"]["prior"]))


# --- the densities and the exact sums

@all_nets
def test_densities_unit_by_unit_and_the_sums_over_all_states(sizes, rng):
    params, x = network(sizes, rng), data(rng)
    states = [[onp.array(bits[sum(sizes[1:i]):sum(sizes[1:i + 1])]) for i in range(1, len(sizes))]
              for bits in itertools.product([0.0, 1.0], repeat=sum(sizes[1:]))]
    pairs = onp.array([[by_hand(params, row, h) for h in states] for row in x])           # (n, 2^K, q and p)
    enumerated = enumerate_states(sizes[1:])
    for found, expected in ((log_q(params["phi"], x, enumerated), pairs[..., 0]),
                            (log_joint(params["theta"], x, enumerated), pairs[..., 1])):
        assert onp.allclose(onp.sort(found, axis=0), onp.sort(expected.T, axis=0), rtol=1e-10)
    log_p, elbo = exact(params, x)
    assert onp.allclose(log_p, onp.log(onp.exp(pairs[..., 1]).sum(axis=1)), rtol=1e-12)
    assert onp.allclose(elbo, onp.sum(onp.exp(pairs[..., 0]) * (pairs[..., 1] - pairs[..., 0]), axis=1), rtol=1e-12)


@all_nets
def test_both_laws_are_normalised_and_the_gap_is_the_divergence_from_the_posterior(sizes, rng):
    params, x = network(sizes, rng), data(rng)
    every_x = enumerate_states(sizes[:1])[0][:, 0]
    assert onp.exp(exact(params, every_x)[0]).sum() == pytest.approx(1, abs=1e-12)
    h = enumerate_states(sizes[1:])
    lq, lp = log_q(params["phi"], x, h), log_joint(params["theta"], x, h)
    assert onp.allclose(onp.exp(lq).sum(axis=0), 1, atol=1e-12)
    log_posterior = scipy.special.log_softmax(lp, axis=0)
    log_p, elbo = exact(params, x)
    assert onp.allclose(log_p - elbo, onp.sum(onp.exp(lq) * (lq - log_posterior), axis=0), rtol=1e-10)
    assert onp.all(elbo < log_p)


def test_states_are_all_different():
    h = enumerate_states([3, 2])
    assert [part.shape for part in h] == [(32, 1, 3), (32, 1, 2)]
    assert len(onp.unique(onp.concatenate(h, axis=-1)[:, 0], axis=0)) == 32
    assert set(onp.unique(h[0])) == {0, 1}


def test_one_layers_divergence_from_the_learned_prior_has_the_closed_form(rng):
    params, x = network((4, 3), rng), data(rng)
    h, layer = enumerate_states([3]), params["phi"][0]
    lq = log_q(params["phi"], x, h)
    no_likelihood = {"layers": [{"W": onp.zeros((3, 4)), "b": onp.zeros(4)}], "prior": params["theta"]["prior"]}
    log_prior = log_joint(no_likelihood, x, h) + 4 * onp.log(2)
    assert onp.allclose(onp.sum(onp.exp(lq) * (lq - log_prior), axis=0),
                        bernoulli_kl(x @ layer["W"] + layer["b"], prior_logits=params["theta"]["prior"]), rtol=1e-10)


# --- the samplers

def test_coins_fall_with_probability_sigma(rng):
    logits = onp.array([-3.0, 0.0, 1.2, -1e4, 1e4])
    h = bernoulli_sample(logits, rng.random((40_000, 5)))
    assert_mean(h, scipy.special.expit(logits))
    assert onp.array_equal(bernoulli_sample(logits, onp.zeros(5)), [1, 1, 1, 0, 1])
    assert bernoulli_sample(logits.astype(onp.float32), onp.zeros(5)).dtype == onp.float32


@all_nets
def test_inference_and_dreams_are_drawn_from_their_own_laws(sizes, rng):
    """The frequency of every state of h given x, and of every (x, h), against its enumerated probability."""
    params, x = network(sizes, rng, scale=0.7), data(rng, 1)
    states, draws = enumerate_states(sizes[1:]), 20_000
    codes = [onp.concatenate(part, axis=-1) @ 2.0 ** onp.arange(sum(sizes[1:]))
             for part in (states, infer(params["phi"], onp.repeat(x, draws, 0), rng.random((draws, sum(sizes[1:])))))]
    assert_mean(codes[1][:, None] == codes[0][:, 0], onp.exp(log_q(params["phi"], x, states)[:, 0]))

    states = enumerate_states(sizes)
    x_dream, h_dream = generate(params["theta"], rng.random((draws, sum(sizes))))
    codes = [onp.concatenate(part, axis=-1) @ 2.0 ** onp.arange(sum(sizes)) for part in (states, [x_dream, *h_dream])]
    p = onp.exp(log_joint(params["theta"], states[0], states[1:]))[:, 0]
    counts = onp.array([onp.sum(codes[1] == code) for code in codes[0][:, 0]])
    # Rare states: a count's own standard error says nothing where it is 0; the binomial law's does.
    assert onp.all(abs(counts - draws * p) <= 4 * onp.sqrt(draws * p * (1 - p)) + 1)


# --- the bound and its gradients

@both_nets
def test_the_sampled_bound_has_the_exact_mean(sizes, rng):
    params, x = network(sizes, rng), data(rng)
    nelbo = sbn(*sizes).apply(params, x, rng.random((20_000, 3, sum(sizes[1:]))))
    log_p, elbo = exact(params, x)
    assert nelbo.shape == (20_000, 3)
    assert_mean(nelbo, -elbo)
    weights, h = onp.exp(-nelbo - log_p), enumerate_states(sizes[1:])     # log w: E w = p(x), without any bound
    lq, lp = log_q(params["phi"], x, h), log_joint(params["theta"], x, h)
    variance = onp.sum(onp.exp(2 * (lp - log_p) - lq), axis=0) - 1        # exact: the draws themselves seldom show it
    assert onp.all(abs(weights.mean(axis=0) - 1) <= 4 * onp.sqrt(variance / len(weights)))


@both_nets
def test_gradients(sizes, rng):
    params, x = network(sizes, rng, scale=0.5), data(rng)
    u, weights = rng.random((2, 3, sum(sizes[1:]))), rng.standard_normal((2, 3))
    assert_gradient(lambda p: np.sum(weights[0] * exact(p, x)[0]), params)
    assert_gradient(lambda p: np.sum(weights[0] * exact(p, x)[1]), params)
    for sample in (bernoulli_sample, lambda logits, u: binary_concrete(logits, u, 0.7)):
        assert_gradient(lambda p: np.sum(weights * sbn(*sizes, sample=sample).apply(p, x, u)), params)  # noqa: B023


BATCHES, SAMPLES = 400, 200


def gradient_draws(loss, params, x, hidden, rng, k):
    """BATCHES independent gradients of the mean loss, each of SAMPLES copies of x and k samples of each."""
    copies = onp.tile(x, (SAMPLES, 1))
    differentiate = value_and_grad(lambda p, u: np.mean(loss(p, copies, u)))
    return onp.array([flat(differentiate(params, rng.random((k, len(copies), hidden)))[1]) for _ in range(BATCHES)])


@both_nets
@pytest.mark.parametrize("baseline, k", [(0.0, 1), (7.0, 1), (None, 2), (None, 4)])
def test_the_score_function_estimator_has_the_exact_gradient_in_the_mean(sizes, baseline, k, rng):
    params, x = network(sizes, rng), data(rng)
    truth = flat(value_and_grad(lambda p: -np.mean(exact(p, x)[1]))(params)[1])
    assert_mean(gradient_draws(lambda *a: score_function(*a, baseline=baseline), params, x, sum(sizes[1:]), rng, k),
                truth)


def test_without_it_the_gradient_in_phi_is_zero_in_the_mean_and_wrong(rng):
    """The sharp edge of a hard draw: −log w as it stands has the bound's value and not its gradient in φ."""
    sizes = (4, 3)
    params, x = network(sizes, rng), data(rng)
    truth = value_and_grad(lambda p: -np.mean(exact(p, x)[1]))(params)[1]
    draws = gradient_draws(sbn(*sizes).apply, params, x, 3, rng, 1)
    phi = flat(truth["phi"]).size                                # leaves in the keys' order: φ first, then θ
    assert_mean(draws[:, phi:], flat(truth["theta"]))
    assert_mean(draws[:, :phi], 0.0)
    assert onp.abs(flat(truth["phi"])).max() > 0.1


def test_what_the_baseline_buys(rng):
    """The gradient's variance in φ, with the others as baseline: under half of that without (measured: 46 %)."""
    params, x = network((4, 3), rng), data(rng)
    plain = gradient_draws(lambda *a: score_function(*a, baseline=0.0), params, x, 3, rng, 4)
    others = gradient_draws(score_function, params, x, 3, rng, 4)
    phi = flat(params["phi"]).size
    assert others[:, :phi].var(axis=0).sum() < plain[:, :phi].var(axis=0).sum() / 2


def test_the_estimators_value_is_the_bounds(rng):
    params, x, u = network((4, 3, 2), rng), data(rng), rng.random((4, 3, 5))
    nelbo = sbn(4, 3, 2).apply(params, x, u)
    for baseline in (None, 2.0, nelbo.mean(axis=0)):
        assert onp.array_equal(score_function(params, x, u, baseline), nelbo)


def test_the_others_are_the_baseline(rng):
    """Two samples: each is the other's baseline, as written out."""
    params, x, u = network((4, 3), rng), data(rng), rng.random((2, 3, 3))
    nelbo = sbn(4, 3).apply(params, x, u)
    swapped = value_and_grad(lambda p: np.sum(score_function(p, x, u, baseline=nelbo[::-1])))(params)[1]
    found = value_and_grad(lambda p: np.sum(score_function(p, x, u)))(params)[1]
    assert onp.allclose(flat(found), flat(swapped), rtol=1e-12)


def test_the_relaxed_bound_is_biased_and_its_gradient_too(rng):
    """At τ = 1 both miss the truth by far more than four standard errors; at τ = 0.02 the value is the bound's."""
    params, x = network((4, 3), rng), data(rng)
    elbo = exact(params, x)[1]
    u = rng.random((20_000, 3, 3))
    value = {tau: sbn(4, 3, sample=lambda l, u, tau=tau: binary_concrete(l, u, tau)).apply(params, x, u)
             for tau in (1.0, 0.001)}
    assert_mean(value[0.001], -elbo)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_mean(value[1.0], -elbo)
    truth = flat(value_and_grad(lambda p: -np.mean(exact(p, x)[1]))(params)[1])
    soft = sbn(4, 3, sample=lambda l, u: binary_concrete(l, u, 1.0))
    with pytest.raises(AssertionError, match="standard errors"):
        assert_mean(gradient_draws(soft.apply, params, x, 3, rng, 1), truth)


def test_float32_stays_float32(rng):
    model = sbn(4, 3, 2)
    params, x, u = model.init(rng), data(rng).astype(onp.float32), rng.random((2, 3, 5))
    assert model.apply(params, x, u).dtype == onp.float32
    assert score_function(params, x, u, onp.float64(1.0)).dtype == onp.float32
    assert all(part.dtype == onp.float32 for part in exact(params, x))


def test_huge_logits_are_finite(rng):
    params, x = network((4, 3, 2), rng, scale=1e4), data(rng)
    u = rng.random((2, 3, 5))
    for loss in (lambda p: np.sum(score_function(p, x, u)), lambda p: np.sum(exact(p, x)[0] + exact(p, x)[1])):
        value, gradient = value_and_grad(loss)(params)
        assert onp.isfinite(value) and onp.isfinite(flat(gradient)).all()


# --- bad input

def test_bad_input(rng):
    params, x = network((4, 3, 2), rng), data(rng)
    with pytest.raises(ValueError, match=r"layers of \[3, 2\] units: noise has shape \(3, 4\), expected \(..., n, 5\)"):
        sbn(4, 3, 2).apply(params, x, rng.random((3, 4)))
    with pytest.raises(ValueError, match=r"layers of \[4, 3, 2\] units: noise has shape \(3, 5\)"):
        generate(params["theta"], rng.random((3, 5)))
    for wrong in (-0.01, 1.01, onp.nan):
        with pytest.raises(ValueError, match=r"expected uniform on \[0, 1\)"):
            sbn(4, 3, 2).apply(params, x, onp.where(onp.arange(5) == 3, wrong, rng.random((3, 5))))
    with pytest.raises(ValueError, match=r"dense\(4, 3\): input has 5 features"):
        sbn(4, 3, 2).apply(params, onp.zeros((3, 5)), rng.random((3, 5)))
    for u in (rng.random((3, 5)), rng.random((1, 3, 5))):
        with pytest.raises(ValueError, match="with k of at least 2, or a baseline"):
            score_function(params, x, u)
    with pytest.raises(ValueError, match=r"2\^25 states are too many"):
        enumerate_states([20, 5])
    with pytest.raises(ValueError, match="at least one hidden layer"):
        sbn(4)
    assert sbn(4, 3, 2).name == "sbn(4, 3, 2)"
