"""Divergences: Rényi's α and the χ bound enclose log p(x), and each fits another Gaussian to the same posterior.

With weights w = p(x, z) / q(z|x),

    L_α = 1/(1 − α) log E_q[w^(1−α)] = log p(x) − D_α[q(z|x) ‖ p(z|x)],      CUBO = ½ log E_q[w²] = L_α of α = −1,

falls with α: ELBO = L_1 ≤ L_½ ≤ L_0 = log p(x) ≤ L_−½ ≤ CUBO. For α > 0 it is maximised, for α < 0 minimised. The mean
over k samples, for α < 1, is too low and rises with k to L_α: what is an upper bound need not be one for few samples.
Near α = 1, where log w is averaged, q pays most for covering what the posterior does not (mode-seeking); for small and
for negative α, for not covering what it does (mass-covering). But samples of q hardly see what q leaves out: for
α < 0 a q that starts narrow stays so, on each of three seeds. Here the posterior is not Gaussian, q is, and all
expectations can be had by quadrature. Li & Turner (2016), section 3; Dieng et al. (2017), section 2.
"""

from support import common

import itertools
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.special import logsumexp

from vae_np import (
    Block,
    adam,
    gaussian_likelihood,
    gaussian_nll,
    gaussian_noise,
    gaussian_posterior,
    train,
    vae,
    value_and_grad,
)
from vae_np.extensions.bounds import cubo, elbo, log_mean_exp, renyi

ALPHAS = (1.0, 0.5, 0.2, 0.0, -0.5, -1.0)
NAMES = {1.0: "ELBO", 0.0: "IWAE", -1.0: "χ (CUBO)"}
COLORS = {1.0: "tab:blue", 0.5: "tab:green", 0.2: "tab:olive", -0.5: "tab:orange", -1.0: "tab:red"}
KS = (5, 50, 500)
NARROW = (0.9, 2 * onp.log(0.6))     # μ and log σ² of the q that the bounds are compared for, over one mode
WIDE = (0.5, 2 * onp.log(2))         # fits start from the one and from the other
SECONDS = 17                         # for each seed, on one core
free = Block(None, lambda phi, x: (phi[0], phi[1]), "free")


def likelihood(f, log_var):
    """p(x|z) = N(x | f(z), e^log_var): a decoder without parameters."""
    return gaussian_likelihood(Block(None, lambda theta, z: (f(z), log_var), "f"))


# Two modes: x is nearly z², seen with noise. A banana: x = z₂ − z₁², seen with noise. The prior is N(0, I).
PROBLEMS = {1: (likelihood(lambda z: z ** 2 + 0.15 * z, 2 * onp.log(0.5)), onp.array([[1.8]])),
            2: (likelihood(lambda z: z[..., 1:] - z[..., :1] ** 2, 2 * onp.log(0.3)), onp.array([[-1.0]]))}


def grid(d):
    """Points (m, 1, d), log p(x, z) at each (m,), and the log of a cell's volume."""
    axis = onp.linspace(-5, 5, 2001 if d == 1 else 161)
    z = onp.stack(onp.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, 1, d)
    block, x = PROBLEMS[d]
    prior = gaussian_nll(z, onp.zeros(d), onp.zeros(d))
    return z, -(block.apply((), x, z) + prior)[:, 0], d * onp.log(axis[1] - axis[0])


def limit(phi, alpha, z, joint, cell):
    """L_α by a sum over the grid: 1/(1 − α) log Σ q^α p(x, z)^(1 − α) Δz, or Σ q log{p(x, z) / q} Δz for α = 1."""
    log_q = -gaussian_nll(z, *phi)[:, 0]
    if alpha == 1:
        return np.sum(np.exp(log_q + cell) * (joint - log_q))
    t = 1 - alpha
    return (log_mean_exp(alpha * log_q + t * joint) + onp.log(len(z)) + cell) / t


def exact_fit(d, alpha, quadrature):
    """μ, σ of the Gaussian that is best for L_α, by quadrature: quasi-Newton steps from both starts, the better end."""
    sign = -1 if alpha > 0 else 1
    differentiate = value_and_grad(lambda phi: sign * limit([phi[0][None], phi[1][None]], alpha, *quadrature))

    def objective(flat):
        value, gradient = differentiate(list(flat.reshape(2, d)))
        return float(value), onp.concatenate(gradient)

    box = [(-3, 3)] * d + [(2 * onp.log(0.15), 2 * onp.log(3))] * d  # a σ that the grid resolves and holds
    ends = [minimize(objective, onp.repeat(start, d), jac=True, bounds=box) for start in (WIDE, NARROW)]
    mu, log_var = min(ends, key=lambda end: end.fun).x.reshape(2, d)
    return mu, onp.exp(0.5 * log_var)


def sampled_fit(d, alpha, start, steps, k, rng):
    """The same as one would train it: Adam on the bound of k samples, averaged over the last half of the steps."""
    block, x = PROBLEMS[d]
    model = vae(gaussian_posterior(free), block)
    sign = -1 if alpha > 0 else 1
    bound = cubo if alpha == -1 else lambda log_w: renyi(log_w, alpha)
    params = {"phi": [onp.full((1, d), value) for value in start], "theta": ()}
    states = train(lambda p, x, eps: sign * np.mean(bound(model.log_weight(p, x, eps))), params,
                   itertools.repeat(x, steps), gaussian_noise(rng, d, k), adam(0.02))
    late = [s.params["phi"] for s in common.progress(states, steps, f"fit, α = {alpha:g}") if 2 * s.step > steps]
    mu, log_var = (onp.mean([phi[i][0] for phi in late], axis=0) for i in (0, 1))
    return mu, onp.exp(0.5 * log_var)


