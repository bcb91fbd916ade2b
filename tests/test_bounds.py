"""The bounds against quadrature, a model whose log p(x) is known in closed form, and 60-digit arithmetic."""

import itertools

import mpmath
import numpy as onp
import pytest
from autograd import numpy as np
from checkers import EPS, assert_gradient, assert_mean
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from vae_np import (
    astype,
    bernoulli_likelihood,
    dense,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_posterior,
    heads,
    sequential,
    tanh,
    vae,
    value_and_grad,
)
from vae_np.extensions.bounds import cubo, elbo, iwae, log_mean_exp, path_log_ratio, renyi

D, N = 5, 3
ALPHAS = [-1.5, -0.5, 0.0, 0.3, 0.5, 0.9, 1.0, 1.7, 3.0]


def power_mean(log_w, t):
    return logsumexp(t * log_w, axis=0, b=1 / len(log_w)) / t if t else log_w.mean(axis=0)


# ---- the formulas -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("alpha", ALPHAS)
def test_formula(alpha, rng):
    log_w = 3 * rng.standard_normal((7, N)) - 80
    onp.testing.assert_allclose(renyi(log_w, alpha), power_mean(log_w, 1 - alpha), rtol=0, atol=1e-12)
    onp.testing.assert_allclose(renyi(log_w[:1], alpha), log_w[0], rtol=0, atol=1e-12)  # one sample: no choice left


def test_family(rng):
    log_w = 3 * rng.standard_normal((7, N))
    assert onp.array_equal(renyi(log_w, 0), iwae(log_w))
    assert onp.array_equal(renyi(log_w, 1), elbo(log_w))
    assert onp.array_equal(cubo(log_w, 1), iwae(log_w))
    assert onp.array_equal(cubo(log_w), cubo(log_w, 2))
    for n in (0.5, 2, 3.5):
        onp.testing.assert_allclose(cubo(log_w, n), renyi(log_w, 1 - n), rtol=0, atol=1e-13)
    onp.testing.assert_allclose(elbo(log_w), log_w.sum(axis=0) / 7, rtol=0, atol=1e-13)
    onp.testing.assert_allclose(iwae(log_w), onp.log(onp.exp(log_w).sum(axis=0) / 7), rtol=0, atol=1e-13)


@pytest.mark.parametrize("t", [s * 10.0 ** -e for s in (1, -1) for e in (1, 3, 6, 9, 12, 15)])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 40.0])
def test_alpha_near_1_is_exact(t, spread, rng):
    log_w = spread * rng.standard_normal((6, 2)) - 100
    t = 1 - (1 - t)  # what is left of t in 1 − α
    with mpmath.workdps(60):
        exact = [mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(t) * mpmath.mpf(v)) for v in column) / 6) / mpmath.mpf(t)
                 for column in log_w.T.tolist()]
    atol = 8 * EPS * onp.max(onp.abs(log_w))  # t·log w is rounded once, and t divided out again
    onp.testing.assert_allclose(renyi(log_w, 1 - t), onp.array(exact, float), rtol=0, atol=atol)


def test_same_samples_same_order(rng):
    log_w = 4 * rng.standard_normal((20, 50))
    bounds = [elbo(log_w), renyi(log_w, 0.5), iwae(log_w), renyi(log_w, -0.5), cubo(log_w), cubo(log_w, 3),
              log_w.max(axis=0)]
    for low, high in itertools.pairwise(bounds):
        assert onp.all(low < high)


@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_large_log_weights_neither_overflow_nor_vanish(shift, rng):
    log_w = rng.standard_normal((5, N))
    for alpha in ALPHAS:
        onp.testing.assert_allclose(renyi(log_w + shift, alpha) - shift, renyi(log_w, alpha), rtol=0,
                                    atol=60 * EPS * abs(shift))
    apart = onp.array([[0.0], [-2000.0]])
    onp.testing.assert_allclose(iwae(apart), -onp.log(2), rtol=1e-15)
    onp.testing.assert_allclose(cubo(apart), -onp.log(2) / 2, rtol=1e-15)
    onp.testing.assert_allclose(renyi(apart, 2), -2000 + onp.log(2), rtol=1e-15)


