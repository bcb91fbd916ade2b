"""Normalizing flows: a posterior that is no Gaussian, since z passes through invertible maps.

If z_k = f_k(z_{k−1}), then log q_K(z_K) = log q_0(z_0) − Σ_k log|det ∂f_k/∂z_{k−1}|. A flow is a
block, params, z -> z, log_det. Its parameters are the encoder's third output, a set for each datum:

    flow = planar(2, length=16)
    encoder = sequential(dense(784, 200), tanh,
                         heads(dense(200, 2), dense(200, 2), amortized(200, flow)))
    posterior = flow_posterior(encoder, flow)

`shared(flow)` in place of `amortized(200, flow)` makes the flow global: one set for all data.
Rezende & Mohamed (2015), eqs. 7 and 13; the constraints are those of its appendix A.
"""

import autograd.numpy as np
import numpy as onp
from autograd.extend import defvjp_argnums, primitive

from vae_np import checks
from vae_np.autodiff import cast, formula, unbroadcast
from vae_np.densities import gaussian_log_ratio, location_scale, softplus
from vae_np.layers import Block
from vae_np.nests import leaves, rebuild

LOG_E_MINUS_1 = float(onp.log(onp.e - 1))  # where softplus is 1, and both flows are the identity


def dot(a, b):
    """a'b over the last axis."""
    return np.sum(a * b, axis=-1)


def planar_direction(u, w):
    """û = u + {m(w'u) − w'u} w/‖w‖², m(a) = −1 + log(1 + e^a): w'û = m(w'u) > −1, f is invertible.

    u, w: (..., d), w other than 0. Returns û (..., d), and 1 + w'û = log(1 + e^{w'u}) (...,),
    positive without a subtraction. Rezende & Mohamed (2015), appendix A.1.
    """
    a = dot(u, w)
    one_plus = softplus(a)
    return u + ((one_plus - 1 - a) / dot(w, w))[..., None] * w, one_plus


def walk(z, u, w, b):
    """z_k = z_{k−1} + û_k t_k, t_k = tanh(w_k'z_{k−1} + b_k): z_K, t_1 … t_K as one (..., d + K).

    z: (..., d). u (here û), w: (K, d), b: (K,), or for each datum (n, K, d) and (n, K).
    """
    t = []
    for k in range(np.shape(b)[-1]):
        t.append(np.tanh(dot(w[..., k, :], z) + b[..., k])[..., None])
        z = z + u[..., k, :] * t[k]
    return np.concatenate([z, *t], axis=-1)


def walk_back(argnums, out, args, _):
    """From g = ∂z_K and h = ∂t, for k = K … 1, with a the derivative in w_k'z_{k−1} + b_k:

    a = (h_k + û_k'g)(1 − t_k²);   ∂û_k = g t_k,   ∂w_k = a z_{k−1},   ∂b_k = a;   g ← g + a w_k.
    """
    z, u, w, b = args
    d, K = np.shape(z)[-1], np.shape(b)[-1]
    t, before = [out[..., d + k:d + k + 1] for k in range(K)], [z]
    for k in range(K - 1):
        before.append(before[k] + u[..., k, :] * t[k])

    def back(g):
        g, h, lines = cast(g, out.dtype)[..., :d], cast(g, out.dtype)[..., d:], []
        for k in reversed(range(K)):
            a = (h[..., k] + dot(u[..., k, :], g))[..., None] * (1 - t[k] ** 2)
            line = (g * t[k], u), (a * before[k], w), (a, b[..., None])
            lines.insert(0, [unbroadcast(part, np.shape(p[..., k, :])) for part, p in line])
            g = g + a * w[..., k, :]
        du, dw, db = (np.stack(part, axis=-2) for part in zip(*lines))
        return tuple((g, du, dw, db[..., 0])[i] for i in argnums)

    return back


# All flows as one node of the graph: a step of the models in demos/flow_vae.py takes 0.61 to 0.69
# (K = 16, 20) and 0.78 to 0.84 (K = 4, 10) of the time with `walk`, whose arrays are small.
fused_walk = primitive(walk)
defvjp_argnums(fused_walk, walk_back)


