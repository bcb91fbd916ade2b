"""Likelihoods of counts and of labels: what stands in the place of `bernoulli_likelihood`, and
changes nothing else."""

import autograd.numpy as np
import numpy as onp
from scipy.special import gammaln

from vae_np import checks
from vae_np.autodiff import formula
from vae_np.layers import Block


@formula(like="log_rate", summed=True)
def poisson_nll(x, log_rate):
    """−log Poisson(x | e^r) = Σ_j {e^r_j − x_j r_j + log x_j!}, in nats.

    x: (..., d), counts 0, 1, 2, … log_rate: (..., d), broadcast. Returns (...,). Raises ValueError
    where shapes disagree or x holds no counts. Johnson, Kemp & Kotz (2005), Univariate Discrete
    Distributions, chapter 4.
    """
    checks.agree("poisson_nll", x=x, log_rate=log_rate)
    checks.counts("poisson_nll", x)
    return np.sum(np.exp(log_rate) - x * log_rate + gammaln(x + 1), axis=-1)


poisson_nll.derivatives(
    log_rate=lambda g, x, log_rate: g * (np.exp(log_rate) - x))           # ∂r = e^r − x


@formula(like="logits")
def log_softmax(logits):
    """log softmax(l)_c = l_c − log Σ_i e^l_i, over the last axis; the largest entry is taken out
    first."""
    a = logits - np.max(logits, axis=-1, keepdims=True)
    return a - np.log(np.sum(np.exp(a), axis=-1, keepdims=True))


log_softmax.derivatives(                                                  # ∂l = g − softmax(l) Σ g
    logits=lambda g, logits: g - np.exp(log_softmax(logits)) * np.sum(g, axis=-1, keepdims=True))


def categorical_nll(x, logits):
    """−log Cat(x | softmax(l)) = −Σ_j log softmax(l_j)_{x_j}, in nats.

    x: (..., d), class labels 0, …, C − 1, of any dtype. logits: (..., d, C), broadcast. Returns
    (...,). Raises ValueError where shapes disagree or a label is no such number. Bishop (2006),
    eqs. 2.26 and 4.62.
    """
    if np.ndim(logits) < 2:
        raise ValueError(f"categorical_nll: logits have shape {np.shape(logits)}; "
                         "expected (..., d, classes)")
    checks.agree("categorical_nll", **{"x": x, "logits[..., 0]": logits[..., 0]})
    label = onp.asarray(x)[..., None] == onp.arange(np.shape(logits)[-1])
    if not label.any(axis=-1).all():
        raise ValueError("categorical_nll: x has labels other than 0, …, "
                         f"{np.shape(logits)[-1] - 1}")
    return -np.sum(np.where(label, log_softmax(logits), 0), axis=(-2, -1))


def poisson_likelihood(decoder):
    """p_θ(x|z) = Π_j Poisson(x_j | e^r_j), r = decoder(z). apply: theta, x, z -> nll, (..., n) in
    nats.

    x: (n, D), counts. z: (n, d) or (k, n, d). decoder: a block from d to D log-rates. mean: theta,
    z -> E[x|z] = e^r. Raises ValueError where the decoder has several outputs, or gives rates
    instead of their logarithms.
    """
    name = f"poisson_likelihood({decoder.name})"

    def log_rate(theta, z):
        return checks.unbounded(name, decoder, theta, z)

    return Block(decoder.init, lambda theta, x, z: poisson_nll(x, log_rate(theta, z)), name,
                 mean=lambda theta, z: np.exp(log_rate(theta, z)))


def categorical_likelihood(decoder, classes):
    """p_θ(x|z) = Π_j Cat(x_j | softmax(l_j)), l = decoder(z). apply: theta, x, z -> nll, (..., n)
    in nats.

    x: (n, D), labels 0, …, C − 1 where C = classes. z: (n, d) or (k, n, d). decoder: a block from d
    to D·C logits, the C of the first variable first. mean: theta, z -> the probabilities, (..., D,
    C). Raises ValueError where the logits are no multiple of C.
    """
    name = f"categorical_likelihood({decoder.name}, {classes})"

    def logits(theta, z):
        l = checks.outputs(name, decoder.apply(theta, z))
        if l.shape[-1] % classes:
            raise ValueError(f"{name}: the decoder gives {l.shape[-1]} logits; "
                             f"expected a multiple of {classes}")
        return np.reshape(l, (*l.shape[:-1], -1, classes))

    return Block(decoder.init, lambda theta, x, z: categorical_nll(x, logits(theta, z)), name,
                 mean=lambda theta, z: np.exp(log_softmax(logits(theta, z))))
