"""More samples: 1, 5 and 25 draws of z for each image divide the gradient's noise variance by k, and change little.

Only the noise's shape changes, from (n, d) to (k, n, d). The loss is the mean over the samples,

    L(x) = 1/k Σ_i {−log p(x|z_i)} + KL[q(z|x) ‖ p(z)],    z_i = μ + σ ⊙ ε_i,

whose expectation does not depend on k. Given the minibatch, the gradient is a mean of k independent terms: its variance
is that of one sample over k, exactly. The minibatch adds a variance that no k removes.
Kingma & Welling (2014), section 2.3: one sample suffices when the minibatch is large, say 100. --grid puts that to the
test of the post's author: runs of `mnist.py`, 50 epochs each, by batch size and samples, beside his nine.
"""

from support import DEMOS, common, data

import csv
import itertools
import os
import subprocess
import sys
import time

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import (
    bernoulli_likelihood,
    dense,
    evaluate,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    relu,
    rmsprop,
    sequential,
    train,
    vae,
    value_and_grad,
)
from vae_np.nests import leaves

KS = (1, 5, 25)
BATCH, D, WIDTH = 100, 2, 256
AUTHOR = {100: (149.87, 148.62, 148.74), 65: (149.10, 148.50, 149.44), 30: (151.18, 148.69, 148.62)}  # see `grid`
SECONDS = {1: 400, 5: 650, 25: 2500}              # on one core, a run of the grid: 50 epochs


def build():
    encoder = sequential(dense(784, WIDTH), relu, heads(dense(WIDTH, D), dense(WIDTH, D)))
    decoder = sequential(dense(D, WIDTH), relu, dense(WIDTH, 784))
    return vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))


