"""Networks as pairs of pure functions. Begin here: everything else in the package has this form.

A block knows how to draw its parameters, `init(rng) -> params`, and how to use them, `apply(params, x)`. It holds no
state: parameters are plain nests of arrays that you carry yourself, so a network is only its formula.
"""

from collections.abc import Callable
from dataclasses import dataclass

import autograd.numpy as np
import numpy as onp

from vae_np.autodiff import defvjp, leaves, paths, primitive


@dataclass(frozen=True, repr=False)
class Block:
    """init(rng) -> params and apply(params, ...), named after the code that made them."""

    init: Callable
    apply: Callable
    name: str = "block"

    def __repr__(self):
        return self.name


@primitive
def affine(x, W, b):
    """x W + b, every axis of x but the last a batch axis. x: (..., n_in). W: (n_in, n_out). b: (n_out,)."""
    x = onp.asarray(x, W.dtype)  # the parameters' dtype decides: a stray float64 does not slow all that follows
    out = x.reshape(-1, W.shape[0]) @ W  # one product for all samples, not one a sample
    out += b
    return out.reshape(x.shape[:-1] + b.shape)


def _rows(a):
    return a.reshape(-1, a.shape[-1])


defvjp(affine,
       lambda out, x, W, b: lambda g: (_rows(g) @ W.T).reshape(x.shape),                   # ∂x = g Wᵀ
       lambda out, x, W, b: lambda g: _rows(onp.asarray(x, W.dtype)).T @ _rows(g),         # ∂W = xᵀ g
       lambda out, x, W, b: lambda g: _rows(g).sum(axis=0))                                # ∂b = Σ_n g_n


def dense(n_in, n_out):
    """h = x W + b: a fully-connected layer. x: (..., n_in). h: (..., n_out).

    W is Glorot-uniform, U(−a, a) with a = √(6 / (n_in + n_out)); b is zero (Glorot & Bengio, 2010; Keras' default).
    Raises ValueError where the input or the parameters have another shape.
    """
    name = f"dense({n_in}, {n_out})"
    if min(n_in, n_out) < 1:
        raise ValueError(f"{name}: sizes must be at least 1")

    def init(rng):
        a = onp.sqrt(6 / (n_in + n_out))
        return {"W": rng.uniform(-a, a, (n_in, n_out)).astype(onp.float32), "b": onp.zeros(n_out, onp.float32)}

    def apply(params, x):
        if not hasattr(params, "keys") or {*params.keys()} != {"W", "b"}:
            found = f"{type(params).__name__} {[*params] if hasattr(params, '__iter__') else ''}".rstrip()
            raise ValueError(f"{name}: parameters are {found}; expected a dict of W and b")
        W, b = params["W"], params["b"]
        if W.shape != (n_in, n_out) or b.shape != (n_out,):
            raise ValueError(f"{name}: parameters have shapes W {W.shape}, b {b.shape}")
        if onp.shape(x)[-1:] != (n_in,):
            raise ValueError(f"{name}: input has {onp.shape(x)[-1] if onp.shape(x) else 'no'} features")
        return affine(x, W, b)

    return Block(init, apply, name)


def elementwise(f, name=None):
    """h = f(x), entry by entry, without parameters. f: built of autograd.numpy's functions."""
    return Block(lambda rng: (), lambda params, x: f(x), name or getattr(f, "__name__", "elementwise"))


@primitive
def rectify(x):
    """max(x, 0), whose derivative at 0 is taken as 0 (numpy's maximum would halve it there)."""
    return onp.maximum(x, 0)


defvjp(rectify, lambda out, x: lambda g: g * (out > 0))                                    # ∂x = g · 1[x > 0]

@primitive
def hyperbolic_tangent(x):
    """tanh x."""
    return onp.tanh(x)


defvjp(hyperbolic_tangent, lambda out, x: lambda g: g * (1 - out * out))                   # ∂x = g · (1 − tanh² x)

relu = elementwise(rectify, "relu")
tanh = elementwise(hyperbolic_tangent, "tanh")


def _one_each(name, blocks, params):
    if len(params) != len(blocks):
        raise ValueError(f"{name}: parameters for {len(params)} blocks, expected {len(blocks)}")
    return zip(blocks, params)


def _blocks(kind, blocks):
    for block in blocks:
        if not isinstance(block, Block):
            raise ValueError(f"{kind}(...): got a {type(block).__name__}; expected blocks, one argument each")


def sequential(*blocks):
    """x ↦ f_L(… f_2(f_1(x))). params: a list, one entry a block. Without blocks: the identity."""
    _blocks("sequential", blocks)
    name = f"sequential({', '.join(block.name for block in blocks)})"

    def apply(params, x):
        for block, p in _one_each(name, blocks, params):
            x = block.apply(p, x)
        return x

    return Block(lambda rng: [block.init(rng) for block in blocks], apply, name)


def heads(*blocks):
    """x ↦ (f_1(x), f_2(x), …): several outputs from one input, as the post's mean and log-variance."""
    _blocks("heads", blocks)
    name = f"heads({', '.join(block.name for block in blocks)})"

    def apply(params, x):
        return tuple(block.apply(p, x) for block, p in _one_each(name, blocks, params))

    return Block(lambda rng: [block.init(rng) for block in blocks], apply, name)


def constant(d, tied=False):
    """x ↦ c: a learned vector that does not depend on x, as one noise level a feature. x: (..., n_in). c: (..., d).

    tied: one number for all d features. Starts at zero. As the log-variance in `heads(dense(2, d), constant(d))` it
    makes a decoder with a learned variance.
    """
    def apply(c, x):
        return c + np.zeros((*np.shape(x)[:-1], d), c.dtype)

    return Block(lambda rng: onp.zeros(1 if tied else d, onp.float32), apply,
                 f"constant({d}{', tied=True' if tied else ''})")


def summary(params):
    """Path, shape and count of each array, and the total, as text."""
    rows = [(path, str(onp.shape(leaf)), f"{onp.size(leaf):,}") for path, leaf in zip(paths(params), leaves(params))]
    rows = [("array", "shape", "parameters"), *rows,
            ("total", "", f"{sum(onp.size(leaf) for leaf in leaves(params)):,}")]
    path, shape, count = (max(len(row[i]) for row in rows) for i in range(3))
    lines = [f"{row[0]:<{path}}  {row[1]:<{shape}}  {row[2]:>{count}}" for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
