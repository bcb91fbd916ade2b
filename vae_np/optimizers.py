"""RMSprop and Adam: the textbook lines, for a nest of parameters of any form.

An optimizer is a pair of pure functions, like a block: `init(params) -> state` and
`update(params, gradient, state) -> params, state`. Nothing is changed in place, so a state once yielded stays as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_np.autodiff import leaves, rebuild

# Entries updated at a time. The lines below make several passes over their arrays; slices keep them in the cache.
SLICE = 1 << 15


class Optimizer(NamedTuple):
    init: Callable
    update: Callable
    name: str


def _zeros(params):
    return rebuild(params, [np.zeros_like(leaf) for leaf in leaves(params)])


def _by_slices(rule, params, gradient, *moments):
    """rule(p, g, *moments) -> new p, *new moments: applied to every array slice by slice; returns the new nests."""
    updated = []
    for p, g, *ms in zip(*map(leaves, (params, gradient, *moments))):
        p = np.asarray(p)
        old = [np.ravel(a) for a in (p, g, *ms)]
        new = [np.empty(p.size, p.dtype) for _ in (p, *ms)]
        for i in range(0, p.size, SLICE):
            for array, piece in zip(new, rule(*(a[i:i + SLICE] for a in old))):
                array[i:i + SLICE] = piece
        updated.append([a.reshape(p.shape) for a in new])
    return [rebuild(params, column) for column in zip(*updated)]


def rmsprop(learning_rate=1e-3, rho=0.9, epsilon=1e-7):
    """v ← ρ v + (1 − ρ) g²,   θ ← θ − η g / (√v + ε),   elementwise, from v = 0.

    The variant of Keras, and of the post: ε stands outside the root. Tieleman & Hinton (2012), lecture 6.5.
    Raises ValueError where the learning rate is not positive.
    """
    _positive(learning_rate)

    def rule(p, g, v):
        v = rho * v + (1 - rho) * g * g
        return p - learning_rate * g / (np.sqrt(v) + epsilon), v

    def update(params, gradient, state):
        params, v = _by_slices(rule, params, gradient, state["v"])
        return params, {"v": v}

    return Optimizer(lambda params: {"v": _zeros(params)}, update, f"rmsprop({learning_rate})")


def adam(learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − η m̂ / (√v̂ + ε),   elementwise, from m = v = 0.

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) undo the pull of the zeros at the start. Kingma & Ba (2015), algorithm 1.
    Raises ValueError where the learning rate is not positive.
    """
    _positive(learning_rate)

    def update(params, gradient, state):
        t = state["t"] + 1

        def rule(p, g, m, v):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            m_hat, v_hat = m / (1 - beta1 ** t), v / (1 - beta2 ** t)
            return p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v

        params, m, v = _by_slices(rule, params, gradient, state["m"], state["v"])
        return params, {"t": t, "m": m, "v": v}

    return Optimizer(lambda params: {"t": 0, "m": _zeros(params), "v": _zeros(params)}, update,
                     f"adam({learning_rate})")


def _positive(learning_rate):
    if not learning_rate > 0:
        raise ValueError(f"learning rate {learning_rate}: expected a positive number")
