"""Bounds of log p(x), each a function of the log-weights alone: the ELBO, IWAE, Rényi's and the χ
bound.

log w_i = log p(x, z_i) − log q(z_i|x) for i = 1 … k is `model.log_weight(params, x, eps)` with eps
(k, n, d). (−`model.apply` is no log-weight where the KL is the closed form: at the exact posterior
"IWAE" of it exceeds log p(x), elsewhere it may lie far below.) All are power means of the weights,
hence for the same samples elbo ≤ renyi(½) ≤ iwae ≤ cubo. A loss is the mean over the data of −elbo,
−iwae, −renyi, or +cubo.
"""

import autograd.numpy as np
import numpy as onp

from vae_np.autodiff import formula, stop_gradient
from vae_np.densities import gaussian_log_ratio


@formula(like="a")
def log_mean_exp(a):
    """log{1/k Σ_i e^a_i} over the first axis: m + log{1/k Σ_i e^(a_i − m)}, m = max_i a_i. (k, ...)
    -> (...,).

    Where the a_i lie close together, the second term is log1p{1/k Σ_i expm1(a_i − m)}, exact also
    where all are near 0. An entry −∞ is a weight of 0; where the result is infinite, its gradient
    is set to 0.
    """
    top = np.max(a, axis=0)
    m = np.where(np.isfinite(top), top, 0)
    near = np.mean(np.expm1(a - m), axis=0)
    with onp.errstate(divide="ignore"):  # log 0 = −∞ is meant
        far = np.log(np.mean(np.exp(a - m), axis=0))
    return (m + np.where(near > -0.5, np.log1p(np.maximum(near, -0.5)), far)).astype(a.dtype)


def shares(a):
    """e^a_i / Σ_j e^a_j: how much of the bound each sample carries."""
    out = log_mean_exp(a)
    infinite = np.isinf(out)
    return np.where(infinite, 0, np.exp(a - np.where(infinite, 0, out)) / len(a))


log_mean_exp.derivatives(a=lambda g, a: g * shares(a))                    # ∂a_i = e^a_i / Σ_j e^a_j


def _samples(name, log_w):
    shape = np.shape(log_w)
    if len(shape) < 2 or shape[0] < 1:
        raise ValueError(f"{name}: log-weights have shape {shape}; "
                         "expected (k, n), k ≥ 1 samples of n data")
    return log_w


def elbo(log_w):
    """ELBO = 1/k Σ_i log w_i ≤ log p(x), in nats. log_w: (k, n) -> (n,).

    Raises ValueError without a sample axis or samples. Kingma & Welling (2014), eq. 6.
    """
    return np.mean(_samples("elbo", log_w), axis=0)


def iwae(log_w):
    """L_k = log{1/k Σ_i w_i}, whose mean rises with k to log p(x), in nats. log_w: (k, n) -> (n,).

    Raises ValueError without a sample axis or samples. Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    return log_mean_exp(_samples("iwae", log_w))


def renyi(log_w, alpha):
    """L_α = 1/(1 − α) log{1/k Σ_i w_i^(1 − α)}, in nats. log_w: (k, n) -> (n,).

    alpha: any number. 1 is the limit, the ELBO; the formula stays exact however near 1 it is, see
    `log_mean_exp`. 0 is IWAE. A lower bound for α > 0 and, with finite k, for α = 0; for α < 0 it
    tends with k to an upper bound, but its k-sample mean is below. Raises ValueError without a
    sample axis or samples, or where alpha is not finite. Li & Turner (2016), section 3.
    """
    if not onp.isfinite(alpha):
        raise ValueError(f"renyi: alpha is {alpha}; expected a finite number")
    t = 1 - float(alpha)
    return elbo(log_w) if t == 0 else log_mean_exp(t * _samples("renyi", log_w)) / t


def cubo(log_w, n=2):
    """χ bound: CUBO_n = 1/n log{1/k Σ_i w_i^n} = L_α of α = 1 − n, in nats. log_w: (k, n) -> (n,).

    With k → ∞ it is an upper bound for n ≥ 1, and is minimised; with k samples its mean is too low.
    n > 0; 1 is IWAE. Raises ValueError without a sample axis or samples, or where n is not
    positive. Dieng et al. (2017), section 2.
    """
    if not (n > 0 and onp.isfinite(n)):
        raise ValueError(f"cubo: n is {n}; expected a positive number")
    n = float(n)
    return log_mean_exp(n * _samples("cubo", log_w)) / n


def path_log_ratio(mu, log_var, z):
    """`gaussian_log_ratio` whose gradient flows through z alone: μ and σ count as constants.
    "Sticking the landing".

    What is left out, the score ∂ log q/∂(μ, σ) at fixed z, has mean 0: the ELBO's gradient keeps
    its mean, and is 0 for every sample once q is the exact posterior. For k > 1 samples in IWAE the
    mean does change (Tucker et al., 2019). A `kl` for `gaussian_posterior`. Roeder, Wu & Duvenaud
    (2017).
    """
    return gaussian_log_ratio(stop_gradient(mu), stop_gradient(log_var), z)
