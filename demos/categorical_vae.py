"""A VAE whose code is 20 variables of 10 categories each, trained through the Gumbel-softmax.

Claim: draws from a categorical law, softened at a temperature τ, let a gradient through, and a VAE learns to code
digits in words of a small alphabet. But the sum that is minimised is no bound: a soft z tells the decoder more than a
category could, while the KL counts it as a category. So the bound at hard draws stands beside it, all the way.

    y = softmax((log π + G) / τ),  G = −log(−log u),   τ_t = max(½, e^{−r t})
    −ELBO = E[−log p(x|z)] + Σ_i {Σ_j π_ij log π_ij + log 10},   z one-hot

Jang, Gu & Poole (2017), "Categorical reparameterization with Gumbel-softmax", table 1 reports 101.5 nats for a 20 × 10
categorical VAE (bounds of 1000 samples, binarized MNIST, much longer training). Binary pixels here: drawn anew at each
showing with the gray value as probability.
"""

from support import data
from support.common import options, positive, progress, run, streams, table

import itertools
import math
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import expit, logsumexp

from vae_np import adam, bernoulli_likelihood, dense, dynamic, evaluate, minibatches, relu, sequential, train, vae
from vae_np.extensions.relaxed import categorical_log_ratio, categorical_posterior

VARIABLES, CATEGORIES, WIDTH = 20, 10, 256
CODE = VARIABLES * CATEGORIES
BATCH, LEARNING_RATE, RATE, COLDEST = 100, 1e-3, 1e-4, 0.5
ENCODER = sequential(dense(784, WIDTH), relu, dense(WIDTH, CODE))
DECODER = sequential(dense(CODE, WIDTH), relu, dense(WIDTH, 784))


def model(tau, **kind):
    """The VAE at temperature tau. Building it costs nothing: its parameters live outside."""
    return vae(categorical_posterior(ENCODER, tau, CATEGORIES, **kind), bernoulli_likelihood(DECODER))


def loss(params, x, noise):
    u, tau = noise
    return np.mean(model(tau).apply(params, x, u))


def uniform(rng, *samples):
    return lambda n: rng.random((*samples, n, CODE), onp.float32)


def annealed(rng):
    """n ↦ (u, τ_t): the temperature comes along with the noise, and t counts the calls."""
    count, draw = itertools.count(), uniform(rng)
    return lambda n: (draw(n), max(COLDEST, math.exp(-RATE * next(count))))


def bounds(params, images, tau, rng, samples=1):
    """Mean over images of the relaxed sum at tau, of −ELBO at hard draws, and of −log p(x) <= by hard samples."""
    def terms(params, x, u):
        log_w = -model(tau, hard=True, kl=categorical_log_ratio).apply(params, x, u)
        return (model(tau).apply(params, x, u).mean(axis=0), model(tau, hard=True).apply(params, x, u).mean(axis=0),
                math.log(len(u)) - logsumexp(log_w, axis=0))

    pixels, draws = rng.spawn(2)
    return evaluate(terms, params, minibatches(None, images, 50, pixels=dynamic(pixels)), uniform(draws, samples))


