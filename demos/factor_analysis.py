"""A linear VAE trained by its bound comes to 0.02 nats of the exact maximum likelihood of PCA and factor analysis.

With z ~ N(0, I) and x = z W + b + noise of variance Ψ, the marginal is known: N(x | b, W'W + Ψ). So is its maximum:
probabilistic PCA (Ψ = σ²I) by one eigen-decomposition (Tipping & Bishop, 1999), factor analysis (Ψ diagonal) by EM
(Rubin & Thayer, 1982). The VAE knows neither. Its bound is tight there, since the rotation of z is free and one
rotation has a diagonal posterior: log p(x) − ELBO = 0 at the maximum (Lucas, Tucker, Grosse & Norouzi, 2019).
"""

from support import common

import os
from collections import deque

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy import linalg, stats

from vae_np import adam, constant, dense, gaussian_likelihood, gaussian_posterior, heads, minibatches, train, vae

N, D, LATENT = 1000, 10, 3
STEPS, BATCH, SAMPLES = 6000, 200, 4
STAGES = ((0.7, 1e-2), (0.15, 1e-3), (0.15, 1e-4))   # share of the steps, Adam's learning rate
SECONDS = 20                                         # for each seed, on one core


def observe(rng):
    """N data from a factor analysis: three factors of falling strength, noise of very different size a feature."""
    W = rng.standard_normal((LATENT, D)) * onp.array([[2.0], [1.2], [0.7]])
    noise = rng.standard_normal((N, D)) * onp.linspace(0.3, 1.5, D)
    return (rng.standard_normal((N, LATENT)) @ W + noise + rng.standard_normal(D)).astype(onp.float32)


def model_of(tied):
    encoder = heads(dense(D, LATENT), constant(LATENT))
    decoder = heads(dense(LATENT, D), constant(D, tied=tied))   # mu, and a learned log-variance
    return vae(gaussian_posterior(encoder), gaussian_likelihood(decoder))


