"""What a trained model is worth: log p(x) by importance sampling, and which of its latents it uses.

The figures of a paper are means over the test set of `log_likelihood`, with k = 5000 samples for each datum.
"""

import numpy as np
from scipy.special import logsumexp

from vae_np.autodiff import leaves
from vae_np.densities import gaussian_kl

# Memory for one chunk of decoder passes. Smaller chunks fit the cache, larger ones need fewer calls.
CHUNK_BYTES = 16 << 20
ARRAYS = 8  # as large as the widest layer, alive at once in a chunk: activations and the temporaries of a density


def chunk_rows(params, width):
    """How many rows (samples × data) may go through the network at once: the widest layer decides, not the user."""
    shapes = [np.shape(leaf) for leaf in leaves(params)]
    widest = max([width, *(size for shape in shapes for size in shape)])
    itemsize = max([4, *(np.asarray(leaf).dtype.itemsize for leaf in leaves(params))])
    return max(1, CHUNK_BYTES // (ARRAYS * itemsize * widest))


def log_likelihood(model, params, x, noise, k=5000, progress=lambda steps, total: steps, rows=None):
    """log p(x) ≈ log{1/k Σ_i w_i}, w_i = p(x, z_i) / q(z_i|x), z_i ~ q, for each datum. Returns (n,), float64, nats.

    model: its −apply must be the log-weight of each sample, so `gaussian_posterior(encoder, kl=gaussian_log_ratio)`;
    the parameters trained with the closed-form KL fit that model too. x: (n, D), floats. noise: m ↦ ε (m, d), such as
    `gaussian_noise(rng, d)`; datum i uses the i-th k rows of the stream, whatever the chunks. progress: wraps the steps
    of the loop, given their number. rows: of a chunk; by default what `chunk_rows` allows, so that memory is bounded.
    The mean lies below log p(x), and rises to it with k. Raises ValueError for other shapes or k < 1.
    Burda, Grosse & Salakhutdinov (2016), section 5 and eq. 8.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind != "f" or len(x) == 0:
        raise ValueError(f"log_likelihood: x has shape {x.shape} and dtype {x.dtype}; expected floats, (n, D), n ≥ 1")
    if k < 1 or k != int(k):
        raise ValueError(f"log_likelihood: k is {k}; expected an integer of at least 1")
    rows = chunk_rows(params, x.shape[1]) if rows is None else rows
    if rows < 1:
        raise ValueError(f"log_likelihood: chunks of {rows} rows; expected at least 1")
    at_once = max(1, rows // k)  # data in a chunk: several with all their samples, or one with a part of them
    result = np.empty(len(x))
    starts = range(0, len(x), at_once)
    for start in progress(starts, len(starts)):
        chunk = x[start:start + at_once]
        total = np.full(len(chunk), -np.inf)
        for done in range(0, k, rows):
            samples = min(rows, k - done)
            eps = np.asarray(noise(len(chunk) * samples))
            eps = eps.reshape(len(chunk), samples, *eps.shape[1:]).swapaxes(0, 1)
            log_w = -np.asarray(model.apply(params, chunk, eps), np.float64)
            if log_w.shape != (samples, len(chunk)):
                raise ValueError(f"log_likelihood: the model returned {log_w.shape} for {samples} samples of "
                                 f"{len(chunk)} data; expected {(samples, len(chunk))}")
            total = np.logaddexp(total, logsumexp(log_w, axis=0))
        result[start:start + at_once] = total - np.log(k)
    return result


def posterior_moments(encoder, phi, x):
    """μ(x), log σ²(x) of a Gaussian posterior for all data, in chunks. x: (n, D). Returns two arrays (n, d)."""
    rows = chunk_rows(phi, np.shape(x)[-1])
    chunks = [encoder.apply(phi, x[i:i + rows]) for i in range(0, len(x), rows)]
    return tuple(np.concatenate(parts) for parts in zip(*chunks))


def active_units(mu, threshold=1e-2):
    """Which latents are used: Var_x{E_q[z_u|x]} > 10⁻², one boolean for each; `.sum()` counts them.

    mu: (n, d), the posterior means over the data. Raises ValueError for other shapes or n < 2.
    Burda, Grosse & Salakhutdinov (2016), section 5.
    """
    _moments("active_units", mu=mu)
    if len(mu) < 2:
        raise ValueError(f"active_units: mu has shape {np.shape(mu)}; expected at least 2 data to have a variance")
    return np.var(mu, axis=0, dtype=np.float64) > threshold


def kl_by_dimension(mu, log_var):
    """1/n Σ_x KL[N(μ_u(x), σ_u²(x)) ‖ N(0, 1)] of each latent u, in nats; their sum is the model's KL term.

    mu, log_var: (n, d). Returns (d,), float64. Raises ValueError for other shapes.
    """
    _moments("kl_by_dimension", mu=mu, log_var=log_var)
    return np.mean(gaussian_kl(np.expand_dims(mu, -1), np.expand_dims(log_var, -1)), axis=0, dtype=np.float64)


def _moments(name, **arrays):
    shapes = {key: np.shape(array) for key, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
        listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ValueError(f"{name}: got {listed}; expected (n, d), n ≥ 1, of all")
