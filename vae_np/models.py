"""The variational autoencoder, put together from an encoder and a decoder.

A posterior returns z and its divergence from the prior, a likelihood returns the reconstruction term, and the model
adds the two: −ELBO(x) = E_q[−log p_θ(x|z)] + KL[q_φ(z|x) ‖ p(z)]. Every extension replaces one of these arguments.
"""

import inspect

from vae_np.densities import bernoulli_nll, categorical_nll, gaussian_kl, gaussian_nll, location_scale, poisson_nll
from vae_np.layers import Block


def _two(name, outputs):
    """mu, log_var, or ValueError: an encoder or decoder of one output has no variance."""
    if not isinstance(outputs, tuple) or len(outputs) != 2:
        found = len(outputs) if isinstance(outputs, tuple) else 1
        raise ValueError(f"{name}: its network gives {found} outputs; expected mu and log_var, as of heads(..., ...)")
    return outputs


def gaussian_posterior(encoder, kl=gaussian_kl):
    """q_φ(z|x) = N(z | μ_φ(x), diag σ_φ²(x)), reparameterized. apply: phi, x, eps -> z, kl.

    encoder: a block with the two outputs mu, log_var, each (n, d). kl: a function of (mu, log_var), such as the closed
    form, or of (mu, log_var, z), such as `gaussian_log_ratio`, which bounds of several samples need.
    Raises ValueError where the encoder has not two outputs, or shapes disagree.
    x: (n, D). eps: (n, d) or (k, n, d), drawn from N(0, I). z: of eps' shape. kl: (n,), or (k, n) sampled; nats.
    """
    asked = [p for p in inspect.signature(kl).parameters.values() if p.default is p.empty]
    given = "" if kl is gaussian_kl else f", kl={getattr(kl, '__name__', kl)}"
    name = f"gaussian_posterior({encoder.name}{given})"

    def apply(phi, x, eps):
        mu, log_var = _two(name, encoder.apply(phi, x))
        z = location_scale(mu, log_var, eps)
        return z, kl(mu, log_var, z) if len(asked) > 2 else kl(mu, log_var)

    return Block(encoder.init, apply, name)


def bernoulli_likelihood(decoder):
    """p_θ(x|z) = Π_j Bern(x_j | σ(l_j)), l = decoder(z). apply: theta, x, z -> nll, (..., n) in nats.

    x: (n, D) in [0, 1]. z: (n, d) or (k, n, d). decoder: a block from d to D logits.
    """
    return Block(decoder.init, lambda theta, x, z: bernoulli_nll(x, decoder.apply(theta, z)),
                 f"bernoulli_likelihood({decoder.name})")


def gaussian_likelihood(decoder):
    """p_θ(x|z) = N(x | μ_θ(z), diag σ_θ²(z)). apply: theta, x, z -> nll, (..., n) in nats.

    x: (n, D). z: (n, d) or (k, n, d). decoder: a block from d to the two outputs mu, log_var, each (..., D).
    """
    name = f"gaussian_likelihood({decoder.name})"
    return Block(decoder.init, lambda theta, x, z: gaussian_nll(x, *_two(name, decoder.apply(theta, z))), name)


def vae(posterior, likelihood):
    """−ELBO = −log p_θ(x|z) + KL[q_φ(z|x) ‖ p(z)], z = g_φ(x, ε). apply: params, x, eps -> (..., n) in nats.

    params: {"phi": the posterior's, "theta": the likelihood's}. One number for each datum and sample: take the mean.
    −apply is the log-weight log w where the posterior's kl is the log-ratio. Kingma & Welling (2014), eqs. 3 and 10.
    """

    def apply(params, x, eps):
        z, kl = posterior.apply(params["phi"], x, eps)
        return likelihood.apply(params["theta"], x, z) + kl

    return Block(lambda rng: {"phi": posterior.init(rng), "theta": likelihood.init(rng)}, apply,
                 f"vae({posterior.name}, {likelihood.name})")


def poisson_likelihood(decoder):
    """p_θ(x|z) = Π_j Poisson(x_j | e^r_j), r = decoder(z). apply: theta, x, z -> nll, (..., n) in nats.

    x: (n, D), counts. z: (n, d) or (k, n, d). decoder: a block from d to D log-rates.
    """
    return Block(decoder.init, lambda theta, x, z: poisson_nll(x, decoder.apply(theta, z)),
                 f"poisson_likelihood({decoder.name})")


def categorical_likelihood(decoder, classes):
    """p_θ(x|z) = Π_j Cat(x_j | softmax(l_j)), l = decoder(z). apply: theta, x, z -> nll, (..., n) in nats.

    x: (n, D), labels 0, …, C − 1 where C = classes. z: (n, d) or (k, n, d). decoder: a block from d to D·C logits, the
    C of the first variable first. Raises ValueError where they are no multiple of C.
    """
    name = f"categorical_likelihood({decoder.name}, {classes})"

    def apply(theta, x, z):
        logits = decoder.apply(theta, z)
        if logits.shape[-1] % classes:
            raise ValueError(f"{name}: the decoder gives {logits.shape[-1]} logits; expected a multiple of {classes}")
        return categorical_nll(x, logits.reshape((*logits.shape[:-1], -1, classes)))

    return Block(decoder.init, apply, name)
