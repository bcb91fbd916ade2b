"""IWAE against the VAE: with k samples in the logarithm, the bound is tighter and more latents are used.

Both see the same k samples; only where the mean stands differs, 1/k Σ_i log w_i (VAE) or log{1/k Σ_i w_i} (IWAE):

    loss = −elbo(log_w)   or   −iwae(log_w),    log_w = model.log_weight(params, x, eps),  (k, n).

Burda, Grosse & Salakhutdinov (2016), Table 1: MNIST, dynamically binarized, 50 latents, 200-200 tanh, Adam with ε 1e-4,
batch 20, eight stages of 3^i epochs at learning rate .001 · 10^(−i/7), 3280 epochs in all (their code: β₁ = 0.99, a
second moment that starts at one, and output biases that start at the logits of the pixels' means; ours start at zero).
Here: stage 0 alone, one epoch, on 20,000 images; --full: three stages, 13 epochs, on all 60,000. log p(x) by importance
sampling; a latent is active if Var_x{E_q[z|x]} > 10⁻².
"""

from support import common, data

import os
import resource
import sys
import time

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    gaussian_noise,
    gaussian_posterior,
    heads,
    minibatches,
    sequential,
    tanh,
    train,
    vae,
)
from vae_np.evaluation import active_units, kl_by_dimension, log_likelihood, posterior_moments
from vae_np.extensions.bounds import elbo, iwae

D, WIDTH, BATCH = 50, 200, 20
SYSTEMS = [("VAE", elbo, 1), ("VAE", elbo, 5), ("IWAE", iwae, 5), ("VAE", elbo, 50), ("IWAE", iwae, 50)]
PAPER = {("VAE", 1): (86.76, 19), ("VAE", 5): (86.47, 20), ("VAE", 50): (86.35, 20),   # NLL in nats, active units
         ("IWAE", 1): (86.76, 19), ("IWAE", 5): (85.54, 22), ("IWAE", 50): (84.78, 25)}
encoder = sequential(dense(784, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, heads(dense(WIDTH, D), dense(WIDTH, D)))
decoder = sequential(dense(D, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, dense(WIDTH, 784))
model = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))


