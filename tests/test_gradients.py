"""Every gradient of the core against central differences: `python -m pytest tests/test_gradients.py -v`.

Each line of the report is a claim: the hand-written derivative under the formula equals the slope that is measured by
moving each input a little and evaluating the formula again. Float64, noise fixed.
"""

import autograd.numpy as np
import pytest
from checkers import assert_gradient

from vae_np import (
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_nll,
    gaussian_posterior,
    heads,
    location_scale,
    relu,
    sequential,
    sigmoid,
    softplus,
    tanh,
    vae,
)
from vae_np.layers import affine

N, D, K = 3, 4, 2


def weighted(f, weights):
    """A scalar that weighs every entry of f differently, so that no two of them can be exchanged unseen."""
    return lambda p: np.sum(weights * f(p))


def bernoulli_of(f):
    """f with its first argument between 0 and 1, where it must lie."""
    return lambda x, logits: f(0.5 + 0.4 * np.tanh(x), logits)


@pytest.fixture
def draw(rng):
    return lambda *shape: rng.standard_normal(shape)


def formula(name, f, shapes, out):
    return pytest.param(f, shapes, out, id=name)


@pytest.mark.parametrize("f, shapes, out", [
    formula("dense: h = xW + b", affine, [(N, D), (D, 5), (5,)], (N, 5)),
    formula("dense, k samples", affine, [(K, N, D), (D, 5), (5,)], (K, N, 5)),
    formula("dense, one vector", affine, [(D,), (D, 5), (5,)], (5,)),
    formula("relu", lambda x: relu.apply((), x), [(N, D)], (N, D)),
    formula("tanh", lambda x: tanh.apply((), x), [(N, D)], (N, D)),
    formula("sigmoid", sigmoid, [(N, D)], (N, D)),
    formula("softplus", softplus, [(N, D)], (N, D)),
    formula("Bernoulli NLL", bernoulli_of(bernoulli_nll), [(N, D), (N, D)], (N,)),
    formula("Bernoulli NLL, k samples", bernoulli_of(bernoulli_nll), [(N, D), (K, N, D)], (K, N)),
    formula("Gaussian NLL", gaussian_nll, [(N, D), (N, D), (N, D)], (N,)),
    formula("Gaussian NLL, k samples, one variance a feature", gaussian_nll, [(N, D), (K, N, D), (D,)], (K, N)),
    formula("Gaussian NLL, scalar mean and variance", gaussian_nll, [(N, D), (), ()], (N,)),
    formula("Gaussian KL", gaussian_kl, [(N, D), (N, D)], (N,)),
    formula("Gaussian log-ratio", gaussian_log_ratio, [(N, D), (N, D), (N, D)], (N,)),
    formula("Gaussian log-ratio, k samples", gaussian_log_ratio, [(N, D), (N, D), (K, N, D)], (K, N)),
    formula("location-scale", location_scale, [(N, D), (N, D), (N, D)], (N, D)),
    formula("location-scale, k samples", location_scale, [(N, D), (N, D), (K, N, D)], (K, N, D)),
])
def test_formula(f, shapes, out, draw):
    assert_gradient(weighted(lambda p: f(*p), draw(*out)), [draw(*shape) for shape in shapes])


def networks(width, latent, out):
    encoder = sequential(dense(D, width), relu, heads(dense(width, latent), dense(width, latent)))
    return encoder, sequential(dense(latent, width), tanh, out(width))


def logits(width):
    return dense(width, D)


def mean_and_log_var(width):
    return heads(dense(width, D), dense(width, D))


@pytest.mark.parametrize("samples", [(), (1,), (3,)], ids=["one sample", "k = 1", "k = 3"])
@pytest.mark.parametrize("kl", [gaussian_kl, gaussian_log_ratio], ids=["closed-form KL", "log-ratio"])
@pytest.mark.parametrize("likelihood, out", [(bernoulli_likelihood, logits), (gaussian_likelihood, mean_and_log_var)],
                         ids=["Bernoulli", "Gaussian"])
def test_whole_vae(likelihood, out, kl, samples, rng):
    encoder, decoder = networks(5, 2, out)
    model = vae(gaussian_posterior(encoder, kl=kl), likelihood(decoder))
    x, eps = rng.random((N, D)), rng.standard_normal((*samples, N, 2))
    weights = rng.standard_normal((*samples, N))
    assert_gradient(lambda p: np.sum(weights * model.apply(p, x, eps)), model.init(rng))


def test_whole_vae_with_three_hidden_layers(rng):
    encoder = sequential(dense(D, 6), relu, dense(6, 5), tanh, dense(5, 4), relu, heads(dense(4, 3), dense(4, 3)))
    decoder = sequential(dense(3, 4), relu, dense(4, 5), tanh, dense(5, D))
    model = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))
    x, eps = rng.random((N, D)), rng.standard_normal((N, 3))
    assert_gradient(lambda p: np.mean(model.apply(p, x, eps)), model.init(rng))
