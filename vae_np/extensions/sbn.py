"""Sigmoid belief networks: binary units in layers, each a coin whose logit is affine in the layer
above it.

p_θ(x, h) = p(h_L) Π p(h_l | h_{l+1}), h_0 = x, and q_φ(h|x) = Π q(h_l | h_{l−1}), all factors
Bernoulli. The prior of the top layer is learned: θ stands inside the KL, so this room supplies the
whole objective. Everything else follows from the parameters: {"phi": [q(h₁|x), q(h₂|h₁), …],
"theta": {"layers": [p(x|h₁), p(h₁|h₂), …], "prior": logits}}.

h is a list of arrays, one a layer, the one beside x first; noise is one array (..., n, d₁ + … +
d_L). Small networks can be summed over all their states: `enumerate_states` and `exact` are the
judges of every estimator. Saul, Jaakkola & Jordan (1996); Mnih & Gregor (2014).
"""

import autograd.numpy as np
import numpy as onp
from autograd.scipy.special import logsumexp

from vae_np.autodiff import stop_gradient
from vae_np.densities import bernoulli_nll, sigmoid
from vae_np.layers import Block, dense


def bernoulli_sample(logits, u):
    """h = 1[u < σ(l)]: an exact draw from Bern(σ(l)), a constant to every gradient.

    logits: (..., d). u: uniform on [0, 1), broadcast. Returns zeros and ones in the logits' dtype.
    Raises ValueError where u leaves [0, 1] (a normal draw in its place would pass unseen).
    """
    if not (onp.min(u) >= 0 and onp.max(u) <= 1):
        raise ValueError(f"noise from {onp.min(u):.3g} to {onp.max(u):.3g}: "
                         "expected uniform on [0, 1)")
    logits = stop_gradient(logits)
    return (u < sigmoid(logits)).astype(logits.dtype)


def sbn(n_visible, *n_hidden, sample=bernoulli_sample):
    """−log w = log q_φ(h|x) − log p_θ(x, h), h ~ q_φ(h|x). apply: params, x, u -> (..., n) in nats.

    The mean over u is the negative ELBO. x: (n, n_visible), zeros and ones. u: (n, Σ n_hidden) or
    (k, n, Σ n_hidden), uniform. sample: how h comes from logits and u. With hard draws the gradient
    in φ is NOT the bound's: h hides its dependence on φ; train by `score_function`, by wake and
    sleep, or with a relaxed sample, `lambda l, u: binary_concrete(l, u, tau)`, which leaves the
    bound (and is then no log w). Parameters are Glorot- uniform, biases zero. Raises ValueError
    where sizes disagree.
    """
    sizes = (n_visible, *n_hidden)
    name = f"sbn({', '.join(map(str, sizes))})"
    if not n_hidden:
        raise ValueError(f"{name}: expected at least one hidden layer")

    def init(rng):
        return {"phi": [dense(a, b).init(rng) for a, b in zip(sizes, sizes[1:])],
                "theta": {"layers": [dense(b, a).init(rng) for a, b in zip(sizes, sizes[1:])],
                          "prior": onp.zeros(sizes[-1], onp.float32)}}

    def apply(params, x, u):
        h = infer(params["phi"], x, u, sample)
        return log_q(params["phi"], x, h) - log_joint(params["theta"], x, h)

    more = {"log_weight": lambda params, x, u: -apply(params, x, u)}
    return Block(init, apply, name, **(more if sample is bernoulli_sample else {}))


def _affine(layer, x):
    return dense(*layer["W"].shape).apply(layer, x)


def _split(u, sizes):
    if np.shape(u)[-1:] != (sum(sizes),):
        raise ValueError(f"belief net with layers of {sizes} units: noise has shape {np.shape(u)}, "
                         f"expected (..., n, {sum(sizes)})")
    return np.split(u, onp.cumsum(sizes)[:-1], axis=-1)


def infer(phi, x, u, sample=bernoulli_sample):
    """h ~ q_φ(h|x), upwards: h_l from h_{l−1}. u: (..., n, d₁ + … + d_L). Returns the list of
    layers (..., n, d_l)."""
    h = []
    for layer, part in zip(phi, _split(u, [layer["W"].shape[1] for layer in phi])):
        h.append(sample(_affine(layer, h[-1] if h else x), part))
    return h


