"""Relaxed discrete draws against quantile functions, Gumbel-max, enumeration and quadrature."""

import itertools

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.special
import scipy.stats
from checkers import assert_gradient, assert_mean

from vae_np import bernoulli_likelihood, constant, dense, relu, sequential, vae, value_and_grad
from vae_np.densities import bernoulli_nll
from vae_np.extensions.relaxed import (
    bernoulli_kl,
    bernoulli_log_ratio,
    bernoulli_posterior,
    binary_concrete,
    categorical_kl,
    categorical_log_ratio,
    categorical_posterior,
    gumbel_softmax,
    hard_bernoulli,
    hard_categorical,
    log_softmax,
)
from vae_np.layers import elementwise

TAUS = [1e-3, 0.1, 0.5, 1.0, 10.0]


def one_hots(n, k):
    """All k^n states of n categorical variables, (k^n, n, k)."""
    return onp.array([onp.eye(k)[list(choice)] for choice in itertools.product(range(k), repeat=n)])


def midpoints(n):
    return (onp.arange(n) + 0.5) / n


# --- the draws

@pytest.mark.parametrize("tau", TAUS)
def test_gumbel_softmax_is_the_softmax_of_logits_and_gumbel_quantiles(tau, rng):
    logits, u = rng.standard_normal((4, 3, 5)), rng.random((2, 4, 3, 5))
    expected = scipy.special.softmax((logits + scipy.stats.gumbel_r.ppf(u)) / tau, axis=-1)
    assert onp.allclose(gumbel_softmax(logits, u, tau), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("tau", TAUS)
def test_binary_concrete_inverts_its_distribution_function(tau):
    """P(y <= c) = σ(τ logit c − l), so that y at that quantile is c: no random number needed."""
    c = onp.array([0.02, 0.3, 0.5, 0.9])
    for l in (-2.0, 0.0, 1.5):
        u = scipy.special.expit(tau * scipy.special.logit(c) - l)
        # An error of one ulp in u moves y by at most the slope dy/du times it.
        slope = c * (1 - c) / (tau * u * (1 - u))
        assert onp.all(abs(binary_concrete(onp.full(4, l), u, tau) - c) <= 8 * onp.finfo(float).eps * (slope + 1))


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_gumbel_max_draws_from_the_softmax(tau, rng):
    logits = onp.array([2.0, 0.0, -1.0, 0.5])
    y = gumbel_softmax(logits, rng.random((40_000, 4)), tau)
    assert_mean(hard_categorical(y), onp.exp(logits) / onp.exp(logits).sum())
    assert_mean(hard_bernoulli(binary_concrete(logits, rng.random((40_000, 4)), tau)), scipy.special.expit(logits))


def test_pairs_of_variables_are_drawn_independently(rng):
    """The joint law of two variables, all nine states enumerated, is the product of their softmaxes."""
    logits = rng.standard_normal((2, 3))
    z = hard_categorical(gumbel_softmax(logits, rng.random((40_000, 2, 3)), 0.5))
    joint = onp.einsum("ni,nj->nij", z[:, 0], z[:, 1])
    pi = scipy.special.softmax(logits, axis=-1)
    assert_mean(joint, onp.outer(pi[0], pi[1]))


def test_as_tau_falls_the_mean_becomes_pi(rng):
    logits = onp.array([2.0, 0.0, -1.0])
    pi, u = scipy.special.softmax(logits), rng.random((40_000, 3))
    assert_mean(gumbel_softmax(logits, u, 1e-3), pi)
    assert_mean(binary_concrete(logits, u, 1e-3), scipy.special.expit(logits))
    with pytest.raises(AssertionError, match="standard errors"):  # at τ = 1 it is not π: the draws are softened
        assert_mean(gumbel_softmax(logits, u, 1.0), pi)


def test_two_categories_are_one_coin():
    """softmax of two is σ of the difference; the difference of two Gumbels is logistic: the same law, by quadrature."""
    l, tau, grid = 0.7, 0.6, midpoints(1000)
    u = onp.stack(onp.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    categorical = gumbel_softmax(onp.array([l, 0.0]), u, tau)[:, 0]
    binary = binary_concrete(onp.array(l).reshape(1), grid[:, None], tau)
    for power in (1, 2, 3):
        assert abs(onp.mean(categorical ** power) - onp.mean(binary ** power)) < 1e-3  # midpoint rule of 1000 points


@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
@pytest.mark.parametrize("tau", [1e-3, 0.5, 10.0])
@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_ends_of_the_noise_and_huge_logits_are_finite(dtype, tau, hard, recwarn):
    logits = onp.array(list(itertools.product([-1e4, 0.0, 1e4], repeat=3)), dtype)[:, None]
    harden = hard_categorical, hard_bernoulli
    for corner in itertools.product([0.0, 0.5, 1.0], repeat=3):
        u = onp.broadcast_to(onp.array(corner, dtype), logits.shape)
        for sample, rounded, kl in zip((gumbel_softmax, binary_concrete), harden, (categorical_kl, bernoulli_kl)):
            def loss(l, u=u, sample=sample, rounded=rounded, kl=kl):
                z = sample(l, u, tau)
                z = rounded(z) if hard else z
                return np.sum(z * onp.arange(3)) + np.sum(kl(l))

            value, gradient = value_and_grad(loss)(logits)
            assert onp.isfinite(value) and onp.isfinite(gradient).all()
            assert gradient.dtype == dtype
        y = gumbel_softmax(logits, u, tau)
        assert onp.allclose(y.sum(axis=-1), 1, atol=4 * onp.finfo(dtype).eps) and onp.all(y >= 0)
    assert not recwarn.list  # no overflow, no division by zero on the way


def test_the_noise_keeps_its_place():
    """Moving the ends inwards moves nothing else by more than half a float's spacing."""
    u = onp.array([[0.0, 1.0]])
    inside = binary_concrete(onp.zeros((1, 2)), u, 1.0)
    half = onp.finfo(float).eps / 2
    assert onp.allclose(inside, [[half, 1 - half]], rtol=1e-9, atol=0)
    edge = binary_concrete(onp.zeros((1, 2)), u.astype(onp.float32), 1.0)
    assert onp.allclose(edge, [[onp.finfo(onp.float32).eps / 2, 1]], rtol=1e-6, atol=1e-7)


# --- straight-through

def test_hard_draws_are_corners_and_pass_the_gradient_on(rng):
    """Value: that of the corner. Gradient: the loss's slope at the corner through the soft draw's Jacobian."""
    logits, u = rng.standard_normal((3, 2, 4)), rng.random((3, 2, 4))
    for sample, harden in ((gumbel_softmax, hard_categorical), (binary_concrete, hard_bernoulli)):
        z = harden(sample(logits, u, 0.7))
        assert set(onp.unique(z)) == {0.0, 1.0}
        if harden is hard_categorical:
            assert onp.array_equal(z.sum(axis=-1), onp.ones((3, 2)))
            assert onp.array_equal(z.argmax(axis=-1), sample(logits, u, 0.7).argmax(axis=-1))
        weights = rng.standard_normal(z.shape)

        def f(z, weights=weights):
            return np.sum(weights * z ** 3)

        slope = 3 * weights * z ** 2
        value, hard = value_and_grad(lambda l: f(harden(sample(l, u, 0.7))))(logits)  # noqa: B023
        _, soft = value_and_grad(lambda l: np.sum(slope * sample(l, u, 0.7)))(logits)  # noqa: B023
        assert value == f(z)
        assert onp.allclose(hard, soft, rtol=1e-12, atol=0) and onp.abs(hard).max() > 0.1


# --- the divergences

@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_categorical_kl_and_log_ratio_by_enumeration(scale, rng):
    logits, states = scale * rng.standard_normal((2, 3)), one_hots(2, 3)
    q = onp.prod(onp.sum(states * scipy.special.softmax(logits, axis=-1), axis=-1), axis=-1)
    assert onp.allclose(categorical_log_ratio(logits, states), onp.log(q * 9), rtol=1e-10, atol=1e-12)
    assert onp.allclose(categorical_kl(logits), onp.sum(q * onp.log(q * 9)), rtol=1e-10, atol=1e-12)
    assert scale or abs(categorical_kl(logits)) < 1e-15


def test_bernoulli_kl_and_log_ratio_by_enumeration(rng):
    logits, prior = 2 * rng.standard_normal((2, 3))
    states = onp.array(list(itertools.product([0.0, 1.0], repeat=3)))
    q, p = (onp.prod(scipy.stats.bernoulli.pmf(states, scipy.special.expit(l)), axis=-1) for l in (logits, prior))
    assert onp.allclose(bernoulli_log_ratio(logits, states, prior), onp.log(q / p), rtol=1e-10)
    assert onp.allclose(bernoulli_kl(logits, prior_logits=prior), onp.sum(q * onp.log(q / p)), rtol=1e-10)
    assert onp.allclose(bernoulli_log_ratio(logits, states), onp.log(q * 8), rtol=1e-10)
    assert onp.allclose(bernoulli_kl(logits), onp.sum(q * onp.log(q * 8)), rtol=1e-10)
    assert abs(bernoulli_kl(logits, prior_logits=logits)) < 1e-14


def test_a_categorical_prior_by_enumeration(rng):
    logits, prior, states = 2 * rng.standard_normal((2, 3)), rng.standard_normal((2, 3)), one_hots(2, 3)
    q, p = (onp.prod(onp.sum(states * scipy.special.softmax(l, axis=-1), axis=-1), axis=-1) for l in (logits, prior))
    assert onp.allclose(categorical_log_ratio(logits, states, prior), onp.log(q / p), rtol=1e-10)
    assert onp.allclose(categorical_kl(logits, prior_logits=prior), onp.sum(q * onp.log(q / p)), rtol=1e-10)
    assert abs(categorical_kl(logits, prior_logits=logits + 3)) < 1e-14             # logits count up to a constant


def test_divergences_are_never_negative(rng):
    logits = 10.0 ** rng.uniform(-9, 4, (500, 2, 3)) * rng.choice([-1, 1], (500, 2, 3))
    bound = 20 * onp.finfo(float).eps
    assert onp.all(categorical_kl(logits) >= -bound) and onp.all(categorical_kl(logits) <= 2 * onp.log(3) + bound)
    assert onp.all(bernoulli_kl(logits) >= -bound * onp.abs(logits).max(axis=-1))


@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
def test_divergences_of_certain_draws(dtype):
    certain = onp.array([[1e4, -1e4, 0], [-1e4, 0, 1e4]], dtype)
    assert categorical_kl(certain) == pytest.approx(2 * onp.log(3), rel=1e-6)
    assert bernoulli_kl(certain) == pytest.approx([2 * onp.log(2)] * 2, rel=1e-6)
    assert bernoulli_kl(certain[:1, :1], prior_logits=-1e4) == pytest.approx(1e4)


def test_log_softmax(rng):
    a = rng.standard_normal((3, 4))
    assert onp.allclose(log_softmax(a), scipy.special.log_softmax(a, axis=-1), rtol=1e-12)


# --- gradients

@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k = 3"])
@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_gradients_of_draws_and_divergences(samples, tau, rng):
    logits, u = {"l": rng.standard_normal((2, 3, 4))}, rng.random((*samples, 2, 3, 4))
    weights = rng.standard_normal(u.shape)
    assert_gradient(lambda p: np.sum(weights * gumbel_softmax(p["l"], u, tau)), logits)
    assert_gradient(lambda p: np.sum(weights * binary_concrete(p["l"], u, tau)), logits)
    assert_gradient(lambda p: np.sum(weights[..., 0, 0] * categorical_kl(p["l"])), logits)
    assert_gradient(lambda p: np.sum(weights[..., 0] * categorical_log_ratio(p["l"], u)[..., None]), logits)
    both = {"l": rng.standard_normal((2, 3)), "prior": rng.standard_normal(3)}
    assert_gradient(lambda p: np.sum(weights[..., 0, 0] * bernoulli_kl(p["l"], prior_logits=p["prior"])), both)
    assert_gradient(lambda p: np.sum(bernoulli_log_ratio(p["l"], u[..., 0], p["prior"])), both)


def posteriors(tau, hard=False):
    encoder = sequential(dense(4, 5), relu, dense(5, 6))
    yield categorical_posterior(encoder, tau, 3, hard=hard), categorical_log_ratio, 2 * onp.log(3)
    yield bernoulli_posterior(encoder, tau, hard=hard), bernoulli_log_ratio, 6 * onp.log(2)


@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k = 3"])
def test_gradient_of_the_whole_vae(samples, rng):
    x, u = rng.random((3, 4)), rng.random((*samples, 3, 6))
    weights = rng.standard_normal((*samples, 3))
    for posterior, _, _ in posteriors(0.8):
        model = vae(posterior, bernoulli_likelihood(dense(6, 4)))
        assert_gradient(lambda p: np.sum(weights * model.apply(p, x, u)), model.init(rng))  # noqa: B023


# --- the posterior blocks and the bounds

def test_posteriors_sample_on_the_leading_axis_and_flatten_their_variables(rng):
    x, u = rng.random((3, 4)), rng.random((5, 3, 6))
    for hard in (False, True):
        for posterior, _, most in posteriors(0.5, hard):
            phi = posterior.init(rng)
            z, kl = posterior.apply(phi, x, u)
            assert z.shape == (5, 3, 6) and kl.shape == (3,) and onp.all(kl >= 0) and onp.all(kl <= most)
            assert onp.array_equal(z[2], posterior.apply(phi, x, u[2])[0])
            assert "hard" in posterior.name if hard else "hard" not in posterior.name
            assert (set(onp.unique(z)) == {0.0, 1.0}) is hard
    categorical, *_ = posteriors(0.5, True)
    z, _ = categorical[0].apply(categorical[0].init(rng), x, u)
    assert onp.array_equal(z.reshape(5, 3, 2, 3).sum(axis=-1), onp.ones((5, 3, 2)))


def test_float32_stays_float32_whatever_the_temperatures_type(rng):
    x, u = rng.random((3, 4), onp.float32), rng.random((3, 6), onp.float32)
    for hard in (False, True):
        for posterior, _, _ in posteriors(onp.float64(0.5), hard):
            z, kl = posterior.apply(posterior.init(rng), x, u)
            assert z.dtype == kl.dtype == onp.float32
            assert posterior.apply(posterior.init(rng), x, u.astype(float))[0].dtype == onp.float32
    logits = rng.standard_normal((3, 2, 3), onp.float32)
    assert categorical_log_ratio(logits, logits).dtype == onp.float32
    assert bernoulli_log_ratio(logits, u.reshape(3, 2, 3)).dtype == onp.float32


@pytest.mark.parametrize("log_ratio", [False, True], ids=["closed-form KL", "log-ratio"])
def test_the_hard_bound_is_the_enumerated_elbo_and_below_log_p(log_ratio, rng):
    """K^N = 9 and 2^6 = 64 states: ELBO and log p(x) summed exactly; the sampled bound's mean is the former."""
    encoder, likelihood = dense(4, 6), bernoulli_likelihood(sequential(dense(6, 5), relu, dense(5, 4)))
    x = (rng.random((1, 4)) < 0.5).astype(float)
    coins = onp.array(list(itertools.product([0.0, 1.0], repeat=6)))
    ratios = (categorical_log_ratio, bernoulli_log_ratio)
    makers = (lambda **kl: categorical_posterior(encoder, 0.5, 3, hard=True, **kl),
              lambda **kl: bernoulli_posterior(encoder, 0.5, hard=True, **kl))
    for make, ratio, states, shape in zip(makers, ratios, (one_hots(2, 3).reshape(9, 6), coins), ((2, 3), (6,))):
        model = vae(make(kl=ratio) if log_ratio else make(), likelihood)
        params = model.init(rng)
        logits = encoder.apply(params["phi"], x).reshape(shape)
        log_ratios = ratio(logits, states.reshape(-1, *shape))
        log_p_xh = -likelihood.apply(params["theta"], x, states) - onp.log(len(states))
        q = onp.exp(log_ratios) / len(states)
        assert q.sum() == pytest.approx(1, abs=1e-6)
        elbo = onp.sum(q * (log_p_xh - onp.log(q)))
        sampled = -model.apply(params, x, rng.random((20_000, 1, 6)))[:, 0]
        assert_mean(sampled, elbo)
        assert elbo < scipy.special.logsumexp(log_p_xh)
        if log_ratio:  # log w: k samples give a tighter bound, never above log p(x)
            iwae = scipy.special.logsumexp(sampled.reshape(-1, 10), axis=1) - onp.log(10)
            assert elbo < iwae.mean() < scipy.special.logsumexp(log_p_xh)


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_a_learned_prior_is_a_leaf_of_phi_and_the_kls_second_law(hard, rng):
    x, u, weights = rng.random((3, 4)), rng.random((2, 3, 6)), rng.standard_normal((2, 3))
    for make, kl in ((lambda **more: categorical_posterior(dense(4, 6), 0.7, 3, hard=hard, **more), categorical_kl),
                     (lambda **more: bernoulli_posterior(dense(4, 6), 0.7, hard=hard, **more), bernoulli_kl)):
        posterior = make(prior=constant(6))
        phi = posterior.init(rng)
        assert {*phi} == {"encoder", "prior"} and onp.array_equal(phi["prior"], onp.zeros(6))
        z, divergence = posterior.apply(phi, x, u)
        plain = make().apply(phi["encoder"], x, u)
        assert onp.array_equal(z, plain[0]) and onp.allclose(divergence, plain[1], rtol=1e-6, atol=1e-7)
        phi["prior"] = rng.standard_normal(6)
        shape = (3, 2, 3) if kl is categorical_kl else (3, 6)
        logits = dense(4, 6).apply(phi["encoder"], x).reshape(shape)
        assert onp.allclose(posterior.apply(phi, x, u)[1], kl(logits, None, phi["prior"].reshape(shape[1:])), rtol=1e-6)
        if not hard:
            model = vae(posterior, bernoulli_likelihood(dense(6, 4)))
            assert_gradient(lambda p: np.sum(weights * model.apply(p, x, u)), {  # noqa: B023
                "phi": phi, "theta": dense(6, 4).init(rng)})
        assert "prior=constant(6)" in posterior.name and hasattr(posterior, "log_ratio") is hard
        assert not hasattr(make(prior=constant(6), kl=lambda l, z, p: kl(l, z, p)), "log_ratio")  # noqa: B023


def test_the_best_prior_is_the_mean_of_the_posteriors(rng):
    """At p = 1/n Σ_x q(z|x) the mean KL's slope is 0, and another prior is worse by KL[mean of q ‖ p], variable by
    variable."""
    three, six = 2 * rng.standard_normal((5, 2, 3)), 2 * rng.standard_normal((5, 6))
    for kl, logits, best in (
            (categorical_kl, three, onp.log(scipy.special.softmax(three, axis=-1).mean(axis=0))),
            (bernoulli_kl, six, scipy.special.logit(scipy.special.expit(six).mean(axis=0)))):
        value, slope = value_and_grad(lambda p: np.mean(kl(logits, None, p)))(best)  # noqa: B023
        assert onp.abs(slope).max() < 1e-13
        other = best + rng.standard_normal(best.shape)
        assert onp.mean(kl(logits, None, other)) - value == pytest.approx(kl(best, None, other), rel=1e-10)


def test_log_weights_beside_a_learned_prior_are_those_of_the_enumerated_model(rng):
    """E w = p(x), with p(z) of the prior's logits: all states summed, and log w state by state."""
    likelihood, x = bernoulli_likelihood(dense(6, 4)), (rng.random((1, 4)) < 0.5).astype(float)
    coins = onp.array(list(itertools.product([0.0, 1.0], repeat=6)))
    for posterior, states, law in (
            (categorical_posterior(dense(4, 6), 0.5, 3, hard=True, prior=constant(6)), one_hots(2, 3).reshape(9, 6),
             lambda z, l: onp.sum(z * scipy.special.log_softmax(l.reshape(2, 3), axis=-1).ravel(), axis=-1)),
            (bernoulli_posterior(dense(4, 6), 0.5, hard=True, prior=constant(6)), coins,
             lambda z, l: scipy.stats.bernoulli.logpmf(z, scipy.special.expit(l)).sum(axis=-1))):
        model = vae(posterior, likelihood)
        params = model.init(rng)
        params["phi"]["prior"] = 1.5 * rng.standard_normal(6)
        log_joint = law(states, params["phi"]["prior"]) - likelihood.apply(params["theta"], x, states)
        log_q = law(states, dense(4, 6).apply(params["phi"]["encoder"], x)[0])
        u = rng.random((20_000, 1, 6))
        log_w, (z, _) = model.log_weight(params, x, u)[:, 0], posterior.apply(params["phi"], x, u)
        which = onp.argmax((states[:, None] == z[:, 0]).all(axis=-1), axis=0)
        assert onp.allclose(log_w, (log_joint - log_q)[which], rtol=1e-5, atol=1e-5)
        assert_mean(onp.exp(log_w), onp.exp(scipy.special.logsumexp(log_joint)))
        assert_mean(-model.apply(params, x, u)[:, 0], onp.exp(log_q) @ (log_joint - log_q))


def spike(where, height):
    """A decoder that makes x = 1 likely only for z beside `where`."""
    return elementwise(lambda z: height * (0.1 - np.abs(z - where)))


def test_a_soft_z_with_the_discrete_kl_exceeds_log_p_of_the_discrete_model():
    """At τ = 10 every z lies near ½, where no hard z ever is: a decoder that likes ½ makes the "bound" too good."""
    encoder, u, x = elementwise(lambda x: 0 * x), midpoints(10_000)[:, None, None], onp.ones((1, 1))
    decoder = spike(0.5, 50.0)
    nelbo = {hard: onp.mean(vae(bernoulli_posterior(encoder, 10.0, hard=hard), bernoulli_likelihood(decoder)).apply(
        {"phi": (), "theta": ()}, x, u)) for hard in (False, True)}
    log_p = scipy.special.logsumexp([-bernoulli_nll(x[0], decoder.apply((), onp.array([z]))) for z in (0.0, 1.0)],
                                    b=0.5)
    assert -nelbo[False] > log_p + 15                  # above log p(x), so no bound
    assert -nelbo[True] <= log_p + 1e-9                # q is the prior and both states are alike: the bound is tight


def test_a_soft_z_with_the_discrete_kl_exceeds_log_p_of_the_relaxed_model():
    """The discrete KL is at most log 2; between the Concrete laws it grows without limit: the sum is too good."""
    u, x, tau, likes_one = midpoints(100_000)[:, None, None], onp.ones((1, 1)), 1.0, elementwise(
        lambda z: 1e5 * (z - 0.9999))
    model = vae(bernoulli_posterior(elementwise(lambda x: 14 + 0 * x), tau), bernoulli_likelihood(likes_one))
    relaxed = -onp.mean(model.apply({"phi": (), "theta": ()}, x, u))
    prior = binary_concrete(onp.zeros((1, 1)), u, tau)
    log_p = scipy.special.logsumexp(-bernoulli_nll(x, likes_one.apply((), prior)), b=1 / len(u))
    assert relaxed > log_p + 3


@pytest.mark.parametrize("hard, expected",
                         [(False, (0.380, 0.613, 0.231, 0.049)), (True, (0.968, 1.017, 0.325, 0.068))],
                         ids=["soft", "straight-through"])
def test_the_gradient_is_biased_and_by_how_much(hard, expected):
    """One coin, f(z) = (z − 0.45)²: exact d/dl E f = π(1 − π)(f(1) − f(0)); the estimators' means by quadrature.

    Recorded is the relative bias at τ = 1, ½, 0.1, 0.02: of order τ once τ is small, larger for straight-through.
    """
    l, u = onp.array([[0.5]]), midpoints(200_000)[:, None, None]
    pi = scipy.special.expit(0.5)
    exact = pi * (1 - pi) * (0.55 ** 2 - 0.45 ** 2)

    def mean(l, tau):
        z = binary_concrete(l, u, tau)
        return np.mean(((hard_bernoulli(z) if hard else z) - 0.45) ** 2)

    bias = [value_and_grad(mean)(l, tau)[1][0, 0] / exact - 1 for tau in (1.0, 0.5, 0.1, 0.02)]
    assert bias == pytest.approx(expected, abs=6e-4)


# --- bad input

@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive(tau):
    for call in (lambda: gumbel_softmax(onp.zeros(3), onp.full(3, 0.5), tau),
                 lambda: binary_concrete(onp.zeros(3), onp.full(3, 0.5), tau),
                 lambda: categorical_posterior(dense(2, 6), tau, 3), lambda: bernoulli_posterior(dense(2, 6), tau)):
        with pytest.raises(ValueError, match="temperature .*: expected a positive number"):
            call()


def test_noise_that_is_not_uniform_or_of_another_shape():
    for sample in (gumbel_softmax, binary_concrete):
        for u in (onp.array([0.1, -0.01, 0.2]), onp.array([0.1, 1.01, 0.2]), onp.array([0.1, onp.nan, 0.2]),
                  onp.zeros(3, int)):
            with pytest.raises(ValueError, match=r"expected uniform on \[0, 1\]"):
                sample(onp.zeros(3), u, 1.0)
        with pytest.raises(ValueError, match=r"noise has shape \(4,\), logits \(3,\)"):
            sample(onp.zeros(3), onp.full(4, 0.5), 1.0)


def test_sizes_that_disagree(rng):
    x, u = onp.zeros((2, 4)), onp.full((2, 6), 0.5)
    for categories in (4, 1, 0):
        posterior = categorical_posterior(dense(4, 6), 1.0, categories)
        with pytest.raises(ValueError, match=f"do not divide into {categories} categories"):
            posterior.apply(posterior.init(rng), x, u)
    for posterior in (categorical_posterior(dense(4, 6), 1.0, 3), bernoulli_posterior(dense(4, 6), 1.0)):
        with pytest.raises(ValueError, match="noise has shape"):
            posterior.apply(posterior.init(rng), x, onp.full((3, 6), 0.5))
    with pytest.raises(ValueError, match=r"prior logits have shape \(2,\), logits \(2, 3\)"):
        bernoulli_kl(onp.zeros((2, 3)), prior_logits=onp.zeros(2))
    for shape in ((3,), (2, 1), (4, 2, 3)):
        with pytest.raises(ValueError, match=r"prior logits have shape .*, logits \(5, 2, 3\)"):
            categorical_kl(onp.zeros((5, 2, 3)), prior_logits=onp.zeros(shape))


def test_a_prior_that_is_no_vector_of_logits(rng):
    x, u = onp.zeros((2, 4)), onp.full((2, 6), 0.5)
    for make in (lambda **more: categorical_posterior(dense(4, 6), 1.0, 3, **more),
                 lambda **more: bernoulli_posterior(dense(4, 6), 1.0, **more)):
        for prior in (constant(5), constant(6, tied=True), dense(4, 6)):            # dense: it would depend on x
            with pytest.raises(ValueError, match="prior's parameters are no array of 6 logits"):
                make(prior=prior).apply(make(prior=prior).init(rng), x, u)
        with pytest.raises(ValueError, match=r"parameters are dict \['W', 'b'\]; expected a dict of encoder, prior"):
            make(prior=constant(6)).apply(make().init(rng), x, u)
        with pytest.raises(ValueError, match=r"kl takes l, z; expected kl\(logits, z, prior_logits\)"):
            make(prior=constant(6), kl=lambda l, z: 0)
