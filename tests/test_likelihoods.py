"""Poisson, categorical and Gaussian likelihoods with a learned variance, against scipy.stats and slopes."""

import autograd.numpy as anp
import numpy as np
import pytest
from checkers import assert_gradient
from scipy import optimize, stats
from scipy.special import log_softmax

from vae_np import (
    constant,
    dense,
    gaussian_likelihood,
    gaussian_nll,
    gaussian_posterior,
    heads,
    relu,
    sequential,
    vae,
    value_and_grad,
)
from vae_np.extensions.likelihoods import categorical_likelihood, categorical_nll, poisson_likelihood, poisson_nll
from vae_np.nests import leaves

N, D, K, C = 3, 4, 2, 5


def close(found, expected):
    """Equal to 64 units in the last place: a few rounded terms, each summed over D or C."""
    np.testing.assert_allclose(found, expected, rtol=64 * np.finfo(np.float64).eps, atol=64 * np.finfo(np.float64).eps)


def test_poisson_is_scipys(rng):
    x, log_rate = rng.poisson(3, (N, D)), rng.normal(size=(K, N, D))
    close(poisson_nll(x, log_rate), -stats.poisson.logpmf(x, np.exp(log_rate)).sum(-1))
    close(poisson_nll(x * 100, log_rate + 5), -stats.poisson.logpmf(x * 100, np.exp(log_rate + 5)).sum(-1))


def test_poisson_sums_to_one_over_the_counts(rng):
    log_rate = rng.normal(size=1)
    assert np.sum(np.exp(-poisson_nll(np.arange(200)[:, None], log_rate))) == pytest.approx(1, abs=1e-14)


def test_poisson_of_zero_counts_and_tiny_rates():
    assert poisson_nll(np.zeros(2), np.array([-800.0, -800.0])) == 0  # e^-800 underflows; no logarithm of it is taken
    assert poisson_nll(np.ones(1), np.array([-800.0])) == 800


def test_categorical_is_scipys(rng):
    x, logits = rng.integers(C, size=(N, D)), 3 * rng.normal(size=(K, N, D, C))
    p = np.exp(log_softmax(logits, axis=-1))
    expected = [[-sum(stats.multinomial.logpmf(np.eye(C)[x[n, j]], 1, p[k, n, j]) for j in range(D)) for n in range(N)]
                for k in range(K)]
    np.testing.assert_allclose(categorical_nll(x, logits), expected, rtol=1e-12)  # scipy renormalises its p
    close(categorical_nll(x, logits), -np.take_along_axis(log_softmax(logits, -1),
                                                          np.broadcast_to(x, (K, N, D))[..., None], -1)[..., 0].sum(-1))


def test_categorical_of_two_classes_is_bernoulli(rng):
    x, logits = rng.integers(2, size=(N, D)), rng.normal(size=(N, D))
    pair = np.stack([np.zeros((N, D)), logits], axis=-1)
    close(categorical_nll(x, pair), -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(-1))


def test_categorical_of_huge_logits_and_an_impossible_class():
    logits = np.array([[1e4, 0.0, -1e4], [0.0, -np.inf, 0.0]])
    assert categorical_nll(np.array([0, 2]), logits) == np.log(2)
    assert categorical_nll(np.array([2, 0]), logits) == 2e4 + np.log(2)


def test_labels_of_any_dtype(rng):
    x, logits = rng.integers(C, size=(N, D)), rng.normal(size=(N, D, C))
    for dtype in (np.uint8, np.int32, np.float32, np.float64):
        np.testing.assert_array_equal(categorical_nll(x.astype(dtype), logits), categorical_nll(x, logits))


@pytest.mark.parametrize("shape", [(N, D), (K, N, D), (D,), ()], ids=str)
def test_gradient_of_poisson(shape, rng):
    x, weights = rng.poisson(2, (N, D)).astype(float), rng.normal(size=(K, N) if len(shape) == 3 else N)
    assert_gradient(lambda p: anp.sum(weights * poisson_nll(x, p)), rng.normal(size=shape))


def test_counts_have_no_derivative(rng):
    with pytest.raises(NotImplementedError, match="poisson_nll: x is data"):
        value_and_grad(lambda x: anp.sum(poisson_nll(x, anp.zeros(3))))(np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(N, D, C), (K, N, D, C), (D, C)], ids=str)
def test_gradient_of_categorical(shape, rng):
    x, weights = rng.integers(C, size=(N, D)), rng.normal(size=(K, N) if len(shape) == 4 else N)
    assert_gradient(lambda logits: anp.sum(weights * categorical_nll(x, logits)), rng.normal(size=shape))


def test_gradient_of_categorical_where_the_labels_have_the_sample_axis(rng):
    x, weights = rng.integers(C, size=(K, N, D)), rng.normal(size=(K, N))
    assert_gradient(lambda logits: anp.sum(weights * categorical_nll(x, logits)), rng.normal(size=(N, D, C)))


