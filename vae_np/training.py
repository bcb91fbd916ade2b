"""The training loop: minibatches, noise and steps.

Each source of chance is an argument with a random stream of its own. A run is then repeated bit for
bit from its seed, and how often you look at it cannot change what it learns.
"""

from typing import Any, NamedTuple

import numpy as np

from vae_np import checks
from vae_np.autodiff import value_and_grad as _value_and_grad


def gray(images):
    """Bytes 0–255 as float32 in [0, 1]; floats and booleans in [0, 1] as they are.

    Raises ValueError for floats outside, and for other integers: of which scale?
    """
    if images.dtype == np.uint8:
        return images * np.float32(1 / 255)
    return checks.pixels(images)


def threshold(images):
    """x = 1 where the gray value is above ½, else 0."""
    return (gray(images) > 0.5).astype(np.float32)


def dynamic(rng):
    """x ~ Bern(gray value), drawn anew each time an image is shown (Salakhutdinov & Murray,
    2008)."""
    checks.generator("dynamic", rng)
    return lambda images: (rng.random(images.shape, np.float32) < gray(images)).astype(np.float32)


def minibatches(rng, data, batch_size, epochs=1, pixels=gray):
    """Yield the rows of data in a new random order each epoch, batch_size at a time; the last may
    be smaller.

    rng: a generator, or None to keep the data's order. data: (n, ...). pixels: what turns the rows
    of a minibatch into numbers, `gray`, `threshold` or `dynamic(rng)`, while the data themselves
    stay bytes; None for data that are no pixels (real numbers, counts, labels), taken as they are.
    Raises ValueError where batch_size is no positive integer, the data are empty or no pixels.
    """
    data = np.asarray(data)
    checks.minibatches(rng, data, batch_size)

    def batches():
        for _ in range(epochs):
            order = np.arange(len(data)) if rng is None else rng.permutation(len(data))
            for i in range(0, len(data), int(batch_size)):
                rows = data[order[i:i + int(batch_size)]]
                yield rows if pixels is None else pixels(rows)

    return batches()


def gaussian_noise(rng, d, k=None):
    """n ↦ ε ~ N(0, I), float32: (n, d), or (k, n, d) for k samples. Raises ValueError where d or k
    is below 1."""
    checks.generator("gaussian_noise", rng)
    if d < 1 or (k is not None and k < 1):
        raise ValueError(f"noise with d = {d}, k = {k}: expected at least 1")
    return lambda n: rng.standard_normal((n, d) if k is None else (k, n, d), np.float32)


class State(NamedTuple):
    """Where training stands after a step: with the random streams' own states, all that a
    checkpoint needs."""

    step: int
    params: Any
    loss: float
    optimizer: Any       # the optimizer's state
    extra: Any = None    # what the loss returned beside its value


def train(loss, params, batches, noise, optimizer, value_and_grad=_value_and_grad, resume=None):
    """Yield a State after each step θ ← update(θ, ∇ loss(θ, x, ε)), for each minibatch x, ε =
    noise(len(x)).

    loss: (params, x, eps) -> a scalar, or (scalar, extra). optimizer: such as `adam(1e-3)`.
    value_and_grad: what differentiates the loss; replaced, for one, to average gradients over
    machines. resume: a State to go on from, in place of params. Raises ValueError where an argument
    is of another kind, and FloatingPointError at the first step whose loss or gradient is not
    finite, naming the step, the parameter and the cause; the State yielded last is then the last
    good one.
    """
    checks.training(loss, batches, noise, optimizer)

    def states(done, params, moments):
        differentiate = value_and_grad(loss)
        for step, x in enumerate(batches, start=done + 1):
            with np.errstate(all="ignore"):  # what overflows is found, and named, by the check
                value, gradient = differentiate(params, x, noise(len(x)))
                value, extra = value if isinstance(value, tuple) else (value, None)
                checks.finite(step, x, value, gradient, params)
                params, moments = optimizer.update(params, gradient, moments)
            yield State(step, params, float(value), moments, extra)

    if resume is None:
        return states(0, params, optimizer.init(params))
    return states(resume.step, resume.params, resume.optimizer)


def evaluate(terms, params, batches, noise):
    """The mean over all data of each of the terms, sampled as in training: a tuple of floats, in
    nats.

    terms: (params, x, eps) -> a tuple of arrays (..., n), such as the nll and the kl. At z = μ
    instead of a sample, the nll would be too good: it is no bound on −log p(x) any more.
    """
    checks.function("evaluate", "noise", noise, "gaussian_noise(rng, d)")
    totals, count = 0.0, 0
    for x in batches:
        values = terms(params, x, noise(len(x)))
        totals = totals + np.array([np.mean(value, dtype=np.float64) * len(x) for value in values])
        count += len(x)
    return tuple(float(total) / count for total in totals)
