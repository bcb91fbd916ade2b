"""Discrete latents that a gradient can pass: Gumbel-softmax and binary Concrete, as functions of
uniform noise.

A draw from a categorical law is an argmax, whose derivative is zero. Softened to a softmax at
temperature τ it has a derivative; as τ → 0 it becomes the draw again, while the gradient's variance
grows.

The sharp edge: a soft z with the KL of the discrete laws bounds neither log p(x) of the discrete
model nor that of the relaxed one: it can exceed both. It is good for training; what is reported is
the bound at `hard=True`, whose z are exact draws. With the relaxed variable's own density, a soft z
bounds log p(x) of a relaxed model: the room `concrete`.

`log_softmax` is that of the room `likelihoods`, where labels need it.
"""

import inspect
import math

import autograd.numpy as np
import numpy as onp

from vae_np import checks
from vae_np.autodiff import floating, formula
from vae_np.densities import bernoulli_nll, sigmoid
from vae_np.extensions.likelihoods import log_softmax
from vae_np.layers import Block


def _inside(u, logits):
    """u in [0, 1] moved into the open interval, in float64. Both ends are reached: `random` returns
    multiples of ½ε, 0 among them, and 0 stands for all that lies below ½ε. So [0, 1] is mapped onto
    [½ε, 1 − ½ε], ε that of u's dtype.
    """
    u = onp.asarray(u)
    if u.dtype.kind != "f" or not (u.min() >= 0 and u.max() <= 1):
        raise ValueError(f"noise of dtype {u.dtype} from {u.min():.3g} to {u.max():.3g}: "
                         "expected uniform on [0, 1]")
    if np.ndim(logits) == 0 or u.shape[-np.ndim(logits):] != np.shape(logits):
        raise ValueError(f"noise has shape {u.shape}, logits {np.shape(logits)}: "
                         "expected (..., n, d) and (n, d)")
    eps = float(onp.finfo(u.dtype).eps)
    return eps / 2 + (1 - eps) * u.astype(onp.float64)


def temperature(tau):
    if not 0 < tau < math.inf:
        raise ValueError(f"temperature {tau}: expected a positive number")
    return float(tau)  # a NumPy scalar would turn float32 logits into float64


def gumbel_logits(logits, u, tau):
    """s = (l + G) / τ, G = −log(−log u): softmax(s) is the soft draw from Cat(softmax(l)), which
    may saturate; s does not. Arguments as of `gumbel_softmax`.
    """
    logits = floating(logits)
    g = -onp.log(-onp.log(_inside(u, logits)))
    return (logits + onp.asarray(g, logits.dtype)) / temperature(tau)


def gumbel_softmax(logits, u, tau):
    """y = softmax((log π + G) / τ), G = −log(−log u): a soft draw from Cat(π), π = softmax(logits),
    over the last axis.

    logits: (n, ..., K). u: of that shape, or (k, n, ..., K) for k samples, uniform on [0, 1], the
    ends included. Returns y of u's shape, on the simplex; argmax y is an exact draw, for any τ
    (Gumbel-max). Raises ValueError where shapes disagree, u leaves [0, 1] or τ is not positive.
    Jang, Gu & Poole (2017), eqs. 1 and 2.
    """
    return softmax(gumbel_logits(logits, u, tau))


def softmax(s):
    """e^s_j / Σ_i e^s_i, over the last axis."""
    return np.exp(log_softmax(s))


def logistic_logits(logits, u, tau):
    """s = (l + log u − log(1 − u)) / τ: σ(s) is the soft draw from Bern(σ(l)), which may saturate;
    s does not. Arguments as of `binary_concrete`.
    """
    logits = floating(logits)
    u = _inside(u, logits)
    noise = onp.asarray(onp.log(u) - onp.log1p(-u), logits.dtype)
    return (logits + noise) / temperature(tau)


def binary_concrete(logits, u, tau):
    """y = σ((l + log u − log(1 − u)) / τ): a soft draw from Bern(σ(l)), entry by entry; y > ½ is an
    exact one.

    logits: (n, ..., d). u: of that shape, or (k, n, ..., d), uniform on [0, 1], the ends included.
    Returns y of u's shape, in [0, 1]. Raises ValueError as `gumbel_softmax`. Maddison, Mnih & Teh
    (2017), appendix B.
    """
    return sigmoid(logistic_logits(logits, u, tau))


