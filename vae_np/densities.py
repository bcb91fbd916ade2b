"""The densities of the post: each a stable formula, its derivative by hand under it.

Every density sums over the last axis and keeps the others: one number for each datum, in nats. Its inputs are logits
and log-variances, never probabilities or standard deviations, so nothing needs to be clipped. One formula is one node
of the graph: with autograd's own operations in its place, a step of the post's model takes 1.7 times as long.
"""

import numpy as np
from scipy.special import digamma, gammaln

from vae_np.autodiff import defvjp, primitive, unbroadcast

LOG_2PI = float(np.log(2 * np.pi))


def _agree(name, **arrays):
    """Raise ValueError unless the arrays broadcast and share their last axis (a scalar goes with everything)."""
    shapes = {key: np.shape(array) for key, array in arrays.items()}
    if len(set(shapes.values())) == 1:
        return
    try:
        np.broadcast_shapes(*shapes.values())
        agree = len({shape[-1] for shape in shapes.values() if shape}) == 1
    except ValueError:
        agree = False
    if not agree:
        listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ValueError(f"{name}: shapes disagree: {listed}; expected (..., n, d) with one d")


def _like(x, a):
    return np.asarray(x, getattr(a, "dtype", None))


def _col(g):
    return np.asarray(g)[..., None]


def _floats(a):
    """a as an array, integers as float64."""
    a = np.asarray(a)
    return a if a.dtype.kind == "f" else a.astype(float)


def sigmoid(a):
    """σ(a) = 1 / (1 + e^−a), to full relative precision for every a: where e^−a overflows, the quotient is 0."""
    a = _floats(a)
    out = np.negative(a, out=np.empty_like(a))  # `out=`: 0-d arrays stay arrays, and one array serves all steps
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


@primitive
def softplus(a):
    """log(1 + e^a) = max(a, 0) + log(1 + e^−|a|): the second form is finite, and exact, for every a.

    numpy's logaddexp(0, a) takes one number at a time; a step of the post's model takes 0.70 of the time with this.
    """
    a = _floats(a)
    size = np.abs(a, out=np.empty_like(a))
    out = np.add(a, size, out=np.empty_like(a))
    out *= 0.5  # max(a, 0) = ½ (a + |a|), which numpy does faster than its maximum
    np.negative(size, out=size)
    np.exp(size, out=size)
    out += np.log1p(size, out=size)
    return out


defvjp(softplus, lambda out, a: lambda g: g * sigmoid(a))                                  # ∂a = σ(a)


def standardized(x, mu, log_var):
    """(x − μ) / σ."""
    return (_like(x, mu) - mu) * np.exp(-0.5 * log_var)


@primitive
def bernoulli_nll(x, logits):
    """−log Bern(x | σ(l)) = Σ_j {log(1 + e^l_j) − x_j l_j}, in nats.

    x: (..., d), in [0, 1]. logits: (..., d), broadcast. Returns (...,). Raises ValueError where shapes disagree,
    or x holds integers above 1. For gray x the result is the mean over binary images drawn as Bern(x), and not
    comparable with figures for binary ones. See `softplus` for the first term, finite for every l.
    Kingma & Welling (2014), appendix C.1.
    """
    _agree("bernoulli_nll", x=x, logits=logits)
    if np.asarray(x).dtype.kind in "iu" and np.size(x) and np.max(x) > 1:
        raise ValueError(f"bernoulli_nll: x holds integers up to {np.max(x)}; expected [0, 1], such as bytes / 255")
    logits = _floats(logits)
    terms = np.atleast_1d(_like(x, logits) * logits)
    return np.subtract(softplus(logits), terms, out=terms).sum(axis=-1)


def _bernoulli_slope(g, x, logits):
    slope = sigmoid(logits)
    slope = slope - _like(x, slope)
    slope *= _col(g)
    return unbroadcast(slope, np.shape(logits))


defvjp(bernoulli_nll,
       lambda nll, x, logits: lambda g: unbroadcast(-_col(g) * logits, np.shape(x)),       # ∂x = −l
       lambda nll, x, logits: lambda g: _bernoulli_slope(g, x, logits))                    # ∂l = σ(l) − x


