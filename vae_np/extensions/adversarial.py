"""Posteriors that can be sampled but not evaluated: adversarial variational Bayes.

A network g_φ(x, ε) can turn noise into z of almost any law, but then nobody can write log q_φ(z|x)
down, and the KL is out of reach. Only the log-ratio log q_φ(z|x) − log p(z) is asked for, though,
and that is what a classifier learns who tells samples of q from samples of p: its logit T_ψ(x, z).
Two steps alternate. ψ is the variable of the classifier's step and a constant of the model's; φ the
other way round. Mescheder, Nowozin & Geiger (2017).
"""

import autograd.numpy as np
import numpy as onp

from vae_np import checks
from vae_np.autodiff import formula, stop_gradient
from vae_np.densities import bernoulli_nll, gaussian_log_ratio
from vae_np.layers import Block, sequential
from vae_np.models import vae
from vae_np.training import train


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


def implicit_posterior(sampler, critic, psi, contrast=None):
    """q_φ(z|x) by its samples z = g_φ(x, ε), kl := T_ψ(x, z) ≈ log q_φ(z|x) − log p(z). apply: phi,
    x, eps -> z, kl.

    sampler: apply phi, x, eps -> z. critic: apply psi, x, z -> (..., n) logits. psi: the critic's
    parameters now; a block is only a pair of functions, so build it anew at each step. kl: (..., n)
    nats; its gradient reaches φ through z alone: log q's own dependence on φ has mean zero, E_q[∇_φ
    log q_φ(z|x)] = 0 (proposition 2). contrast: (phi, x) -> μ, log σ² of a Gaussian r near q, such
    as `moments`: adaptive contrast. The critic then knows only log q − log r, of the standardized
    z̃ = (z − μ)/σ, and log r − log p is added in closed form (section 4). Exact where T is the
    optimal critic; an untrained one is no bound on anything. Mescheder et al. (2017), section 3.
    Raises ValueError where T is not one number for each z.
    """

    def apply(phi, x, eps):
        z = sampler.apply(phi, x, eps)
        if contrast is None:
            return z, _logit(critic, stop_gradient(psi), x, z)
        mu, log_var = contrast(stop_gradient(phi), x)
        T = _logit(critic, stop_gradient(psi), x, (z - mu) * onp.exp(-0.5 * log_var))
        return z, T + gaussian_log_ratio(mu, log_var, z)

    parts = [sampler.name, critic.name] + ["contrast"] * (contrast is not None)
    name = f"implicit_posterior({', '.join(parts)})"
    return Block(sampler.init, apply, name)


def critic_loss(sampler, critic, contrast=None):
    """−log σ(T_ψ(x, z)) − log{1 − σ(T_ψ(x, z'))}, z = g_φ(x, ε), z' ~ p(z). loss: psi, phi, x, eps,
    prior -> (..., n).

    Logistic regression between q and p, minimised by T = log q_φ(z|x) − log p(z), where it is 2 log
    2 − 2 JS[q ‖ p] on average, in nats. φ is a constant. prior: z' ~ N(0, I), of z's shape.
    contrast: as of `implicit_posterior`, which must have the same; the same N(0, I) then stands for
    r in the coordinate z̃, so only z is replaced. Mescheder et al. (2017), eq. 3.3 (there
    maximised). Raises ValueError where prior has another shape than z.
    """

    def loss(psi, phi, x, eps, prior):
        z = sampler.apply(stop_gradient(phi), x, eps)
        if np.shape(prior) != np.shape(z):
            raise ValueError(f"critic_loss: samples of the prior have shape {np.shape(prior)}, "
                             f"of q {np.shape(z)}; expected the same")
        if contrast is not None:
            mu, log_var = contrast(stop_gradient(phi), x)
            z = (z - mu) * onp.exp(-0.5 * log_var)
        return (bernoulli_nll(1.0, _logit(critic, psi, x, z)[..., None])
                + bernoulli_nll(0.0, _logit(critic, psi, x, prior)[..., None]))

    return loss


def alternate(sampler, critic, likelihood, params, psi, batches, noise, prior, optimizers, steps=1,
              draws=None):
    """Yield the State of the model and the State of the critic after each minibatch: algorithm 1.

    Each minibatch: `steps` steps on ψ with φ fixed, then one on φ, θ with ψ fixed. noise, prior: n
    ↦ ε and n ↦ z'. optimizers: the model's and the critic's. draws: with adaptive contrast, r has
    the moments of so many samples, drawn anew for each minibatch: under fixed noise a sampler
    learns to put samples where no draw shows them to r. Raises ValueError where steps < 1, and what
    `train` and `moments` raise.
    """
    if steps < 1:
        raise ValueError(f"alternate: {steps} steps of the critic a minibatch; expected at least 1")
    critic_state = model_state = None

    def fitted(phi, x):
        r = moments(sampler, noise(draws))(phi, x)  # once: φ and x stay for the whole minibatch
        return lambda phi, x: r

    def critics(phi, contrast):
        loss = critic_loss(sampler, critic, contrast)
        return lambda psi, x, pair: np.mean(loss(psi, phi, x, *pair))

    def models(psi, contrast):
        model = vae(implicit_posterior(sampler, critic, psi, contrast), likelihood)
        return lambda params, x, eps: np.mean(model.apply(params, x, eps))

    for x in batches:
        contrast = None if draws is None else fitted(params["phi"], x)
        *_, critic_state = train(critics(params["phi"], contrast), psi, [x] * steps,
                                 lambda n: (noise(n), prior(n)), optimizers[1], resume=critic_state)
        psi = critic_state.params
        (model_state,) = train(models(psi, contrast), params, [x], noise, optimizers[0],
                               resume=model_state)
        params = model_state.params
        yield model_state, critic_state