def estimates(alpha, k, replicates, rng):
    """L_α of k samples, `replicates` times, for the narrow q: the replicates stand where the data would."""
    block, x = PROBLEMS[1]
    model = vae(gaussian_posterior(free), block)
    phi = [onp.full((replicates, 1), value) for value in NARROW]
    eps = rng.standard_normal((k, replicates, 1))
    log_w = model.log_weight({"phi": phi, "theta": ()}, onp.repeat(x, replicates, axis=0), eps)
    return elbo(log_w) if alpha == 1 else renyi(log_w, alpha)


def main(arguments):
    replicates, steps, k, runs = (200, 40, 100, 2) if arguments.quick else (4000, 1200, 1000, arguments.runs)
    common.takes(0 if arguments.quick else SECONDS * runs)
    noises, test = zip(*(common.streams(seed)[2:] for seed in range(arguments.seed, arguments.seed + runs)))
    q = [onp.full((1, 1), value) for value in NARROW]
    line, plane = grid(1), grid(2)
    log_p = logsumexp(line[1]) + line[2]
    samples = {(alpha, k): estimates(alpha, k, replicates // (1 + k // 100), test[0]) for alpha in ALPHAS for k in KS}
    exact = {alpha: exact_fit(1, alpha, line) for alpha in ALPHAS if alpha}
    wide, narrow = ({alpha: [sampled_fit(1, alpha, start, steps, k, noise)[1].item() for noise in noises]
                     for alpha in ALPHAS if alpha} for start in (WIDE, NARROW))
    ellipses = {alpha: exact_fit(2, alpha, plane) for alpha in ALPHAS if alpha}

    print(f"A posterior with two modes and a Gaussian q. log p(x) = {log_p:.4f} nats, by quadrature.\n"
          f"Bounds, in nats: for the narrow q, N({NARROW[0]:g}, {onp.exp(NARROW[1] / 2):.1f}²); k → ∞ and best: by "
          f"quadrature;\nk: mean ± standard error, {replicates} times k samples ({len(samples[0, 500])} for 500).\n"
          f"From: trained by {k} samples a step, from N({WIDE[0]:g}, {onp.exp(WIDE[1] / 2):g}²) "
          f"or from the narrow q, {runs} seeds. L_0 is log p(x) for every q: none is best.")
    rows = []
    for alpha in ALPHAS:
        row = [f"{alpha:g} {NAMES.get(alpha, '')}".strip(), f"{limit(q, alpha, *line):+.4f}"]
        row += [f"{samples[alpha, k].mean():+.3f} ± {samples[alpha, k].std() / len(samples[alpha, k]) ** 0.5:.3f}"
                for k in KS]
        ends = [*exact[alpha], wide[alpha], narrow[alpha]] if alpha else [[]] * 4
        row += [", ".join(f"{value:.3f}" for value in end) for end in ends]
        rows.append(row)
    common.table(["α", "k → ∞", *(f"k = {k}" for k in KS), "best μ", "best σ", "σ from wide", "from narrow"], rows)
    draw(q, line, plane, log_p, samples, exact, ellipses, os.path.join(arguments.out, "divergences.png"))


def draw(q, line, plane, log_p, samples, exact, ellipses, path):
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    sandwich, modes, banana = figure.subplots(1, 3)
    fine = onp.linspace(-1, 1, 81)
    sandwich.plot(fine, [limit(q, alpha, *line) for alpha in fine], "k", label="k → ∞, by quadrature")
    for k, marker in zip(KS, "v^D"):
        values = [samples[alpha, k] for alpha in ALPHAS]
        sandwich.errorbar(ALPHAS, [v.mean() for v in values], [2 * v.std() / len(v) ** 0.5 for v in values],
                          fmt=f"{marker}:", capsize=2, markersize=4, linewidth=1, label=f"mean over k = {k}")
    sandwich.axhline(log_p, color="0.6", linestyle="--", linewidth=1, label="log p(x)")
    sandwich.set(xlabel="α   (−1: χ bound, 0: IWAE, 1: ELBO)", ylabel="L_α (nats)", title="the bounds around log p(x)")
    z = line[0][:, 0, 0]
    modes.fill_between(z, onp.exp(line[1] - log_p), color="0.85", label="posterior p(z|x)")
    for alpha, (mu, sigma) in exact.items():
        log_q = -gaussian_nll(z[:, None], mu, 2 * onp.log(sigma))
        modes.plot(z, onp.exp(log_q), color=COLORS[alpha], label=f"α = {alpha:g} {NAMES.get(alpha, '')}")
    modes.set(xlim=(-3, 3), xlabel="z", ylabel="density", title="the best Gaussian: two modes")
    side = round(len(plane[1]) ** 0.5)
    z1, z2 = (plane[0][:, 0, i].reshape(side, side) for i in (0, 1))
    banana.contourf(z1, z2, onp.exp(plane[1] - plane[1].max()).reshape(side, side), levels=8, cmap="Greys")
    angle = onp.linspace(0, 2 * onp.pi, 200)
    for alpha, (mu, sigma) in ellipses.items():
        banana.plot(mu[0] + 2 * sigma[0] * onp.cos(angle), mu[1] + 2 * sigma[1] * onp.sin(angle), color=COLORS[alpha],
                    label=f"α = {alpha:g} {NAMES.get(alpha, '')}")
    banana.set(xlim=(-3.2, 3.2), ylim=(-3.2, 4.2), xlabel="z₁", ylabel="z₂", title="a curved posterior; q at two s.d.")
    for axes in (sandwich, modes, banana):
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = common.options(__doc__, "divergences")
    parser.add_argument("--runs", type=common.positive, default=3, help="seeds of the fits by samples, from --seed on")
    common.run(main, parser)
