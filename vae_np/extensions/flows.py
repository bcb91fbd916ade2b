"""Normalizing flows: a posterior that is no longer Gaussian, because z passes through invertible maps.

If z_k = f_k(z_{k−1}), then log q_K(z_K) = log q_0(z_0) − Σ_k log|det ∂f_k/∂z_{k−1}|. A flow is a block whose apply is
params, z -> z, log_det. Rezende & Mohamed (2015), eqs. 7 and 13; the constraints are those of its appendix A.
"""

import autograd.numpy as np
import numpy as onp
from autograd.extend import defvjp_argnums, primitive

from vae_np import checks
from vae_np.autodiff import cast, formula
from vae_np.densities import gaussian_log_ratio, location_scale, sigmoid, softplus
from vae_np.layers import Block

LOG_E_MINUS_1 = float(onp.log(onp.e - 1))  # where softplus is 1, and both flows are the identity


@formula(like="v")
def norm(v):
    """‖v‖ over the last axis, which is kept, as size 1."""
    return np.sqrt(np.sum(v * v, axis=-1, keepdims=True))


norm.derivatives(v=lambda g, v: g * v / np.where(norm(v) > 0, norm(v), 1))  # ∂v = v/‖v‖, and 0 at v = 0


def _named(kind, d, length=1):
    name = f"{kind}({d})" if length == 1 else f"{kind}({d}, length={length})"
    if d < 1 or length < 0:
        raise ValueError(f"{name}: expected a dimension of at least 1 and a length of at least 0")
    return name


def _check(name, d, params, z, **shapes):
    found = {key: np.shape(params[key]) for key in shapes}
    if found != shapes:
        raise ValueError(f"{name}: parameters have shapes {found}; expected {shapes}")
    if np.shape(z)[-1:] != (d,):
        raise ValueError(f"{name}: z has shape {np.shape(z)}; expected (..., {d})")


def planar_direction(u, w):
    """û = u + c w, c = {m(w'u) − w'u}/‖w‖², m(a) = −1 + log(1 + e^a): then w'û = m(w'u) > −1, and f is invertible.

    u, w: (d,), w other than 0. Returns û (d,), c, and 1 + w'û = log(1 + e^{w'u}), positive without a subtraction.
    Rezende & Mohamed (2015), appendix A.1.
    """
    a = w @ u
    one_plus = onp.logaddexp(0, a)
    c = (one_plus - 1 - a) / (w @ w)
    return u + c * w, c, one_plus


def _walk(z, u, w, b):
    """For each flow its u, w, z before it, t = tanh(w'z + b), and the determinant t² + (1 + w'û)(1 − t²) > 0."""
    for u_k, w_k, b_k in zip(u, w, b):
        direction, c, one_plus = planar_direction(u_k, w_k)
        t = onp.tanh(z @ w_k + b_k)
        yield u_k, w_k, direction, c, one_plus, z, t, t * t + one_plus * (1 - t * t)
        z = z + t[:, None] * direction


@primitive
def planar_chain(z, u, w, b):
    """z_K and Σ_k log|det ∂f_k|, f_k(z) = z + û_k tanh(w_k'z + b_k), as one array (..., d + 1), the logarithm last.

    z: (..., d). u, w: (K, d). b: (K,). All K flows are one node of the graph: operation by operation, autograd spends
    most of its time on bookkeeping, since these arrays are small.
    """
    flat = z.reshape(-1, z.shape[-1])
    log_det = onp.zeros(len(flat), z.dtype)
    for _, _, direction, _, _, before, t, det in _walk(flat, u, w, b):
        flat, log_det = before + t[:, None] * direction, log_det + onp.log(det)
    return onp.concatenate([flat, log_det[:, None]], axis=1).reshape((*z.shape[:-1], -1))


def _planar_chain_vjps(argnums, out, args, _):                  # backpropagation through the chain, by hand
    z, u, w, b = args

    def backward(g):
        g = cast(g, z.dtype).reshape(-1, g.shape[-1])
        g, h = g[:, :-1], g[:, -1]                              # of z_k, from k = K down to 0; of every log det
        du, dw, db = onp.zeros_like(u), onp.zeros_like(w), onp.zeros_like(b)
        steps = list(_walk(z.reshape(-1, z.shape[-1]), u, w, b))
        for k, (u_k, w_k, direction, c, one_plus, before, t, det) in reversed(list(enumerate(steps))):
            slope, square, sigma = 1 - t * t, w_k @ w_k, sigmoid(w_k @ u_k)
            ds = (g @ direction + h * 2 * t * (1 - one_plus) / det) * slope         # of w'z + b, through t
            d_dir = t @ g                                                          # of û = u + c w
            da = (h @ (slope / det)) * sigma + (d_dir @ w_k) * (sigma - 1) / square # of w'u, through 1 + w'û and c
            du[k] = d_dir + da * w_k
            dw[k] = ds @ before + c * d_dir - 2 * c * (d_dir @ w_k) / square * w_k + da * u_k
            db[k] = ds.sum()
            g = g + ds[:, None] * w_k
        gradients = g.reshape(z.shape), du, dw, db
        return tuple(gradients[i] for i in argnums)

    return backward


defvjp_argnums(planar_chain, _planar_chain_vjps)


def planar(d, length=1):
    """f(z) = z + û tanh(w'z + b): stretches or squeezes z along û, across the plane w'z + b = 0; `length` in a row.

    log_det = log|1 + û'w (1 − tanh²(w'z + b))|. params: u (length, d), which makes û (`planar_direction`), w
    (length, d), b (length,). z: (..., d). Returns z (..., d), log_det (...,), nats. Starts near the identity; of length
    0 it is the identity. Raises ValueError where the dimension is another. Rezende & Mohamed (2015), eqs. 10–12.
    """
    name = _named("planar", d, length)

    def init(rng):
        w = rng.standard_normal((length, d))
        u = LOG_E_MINUS_1 * w / (w * w).sum(axis=1, keepdims=True) + 0.01 * rng.standard_normal((length, d))
        return {"u": u.astype(onp.float32), "w": w.astype(onp.float32), "b": onp.zeros(length, onp.float32)}

    def apply(params, z):
        _check(name, d, params, z, u=(length, d), w=(length, d), b=(length,))
        out = planar_chain(z, params["u"], params["w"], params["b"])
        return out[..., :-1], out[..., -1]

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
        _check(name, d, params, z, z0=(d,), log_alpha=(1,), beta=(1,))
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

    name = f"flow_posterior({', '.join(block.name for block in (encoder, *flows))})"

    def apply(phi, x, eps):
        mu, log_var = checks.outputs(name, encoder.apply(phi["encoder"], x), "mu", "log_var")
        z0 = location_scale(mu, log_var, eps)
        z, log_det = flow.apply(phi["flows"], z0)
        return z, gaussian_log_ratio(mu, log_var, z0) + 0.5 * np.sum(z ** 2 - z0 ** 2, axis=-1) - log_det

    return Block(lambda rng: {"encoder": encoder.init(rng), "flows": flow.init(rng)}, apply, name, log_ratio=apply)