def test_a_weight_of_zero(rng):
    log_w = rng.standard_normal((4, N))
    log_w[2, 0], log_w[:, 1] = -onp.inf, -onp.inf
    value, (gradient,) = value_and_grad(lambda p: (np.sum(iwae(p[0])[onp.array([0, 2])]), iwae(p[0])))([log_w])
    onp.testing.assert_allclose(value[1][0], onp.log(onp.exp(log_w[[0, 1, 3], 0]).sum() / 4), rtol=1e-14)
    assert value[1][1] == -onp.inf and elbo(log_w)[0] == -onp.inf
    assert gradient[2, 0] == 0 and onp.array_equal(gradient[:, 1], onp.zeros(4))
    onp.testing.assert_allclose(gradient[[0, 1, 3], 0], onp.exp(log_w[[0, 1, 3], 0] - logsumexp(log_w[:, 0])))
    _, (gradient,) = value_and_grad(lambda p: np.sum(iwae(p[0])))([log_w])
    assert onp.all(onp.isfinite(gradient))
    assert renyi(log_w, 2)[0] == -onp.inf
    log_w[0, 2] = onp.nan
    value, (gradient,) = value_and_grad(lambda p: (np.sum(iwae(p[0])), renyi(p[0], 0.5)))([log_w])
    assert onp.isnan(value[1][2]) and onp.isnan(gradient[:, 2]).all()  # not finite, and not hidden


@pytest.mark.parametrize("bound", [elbo, iwae, cubo, lambda w: renyi(w, 0.5), lambda w: renyi(w, 1 - 1e-9)],
                         ids=["elbo", "iwae", "cubo", "renyi", "renyi near 1"])
def test_gradient_and_dtype(bound, rng):
    log_w, weights = 2 * rng.standard_normal((4, N)) - 3, rng.standard_normal(N)
    assert_gradient(lambda p: np.sum(weights * bound(p[0])), [log_w])
    single = log_w.astype(onp.float32)
    assert bound(single).dtype == onp.float32
    onp.testing.assert_allclose(bound(single), bound(single.astype(float)), rtol=0, atol=1e-5)
    assert value_and_grad(lambda p: np.mean(bound(p[0])))([single])[1][0].dtype == onp.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_each_samples_share_where_they_differ_by_hundreds_of_nats(dtype, rng):
    """As in IWAE with k = 50 on images: log-weights that lie hundreds of nats apart."""
    log_w = (40 * rng.standard_normal((50, 200)) ** 3).astype(dtype)
    shares = value_and_grad(lambda w: np.sum(iwae(w)))(log_w)[1]
    exact = onp.exp(log_w.astype(onp.float64) - logsumexp(log_w.astype(onp.float64), axis=0))
    eps = onp.finfo(dtype).eps  # rounding a log-weight, ε |a|, alters its exponential by as much of itself
    onp.testing.assert_allclose(shares, exact, rtol=4 * eps * onp.abs(log_w).max(),
                                atol=float(onp.finfo(dtype).tiny))
    assert shares.dtype == dtype and onp.any((exact > 0) & (exact < eps ** 2))


def test_a_float64_alpha_does_not_promote_float32():
    log_w = onp.zeros((2, N), onp.float32)
    assert renyi(log_w, onp.float64(0.5)).dtype == cubo(log_w, onp.float64(2)).dtype == onp.float32


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradient_of_renyi(alpha, rng):
    weights = rng.standard_normal(N)
    assert_gradient(lambda p: np.sum(weights * renyi(p[0], alpha)), [2 * rng.standard_normal((4, N)) - 3])


def test_the_sample_axis_leads_and_others_stay(rng):
    log_w = rng.standard_normal((6, 2, N))
    for bound in (elbo, iwae, cubo):
        assert bound(log_w).shape == (2, N)
        onp.testing.assert_allclose(bound(log_w)[1], bound(log_w[:, 1]), rtol=1e-14)


