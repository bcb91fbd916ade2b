"""What can be sampled but not evaluated, as posterior, prior or likelihood: adversarial inference.

A network g_φ(x, ε) can turn noise into z of almost any law, but then nobody can write log q_φ(z|x)
down, and the KL is out of reach. Only the log-ratio log q_φ(z|x) − log p(z) is asked for, though,
and that is what a classifier learns who tells samples of q from samples of p: its logit T_ψ(x, z).
Two steps alternate. ψ is the variable of the classifier's step and a constant of the model's; φ the
other way round. Of the prior, too, only samples are asked for; and where the classifier sees x
beside z and tells the data's pairs from a simulator's, of the likelihood as well. Mescheder,
Nowozin & Geiger (2017); Tran, Ranganath & Blei (2017).
"""

import autograd.numpy as np
import numpy as onp

from vae_np.autodiff import stop_gradient
from vae_np.densities import bernoulli_nll
from vae_np.layers import Block
from vae_np.models import vae
from vae_np.training import train


def _logit(critic, psi, x, z):
    T = critic.apply(psi, x, z)
    if np.shape(T) != np.shape(z)[:-1]:  # (n, 1) would broadcast against the likelihood to (n, n)
        raise ValueError(f"{critic.name}: T has shape {np.shape(T)} for z of shape {np.shape(z)}; "
                         "expected one number a sample")
    return T


def moments(sampler, eps):
    """r_α(z|x) = N(z | μ, σ²) with the moments of q_φ(z|x): (phi, x) ↦ μ, log σ², each (n, d),
    constants.

    eps: (m, e), m draws of noise, the same for every x: their mean and unbiased variance stand for
    q's. Any r is correct as long as the critic's step and the model's use the same one; the nearer
    to q, the less is left for T. Raises ValueError where m < 2, or where q has no spread, so that
    no Gaussian fits.
    """
    if np.ndim(eps) != 2 or len(eps) < 2:
        raise ValueError(f"moments: eps has shape {np.shape(eps)}; "
                         "expected (m, e) with m of at least 2")

    def contrast(phi, x):
        z = sampler.apply(phi, x, onp.repeat(eps[:, None], len(x), axis=1))
        variance = onp.var(z, axis=0, ddof=1)
        if not (variance > 0).all():
            flat = sorted({*onp.where(variance <= 0)[1].tolist()})
            raise ValueError(f"moments: q has no spread in latents {flat}")
        return onp.mean(z, axis=0), onp.log(variance)

    return contrast


def _go_together(name, key, contrast, log_ratio):
    if (contrast is None) != (log_ratio is None):
        raise ValueError(f"{name}: {key if log_ratio is None else 'log_ratio'} alone; adaptive "
                         f"contrast takes {key} and log_ratio(mu, log_var, z) = log r − log p, "
                         "gaussian_log_ratio where p is N(0, I); a prior or a simulator that can "
                         "only be sampled has none, so leave out both")


def implicit_posterior(sampler, critic, psi, contrast=None, log_ratio=None):
    """q_φ(z|x) by its samples z = g_φ(x, ε), kl := T_ψ(x, z) ≈ log q_φ(z|x) − log p(z). apply: phi,
    x, eps -> z, kl.

    sampler: apply phi, x, eps -> z. critic: apply psi, x, z -> (..., n) logits. psi: the critic's
    parameters now; a block is only a pair of functions, so build it anew at each step. kl: (..., n)
    nats; its gradient reaches φ through z alone: log q's own dependence on φ has mean zero, E_q[∇_φ
    log q_φ(z|x)] = 0 (proposition 2). contrast: (phi, x) -> μ, log σ² of a Gaussian r near q, such
    as `moments`: adaptive contrast. The critic then knows only log q − log r, of the standardized
    z̃ = (z − μ)/σ, and log_ratio(mu, log_var, z) = log r − log p is added (section 4): it asks for
    the prior's density. Exact where T is the optimal critic; an untrained one is no bound on
    anything. Mescheder et al. (2017), section 3. Raises ValueError where T is not one number for
    each z, or of contrast and log_ratio one is missing.
    """
    parts = [sampler.name, critic.name] + ["contrast"] * (contrast is not None)
    name = f"implicit_posterior({', '.join(parts)})"
    _go_together(name, "contrast", contrast, log_ratio)

    def apply(phi, x, eps):
        z = sampler.apply(phi, x, eps)
        if contrast is None:
            return z, _logit(critic, stop_gradient(psi), x, z)
        mu, log_var = contrast(stop_gradient(phi), x)
        T = _logit(critic, stop_gradient(psi), x, (z - mu) * onp.exp(-0.5 * log_var))
        return z, T + log_ratio(mu, log_var, z)

    return Block(sampler.init, apply, name)


implicit_likelihood = Block(lambda rng: (),
                            lambda theta, x, z: onp.zeros(np.shape(z)[:-1], z.dtype),
                            "implicit_likelihood")
