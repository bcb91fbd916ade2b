"""The Concrete law against scipy.stats, the paper's own formula on the simplex, quadrature and enumeration."""

import itertools
import math

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.special
import scipy.stats
from checkers import assert_gradient, assert_mean

from vae_np import bernoulli_likelihood, constant, dense, sequential, tanh, vae, value_and_grad
from vae_np.extensions.bounds import iwae
from vae_np.extensions.concrete import (
    binary_concrete_log_density,
    binary_concrete_posterior,
    concrete_log_density,
    concrete_posterior,
)
from vae_np.extensions.relaxed import (
    bernoulli_kl,
    bernoulli_posterior,
    categorical_kl,
    categorical_posterior,
    gumbel_logits,
    logistic_logits,
)
from vae_np.layers import elementwise

PAIRS = [(0.5, 0.5), (2 / 3, 0.5), (0.4, 1.0)]  # of τ and λ


def plane(reach, n):
    """Points (n², 1, 3) whose differences from the third coordinate fill a square, and the area of each."""
    line = onp.linspace(-reach, reach, n)
    a, b = onp.meshgrid(line, line)
    return onp.stack([a, b, 0 * a], axis=-1).reshape(-1, 1, 3), (line[1] - line[0]) ** 2


# --- the densities

@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0, 3.0])
def test_the_binary_density_is_the_logistic_laws_and_the_papers(tau, rng):
    s, l = 3 * rng.standard_normal((5, 4)), rng.standard_normal(4)
    found = binary_concrete_log_density(s, l, tau)
    assert onp.allclose(found, scipy.stats.logistic.logpdf(s, l / tau, 1 / tau).sum(axis=-1), rtol=1e-12)
    z, alpha = scipy.special.expit(s), onp.exp(l)                                   # Maddison et al., appendix B
    paper = tau * alpha * (z * (1 - z)) ** (-tau - 1) / (alpha * z ** -tau + (1 - z) ** -tau) ** 2
    assert onp.allclose(found - onp.log(z * (1 - z)).sum(axis=-1), onp.log(paper).sum(axis=-1), rtol=1e-9)


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_the_density_is_the_papers_on_the_simplex(K, tau, rng):
    s, l = rng.standard_normal((4, 2, K)), rng.standard_normal((2, K))
    z, alpha = scipy.special.softmax(s, axis=-1), onp.exp(l)                        # Maddison et al., definition 1
    paper = (math.factorial(K - 1) * tau ** (K - 1)
             * onp.prod(alpha * z ** (-tau - 1) / onp.sum(alpha * z ** -tau, axis=-1, keepdims=True), axis=-1))
    found = concrete_log_density(s, l, tau)
    assert onp.allclose(found - onp.log(z).sum(axis=(-2, -1)), onp.log(paper).sum(axis=-1), rtol=1e-10)
    shifted = concrete_log_density(s + rng.standard_normal((4, 2, 1)), l + rng.standard_normal((2, 1)), tau)
    assert onp.allclose(shifted, found, rtol=1e-10)                                  # both count up to a constant


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_the_densities_integrate_to_one(tau):
    """Over all of s, by the trapezium rule, whose error falls exponentially for such functions."""
    line = onp.linspace(-120, 120, 20_001)[:, None]
    step = line[1, 0] - line[0, 0]
    assert onp.exp(binary_concrete_log_density(line, onp.array([1.3]), tau)).sum() * step == pytest.approx(1, abs=1e-9)
    two = onp.stack([line, 0 * line], axis=-1)
    assert onp.exp(concrete_log_density(two, onp.array([[1.3, 0.4]]), tau)).sum() * step == pytest.approx(1, abs=1e-9)
    s, area = plane(60, 1201)
    assert onp.exp(concrete_log_density(s, onp.array([[1.0, -0.5, 0.3]]), tau)).sum() * area == pytest.approx(
        1, abs=1e-9)


