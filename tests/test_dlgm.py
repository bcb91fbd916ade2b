"""Deep latent Gaussian models: one level is the plain VAE; linear levels against Gaussian marginals in closed form."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import jacobian
from checkers import assert_gradient, assert_mean
from scipy import optimize, stats

from vae_np import (
    astype,
    bernoulli_likelihood,
    constant,
    dense,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_nll,
    gaussian_posterior,
    heads,
    relu,
    sequential,
    tanh,
    vae,
    value_and_grad,
)
from vae_np.extensions.dlgm import dlgm
from vae_np.nests import leaves, rebuild

IDENTITY = sequential()
D = 8


def encoder_of(n_in, latent):
    return sequential(dense(n_in, 5), relu, heads(dense(5, latent), dense(5, latent)))


@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k samples"])
def test_one_level_with_identity_maps_is_the_plain_vae(samples, rng):
    encoder, decoder = encoder_of(4, 2), sequential(dense(2, 5), tanh, dense(5, 4))
    plain = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))
    deep = vae(gaussian_posterior(encoder), bernoulli_likelihood(dlgm(decoder, sizes=(2,))))
    params = plain.init(rng)
    same = {"phi": params["phi"], "theta": {"G": [np.eye(2, dtype=np.float32)], "T": [params["theta"]]}}
    x, eps = rng.random((3, 4), np.float32), rng.standard_normal((*samples, 3, 2), np.float32)
    np.testing.assert_array_equal(deep.apply(same, x, eps), plain.apply(params, x, eps))


def test_a_level_that_passes_on_what_it_gets_changes_nothing(rng):
    decoder, xi = dense(2, 4), rng.standard_normal((3, 4))
    theta = decoder.init(rng)
    silent = {"G": [np.eye(2), np.zeros((2, 2))], "T": [[], theta]}
    np.testing.assert_array_equal(dlgm(IDENTITY, decoder, sizes=(2, 2)).apply(silent, xi),
                                  decoder.apply(theta, xi[:, :2]))


def test_new_levels_have_the_identity_for_g(rng):
    theta = dlgm(dense(3, 2), dense(2, 4), sizes=(3, 2)).init(rng)
    for G, size in zip(theta["G"], (3, 2)):
        np.testing.assert_array_equal(G, np.eye(size))
    assert {leaf.dtype for leaf in leaves(theta)} == {np.dtype(np.float32)}


def test_two_levels_by_hand(rng):
    """h₂ = G₂ ξ₂, h₁ = tanh(h₂ W₁ + b₁) + G₁ ξ₁, logits = h₁ W₀ + b₀."""
    model = dlgm(sequential(dense(3, 2), tanh), dense(2, 4), sizes=(3, 2))
    theta = rebuild(model.init(rng), [rng.standard_normal(np.shape(leaf)) for leaf in leaves(model.init(rng))])
    G2, G1 = theta["G"]
    (top, _), bottom = theta["T"]
    xi = rng.standard_normal((2, 5, 5))
    found = model.apply(theta, xi)
    for k in range(2):
        for n in range(5):
            h1 = np.tanh(top["W"].T @ (G2 @ xi[k, n, :3]) + top["b"]) + G1 @ xi[k, n, 3:]
            np.testing.assert_allclose(found[k, n], bottom["W"].T @ h1 + bottom["b"], rtol=1e-12)


@pytest.fixture
def linear(rng):
    """Three linear levels of 2, 3 and 3 features above 4 visible ones, and the exact law of h₁ W₀ + b₀."""
    model = dlgm(dense(2, 3), dense(3, 3), dense(3, 4), sizes=(2, 3, 3))
    drawn = model.init(rng)
    theta = rebuild(drawn, [rng.standard_normal(np.shape(leaf)) for leaf in leaves(drawn)])
    mean, cov = np.zeros(2), theta["G"][0] @ theta["G"][0].T
    for level, p in enumerate(theta["T"]):
        mean, cov = p["W"].T @ mean + p["b"], p["W"].T @ cov @ p["W"]
        if level < 2:
            cov = cov + theta["G"][level + 1] @ theta["G"][level + 1].T
    return model, theta, mean, cov


def test_linear_levels_marginalise_to_a_gaussian(linear):
    model, theta, mean, cov = linear
    J = jacobian(lambda xi: model.apply(theta, xi))(np.zeros(8))
    np.testing.assert_allclose(model.apply(theta, np.zeros(8)), mean, rtol=1e-12)
    np.testing.assert_allclose(J @ J.T, cov, rtol=1e-12, atol=1e-12)


def test_samples_have_that_mean_and_covariance(linear, rng):
    model, theta, mean, cov = linear
    v = model.apply(theta, rng.standard_normal((20000, 8)))
    assert_mean(v, mean)
    assert_mean((v - mean)[:, :, None] * (v - mean)[:, None, :], cov)


def test_log_weight_is_log_p_under_the_exact_posterior(linear, rng):
    """log p(x|ξ) + log p(ξ) − log q(ξ|x) = log N(x | m, C + σ²I) for every ξ, if q is the exact posterior."""
    model, theta, mean, cov = linear
    var, x = 0.3, rng.standard_normal((5, 4))
    J = jacobian(lambda xi: model.apply(theta, xi))(np.zeros(8))
    posterior = np.linalg.inv(np.eye(8) + J.T @ J / var)
    for row in x:
        centre = posterior @ J.T @ (row - mean) / var
        xi = centre + rng.standard_normal((7, 8)) @ np.linalg.cholesky(posterior).T
        log_w = (-gaussian_nll(row, model.apply(theta, xi), np.log(var)) + stats.norm.logpdf(xi).sum(-1)
                 - stats.multivariate_normal(centre, posterior).logpdf(xi))
        expected = stats.multivariate_normal(mean, cov + var * np.eye(4)).logpdf(row)
        np.testing.assert_allclose(log_w, expected, rtol=0, atol=1e-9)  # the posterior's condition number is 1e4


@pytest.mark.parametrize("samples", [(), (2,)], ids=["one sample", "k samples"])
@pytest.mark.parametrize("likelihood, out", [
    (bernoulli_likelihood, dense(2, 4)), (gaussian_likelihood, heads(dense(2, 4), constant(4)))],
    ids=["Bernoulli", "Gaussian"])
def test_gradient_of_the_whole_vae(likelihood, out, samples, rng):
    decoder = dlgm(sequential(dense(3, 2), tanh), out, sizes=(3, 2))
    model = vae(gaussian_posterior(encoder_of(4, 5)), likelihood(decoder))
    x, eps, weights = rng.random((3, 4)), rng.standard_normal((*samples, 3, 5)), rng.standard_normal((*samples, 3))
    assert_gradient(lambda p: anp.sum(weights * model.apply(p, x, eps)), model.init(rng))


def test_float32_stays_float32(rng):
    model = dlgm(dense(3, 2), dense(2, 4), sizes=(3, 2))
    assert model.apply(model.init(rng), np.zeros((3, 5), np.float32)).dtype == np.float32


# Factor analysis: x = W z + b + noise of variance Ψ. The exact marginal is N(b, W W' + Ψ).

def sigma_points(n, d):
    """ε = ±√d e_i: 2d samples whose mean of any quadratic function of ε is exact, as the linear model's ELBO is."""
    return np.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])[:, None, :] * np.ones((n, 1))


