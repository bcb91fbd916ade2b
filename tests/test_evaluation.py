"""Evaluation against closed forms, and its promise on memory: the same figures in chunks of any size."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from checkers import assert_mean
from scipy.special import logsumexp
from test_bounds import Small, linear_gaussian

from vae_np import (
    Block,
    astype,
    bernoulli_likelihood,
    dense,
    gaussian_kl,
    gaussian_log_ratio,
    gaussian_noise,
    gaussian_posterior,
    heads,
    sequential,
    tanh,
    vae,
)
from vae_np.evaluation import active_units, chunk_rows, kl_by_dimension, log_likelihood, posterior_moments


def nelbo(f):
    """A model whose log-weights are −f."""
    return Block(None, f, log_weight=lambda params, x, eps: -f(params, x, eps))


def noise(d, seed=0):
    return gaussian_noise(np.random.default_rng(seed), d)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("k", [1, 7])
def test_exact_posterior_gives_log_p(d, k, rng):
    model, params, x, log_p = linear_gaussian(d, rng)
    found = log_likelihood(model, params, x, noise(d), k=k)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, log_p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_many_samples_give_the_quadrature(d, rng):
    small = Small(d, rng)
    estimates = [log_likelihood(small.model, small.params, small.x, noise(d, seed), k=500) for seed in range(40)]
    assert_mean(np.exp(np.array(estimates) - small.log_p), 1)


@pytest.mark.parametrize("k", [1, 6, 23])
def test_chunks_change_nothing(k, rng):
    small = Small(2, rng)
    x = (rng.random((11, 5)) < 0.5).astype(float)
    eps = noise(2)(11 * k).reshape(11, k, 2).swapaxes(0, 1)  # datum i: the i-th k rows of the stream
    expected = logsumexp(small.model.log_weight(small.params, x, eps), axis=0) - np.log(k)
    for rows in (1, 4, 5, 6, 7, 24, 10_000):
        found = log_likelihood(small.model, small.params, x, noise(2), k=k, rows=rows)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_float32_agrees_with_float64(rng):
    small = Small(2, rng)
    single = log_likelihood(small.model, astype(small.params, np.float32), small.x.astype(np.float32), noise(2), k=300)
    double = log_likelihood(small.model, small.params, small.x, noise(2), k=300)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=0, atol=2e-5)


@pytest.mark.parametrize("offset", [-1e5, 1e5])
def test_far_weights_do_not_overflow(offset):
    model = nelbo(lambda params, x, eps: offset + eps[..., 0] * 0 + np.arange(len(eps))[:, None])
    found = log_likelihood(model, [], np.zeros((3, 2)), noise(1), k=3, rows=5)
    np.testing.assert_allclose(found, -offset + np.log((1 + np.exp(-1) + np.exp(-2)) / 3), rtol=1e-14)


def test_single_precision_weights_are_added_up_in_double():
    weights = np.random.default_rng(0).uniform(-110, -90, (4000, 1)).astype(np.float32)
    model = nelbo(lambda params, x, eps: -weights[:len(eps)])
    found = log_likelihood(model, [], np.zeros((1, 2)), noise(1), k=4000, rows=4000)
    np.testing.assert_allclose(found, logsumexp(weights[:, 0].astype(float)) - np.log(4000), rtol=0, atol=1e-12)


def test_weights_of_zero():
    model = nelbo(lambda params, x, eps: np.full(eps.shape[:-1], np.inf))
    assert np.all(log_likelihood(model, [], np.zeros((2, 2)), noise(1), k=6, rows=4) == -np.inf)


def test_progress_sees_every_step():
    seen = []

    def progress(steps, total):
        for i, step in enumerate(steps):
            seen.append((i + 1, total))
            yield step

    model = nelbo(lambda params, x, eps: eps[..., 0])
    log_likelihood(model, [], np.zeros((7, 2)), noise(1), k=4, rows=8, progress=progress)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_default_is_the_papers_5000_samples():
    drawn = []
    model = nelbo(lambda params, x, eps: eps[..., 0])
    log_likelihood(model, [], np.zeros((2, 3)), lambda m: drawn.append(m) or np.zeros((m, 1)))
    assert sum(drawn) == 2 * 5000


def test_the_widest_layer_decides_the_chunk():
    narrow, wide = ([{"W": np.zeros((50, width), np.float32)}] for width in (200, 4000))
    assert chunk_rows(narrow, 784) == (16 << 20) // (8 * 4 * 784)
    assert chunk_rows(wide, 784) == (16 << 20) // (8 * 4 * 4000)
    assert chunk_rows(astype(narrow, np.float64), 784) == (16 << 20) // (8 * 8 * 784)
    assert chunk_rows([], 10 ** 9) == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak memory of a Linux process")
def test_memory_is_bounded():
    """The paper's network and k; a few digits: chunks are of one size, so that more digits take only more time."""
    program = textwrap.dedent("""
        import numpy as np
        from vae_np import *
        from vae_np.evaluation import log_likelihood
        encoder = sequential(dense(784, 200), tanh, dense(200, 200), tanh, heads(dense(200, 50), dense(200, 50)))
        decoder = sequential(dense(50, 200), tanh, dense(200, 200), tanh, dense(200, 784))
        model = vae(gaussian_posterior(encoder, kl=gaussian_log_ratio), bernoulli_likelihood(decoder))
        rng = np.random.default_rng(0)
        x = (rng.random((10_000, 784), np.float32) < 0.3).astype(np.float32)
        log_likelihood(model, model.init(rng), x[:4], gaussian_noise(rng, 50), k=5000)
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """)
    peak = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert 1024 * peak < 300e6  # of the 600 MB promised for all 10,000