@formula(like="y")
def hard_categorical(y):
    """One-hot(argmax y), over the last axis: forward the hard draw, backward the soft one's
    gradient."""
    return onp.eye(y.shape[-1], dtype=y.dtype)[onp.argmax(y, axis=-1)]


@formula(like="y")
def hard_bernoulli(y):
    """1[y > ½], entry by entry: forward the hard draw, backward the soft one's gradient."""
    return (y > 0.5).astype(y.dtype)


# Straight-through. The true derivative of a step is 0 almost everywhere; in its place stands that
# of the identity. The loss then sees exact draws, and its gradient is biased: the slope is measured
# at y, the loss at the corner beside it.
hard_categorical.derivatives(y=lambda g, y: g)                            # ∂y := 1
hard_bernoulli.derivatives(y=lambda g, y: g)                              # ∂y := 1


def categorical_kl(logits, z=None, prior_logits=0.0):
    """KL[Π_i Cat(π_i) ‖ Cat(p_i)] = Σ_i Σ_j π_ij {log π_ij − log p_ij}, in nats; π = softmax(l), p
    = softmax(prior).

    logits: (..., N, K), softmax over K. prior_logits: a number (all categories alike), (N, K), or
    of logits' shape. Returns (...,): N variables summed; beside the uniform prior, between 0 and N
    log K. z is not used: every divergence here is called kl(logits, z), and kl(logits, z,
    prior_logits) where the prior is learned. Raises ValueError where shapes disagree.
    """
    log_pi, log_p = log_softmax(logits), log_softmax(_prior(logits, prior_logits, axes=2))
    return np.sum(np.exp(log_pi) * (log_pi - log_p), axis=(-2, -1))


def categorical_log_ratio(logits, z, prior_logits=0.0):
    """log Cat(z | π) − log Cat(z | p) = Σ_i Σ_j z_ij {log π_ij − log p_ij}, in nats; z one-hot.

    logits: (n, N, K). z: (..., n, N, K). Returns (..., n). Its mean over hard draws is
    `categorical_kl`; bounds of several samples need this form. For a soft z it is no ratio of
    densities.
    """
    log_p = log_softmax(_prior(logits, prior_logits, axes=2))
    return np.sum(z * (log_softmax(logits) - log_p), axis=(-2, -1))


def bernoulli_kl(logits, z=None, prior_logits=0.0):
    """KL[Π_k Bern(q_k) ‖ Bern(p_k)] = Σ_k {q log q/p + (1 − q) log (1 − q)/(1 − p)}, in nats; q =
    σ(l), p = σ(prior).

    logits: (..., d). prior_logits: a number (0: a fair coin), (d,) or (..., d). Returns (...,).
    Evaluated as the cross-entropy of q and p less the entropy of q, both from logits. Raises
    ValueError where shapes disagree.
    """
    q = sigmoid(logits)
    return bernoulli_nll(q, _prior(logits, prior_logits)) - bernoulli_nll(q, logits)


def bernoulli_log_ratio(logits, z, prior_logits=0.0):
    """log Bern(z | σ(l)) − log Bern(z | σ(prior)), summed over the last axis, in nats; z of zeros
    and ones.

    logits: (n, d). z: (..., n, d). Returns (..., n): as `categorical_log_ratio`, for the binary
    case.
    """
    return bernoulli_nll(z, _prior(logits, prior_logits)) - bernoulli_nll(z, logits)


def _prior(logits, prior_logits, axes=1):
    shape = np.shape(logits)
    if np.shape(prior_logits) not in ((), shape[-axes:], shape):
        raise ValueError(f"prior logits have shape {np.shape(prior_logits)}, logits {shape}")
    return prior_logits + np.zeros_like(logits)


