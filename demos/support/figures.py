"""The figures of the main demo, from a trained model. Other latent dimensions than two show what makes sense."""

import math
import os

import autograd.numpy as anp
import numpy as np

from vae_np import gaussian_kl, gray, location_scale
from vae_np.densities import sigmoid
from vae_np.tools import diagram, plots

SIDE = 15


def image_shape(images):
    """(h, w) of images (n, h, w); of rows (n, d), a square if d is one, else a strip."""
    if images.ndim == 3:
        return images.shape[1:]
    side = math.isqrt(images.shape[1])
    return (side, side) if side * side == images.shape[1] else (1, images.shape[1])


def decoded(decoder, theta, z, shape, columns=SIDE):
    """The decoder's means at z, tiled."""
    return plots.tile(sigmoid(decoder.apply(theta, z)), shape, columns)


def frame(decoder, theta, shape, epoch):
    """(epoch, the manifold as bytes), for the animation. Beyond two dimensions: at fixed draws from the prior."""
    d = theta[0]["W"].shape[0]
    z = plots.latent_grid(d, n=SIDE) if d < 3 else np.random.default_rng(0).standard_normal((SIDE**2, d), np.float32)
    return epoch, np.rint(255 * decoded(decoder, theta, z, shape)).astype(np.uint8)


def encode(e, params, x):
    """μ and log σ² of all images, in batches."""
    outputs = [e.encoder.apply(params["phi"], gray(x[i:i + 1000])) for i in range(0, len(x), 1000)]
    return (np.concatenate(part) for part in zip(*outputs))


def draw(out, e, run, x, labels, shape):
    """Every figure of the post, into the folder `out`."""
    params, d = run["params"], run["options"]["latent_dim"]
    mu, log_var = encode(e, params, x)
    dims = (0, 1)
    if labels is not None and len(np.unique(labels)) > 256:
        print("more than 256 different labels: latent_space.png is without their colours")
        labels = None
    if d == 1:
        print("one latent dimension: latent_space.png shows μ and σ; manifold.png runs along z in reading order")
        plane, names = np.concatenate([mu, np.exp(0.5 * log_var)], axis=1), ("μ", "σ")
    else:
        if d > 2:
            usage = gaussian_kl(mu.T[..., None], log_var.T[..., None]).mean(axis=1)  # nats by dimension
            dims = tuple(sorted(np.argsort(usage)[-2:].tolist()))
            print(f"{d} latent dimensions: latent_space.png and manifold.png show the two of largest KL, "
                  f"z{dims[0] + 1} and z{dims[1] + 1}; manifold.gif shows fixed draws from the prior")
        plane, names = mu[:, dims], tuple(f"$z_{{{i + 1}}}$" for i in dims)

    def path(name):
        return os.path.join(out, name)

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

    grid = decoded(e.decoder, params["theta"], plots.latent_grid(d, dims, SIDE), shape)
    plots.save(lambda axes: plots.nelbo(axes, run["history"]), path("nelbo.png"))
    plots.save(latent, path("latent_space.png"), (7, 6))
    plots.save(lambda axes: manifold(axes, grid), path("manifold.png"), (7, 7))
    plots.save_pair(lambda axes: manifold(axes, grid), latent, path("combined.png"))

    few, rng = x[:10], np.random.default_rng(run["options"]["seed"])
    z = location_scale(mu[:10], log_var[:10], rng.standard_normal((len(few), d), np.float32))
    pairs = plots.tile(np.concatenate([gray(few), sigmoid(e.decoder.apply(params["theta"], z))]), shape, len(few))
    plots.save(lambda axes: plots.images(axes, pairs, "Test images, and below each its p(x|z) at z ~ q(z|x)"),
               path("reconstructions.png"), (8, 2.2))
    samples = decoded(e.decoder, params["theta"], rng.standard_normal((100, d), np.float32), shape, 10)
    plots.save(lambda axes: plots.images(axes, samples, "p(x|z) at z ~ N(0, I)"), path("samples.png"), (6, 6.3))
    last = frame(e.decoder, params["theta"], shape, len(run["history"]))
    plots.animation(path("manifold.gif"), film, [*(f for f in run["frames"] if f[0] < last[0]), last])
    diagrams(path, e, params, gray(x[:run["options"]["batch_size"]]), d)


def diagrams(path, e, params, x, d):
    """The post's six diagrams, from the computation that is really made; `location_scale` also as it is defined."""
    eps = np.zeros((len(x), d), np.float32)
    inputs = {"x": x, "ε": eps}
    full = diagram.trace(e.model.apply, params, inputs, ["−ELBO"])
    graphs = {
        "decoder": diagram.trace(e.decoder.apply, params["theta"], {"z": eps}, ["logits"]),
        "inference_network": diagram.trace(e.encoder.apply, params["phi"], {"x": x}, ["μ", "log σ²"]),
        "reparameterization": diagram.trace(lambda _, mu, log_var, eps: mu + anp.exp(0.5 * log_var) * eps, (),
                                            {"μ": eps, "log σ²": eps, "ε": eps}, ["z"]),
        "encoder": diagram.trace(e.posterior.apply, params["phi"], inputs, ["z", "KL"]),
        "vae_full": full,
        "vae_full_shapes": full,
    }
    for name, graph in graphs.items():
        for ending in ("svg", "png"):
            diagram.draw(graph, path(f"{name}.{ending}"), shapes=name.endswith("shapes"))