def planar(d, length=1):
    """f(z) = z + û tanh(w'z + b): stretches z along û, across a plane; `length` of them in a row.

    log_det = Σ_k log{1 + w_k'û_k (1 − t_k²)}, t_k = tanh(w_k'z_{k−1} + b_k). params: u (length, d),
    of which `planar_direction` makes û, w (length, d), b (length,), or for each datum
    (n, length, d), (n, length). z: (..., n, d), or (..., d). Returns z and log_det (..., n), nats.
    Starts near the identity; of length 0 it is the identity. Raises ValueError where shapes
    disagree. Rezende & Mohamed (2015), eqs. 10–12.
    """
    name = _named("planar", d, length)

    def init(rng):
        w = rng.standard_normal((length, d))
        w /= onp.sqrt((w * w).sum(axis=1, keepdims=True))  # w'z ~ N(0, 1); more saturates the tanh
        u = LOG_E_MINUS_1 * w + 0.01 * rng.standard_normal((length, d))
        return {"u": u.astype(onp.float32), "w": w.astype(onp.float32),
                "b": onp.zeros(length, onp.float32)}

    def apply(params, z):
        _check(name, d, params, z, u=(length, d), w=(length, d), b=(length,))
        if length == 0:
            return z, onp.zeros(np.shape(z)[:-1], z.dtype)
        u, one_plus = planar_direction(params["u"], params["w"])
        out = fused_walk(z, u, params["w"], params["b"])
        square = out[..., d:] ** 2
        det = square + one_plus * (1 - square)  # a mean of 1 and 1 + w'û: positive
        return out[..., :d], np.sum(np.log(det), axis=-1)

    return Block(init, apply, name)


@formula(like="v")
def norm(v):
    """‖v‖ over the last axis, which is kept, as size 1."""
    return np.sqrt(np.sum(v * v, axis=-1, keepdims=True))


norm.derivatives(v=lambda g, v: g * v / np.where(norm(v) > 0, norm(v), 1))  # ∂v = v/‖v‖; at 0, 0


def radial(d):
    """f(z) = z + β̂ (z − z₀)/(α + r), r = ‖z − z₀‖: pushes z away from z₀, or towards it.

    α > 0 and β̂ = −α + s, s = log(1 + e^β). With h = 1/(α + r), log_det = (d − 1) log(1 + β̂h) +
    log(1 + β̂h + β̂h'r), computed without a difference as (d − 1) log{(r + s)/(α + r)} +
    log{(r² + 2αr + αs)/(α + r)²}. params: z0 (d,), log_alpha (1,), beta (1,), or for each datum
    (n, d), (n, 1), (n, 1). The rest as in `planar`.
    Rezende & Mohamed (2015), eq. 14.
    """
    name = _named("radial", d)

    def init(rng):
        beta = LOG_E_MINUS_1 + 0.01 * rng.standard_normal(1)
        return {"z0": rng.standard_normal(d).astype(onp.float32),
                "log_alpha": onp.zeros(1, onp.float32), "beta": beta.astype(onp.float32)}

    def apply(params, z):
        _check(name, d, params, z, z0=(d,), log_alpha=(1,), beta=(1,))
        alpha, s = np.exp(params["log_alpha"]), softplus(params["beta"])
        r = norm(z - params["z0"])
        log_det = ((d - 1) * (np.log(r + s) - np.log(alpha + r))
                   + np.log(r ** 2 + 2 * alpha * r + alpha * s) - 2 * np.log(alpha + r))
        return z + (s - alpha) * (z - params["z0"]) / (alpha + r), log_det[..., 0]

    return Block(init, apply, name)


def compose(*flows):
    """z ↦ f_K(… f_1(z)), and Σ_k log|det ∂f_k|. params: a list, one entry a flow."""
    checks.blocks("compose", flows, "params", "z")
    name = f"compose({', '.join(flow.name for flow in flows)})"

    def apply(params, z):
        total = onp.zeros(np.shape(z)[:-1], z.dtype)
        for flow, p in checks.one_each(name, flows, params):
            z, log_det = flow.apply(p, z)
            total = total + log_det
        return z, total

    return Block(lambda rng: [flow.init(rng) for flow in flows], apply, name)


