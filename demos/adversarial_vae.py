"""A posterior of any shape, learned from a classifier: adversarial variational Bayes beside the plain VAE.

The VAE's posterior is a Gaussian with independent latents. AVB's is whatever a network makes of (x, ε); its KL comes
from a critic T(x, z) ≈ log q(z|x) − log p(z), with adaptive contrast only from log q − log r, r the Gaussian of q's
moments. First the toy set of Mescheder, Nowozin & Geiger (2017), figure 4: four images of four pixels, one pixel on in
each. A perfect model gives every image a quarter of the latent plane and −log p(x) = log 4; four Gaussians cannot
divide the plane so, without overlap or holes. Then MNIST with the same three posteriors.

The critic's KL is an estimate and no bound. With two latents we need not trust it: −log p(x) is an integral over a
fine grid of z, and the entropy of q comes from the distances between its samples (Kozachenko & Leonenko, 1987). Their
difference, KL[q(z|x) ‖ p(z|x)], is what the family of posteriors costs. Each model is trained from three seeds.
"""

from support.common import options, positive, progress, run, streams, table, takes
from support.data import load

import itertools
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.spatial import cKDTree
from scipy.special import digamma, logsumexp

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    gaussian_log_ratio,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    relu,
    sequential,
    train,
    vae,
)
from vae_np.extensions.adversarial import alternate, implicit_posterior, moments
from vae_np.extensions.pairs import critic, joined

LATENTS, NOISE = 2, 8
DRAWS, JUDGED = 64, 300                   # samples that give r its moments: in a step, and in the judgement
TOY_STEPS, TOY_BATCH, CRITIC_STEPS, RATE, CRITIC_RATE = 3_000, 64, 2, 1e-3, 2e-3
GRID = onp.linspace(-6, 6, 201)           # spacing 0.06
SECONDS = 175                             # for each seed, on one core
POSTERIORS = ("Gaussian", "critic", "critic, contrast")
COLORS = ("C0", "C1", "C2", "C3")


def networks(pixels, width, hidden):
    """encoder, sampler, critic, decoder, all of about the same size."""
    def features():
        return sequential(dense(pixels, width), relu)

    encoder = sequential(features(), dense(width, hidden), relu, heads(dense(hidden, LATENTS), dense(hidden, LATENTS)))
    sampler = joined(sequential(dense(width + NOISE, hidden), relu, dense(hidden, hidden), relu,
                                dense(hidden, LATENTS)), features())
    T = critic(sequential(dense(width + LATENTS, hidden), relu, dense(hidden, hidden), relu, dense(hidden, 1)),
               features())
    return encoder, sampler, T, sequential(dense(LATENTS, width), relu, dense(width, pixels))


def fit(kind, blocks, decoder, batches, steps, seed):
    """Train one model. Returns params, the trained posterior as a block, and the noise's size."""
    encoder, sampler, T = blocks
    likelihood = bernoulli_likelihood(decoder)
    init, _, noise, test = streams(seed)
    if kind == "Gaussian":
        posterior = gaussian_posterior(encoder)
        model = vae(posterior, likelihood)
        states = train(lambda p, x, eps: np.mean(model.apply(p, x, eps)), model.init(init), batches,
                       gaussian_noise(noise, LATENTS), adam(RATE))
        *_, state = progress(states, steps, kind)
        return state.params, posterior, LATENTS
    draws, log_ratio = (DRAWS, gaussian_log_ratio) if "contrast" in kind else (None, None)
    states = alternate(sampler, T, likelihood, {"phi": sampler.init(init), "theta": likelihood.init(init)},
                       T.init(init), batches, gaussian_noise(noise, NOISE), gaussian_noise(noise, LATENTS),
                       (adam(RATE), adam(CRITIC_RATE)), CRITIC_STEPS, draws, log_ratio)
    *_, (state, critics) = progress(states, steps, kind)
    contrast = moments(sampler, test.standard_normal((JUDGED, NOISE), onp.float32)) if draws else None
    return state.params, implicit_posterior(sampler, T, critics.params, contrast, log_ratio), NOISE


def exact(decoder, theta, x, grid):
    """log p(x) = log Σ_g p(x|z_g) p(z_g) h² over the grid, and log p(z_g|x) h²: (n,), (n, g, g). x: binary."""
    z = onp.stack(onp.meshgrid(grid, grid), -1).reshape(-1, LATENTS).astype(onp.float32)
    log_prior = -0.5 * onp.sum(z ** 2, axis=-1) - onp.log(2 * onp.pi) + 2 * onp.log(grid[1] - grid[0])
    logits = (decoder.apply(theta, piece) for piece in onp.array_split(z, 16))
    joint = log_prior + onp.hstack([x @ l.T - onp.logaddexp(0, l).sum(axis=-1) for l in logits])
    log_p = logsumexp(joint, axis=1)
    return log_p, (joint - log_p[:, None]).reshape(len(x), len(grid), len(grid))


def knn_entropy(z, k=3):
    """H[q] ≈ ψ(m) − ψ(k) + log π + 2 ⟨log r_k⟩ from m samples in the plane, r_k the distance to the k-th neighbour."""
    scale = onp.std(z, axis=0)                                  # measured where both axes have the same spread
    r = cKDTree(z / scale).query(z / scale, k + 1)[0][:, -1]
    return digamma(len(z)) - digamma(k) + onp.log(onp.pi) + 2 * onp.mean(onp.log(r)) + onp.sum(onp.log(scale))