def main(arguments):
    epochs, test, samples = (2, 200, 2) if arguments.quick else (arguments.epochs, 2000, 100)
    x_train, _, x_test, _ = data.load()
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    x_train = x_train[:2000] if arguments.quick else x_train
    init, order, noise, tests = streams(arguments.seed)
    params = model(1.0).init(init)
    per_epoch = math.ceil(len(x_train) / BATCH)
    batches = minibatches(order, x_train, BATCH, epochs, dynamic(order.spawn(1)[0]))
    curve = []
    steps = train(loss, params, batches, annealed(noise), adam(LEARNING_RATE))
    for state in progress(steps, epochs * per_epoch, "Gumbel-softmax"):
        if state.step % per_epoch == 0:
            tau = max(COLDEST, math.exp(-RATE * state.step))
            curve.append((state.step // per_epoch, tau, *bounds(state.params, x_test[:test], tau, tests)[:2]))
    params = state.params

    tau = curve[-1][1]
    rows = [(f"epoch {e}, {test} test images", f"{t:.3f}", f"{soft:.2f}", f"{hard:.2f}", "")
            for e, t, soft, hard in curve if e in (1, 2, 5, 10, 20, epochs)]
    soft, hard, _ = bounds(params, x_test[:10 * test], tau, tests)
    rows.append((f"all {len(x_test[:10 * test])} test images", f"{tau:.3f}", f"{soft:.2f}", f"{hard:.2f}", ""))
    soft, hard, tight = bounds(params, x_test[:test // 2], tau, tests, samples)
    rows.append((f"{samples} samples, {test // 2} test images", f"{tau:.3f}", f"{soft:.2f}", f"{hard:.2f}",
                 f"{tight:.2f}"))
    rows.append(("Jang, Gu & Poole (2017), long training", "", "", "", "101.5"))
    table(["nats, dynamically binarized MNIST", "tau", "relaxed sum", "-ELBO, hard z", "-log p(x) <="], rows)
    figures(arguments.out, params, curve, x_test, tests, tau)


def figures(out, params, curve, x_test, rng, tau):
    epochs, taus, soft, hard = map(onp.array, zip(*curve))
    figure = Figure(layout="constrained", figsize=(6, 3.6))
    axes = figure.subplots()
    axes.plot(epochs, hard, "o-", ms=3, label="−ELBO at hard draws: a bound")
    axes.plot(epochs, soft, "o-", ms=3, label="relaxed sum: no bound")
    axes.set(xlabel="epoch", ylabel="nats per image, binary pixels", title="What is minimised, and what it is worth")
    cooling = axes.twinx()
    cooling.plot(epochs, taus, ":", color="gray")
    cooling.set(ylabel="temperature τ (dotted)", ylim=(0, 1.05))
    axes.legend(loc="upper right")
    figure.savefig(os.path.join(out, "bounds.png"), dpi=120)

    # One test image's code, one variable at a time set to each of its categories.
    x, u = (x_test[:1] > 127).astype(onp.float32), rng.random((1, CODE), onp.float32)
    z, _ = categorical_posterior(ENCODER, tau, CATEGORIES, hard=True).apply(params["phi"], x, u)
    words = onp.repeat(z.reshape(1, 1, VARIABLES, CATEGORIES), CATEGORIES, axis=1)
    words = onp.repeat(words, VARIABLES, axis=0)                                # (variable, category, 20, 10)
    words[onp.arange(VARIABLES), :, onp.arange(VARIABLES)] = onp.eye(CATEGORIES)
    own = z.reshape(VARIABLES, CATEGORIES).argmax(axis=-1)
    drawn = onp.eye(CATEGORIES, dtype=onp.float32)[rng.integers(CATEGORIES, size=(VARIABLES, CATEGORIES, VARIABLES))]
    figure = Figure(layout="constrained", figsize=(9, 8.8))
    left, right = figure.subplots(1, 2)
    tiles(left, params, words.astype(onp.float32), "One code; row i: variable i set to each category\n"
          "(framed: the category that was drawn)", own)
    left.set(xlabel="category", ylabel="variable", xticks=14 + 28 * onp.arange(CATEGORIES),
             xticklabels=range(CATEGORIES), yticks=14 + 28 * onp.arange(VARIABLES), yticklabels=range(VARIABLES))
    tiles(right, params, drawn, "Codes drawn from the prior: every category\nof every variable equally likely")
    right.set(xticks=[], yticks=[])
    figure.savefig(os.path.join(out, "categories.png"), dpi=120)


def tiles(axes, params, words, title, framed=()):
    """The pixels' probabilities for a grid of codes (rows, columns, 20, 10)."""
    rows, columns = words.shape[:2]
    images = expit(DECODER.apply(params["theta"], words.reshape(rows * columns, CODE)))
    axes.imshow(images.reshape(rows, columns, 28, 28).transpose(0, 2, 1, 3).reshape(rows * 28, columns * 28),
                cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for row, column in enumerate(framed):
        axes.plot(28 * column + onp.array([0, 27, 27, 0, 0]), 28 * row + onp.array([0, 0, 27, 27, 0]), color="C1", lw=1)
    axes.set_title(title, fontsize=10)


if __name__ == "__main__":
    parser = options(__doc__, "categorical_vae")
    parser.add_argument("--epochs", type=positive, default=10, help="passes over the 60,000 training images")
    run(main, parser)
