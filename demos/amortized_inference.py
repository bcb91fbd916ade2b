"""One encoder, trained on a simulator alone, gives the posterior of data that it has never seen.

The simulator is known, its parameters θ fixed: z ~ N(0, 1), and six detectors of different sensitivity count
    x_j ~ Poisson(e^r_j),   r_j = w_j z + b_j.
Only φ is learned: E_x KL[q_φ(z|x) ‖ p_θ(z|x)] is minimised, up to a constant, by the NELBO on simulated data. What is
left of the divergence for one x has two parts: no Gaussian is the posterior (the approximation gap), and the encoder
does not find the best Gaussian (the amortization gap; Cremer, Li & Duvenaud, 2018). Both are measured by quadrature.
Three encoders, each trained and judged on draws of its own, agree to 0.0001 nats in either part.
"""

from support import common

import os
from collections import deque

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy import optimize

from vae_np import (
    adam,
    dense,
    elementwise,
    gaussian_nll,
    gaussian_posterior,
    heads,
    sequential,
    tanh,
    train,
    vae,
)
from vae_np.extensions.likelihoods import poisson_likelihood, poisson_nll

W = onp.array([[1.5, 1.0, 0.5, 0.0, -0.5, -1.0]], onp.float32)
B = onp.array([-1.0, -0.5, 0.0, 0.5, 0.0, -0.5], onp.float32)
LATENT = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)         # what the six data sets of the figure are drawn at
STEPS, BATCH, WIDTH = 12_000, 256, 64
STAGES = ((0.5, 3e-3), (0.3, 5e-4), (0.2, 5e-5))   # share of the steps, Adam's learning rate
UNSEEN = 500                                      # data sets, for the mean of the divergence
SECONDS = 30                                      # for each seed, on one core

simulator = dense(1, 6)
theta = {"W": W, "b": B}


def simulate(rng, z):
    return rng.poisson(onp.exp(simulator.apply(theta, z))).astype(onp.float32)


def encoder():
    body = sequential(elementwise(np.log1p, "log1p"), dense(6, WIDTH), tanh, dense(WIDTH, WIDTH), tanh)
    return sequential(body, heads(dense(WIDTH, 1), dense(WIDTH, 1)))


def learn(model, phi, steps, rng_data, rng_noise):
    """φ after `steps` minibatches, each of them fresh from the simulator; θ is no argument of what is trained."""
    loss = lambda phi, x, eps: np.mean(model.apply({"phi": phi, "theta": theta}, x, eps))
    noise = lambda n: rng_noise.standard_normal((n, 1), onp.float32)
    state = None
    for share, learning_rate in STAGES:
        count = max(1, round(share * steps))
        batches = (simulate(rng_data, rng_data.standard_normal((BATCH, 1))) for _ in range(count))
        states = train(loss, phi, batches, noise, adam(learning_rate), resume=state)
        state = deque(common.progress(states, count, f"Adam, {learning_rate}"), maxlen=1).pop()
    return state.params


def exact_posterior(x, n=4001):
    """A grid z, and log p_θ(z|x) on it, normalised by the trapezoidal rule: exact to rounding for so smooth a density.

    The prior holds the posterior within ±10: beyond, it is below e^−40.
    """
    z = onp.linspace(-10, 10, n)
    log_joint = -poisson_nll(x, z[:, None] * W[0].astype(float) + B) - gaussian_nll(z[:, None], 0.0, 0.0)
    top = log_joint.max()
    return z, log_joint - top - onp.log(onp.sum(onp.exp(log_joint - top)) * (z[1] - z[0]))


def divergence(mu, log_var, z, log_p):
    """KL[N(μ, σ²) ‖ p] by the trapezoidal rule on the grid."""
    log_q = -gaussian_nll(z[:, None], mu, log_var)
    return float(onp.sum(onp.exp(log_q) * (log_q - log_p)) * (z[1] - z[0]))


def best_gaussian(z, log_p, start):
    """The least KL[N(μ, σ²) ‖ p] of any Gaussian, found for this one datum."""
    return optimize.minimize(lambda p: divergence(p[0], p[1], z, log_p), start, method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-12}).fun


def main(arguments):
    steps, unseen, runs = (60, 5, 2) if arguments.quick else (arguments.steps, UNSEEN, arguments.runs)
    common.takes(SECONDS * runs * steps / STEPS)
    rows, means = [], []
    figure = Figure(layout="constrained", figsize=(9, 5.6))
    axes = figure.subplots(2, 3).ravel()
    for seed in range(arguments.seed, arguments.seed + runs):      # another encoder, other data
        rng_init, rng_data, rng_noise, rng_test = common.streams(seed)
        network = encoder()
        model = vae(gaussian_posterior(network), poisson_likelihood(simulator))
        phi = learn(model, model.init(rng_init)["phi"], steps, rng_data, rng_noise)

        z = onp.concatenate([onp.array(LATENT)[:, None], rng_test.standard_normal((unseen, 1))])
        x, gaps = simulate(rng_test, z), []
        mu, log_var = (out[:, 0].astype(float) for out in network.apply(phi, x))
        for i, counts in enumerate(x):
            z, log_p = exact_posterior(counts)
            kl = divergence(mu[i], log_var[i], z, log_p)
            least = best_gaussian(z, log_p, (mu[i], log_var[i]))
            gaps.append((kl, least))
            if i >= len(LATENT) or seed > arguments.seed:
                continue
            h, p = z[1] - z[0], onp.exp(log_p)
            mean = onp.sum(z * p) * h
            sd = onp.sqrt(onp.sum((z - mean) ** 2 * p) * h)
            rows.append([" ".join(f"{c:.0f}" for c in counts), f"{mean:.3f}", f"{mu[i]:.3f}", f"{sd:.3f}",
                         f"{onp.exp(0.5 * log_var[i]):.3f}", f"{kl:.4f}", f"{least:.4f}"])
            axes[i].fill_between(z, p, color="0.8", label="exact, by quadrature")
            axes[i].plot(z, onp.exp(-gaussian_nll(z[:, None], mu[i], log_var[i])), "C3", label="q, by the encoder")
            axes[i].axvline(LATENT[i], color="k", lw=0.8, ls=":", label="z of the simulation")
            axes[i].set(xlim=(mean - 4.5 * sd, mean + 4.5 * sd), ylim=(0, None), xlabel="z (prior standard deviations)",
                        title=f"x = {rows[-1][0]}:  KL {kl:.4f} nats")
            axes[i].title.set_fontsize(10)
        kl, least = onp.mean(gaps[len(LATENT):], axis=0)
        means.append([f"mean of {unseen} unseen, seed {seed}", "", "", "", "", f"{kl:.4f}", f"{least:.4f}"])
    for axis in axes[::3]:
        axis.set_ylabel("density")
    figure.suptitle(f"The encoder of seed {arguments.seed}", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(os.path.join(arguments.out, "amortized_inference.png"), dpi=120)
    print(f"Posteriors of unseen counts after {steps} steps on simulated data; moments in units of z, KL in nats.\n"
          f"The first {len(LATENT)} rows: seed {arguments.seed}; then each seed's encoder on counts of its own")
    common.table(["counts x", "mean", "by q", "sd", "by q", "KL", "least KL of a Gaussian"], rows + means)


parser = common.options(__doc__, "amortized_inference")
parser.add_argument("--steps", type=common.positive, default=STEPS, help="minibatches of simulated data")
parser.add_argument("--runs", type=common.positive, default=3, help="encoders, a seed each, from --seed on")

if __name__ == "__main__":
    common.run(main, parser)
