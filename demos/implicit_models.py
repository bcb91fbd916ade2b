"""Only samples: of the prior (adversarial variational Bayes), or of the whole model (a simulator).

A posterior by its samples needs −ELBO = E_q[−log p(x|z) + log q(z|x) − log p(z)]. The last two terms are what a
classifier learns from z ~ q and z' ~ p(z), so that a sampler is all that is asked of the prior (Mescheder, Nowozin &
Geiger, 2017). Where the likelihood too is a simulator x = g(z, noise), the classifier sees pairs, (x, z) ~ q(x) q(z|x)
of the data and (x', z') ~ p(z) p(x|z) simulated; its logit is T = log q(x) + log q(z|x) − log p(x, z), whose mean is
KL[q(x) q(z|x) ‖ p(x, z)] = −ELBO + log q(x), averaged over the data (Tran, Ranganath & Blei, 2017, there r = −T).

Both models are small enough that the densities, which training never sees, can be integrated on a grid for the truth:
a prior on a ring, of which x shows one coordinate, so that the posterior is an arc or two; and x = z₂ + ½ (z₁ + 0.4 u)²
+ e/2, whose p(x|z) is an integral over u, and whose posterior is a horseshoe. Beside q stands the best Gaussian for
each x, found on the grid with the density in hand: what a plain VAE's family costs at least.
"""

from support import common

import os

import numpy as onp
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.special import digamma, logsumexp
from scipy.stats import norm

from vae_np import Block, adam, dense, gaussian_nll, gaussian_noise, sequential, tanh
from vae_np.extensions.adversarial import alternate, implicit_likelihood, implicit_posterior
from vae_np.extensions.pairs import critic, joined

NOISE, WIDTH, BATCH, STEPS, CRITIC_STEPS = 4, 64, 128, 1_200, 3
RATE, CRITIC_RATE, BETA = 4e-4, 3e-3, 0.5   # Adam's β₁: at 0.9 the two players swing. The last third a fifth as fast
TEST, SAMPLES, CELL = 20, 2_000, 4          # x that are judged, samples of q for each, squares that they are counted in
RADIUS, THICK, BLUR = 1.5, 0.3, 0.4         # the ring, and the noise of x = z₁ + BLUR e
JITTER, SPREAD = 0.4, 0.5                   # x = z₂ + ½ (z₁ + JITTER u)² + SPREAD e


class Ring:
    """z = r (cos t, sin t), r ~ N(1.5, 0.3²), by its sampler alone; x ~ N(z₁, 0.4²), a density."""
    name, shown = "prior: a ring's sampler", (-1.4, 0.0, 0.9)
    grid = onp.linspace(-2.9, 2.9, 96)
    likelihood = Block(lambda rng: (), lambda theta, x, z: gaussian_nll(x, z[..., :1], float(2 * onp.log(BLUR))), "z₁")

    def prior(rng, n):
        r, t = RADIUS + THICK * rng.standard_normal((n, 1), onp.float32), 2 * onp.pi * rng.random((n, 1), onp.float32)
        return r * onp.hstack([onp.cos(t), onp.sin(t)])

    def simulate(rng, z):
        return z[:, :1] + BLUR * rng.standard_normal((len(z), 1), onp.float32)

    reference = prior

    def log_joint(x, z):
        """Of the judge alone: log p(z) = log N(|z|) − log 2π|z|."""
        r = onp.linalg.norm(z, axis=-1)
        return norm.logpdf(r, RADIUS, THICK) - onp.log(2 * onp.pi * r) + norm.logpdf(x, z[..., 0], BLUR)


class Simulator:
    """z ~ N(0, I), x = z₂ + ½ (z₁ + 0.4 u)² + e/2, u and e ~ N(0, 1): p(x|z) is an integral over u."""
    name, shown = "likelihood: a simulator", (-0.5, 1.0, 2.5)
    grid = onp.linspace(-4, 4, 96)
    likelihood = implicit_likelihood

    def prior(rng, n):
        return rng.standard_normal((n, 2), onp.float32)

    def simulate(rng, z):
        u, e = rng.standard_normal((2, len(z), 1), onp.float32)
        return z[:, 1:] + 0.5 * (z[:, :1] + JITTER * u) ** 2 + SPREAD * e

    def reference(rng, n):
        z = Simulator.prior(rng, n)
        return Simulator.simulate(rng, z), z

    def log_joint(x, z):
        """Of the judge alone: p(x|z) = ∫ N(u) N(x | z₂ + ½ (z₁ + 0.4 u)², ¼) du, by the trapezoid rule."""
        u = onp.linspace(-5, 5, 81)
        inside = norm.logpdf(u) + norm.logpdf(x, z[..., 1:] + 0.5 * (z[..., :1] + JITTER * u) ** 2, SPREAD)
        return logsumexp(inside, axis=-1) + onp.log(u[1] - u[0]) + norm.logpdf(z).sum(axis=-1)


