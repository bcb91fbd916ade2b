"""The figures of the main demo, from a trained model. Other latent dimensions than two show what makes sense."""

import math
import os

import autograd.numpy as np
import numpy as onp

from vae_np import gray, kl_by_dimension, posterior_moments
from vae_np.tools import diagram, plots

SIDE = 15


def image_shape(images):
    """(h, w) of images (n, h, w); of rows (n, d), a square if d is one, else a strip."""
    if images.ndim == 3:
        return images.shape[1:]
    side = math.isqrt(images.shape[1])
    return (side, side) if side * side == images.shape[1] else (1, images.shape[1])


def frame(likelihood, theta, shape):
    """The manifold as bytes, for the animation. Beyond two dimensions: the decoder's means at fixed draws from p(z)."""
    d = theta[0]["W"].shape[0]
    z = plots.latent_grid(d, n=SIDE) if d < 3 else onp.random.default_rng(0).standard_normal((SIDE**2, d), onp.float32)
    return onp.rint(255 * plots.tile(likelihood.mean(theta, z), shape, SIDE)).astype(onp.uint8)


def draw(run, parts, x, labels, shape):
    """Every figure of the post, into the run's folder.

    parts: encoder, decoder, posterior, likelihood, model. x: the test images, bytes (n, h·w). labels: (n,), or None.
    """
    encoder, _, _, likelihood, _ = parts
    phi, theta, d = run.state.params["phi"], run.state.params["theta"], run.options.latent_dim
    mu, log_var = posterior_moments(encoder, phi, gray(x))
    dims = (0, 1)
    if labels is not None and len(onp.unique(labels)) > 256:
        print("more than 256 different labels: latent_space.png is without their colours")
        labels = None
    if d == 1:
        print("one latent dimension: latent_space.png shows μ and σ; manifold.png runs along z in reading order")
        plane, names = onp.concatenate([mu, onp.exp(0.5 * log_var)], axis=1), ("μ", "σ")
    else:
        if d > 2:
            dims = tuple(sorted(onp.argsort(kl_by_dimension(mu, log_var))[-2:].tolist()))
            print(f"{d} latent dimensions: latent_space.png and manifold.png show the two of largest KL, "
                  f"z{dims[0] + 1} and z{dims[1] + 1}; manifold.gif shows fixed draws from the prior")
        plane, names = mu[:, dims], tuple(f"$z_{{{i + 1}}}$" for i in dims)

    def path(name):
        return os.path.join(run.options.out, name)

    def manifold(axes, grid, title="Manifold (decoder means)"):
        if d == 1:
            plots.images(axes, grid, title)
        else:
            plots.manifold(axes, grid, dims, SIDE, title)

    def latent(axes):
        plots.latent_space(axes, plane, labels, names)

    def film(axes, frame):
        if d == 2:
            manifold(axes, frame[1] / 255, f"Manifold after epoch {frame[0]}")
        else:
            plots.images(axes, frame[1] / 255, f"Decoder means after epoch {frame[0]}")

    grid = plots.tile(likelihood.mean(theta, plots.latent_grid(d, dims, SIDE)), shape, SIDE)
    plots.save(lambda axes: plots.nelbo(axes, run.history), path("nelbo.png"))
    plots.save(latent, path("latent_space.png"), (7, 6))
    plots.save(lambda axes: manifold(axes, grid), path("manifold.png"), (7, 7))
    plots.save_pair(lambda axes: manifold(axes, grid), latent, path("combined.png"))

    few, rng = x[:10], onp.random.default_rng(run.options.seed)
    z = mu[:10] + onp.exp(0.5 * log_var[:10]) * rng.standard_normal((len(few), d), onp.float32)
    pairs = plots.tile(onp.concatenate([gray(few), likelihood.mean(theta, z)]), shape, len(few))
    plots.save(lambda axes: plots.images(axes, pairs, "Test images, and below each its p(x|z) at z ~ q(z|x)"),
               path("reconstructions.png"), (8, 2.2))
    samples = plots.tile(likelihood.mean(theta, rng.standard_normal((100, d), onp.float32)), shape, 10)
    plots.save(lambda axes: plots.images(axes, samples, "p(x|z) at z ~ N(0, I)"), path("samples.png"), (6, 6.3))
    last = (len(run.history), frame(likelihood, theta, shape))
    plots.animation(path("manifold.gif"), film, [*(f for f in run.frames if f[0] < last[0]), last])
    diagrams(path, parts, run.state.params, gray(x[:run.options.batch_size]))


def diagrams(path, parts, params, x):
    """The post's six diagrams, from the computation that is really made."""
    encoder, decoder, posterior, _, model = parts
    mu, log_var = encoder.apply(params["phi"], x)
    inputs = {"x": x, "ε": onp.zeros_like(mu)}
    full = diagram.trace(model.apply, params, inputs, ["−ELBO"])
    graphs = {
        "decoder": diagram.trace(decoder.apply, params["theta"], {"z": mu}, ["logits"]),
        "inference_network": diagram.trace(encoder.apply, params["phi"], {"x": x}, ["μ", "log σ²"]),
        "reparameterization": diagram.trace(lambda _, mu, log_var, eps: mu + np.exp(0.5 * log_var) * eps, (),
                                            {"μ": mu, "log σ²": log_var, "ε": inputs["ε"]}, ["z"]),
        "encoder": diagram.trace(posterior.apply, params["phi"], inputs, ["z", "KL"]),
        "vae_full": full,
        "vae_full_shapes": full,
    }
    for name, graph in graphs.items():
        for ending in ("svg", "png"):
            diagram.draw(graph, path(f"{name}.{ending}"), shapes=name.endswith("shapes"))