def test_active_units_are_those_whose_mean_varies(rng):
    mu = rng.standard_normal((2000, 4)) * np.sqrt([0.0, 0.008, 0.0125, 2.0]) + [5, 0, -3, 1]
    assert active_units(mu).tolist() == [False, False, True, True]
    assert active_units(mu, threshold=1.0).sum() == 1
    exact = np.array([[0.0, 1.0], [0.2, 1.2 - 1e-9]])  # variances 0.01 and just below
    assert active_units(exact, threshold=0.0099).tolist() == [True, True]
    assert active_units(exact, threshold=0.01 - 1e-10).tolist() == [True, False]


def test_kl_by_dimension_adds_up_to_the_kl(rng):
    mu, log_var = rng.standard_normal((20, 3)), rng.standard_normal((20, 3))
    assert kl_by_dimension(mu.astype(np.float32), log_var.astype(np.float32)).dtype == np.float64
    by_dimension = kl_by_dimension(mu, log_var)
    assert by_dimension.shape == (3,) and by_dimension.dtype == np.float64
    np.testing.assert_allclose(by_dimension.sum(), gaussian_kl(mu, log_var).mean(), rtol=1e-14)
    np.testing.assert_allclose(by_dimension, -0.5 * np.mean(1 + log_var - mu ** 2 - np.exp(log_var), axis=0),
                               rtol=1e-13)


def test_posterior_moments_in_chunks(rng, monkeypatch):
    encoder = sequential(dense(5, 4), tanh, heads(dense(4, 2), dense(4, 2)))
    phi, x = encoder.init(rng), rng.random((13, 5)).astype(np.float32)
    monkeypatch.setattr("vae_np.evaluation.CHUNK_BYTES", 8 * 4 * 5 * 4)  # four rows at a time
    for found, expected in zip(posterior_moments(encoder, phi, x), encoder.apply(phi, x)):
        assert found.shape == (13, 2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_bad_input_is_refused(rng):
    model = vae(gaussian_posterior(heads(dense(5, 2), dense(5, 2)), kl=gaussian_log_ratio),
                bernoulli_likelihood(dense(2, 5)))
    params, x = model.init(rng), np.zeros((3, 5), np.float32)
    for k in (0, -1, 2.5):
        with pytest.raises(ValueError, match="k is .*integer of at least 1"):
            log_likelihood(model, params, x, noise(2), k=k)
    for wrong in (x[0], x[:0], x.astype(np.uint8), x[None]):
        with pytest.raises(ValueError, match="log_likelihood: x has shape"):
            log_likelihood(model, params, wrong, noise(2), k=2)
    with pytest.raises(ValueError, match="rows, of a chunk, is 0"):
        log_likelihood(model, params, x, noise(2), k=2, rows=0)
    with pytest.raises(ValueError, match=r"the model returned \(3,\) for 2 samples of 3 data"):
        log_likelihood(nelbo(lambda params, x, eps: np.zeros(len(x))), [], x, noise(2), k=2)
    for wrong in (np.zeros(3), np.zeros((0, 2)), np.zeros((3, 2, 1)), np.zeros((1, 2))):
        with pytest.raises(ValueError, match="active_units: .*expected"):
            active_units(wrong)
    for mu, log_var in (((3, 2), (2,)), ((3, 2), (4, 2)), ((0, 2), (0, 2))):
        with pytest.raises(ValueError, match="kl_by_dimension: got mu .*, log_var .*expected"):
            kl_by_dimension(np.zeros(mu), np.zeros(log_var))