def test_two_categories_are_one_coin(rng):
    s, l = 3 * rng.standard_normal((6, 4, 2)), rng.standard_normal((4, 2))
    assert onp.allclose(concrete_log_density(s, l, 0.7),
                        binary_concrete_log_density(s[..., 0] - s[..., 1], l[..., 0] - l[..., 1], 0.7), rtol=1e-12)


@pytest.mark.parametrize("tau", [0.4, 1.5])
def test_the_draws_have_these_densities(tau, rng):
    """One coin by Kolmogorov and Smirnov's test, three categories by the share that falls into a corner."""
    s = logistic_logits(onp.full(20_000, 0.8), rng.random(20_000), tau)
    grid = onp.linspace(-150, 150, 300_001)
    cdf = onp.exp(binary_concrete_log_density(grid[:, None], onp.array([0.8]), tau)).cumsum() * (grid[1] - grid[0])
    assert scipy.stats.kstest(s, lambda x: onp.interp(x, grid, cdf)).pvalue > 1e-3
    l = onp.array([[1.0, -0.5, 0.3]])
    s = gumbel_logits(onp.broadcast_to(l, (40_000, 1, 3)), rng.random((40_000, 1, 3)), tau)
    at, area = plane(60, 2400)                                                       # no point on the borders

    def inside(s):
        d = s[:, 0, :2] - s[:, 0, 2:]
        return onp.stack([(d[:, 0] < 0.5) & (d[:, 1] < -1), d[:, 0] > 2, d[:, 1] > d[:, 0]], axis=-1).astype(float)

    share = onp.exp(concrete_log_density(at, l, tau)) @ inside(at) * area
    assert onp.all(onp.abs(inside(s).mean(axis=0) - share) < 4 * 0.5 / onp.sqrt(40_000) + 0.02 * tau)  # the grid's


@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
def test_ends_of_the_noise_and_huge_logits_are_finite(dtype, recwarn):
    for low, high in itertools.product([-1e4, 0.0, 1e4], repeat=2):
        encoder = elementwise(lambda x, low=low, high=high: x * onp.array([low, high, 0, 1], x.dtype))
        for end, tau in itertools.product((0.0, 0.5, 1.0), (1e-2, 0.5, 5.0)):
            x, u = onp.ones((2, 4), dtype), onp.full((3, 2, 4), end, dtype)
            for q in (concrete_posterior(encoder, tau, 2, 0.5), binary_concrete_posterior(encoder, tau, 0.5)):
                value, gradient = value_and_grad(lambda x, q=q, u=u: np.sum(sum(map(np.sum, q.apply((), x, u)))))(x)
                assert onp.isfinite(value) and onp.isfinite(gradient).all() and gradient.dtype == dtype
                assert q.apply((), x, u)[1].dtype == dtype
    assert not recwarn.list


def test_far_out_the_density_keeps_its_digits():
    """a = l − τ s to ±10⁴, where 1 − σ(a) is 0 in any float: log q = log τ − |a|."""
    s = onp.array([[-2e4], [2e4]])
    assert onp.allclose(binary_concrete_log_density(s, onp.zeros(1), 0.5), math.log(0.5) - 1e4, rtol=1e-15)
    s = onp.array([[[2e4, 0.0]], [[-2e4, 0.0]]])
    assert onp.allclose(concrete_log_density(s, onp.zeros((1, 2)), 0.5), math.log(0.5) - 1e4, rtol=1e-15)


# --- the posteriors: a soft z has a bound of the relaxed model

def systems(tau, prior_tau, d=2, K=3):
    """(posterior, its prior's logits as learned, log-density of s, all s with their volumes, z of s): two of each."""
    encoder, shared = dense(4, d), onp.array([0.6, -0.9])
    line = onp.linspace(-60, 60, 601)
    s = onp.stack(onp.meshgrid(line, line), axis=-1).reshape(-1, 2)
    yield (binary_concrete_posterior(encoder, tau, prior_tau, prior=constant(d)), shared,
           lambda s, l, t: binary_concrete_log_density(s, l, t), s, 0.2 ** 2, scipy.special.expit)
    encoder, shared = dense(4, K), onp.array([0.6, -0.9, 0.2])
    s, area = plane(60, 601)
    yield (concrete_posterior(encoder, tau, K, prior_tau, prior=constant(K)), shared,
           lambda s, l, t: concrete_log_density(s, l.reshape(-1, 1, K), t), s, area,
           lambda s: scipy.special.softmax(s, axis=-1)[:, 0])