def fit(name, model, x, steps, rng_init, rng_data, rng_noise):
    loss = lambda params, x, eps: np.mean(model.apply(params, x, eps))
    noise = lambda n: rng_noise.standard_normal((SAMPLES, n, LATENT), onp.float32)
    params = model.init(rng_init)
    params["phi"][1] -= 2   # a confident start; one of σ_q = 1 may switch a latent off before it has learned anything
    batches = minibatches(rng_data, x, BATCH, 1 + steps * BATCH // N, pixels=None)
    curve, state = [], None
    for share, learning_rate in STAGES:
        count = max(1, round(share * steps))
        states = train(loss, params, (next(batches) for _ in range(count)), noise, adam(learning_rate), resume=state)
        kept = deque(maxlen=1)
        for current in common.progress(states, count, f"{name}, {learning_rate}"):
            kept.append(current)
            if current.step % max(1, steps // 200) == 0:
                curve.append((current.step, log_likelihood(x, *marginal(current.params, D))))
        state = kept.pop()
    return state.params, onp.array(curve)


def marginal(params, d):
    """b, W and Ψ of the learned model."""
    layer, log_var = params["theta"]
    return layer["b"].astype(float), layer["W"].astype(float), onp.exp(log_var.astype(float)) * onp.ones(d)


def log_likelihood(x, b, W, psi):
    """The mean over the data of log N(x | b, W'W + Ψ), in nats."""
    return float(stats.multivariate_normal(b, W.T @ W + onp.diag(psi)).logpdf(x).mean())


def exact_elbo(model, params, x):
    """Its mean over ε without sampling: ±√d e_i integrate every quadratic function of ε, and this one is quadratic."""
    eps = onp.sqrt(LATENT) * onp.concatenate([onp.eye(LATENT), -onp.eye(LATENT)])[:, None] * onp.ones((len(x), 1))
    return -float(onp.mean(model.apply(params, x, eps.astype(onp.float32)), dtype=float))


def ppca(x):
    """W = (Λ − σ²I)^½ U', σ² the mean of the eigenvalues left out. Tipping & Bishop (1999), eqs. 7 and 8."""
    values, vectors = onp.linalg.eigh(onp.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    var = values[LATENT:].mean()
    return x.mean(0), (vectors[:, :LATENT] * onp.sqrt(values[:LATENT] - var)).T, onp.full(D, var)


def factor_analysis(x, steps=5000):
    """EM: β = W (W'W + Ψ)⁻¹, W ← (I − βW' + βSβ')⁻¹ βS, Ψ ← diag(S − W'βS). Rubin & Thayer (1982)."""
    S = onp.cov(x.T, bias=True)
    b, W, psi = ppca(x)
    for _ in range(steps):
        beta = W @ onp.linalg.inv(W.T @ W + onp.diag(psi))
        W = onp.linalg.solve(onp.eye(LATENT) - beta @ W.T + beta @ S @ beta.T, beta @ S)
        psi = onp.diag(S - W.T @ beta @ S)
    return b, W, psi


def main(arguments):
    steps, runs = (200, 1) if arguments.quick else (arguments.steps, arguments.runs)
    common.takes(SECONDS * runs * steps / STEPS)
    figure = Figure(layout="constrained", figsize=(9, 3.6))
    left, right = figure.subplots(1, 2)
    rows = []
    for seed in range(arguments.seed, arguments.seed + runs):      # other data too, and another truth
        rng_init, rng_data, rng_noise, rng_test = common.streams(seed)
        x = observe(rng_test)
        for i, (name, tied, maximum) in enumerate((("probabilistic PCA", True, ppca),
                                                   ("factor analysis", False, factor_analysis))):
            model = model_of(tied)
            params, curve = fit(f"{name}, seed {seed}", model, x, steps, rng_init, rng_data, rng_noise)
            learned, best = marginal(params, D), maximum(x.astype(float))
            found, exact = log_likelihood(x, *learned), log_likelihood(x, *best)
            angle = onp.degrees(linalg.subspace_angles(learned[1].T, best[1].T).max())
            rows.append([name, seed, f"{exact_elbo(model, params, x):.4f}", f"{found:.4f}", f"{exact:.4f}",
                         f"{exact - found:.4f}", f"{angle:.2f}", f"{onp.abs(learned[2] / best[2] - 1).max():.3f}"])
            first = seed == arguments.seed
            left.plot(curve[:, 0], exact - curve[:, 1], f"C{i}", lw=1, label=name if first else None)
            if first:
                right.plot(onp.arange(1, D + 1), best[2], f"C{i}o", mfc="none", ms=9, label=f"{name}, exact")
                right.plot(onp.arange(1, D + 1), learned[2], f"C{i}x", label=f"{name}, learned")
    left.set(yscale="log", xlabel="step", ylabel="max log p(x) − learned log p(x)  (nats)",
             title=f"a line each for {runs} seeds")
    left.legend()
    right.set(xlabel="feature", ylabel="noise variance Ψ (data units²)", xticks=onp.arange(1, D + 1), ylim=(0, None),
              title=f"seed {arguments.seed}")
    right.legend(fontsize=8, loc="upper left")
    figure.savefig(os.path.join(arguments.out, "factor_analysis.png"), dpi=120)
    print(f"{N} data of {D} features, drawn anew for each seed, {LATENT} latents, {steps} steps; nats for each datum, "
          "angle in degrees")
    common.table(["model", "seed", "ELBO", "learned log p(x)", "exact maximum", "short by", "angle of W", "error of Ψ"],
                 sorted(rows, key=lambda row: row[0], reverse=True))


parser = common.options(__doc__, "factor_analysis")
parser.add_argument("--steps", type=common.positive, default=STEPS, help="of Adam, for each model")
parser.add_argument("--runs", type=common.positive, default=3, help="data sets and seeds, from --seed on")

if __name__ == "__main__":
    common.run(main, parser)
