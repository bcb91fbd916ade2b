"""IWAE against the VAE: with k samples in the logarithm the model is better, the more so the more samples.

Both see the same k samples; only where the mean stands differs, 1/k Σ_i log w_i (VAE) or log{1/k Σ_i w_i} (IWAE):

    loss = −elbo(log_w)   or   −iwae(log_w),    log_w = model.log_weight(params, x, eps),  (k, n).

Burda, Grosse & Salakhutdinov (2016), Table 1: MNIST, dynamically binarized, 50 latents, 200-200 tanh, Adam with ε 1e-4,
batch 20, output biases that start at the logits of the pixels' means, and eight stages of falling rates, stage i of 3^i
epochs at .001 · 10^(−i/7), 3280 in all (their code: β₁ = 0.99, and a second moment that starts at one; here 0.9, and
zero). All of this is here but the hours: --stages says for how many epochs each rate is kept. Table 2 trains a VAE with
one sample and goes on with IWAE; with --branch B so do all systems here, after B epochs. A run is saved after each
epoch, and goes on from there; --only names systems, so that processes can share the work. log p(x) is estimated by
importance sampling on test images that are binarized once; a latent is active if Var_x{E_q[z|x]} > 10⁻².
"""

from support import common, data, saved

import contextlib
import os
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
from vae_np.tools import checkpoint

D, WIDTH, BATCH = 50, 200, 20
SYSTEMS = {"VAE-1": (elbo, 1), "VAE-5": (elbo, 5), "IWAE-5": (iwae, 5), "VAE-50": (elbo, 50), "IWAE-50": (iwae, 50)}
PAPER = {"VAE-1": (86.76, 19), "VAE-5": (86.47, 20), "VAE-50": (86.35, 20),   # −log p(x) in nats, active units
         "IWAE-5": (85.54, 22), "IWAE-50": (84.78, 25)}
COLORS = {"VAE-1": "0.7", "VAE-5": "0.4", "VAE-50": "black", "IWAE-5": "tab:orange", "IWAE-50": "tab:red"}
SECONDS = {1: 14, 5: 19, 50: 85}  # an epoch of 60,000 images with k samples, on one core
encoder = sequential(dense(784, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, heads(dense(WIDTH, D), dense(WIDTH, D)))
decoder = sequential(dense(D, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, dense(WIDTH, 784))
model = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))


def begin(rng, images):
    """The model's parameters, with the output biases at the logits of the pixels' means, clipped to [.001, .999]."""
    params = model.init(rng)
    params["theta"][-1]["b"] = data.logits_of_means(images.mean(axis=0) / 255)
    return params


def learn(name, images, rates, branch, seed, folder):
    """One system's run, an epoch at each of the rates, gone on with from what the folder holds: records, parameters.

    branch: for so many epochs it is VAE-1's run, which is trained once; 0, it is its own from the start. records: the
    rate, the mean loss and the seconds of each epoch.
    """
    path, trunk = (os.path.join(folder, which, f"seed{seed}.npz") for which in (name, "branch"))
    if branch and not os.path.exists(path):
        common.writable(os.path.dirname(trunk))
        with common.alone_in(os.path.dirname(trunk)):
            go_on("VAE-1", images, rates[:branch], branch, seed, trunk)
        checkpoint.save(path, checkpoint.load(trunk))
    return go_on(name, images, rates, branch, seed, path)


