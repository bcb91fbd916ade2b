"""RMSprop and Adam: the textbook lines, for a nest of parameters of any form.

An optimizer is a pair of pure functions, like a block: `init(params) -> state` and
`update(params, gradient, state) -> params, state`. Nothing is changed in place, so a state once
yielded stays as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_np import checks
from vae_np.autodiff import flush_denormal
from vae_np.nests import leaves, rebuild


class Optimizer(NamedTuple):
    init: Callable
    update: Callable
    name: str


def zeros(params):
    return rebuild(params, [np.zeros_like(leaf) for leaf in leaves(params)])


def each_array(rule, *nests):
    """The rule on the arrays of params, gradient, *state, place by place: params, *state anew."""
    checks.alike(*nests)
    columns = [*zip(*map(rule, *map(leaves, nests)))] or [()] * (len(nests) - 1)
    return [rebuild(nests[0], column) for column in columns]


def rmsprop(learning_rate=1e-3, rho=0.9, epsilon=1e-7):
    """v ← ρ v + (1 − ρ) g²,   θ ← θ − η g / (√v + ε),   elementwise, from v = 0.

    The variant of Keras, and of the post: ε stands outside the root. Tieleman & Hinton (2012),
    lecture 6.5. Raises ValueError where η or ε is not positive or ρ not in [0, 1).
    """
    eta, rho, eps = checks.rates("rmsprop", learning_rate, epsilon, rho=rho)

    def rule(theta, g, v):
        v = flush_denormal(rho * v + (1 - rho) * g**2)
        return theta - eta * g / (np.sqrt(v) + eps), v

    def update(params, gradient, state):
        checks.state("rmsprop", state, "v")
        params, v = each_array(rule, params, gradient, state["v"])
        return params, {"v": v}

    return Optimizer(lambda params: {"v": zeros(params)}, update, f"rmsprop({learning_rate})")


def adam(learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − η m̂ / (√v̂ + ε),   from m = v =
    0.

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) undo the pull of the zeros at the start. Both are
    numbers times the arrays, so they are folded into η and ε: with c = √(1 − β₂ᵗ) the step is η c /
    (1 − β₁ᵗ) · m / (√v + ε c). Kingma & Ba (2015), algorithm 1 and the end of section 2. Raises
    ValueError where η or ε is not positive or a β not in [0, 1).
    """
    eta, beta1, beta2, eps = checks.rates("adam", learning_rate, epsilon, beta1=beta1, beta2=beta2)

    def update(params, gradient, state):
        checks.state("adam", state, "t", "m", "v")
        t = state["t"] + 1
        c = (1 - beta2**t) ** 0.5
        rate = eta * c / (1 - beta1**t)

        def rule(theta, g, m, v):
            m = flush_denormal(beta1 * m + (1 - beta1) * g)
            v = flush_denormal(beta2 * v + (1 - beta2) * g**2)
            return theta - rate * m / (np.sqrt(v) + eps * c), m, v

        params, m, v = each_array(rule, params, gradient, state["m"], state["v"])
        return params, {"t": t, "m": m, "v": v}

    return Optimizer(lambda params: {"t": 0, "m": zeros(params), "v": zeros(params)}, update,
                     f"adam({learning_rate})")