def ppca(x, d):
    """The maximum likelihood of probabilistic PCA: W = U (Λ − σ²I)^½, σ² the mean of the other eigenvalues."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    var = values[d:].mean()
    return vectors[:, :d] * np.sqrt(values[:d] - var), np.full(x.shape[1], var)


def factor_analysis(x, d, steps=3000):
    """Its maximum likelihood by EM (Rubin & Thayer, 1982)."""
    S = np.cov(x.T, bias=True)
    W, psi = ppca(x, d)
    for _ in range(steps):
        beta = W.T @ np.linalg.inv(W @ W.T + np.diag(psi))
        moment = np.eye(d) - beta @ W + beta @ S @ beta.T
        W = S @ beta.T @ np.linalg.inv(moment)
        psi = np.diag(S - W @ beta @ S)
    return W, psi


def log_likelihood(x, W, psi):
    return stats.multivariate_normal(x.mean(0), W @ W.T + np.diag(psi)).logpdf(x).mean()


@pytest.fixture
def observed(rng):
    angles = np.arange(D) * np.pi / D
    W = np.stack([2 * np.cos(angles), np.sin(angles)], axis=-1)
    return rng.standard_normal((200, 2)) @ W.T + rng.standard_normal((200, D)) * np.linspace(0.6, 0.9, D) + 1


def linear_vae(tied, kl):
    encoder = heads(dense(D, 2), constant(2))
    return vae(gaussian_posterior(encoder, kl=kl), gaussian_likelihood(dlgm(
        heads(dense(2, D), constant(D, tied=tied)), sizes=(2,))))


def at_maximum(x, W, psi, tied):
    """Parameters with that W and Ψ and the exact posterior, diagonal once W'Ψ⁻¹W is (W may be rotated)."""
    rotation = np.linalg.eigh(W.T @ (W / psi[:, None]))[1]
    W = W @ rotation
    cov = np.linalg.inv(np.eye(2) + W.T @ (W / psi[:, None]))
    weights = cov @ W.T / psi
    return {"phi": [{"W": weights.T, "b": -weights @ x.mean(0)}, np.log(np.diag(cov))],
            "theta": {"G": [np.eye(2)], "T": [[{"W": W.T, "b": x.mean(0)}, np.log(psi[:1] if tied else psi)]]}}