def generate(theta, u, sample=bernoulli_sample):
    """(x, h) ~ p_θ(x, h), downwards from the prior. u: (..., n, D + d₁ + … + d_L), x's part first.
    Returns x, h."""
    sizes = [layer["W"].shape[1] for layer in theta["layers"]] + [theta["prior"].shape[0]]
    *parts, top = _split(u, sizes)
    h = [sample(theta["prior"], top)]
    for layer, part in zip(theta["layers"][::-1], parts[::-1]):
        h.insert(0, sample(_affine(layer, h[0]), part))
    return h[0], h[1:]


def log_q(phi, x, h):
    """log q_φ(h|x) = Σ_l log Bern(h_l | σ(W_l h_{l−1} + b_l)), h_0 = x. Returns (..., n) in
    nats."""
    return -sum(bernoulli_nll(h_l, _affine(layer, below))
                for layer, below, h_l in zip(phi, [x, *h], h))


def log_joint(theta, x, h):
    """log p_θ(x, h) = log p(h_L) + Σ_l log Bern(h_{l−1} | σ(W_l h_l + b_l)), h_0 = x. Returns (...,
    n) in nats."""
    layers = sum(bernoulli_nll(below, _affine(layer, h_l))
                 for layer, below, h_l in zip(theta["layers"], [x, *h], h))
    return -layers - bernoulli_nll(h[-1], theta["prior"])


def score_function(params, x, u, baseline=None):
    """−log w, its gradient in φ the score function's: (−log w − c) ∇_φ log q_φ(h|x), whose mean is
    that of the bound.

    params, x, u: as for `sbn`. baseline: c, a number or (..., n), constant in h; it leaves the mean
    and changes the variance. None: for each of k ≥ 2 samples, the mean of the others, which knows
    nothing of its h. Returns (..., n): the value is −log w, the gradient in θ its own. Raises
    ValueError without a sample axis to take the others from. Williams (1992); Mnih & Gregor (2014),
    section 2; leave-one-out: Kool, van Hoof & Welling (2019).
    """
    h = infer(params["phi"], x, u)
    log_q_h, log_p = log_q(params["phi"], x, h), log_joint(params["theta"], x, h)
    loss = stop_gradient(log_q_h) - stop_gradient(log_p)
    if baseline is None:
        if np.ndim(loss) < 2 or len(loss) < 2:
            raise ValueError(f"score_function: samples of shape {np.shape(loss)}; expected (k, n) "
                             "with k of at least 2, or a baseline")
        baseline = (loss.sum(axis=0) - loss) / (len(loss) - 1)
    signal = (loss - onp.asarray(baseline, loss.dtype)) * log_q_h
    return stop_gradient(log_q_h) - log_p + (signal - stop_gradient(signal))  # a bracket of value 0


def enumerate_states(sizes, limit=20):
    """All 2^K states of layers with these sizes, K = Σ sizes: a list of arrays (2^K, 1, d_l), to
    broadcast over data.

    Raises ValueError where K is above the limit.
    """
    if sum(sizes) > limit:
        raise ValueError(f"2^{sum(sizes)} states are too many to enumerate: "
                         f"expected at most {limit} units")
    bits = (onp.arange(2 ** sum(sizes))[:, None, None] >> onp.arange(sum(sizes))) & 1
    return onp.split(bits.astype(onp.float32), onp.cumsum(sizes)[:-1], axis=-1)


def exact(params, x):
    """log p_θ(x) = log Σ_h p_θ(x, h) and ELBO = Σ_h q_φ(h|x) log w, over all states h: each (n,),
    in nats.

    No noise, and differentiable: the truth for every estimator. The gap between them is KL[q_φ(h|x)
    ‖ p_θ(h|x)].
    """
    h = enumerate_states([layer["W"].shape[1] for layer in params["phi"]])
    log_p, log_q_h = log_joint(params["theta"], x, h), log_q(params["phi"], x, h)
    return logsumexp(log_p, axis=0), np.sum(np.exp(log_q_h) * (log_p - log_q_h), axis=0)
