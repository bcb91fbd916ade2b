"""The three ways of learning in demos/aevb.py: their gradients, their sampler, and the grid that judges them."""

import aevb
import numpy as np
import pytest
from aevb import energy, hamiltonian, marginal, network, sleep, sooner, wake
from checkers import assert_gradient, assert_mean
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit, logsumexp, xlogy

from vae_np import astype, dense, gaussian_noise, heads, log_likelihood, train, value_and_grad
from vae_np.nests import leaves


def small(rng, latents=3, pixels=4, scale=1.0):
    """A network with every parameter moved off its start, in float64, and all images of so many binary pixels."""
    net = network(latents, 5, pixels)
    params = astype(net.vae.init(rng), np.float64)
    for leaf in leaves(params):
        leaf += scale * rng.standard_normal(leaf.shape)
    return net, params, (np.arange(2 ** pixels)[:, None] >> np.arange(pixels) & 1).astype(float)


def flat(nest):
    return np.concatenate([np.ravel(leaf) for leaf in leaves(nest)])


def quadrature(net, theta, x, nodes=40):
    """log p(x) by Gauss-Hermite in every latent, the nodes (g, d), and log p(z_g|x) with their weights, (n, g)."""
    node, weight = hermegauss(nodes)
    z = np.stack(np.meshgrid(*[node] * net.latents, indexing="ij"), axis=-1).reshape(-1, net.latents)
    weights = np.stack(np.meshgrid(*[weight] * net.latents, indexing="ij"), axis=-1).reshape(z.shape).prod(axis=-1)
    p = net.likelihood.mean(theta, z)
    joint = (xlogy(x[:, None], p) + xlogy(1 - x[:, None], 1 - p)).sum(axis=-1) + np.log(weights / weights.sum())
    log_p = logsumexp(joint, axis=1)
    return log_p, z, joint - log_p[:, None]


def test_wake_has_the_gradient_of_the_bound_in_theta_and_none_in_phi(rng):
    net, params, x = small(rng)
    eps = rng.standard_normal((len(x), 3))
    awake = value_and_grad(lambda p: np.sum(wake(net, p, x, eps)))(params)[1]
    bound = value_and_grad(lambda p: np.sum(net.vae.apply(p, x, eps)))(params)[1]
    np.testing.assert_allclose(flat(awake["theta"]), flat(bound["theta"]), rtol=1e-12, atol=1e-12)
    assert not flat(awake["phi"]).any() and np.abs(flat(bound["phi"])).max() > 0.1
    _, kl = net.posterior.apply(params["phi"], x, eps)
    np.testing.assert_allclose(wake(net, params, x, eps), net.vae.apply(params, x, eps) - kl)


def test_sleep_moves_phi_alone(rng):
    net, params, _ = small(rng)
    z, u = rng.standard_normal((16, 3)), rng.random((16, 4))
    gradient = value_and_grad(lambda p: np.sum(sleep(net, p, z, u)))(params)[1]
    assert not flat(gradient["theta"]).any() and np.abs(flat(gradient["phi"])).max() > 0.1
    assert_gradient(lambda phi: np.sum(sleep(net, {**params, "phi": phi}, z, u)), params["phi"])


@pytest.mark.parametrize("away", [0.0, 0.5])
def test_sleep_comes_to_rest_at_the_posterior_s_moments(away, rng):
    """One pixel, so that an encoder linear in x has a mean and a variance of its own for each of the two images. A
    Gaussian that minimises −log q over dreams has the posterior's own moments, by quadrature, although the posterior is
    no Gaussian; from anywhere else its gradient is, in the mean, what the moments say."""
    net, params, x = small(rng, latents=1, pixels=1)
    net.encoder = heads(dense(1, 1), dense(1, 1))
    log_p, z, log_posterior = quadrature(net, params["theta"], x)
    mean = np.exp(log_posterior) @ z[:, 0]
    var = np.exp(log_posterior) @ z[:, 0] ** 2 - mean ** 2
    assert var[0] > 0 and abs(mean[1] - mean[0]) > 0.1                     # the image says something of z
    layer = lambda at: {"W": np.array([[at[1] - at[0]]]), "b": at[:1]}
    params["phi"] = [layer(mean + away), layer(np.log(var))]
    differentiate = value_and_grad(lambda p, z, u: np.mean(sleep(net, p, z, u)))
    draws = [flat(differentiate(params, rng.standard_normal((500, 1)), rng.random((500, 1)))[1]["phi"])
             for _ in range(200)]
    p = np.exp(log_p)                                                      # ∂μ = (μ − E z)/σ², ∂log σ² = −½ ⋯ / σ²
    by_image = np.array([p * away / var, -0.5 * p * away ** 2 / var])
    expected = [[column[1], column.sum()] for column in by_image]          # W sees x = 1 alone, b both
    assert_mean(draws, np.ravel(expected))


def test_the_grid_is_the_integral(rng):
    net, params, x = small(rng, scale=0.3)
    truth = quadrature(net, params["theta"], x)[0]
    np.testing.assert_allclose(np.exp(truth).sum(), 1, rtol=1e-12)         # of all images
    np.testing.assert_allclose(marginal(net, params["theta"], x, 0.4, 6.0), truth, rtol=0, atol=1e-6)
    np.testing.assert_allclose(marginal(net, params["theta"], x), truth, rtol=0, atol=1e-4)        # up to radius 5


