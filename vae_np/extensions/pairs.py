"""Networks of two arguments, f(x, u): a sampler where u is noise, a critic where u is a z."""

import autograd.numpy as np
import numpy as onp

from vae_np import checks
from vae_np.autodiff import formula
from vae_np.layers import Block, sequential


@formula(like="h")
def beside(h, u):
    """[h, u]: features side by side, h repeated for each sample. h: (n, H). u: (..., n, e). Returns
    (..., n, H + e)."""
    return onp.concatenate([onp.broadcast_to(h, u.shape[:-1] + h.shape[-1:]), u], axis=-1)


beside.derivatives(
    h=lambda g, h, u: g[..., :h.shape[-1]],                               # ∂h = g, h's columns
    u=lambda g, h, u: g[..., h.shape[-1]:])                               # ∂u = g, u's columns

identity = sequential()


def joined(network, features=identity):
    """f(x, u) = network([h(x), u]): a sampler z = g_φ(x, ε) where u is noise. apply: params, x, u
    -> (..., n, d).

    x: (n, D). u: (..., n, e). features: the block h, by default the identity; run once for each x,
    whatever the number of samples. network: a block whose input are h(x)'s features and then the e
    of u. Raises ValueError where x and u have another number of rows.
    """
    name = f"joined({network.name}" + ("" if features is identity else f", {features.name}") + ")"

    def apply(params, x, u):
        if np.ndim(x) != 2 or np.shape(u)[-2:-1] != np.shape(x)[:1]:
            raise ValueError(f"{name}: x has shape {np.shape(x)}, its companion {np.shape(u)}; "
                             "expected (n, D) and (..., n, e)")
        return network.apply(params[0], beside(features.apply(params[1], x), u))

    return Block(lambda rng: [network.init(rng), features.init(rng)], apply, name)


def critic(network, features=identity):
    """T_ψ(x, z) = network([h(x), z]), one logit. apply: psi, x, z -> (..., n). Arguments as of
    `joined`.

    Raises ValueError where the network has more than one output.
    """
    block = joined(network, features)
    name = block.name.replace("joined", "critic", 1)

    def apply(psi, x, z):
        T = checks.outputs(name, block.apply(psi, x, z))
        if np.shape(T)[-1] != 1:
            raise ValueError(f"{name}: T has {np.shape(T)[-1]} numbers a sample; expected 1")
        return T[..., 0]

    return Block(block.init, apply, name)
