"""What a trained model is worth: log p(x) by importance sampling, and which of its latents it uses.

The figures of a paper are means over the test set of `log_likelihood`, with k = 5000 samples for
each datum.
"""

import numpy as np
from scipy.special import logsumexp

from vae_np import checks
from vae_np.densities import gaussian_kl
from vae_np.nests import leaves

CHUNK_BYTES = 16 << 20  # of decoder passes at once: less fits the cache, more needs fewer calls
ARRAYS = 8  # as large as the widest layer, alive at once in a chunk: activations and temporaries


def chunk_rows(params, width):
    """How many rows (samples × data) may go through the network at once: the widest layer
    decides."""
    widest = max([width, *(size for leaf in leaves(params) for size in np.shape(leaf))])
    itemsize = max([4, *(np.asarray(leaf).dtype.itemsize for leaf in leaves(params))])
    return max(1, CHUNK_BYTES // (ARRAYS * itemsize * widest))


def log_likelihood(model, params, x, noise, k=5000, progress=lambda steps, total: steps, rows=None):
    """log p(x) ≈ log{1/k Σ_i w_i}, w_i = p(x, z_i) / q(z_i|x), z_i ~ q, for each datum: (n,),
    float64, nats.

    model: has a log_weight, as `vae(...)` of a Gaussian posterior. x: (n, D). noise: m ↦ ε (m, d),
    such as `gaussian_noise(rng, d)`; datum i uses the i-th k rows of the stream, whatever the
    chunks. progress: wraps the steps of the loop, given their number. rows: of a chunk; by default
    what `chunk_rows` allows, so that memory is bounded. The mean lies below log p(x), and rises to
    it with k. Gray x under a Bernoulli: log ∫ p(z) e^−NLL(x, z) dz. That is no probability of a
    gray image, nor the mean of log p over the binary images drawn from it, which is lower; binarize
    x for a figure to compare. Raises ValueError for other shapes, k < 1 or a model without
    log_weight. Burda, Grosse & Salakhutdinov (2016), section 5 and eq. 8.
    """
    x = np.asarray(x)
    checks.likelihood(model, x, noise, k, rows)
    rows = chunk_rows(params, x.shape[1]) if rows is None else rows
    at_once = max(1, rows // k)  # data in a chunk: several with all samples, or one with a part
    result, starts = np.empty(len(x)), range(0, len(x), at_once)
    for start in progress(starts, len(starts)):
        chunk = x[start:start + at_once]
        log_w = np.empty((k, len(chunk)))
        for done in range(0, k, rows):
            part = log_w[done:done + rows]
            eps = np.asarray(noise(len(chunk) * len(part)))
            eps = eps.reshape(len(chunk), len(part), *eps.shape[1:]).swapaxes(0, 1)
            part[:] = checks.log_weights(model.log_weight(params, chunk, eps), part)
        result[start:start + at_once] = logsumexp(log_w, axis=0) - np.log(k)
    return result


def posterior_moments(encoder, phi, x):
    """μ(x), log σ²(x) of a Gaussian posterior for all data, in chunks. x: (n, D). Returns two
    arrays (n, d)."""
    rows = chunk_rows(phi, np.shape(x)[-1])
    chunks = [encoder.apply(phi, x[i:i + rows]) for i in range(0, len(x), rows)]
    checks.outputs("posterior_moments", chunks[0], "mu", "log_var")
    return tuple(np.concatenate(parts) for parts in zip(*chunks))


def active_units(mu, threshold=1e-2):
    """Which latents are used: Var_x{E_q[z_u|x]} > 10⁻², one boolean for each; `.sum()` counts them.

    mu: (n, d), the posterior means over the data. Raises ValueError for other shapes or n < 2.
    Burda, Grosse & Salakhutdinov (2016), section 5.
    """
    checks.table("active_units", 2, mu=mu)
    return np.var(mu, axis=0, dtype=np.float64) > threshold


def kl_by_dimension(mu, log_var):
    """1/n Σ_x KL[N(μ_u(x), σ_u²(x)) ‖ N(0, 1)] of each latent u, in nats; their sum is the model's
    KL term.

    mu, log_var: (n, d). Returns (d,), float64. Raises ValueError for other shapes.
    """
    checks.table("kl_by_dimension", 1, mu=mu, log_var=log_var)
    each = gaussian_kl(np.expand_dims(mu, -1), np.expand_dims(log_var, -1))
    return np.mean(each, axis=0, dtype=np.float64)