def shared(flow):
    """x ↦ the flow's parameters, one set for all data: the encoder's output for a global flow."""
    return Block(flow.init, lambda params, x: params, f"shared({flow.name})")


def amortized(n_in, flow):
    """h ↦ the flow's parameters ϑ + h W, one set for each datum: the encoder's output for its flow.

    h: (n, n_in). Returns the nest that flow.apply takes, each array with n in front. W starts at 0,
    ϑ as the flow does. Raises ValueError for another h. Rezende & Mohamed (2015), section 4.2.
    """
    name = f"amortized({n_in}, {flow.name})"
    checks.sizes(name, n_in)

    def init(rng):
        start = flow.init(rng)
        zeros = [onp.zeros((n_in, *a.shape), a.dtype) for a in leaves(start)]
        return {"W": rebuild(start, zeros), "start": start}

    def apply(params, h):
        if np.ndim(h) != 2 or np.shape(h)[1] != n_in:
            raise ValueError(f"{name}: input has shape {np.shape(h)}; expected (n, {n_in})")
        return rebuild(params["start"], [
            a + np.reshape(h @ np.reshape(W, (n_in, a.size)), (len(h), *a.shape))
            for W, a in zip(leaves(params["W"]), leaves(params["start"]))])

    return Block(init, apply, name)


def flow_posterior(encoder, flow):
    """z_K = f_K(… f_1(μ + σ ⊙ ε)), kl = log q_0(z_0|x) − Σ_k log|det ∂f_k| − log p(z_K); nats.

    encoder: a block with the outputs mu, log_var, each (n, d), and the flow's parameters, from
    `amortized` or `shared`. x: (n, D). eps: (n, d) or (k, n, d), from N(0, I). Returns z of eps'
    shape, kl (n,) or (k, n), sample by sample: its log_ratio too. With a flow of length 0:
    `gaussian_posterior` with `gaussian_log_ratio`. Raises ValueError where the encoder's outputs
    are not these three. Rezende & Mohamed (2015), eq. 15.
    """
    name = f"flow_posterior({encoder.name}, {flow.name})"

    def apply(phi, x, eps):
        mu, log_var, params = checks.outputs(name, encoder.apply(phi, x), "mu", "log_var",
                                             "the flow's parameters")
        z0 = location_scale(mu, log_var, eps)
        z, log_det = flow.apply(params, z0)
        from_prior = 0.5 * np.sum(z ** 2 - z0 ** 2, axis=-1)  # log p(z_0) − log p(z_K)
        return z, gaussian_log_ratio(mu, log_var, z0) + from_prior - log_det

    return Block(encoder.init, apply, name, log_ratio=apply)


def _named(kind, d, length=1):
    name = f"{kind}({d})" if length == 1 else f"{kind}({d}, length={length})"
    if d < 1 or length < 0:
        raise ValueError(f"{name}: expected a dimension of at least 1 and a length of at least 0")
    return name


def _check(name, d, params, z, **shapes):
    """z has d features; params have these shapes, or with z's last axis but one in front."""
    if np.shape(z)[-1:] != (d,):
        raise ValueError(f"{name}: z has shape {np.shape(z)}; expected (..., {d})")
    if not hasattr(params, "keys") or {*params.keys()} != {*shapes}:
        raise ValueError(f"{name}: parameters are {checks.form(params)}; expected a dict of "
                         f"{', '.join(shapes)}, as of amortized(..., ...) or shared(...)")
    found = {key: np.shape(params[key]) for key in shapes}
    n = np.shape(z)[-2:-1]
    if found not in (shapes, {key: (*n, *shape) for key, shape in shapes.items()}):
        raise ValueError(f"{name}: parameters have shapes {found}; expected {shapes}"
                         + f", or each with {n[0]} data in front" * bool(n))
