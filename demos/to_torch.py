"""Carry a trained model to PyTorch: the same negative ELBO on the same images and noise.

The arrays of checkpoint.npz are read by their names alone, `params.phi.0.W` of shape (n_in, n_out); PyTorch's weight is
the transpose. Run demos/mnist.py first: python demos/to_torch.py results/mnist/checkpoint.npz
"""

from support import common

import importlib

import numpy as np


def layers(arrays, part):
    """[(W, b), ...] of `phi` or `theta` in order; the encoder's last two are the heads, μ and log σ²."""
    names = sorted({name.rpartition(".")[0] for name in arrays if name.startswith(f"params.{part}.")},
                   key=lambda name: [int(i) for i in name.split(".")[2:]])
    return [(arrays[f"{name}.W"], arrays[f"{name}.b"]) for name in names]


def torch_model(path):
    """The encoder's trunk, its two heads and the decoder, as torch modules with the checkpoint's weights."""
    import torch

    def linear(W, b):
        module = torch.nn.Linear(*W.shape)
        module.load_state_dict({"weight": torch.tensor(W.T), "bias": torch.tensor(b)})
        return module

    def network(pairs, last=()):
        hidden = [module for pair in pairs for module in (linear(*pair), torch.nn.ReLU())]
        return torch.nn.Sequential(*hidden, *(linear(*pair) for pair in last))

    with np.load(path, allow_pickle=False) as arrays:
        *trunk, mu, log_var = layers(arrays, "phi")
        *hidden, logits = layers(arrays, "theta")
    return network(trunk), linear(*mu), linear(*log_var), network(hidden, [logits])


def nelbo(model, x, eps):
    """−ELBO of each image in nats, in PyTorch's own functions. x: (n, D). eps: (n, d)."""
    import torch
    from torch.distributions import Normal, kl_divergence

    trunk, to_mu, to_log_var, decoder = model
    x, eps = torch.tensor(x), torch.tensor(eps)
    with torch.no_grad():
        h = trunk(x)
        q = Normal(to_mu(h), torch.exp(0.5 * to_log_var(h)))
        logits = decoder(q.mean + q.stddev * eps)
        nll = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return (nll + kl_divergence(q, Normal(0.0, 1.0)).sum(-1)).numpy()


def compare(path, framework, build, nelbo):
    """The largest relative difference of the negative ELBO between vae_np's model and the one built from `path`."""
    import mnist

    from vae_np.tools import checkpoint

    run = checkpoint.load(path)
    rng, (n_pixels, d) = np.random.default_rng(0), (run["data"]["train"][1], run["options"]["latent_dim"])
    x, eps = rng.random((100, n_pixels), np.float32), rng.standard_normal((100, d), np.float32)
    *_, model = mnist.build(n_pixels, run["options"]["hidden"], d)
    ours = model.apply(run["params"], x, eps)
    theirs = nelbo(build(path), x, eps)
    print(f"-ELBO of 100 random images: vae_np {ours.mean():.4f}, {framework} {theirs.mean():.4f} nats; "
          f"largest relative difference {np.max(np.abs(theirs / ours - 1)):.1e}")


def run(parser, framework, build, nelbo, argv=None):
    """The command line of both demos."""
    parser.add_argument("checkpoint", nargs="?", default="results/mnist/checkpoint.npz", help="(default %(default)s)")
    arguments = parser.parse_args(argv)
    importlib.import_module(framework)  # where it is not installed, say so before anything else
    try:
        compare(arguments.checkpoint, framework, build, nelbo)
    except (ValueError, OSError, KeyError, TypeError) as error:
        parser.error(f"{common.line(error)}; expected a checkpoint of demos/mnist.py")


if __name__ == "__main__":
    run(common.Parser(__doc__), "torch", torch_model, nelbo)