@pytest.mark.parametrize("bound", [elbo, iwae, cubo, lambda w: renyi(w, 0.5), lambda w: renyi(w, 1)])
@pytest.mark.parametrize("shape", [(), (4,), (0, 4)])
def test_log_weights_without_samples_are_refused(bound, shape):
    with pytest.raises(ValueError, match=r"log-weights have shape .*expected \(k, n\)"):
        bound(onp.zeros(shape))


@pytest.mark.parametrize("alpha", [onp.nan, onp.inf, -onp.inf])
def test_alpha_must_be_a_number(alpha):
    with pytest.raises(ValueError, match="renyi: alpha is"):
        renyi(onp.zeros((2, 3)), alpha)


@pytest.mark.parametrize("n", [0, -1, onp.nan, onp.inf])
def test_n_must_be_positive(n):
    with pytest.raises(ValueError, match="cubo: n is"):
        cubo(onp.zeros((2, 3)), n)


# ---- a small VAE against quadrature -----------------------------------------------------------------------------

def nodes(d, m):
    """Gauss–Hermite: points (m^d, 1, d) and log-weights (m^d, 1) for means over N(0, I)."""
    point, weight = onp.polynomial.hermite_e.hermegauss(m)
    weight = onp.log(weight / weight.sum())
    return (onp.stack(onp.meshgrid(*[point] * d, indexing="ij"), -1).reshape(-1, 1, d),
            sum(onp.meshgrid(*[weight] * d, indexing="ij")).reshape(-1, 1))