def fit(problem, steps, seed):
    """Train q and its critic. Returns phi and the posterior, a block of the trained critic: phi, x, eps -> z, T."""
    init, data, noise, compared = common.streams(seed)
    sampler = joined(sequential(dense(1 + NOISE, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, dense(WIDTH, 2)))
    T = critic(sequential(dense(1 + 2, WIDTH), tanh, dense(WIDTH, WIDTH), tanh, dense(WIDTH, 1)))
    params, psi = {"phi": sampler.init(init), "theta": ()}, T.init(init)
    with common.progress(None, steps, problem.name) as bar:
        for slower, count in ((1, steps - steps // 3), (5, steps // 3)):
            states = alternate(sampler, T, problem.likelihood, params, psi,
                               (problem.simulate(data, problem.prior(data, BATCH)) for _ in range(count)),
                               gaussian_noise(noise, NOISE), lambda n: problem.reference(compared, n),
                               (adam(RATE / slower, BETA), adam(CRITIC_RATE / slower, BETA)), CRITIC_STEPS)
            for state in states:
                params, psi = state[0].params, state[1].params
                bar.update()
    return params["phi"], implicit_posterior(sampler, T, psi)


def points(problem):
    return onp.stack(onp.meshgrid(problem.grid, problem.grid, indexing="ij"), axis=-1)


def posterior_on_grid(problem, x):
    """log p(x) and the exact p(z|x), a probability for each point of the grid."""
    joint = problem.log_joint(x, points(problem)) + 2 * onp.log(problem.grid[1] - problem.grid[0])
    log_p = logsumexp(joint)
    return log_p, onp.exp(joint - log_p)


def best_gaussian(problem, p):
    """min KL[N(μ, diag σ²) ‖ p(z|x)] over μ and σ, by sums over half the grid's lines, from a start on either side."""
    z, p = points(problem)[::2, ::2].reshape(-1, 2), p[::2, ::2].ravel() / p[::2, ::2].sum()
    log_p = onp.log(p + 1e-300)

    def kl(parameters):
        log_q = -gaussian_nll(z, parameters[:2], parameters[2:])
        log_q = log_q - logsumexp(log_q)
        return onp.sum(onp.exp(log_q) * (log_q - log_p))

    starts = z[onp.searchsorted(onp.cumsum(p), (0.3, 0.7))]
    return min(minimize(kl, onp.append(start, [-2.0, -2.0]), method="Nelder-Mead",
                        options={"xatol": 0.01, "fatol": 1e-4}).fun for start in starts)


def cells(problem, p):
    """Sums of p over squares of CELL × CELL points of the grid."""
    n = len(problem.grid) // CELL
    return p.reshape(n, CELL, n, CELL).sum(axis=(1, 3))


def histogram(problem, z):
    """The shares of the samples z in the same cells."""
    edges = problem.grid[0] + (onp.arange(0, len(problem.grid) + 1, CELL) - 0.5) * onp.diff(problem.grid)[0]
    return onp.histogramdd(z, [edges] * 2)[0] / len(z)


def knn_entropy(z, k=3):
    """H[q] ≈ ψ(m) − ψ(k) + log π + 2 ⟨log r_k⟩ of m samples in the plane (Kozachenko & Leonenko, 1987)."""
    r = cKDTree(z).query(z, k + 1)[0][:, -1]
    return digamma(len(z)) - digamma(k) + onp.log(onp.pi) + 2 * onp.mean(onp.log(r))


def judge(problem, truths, x, z, T):
    """One row a datum, nats: −log p(x), −ELBO by the critic, −ELBO by neighbours, and q's total variation to p(z|x)."""
    rows = []
    for i, (log_p, p) in enumerate(truths):
        energy = -problem.log_joint(x[i], z[:, i])
        claimed = onp.mean(T[:, i])
        if problem.likelihood is implicit_likelihood:
            claimed = claimed - log_p                       # T has log q(x) in it, and the data's law is the model's
        else:
            claimed += onp.mean(problem.likelihood.apply((), x[i:i + 1], z[:, i:i + 1]))
        shares = histogram(problem, z[:, i])
        distance = (onp.abs(shares - cells(problem, p)).sum() + 1 - shares.sum()) / 2     # the rest is off the grid
        rows.append((-log_p, claimed, onp.mean(energy) - knn_entropy(z[:, i]), distance))
    return onp.array(rows)


def exact_samples(problem, truths, samples, rng):
    """The total variation that as many samples of the exact posterior show: what the histogram's noise costs."""
    found = []
    for _, p in truths:
        p = cells(problem, p).ravel()
        found.append(onp.abs(rng.multinomial(samples, p / p.sum()) / samples - p).sum() / 2)
    return onp.mean(found)


def main(arguments):
    steps, test_size, samples = (20, 4, 200) if arguments.quick else (STEPS, TEST, SAMPLES)
    figure, rows = Figure(layout="constrained", figsize=(13, 6.4)), []
    runs = 1 if arguments.quick else arguments.runs
    if not arguments.quick:
        common.takes(2 * runs * 20)
    for problem, panels in zip((Ring, Simulator), figure.subplots(2, 4)):
        test = common.streams(arguments.seed)[3]
        x = problem.simulate(test, problem.prior(test, test_size))
        truths = [posterior_on_grid(problem, value) for value in x]
        gaussian = onp.mean([best_gaussian(problem, p) for _, p in truths])
        floor = exact_samples(problem, truths, samples, test)
        for seed in range(arguments.seed, arguments.seed + runs):
            phi, posterior = fit(problem, steps, seed)
            eps = test.standard_normal((samples, test_size, NOISE), onp.float32)
            exact, claimed, near, distance = judge(problem, truths, x, *posterior.apply(phi, x, eps)).mean(axis=0)
            rows.append([problem.name, seed, *(f"{value:.3f}" for value in (
                exact, claimed, near, claimed - exact, near - exact, gaussian, distance, floor))])
            if seed == arguments.seed:
                draw(problem, posterior, phi, panels, test)
    print(f"Nats, means over {test_size} x of the model's law, {samples} samples of q for each. -log p(x) is exact,\n"
          "and the best Gaussian's KL[q‖p(z|x)]. TV: total variation between q and p(z|x); floor: what exact samples "
          "of p(z|x) show.")
    common.table(("only sampled", "seed", "-log p(x)", "-ELBO, critic", "neighbours", "KL, critic", "neighbours",
                  "best Gaussian", "TV", "floor"), rows)
    figure.savefig(os.path.join(arguments.out, "implicit_models.png"), dpi=110)


def draw(problem, posterior, phi, panels, rng):
    """Samples of the prior, then samples of q(z|x) over the contours of the exact p(z|x) for three x."""
    panels[0].plot(*problem.prior(rng, 1_500).T, ".", color="C2", markersize=2)
    panels[0].set(title=f"{problem.name}\np(z), samples")
    for x, panel in zip(problem.shown, panels[1:]):
        eps = rng.standard_normal((1_500, 1, NOISE), onp.float32)
        z = posterior.apply(phi, onp.full((1, 1), x, onp.float32), eps)[0][:, 0]
        p = posterior_on_grid(problem, x)[1]
        panel.plot(*z.T, ".", color="C0", markersize=2, label="q(z|x), samples")
        panel.contour(problem.grid, problem.grid, p.T / p.max(), levels=[0.05, 0.3, 0.7], colors="black", linewidths=1)
        panel.plot([], [], "k", linewidth=1, label="p(z|x), exact")
        panel.set(title=f"x = {x}")
    for panel in panels:
        panel.set(xlabel="z₁", ylabel="z₂", aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    panels[1].legend(fontsize=8, loc="upper right")


if __name__ == "__main__":
    parser = common.options(__doc__, "implicit_models")
    parser.add_argument("--runs", type=common.positive, default=3, help="seeds for each model, from --seed on")
    common.run(main, parser)