def go_on(name, images, rates, branch, seed, path):
    bound, k = SYSTEMS[name]
    init, order, noise, _ = common.streams(seed)
    pixels, = order.spawn(1)
    loss = lambda p, x, eps: -np.mean(bound(model.log_weight(p, x, eps)))

    def check(done):
        if done != rates[:len(done)]:
            raise ValueError(f"{path}: its {len(done)} epochs had other rates than --stages asks for; name another "
                             "folder with --out")

    def epoch(i, state, done):
        check(done or [])
        clock, losses = time.perf_counter(), []
        batches = minibatches(order, images, BATCH, pixels=dynamic(pixels))
        states = train(loss, None, batches, gaussian_noise(noise, D, k), adam(rates[i], epsilon=1e-4), resume=state)
        for last in common.progress(states, -(-len(images) // BATCH), f"{name}, epoch {i + 1} of {len(rates)}"):
            losses.append(last.loss)
        return last, [rates[i], float(onp.mean(losses)), time.perf_counter() - clock], rates[:i + 1]

    records, last, done = saved.epochs(path, {"images": len(images), "branch": branch, "seed": seed},
                                       begin(init, images), adam(), (order, pixels, noise), epoch, len(rates))
    check(done)
    return onp.array(records), last.params


def judge(params, x, k, rates, seed, path):
    """Of each row of x −log p(x) by k samples; active units; the KL of each latent; seconds. Kept in the file."""
    of = {"rates": rates, "digits": len(x), "samples": k}
    found = checkpoint.load(path) if os.path.exists(path) else None
    if not isinstance(found, dict) or found.get("of") != of:
        noise, clock = gaussian_noise(common.streams(seed)[3], D), time.perf_counter()
        nll = -log_likelihood(model, params, x, noise, k=k, progress=common.progress)
        mu, log_var = posterior_moments(encoder, params["phi"], x)
        found = {"of": of, "nll": nll, "active": int(active_units(mu).sum()), "kl": kl_by_dimension(mu, log_var),
                 "seconds": time.perf_counter() - clock}
        checkpoint.save(path, found)
    return found


def main(arguments):
    n, digits, k_test = (200, 4, 50) if arguments.quick else (60_000, arguments.digits, arguments.samples)
    rates = [1e-3 * 10 ** (-i / 7) for i, epochs in enumerate(arguments.stages) for _ in range(epochs)]
    x_train, _, x_test, _ = data.load()
    images = x_train[:n].reshape(n, -1)
    held_out = dynamic(common.streams(arguments.seed)[3])(x_test.reshape(len(x_test), -1))[:digits]
    digits = len(held_out)
    names = [name for name in SYSTEMS if name in arguments.only]
    if not arguments.quick:
        epochs = {name: len(rates) - arguments.branch * (name != "VAE-1") for name in names}
        common.takes(sum(SECONDS[SYSTEMS[name][1]] * epochs[name] + 7.5e-6 * digits * k_test for name in names))
    runs = {}
    for name in names:
        folder = os.path.join(arguments.out, name)
        common.writable(folder)
        with common.alone_in(folder):
            records, params = learn(name, images, rates, arguments.branch, arguments.seed, arguments.out)
            test = judge(params, held_out, k_test, rates, arguments.seed,
                         os.path.join(folder, f"test{arguments.seed}.npz"))
            runs[name] = {"losses": records[:, 1], "seconds": records[:, 2].sum(), "test": test}
    print(f"Binary MNIST, batch {BATCH}, {len(rates)} epochs of {n:,} images (the paper: 3280), "
          f"{f'the first {arguments.branch} as VAE-1, ' if arguments.branch else ''}seed {arguments.seed}; nats."
          f"\n-bound: training, last epoch. NLL: -log p(x) <= by {k_test} samples, {digits} test images. "
          "Gains: of NLL, image by image, ± s.e.")
    report(runs)
    if len(runs) == len(SYSTEMS):
        draw(runs, os.path.join(arguments.out, "iwae.png"))


def report(runs):
    nll = {name: run["test"]["nll"] for name, run in runs.items()}
    rows = []
    for name, run in runs.items():
        same, test = name.replace("IWAE", "VAE"), run["test"]
        paper_nll, paper_active = PAPER[name]
        gain, paper_gain = "", ""
        if same != name and same in nll:
            gain, paper_gain = plus_minus(nll[same] - nll[name]), f"{PAPER[same][0] - paper_nll:+.2f}"
        over_one = plus_minus(nll["VAE-1"] - nll[name]) if name != "VAE-1" and "VAE-1" in nll else ""
        rows.append([name, f"{run['losses'][-1]:.2f}", f"{test['nll'].mean():.2f}", f"{paper_nll:.2f}", over_one, gain,
                     paper_gain, test["active"], paper_active, f"{test['kl'].sum():.1f}", f"{run['seconds'] / 60:.0f}",
                     f"{test['seconds'] / 60:.1f}"])
    common.table(["system", "-bound", "NLL", "paper", "over VAE-1", "over VAE, same k", "paper", "active", "paper",
                  "KL", "min", "min test"], rows)


def plus_minus(values):
    """Mean and its standard error, as text."""
    return f"{values.mean():+.2f} ± {values.std(ddof=1) / onp.sqrt(len(values)):.2f}"


def draw(runs, path):
    figure = Figure(figsize=(13, 4), layout="constrained")
    curves, gains, divergence = figure.subplots(1, 3)
    for name, run in runs.items():
        test, epochs = run["test"], onp.arange(1, len(run["losses"]) + 1)
        curves.plot(epochs, run["losses"], color=COLORS[name], marker="." if len(epochs) == 1 else "", label=name)
        divergence.semilogy(onp.arange(1, D + 1), onp.sort(test["kl"])[::-1], color=COLORS[name],
                            label=f"{name}: {test['active']} active")
    last = min(run["losses"][-1] for run in runs.values())
    curves.set(xlabel="epoch", xscale="log", ylabel="training loss, each its own −bound (nats)",
               ylim=(last - 2, last + 40), title="training (binary pixels)")
    divergence.set(xlabel="latent, sorted", ylabel="KL[q ‖ p] of a latent (nats)", title="how much each latent says")
    same = [runs[f"VAE-{k}"]["test"]["nll"] - runs[f"IWAE-{k}"]["test"]["nll"] for k in (5, 50)]
    gains.errorbar([1, 5, 50], [0] + [gain.mean() for gain in same], color="tab:red", marker="s", capsize=3,
                   yerr=[0] + [2 * gain.std(ddof=1) / onp.sqrt(len(gain)) for gain in same],
                   label=f"here, after {len(runs['VAE-1']['losses'])} epochs, ± 2 s.e.")
    gains.plot([1, 5, 50], [0] + [PAPER[f"VAE-{k}"][0] - PAPER[f"IWAE-{k}"][0] for k in (5, 50)], "--", color="black",
               marker="o", fillstyle="none", label="the paper, after 3280 epochs")
    gains.axhline(0, color="0.8", linewidth=1, zorder=0)
    gains.set(xscale="log", xlabel="samples k in training", ylabel="NLL of the VAE − NLL of IWAE (nats)",
              title="gain on test images (binary pixels)")
    gains.set_xticks([1, 5, 50], ["1", "5", "50"])
    gains.minorticks_off()
    for axes in (curves, gains, divergence):
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


parser = common.options(__doc__, "iwae")
parser.add_argument("--stages", type=common.positive, nargs="+", default=[1], metavar="E",
                    help="epochs at each of the falling rates; the paper: 1 3 9 27 81 243 729 2187")
parser.add_argument("--branch", type=common.non_negative, default=0, metavar="B",
                    help="after B epochs as VAE-1 all systems go their own way; 0: from the start")
parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), help="train and judge these")
parser.add_argument("--digits", type=common.positive, default=500, help="test images that NLL is of, at most 10000")
parser.add_argument("--samples", type=common.positive, default=1000, help="k of NLL; the paper: 5000")

if __name__ == "__main__":
    common.run(main, parser, hold=contextlib.nullcontext)
