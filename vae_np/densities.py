"""The densities of the post: each a stable formula, its derivative by hand under it.

Every density sums over the last axis and keeps the others: one number for each datum, in nats. Its
inputs are logits and log-variances, never probabilities or standard deviations, so nothing needs to
be clipped. One formula is one node of the graph (`autodiff.formula`).
"""

import autograd.numpy as np

from vae_np import checks
from vae_np.autodiff import flush_denormal, formula

LOG_2PI = float(np.log(2 * np.pi))


@formula(like="a")
def sigmoid(a):
    """σ(a) = 1 / (1 + e^−a): the probability whose logit is a, in (0, 1)."""
    with np.errstate(over="ignore"):  # where e^−a overflows, the quotient is 0, as it should be
        return 1 / (1 + np.exp(-a))


sigmoid.derivatives(a=lambda g, a: g * sigmoid(a) * sigmoid(-a))          # ∂a = σ(a) {1 − σ(a)}


@formula(like="a")
def softplus(a):
    """log(1 + e^a) = max(a, 0) + log(1 + e^−|a|): the second form is finite for every a."""
    return np.maximum(a, 0) + log1p(np.exp(-np.abs(a)))


def log1p(y):
    """log(1 + y) = log u + {y − (u − 1)} / u, u = 1 + y rounded: the second term gives back what
    the rounding took. numpy's own takes one number at a time, and a step of the post's model 1.2 as
    long."""
    u = 1 + y
    return np.log(u) + (y - (u - 1)) / u


softplus.derivatives(a=lambda g, a: g * sigmoid(a))                       # ∂a = σ(a)


@formula(like="logits", summed=True)
def bernoulli_nll(x, logits):
    """−log Bern(x | σ(l)) = Σ_j {log(1 + e^l_j) − x_j l_j}, in nats.

    x: (..., d), in [0, 1]. logits: (..., d), broadcast. Returns (...,). Raises ValueError where
    shapes disagree or x leaves [0, 1]. For gray x the result is the mean over binary images drawn
    as Bern(x), and not comparable with figures for binary ones. Kingma & Welling (2014), appendix
    C.1.
    """
    checks.agree("bernoulli_nll", x=x, logits=logits)
    checks.within("bernoulli_nll", x, 0, 1, ", such as bytes / 255")
    return np.sum(softplus(logits) - x * logits, axis=-1)


bernoulli_nll.derivatives(
    x=lambda g, x, logits: -g * logits,                                   # ∂x = −l
    logits=lambda g, x, logits:                                           # ∂l = σ(l) − x
        flush_denormal(g * (sigmoid(logits) - x)))


@formula(like="mu", summed=True)
def gaussian_nll(x, mu, log_var):
    """−log N(x | μ, σ²) = ½ Σ_j {log 2π + log σ_j² + (x_j − μ_j)² / σ_j²}, in nats.

    x, mu, log_var: (..., d), broadcast. Returns (...,). Raises ValueError where shapes disagree.
    Kingma & Welling (2014), appendix C.2.
    """
    checks.agree("gaussian_nll", x=x, mu=mu, log_var=log_var)
    return 0.5 * np.sum(LOG_2PI + log_var + standardized(x, mu, log_var) ** 2, axis=-1)


def standardized(x, mu, log_var):
    """(x − μ) / σ."""
    return (x - mu) * np.exp(-0.5 * log_var)


def residual(x, mu, log_var):
    """(x − μ) / σ², as twice a division by σ, which overflows later."""
    return standardized(x, mu, log_var) * np.exp(-0.5 * log_var)


gaussian_nll.derivatives(
    x=lambda g, x, mu, log_var: g * residual(x, mu, log_var),             # ∂x = (x − μ)/σ²
    mu=lambda g, x, mu, log_var: -g * residual(x, mu, log_var),           # ∂μ = −(x − μ)/σ²
    log_var=lambda g, x, mu, log_var:                               # ∂log σ² = ½{1 − (x − μ)²/σ²}
        g * 0.5 * (1 - standardized(x, mu, log_var) ** 2))


@formula(like="mu", summed=True)
def gaussian_kl(mu, log_var, z=None):
    """KL[N(μ, σ²) ‖ N(0, I)] = −½ Σ_k {1 + log σ_k² − μ_k² − σ_k²}, in nats.

    mu, log_var: (..., d). Returns (...,). z is not used: every divergence is called kl(mu, log_var,
    z). σ² − 1 is evaluated as expm1(log σ²), exact near σ = 1. Raises ValueError where shapes
    disagree. Kingma & Welling (2014), appendix B.
    """
    checks.agree("gaussian_kl", mu=mu, log_var=log_var)
    return 0.5 * np.sum(mu ** 2 + np.expm1(log_var) - log_var, axis=-1)


gaussian_kl.derivatives(
    mu=lambda g, mu, log_var: g * mu,                                     # ∂μ = μ
    log_var=lambda g, mu, log_var: g * 0.5 * np.expm1(log_var))           # ∂log σ² = ½{σ² − 1}


@formula(like="mu", summed=True)
def gaussian_log_ratio(mu, log_var, z):
    """log N(z | μ, σ²) − log N(z | 0, I) = ½ Σ_k {z_k² − log σ_k² − (z_k − μ_k)² / σ_k²}, in nats.

    mu, log_var: (n, d). z: (..., n, d), samples. Returns (..., n). Its mean over z ~ N(μ, σ²) is
    `gaussian_kl`; log-weights need this form, sample by sample. Raises ValueError where shapes
    disagree. Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    checks.agree("gaussian_log_ratio", mu=mu, log_var=log_var, z=z)
    return 0.5 * np.sum(z ** 2 - log_var - standardized(z, mu, log_var) ** 2, axis=-1)


gaussian_log_ratio.derivatives(
    mu=lambda g, mu, log_var, z: g * residual(z, mu, log_var),            # ∂μ = (z − μ)/σ²
    log_var=lambda g, mu, log_var, z:                               # ∂log σ² = ½{(z − μ)²/σ² − 1}
        g * 0.5 * (standardized(z, mu, log_var) ** 2 - 1),
    z=lambda g, mu, log_var, z: g * (z - residual(z, mu, log_var)))       # ∂z = z − (z − μ)/σ²


@formula(like="mu")
def location_scale(mu, log_var, eps):
    """z = μ + σ ⊙ ε, σ = e^{½ log σ²}: the reparameterization of z ~ N(μ, σ²) by ε ~ N(0, I).

    mu, log_var: (n, d). eps: (n, d), or (k, n, d) for k samples. Returns z of eps' shape.
    Raises ValueError where shapes disagree. Kingma & Welling (2014), section 2.4.
    """
    checks.samples("location_scale", eps, mu=mu, log_var=log_var)
    return mu + np.exp(0.5 * log_var) * eps


location_scale.derivatives(
    mu=lambda g, mu, log_var, eps: g,                                     # ∂μ = 1
    log_var=lambda g, mu, log_var, eps:                                   # ∂log σ² = ½ σ ε
        g * 0.5 * np.exp(0.5 * log_var) * eps,
    eps=lambda g, mu, log_var, eps: g * np.exp(0.5 * log_var))            # ∂ε = σ
