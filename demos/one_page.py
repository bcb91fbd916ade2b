"""The variational autoencoder on one page: plain NumPy and autograd. Run: python demos/one_page.py"""

import gzip
import os

import autograd.numpy as np
from autograd import value_and_grad
from autograd.misc import flatten


def dense_params(rng, n_in, n_out):
    a = np.sqrt(6 / (n_in + n_out))  # Glorot
    return {"W": rng.uniform(-a, a, (n_in, n_out)), "b": np.zeros(n_out)}


def init(rng, D=784, H=256, d=2):
    """phi: x -> hidden -> (mean, log-variance) of z. theta: z -> hidden -> logits of x. (): a relu."""
    return {"phi": [dense_params(rng, D, H), (), [dense_params(rng, H, d), dense_params(rng, H, d)]],
            "theta": [dense_params(rng, d, H), (), dense_params(rng, H, D)]}


def dense(p, h):
    return np.dot(h, p["W"]) + p["b"]


def hidden(layers, h):
    for p in layers:
        h = dense(p, h) if p else h * (h > 0)
    return h


def nelbo(params, x, eps):
    """-ELBO = -log p(x|z) + KL[q(z|x) || p(z)] in nats, one number for each image (and for each sample)."""
    *layers, (mean, log_variance) = params["phi"]
    h = hidden(layers, x)
    mu, log_var = dense(mean, h), dense(log_variance, h)
    z = mu + np.exp(0.5 * log_var) * eps
    logits = hidden(params["theta"], z)
    nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)
    kl = -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)
    return nll + kl


def main(epochs):
    file = gzip.open(os.path.join(os.path.dirname(__file__), "mnist", "train-images-idx3-ubyte.gz"))
    images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    rng = np.random.default_rng(0)
    w, unflatten = flatten(init(rng))
    loss, v = value_and_grad(lambda w, x, eps: np.mean(nelbo(unflatten(w), x, eps))), np.zeros_like(w)
    for epoch in range(epochs):
        for rows in rng.permutation(len(images)).reshape(-1, 100):
            value, g = loss(w, images[rows] / 255, rng.standard_normal((100, 2)))
            v = 0.9 * v + 0.1 * g**2                       # RMSprop
            w = w - 0.001 * g / (np.sqrt(v) + 1e-7)
        print(f"epoch {epoch + 1}: -ELBO of the last minibatch {value:.2f} nats")


if __name__ == "__main__":
    main(epochs=5)