implicit_likelihood.__doc__ = """−log p(x|z) := 0, in the place of one that is only sampled.

x = g(z, noise) is a simulator; its density is the critic's business, who has learned from pairs
(x', z') the ratio of the joint densities, T_ψ(x, z) ≈ log q_φ(z|x) + log q(x) − log p(z) − log
p(x|z), q(x) the data's law. Then vae(implicit_posterior(...), implicit_likelihood) is −ELBO + log
q(x), whose mean over the data is KL[q(x) q_φ(z|x) ‖ p(x, z)], and log q(x) a constant of φ. Tran,
Ranganath & Blei (2017), section 3: their r is −T.
"""


def critic_loss(sampler, critic, contrast=None):
    """−log σ(T_ψ(x, z)) − log{1 − σ(T_ψ(x', z'))}, z = g_φ(x, ε). loss: psi, phi, x, eps, reference
    -> (..., n).

    Logistic regression between q and what it is compared with, minimised by the log of the ratio of
    their densities, where it is 2 log 2 − 2 JS on average, in nats. φ is a constant. reference: z'
    ~ p(z), of z's shape, beside x' = x: T = log q_φ(z|x) − log p(z). Or a pair (x', z') ~ p(z)
    p(x|z) from a simulator: T is the ratio of the joints, for `implicit_likelihood`. contrast: as
    of `implicit_posterior`, which must have the same; z' ~ N(0, I) then, whatever the prior, which
    is r in the coordinate z̃. Mescheder et al. (2017), eq. 3.3 (there maximised); Tran et al.
    (2017), section 3. Raises ValueError where x', z' have another shape than x, z, or a pair meets
    contrast.
    """

    def loss(psi, phi, x, eps, reference):
        z = sampler.apply(stop_gradient(phi), x, eps)
        simulated, reference = reference if isinstance(reference, tuple) else (x, reference)
        if np.shape(reference) != np.shape(z) or np.shape(simulated) != np.shape(x):
            raise ValueError(f"critic_loss: z' has shape {np.shape(reference)}, beside x' of shape "
                             f"{np.shape(simulated)}; z of q has {np.shape(z)}, beside x of shape "
                             f"{np.shape(x)}; expected the same")
        if contrast is not None:
            if simulated is not x:
                raise ValueError("critic_loss: pairs (x', z') with adaptive contrast, which takes "
                                 "densities that a simulator has not; leave contrast out")
            mu, log_var = contrast(stop_gradient(phi), x)
            z = (z - mu) * onp.exp(-0.5 * log_var)
        return (bernoulli_nll(1.0, _logit(critic, psi, x, z)[..., None])
                + bernoulli_nll(0.0, _logit(critic, psi, simulated, reference)[..., None]))

    return loss


def alternate(sampler, critic, likelihood, params, psi, batches, noise, reference, optimizers,
              steps=1, draws=None, log_ratio=None):
    """Yield the State of the model and the State of the critic after each minibatch: algorithm 1.

    Each minibatch: `steps` steps on ψ with φ fixed, then one on φ, θ with ψ fixed. noise,
    reference: n ↦ ε, and n ↦ what `critic_loss` compares with: the prior's z', or pairs (x', z')
    where the likelihood is `implicit_likelihood`. optimizers: the model's and the critic's. draws,
    log_ratio: with adaptive contrast, r has the moments of so many samples, drawn anew for each
    minibatch (under fixed noise a sampler learns to put samples where no draw shows them to r),
    log_ratio is log r − log p, and the reference N(0, I). Raises ValueError where steps < 1, of
    draws and log_ratio or of pairs and `implicit_likelihood` one is missing, and what `train` and
    `moments` raise.
    """
    if steps < 1:
        raise ValueError(f"alternate: {steps} steps of the critic a minibatch; expected at least 1")
    _go_together("alternate", "draws", draws, log_ratio)
    critic_state = model_state = None

    def compared(n):
        drawn = reference(n)
        if isinstance(drawn, tuple) != (likelihood is implicit_likelihood):
            found = "pairs (x', z')" if isinstance(drawn, tuple) else "z' alone"
            raise ValueError(f"alternate: the reference draws {found} for {likelihood.name}; "
                             "expected pairs for implicit_likelihood, and for no other")
        return noise(n), drawn

    def fitted(phi, x):
        r = moments(sampler, noise(draws))(phi, x)  # once: φ and x stay for the whole minibatch
        return lambda phi, x: r

    def critics(phi, contrast):
        loss = critic_loss(sampler, critic, contrast)
        return lambda psi, x, drawn: np.mean(loss(psi, phi, x, *drawn))

    def models(psi, contrast):
        model = vae(implicit_posterior(sampler, critic, psi, contrast, log_ratio), likelihood)
        return lambda params, x, eps: np.mean(model.apply(params, x, eps))

    for x in batches:
        contrast = None if draws is None else fitted(params["phi"], x)
        *_, critic_state = train(critics(params["phi"], contrast), psi, [x] * steps,
                                 compared, optimizers[1], resume=critic_state)
        psi = critic_state.params
        (model_state,) = train(models(psi, contrast), params, [x], noise, optimizers[0],
                               resume=model_state)
        params = model_state.params
        yield model_state, critic_state
