"""Planar flows whose parameters the encoder gives: the posterior bends to its datum, and the bound closes on log p(x).

    z_K = f_K(… f_1(μ(x) + σ(x) ⊙ ε)),    −ELBO = E[−log p(x|z_K) + log q_K(z_K|x) − log p(z_K)],
    f_k(z) = z + û_k(x) tanh(w_k(x)'z + b_k(x)).

First the four images of four pixels of Mescheder, Nowozin & Geiger (2017), figure 4: a perfect model gives each image a
quarter of the latent plane, and −log p(x) = log 4. With two latents −log p(x) is an integral over a grid, and the gap,
KL[q(z|x) ‖ p(z|x)], is known exactly. Then (--mnist) Rezende & Mohamed (2015), section 6.2: binary MNIST, 40 latents,
−log p(x) by importance sampling; flows of one parameter set for all x stand beside. These can be read as part of the
decoder: f_K ∘ … ∘ f_1 turns a prior that is learned into N(0, I), so what they buy is what a learned prior buys.
"""

from support import common, data

import os
from collections import deque
from itertools import chain, islice, repeat

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import logsumexp

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    evaluate,
    gaussian_noise,
    heads,
    log_likelihood,
    minibatches,
    relu,
    sequential,
    tanh,
    train,
    vae,
)
from vae_np.extensions.flows import amortized, flow_posterior, planar, shared
from vae_np.tools import checkpoint

SEEDS = 3
# Four pixels: networks 4-64-64-2 and 2-64-64-4, 32 samples of each image in a step.
LENGTHS, WIDTH, STEPS, SAMPLES = (0, 4, 16), 64, 4000, 32
STAGES = ((0.5, 2e-3), (0.3, 6e-4), (0.2, 2e-4))      # share of the steps, Adam's learning rate
GRID, COLORS = onp.linspace(-6, 6, 201), ("C0", "C1", "C2", "C3")
# MNIST: networks 784-200-40 and back.
SYSTEMS = ((0, "encoder"), (10, "encoder"), (20, "encoder"), (20, "all x"))
LATENT, HIDDEN, BATCH, EPOCHS = 40, 200, 100, 3
IMAGES, IMPORTANCE = 1000, 200


def toy_model(K):
    flow = planar(2, K)
    encoder = sequential(dense(4, WIDTH), relu, dense(WIDTH, WIDTH), relu,
                         heads(dense(WIDTH, 2), dense(WIDTH, 2), amortized(WIDTH, flow)))
    decoder = sequential(dense(2, WIDTH), relu, dense(WIDTH, WIDTH), relu, dense(WIDTH, 4))
    posterior = flow_posterior(encoder, flow)
    return posterior, decoder, vae(posterior, bernoulli_likelihood(decoder))


def mnist_model(K, of):
    flow = planar(LATENT, K)
    parameters = shared(flow) if of == "all x" else amortized(HIDDEN, flow)
    encoder = sequential(dense(784, HIDDEN), tanh, heads(dense(HIDDEN, LATENT), dense(HIDDEN, LATENT), parameters))
    decoder = sequential(dense(LATENT, HIDDEN), tanh, dense(HIDDEN, 784))
    return vae(flow_posterior(encoder, flow), bernoulli_likelihood(decoder))


def fit(model, batches, noise, init, steps, stages, label):
    """The parameters after all stages; each takes its share of the steps from the one stream of batches."""
    loss = lambda params, x, eps: np.mean(model.apply(params, x, eps))
    params, state = model.init(init), None
    batches = iter(batches)
    for share, rate in stages:
        count = max(1, round(share * steps))
        states = train(loss, params, islice(batches, count), noise, adam(rate), resume=state)
        state = deque(chain([state], common.progress(states, count, label)), maxlen=1).pop()
    return state.params


def exact(decoder, theta, x, grid=GRID):
    """log p(x) = log Σ_g p(x|z_g) p(z_g) h² over the grid, (n,), and log p(z_g|x) h², (n, g, g). x: binary."""
    z = onp.stack(onp.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    log_prior = -0.5 * onp.sum(z ** 2, axis=-1) - onp.log(2 * onp.pi) + 2 * onp.log(grid[1] - grid[0])
    l = decoder.apply(theta, z)
    joint = log_prior + x @ l.T - onp.logaddexp(0, l).sum(axis=-1)
    log_p = logsumexp(joint, axis=1)
    return log_p, (joint - log_p[:, None]).reshape(len(x), len(grid), len(grid))


def four_pixels(arguments):
    x, rows, drawn = onp.eye(4, dtype=onp.float32), [], []
    steps, judged = (20, 500) if arguments.quick else (STEPS, 20_000)
    for K in LENGTHS:
        posterior, decoder, model = toy_model(K)
        bounds, nlls, gaps = [], [], []
        for seed in range(arguments.seed, arguments.seed + (1 if arguments.quick else SEEDS)):
            init, _, noise, test = common.streams(seed)
            params = fit(model, repeat(x), gaussian_noise(noise, 2, SAMPLES), init, steps, STAGES,
                         f"K = {K}, seed {seed}")
            eps = gaussian_noise(test, 2, judged)(4)
            nelbo, (log_p, log_posterior) = model.apply(params, x, eps), exact(decoder, params["theta"], x)
            bounds.append(nelbo.mean())
            nlls.append(-log_p.mean())
            gaps.append(bounds[-1] - nlls[-1])
            if seed == arguments.seed:
                drawn.append((posterior.apply(params["phi"], x, eps[:1500])[0], log_posterior))
        rows.append([K, *(", ".join(f"{value:.3f}" for value in column) for column in (bounds, nlls, gaps))])
    draw(drawn, os.path.join(arguments.out, "flow_vae.png"))
    print(f"Four pixels, nats for each image, {len(bounds)} seeds, {steps} steps: -ELBO by {judged} samples, -log p(x) "
          f"by the grid. No model has -log p(x) below log 4 = {onp.log(4):.3f}")
    common.table(["K", "-ELBO", "-log p(x), exact", "gap, KL[q‖p(z|x)]"], rows)


def draw(drawn, path):
    """Above, samples of q(z|x); below, the model's own exact posterior p(z|x): a column a K, a colour an image."""
    figure = Figure(layout="constrained", figsize=(10, 7))
    panels = figure.subplots(2, len(LENGTHS), sharex=True, sharey=True)
    for K, (z, log_posterior), (above, below) in zip(LENGTHS, drawn, panels.T):
        for i, color in enumerate(COLORS):
            above.plot(*z[:, i].T, ".", color=color, markersize=2, alpha=0.5)
            above.plot([], [], "o", color=color, label=f"image {i + 1}")
            density = onp.exp(log_posterior[i] - log_posterior[i].max())
            below.contour(GRID, GRID, density, levels=[0.05, 0.2, 0.5, 0.8], colors=color, linewidths=0.8)
        above.set(title=f"K = {K} flows: samples of q(z|x)", ylabel="$z_2$", aspect="equal")
        below.set(title="its model's exact p(z|x)", xlabel="$z_1$", ylabel="$z_2$", aspect="equal", xlim=(-4, 4),
                  ylim=(-4, 4))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS))
    figure.savefig(path, dpi=120)


