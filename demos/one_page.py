"""The variational autoencoder on one page: plain NumPy and autograd. Run: python demos/one_page.py"""

import support  # no mathematics: Ctrl-C, or a package that is missing, ends in one line

import argparse
import gzip
from pathlib import Path

import autograd.numpy as np
from autograd import value_and_grad
from autograd.misc import flatten


def dense(rng, n_in, n_out):
    return {"W": np.sqrt(6 / (n_in + n_out)) * rng.uniform(-1, 1, (n_in, n_out)), "b": np.zeros(n_out)}  # Glorot


def init(rng, D=784, H=256, d=2):
    """phi: x -> hidden -> (mean, log-variance) of z. theta: z -> hidden -> logits of x. (): a relu."""
    return {"phi": [dense(rng, D, H), (), [dense(rng, H, d), dense(rng, H, d)]],
            "theta": [dense(rng, d, H), (), dense(rng, H, D)]}


def network(layers, h):
    for p in layers:
        h = np.dot(h, p["W"]) + p["b"] if p else h * (h > 0)
    return h


def nelbo(params, x, eps):
    """-ELBO = -log p(x|z) + KL[q(z|x) || p(z)] in nats, one number for each image (and for each sample)."""
    *hidden, heads = params["phi"]
    h = network(hidden, x)
    mu, log_var = (network([head], h) for head in heads)
    z = mu + np.exp(0.5 * log_var) * eps
    logits = network(params["theta"], z)
    nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)
    kl = -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)
    return nll + kl


def main(x_train, x_test, epochs):
    rng = np.random.default_rng(0)
    w, unflatten = flatten(init(rng))
    loss, v = value_and_grad(lambda w, x, eps: np.mean(nelbo(unflatten(w), x, eps))), np.zeros_like(w)
    for epoch in range(epochs):
        for rows in rng.permutation(len(x_train)).reshape(-1, 100):
            value, g = loss(w, x_train[rows] / 255, rng.standard_normal((100, 2)))
            v = 0.9 * v + 0.1 * g**2                       # RMSprop
            w = w - 0.001 * g / (np.sqrt(v) + 1e-7)
        print(f"epoch {epoch + 1}: -ELBO of the last minibatch {value:.2f} nats")
    test = nelbo(unflatten(w), x_test / 255, rng.standard_normal((len(x_test), 2)))
    print(f"-ELBO of the test set {np.mean(test):.2f} nats")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    files = (Path(__file__).with_name("mnist") / f"{name}-images-idx3-ubyte.gz" for name in ("train", "t10k"))
    main(*(np.frombuffer(gzip.decompress(f.read_bytes()), np.uint8, offset=16).reshape(-1, 784) for f in files), 5)