@primitive
def gaussian_nll(x, mu, log_var):
    """−log N(x | μ, σ²) = ½ Σ_j {log 2π + log σ_j² + (x_j − μ_j)² / σ_j²}, in nats.

    x, mu, log_var: (..., d), broadcast. Returns (...,). Raises ValueError where shapes disagree.
    Kingma & Welling (2014), appendix C.2.
    """
    _agree("gaussian_nll", x=x, mu=mu, log_var=log_var)
    return 0.5 * np.sum(LOG_2PI + log_var + standardized(x, mu, log_var) ** 2, axis=-1)


defvjp(gaussian_nll,
       lambda nll, x, mu, log_var: lambda g: unbroadcast(                                  # ∂x = (x − μ)/σ²
           _col(g) * standardized(x, mu, log_var) * np.exp(-0.5 * log_var), np.shape(x)),
       lambda nll, x, mu, log_var: lambda g: unbroadcast(                                  # ∂μ = −(x − μ)/σ²
           -_col(g) * standardized(x, mu, log_var) * np.exp(-0.5 * log_var), np.shape(mu)),
       lambda nll, x, mu, log_var: lambda g: unbroadcast(                                  # ∂log σ² = ½{1 − …²}
           _col(g) * 0.5 * (1 - standardized(x, mu, log_var) ** 2), np.shape(log_var)))


@primitive
def gaussian_kl(mu, log_var):
    """KL[N(μ, σ²) ‖ N(0, I)] = −½ Σ_k {1 + log σ_k² − μ_k² − σ_k²}, in nats.

    mu, log_var: (..., d). Returns (...,). Raises ValueError where shapes disagree.
    σ² − 1 is evaluated as expm1(log σ²), exact near σ = 1. Kingma & Welling (2014), appendix B.
    """
    _agree("gaussian_kl", mu=mu, log_var=log_var)
    return 0.5 * np.sum(mu ** 2 + np.expm1(log_var) - log_var, axis=-1)


defvjp(gaussian_kl,
       lambda kl, mu, log_var: lambda g: unbroadcast(_col(g) * mu, np.shape(mu)),          # ∂μ = μ
       lambda kl, mu, log_var: lambda g: unbroadcast(                                      # ∂log σ² = ½{σ² − 1}
           _col(g) * 0.5 * np.expm1(log_var), np.shape(log_var)))


