"""The post's figures: the curve, the latent plane, the manifold, reconstructions and samples.

Each function draws into the matplotlib axes that it is handed; `save` makes the axes and the file.
"""

import matplotlib
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from scipy.special import ndtri  # Φ⁻¹; scipy.stats, which has it too, would take 40 MB


def _figure(size):
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches
    return figure


def save(draw, path, size=(6, 5)):
    """Draw on axes of `size` inches, and write: save(lambda axes: nelbo(axes, rows), "a.png")."""
    figure = _figure(size)
    draw(figure.subplots())
    figure.savefig(path, dpi=150)


def save_pair(draw_left, draw_right, path, size=(13, 6)):
    """Two panels side by side."""
    figure = _figure(size)
    for draw, axes in zip((draw_left, draw_right), figure.subplots(1, 2)):
        draw(axes)
    figure.savefig(path, dpi=150)


def animation(path, draw, frames, size=(5.2, 5.4)):
    """A .gif: draw(axes, frame) for each of the frames; the last one stays longer."""
    figure, writer = _figure(size), PillowWriter(fps=5)
    axes = figure.subplots()
    with writer.saving(figure, path, dpi=80):
        for frame in [*frames, *[frames[-1]] * 8]:
            axes.clear()
            draw(axes, frame)
            writer.grab_frame()


def nelbo(axes, history):
    """The negative ELBO by epoch. history: rows of (epoch, train, test, ...), in nats."""
    epoch, train, test = np.array([row[:3] for row in history], float).reshape(-1, 3).T
    marker = "o" if len(history) < 3 else None
    axes.plot(epoch, train, label="train (running mean)", marker=marker)
    axes.plot(epoch, test, label="test", marker=marker)
    axes.set(xlabel="epoch", ylabel="NELBO (nats per image)", title="Convergence")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()


def latent_space(axes, z, labels=None, names=("$z_1$", "$z_2$")):
    """The data in the latent plane, coloured by label. z: (n, 2), posterior means. labels: (n,)."""
    if labels is None:
        axes.scatter(*z.T, s=4, alpha=0.4, lw=0)
    else:
        classes, index = np.unique(labels, return_inverse=True)
        n = len(classes)
        colours = matplotlib.colormaps["tab10" if n <= 10 else "nipy_spectral"].resampled(n)
        points = axes.scatter(*z.T, c=index, cmap=colours, vmin=-0.5, vmax=n - 0.5,
                              s=5, alpha=0.5, lw=0)
        ticks = np.arange(0, n, max(1, n // 16))
        bar = axes.figure.colorbar(points, ax=axes, label="label")
        bar.set_ticks(ticks, labels=classes[ticks])
        bar.solids.set_alpha(1)
    axes.set(xlabel=names[0], ylabel=names[1], title="Latent space (posterior means)")


def latent_grid(d=2, dims=(0, 1), n=15):
    """n × n points z of the latent space, (n·n, d), row by row from the top left.

    They are evenly spaced in probability, z = Φ⁻¹(u) with u from 0.01 to 0.99, for the prior is
    Gaussian. z₁ grows to the right and z₂ upward; latents other than `dims` stay 0. With d = 1, the
    points run in reading order.
    """
    z = np.zeros((n * n, d), np.float32)
    if d == 1:
        z[:, 0] = ndtri(np.linspace(0.01, 0.99, n * n))
    else:
        axis = ndtri(np.linspace(0.01, 0.99, n))
        z[:, dims] = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(n * n, 2)
    return z


def tile(images, shape, columns):
    """Images (n, h·w) as one image, `columns` in a row; the last row is filled with zeros."""
    h, w = shape
    rows = -(-len(images) // columns)
    padded = np.zeros((rows * columns, h, w), np.float32)
    padded[:len(images)] = np.reshape(images, (-1, h, w))
    return padded.reshape(rows, columns, h, w).swapaxes(1, 2).reshape(rows * h, columns * w)


def images(axes, grid, title):
    """A tiled image without axes."""
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title)


def manifold(axes, grid, dims=(0, 1), n=15, title="Manifold (decoder means)"):
    """Decoder means at `latent_grid`, tiled to one image, the axes labelled with z."""
    height, width = grid.shape
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
    shown = np.arange(0, n, max(1, (n - 1) // 7))
    z = [f"{z:.1f}" for z in ndtri(np.linspace(0.01, 0.99, n))]
    axes.set_xticks((shown + 0.5) * width / n, [z[i] for i in shown])
    axes.set_yticks((shown + 0.5) * height / n, [z[n - 1 - i] for i in shown])
    axes.set(xlabel=f"$z_{{{dims[0] + 1}}}$", ylabel=f"$z_{{{dims[1] + 1}}}$", title=title)
