"""The variational autoencoder, put together from an encoder and a decoder.

A posterior returns z and its divergence from the prior, a likelihood returns the reconstruction
term, and the model adds the two: −ELBO(x) = E_q[−log p_θ(x|z)] + KL[q_φ(z|x) ‖ p(z)]. Every
extension replaces one of these arguments.
"""

from vae_np import checks
from vae_np.densities import (
    bernoulli_nll,
    gaussian_kl,
    gaussian_log_ratio,
    gaussian_nll,
    location_scale,
    sigmoid,
)
from vae_np.layers import Block


def gaussian_posterior(encoder, kl=gaussian_kl, log_ratio=None):
    """q_φ(z|x) = N(z | μ_φ(x), diag σ_φ²(x)), reparameterized. apply: phi, x, eps -> z, kl.

    encoder: a block with the two outputs mu, log_var, each (n, d). kl: the divergence from the
    prior, kl(mu, log_var, z), that is trained on. x: (n, D). eps: (n, d) or (k, n, d), from N(0,
    I). z: of eps' shape. kl: (n,), or (k, n) sampled; nats. log_ratio: phi, x, eps -> z, log
    q_φ(z|x) − log p(z), of which log-weights are made; for a kl of your own, it comes from the
    log_ratio(mu, log_var, z) that you give: which prior you mean, nobody else knows. Raises
    ValueError where the encoder has not two outputs, or shapes disagree.
    """
    given = "" if kl is gaussian_kl else f", kl={getattr(kl, '__name__', kl)}"
    name = f"gaussian_posterior({encoder.name}{given})"
    if log_ratio is None and kl in (gaussian_kl, gaussian_log_ratio):
        log_ratio = gaussian_log_ratio

    def sampled(divergence):
        def apply(phi, x, eps):
            mu, log_var = checks.outputs(name, encoder.apply(phi, x), "mu", "log_var")
            z = location_scale(mu, log_var, eps)
            return z, divergence(mu, log_var, z)
        return apply

    more = {"log_ratio": sampled(log_ratio)} if log_ratio else {}
    return Block(encoder.init, sampled(kl), name, **more)


def bernoulli_likelihood(decoder):
    """p_θ(x|z) = Π_j Bern(x_j | σ(l_j)), l = decoder(z). apply: theta, x, z -> nll, (..., n) in
    nats.

    x: (n, D) in [0, 1]. z: (n, d) or (k, n, d). decoder: a block from d to D logits.
    mean: theta, z -> E[x|z] = σ(l), (..., n, D). Raises ValueError where the decoder has several
    outputs, or gives probabilities instead of logits.
    """
    name = f"bernoulli_likelihood({decoder.name})"

    def logits(theta, z):
        return checks.unbounded(name, decoder, theta, z)

    return Block(decoder.init, lambda theta, x, z: bernoulli_nll(x, logits(theta, z)), name,
                 mean=lambda theta, z: sigmoid(logits(theta, z)))


def gaussian_likelihood(decoder):
    """p_θ(x|z) = N(x | μ_θ(z), diag σ_θ²(z)). apply: theta, x, z -> nll, (..., n) in nats.

    x: (n, D). z: (n, d) or (k, n, d). decoder: a block from d to the two outputs mu, log_var, each
    (..., D). mean: theta, z -> E[x|z] = μ_θ(z). Raises ValueError where the outputs are not two.
    """
    name = f"gaussian_likelihood({decoder.name})"

    def moments(theta, z):
        return checks.outputs(name, decoder.apply(theta, z), "mu", "log_var")

    return Block(decoder.init, lambda theta, x, z: gaussian_nll(x, *moments(theta, z)), name,
                 mean=lambda theta, z: moments(theta, z)[0])


def vae(posterior, likelihood):
    """−ELBO = −log p_θ(x|z) + KL[q_φ(z|x) ‖ p(z)], z = g_φ(x, ε). apply: params, x, eps -> (...,
    n).

    params: {"phi": the posterior's, "theta": the likelihood's}. One number for each datum and
    sample, in nats: take the mean. Kingma & Welling (2014), eqs. 3 and 10. log_weight: params, x,
    eps -> log w = log p_θ(x, z) − log q_φ(z|x), (..., n), sample by sample: what bounds of k
    samples and log p(x) are made of. Never the closed-form KL: the model has it only where the
    posterior has a log_ratio. Burda, Grosse & Salakhutdinov (2016), eq. 8. Raises ValueError where
    a term is not one number for each datum.
    """
    checks.blocks("vae", (posterior,), "phi", "x", "eps")
    checks.blocks("vae", (likelihood,), "theta", "x", "z")
    name = f"vae({posterior.name}, {likelihood.name})"

    def terms(params, x, sampled):
        z, divergence = sampled
        nll = likelihood.apply(params["theta"], x, z)
        checks.one_for_each_datum(name, z, nll=nll, kl=divergence)
        return nll + divergence

    def apply(params, x, eps):
        return terms(params, x, posterior.apply(params["phi"], x, eps))

    def log_weight(params, x, eps):
        return -terms(params, x, posterior.log_ratio(params["phi"], x, eps))

    def init(rng):
        return {"phi": posterior.init(rng), "theta": likelihood.init(rng)}

    more = {"log_weight": log_weight} if hasattr(posterior, "log_ratio") else {}
    return Block(init, apply, name, **more)
