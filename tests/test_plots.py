"""The figures' geometry: what stands where in a grid, and that each figure is written."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import norm

from vae_np.tools import plots


def test_the_grid_is_even_in_probability_with_z2_upward():
    z = plots.latent_grid(2).reshape(15, 15, 2)
    u = np.linspace(0.01, 0.99, 15)
    np.testing.assert_allclose(norm.cdf(z[0, :, 0]), u, rtol=1e-5)        # z₁ grows to the right
    np.testing.assert_allclose(norm.cdf(z[::-1, 0, 1]), u, rtol=1e-5)     # z₂ grows upward
    assert z.dtype == np.float32 and z[0, 0, 1] > 0 > z[-1, 0, 1] and z[0, -1, 0] > 0


def test_other_latents_stay_zero_and_one_latent_runs_in_reading_order():
    z = plots.latent_grid(5, dims=(1, 3), n=4)
    assert z.shape == (16, 5) and not z[:, [0, 2, 4]].any() and z[:, 1].std() > 0 and z[:, 3].std() > 0
    line = plots.latent_grid(1, n=4)
    assert line.shape == (16, 1) and (np.diff(line[:, 0]) > 0).all()


def test_tiles_stand_in_reading_order():
    images = np.arange(5)[:, None] * np.ones((5, 6))
    tiled = plots.tile(images, (2, 3), 3)
    assert tiled.shape == (4, 9)
    np.testing.assert_array_equal(tiled[::2, ::3], [[0, 1, 2], [3, 4, 0]])
    one = np.arange(6.0)
    np.testing.assert_array_equal(plots.tile(one[None], (2, 3), 1), one.reshape(2, 3))


def test_axes_of_the_manifold_show_z():
    axes = Figure().subplots()
    plots.manifold(axes, np.zeros((15 * 4, 15 * 4)))
    labels = [float(label.get_text().replace("−", "-")) for label in axes.get_xticklabels()]
    np.testing.assert_allclose(labels, norm.ppf(np.linspace(0.01, 0.99, 15))[::2], atol=0.051)
    assert [label.get_text() for label in axes.get_yticklabels()][0] == f"{norm.ppf(0.99):.1f}"
    assert axes.get_xlabel() == "$z_{1}$" and axes.get_ylabel() == "$z_{2}$"


@pytest.mark.parametrize("labels", [None, np.arange(40) % 10, np.arange(40) % 26 + 1, np.zeros(40, int)])
def test_latent_space_with_and_without_labels(labels, tmp_path, rng):
    plots.save(lambda axes: plots.latent_space(axes, rng.standard_normal((40, 2)), labels), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_curve_animation_and_pair(tmp_path, rng):
    for epochs in (1, 4):
        history = [(e, 200 / e, 210 / e) for e in range(1, epochs + 1)]
        plots.save(lambda axes, rows=history: plots.nelbo(axes, rows), tmp_path / f"{epochs}.png")
    frames = [rng.random((30, 30)) for _ in range(3)]
    plots.animation(tmp_path / "a.gif", lambda axes, frame: plots.images(axes, frame, "t"), frames)
    assert Image.open(tmp_path / "a.gif").n_frames >= 3
    plots.save_pair(lambda axes: plots.manifold(axes, frames[0]), lambda axes: plots.images(axes, frames[1], "t"),
                    tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").size[0] > 1500
