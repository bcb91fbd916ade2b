"""Normalizing flows: a posterior that is no longer Gaussian, because z passes through invertible maps.

If z_k = f_k(z_{k−1}), then log q_K(z_K) = log q_0(z_0) − Σ_k log|det ∂f_k/∂z_{k−1}|. A flow is a block whose apply is
params, z -> z, log_det. Rezende & Mohamed (2015), eqs. 7 and 13; the constraints are those of its appendix A.
"""

import autograd.numpy as np
import numpy as onp

from vae_np.autodiff import defvjp, primitive
from vae_np.densities import gaussian_log_ratio, location_scale, sigmoid
from vae_np.layers import Block

LOG_E_MINUS_1 = float(onp.log(onp.e - 1))  # where softplus is 1, and both flows are the identity


@primitive
def norm(v):
    """‖v‖ over the last axis, which is kept, as size 1."""
    return onp.sqrt(onp.sum(v * v, axis=-1, keepdims=True))


defvjp(norm, lambda r, v: lambda g: g * v / onp.where(r > 0, r, 1))                        # ∂v = v/‖v‖, and 0 at v = 0


def softplus(a):
    return np.logaddexp(0, a)


def _named(kind, d):
    if d < 1:
        raise ValueError(f"{kind}({d}): the dimension must be at least 1")
    return f"{kind}({d})"


def _check(name, d, params, z, **sizes):
    found = {key: np.shape(params[key]) for key in sizes}
    if found != {key: (size,) for key, size in sizes.items()}:
        raise ValueError(f"{name}: parameters have shapes {', '.join(f'{key} {s}' for key, s in found.items())}; "
                         f"expected {', '.join(f'{key} ({size},)' for key, size in sizes.items())}")
    if np.shape(z)[-1:] != (d,):
        raise ValueError(f"{name}: z has shape {np.shape(z)}; expected (..., {d})")


def _shift(u, w):
    """c and ∂c/∂(w'u), where û = u + c w."""
    a, square = w @ u, w @ w
    return (onp.logaddexp(0, a) - 1 - a) / square, (sigmoid(a) - 1) / square


def planar_direction(u, w):
    """û = u + {m(w'u) − w'u} w/‖w‖², m(a) = −1 + log(1 + e^a): then w'û = m(w'u) > −1, and the flow is invertible.

    u, w: (d,), w other than 0. Returns (d,). Rezende & Mohamed (2015), appendix A.1.
    """
    return u + _shift(u, w)[0] * w


@primitive
def planar_map(z, u, w, t):
    """z + û t. z: (..., d). t: (..., 1)."""
    return z + planar_direction(u, w) * t


def _pulled(g, t):
    return t.ravel() @ g.reshape(t.size, -1)                    # G = Σ g t, the gradient of û


defvjp(planar_map,                                              # û = u + c w, c = {m(a) − a}/‖w‖², a = w'u
       lambda _, z, u, w, t: lambda g: g,                                                  # ∂z = 1
       lambda _, z, u, w, t: lambda g: _pulled(g, t) + (_pulled(g, t) @ w) * _shift(u, w)[1] * w,  # ∂u = G + G'w c_a w
       lambda _, z, u, w, t: lambda g: _shift(u, w)[0] * _pulled(g, t) + (_pulled(g, t) @ w) * (
           _shift(u, w)[1] * u - 2 * _shift(u, w)[0] / (w @ w) * w),                # ∂w = c G + G'w {c_a u − 2c w/‖w‖²}
       lambda _, z, u, w, t: lambda g: (g @ planar_direction(u, w))[..., None])            # ∂t = û


@primitive
def ridge(z, w, b):
    """t = tanh(w'z + b): constant along the planes across w. z: (..., d). w: (d,). b: (1,). Returns (..., 1)."""
    return onp.tanh((z @ w)[..., None] + b)


defvjp(ridge,
       lambda t, z, w, b: lambda g: g * (1 - t * t) * w,                                   # ∂z = (1 − t²) w
       lambda t, z, w, b: lambda g: (g * (1 - t * t)).ravel() @ z.reshape(-1, w.size),     # ∂w = Σ (1 − t²) z
       lambda t, z, w, b: lambda g: onp.sum(g * (1 - t * t)).reshape(1))                   # ∂b = Σ (1 − t²)


@primitive
def planar_log_det(u, w, t):
    """log|1 + û'w (1 − t²)| = log{t² + q (1 − t²)}, q = 1 + û'w = log(1 + e^{w'u}). t: (..., 1). Returns (...,).

    A sum of two terms that are not negative: nothing cancels where the flow squeezes hardest, û'w ≈ −1.
    """
    return onp.log(t * t + onp.logaddexp(0, w @ u) * (1 - t * t))[..., 0]


def _towards(log_det, u, w, t, g):
    return onp.sum((g * onp.exp(-log_det))[..., None] * (1 - t * t)) * sigmoid(w @ u)