@pytest.mark.parametrize("maximum, tied", [(ppca, True), (factor_analysis, False)], ids=["PPCA", "factor analysis"])
def test_bound_is_tight_and_flat_at_the_maximum_likelihood(maximum, tied, observed, rng):
    """At the maximum of the likelihood log w = log p(x) for every ε, and the mean ELBO has no slope left."""
    params = at_maximum(observed, *maximum(observed, 2), tied)
    model = linear_vae(tied, gaussian_log_ratio)
    W, psi = maximum(observed, 2)
    exact = stats.multivariate_normal(observed.mean(0), W @ W.T + np.diag(psi)).logpdf(observed)
    log_w = -model.apply(params, observed, rng.standard_normal((4, 200, 2)))
    np.testing.assert_allclose(log_w, np.broadcast_to(exact, (4, 200)), rtol=0, atol=1e-12)
    closed = linear_vae(tied, gaussian_kl)
    _, gradient = value_and_grad(lambda p: anp.mean(closed.apply(p, observed, sigma_points(200, 2))))(params)
    assert max(np.abs(leaf).max() for leaf in leaves(gradient)) < 1e-9


@pytest.mark.parametrize("maximum, tied", [(ppca, True), (factor_analysis, False)], ids=["PPCA", "factor analysis"])
def test_learned_model_reaches_the_maximum_likelihood(maximum, tied, observed, rng):
    """By BFGS on the exact ELBO: the learned marginal has the maximum likelihood. The best of four random starts,
    since BFGS may stop at a saddle where a latent is switched off."""
    model = linear_vae(tied, gaussian_kl)
    form = astype(model.init(rng), np.float64)
    sizes = np.cumsum([leaf.size for leaf in leaves(form)])[:-1]

    def flat(params):
        return np.concatenate([leaf.ravel() for leaf in leaves(params)])

    def nest(vector):
        return rebuild(form, [p.reshape(leaf.shape) for p, leaf in zip(np.split(vector, sizes), leaves(form))])

    objective = value_and_grad(lambda p: anp.mean(model.apply(p, observed, sigma_points(200, 2))))

    def value_and_slope(vector):
        value, gradient = objective(nest(vector))
        return value, flat(gradient)

    found = min((optimize.minimize(value_and_slope, flat(astype(model.init(rng), np.float64)), jac=True, method="BFGS",
                                   options={"gtol": 1e-7}) for _ in range(4)), key=lambda result: result.fun)
    best = log_likelihood(observed, *maximum(observed, 2))
    theta = nest(found.x)["theta"]
    (map_, log_var), G = theta["T"][0], theta["G"][0]
    cov = map_["W"].T @ G @ G.T @ map_["W"] + np.diag(np.exp(log_var) * np.ones(D))
    learned = stats.multivariate_normal(map_["b"], cov).logpdf(observed).mean()
    assert abs(learned - best) < 1e-6 and abs(-found.fun - best) < 1e-6


@pytest.mark.parametrize("call, words", [
    (lambda rng: dlgm(dense(2, 4), sizes=(2, 3)), "1 maps and 2 sizes; expected one map below each level"),
    (lambda rng: dlgm(sizes=()), "0 maps and 0 sizes"),
    (lambda rng: dlgm(dense(2, 4), sizes=(0,)), "levels of at least 1 feature"),
    (lambda rng: dlgm(dense(2, 4), sizes=(2,)).apply(dlgm(dense(2, 4), sizes=(2,)).init(rng), np.zeros((3, 3))),
     r"xi has shape \(3, 3\); expected \(..., 2\)"),
    (lambda rng: dlgm(dense(2, 4), dense(3, 5), sizes=(2, 3)).apply(
        dlgm(dense(2, 4), dense(3, 5), sizes=(2, 3)).init(rng), np.zeros((3, 5))),
     "a map gives 4 features to a level of 3"),
    (lambda rng: dlgm(dense(2, 4), sizes=(2,)).apply(dlgm(dense(3, 4), sizes=(3,)).init(rng), np.zeros((3, 2))),
     r"parameters have G of shapes \[\(3, 3\)\]"),
], ids=["too few maps", "no level", "empty level", "noise", "between levels", "parameters"])
def test_bad_input(call, words, rng):
    with pytest.raises(ValueError, match=words):
        call(rng)