def tiny(posterior, shared, rng):
    """A model of four pixels, its parameters, an image, and the decoder's block."""
    d = len(shared)
    decoder = sequential(dense(d, 5), tanh, dense(5, 4))
    model = vae(posterior, bernoulli_likelihood(decoder))
    params = model.init(rng)
    params["phi"]["prior"] = shared
    params["theta"][2]["W"] *= 4
    return model, params, (rng.random((1, 4)) < 0.5).astype(float), bernoulli_likelihood(decoder)


@pytest.mark.parametrize("tau, prior_tau", PAIRS)
def test_the_bound_lies_below_log_p_of_the_relaxed_model_and_iwae_reaches_it(tau, prior_tau, rng):
    """log p(x), the ELBO and E w = p(x) by quadrature over s; sampled, the ELBO's mean, and log p(x) by many w."""
    for posterior, shared, log_density, s, volume, squash in systems(tau, prior_tau):
        model, params, x, likelihood = tiny(posterior, shared, rng)
        logits = dense(4, len(shared)).apply(params["phi"]["encoder"], x)
        log_q = log_density(s, logits, tau)
        log_joint = log_density(s, shared, prior_tau) - likelihood.apply(params["theta"], x, squash(s))
        assert onp.exp(log_q).sum() * volume == pytest.approx(1, abs=1e-6)
        log_p, elbo = scipy.special.logsumexp(log_joint) + math.log(volume), (
            onp.exp(log_q) @ (log_joint - log_q) * volume)
        log_w = model.log_weight(params, x, rng.random((40_000, 1, len(shared))))[:, 0]
        assert_mean(log_w, elbo)
        assert_mean(onp.exp(log_w - log_p), 1)
        of_twenty = iwae(log_w.reshape(20, -1))
        assert elbo < of_twenty.mean() < log_p and elbo < log_p - 0.01
        assert iwae(log_w[:, None])[0] == pytest.approx(log_p, abs=0.03)


@pytest.mark.parametrize("tau", [1.0, 0.5, 0.05, 1e-3])
def test_the_soft_models_log_p_tends_to_the_discrete_ones_and_the_divergence_does_not(tau):
    """With λ = τ, s τ is logistic around l and around c, for every τ: a KL that is larger than that of the coins."""
    l, c, u = 1.1, -0.7, ((onp.arange(100_000) + 0.5) / 100_000)[:, None, None]
    q = binary_concrete_posterior(elementwise(lambda x: l + 0 * x), tau, tau, prior=constant(1))
    found = q.apply({"encoder": (), "prior": onp.array([c])}, onp.zeros((1, 1)), u)[1].mean()
    a = onp.linspace(-80, 80, 100_001)
    log_q, log_p = (scipy.stats.logistic.logpdf(a, m) for m in (l, c))
    assert found == pytest.approx(onp.exp(log_q) @ (log_q - log_p) * (a[1] - a[0]), rel=1e-4)
    assert found > bernoulli_kl(onp.array([l]), prior_logits=onp.array([c])) + 0.1
    likelihood = scipy.special.expit(3 * scipy.special.expit(logistic_logits(onp.full(u.shape, c), u, tau)) - 1)
    hard = scipy.special.expit(c) * scipy.special.expit(2) + scipy.special.expit(-c) * scipy.special.expit(-1)
    assert abs(math.log(likelihood.mean()) - math.log(hard)) < 0.12 * tau            # of order τ


