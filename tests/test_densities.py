"""Each density against scipy's, against sums over all states and against Monte Carlo means."""

import numpy as np
import pytest
from checkers import assert_mean
from scipy import stats

from vae_np import bernoulli_nll, gaussian_kl, gaussian_log_ratio, gaussian_nll, location_scale, value_and_grad
from vae_np.densities import sigmoid, softplus


@pytest.fixture
def mu_log_var_z(rng):
    mu, log_var = rng.standard_normal((2, 5, 3))
    return mu, log_var, rng.standard_normal((4, 5, 3))


def test_integers_are_taken_as_floats():
    """Of logits 0 and 1, given as integers, as booleans or as one number."""
    ints = np.array([0, 1])
    for a in (ints, ints.astype(bool)):
        np.testing.assert_allclose(sigmoid(a), 1 / (1 + np.exp(-1.0 * ints)), rtol=1e-14)
        np.testing.assert_allclose(softplus(a), np.log1p(np.exp(1.0 * ints)), rtol=1e-14)
    assert sigmoid(0) == 0.5 and softplus(0) == np.log(2)
    np.testing.assert_allclose(bernoulli_nll(np.array([0.25, 0.5]), ints), np.log(2) + np.log1p(np.e) - 0.5, rtol=1e-14)


def test_bernoulli_nll_is_scipys_for_binary_x(rng):
    logits, x = 3 * rng.standard_normal((4, 6, 5)), rng.integers(0, 2, (6, 5))
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(-1)
    np.testing.assert_allclose(bernoulli_nll(x, logits), expected, rtol=1e-12)


def test_bernoulli_probabilities_sum_to_one(rng):
    logits = rng.standard_normal(6)
    states = (np.arange(64)[:, None] >> np.arange(6)) & 1
    np.testing.assert_allclose(np.exp(-bernoulli_nll(states, np.tile(logits, (64, 1)))).sum(), 1, rtol=1e-13)