def test_the_grid_refuses_gray_pixels(rng):
    net, params, x = small(rng, scale=0.3)
    with pytest.raises(ValueError, match="marginal: x has gray pixels"):
        marginal(net, params["theta"], np.where(x > 0, 0.5, x))


def test_the_grid_against_importance_sampling(rng):
    net, params, x = small(rng, scale=0.5)
    truth = marginal(net, params["theta"], x, 0.2, 6.0)
    estimates = [log_likelihood(net.vae, params, x, gaussian_noise(rng, 3), k=500) for _ in range(40)]
    assert_mean(np.exp(np.array(estimates) - truth), 1)


def test_a_move_leaves_the_posterior_as_it_is(rng):
    """Three steps so long that many are refused: means and second moments of z stay those of the posterior that it was
    drawn from, on a fine grid. With short steps none is refused, since energy is kept, and z moves all the same."""
    net, params, x = small(rng, latents=1)
    axis = np.linspace(-8, 8, 20_001)[:, None]
    for image in x[[3, 12]]:
        law = lambda z, image=image: energy(net, params["theta"], np.broadcast_to(image, (len(z), 4)), z)
        p = np.exp(law(axis).min() - law(axis))
        p /= p.sum()
        at, accepted = axis[rng.choice(len(p), 10_000, p=p)], []
        for _ in range(3):
            at, share = hamiltonian(law, at, 0.8, rng)
            accepted.append(share)
        assert 0.2 < np.mean(accepted) < 0.9
        assert_mean(np.concatenate([at, at ** 2], axis=1), p @ np.concatenate([axis, axis ** 2], axis=1))
        moved, share = hamiltonian(law, at, 0.01, rng)
        assert share > 0.9999 and 0.05 < np.abs(moved - at).mean() < 0.12  # |p| · 10 · 0.01, E|p| = 0.8


def test_the_step_grows_where_more_than_nine_in_ten_are_accepted(rng, monkeypatch):
    """And the weights take five steps after each move."""
    net, sizes, shares, updates = network(3, 5, 4), [], iter([1.0, 1.0, 0.5, 0.5, 0.9, 0.9]), []
    monkeypatch.setattr(aevb, "hamiltonian", lambda law, z, size, rng: (sizes.append(size) or z, next(shares)))
    monkeypatch.setattr(aevb, "train", lambda *args, **keywords: (updates.append(s) or s
                                                                  for s in train(*args, **keywords)))
    x = (rng.random((600, 4)) < 0.5).astype(np.float32)
    assert len(list(aevb.mcem(net, x, 1e-3, 1, *rng.spawn(3)))) == 6
    assert np.array_equal(np.sign(np.diff(sizes)), [1, 1, -1, -1, 0])
    assert [state.step for state in updates] == list(range(1, 31))


def test_energy_is_the_posterior_s_up_to_a_constant(rng):
    net, params, x = small(rng, latents=1)
    z = np.linspace(-2, 2, 7)[:, None]
    p = expit(net.decoder.apply(params["theta"], z))
    expected = -np.log(np.where(x[5], p, 1 - p)).sum(axis=-1) + 0.5 * z[:, 0] ** 2
    np.testing.assert_allclose(energy(net, params["theta"], np.tile(x[5], (7, 1)), z), expected)


def test_a_rate_of_learning_that_is_compared():
    seen, slow = np.array([100, 1000, 10_000]), np.array([-9.0, -5.0, -2.0])
    assert sooner(np.array([-6.0, -2.0, -1.0]), slow, seen) == pytest.approx(10)
    assert sooner(np.array([-4.0, 0.0, 0.0]), slow, seen) == pytest.approx(10 ** 1.5)   # halfway, on the log axis
    assert sooner(slow, slow, seen) == pytest.approx(1)
    assert np.isnan(sooner(np.array([-9.0, -8.0, -7.0]), slow, seen))


@pytest.mark.parametrize("method", aevb.METHODS)
def test_each_method_improves_on_its_start_in_float32(method, rng):
    """Images of a model with three latents: log p(x) by the grid rises, the bound comes near where there is a q, and
    nothing becomes float64."""
    net, params, _ = small(rng, pixels=12, scale=2.0)
    z = rng.standard_normal((200, 3))
    x = (rng.random((200, 12)) < net.likelihood.mean(params["theta"], z)).astype(np.float32)
    fit, rate, _ = aevb.METHODS[method]
    net = network(3, 20, 12)
    learned = list(fit(net, x, rate, 30, *np.random.default_rng(1).spawn(3)))
    assert len(learned) == 30 * 2 and {leaf.dtype for leaf in leaves(learned[-1])} == {np.dtype(np.float32)}
    first, last = (marginal(net, p["theta"], x, 0.4).mean() for p in (learned[0], learned[-1]))
    assert last > first + 0.5
    gap = last + np.mean(net.vae.apply(learned[-1], x, rng.standard_normal((20, 200, 3), np.float32)))
    assert method == "MCEM" or 0 < gap < 0.5
