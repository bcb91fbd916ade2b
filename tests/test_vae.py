"""The whole model against what is known in closed form: a linear-Gaussian model, quadrature, and its own two terms."""

import autograd.numpy as np
import numpy as onp
import pytest
from scipy import stats
from scipy.special import logsumexp

from vae_np import (
    Block,
    astype,
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_posterior,
    heads,
    location_scale,
    relu,
    sequential,
    vae,
)

D, LATENT, N = 5, 2, 4
ENCODER = sequential(dense(D, 6), relu, heads(dense(6, LATENT), dense(6, LATENT)))
DECODER = sequential(dense(LATENT, 6), relu, dense(6, D))


def test_the_model_is_the_sum_of_its_two_terms(rng):
    model = vae(gaussian_posterior(ENCODER), bernoulli_likelihood(DECODER))
    params, x, eps = model.init(rng), rng.random((N, D)), rng.standard_normal((3, N, LATENT))
    mu, log_var = ENCODER.apply(params["phi"], x)
    logits = DECODER.apply(params["theta"], location_scale(mu, log_var, eps))
    expected = gaussian_kl(mu, log_var) + bernoulli_nll(x, logits)
    found = model.apply(params, x, eps)
    assert found.shape == (3, N) and found.dtype == onp.float32
    onp.testing.assert_allclose(found, expected, rtol=1e-6)


def test_k_samples_are_k_times_one_sample(rng):
    """Only the noise's shape changes."""
    for kl in (gaussian_kl, gaussian_log_ratio):
        model = vae(gaussian_posterior(ENCODER, kl=kl), bernoulli_likelihood(DECODER))
        params, x = astype(model.init(rng), onp.float64), rng.random((N, D))
        eps = rng.standard_normal((3, N, LATENT))
        onp.testing.assert_allclose(model.apply(params, x, eps), [model.apply(params, x, e) for e in eps], rtol=1e-13)


def linear_gaussian(rng):
    """x|z ~ N(zA + b, diag s²), z ~ N(0, I), with the exact posterior as encoder (its covariance made diagonal)."""
    A = onp.linalg.qr(rng.standard_normal((D, D)))[0][:LATENT] * onp.array([[1.5], [0.6]])  # orthogonal rows
    b, s2 = rng.standard_normal(D), 0.7
    precision = onp.eye(LATENT) + A @ A.T / s2
    variance = 1 / onp.diag(precision)
    params = {"phi": [{"W": A.T / s2 * variance, "b": -b @ A.T / s2 * variance},
                      {"W": onp.zeros((D, LATENT)), "b": onp.log(variance)}],
              "theta": [{"W": A, "b": b}, {"W": onp.zeros((LATENT, D)), "b": onp.full(D, onp.log(s2))}]}
    model = vae(gaussian_posterior(heads(dense(D, LATENT), dense(D, LATENT)), kl=gaussian_log_ratio),
                gaussian_likelihood(heads(dense(LATENT, D), dense(LATENT, D))))
    return model, params, stats.multivariate_normal(b, A.T @ A + s2 * onp.eye(D))


def test_under_the_exact_posterior_log_w_is_log_p_for_every_noise(rng):
    model, params, marginal = linear_gaussian(rng)
    x = marginal.rvs(N, random_state=rng)
    log_w = -model.apply(params, x, 3 * rng.standard_normal((50, N, LATENT)))
    onp.testing.assert_allclose(log_w, onp.tile(marginal.logpdf(x), (50, 1)), rtol=0, atol=1e-12)