def learn(model, k, images, held_out, epochs, every, seed):
    """Parameters after the last step, and (step, test -ELBO) along the way. Start and minibatches are alike for all."""
    init, order, noise, _ = common.streams(seed)
    total, curve = epochs * -(-len(images) // BATCH), []
    states = train(lambda p, x, eps: np.mean(model.apply(p, x, eps)), model.init(init),
                   minibatches(order, images, BATCH, epochs), gaussian_noise(noise, D, k), rmsprop(1e-3))
    for state in common.progress(states, total, f"k = {k}"):
        if state.step % every == 0 or state.step == total:
            test = common.streams(seed)[3]  # the same noise at every point and for every k
            nelbo, = evaluate(lambda p, x, eps: (model.apply(p, x, eps),), state.params,
                              minibatches(None, held_out, 500), gaussian_noise(test, D))
            curve.append((state.step, nelbo))
    return state.params, onp.array(curve)


def step_times(model, params, images, rounds, seed):
    """Milliseconds of a step for each k: the lower quartile over rounds in turn, all under the same load."""
    _, _, noise, _ = common.streams(seed)
    states = {k: train(lambda p, x, eps: np.mean(model.apply(p, x, eps)), params,
                       itertools.repeat(gray(images[:BATCH])), gaussian_noise(noise, D, k), rmsprop(1e-3)) for k in KS}
    times = {k: [] for k in KS}
    for _, k in common.progress(itertools.product(range(rounds), KS), rounds * len(KS), "time"):
        clock = time.perf_counter()
        next(states[k])
        times[k].append(1e3 * (time.perf_counter() - clock))
    return {k: onp.quantile(times[k], 0.25) for k in KS}


def total_variance(model, params, batches, noise, pairs, description):
    """Σ_j Var[g_j] = E ½‖g − g'‖² over pairs of independent gradients; the estimate and its standard error."""
    differentiate = value_and_grad(lambda p, x, eps: np.mean(model.apply(p, x, eps)))

    def gradient():
        x = next(batches)
        return onp.concatenate([onp.ravel(leaf) for leaf in leaves(differentiate(params, x, noise(len(x)))[1])])

    squares = [0.5 * onp.sum((gradient() - gradient()) ** 2, dtype=onp.float64)
               for _ in common.progress(range(pairs), pairs, description)]
    return onp.mean(squares), onp.std(squares, ddof=1) / onp.sqrt(pairs)


def main(arguments):
    x_train, _, x_test, _ = data.load()
    n, epochs, every, pairs, test_size = (200, 1, 1, 2, 100) if arguments.quick else (60_000, 1, 30, 50, 2000)
    images, held_out = x_train[:n].reshape(n, -1), x_test[:test_size].reshape(test_size, -1)
    model, batch, runs = build(), gray(images[:BATCH]), 1 if arguments.quick else arguments.runs
    seeds = range(arguments.seed, arguments.seed + runs)
    if not arguments.quick:
        common.takes(130 * len(seeds) + len(AUTHOR) * sum(SECONDS[k] for k in set(arguments.grid)))
    runs, fixed, both = [], [], []
    for seed in seeds:
        run = {k: learn(model, k, images, held_out, epochs, every, seed) for k in KS}
        params, test = run[1][0], common.streams(seed)[3]
        runs.append({k: curve for k, (_, curve) in run.items()})
        fixed.append({k: total_variance(model, params, itertools.repeat(batch), gaussian_noise(test, D, k), pairs,
                                        f"variance, k = {k}") for k in KS})
        both.append({k: total_variance(model, params, minibatches(test, images, BATCH, 2 * pairs),
                                       gaussian_noise(test, D, k), pairs, f"with the minibatch, k = {k}") for k in KS})
    ms = step_times(model, params, images, 3 if arguments.quick else 60, arguments.seed)
    rows = [[k, ", ".join(f"{run[k][-1, 1]:.2f}" for run in runs), f"{ms[k]:.1f}", f"{ms[k] / ms[1]:.1f}",
             ", ".join(f"{one[k][0]:.3g}" for one in fixed), ", ".join(ratio(k, one) for one in fixed),
             ", ".join(plus_minus(*one[k]) for one in both)] for k in KS]
    print(f"784-{WIDTH}-{D}, gray MNIST, batch {BATCH}, epochs: {epochs} of {n:,} images, seeds {list(seeds)}; "
          f"test -ELBO on {test_size}.\nVar: of the gradient (nats²), summed over all parameters, at the end of k = 1; "
          "noise: given the minibatch.")
    common.table(["k", "test -ELBO (nats)", "ms a step", "ratio", "Var, noise", "k Var_k / Var_1 (exact: 1)",
                  "Var, minibatch and noise"], rows)
    draw(runs[0], ms, fixed[0], both[0], os.path.join(arguments.out, "samples.png"))
    if arguments.grid:
        grid(arguments)


def grid(arguments):
    """Training −ELBO of the last epoch, its running mean as Keras prints it, by batch and k; runs are gone on with."""
    epochs, found = 1 if arguments.quick else 50, {}
    ks = sorted(set(arguments.grid))
    for batch, k in itertools.product(AUTHOR, ks):
        folder = os.path.join(arguments.out, f"batch{batch}_samples{k}")
        resume = ["--resume"] if os.path.exists(os.path.join(folder, "checkpoint.npz")) else []
        command = [sys.executable, os.path.join(DEMOS, "mnist.py"), *resume, "--out",
                   folder, f"--batch-size={batch}", f"--samples={k}", f"--epochs={epochs}", f"--seed={arguments.seed}"]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise ValueError(f"{folder}: mnist.py ended early; what it said stands above")
        with open(os.path.join(folder, "history.csv"), encoding="utf-8") as file:
            *_, last = csv.DictReader(file)
        found[batch, k] = float(last["train_nelbo"]), float(last["test_nelbo"])
    print(f"\nTraining -ELBO of epoch {epochs} (nats, gray pixels), here / his / ours less his; test -ELBO here")
    his = {(batch, k): value for batch, values in AUTHOR.items() for k, value in zip(KS, values)}
    both = {key: f"{ours:.2f} / {his[key]:.2f} / {ours - his[key]:+.2f}" for key, (ours, _) in found.items()}
    rows = [[batch, *(both[batch, k] for k in ks), *(f"{found[batch, k][1]:.2f}" for k in ks)] for batch in AUTHOR]
    common.table(["batch", *(f"k = {k}" for k in ks), *(f"test, k = {k}" for k in ks)], rows)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    top = max(his.values()) + 2
    for i, batch in enumerate(AUTHOR):
        ours = onp.array([found[batch, k][0] for k in ks])
        axes.plot(ks, onp.where(ours < top, ours, onp.nan), "o-", color=f"C{i}", label=f"batch {batch}, here")
        axes.plot(ks, [his[batch, k] for k in ks], "s--", color=f"C{i}", fillstyle="none",
                  label=f"batch {batch}, the author's")
        for k, value in zip(ks, ours):
            if not value < top:  # a run that broke down
                axes.plot(k, top - 0.2, "^", color=f"C{i}")
                axes.annotate(f"{value:.4g}", (k, top - 0.2), (8, -4), textcoords="offset points", color=f"C{i}")
    axes.set(xscale="log", xlabel="samples k", ylabel=f"training −ELBO, epoch {epochs} (nats, gray pixels)",
             ylim=(None, top), title="the author's grid again")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(os.path.join(arguments.out, "grid.png"), dpi=120)


def plus_minus(value, error):
    return f"{value:.3g} ± {error:.2g}"


def ratio(k, variance):
    """k Var_k / Var_1, and its standard error."""
    (value, error), (one, error_one) = variance[k], variance[1]
    relative = onp.hypot(error / value, error_one / one) if k > 1 else 0
    return plus_minus(k * value / one, k * value / one * relative)


def draw(runs, ms, fixed, both, path):
    figure = Figure(figsize=(13, 4), layout="constrained")
    by_step, by_time, variance = figure.subplots(1, 3)
    for k, curve in runs.items():
        by_step.plot(curve[:, 0], curve[:, 1], label=f"k = {k}")
        by_time.plot(curve[:, 0] * ms[k] / 1e3, curve[:, 1], label=f"k = {k}")
    last = runs[KS[-1]][-1, 1]
    top = max(curve[min(1, len(curve) - 1), 1] for curve in runs.values())
    for axes, label in ((by_step, "step"), (by_time, "time in training (s), log axis")):
        axes.set(xlabel=label, ylabel="test -ELBO (nats)", ylim=(last - 3, top + 3))
        axes.legend(frameon=False)
    by_time.set_xscale("log")
    by_time.xaxis.set_minor_formatter("")
    by_step.set_title("step by step (gray pixels, first seed)")
    by_time.set_title("the price is time")
    ks = onp.array(KS, float)
    bars = lambda values: {"y": [values[k][0] for k in KS], "yerr": [2 * values[k][1] for k in KS], "capsize": 3}
    variance.errorbar(ks, **bars(both), fmt="s-", color="0.5", label="minibatch and noise")
    variance.plot(ks, fixed[1][0] / ks, "k--", linewidth=1, label="1/k, exact")
    variance.errorbar(ks, **bars(fixed), fmt="o", label="noise alone, minibatch fixed")
    variance.set(xscale="log", yscale="log")
    variance.set_xticks(KS, [str(k) for k in KS])
    variance.minorticks_off()
    variance.set(xlabel="samples k", ylabel="variance of the gradient (nats²)",
                 title="only the noise's part falls as 1/k")
    variance.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = common.options(__doc__, "samples")
    parser.add_argument("--runs", type=common.positive, default=3, help="seeds, from --seed on")
    parser.add_argument("--grid", type=int, choices=KS, nargs="+", default=[], metavar="K",
                        help="runs of mnist.py too with 1, 5 or 25 samples, batches of 100, 65, 30")
    common.run(main, parser)