def judge(posterior, decoder, params, x, noise, m):
    """Per datum, nats: −E_q log p(x|z), the KL as training had it, the KL by neighbours. And m samples z, (m, n, 2)."""
    likelihood, terms, zs = bernoulli_likelihood(decoder), [], []
    for piece in onp.array_split(x, -(-len(x) // 50)):
        z, kl = posterior.apply(params["phi"], piece, noise(m * len(piece)).reshape(m, len(piece), -1))
        recon = likelihood.apply(params["theta"], piece, z[:100]).mean(axis=0)
        cross = onp.mean(onp.sum(z ** 2, axis=-1), axis=0) / 2 + onp.log(2 * onp.pi)           # −E_q log p(z)
        near = cross - [knn_entropy(z[:, i]) for i in range(len(piece))]
        terms.append((recon, kl if kl.ndim == 1 else kl.mean(axis=0), near))
        zs.append(z)
    return *onp.concatenate(terms, axis=1), onp.concatenate(zs, axis=1)


def experiment(name, train_set, test_set, sizes, schedule, pixels, judges, seeds):
    """Train the three models. Returns the table's rows, and of the first seed samples of q and the exact p(z|x)."""
    (batch, epochs), (samples, grid), rows, drawn = schedule, judges, [], []
    for kind, seed in itertools.product(POSTERIORS, seeds):
        _, data, _, test = streams(seed)
        *blocks, decoder = networks(train_set.shape[1], *sizes)
        batches = minibatches(data, train_set, batch, epochs, pixels(data))
        steps = epochs * -(-len(train_set) // batch)
        params, posterior, d = fit(kind, blocks, decoder, batches, steps, seed)
        recon, kl, near, z = judge(posterior, decoder, params, test_set, gaussian_noise(test, d), samples)
        log_p, log_posterior = exact(decoder, params["theta"], test_set, grid)
        columns = (-log_p, recon + near, recon + kl, recon + near + log_p, near, kl)
        rows.append([name, kind, seed] + [f"{onp.mean(column):.3f}" for column in columns])
        if seed == seeds[0]:
            drawn.append((z[:, :len(COLORS)], log_posterior[:len(COLORS)]))
    return rows, drawn


def main(arguments):
    quick, out = arguments.quick, arguments.out
    seeds = range(arguments.seed, arguments.seed + (1 if quick else arguments.runs))
    takes(0 if quick else SECONDS * len(seeds))
    grid = GRID[::8] if quick else GRID
    toy = onp.eye(4, dtype=onp.float32)
    rows, drawn = experiment("four points", onp.tile(toy, (TOY_BATCH // 4, 1)), toy, (64, 64),
                             (TOY_BATCH, 20 if quick else TOY_STEPS), lambda rng: gray,
                             (200 if quick else 20_000, grid), seeds)
    draw(drawn, grid, "image {}", 4, f"Four points, seed {seeds[0]}", os.path.join(out, "four_points.png"))

    x_train, _, x_test, _ = load(arguments.data)
    x_train, x_test = (x.reshape(len(x), -1)[:300 if quick else None] for x in (x_train, x_test))
    judged = dynamic(onp.random.default_rng(arguments.seed))(x_test[:20 if quick else 500])     # binarized once
    more, drawn = experiment("MNIST, binary", x_train, judged, (200, 64), (100, 1 if quick else arguments.epochs),
                             dynamic, (50 if quick else 500, grid), seeds)
    draw(drawn, grid, "test image {}", 6, f"MNIST, binary, seed {seeds[0]}", os.path.join(out, "mnist_posteriors.png"))
    print("Nats for each datum. KL by neighbouring samples, beside it as training took it from the closed form or the "
          f"critic.\nFour points: no model has -log p(x) below log 4 = 1.386. MNIST: {len(judged)} test images.")
    table(("data", "posterior", "seed", "-log p(x)", "-ELBO", "as trained", "KL[q‖p(z|x)]", "KL[q‖p(z)]",
           "as trained"), rows + more)


def draw(drawn, grid, label, limit, title, path):
    """Above, samples of q(z|x); below, the model's own exact posterior p(z|x): a column a model, a colour an x."""
    figure = Figure(layout="constrained", figsize=(10, 7))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for kind, (z, log_posterior), (above, below) in zip(POSTERIORS, drawn, panels.T):
        for i, color in enumerate(COLORS):
            above.plot(*z[:1500, i].T, ".", color=color, markersize=2, alpha=0.5)
            density = onp.exp(log_posterior[i] - log_posterior[i].max())
            below.contour(grid, grid, density, levels=[0.05, 0.2, 0.5, 0.8], colors=color, linewidths=0.8)
            above.plot([], [], "o", color=color, label=label.format(i + 1))
        above.set(title=f"{kind}: samples of q(z|x)", ylabel="z₂", aspect="equal")
        below.set(title="its model's exact p(z|x)", xlabel="z₁", ylabel="z₂", aspect="equal",
                  xlim=(-limit, limit), ylim=(-limit, limit))
        outside = onp.mean(onp.abs(z).max(axis=-1) > limit)
        if outside > 0.1:
            above.text(0, -0.9 * limit, f"{outside:.0%} of the samples\nlie outside this frame", ha="center")
    figure.suptitle(title)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = options(__doc__, "adversarial_vae")
    parser.add_argument("--data", default=None, help="images other than MNIST: .npz, or a folder of IDX files")
    parser.add_argument("--epochs", type=positive, default=2, help="on MNIST")
    parser.add_argument("--runs", type=positive, default=3, help="seeds for each model, from --seed on")
    run(main, parser)