@primitive
def gaussian_log_ratio(mu, log_var, z):
    """log N(z | μ, σ²) − log N(z | 0, I) = ½ Σ_k {z_k² − log σ_k² − (z_k − μ_k)² / σ_k²}, in nats.

    mu, log_var: (n, d). z: (..., n, d), samples. Returns (..., n). Raises ValueError where shapes disagree.
    Its mean over z ~ N(μ, σ²) is `gaussian_kl`. Bounds of several samples need this form, sample by sample: with the
    closed form inside, "IWAE" exceeds log p(x). Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    _agree("gaussian_log_ratio", mu=mu, log_var=log_var, z=z)
    return 0.5 * np.sum(z ** 2 - log_var - standardized(z, mu, log_var) ** 2, axis=-1)


defvjp(gaussian_log_ratio,
       lambda kl, mu, log_var, z: lambda g: unbroadcast(                                   # ∂μ = (z − μ)/σ²
           _col(g) * standardized(z, mu, log_var) * np.exp(-0.5 * log_var), np.shape(mu)),
       lambda kl, mu, log_var, z: lambda g: unbroadcast(                                   # ∂log σ² = ½{…² − 1}
           _col(g) * 0.5 * (standardized(z, mu, log_var) ** 2 - 1), np.shape(log_var)),
       lambda kl, mu, log_var, z: lambda g: unbroadcast(                                   # ∂z = z − (z − μ)/σ²
           _col(g) * (z - standardized(z, mu, log_var) * np.exp(-0.5 * log_var)), np.shape(z)))


@primitive
def location_scale(mu, log_var, eps):
    """z = μ + σ ⊙ ε, with σ = e^{½ log σ²}: the reparameterization of z ~ N(μ, σ²) by ε ~ N(0, I).

    mu, log_var: (n, d). eps: (n, d), or (k, n, d) for k samples. Returns z of eps' shape.
    Raises ValueError where shapes disagree. Kingma & Welling (2014), section 2.4.
    """
    if np.shape(mu) != np.shape(log_var) or np.shape(eps)[-np.ndim(mu):] != np.shape(mu):
        raise ValueError(f"location_scale: eps has shape {np.shape(eps)}, mu {np.shape(mu)}, log_var "
                         f"{np.shape(log_var)}; expected (..., n, d), (n, d) and (n, d)")
    return mu + np.exp(0.5 * log_var) * _like(eps, mu)


defvjp(location_scale,
       lambda z, mu, log_var, eps: lambda g: unbroadcast(g, np.shape(mu)),                 # ∂μ = 1
       lambda z, mu, log_var, eps: lambda g: unbroadcast(                                  # ∂log σ² = ½ σ ε = ½ (z − μ)
           0.5 * g * np.exp(0.5 * log_var) * _like(eps, mu), np.shape(log_var)),
       lambda z, mu, log_var, eps: lambda g: g * np.exp(0.5 * log_var))                    # ∂ε = σ


@primitive
def poisson_nll(x, log_rate):
    """−log Poisson(x | e^r) = Σ_j {e^r_j − x_j r_j + log x_j!}, in nats.

    x: (..., d), counts 0, 1, 2, … log_rate: (..., d), broadcast. Returns (...,).
    Raises ValueError where shapes disagree. Johnson, Kemp & Kotz (2005), Univariate Discrete Distributions, chapter 4.
    """
    _agree("poisson_nll", x=x, log_rate=log_rate)
    x = _like(x, log_rate)
    return np.sum(np.exp(log_rate) - x * log_rate + gammaln(x + 1), axis=-1)


defvjp(poisson_nll,
       lambda nll, x, log_rate: lambda g: unbroadcast(                                     # ∂x = ψ(x + 1) − r
           _col(g) * (digamma(_like(x, log_rate) + 1) - log_rate), np.shape(x)),
       lambda nll, x, log_rate: lambda g: unbroadcast(                                     # ∂r = e^r − x
           _col(g) * (np.exp(log_rate) - _like(x, log_rate)), np.shape(log_rate)))


def _classes(x, logits):
    """Σ_c e^l_c's logarithm, and 1[c = x], each of the shape of logits broadcast with x."""
    top = np.max(logits, axis=-1, keepdims=True)
    log_sum = top + np.log(np.sum(np.exp(logits - top), axis=-1, keepdims=True))
    return log_sum, np.asarray(x)[..., None] == np.arange(logits.shape[-1])


@primitive
def categorical_nll(x, logits):
    """−log Cat(x | softmax(l)) = Σ_j {log Σ_c e^l_jc − l_j,x_j}, in nats.

    x: (..., d), class labels 0, …, C − 1, of any dtype. logits: (..., d, C), broadcast. Returns (...,).
    Raises ValueError where shapes disagree or a label is no such number. Bishop (2006), eqs. 2.26 and 4.62.
    """
    if np.ndim(logits) < 2:
        raise ValueError(f"categorical_nll: logits have shape {np.shape(logits)}; expected (..., d, classes)")
    _agree("categorical_nll", **{"x": x, "logits[..., 0]": logits[..., 0]})
    log_sum, label = _classes(x, logits)
    if not label.any(axis=-1).all():
        raise ValueError(f"categorical_nll: x has labels other than 0, …, {np.shape(logits)[-1] - 1}")
    return np.sum(log_sum[..., 0] - np.sum(np.where(label, logits, 0), axis=-1), axis=-1)


def _categorical_vjp(nll, x, logits):                                                      # ∂l = softmax(l) − 1[c = x]
    log_sum, label = _classes(x, logits)
    return lambda g: unbroadcast(_col(_col(g)) * (np.exp(logits - log_sum) - label), np.shape(logits))


defvjp(categorical_nll, None, _categorical_vjp)                                            # x is discrete: no ∂x
