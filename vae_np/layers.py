"""Networks as pairs of pure functions. Begin here: everything else in the package has this form.

A block knows how to draw its parameters, `init(rng) -> params`, and how to use them,
`apply(params, x)`. It holds no state: parameters are plain nests of arrays that you carry yourself,
so a network is only its formula.
"""

import autograd.numpy as np
import numpy as onp

from vae_np import checks
from vae_np.autodiff import formula
from vae_np.nests import leaves, paths


class Block:
    """init(rng) -> params and apply(params, ...), named after the code that made them.

    more: what some blocks can do besides, a likelihood's `mean` or a model's `log_weight`.
    """

    def __init__(self, init, apply, name="block", **more):
        self.__dict__.update(init=init, apply=apply, name=name, **more)

    def __repr__(self):
        return self.name

    def __getattr__(self, key):
        raise AttributeError(f"{self.__dict__.get('name')} has no {key}; {checks.instead(key)}")

    def __call__(self, *args):
        raise TypeError(f"{self.name}: a block is not called itself; write block.apply(params, x)")


@formula(like="W")
def affine(x, W, b):
    """x W + b, every axis of x but the last a batch axis. x: (..., n_in). W: (n_in, n_out). b:
    (n_out,)."""
    rows = x.reshape(-1, W.shape[0])  # one product for all samples, not one a sample
    return (rows @ W + b).reshape(x.shape[:-1] + b.shape)


def by_rows(a):
    return np.reshape(a, (-1, a.shape[-1]))


affine.derivatives(
    x=lambda g, x, W, b: np.reshape(by_rows(g) @ W.T, x.shape),           # ∂x = g Wᵀ
    W=lambda g, x, W, b: by_rows(x).T @ by_rows(g),                       # ∂W = xᵀ g
    b=lambda g, x, W, b: g)                                               # ∂b = Σ_n g_n


def dense(n_in, n_out):
    """h = x W + b: a fully-connected layer. x: (..., n_in). h: (..., n_out).

    W is Glorot-uniform, U(−a, a) with a = √(6 / (n_in + n_out)); b is zero (Glorot & Bengio, 2010;
    Keras' default). Raises ValueError where the input or the parameters have another shape.
    """
    name = f"dense({n_in}, {n_out})"
    checks.sizes(name, n_in, n_out)

    def init(rng):
        a = onp.sqrt(6 / (n_in + n_out))
        W = checks.generator(name, rng).uniform(-a, a, (n_in, n_out))
        return {"W": W.astype(onp.float32), "b": onp.zeros(n_out, onp.float32)}

    def apply(params, x):
        checks.layer(name, params, x, n_in, n_out)
        return affine(x, params["W"], params["b"])

    return Block(init, apply, name)


@formula(like="x")
def rectify(x):
    """max(x, 0), whose derivative at 0 is taken as 0 (numpy's maximum would halve it there)."""
    return np.maximum(x, 0)


rectify.derivatives(x=lambda g, x: g * (x > 0))                           # ∂x = 1[x > 0]


@formula(like="x")
def hyperbolic_tangent(x):
    """tanh x."""
    return np.tanh(x)


hyperbolic_tangent.derivatives(x=lambda g, x: g * (1 - np.tanh(x) ** 2))  # ∂x = 1 − tanh² x


def elementwise(f, name=None):
    """h = f(x), entry by entry, without parameters. f: built of autograd.numpy's functions."""
    name = name or getattr(f, "__name__", "elementwise")
    return Block(lambda rng: (), lambda params, x: f(x), name)


relu = elementwise(rectify, "relu")
tanh = elementwise(hyperbolic_tangent, "tanh")


def sequential(*blocks):
    """x ↦ f_L(… f_2(f_1(x))). params: a list, one entry a block. Without blocks: the identity."""
    checks.blocks("sequential", blocks, "params", "x")
    name = f"sequential({', '.join(block.name for block in blocks)})"

    def apply(params, x):
        for block, p in checks.one_each(name, blocks, params):
            x = block.apply(p, x)
        return x

    return Block(lambda rng: [block.init(rng) for block in blocks], apply, name)


def heads(*blocks):
    """x ↦ (f_1(x), f_2(x), …): several outputs from one input, as the post's mean and
    log-variance."""
    checks.blocks("heads", blocks, "params", "x")
    name = f"heads({', '.join(block.name for block in blocks)})"

    def apply(params, x):
        return tuple(block.apply(p, x) for block, p in checks.one_each(name, blocks, params))

    return Block(lambda rng: [block.init(rng) for block in blocks], apply, name)


def constant(d, tied=False):
    """x ↦ c: a learned vector that does not depend on x. x: (..., n_in). c: (..., d).

    tied: one number for all d features. Starts at zero. As the log-variance in
    `heads(dense(2, d), constant(d))` it makes a decoder with a learned variance.
    """
    name = f"constant({d}{', tied=True' if tied else ''})"
    checks.sizes(name, d)

    def apply(c, x):
        return c + np.zeros((*np.shape(x)[:-1], d), c.dtype)

    return Block(lambda rng: onp.zeros(1 if tied else d, onp.float32), apply, name)


def summary(params):
    """Path, shape and count of each array, and the total, as text."""
    sizes = [onp.size(leaf) for leaf in leaves(params)]
    rows = [(path, str(onp.shape(leaf)), f"{size:,}")
            for path, leaf, size in zip(paths(params), leaves(params), sizes)]
    rows = [("array", "shape", "parameters"), *rows, ("total", "", f"{sum(sizes):,}")]
    path, shape, count = (max(map(len, column)) for column in zip(*rows))
    lines = [f"{a:<{path}}  {b:<{shape}}  {c:>{count}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