def mnist_run(K, of, seed, sets, sizes):
    """−ELBO, a mean, and −log p(x), one for each of the first test images."""
    (x_train, x_test), (epochs, images, importance) = sets, sizes
    init, order, noise, test = common.streams(seed)                        # the same for all systems
    binary_train, binary_test = map(dynamic, order.spawn(2))
    model = mnist_model(K, of)
    batches = minibatches(order, x_train, BATCH, epochs=epochs, pixels=binary_train)
    steps = epochs * -(-len(x_train) // BATCH)
    params = fit(model, batches, gaussian_noise(noise, LATENT), init, steps, ((0.7, 1e-3), (0.3, 3e-4)),
                 f"K = {K}, parameters of {of}, seed {seed}")
    x = binary_test(x_test[:images])                                       # binarized once
    bound, = evaluate(lambda *args: (model.apply(*args),), params, minibatches(None, x, 100),
                      gaussian_noise(test, LATENT, 20))
    nll = -log_likelihood(model, params, x, gaussian_noise(test, LATENT), importance, common.progress)
    return {"bound": bound, "nll": nll}


def mnist(arguments):
    x_train, _, x_test, _ = data.load(arguments.data)
    sets = [x.reshape(len(x), -1)[:500 if arguments.quick else None] for x in (x_train, x_test)]
    sizes = (1, 50, 10) if arguments.quick else (arguments.epochs, IMAGES, IMPORTANCE)
    results = {}
    for seed in range(arguments.seed, arguments.seed + (1 if arguments.quick else SEEDS)):
        for K, of in SYSTEMS:
            options = {"sizes": list(sizes), "data": arguments.data}
            path = os.path.join(arguments.out, f"mnist_{K}_{of.replace(' ', '_')}_seed{seed}.npz")
            run = checkpoint.load(path) if os.path.exists(path) else {}
            if run.get("options") != options:                              # else it was done before a stop
                run = {**mnist_run(K, of, seed, sets, sizes), "options": options}
                checkpoint.save(path, run)
            results[K, of, seed] = run
    seeds, rows = sorted({seed for *_, seed in results}), []
    mean = lambda values, form: f"{onp.mean(values):{form}} ± {onp.std(values, ddof=1) / len(values) ** 0.5:.2f}"
    for K, of in SYSTEMS:
        runs = [results[K, of, seed] for seed in seeds]
        gains = [results[(*SYSTEMS[0], seed)]["nll"] - run["nll"] for seed, run in zip(seeds, runs)]
        rows.append([K, of if K else "-", ", ".join(f"{run['bound']:.2f}" for run in runs),
                     ", ".join(mean(run["nll"], ".2f") for run in runs),
                     ", ".join(mean(gain, "+.2f") for gain in gains) if K else "",
                     ", ".join(f"{run['bound'] - run['nll'].mean():.2f}" for run in runs)])
    print(f"\nBinary MNIST, {LATENT} latents, {sizes[0]} epochs of {len(sets[0]):,} images, seeds {seeds}; nats for "
          f"each of {sizes[1]} test images.\n-log p(x) by {sizes[2]} importance samples ± standard error over images; "
          "gain over K = 0, image by image.")
    common.table(["K", "parameters of", "-ELBO", "-log p(x) <=", "gain over K = 0", "gap"], rows)


def main(arguments):
    if not arguments.quick:
        common.takes(SEEDS * (100 + 60 * arguments.epochs * arguments.mnist))
    four_pixels(arguments)
    if arguments.mnist:
        mnist(arguments)


parser = common.options(__doc__, "flow_vae")
parser.add_argument("--mnist", action="store_true", help="MNIST too; goes on with the systems that --out has not yet")
parser.add_argument("--epochs", type=common.positive, default=EPOCHS, help="on MNIST")
parser.add_argument("--data", default=None, help="a folder of IDX files or an .npz, in place of MNIST")

if __name__ == "__main__":
    common.run(main, parser)