def test_the_gap_is_the_divergence_from_the_true_posterior(rng):
    """log p(x) − ELBO = KL[q(z|x) ‖ p(z|x)], all three by quadrature over one latent variable."""
    encoder, decoder = heads(dense(D, 1), dense(D, 1)), sequential(dense(1, 8), relu, dense(8, D))
    model = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))
    params, x = astype(model.init(rng), onp.float64), (rng.random((1, D)) < 0.5) * 1.0
    z = onp.linspace(-40, 40, 40_001)[:, None, None]
    step = float(z[1, 0, 0] - z[0, 0, 0])
    log_joint = stats.norm.logpdf(z[:, 0, 0]) - bernoulli_nll(x, decoder.apply(params["theta"], z))[:, 0]
    log_evidence = logsumexp(log_joint) + onp.log(step)
    mu, log_var = (float(a[0, 0]) for a in encoder.apply(params["phi"], x))
    log_q = stats.norm.logpdf(z[:, 0, 0], mu, onp.exp(0.5 * log_var))
    divergence = onp.sum(onp.exp(log_q) * (log_q - (log_joint - log_evidence))) * step
    eps = (z - mu) / onp.exp(0.5 * log_var)
    elbo = -onp.sum(onp.exp(log_q) * model.apply(params, x, eps)[:, 0]) * step
    assert divergence > 1e-3
    onp.testing.assert_allclose(log_evidence - elbo, divergence, rtol=1e-7)


def test_with_the_closed_form_the_kl_does_not_see_the_sample(rng):
    x, eps = rng.random((N, D)), rng.standard_normal((3, N, LATENT))
    phi = ENCODER.init(rng)
    _, closed = gaussian_posterior(ENCODER).apply(phi, x, eps)
    z, ratio = gaussian_posterior(ENCODER, kl=gaussian_log_ratio).apply(phi, x, eps)
    assert closed.shape == (N,) and ratio.shape == (3, N) and z.shape == (3, N, LATENT)


def test_a_divergence_of_ones_own(rng):
    """β-VAE and a prior of another variance, each a function handed in."""
    x, eps, phi = rng.random((N, D)), rng.standard_normal((N, LATENT)), ENCODER.init(rng)
    _, plain = gaussian_posterior(ENCODER).apply(phi, x, eps)
    weighted = lambda mu, log_var, z: 4 * gaussian_kl(mu, log_var)
    _, beta = gaussian_posterior(ENCODER, kl=weighted).apply(phi, x, eps)
    onp.testing.assert_allclose(beta, 4 * plain)
    z, square = gaussian_posterior(ENCODER, kl=lambda mu, log_var, z: np.sum(z**2, axis=-1)).apply(phi, x, eps)
    onp.testing.assert_allclose(square, onp.sum(z**2, axis=-1))


def test_logistic_factor_analysis_needs_no_file_of_its_own(rng):
    model = vae(gaussian_posterior(ENCODER), bernoulli_likelihood(dense(LATENT, D)))
    assert model.apply(model.init(rng), rng.random((N, D)), rng.standard_normal((N, LATENT))).shape == (N,)


def test_names():
    posterior, likelihood = gaussian_posterior(Block(None, None, "enc")), bernoulli_likelihood(Block(None, None, "dec"))
    assert repr(vae(posterior, likelihood)) == "vae(gaussian_posterior(enc), bernoulli_likelihood(dec))"
    assert repr(gaussian_posterior(Block(None, None, "enc"), kl=gaussian_log_ratio)) == (
        "gaussian_posterior(enc, kl=gaussian_log_ratio)")


@pytest.mark.parametrize("shape", [(N, LATENT + 1), (N + 1, LATENT), (LATENT,)])
def test_noise_of_another_shape(shape, rng):
    model = vae(gaussian_posterior(ENCODER), bernoulli_likelihood(DECODER))
    with pytest.raises(ValueError, match="location_scale: eps has shape"):
        model.apply(model.init(rng), rng.random((N, D)), rng.standard_normal(shape))


@pytest.mark.parametrize("network", [dense(D, LATENT), heads(dense(D, 1), dense(D, 1), dense(D, 1))], ids=str)
def test_a_network_without_two_outputs(network, rng):
    params, x = network.init(rng), rng.random((N, D))
    with pytest.raises(ValueError, match=r"gaussian_posterior\(.*outputs; expected mu and log_var"):
        gaussian_posterior(network).apply(params, x, rng.standard_normal((N, LATENT)))
    with pytest.raises(ValueError, match=r"gaussian_likelihood\(.*outputs; expected mu and log_var"):
        gaussian_likelihood(network).apply(params, x, x)
