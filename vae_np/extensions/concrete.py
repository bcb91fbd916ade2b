"""The Concrete law: the density of a relaxed draw, with which a soft z has a bound.

Where the decoder sees soft z in training and the prior is relaxed as well, p_λ(x) = ∫ p(x|z) p_λ(z)
dz is a model of its own, and log p(x|z) + log p_λ(z) − log q_τ(z|x) its log-weight: an ELBO, bounds
of k samples, importance sampling, all as with a Gaussian. It is another model than the discrete
one, which it becomes as τ, λ → 0; with the same parameters, judge that by `relaxed` at `hard=True`.
The bound is honest, and dear: at τ = λ its KL does not depend on τ, is never below the discrete
one, and beside a uniform prior begins as K²/(K + 1) times it: 4/3 for coins, 9 for ten categories.

Densities are those of s, the logits of z: z = σ(s), or softmax(s) whose s counts up to a constant.
z itself reaches 0 and 1 in floating point, where its density is infinite; s does not. Going from s
to z, the same Jacobian divides log q and log p: their difference is that of z.

The draws and the posteriors' form are those of the room `relaxed`; `log_softmax` is that of
`likelihoods`. Maddison, Mnih & Teh (2017), "The Concrete distribution".
"""

import math

import autograd.numpy as np

from vae_np.densities import sigmoid, softplus
from vae_np.extensions.likelihoods import log_softmax
from vae_np.extensions.relaxed import (
    gumbel_logits,
    logistic_logits,
    named,
    posterior,
    softmax,
    temperature,
)


def binary_concrete_log_density(s, logits, tau):
    """log q(s) = Σ_k {log τ + a_k − 2 log(1 + e^a_k)}, a = l − τ s, in nats: s is logistic around
    l/τ, of scale 1/τ.

    s: (..., d), the logits of z = σ(s). logits: (..., d), broadcast. Returns (...,). In z it is
    log q(s) − Σ_k log z_k (1 − z_k). Raises ValueError where τ is not positive. Maddison et al.
    (2017), appendix B.
    """
    tau = temperature(tau)
    a = logits - tau * s
    return np.sum(math.log(tau) + a - 2 * softplus(a), axis=-1)


def concrete_log_density(s, logits, tau):
    """log q(s) = Σ_i {log (K − 1)! + (K − 1) log τ + Σ_j log softmax(l_i − τ s_i)_j}, in nats.

    s: (..., N, K), with z = softmax(s) over K. logits: (..., N, K), broadcast; both count up to a
    constant in each variable. Returns (...,). The density is that of the K − 1 differences s_j −
    s_K; in z (the first K − 1 of each variable), log q(s) − Σ_ij log z_ij. With K = 2 it is
    `binary_concrete_log_density` of the differences. Raises ValueError where τ is not positive.
    Maddison et al. (2017), definition 1 and appendix C.3.
    """
    tau, (N, K) = temperature(tau), np.shape(s)[-2:]
    constant = N * (math.lgamma(K) + (K - 1) * math.log(tau))
    return np.sum(log_softmax(logits - tau * s), axis=(-2, -1)) + constant


def concrete_posterior(encoder, tau, categories, prior_tau, prior=None):
    """q_φ(z|x) = Π_i Concrete(z_i | l_i, τ) and p(z) = Π_i Concrete(z_i | c_i, λ), l = encoder(x).
    apply: phi, x, u -> z, log q − log p.

    encoder, categories, x, u: as of `categorical_posterior`. prior_tau: λ, which belongs to the
    model, while τ is a choice of q's: the bound is best at neither extreme. prior: None, all c
    alike, or `constant(N·K)`: learned, with phi = {"encoder", "prior"}. z: of u's shape, K-blocks
    on the simplex. The second is sampled, (..., n), nats: its log_ratio too. Raises ValueError
    where sizes disagree, or τ or λ is not positive. Maddison et al. (2017), appendix C.3.
    """
    name = (f"concrete_posterior({encoder.name}, {tau:.3g}, {categories}, {prior_tau:.3g}"
            f"{named(prior)})")
    return _posterior(name, encoder, gumbel_logits, softmax, concrete_log_density, tau, prior_tau,
                      prior, categories)


def binary_concrete_posterior(encoder, tau, prior_tau, prior=None):
    """q_φ(z|x) = Π_k BinConcrete(z_k | l_k, τ) and p(z) = Π_k BinConcrete(z_k | c_k, λ), l =
    encoder(x). apply: phi, x, u -> z, log q − log p.

    encoder, x, u: as of `bernoulli_posterior`. prior: None (c = 0), or `constant(d)`. The rest: see
    `concrete_posterior`.
    """
    name = (f"binary_concrete_posterior({encoder.name}, {tau:.3g}, {prior_tau:.3g}"
            f"{named(prior)})")
    return _posterior(name, encoder, logistic_logits, sigmoid, binary_concrete_log_density, tau,
                      prior_tau, prior)


def _posterior(name, encoder, draw, squash, log_density, tau, prior_tau, prior, categories=None):
    tau, prior_tau = temperature(tau), temperature(prior_tau)

    def sample(logits, u):
        s = draw(logits, u, tau)
        return s, squash(s)

    def log_ratio(logits, s, prior_logits=0.0):
        return log_density(s, logits, tau) - log_density(s, prior_logits, prior_tau)

    return posterior(name, encoder, sample, log_ratio, log_ratio, prior, categories)