def test_for_gray_x_it_is_the_mean_over_binary_images_drawn_with_that_probability(rng):
    x, logits = rng.random(6), rng.standard_normal(6)
    states = (np.arange(64)[:, None] >> np.arange(6)) & 1
    law = np.prod(np.where(states, x, 1 - x), axis=1)
    mean = law @ bernoulli_nll(states, np.tile(logits, (64, 1)))
    np.testing.assert_allclose(bernoulli_nll(x, logits), mean, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_pixel_that_is_all_but_certain_is_zero_not_denormal(dtype):
    """As of the black border of a digit in a trained model, whose logits fall below -100."""
    tiny, weight = np.finfo(dtype).tiny, dtype(0.01)
    logits = np.linspace(-1.2, -0.9, 301, dtype=dtype) * -np.log(tiny)
    g = value_and_grad(lambda l: weight * np.sum(bernoulli_nll(np.zeros(301, dtype), l)))(logits)[1]
    bare = weight * sigmoid(logits)
    assert g.dtype == dtype and np.any((bare > 0) & (bare < tiny))
    np.testing.assert_array_equal(g, np.where(bare < tiny, 0, bare))


def test_it_is_a_sum_over_pixels_not_a_mean():
    np.testing.assert_allclose(bernoulli_nll(np.zeros((2, 7)), np.zeros((2, 7))), 7 * np.log(2))


def test_sigmoid(rng):
    a = 5 * rng.standard_normal(50)
    np.testing.assert_allclose(sigmoid(a), 0.5 + 0.5 * np.tanh(0.5 * a), rtol=1e-9)
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])
    for dtype, tail in ((np.float64, -700.0), (np.float32, -80.0)):  # no cancellation where σ(a) is all but 0
        found = sigmoid(np.array([tail, 0.5 * tail], dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.exp([tail, 0.5 * tail]), rtol=abs(tail) * np.finfo(dtype).eps)


def test_gaussian_nll_is_scipys(mu_log_var_z):
    mu, log_var, z = mu_log_var_z
    expected = -stats.norm.logpdf(z, mu, np.exp(0.5 * log_var)).sum(-1)
    np.testing.assert_allclose(gaussian_nll(z, mu, log_var), expected, rtol=1e-12)
    np.testing.assert_allclose(gaussian_nll(z, 0.0, 0.0), -stats.norm.logpdf(z).sum(-1), rtol=1e-12)


def test_log_ratio_is_log_q_minus_log_p(mu_log_var_z):
    mu, log_var, z = mu_log_var_z
    expected = (stats.norm.logpdf(z, mu, np.exp(0.5 * log_var)) - stats.norm.logpdf(z)).sum(-1)
    np.testing.assert_allclose(gaussian_log_ratio(mu, log_var, z), expected, rtol=1e-11, atol=1e-12)


def test_kl_is_the_mean_of_the_log_ratio(mu_log_var_z, rng):
    mu, log_var, _ = mu_log_var_z
    z = location_scale(mu, log_var, rng.standard_normal((20_000, 5, 3)))
    assert_mean(gaussian_log_ratio(mu, log_var, z), gaussian_kl(mu, log_var))


def test_kl_by_quadrature():
    mu, log_var = np.array([[0.7]]), np.array([[-0.4]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)  # exact for the log-ratio, a polynomial in z
    z = location_scale(mu, log_var, nodes[:, None, None])
    mean = weights @ gaussian_log_ratio(mu, log_var, z)[:, 0] / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(gaussian_kl(mu, log_var), [mean], rtol=1e-12)


def test_kl_is_positive_but_for_the_prior_itself(rng):
    assert (gaussian_kl(*rng.standard_normal((2, 1000, 2))) > 0).all()
    assert (gaussian_kl(*1e-3 * rng.standard_normal((2, 1000, 2)).astype(np.float32)) > 0).all()
    assert gaussian_kl(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_kl_between_any_two_gaussians():
    """KL[N(a, s²) ‖ N(b, t²)] = KL[N((a − b)/t, (s/t)²) ‖ N(0, 1)]: the closed form covers them all."""
    a, b, s2, t2 = np.array([1.0, 4.0]), np.array([-3.0, 2.0]), np.array([0.3, 1.7]), np.array([2.5, 0.9])
    direct = 0.5 * np.sum(np.log(t2 / s2) + (s2 + (a - b) ** 2) / t2 - 1)
    np.testing.assert_allclose(gaussian_kl((a - b) / np.sqrt(t2), np.log(s2 / t2)), direct, rtol=1e-13)


def test_location_scale_has_the_mean_and_the_variance(rng):
    mu, log_var = np.array([[1.0, -2.0]]), np.array([[0.5, -1.0]])
    z = location_scale(mu, log_var, rng.standard_normal((50_000, 1, 2)))
    assert_mean(z, mu)
    assert_mean((z - mu) ** 2, np.exp(log_var))


@pytest.mark.parametrize("call, message", [
    (lambda: bernoulli_nll(np.zeros((3, 784)), np.zeros((3, 783))), "bernoulli_nll: .*783"),
    (lambda: bernoulli_nll(np.zeros((3, 5)), np.zeros((3, 1))), "bernoulli_nll"),
    (lambda: bernoulli_nll(np.full((3, 5), 200, np.uint8), np.zeros((3, 5))), "bernoulli_nll: .*200; expected"),
    (lambda: gaussian_nll(np.zeros((3, 5)), np.zeros((4, 5)), np.zeros((3, 5))), "gaussian_nll: .*mu"),
    (lambda: gaussian_kl(np.zeros((3, 2)), np.zeros((3, 3))), "gaussian_kl: .*log_var"),
    (lambda: gaussian_log_ratio(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 4))), "gaussian_log_ratio: .*z"),
    (lambda: location_scale(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 1))), "location_scale: eps"),
    (lambda: location_scale(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 5, 2))), "location_scale: eps"),
])
def test_shapes_that_disagree(call, message):
    with pytest.raises(ValueError, match=message):
        call()