defvjp(planar_log_det,                                          # e^−L · ∂{t² + q (1 − t²)}, ∂q/∂(w'u) = σ(w'u)
       lambda L, u, w, t: lambda g: _towards(L, u, w, t, g) * w,                           # ∂u = e^−L (1 − t²) σ w
       lambda L, u, w, t: lambda g: _towards(L, u, w, t, g) * u,                           # ∂w = e^−L (1 − t²) σ u
       lambda L, u, w, t: lambda g: (g * onp.exp(-L))[..., None] * 2 * t * (               # ∂t = e^−L 2t (1 − q)
           1 - onp.logaddexp(0, w @ u)))


def planar(d):
    """f(z) = z + û tanh(w'z + b): stretches or squeezes z along û, across the plane w'z + b = 0.

    log_det = log|1 + û'w (1 − tanh²(w'z + b))|. params: u (d,), which makes û (`planar_direction`), w (d,), b (1,).
    z: (..., d). Returns z (..., d), log_det (...,), nats. Starts near the identity. Raises ValueError where the
    dimension is another. Rezende & Mohamed (2015), eqs. 10–12.
    """
    name = _named("planar", d)

    def init(rng):
        w = rng.standard_normal(d)
        u = LOG_E_MINUS_1 * w / (w @ w) + 0.01 * rng.standard_normal(d)
        return {"u": u.astype(onp.float32), "w": w.astype(onp.float32), "b": onp.zeros(1, onp.float32)}

    def apply(params, z):
        _check(name, d, params, z, u=d, w=d, b=1)
        u, w, b = params["u"], params["w"], params["b"]
        t = ridge(z, w, b)
        return planar_map(z, u, w, t), planar_log_det(u, w, t)

    return Block(init, apply, name)


def radial(d):
    """f(z) = z + β̂ (z − z₀)/(α + r), r = ‖z − z₀‖, α > 0, β̂ = −α + log(1 + e^β): pushes z from z₀, or towards it.

    log|det ∂f/∂z| = (d − 1) log(1 + β̂h) + log(1 + β̂h + β̂h'r), h = 1/(α + r): (d − 1) log{(r + s)/(α + r)} +
    log{(r² + 2αr + αs)/(α + r)²}, s = log(1 + e^β): no difference is taken. params: z0 (d,), log_alpha (1,), beta (1,).
    z: (..., d). Returns z (..., d), log_det (...,), nats. Starts near the identity. Raises ValueError where the
    dimension is another. Rezende & Mohamed (2015), eq. 14.
    """
    name = _named("radial", d)

    def init(rng):
        beta = LOG_E_MINUS_1 + 0.01 * rng.standard_normal(1)
        return {"z0": rng.standard_normal(d).astype(onp.float32), "log_alpha": onp.zeros(1, onp.float32),
                "beta": beta.astype(onp.float32)}

    def apply(params, z):
        _check(name, d, params, z, z0=d, log_alpha=1, beta=1)
        alpha, s = np.exp(params["log_alpha"]), softplus(params["beta"])
        r = norm(z - params["z0"])
        log_det = ((d - 1) * (np.log(r + s) - np.log(alpha + r))
                   + np.log(r ** 2 + 2 * alpha * r + alpha * s) - 2 * np.log(alpha + r))
        return z + (s - alpha) * (z - params["z0"]) / (alpha + r), log_det[..., 0]

    return Block(init, apply, name)


def compose(*flows):
    """z ↦ f_K(… f_1(z)), and Σ_k log|det ∂f_k|. params: a list, one entry a flow. Without flows: the identity, 0."""
    name = f"compose({', '.join(flow.name for flow in flows)})"

    def apply(params, z):
        if len(params) != len(flows):
            raise ValueError(f"{name}: parameters for {len(params)} flows, expected {len(flows)}")
        total = onp.zeros(np.shape(z)[:-1], z.dtype)
        for flow, p in zip(flows, params):
            z, log_det = flow.apply(p, z)
            total = total + log_det
        return z, total

    return Block(lambda rng: [flow.init(rng) for flow in flows], apply, name)


def flow_posterior(encoder, *flows):
    """z_K = f_K(… f_1(μ + σ ⊙ ε)), kl = log q_0(z_0|x) − Σ_k log|det ∂f_k| − log p(z_K), sample by sample; nats.

    encoder: a block with the two outputs mu, log_var, each (n, d). The flows' parameters are global, one set for all x
    (the paper's depend on x): phi is {"encoder": ..., "flows": [...]}. x: (n, D). eps: (n, d) or (k, n, d), from
    N(0, I). Returns z of eps' shape, kl (n,) or (k, n). Without flows: `gaussian_posterior` with `gaussian_log_ratio`.
    Raises ValueError where a flow has another dimension. Rezende & Mohamed (2015), eq. 15.
    """
    flow = compose(*flows)

    def apply(phi, x, eps):
        mu, log_var = encoder.apply(phi["encoder"], x)
        z0 = location_scale(mu, log_var, eps)
        z, log_det = flow.apply(phi["flows"], z0)
        return z, gaussian_log_ratio(mu, log_var, z0) + 0.5 * np.sum(z ** 2 - z0 ** 2, axis=-1) - log_det

    return Block(lambda rng: {"encoder": encoder.init(rng), "flows": flow.init(rng)}, apply,
                 f"flow_posterior({', '.join(block.name for block in (encoder, *flows))})")
