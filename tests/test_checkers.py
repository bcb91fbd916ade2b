"""A checker that cannot fail proves nothing: each is handed a planted error that it must catch."""

import autograd.numpy as np
import numpy as onp
import pytest
from checkers import assert_gradient, assert_mean

from vae_np.autodiff import defvjp, primitive


@primitive
def planted(x):
    return onp.sin(x)


defvjp(planted, lambda out, x: lambda g: g * onp.cos(x) * 1.0005)  # wrong by 0.05 %


def test_a_gradient_wrong_by_a_twentieth_of_a_percent_is_caught(rng):
    params = {"a": rng.standard_normal(5)}
    assert_gradient(lambda p: np.sum(np.sin(p["a"])), params)
    with pytest.raises(AssertionError, match="by differences"):
        assert_gradient(lambda p: np.sum(planted(p["a"])), params)


def test_a_gradient_judged_by_noise_is_refused():
    noise = onp.random.default_rng(0)
    with pytest.raises(AssertionError):
        assert_gradient(lambda p: np.sum(p["a"]) + noise.standard_normal(), {"a": onp.ones(3)})


def test_a_sampler_of_the_wrong_mean_is_caught(rng):
    draws = rng.standard_normal((10_000, 3))
    assert_mean(draws, 0.0)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_mean(draws + 0.06, 0.0)


def test_a_sampler_of_the_wrong_variance_is_caught(rng):
    draws = rng.standard_normal((10_000, 3))
    assert_mean(draws ** 2, 1.0)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_mean((1.05 * draws) ** 2, 1.0)