def learn(bound, k, images, stages, seed, label):
    """The parameters after the stages, the loss at each step, and the seconds: the same start and images for all."""
    init, order, noise, _ = common.streams(seed)
    order, pixels = order.spawn(2)
    loss = lambda p, x, eps: -np.mean(bound(model.log_weight(p, x, eps)))
    params, state, losses, clock = model.init(init), None, [], time.perf_counter()
    for stage in range(stages):
        epochs = 3 ** stage
        batches = minibatches(order, images, BATCH, epochs, pixels=dynamic(pixels))
        states = train(loss, params, batches, gaussian_noise(noise, D, k),
                       adam(1e-3 * 10 ** (-stage / 7), epsilon=1e-4), resume=state)
        for state in common.progress(states, epochs * -(-len(images) // BATCH), f"{label}, stage {stage}"):
            losses.append(state.loss)
    return state.params, onp.array(losses), time.perf_counter() - clock


def peak_memory():
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2 ** 20 if sys.platform == "darwin" else 2 ** 10)


def plus_minus(values):
    """Mean and its standard error, as text."""
    return f"{values.mean():+.2f} ± {values.std(ddof=1) / onp.sqrt(len(values)):.2f}"


def main(arguments):
    full, quick = arguments.full, arguments.quick
    stages = arguments.stages or (3 if full else 1)
    n, digits, k_test = (200, 4, 50) if quick else (60_000, 500, 1000) if full else (20_000, 300, 1000)
    x_train, _, x_test, _ = data.load()
    images = x_train[:n].reshape(n, -1)
    test = common.streams(arguments.seed)[3]
    held_out = dynamic(test)(x_test.reshape(len(x_test), -1))  # binarized once, the same for every system
    rows, results = [], {}
    for name, bound, k in SYSTEMS:
        params, losses, seconds = learn(bound, k, images, stages, arguments.seed, f"{name} k = {k}")
        noise = gaussian_noise(common.streams(arguments.seed)[3], D)
        nll = -log_likelihood(model, params, held_out[:digits], noise, k=k_test, progress=common.progress)
        mu, log_var = posterior_moments(encoder, params["phi"], held_out)
        active, kl = active_units(mu).sum(), kl_by_dimension(mu, log_var)
        results[name, k] = nll, losses, kl, int(active)
        gains = [results["VAE", other][0] - nll for other in (1, k)]  # over the VAE with one sample, and with as many
        paper_nll, paper_active = PAPER[name, k]
        paper_gain = PAPER["VAE", k][0] - paper_nll
        rows.append([name, k, f"{losses[-len(losses) // 5:].mean():.2f}", f"{nll.mean():.2f}",
                     f"{gains[0].mean():+.2f}" if k > 1 else "", plus_minus(gains[1]) if name == "IWAE" else "",
                     f"{paper_gain:+.2f}" if name == "IWAE" else "", f"{paper_nll:.2f}", active, paper_active,
                     f"{kl.sum():.1f}", f"{seconds:.0f}"])
    epochs = sum(3 ** stage for stage in range(stages))
    print(f"Binary MNIST, batch {BATCH}, epochs: {epochs} of {n:,} images (the paper: 3280 of 60,000), all in nats.\n"
          f"-bound: last fifth of training. NLL: {digits} test digits, {k_test} samples. Gains: NLL, digit by digit.")
    common.table(["system", "k", "-bound", "NLL", "over VAE k=1", "over VAE same k", "paper", "paper NLL", "active",
                  "paper", "KL", "s"], rows)
    draw(results, os.path.join(arguments.out, "iwae.png"))
    at_scale(params, held_out[:None if full else digits // 3], 200 if quick else 5000, arguments.seed)


def at_scale(params, x, k, seed):
    """Time and memory of the whole evaluation: measured with --full, else measured on a part and multiplied."""
    noise, clock = gaussian_noise(common.streams(seed)[3], D), time.perf_counter()
    nll = -log_likelihood(model, params, x, noise, k=k, progress=common.progress)
    seconds = time.perf_counter() - clock
    rate = len(x) * k / seconds
    print(f"\nlog p(x) of {len(x):,} digits by {k} samples, last system: NLL {nll.mean():.2f} nats, {seconds:.1f} s, "
          f"{rate:,.0f} decoder passes a second, peak memory {peak_memory():.0f} MB.\n"
          f"All 10,000 digits by 5000 samples at this rate: {5e7 / rate / 60:.1f} minutes, in the same memory.")


def draw(results, path):
    figure = Figure(figsize=(13, 4), layout="constrained")
    curves, gains, divergence = figure.subplots(1, 3)
    colors = {"VAE": {1: "0.6", 5: "0.4", 50: "black"}, "IWAE": {5: "tab:orange", 50: "tab:red"}}
    for (name, k), (_, losses, kl, active) in results.items():
        window = max(1, len(losses) // 30)
        smooth = losses[:len(losses) // window * window].reshape(-1, window).mean(axis=1)
        curves.plot(window * (onp.arange(len(smooth)) + 0.5), smooth, color=colors[name][k], label=f"{name}, k = {k}")
        divergence.semilogy(onp.arange(1, D + 1), onp.sort(kl)[::-1], color=colors[name][k],
                            label=f"{name}, k = {k}: {active} active")
    last = min(losses[-len(losses) // 5:].mean() for _, losses, _, _ in results.values())
    curves.set(xlabel="step", ylabel="training loss, each its own -bound (nats)", ylim=(last - 5, last + 60),
               title="training (binary pixels)")
    divergence.set(xlabel="latent, sorted", ylabel="KL[q ‖ p] of a latent (nats)", title="how much each latent says")
    same = [results["VAE", k][0] - results["IWAE", k][0] for k in (5, 50)]
    gains.errorbar([1, 5, 50], [0] + [gain.mean() for gain in same], color="tab:red", marker="s", capsize=3,
                   yerr=[0] + [2 * gain.std(ddof=1) / onp.sqrt(len(gain)) for gain in same], label="here, ± 2 s.e.")
    gains.plot([1, 5, 50], [PAPER["VAE", k][0] - PAPER["IWAE", k][0] for k in (1, 5, 50)], "--", color="black",
               marker="o", fillstyle="none", label="the paper, after 3280 epochs")
    gains.axhline(0, color="0.8", linewidth=1, zorder=0)
    gains.set(xscale="log", xlabel="samples k in training", ylabel="NLL of the VAE − NLL of IWAE (nats)",
              title="gain on test digits (binary pixels)")
    gains.set_xticks([1, 5, 50], ["1", "5", "50"])
    gains.minorticks_off()
    for axes in (curves, gains, divergence):
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = common.options(__doc__, "iwae")
    parser.add_argument("--full", action="store_true", help="three stages; last system on all digits by 5000 samples")
    parser.add_argument("--stages", type=common.positive, help="of training: stage i has 3^i epochs")
    common.run(main, parser)