LIKELIHOODS = {
    "Poisson": lambda hidden: poisson_likelihood(dense(hidden, D)),
    "categorical": lambda hidden: categorical_likelihood(dense(hidden, D * C), C),
    "Gaussian, one variance a feature": lambda hidden: gaussian_likelihood(heads(dense(hidden, D), constant(D))),
    "Gaussian, one variance": lambda hidden: gaussian_likelihood(heads(dense(hidden, D), constant(D, tied=True))),
    "Gaussian, variance by a head": lambda hidden: gaussian_likelihood(heads(dense(hidden, D), dense(hidden, D))),
}


@pytest.mark.parametrize("samples", [(), (K,)], ids=["one sample", "k samples"])
@pytest.mark.parametrize("make", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_whole_vae(make, samples, rng):
    encoder = sequential(dense(D, 5), relu, heads(dense(5, 2), dense(5, 2)))
    likelihood = make(2)
    model = vae(gaussian_posterior(encoder), likelihood)
    x, eps, weights = rng.integers(C, size=(N, D)), rng.normal(size=(*samples, N, 2)), rng.normal(size=(*samples, N))
    params = model.init(rng)
    assert_gradient(lambda p: anp.sum(weights * model.apply(p, x, eps)), params)
    loss = model.apply(params, x, eps.astype(np.float32))
    assert loss.shape == (*samples, N) and loss.dtype == np.float32
    _, gradient = value_and_grad(lambda p: anp.mean(model.apply(p, x, eps.astype(np.float32))))(params)
    assert {leaf.dtype for leaf in leaves(gradient)} == {np.dtype(np.float32)}


def test_categorical_likelihood_keeps_the_classes_of_a_variable_together(rng):
    decoder = dense(2, D * C)
    theta, z, x = decoder.init(rng), rng.normal(size=(N, 2)), rng.integers(C, size=(N, D))
    logits = decoder.apply(theta, z)
    expected = sum(-log_softmax(logits[:, j * C:(j + 1) * C], axis=-1)[np.arange(N), x[:, j]] for j in range(D))
    np.testing.assert_allclose(categorical_likelihood(decoder, C).apply(theta, x, z), expected, rtol=1e-6)  # float32


def test_poisson_likelihood_takes_the_decoders_output_for_log_rates(rng):
    decoder = dense(2, D)
    theta, z, x = decoder.init(rng), rng.normal(size=(N, 2)), rng.integers(C, size=(N, D))
    expected = -stats.poisson.logpmf(x, np.exp(decoder.apply(theta, z).astype(float))).sum(-1)
    np.testing.assert_allclose(poisson_likelihood(decoder).apply(theta, x, z), expected, rtol=1e-6)  # float32


def test_constant_does_not_see_its_input(rng):
    c = rng.normal(size=D)
    np.testing.assert_array_equal(constant(D).apply(c, rng.normal(size=(K, N, 7))), np.broadcast_to(c, (K, N, D)))
    np.testing.assert_array_equal(constant(D, tied=True).apply(c[:1], np.ones((N, 7))), np.full((N, D), c[0]))
    assert constant(D).init(rng).shape == (D,) and constant(D, tied=True).init(rng).shape == (1,)
    assert constant(D, tied=True).name == "constant(4, tied=True)"


@pytest.mark.parametrize("tied", [False, True], ids=["one variance a feature", "one variance"])
def test_learned_variance_is_the_mean_squared_residual(tied, rng):
    """At a known mean the maximum likelihood has σ_j² = Σ_n (x_nj − μ_j)² / N, or its mean over the features."""
    x, mu = rng.normal(size=(50, D)) * [0.1, 1, 2, 5], rng.normal(size=D)
    log_var = constant(D, tied)
    objective = value_and_grad(lambda p: anp.mean(gaussian_nll(x, mu, log_var.apply(p, x))))
    found = optimize.minimize(lambda p: objective(p), np.zeros(1 if tied else D), jac=True, tol=1e-12).x
    squares = np.mean((x - mu) ** 2, axis=0)
    np.testing.assert_allclose(np.exp(found), squares.mean() if tied else squares, rtol=1e-5)


@pytest.mark.parametrize("call, words", [
    (lambda: poisson_nll(np.ones((3, 4)), np.ones((3, 5))), r"poisson_nll: shapes disagree: x \(3, 4\), log_rate \(3"),
    (lambda: categorical_nll(np.ones((3, 4)), np.ones((3, 5, 2))), r"logits\[..., 0\] \(3, 5\)"),
    (lambda: categorical_nll(np.ones(4), np.ones(4)), r"logits have shape \(4,\); expected \(..., d, classes\)"),
    (lambda: categorical_nll(np.array([0, 2]), np.zeros((2, 2))), "labels other than 0, …, 1"),
    (lambda: categorical_nll(np.array([0, -1]), np.zeros((2, 2))), "labels other than 0, …, 1"),
    (lambda: categorical_nll(np.array([0, 0.5]), np.zeros((2, 2))), "labels other than 0, …, 1"),
    (lambda: categorical_likelihood(constant(7), 3).apply(np.zeros(7), np.zeros((1, 2)), np.zeros((1, 2))),
     "gives 7 logits; expected a multiple of 3"),
], ids=["Poisson shapes", "categorical shapes", "no class axis", "label too large", "label negative", "label broken",
        "logits no multiple"])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
