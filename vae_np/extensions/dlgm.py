"""Deep latent Gaussian models: a hierarchy of latents as nothing but a decoder.

Each level's value is the one above it, transformed, plus Gaussian noise. Written in terms of that
noise, all levels have one prior, ξ ~ N(0, I), and the hierarchy is a function of ξ: the posterior
and its closed KL stay those of the plain VAE, over the noise of all levels at once.
"""

import autograd.numpy as np
import numpy as onp

from vae_np import checks
from vae_np.layers import Block


def dlgm(*maps, sizes):
    """h_L = G_L ξ_L;  h_l = T_l(h_{l+1}) + G_l ξ_l for l = L − 1, …, 1;  the output is T_0(h_1).

    maps: the blocks T_{L−1}, …, T_1, T_0, from the top down; T_0 gives what a likelihood needs
    (logits, or mu and log_var). sizes: (d_L, …, d_1), so that T_l maps d_{l+1} features to d_l. xi:
    (..., Σ d_l), the noise of all levels, the top's first. theta: {"G": the matrices, each (d_l,
    d_l), at first the identity, "T": the maps' parameters}. Raises ValueError where maps, sizes, xi
    or a map's output disagree. With one level and G the identity: T_0 itself. Rezende, Mohamed &
    Wierstra (2014), eqs. 1–4.
    """
    name = f"dlgm({', '.join(block.name for block in maps)}, sizes={tuple(sizes)})"
    if len(maps) != len(sizes) or min(sizes, default=0) < 1:
        raise ValueError(f"{name}: {len(maps)} maps and {len(sizes)} sizes; expected one map below "
                         "each level, and levels of at least 1 feature")
    ends = [int(end) for end in onp.cumsum(sizes)]

    def init(rng):
        return {"G": [onp.eye(size, dtype=onp.float32) for size in sizes],
                "T": [block.init(rng) for block in maps]}

    def apply(theta, xi):
        found = [onp.shape(G) for G in theta["G"]]
        if found != [(size, size) for size in sizes] or len(theta["T"]) != len(maps):
            raise ValueError(f"{name}: parameters have G of shapes {found} and "
                             f"{len(theta['T'])} maps")
        if np.shape(xi)[-1:] != (ends[-1],):
            raise ValueError(f"{name}: xi has shape {np.shape(xi)}; expected (..., {ends[-1]})")
        h = None
        for block, p, G, size, end in zip(maps, theta["T"], theta["G"], sizes, ends):
            if h is not None and np.shape(checks.outputs(name, h))[-1:] != (size,):
                raise ValueError(f"{name}: a map gives {np.shape(h)[-1]} features to a level of "
                                 f"{size}")
            noise = np.matmul(xi[..., end - size:end], G.T)
            h = block.apply(p, noise if h is None else h + noise)
        return h

    return Block(init, apply, name)