def categorical_posterior(encoder, tau, categories, hard=False, kl=categorical_kl, prior=None):
    """q_φ(z|x) = Π_i Cat(z_i | softmax(l_i)), l = encoder(x), relaxed at temperature τ. apply: phi,
    x, u -> z, kl.

    encoder: a block with N·K outputs; categories: K. x: (n, D). u: (n, N·K) or (k, n, N·K), uniform
    on [0, 1]. z: of u's shape, its K-blocks on the simplex, or one-hot where hard. kl: a function
    of logits (n, N, K) and z (..., n, N, K); (n,), or (k, n) sampled; nats. prior: None (uniform),
    or `constant(N·K)`, the logits of a prior that is learned; phi is then {"encoder", "prior"}, and
    kl takes them too. A log_ratio, and so log-weights, only where hard and the kl one of this room.
    τ is a number: to anneal it, build the model anew from a τ that comes along with the noise,
    which costs nothing, since parameters live outside. Raises ValueError where sizes disagree or
    τ ≤ 0. Jang, Gu & Poole (2017), section 4, whose prior is learned.
    """
    name = (f"categorical_posterior({encoder.name}, {tau:.3g}, {categories}"
            f"{', hard' * hard}{named(prior)})")
    known = kl in (categorical_kl, categorical_log_ratio)
    return posterior(name, encoder, _draw(gumbel_softmax, tau, hard and hard_categorical), kl,
                     categorical_log_ratio if hard and known else None, prior, categories)


def bernoulli_posterior(encoder, tau, hard=False, kl=bernoulli_kl, prior=None):
    """q_φ(z|x) = Π_k Bern(z_k | σ(l_k)), l = encoder(x), relaxed at temperature τ. apply: phi, x, u
    -> z, kl.

    encoder: a block with d outputs. x: (n, D). u: (n, d) or (k, n, d), uniform on [0, 1]. z: of u's
    shape, in [0, 1], or zeros and ones where hard. kl: a function of the logits (n, d) and z; nats.
    prior: None (fair coins), or `constant(d)`. τ, prior, log_ratio: see `categorical_posterior`.
    """
    name = f"bernoulli_posterior({encoder.name}, {tau:.3g}{', hard' * hard}{named(prior)})"
    known = kl in (bernoulli_kl, bernoulli_log_ratio)
    return posterior(name, encoder, _draw(binary_concrete, tau, hard and hard_bernoulli), kl,
                     bernoulli_log_ratio if hard and known else None, prior)


def _draw(relax, tau, harden):
    temperature(tau)

    def sample(logits, u):
        z = relax(logits, u, tau)
        z = harden(z) if harden else z
        return z, z

    return sample


def named(prior):
    return f", prior={prior.name}" if prior else ""


def posterior(name, encoder, sample, kl, log_ratio=None, prior=None, categories=None):
    """The posterior blocks of this room and of `concrete`. apply: phi, x, u -> z, kl.

    sample: logits, u -> s, z: what the divergences are functions of, and what the decoder sees, all
    (..., n, N, K) where there are categories. The prior's logits are phi["prior"] itself, so that
    they cannot depend on x, whatever block gave them. Raises ValueError where sizes disagree, or
    kl has no place for a learned prior.
    """
    if prior and len(inspect.signature(kl).parameters) < 3:
        raise ValueError(f"{name}: kl takes {', '.join(inspect.signature(kl).parameters)}; "
                         "expected kl(logits, z, prior_logits), as the prior is learned")

    def split(a):
        if categories is None:
            return a
        if categories < 2 or np.shape(a)[-1] % categories:
            raise ValueError(f"{name}: {np.shape(a)[-1]} logits or noise do not divide into "
                             f"{categories} categories")
        return np.reshape(a, (*np.shape(a)[:-1], -1, categories))

    def parts(phi, x):
        if not prior:
            return checks.outputs(name, encoder.apply(phi, x)), ()
        if not hasattr(phi, "keys") or {*phi.keys()} != {"encoder", "prior"}:
            raise ValueError(f"{name}: parameters are {checks.form(phi)}; "
                             "expected a dict of encoder, prior")
        logits, shared = checks.outputs(name, encoder.apply(phi["encoder"], x)), phi["prior"]
        if hasattr(shared, "keys") or np.shape(shared) != np.shape(logits)[-1:]:
            raise ValueError(f"{name}: the prior's parameters are no array of "
                             f"{np.shape(logits)[-1]} logits; expected those of constant(...)")
        return logits, (split(shared),)

    def sampled(divergence):
        def apply(phi, x, u):
            logits, shared = parts(phi, x)
            logits = split(logits)
            s, z = sample(logits, split(u))
            return np.reshape(z, np.shape(u)), divergence(logits, s, *shared)
        return apply

    def init(rng):
        return {"encoder": encoder.init(rng), "prior": prior.init(rng)}

    more = {"log_ratio": sampled(log_ratio)} if log_ratio else {}
    return Block(init if prior else encoder.init, sampled(kl), name, **more)