@pytest.mark.parametrize("K", [2, 3])
def test_beside_the_prior_the_soft_divergence_is_the_discrete_one_times_k_squared_over_k_plus_one(K):
    """The price of a soft letter, of K − 1 real numbers instead of one of K: to second order, by quadrature."""
    d = 1e-2 * onp.array([1.0, -0.3, -0.7])[:K]
    s, area = plane(60, 1201)
    if K == 2:
        s, area = s[s[:, 0, 1] == 0][:, :, [0, 2]], onp.sqrt(area)
    c, soft, discrete = 0 * d, 0, 0
    for l in (d, -d):                                              # both signs: the third order falls out
        log_q, log_p = (concrete_log_density(s, a[None], 1.0) for a in (l, c))
        soft += onp.exp(log_q) @ (log_q - log_p) * area
        discrete += categorical_kl(l[None])
    assert soft / discrete == pytest.approx(K ** 2 / (K + 1), rel=1e-3)


@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k = 3"])
@pytest.mark.parametrize("prior", [None, constant(6)], ids=["fixed", "learned"])
def test_gradients(samples, prior, rng):
    x, u, weights = rng.random((3, 4)), rng.random((*samples, 3, 6)), rng.standard_normal((*samples, 3))
    for posterior in (concrete_posterior(dense(4, 6), 0.6, 3, 0.4, prior=prior),
                      binary_concrete_posterior(dense(4, 6), 0.6, 0.4, prior=prior)):
        model = vae(posterior, bernoulli_likelihood(dense(6, 4)))
        params = model.init(rng)
        if prior:
            params["phi"]["prior"] = rng.standard_normal(6)
        assert_gradient(lambda p: np.sum(weights * model.apply(p, x, u)), params)  # noqa: B023
        assert_gradient(lambda p: np.sum(weights * model.log_weight(p, x, u)), params)  # noqa: B023
    both = {"s": rng.standard_normal((2, 2, 3)), "l": rng.standard_normal((2, 3))}
    assert_gradient(lambda p: np.sum(concrete_log_density(p["s"], p["l"], 0.6) * onp.array([1, -2])), both)
    assert_gradient(lambda p: np.sum(binary_concrete_log_density(p["s"], p["l"], 0.6)), both)


def test_their_draws_are_those_of_the_relaxed_posteriors(rng):
    x, u = rng.random((3, 4)), rng.random((5, 3, 6))
    for concrete, plain in ((concrete_posterior(dense(4, 6), 0.5, 3, 1), categorical_posterior(dense(4, 6), 0.5, 3)),
                            (binary_concrete_posterior(dense(4, 6), 0.5, 1), bernoulli_posterior(dense(4, 6), 0.5))):
        phi = plain.init(rng)
        z, ratio = concrete.apply(phi, x, u)
        assert onp.array_equal(z, plain.apply(phi, x, u)[0]) and ratio.shape == (5, 3)
        assert onp.array_equal(concrete.log_ratio(phi, x, u)[1], ratio)
        assert not hasattr(plain, "log_ratio")


def test_names_and_bad_input(rng):
    assert concrete_posterior(dense(4, 6), 0.5, 3, 1, prior=constant(6)).name == (
        "concrete_posterior(dense(4, 6), 0.5, 3, 1, prior=constant(6))")
    assert binary_concrete_posterior(dense(4, 6), 0.5, 1).name == "binary_concrete_posterior(dense(4, 6), 0.5, 1)"
    for tau in (0.0, -1.0, float("nan"), float("inf")):
        for call in (lambda t: concrete_posterior(dense(4, 6), t, 3, 1), lambda t: concrete_posterior(
                dense(4, 6), 1, 3, t), lambda t: binary_concrete_posterior(dense(4, 6), t, 1),
                lambda t: binary_concrete_posterior(dense(4, 6), 1, t),
                lambda t: concrete_log_density(onp.zeros((1, 2)), onp.zeros((1, 2)), t),
                lambda t: binary_concrete_log_density(onp.zeros(2), onp.zeros(2), t)):
            with pytest.raises(ValueError, match="temperature .*: expected a positive number"):
                call(tau)