class Small:
    """A VAE with smooth networks, its q off the posterior, and everything about it by quadrature."""

    def __init__(self, d, rng, kl=gaussian_log_ratio):
        encoder = sequential(dense(D, 4), tanh, heads(dense(4, d), dense(4, d)))
        decoder = sequential(dense(d, 4), tanh, dense(4, D))
        self.d, self.encoder, self.likelihood = d, encoder, bernoulli_likelihood(decoder)
        self.model = vae(gaussian_posterior(encoder, kl=kl), self.likelihood)
        self.params = astype(self.model.init(rng), onp.float64)
        self.params["theta"][0]["W"] *= 0.5  # smooth enough for exact quadrature
        self.params["theta"][2]["W"] *= 2
        for head in self.params["phi"][2]:
            head["W"] *= 0.3
        self.params["phi"][2][1]["b"] += 0.3  # tails above the prior's: w⁴ has a mean, w² a standard error
        self.x = onp.array([[1.0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [1, 1, 1, 0, 1]])
        self.eps, self.log_weight = nodes(d, 90 if d == 1 else 60)
        self.log_w = self.at(self.eps)                                                     # (nodes, N)
        self.log_p = logsumexp(self.log_weight - self.nll(self.eps), axis=0)

    def at(self, eps):
        return self.model.log_weight(self.params, self.x, onp.broadcast_to(eps, (*eps.shape[:-2], N, self.d)))

    def nll(self, z):
        return self.likelihood.apply(self.params["theta"], self.x, onp.broadcast_to(z, (*z.shape[:-2], N, self.d)))

    def mean(self, f):
        """E_q[f], f: (nodes, ...)."""
        return onp.sum(onp.exp(self.log_weight) * f, axis=0)

    def limit(self, alpha):
        """L_α with infinitely many samples."""
        t = 1 - alpha
        return logsumexp(self.log_weight + t * self.log_w, axis=0) / t if t else self.mean(self.log_w)


@pytest.fixture(params=[1, 2], ids=["1-D", "2-D"])
def small(request, rng):
    return Small(request.param, rng)


def test_order_of_the_limits_around_log_p(small):
    onp.testing.assert_allclose(small.limit(0), small.log_p, rtol=0, atol=1e-9)  # two quadratures, of q and of p(z)
    limits = [small.limit(alpha) for alpha in (1, 0.5, 0.2, 0, -0.5, -1, -1.5)]
    for low, high in itertools.pairwise(limits):
        assert onp.all(low < high - 1e-4)


def test_each_estimate_has_the_mean_that_quadrature_gives(small, rng):
    """E[exp(t L)] = E_q[w^t] for any k: for t = 1 the estimate of p(x) itself is unbiased."""
    eps = rng.standard_normal((4, 4000, 1, small.d))
    log_w = small.at(eps)                                                                  # (k, replicates, N)
    assert_mean(elbo(log_w), small.limit(1))
    assert_mean(onp.exp(iwae(log_w) - small.log_p), 1)
    for alpha in (0.5, -0.5):
        assert_mean(onp.exp((1 - alpha) * (renyi(log_w, alpha) - small.limit(alpha))), 1)
    assert_mean(onp.exp(2 * (cubo(log_w) - small.limit(-1))), 1)


def test_iwae_rises_with_k_to_log_p():
    """E[L_k] exactly for k = 1, 2, 3: quadrature over all k samples at once."""
    small = Small(1, onp.random.default_rng(0))
    eps, log_weight = nodes(1, 40)
    log_w = small.at(eps)
    means = []
    for k in (1, 2, 3):
        index = onp.array(list(itertools.product(range(40), repeat=k))).T                  # (k, 40^k)
        weight = onp.exp(log_weight[index, 0].sum(axis=0))
        means.append(weight @ iwae(log_w[index]))
    assert onp.all(means[0] < means[1]) and onp.all(means[1] < means[2]) and onp.all(means[2] < small.log_p)
    onp.testing.assert_allclose(means[0], small.limit(1), atol=1e-7)
    many = iwae(small.at(onp.random.default_rng(1).standard_normal((64, 2000, 1, 1))))
    assert onp.all(means[2] < many.mean(axis=0) - 4 * many.std(axis=0) / onp.sqrt(2000))
    assert onp.all(many.mean(axis=0) - 4 * many.std(axis=0) / onp.sqrt(2000) < small.log_p)


def test_the_gap_is_the_divergence_from_the_posterior(small):
    """log p(x) − ELBO = KL[q(z|x) ‖ p(z|x)], the right side on a plain grid of z, with scipy's densities."""
    mu, log_var = small.encoder.apply(small.params["phi"], small.x)
    axis = onp.linspace(-12, 12, 4001 if small.d == 1 else 301)
    z = onp.stack(onp.meshgrid(*[axis] * small.d, indexing="ij"), -1).reshape(-1, 1, small.d)
    cell = (axis[1] - axis[0]) ** small.d
    log_q = norm.logpdf(z, mu, onp.exp(0.5 * log_var)).sum(axis=-1)
    joint = norm.logpdf(z).sum(axis=-1) - small.nll(z)
    log_posterior = joint - onp.log(cell * onp.exp(joint).sum(axis=0))
    divergence = cell * onp.sum(onp.exp(log_q) * (log_q - log_posterior), axis=0)
    assert onp.all(divergence > 0.005)
    onp.testing.assert_allclose(small.log_p - small.limit(1), divergence, rtol=0, atol=1e-8)
    closed = -small.mean(small.nll(mu + onp.exp(0.5 * log_var) * small.eps)) - gaussian_kl(mu, log_var)
    onp.testing.assert_allclose(small.log_p - closed, divergence, rtol=0, atol=1e-8)


@pytest.mark.parametrize("bound", [elbo, iwae, cubo, lambda w: renyi(w, 0.5)], ids=["elbo", "iwae", "cubo", "renyi"])
def test_gradient_through_the_whole_vae(bound, small, rng):
    eps = rng.standard_normal((4, N, small.d))
    assert_gradient(lambda p: -np.mean(bound(small.model.log_weight(p, small.x, eps))), small.params)


# ---- a linear-Gaussian model: log p(x) and the posterior in closed form -------------------------------------------

def linear_gaussian(d, rng, kl=gaussian_log_ratio):
    """x = Wz + b + s n with orthogonal columns in W, so that the posterior is diagonal: model, params, x, log p."""
    W = onp.linalg.qr(rng.standard_normal((D, d)))[0] * onp.array([1.5, 0.7])[:d]
    b, s2 = rng.standard_normal(D), 0.3
    precision = 1 + (W ** 2).sum(axis=0) / s2
    M = W / s2 / precision                                                                 # E[z|x] = (x − b) M
    encoder, decoder = (heads(dense(m, n), dense(m, n)) for m, n in ((D, d), (d, D)))
    params = {"phi": [{"W": M, "b": -b @ M}, {"W": onp.zeros((D, d)), "b": -onp.log(precision)}],
              "theta": [{"W": W.T, "b": b}, {"W": onp.zeros((d, D)), "b": onp.full(D, onp.log(s2))}]}
    x = rng.standard_normal((N, D))
    log_p = multivariate_normal(b, W @ W.T + s2 * onp.eye(D)).logpdf(x)
    return vae(gaussian_posterior(encoder, kl=kl), gaussian_likelihood(decoder)), params, x, log_p


@pytest.mark.parametrize("d", [1, 2])
def test_with_the_exact_posterior_every_weight_is_p_of_x(d, rng):
    model, params, x, log_p = linear_gaussian(d, rng)
    eps = 2 * rng.standard_normal((30, N, d))
    log_w = model.log_weight(params, x, eps)
    onp.testing.assert_allclose(log_w, onp.broadcast_to(log_p, (30, N)), rtol=0, atol=1e-12)
    for bound in (elbo, iwae, cubo, lambda w: renyi(w, 0.5), lambda w: renyi(w, -3)):
        onp.testing.assert_allclose(bound(log_w), log_p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_closed_form_kl_inside_iwae_exceeds_log_p_and_log_weight_has_none(d, rng):
    """Its limit is log E_q[p(x|z)] − KL ≥ E_q[log p(x|z)] − KL, which here already is log p(x)."""
    model, params, x, log_p = linear_gaussian(d, rng, kl=gaussian_kl)
    eps = rng.standard_normal((50, 400, N, d))
    onp.testing.assert_allclose(iwae(model.log_weight(params, x, eps[0])), log_p, rtol=0, atol=1e-12)
    log_w = -model.apply(params, x, eps)
    estimates = iwae(log_w)
    assert onp.all(estimates.mean(axis=0) - 4 * estimates.std(axis=0) / 20 > log_p + 0.1)
    assert_mean(elbo(log_w), log_p)  # one sample, or their plain mean, is a bound as it should be


@pytest.mark.parametrize("d", [1, 2])
def test_path_gradient_vanishes_at_the_exact_posterior(d, rng):
    model, params, x, _ = linear_gaussian(d, rng, kl=path_log_ratio)
    plain = linear_gaussian(d, rng)[0]
    eps = rng.standard_normal((3, N, d))
    assert onp.array_equal(model.apply(params, x, eps), plain.apply(params, x, eps))

    def largest(model):
        gradient = value_and_grad(lambda p: np.mean(model.apply(p, x, eps)))(params)[1]["phi"]
        return max(onp.max(onp.abs(head[key])) for head in gradient for key in "Wb")

    assert largest(model) < 1e-13 < 0.1 < largest(plain)


def test_path_gradient_has_the_elbos_mean(small):
    """E_ε[gradient] by quadrature: with the score left out, with it, and with the closed form, the same."""
    def gradient(kl):
        model = vae(gaussian_posterior(small.encoder, kl=kl), small.likelihood)
        eps = onp.broadcast_to(small.eps, (len(small.eps), N, small.d))
        loss = lambda p: np.sum(onp.exp(small.log_weight) * model.apply(p, small.x, eps))
        return value_and_grad(loss)(small.params)[1]

    path, full, closed = map(gradient, (path_log_ratio, gaussian_log_ratio, gaussian_kl))
    for part, layer in (("phi", 0), ("theta", 0), ("theta", 2)):
        for key in "Wb":
            onp.testing.assert_allclose(path[part][layer][key], full[part][layer][key], rtol=0, atol=1e-7)
            onp.testing.assert_allclose(path[part][layer][key], closed[part][layer][key], rtol=0, atol=1e-7)
    for p, f in zip(path["phi"][2], full["phi"][2]):
        onp.testing.assert_allclose(p["W"], f["W"], rtol=0, atol=1e-7)


def test_log_mean_exp_is_exact_near_zero():
    a = onp.array([[1e-18], [3e-18]])
    onp.testing.assert_allclose(log_mean_exp(a), [2e-18], rtol=1e-15)
