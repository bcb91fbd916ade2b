"""Gradient estimators of the ELBO: all unbiased; through z the variance is least as a rule, more so with more latents.

With f(z) = log p(x|z) + log p(z) − log q(z|x), the gradient of ELBO = E_q[f] in λ = (μ, log σ²) is the mean of

    pathwise          ∇_λ f(z(ε, λ)),  z = μ + σ ⊙ ε       with log q(z), or with the KL in closed form
    path only         the same, μ and σ inside log q(z) held constant                  (Roeder et al., 2017)
    score function    f(z) ∇_λ log q(z|λ)                                              (Williams, 1992: REINFORCE)
    … with baseline   {f(z) − b} ∇_λ log q(z|λ),  b = E_q[f] from other samples        (Mnih & Gregor, 2014)

All have the gradient of the same bound as their mean, here known by quadrature. Kingma & Welling (2014), section 2.2,
find the variance of the score function's too high to be practical. Each of ten problems is another decoder and image.
"""

from support import common

import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import (
    Block,
    astype,
    bernoulli_likelihood,
    dense,
    gaussian_kl,
    gaussian_log_ratio,
    gaussian_nll,
    gaussian_posterior,
    location_scale,
    sequential,
    tanh,
    vae,
    value_and_grad,
)
from vae_np.extensions.bounds import path_log_ratio

PIXELS, WIDTH = 16, 16
AT = (0.0, -1.0)                     # μ and log σ² of q where the table compares
DIMENSIONS = (1, 2, 4, 8, 16, 32, 64)
GRID = onp.linspace(-3, 3, 25)
free = Block(None, lambda phi, x: (phi[0], phi[1]), "free")  # an encoder that is its own parameters: rows of μ, log σ²


def pathwise(kl):
    """lam, z's noise -> the gradient of −f in each row of λ: differentiate through z."""
    def estimate(likelihood, theta, x, lam, eps, _):
        model = vae(gaussian_posterior(free, kl=kl), likelihood)
        return value_and_grad(lambda lam: np.sum(model.apply({"phi": lam, "theta": theta}, x, eps)))(lam)[1]
    return estimate


def score(with_baseline):
    """The same by −f(z) ∇ log q(z): z and f(z) are constants, and the model is never differentiated."""
    def estimate(likelihood, theta, x, lam, eps, others):
        model = vae(gaussian_posterior(free, kl=gaussian_log_ratio), likelihood)
        params, z = {"phi": lam, "theta": theta}, location_scale(*lam, eps)
        f = -model.apply(params, x, eps)
        baseline = -onp.mean(model.apply(params, x, others)) if with_baseline else 0.0
        return value_and_grad(lambda lam: np.sum((f - baseline) * gaussian_nll(z, *lam)))(lam)[1]
    return estimate


ESTIMATORS = {"pathwise": pathwise(gaussian_log_ratio), "pathwise, closed-form KL": pathwise(gaussian_kl),
              "path only": pathwise(path_log_ratio), "score function": score(False),
              "score function, baseline": score(True)}
COLORS = dict(zip(ESTIMATORS, ("tab:blue", "tab:cyan", "tab:green", "tab:red", "tab:orange")))


def problem(d, init, data):
    """A decoder from d latents to pixels, with steeper weights than usual, and one binary image drawn from it."""
    decoder = sequential(dense(d, WIDTH), tanh, dense(WIDTH, PIXELS))
    theta = astype(decoder.init(init), onp.float64)
    theta[0]["W"] *= 1.5
    theta[2]["W"] *= 3
    logits = decoder.apply(theta, data.standard_normal(d))
    return bernoulli_likelihood(decoder), theta, (data.random((1, PIXELS)) < 1 / (1 + onp.exp(-logits))).astype(float)


def exact(likelihood, theta, x, mu, log_var):
    """∂(−ELBO)/∂μ and ∂/∂log σ² by Gauss–Hermite quadrature, d = 1."""
    point, weight = onp.polynomial.hermite_e.hermegauss(100)
    eps, weight = point[:, None], weight / weight.sum()

    def nelbo(lam):
        z = lam[0] + np.exp(0.5 * lam[1]) * eps
        return np.sum(weight * likelihood.apply(theta, x, z)) + gaussian_kl(lam[0], lam[1])

    return value_and_grad(nelbo)([onp.array([mu]), onp.array([log_var])])[1]


def draws(name, setting, d, mu, log_var, count, noise):
    """`count` independent one-sample estimates of both gradients: two arrays (count, d)."""
    lam = [onp.full((count, d), mu), onp.full((count, d), log_var)]
    return ESTIMATORS[name](*setting, lam, noise.standard_normal((count, d)), noise.standard_normal((count, d)))


def one_problem(seed, count, few):
    """What one decoder and image show: variances, and by how many standard errors the means miss the exact gradient."""
    init, data, noise, _ = common.streams(seed)
    setting = problem(1, init, data)
    slopes = [exact(*setting, mu, AT[1])[0].item() for mu in GRID]
    along = {name: [draws(name, setting, 1, mu, AT[1], few, noise)[0] for mu in GRID] for name in ESTIMATORS}
    wide = {name: [] for name in ESTIMATORS}
    for d in DIMENSIONS:
        larger = problem(d, init, data)
        for name in ESTIMATORS:
            wide[name].append(onp.mean(onp.var(draws(name, larger, d, *AT, few, noise)[0], axis=0)))
    truth, variance, misses = [g.item() for g in exact(*setting, *AT)], {}, {}
    for name in ESTIMATORS:
        g = draws(name, setting, 1, *AT, count, noise)
        variance[name] = [onp.var(part) for part in g]
        misses[name] = [(onp.mean(part) - exact_) / onp.sqrt(onp.var(part) / count) for part, exact_ in zip(g, truth)]
    return {"slopes": slopes, "along": along, "variance": variance, "misses": misses, "wide": wide}


def main(arguments):
    count = 2000 if arguments.quick else 200_000
    seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else arguments.runs))
    if not arguments.quick:
        common.takes(4 * len(seeds))
    runs = [one_problem(seed, count, max(500, count // 20)) for seed in common.progress(seeds, len(seeds), "problem")]
    first = next(iter(ESTIMATORS))
    rows = []
    for name in ESTIMATORS:
        off = [max(abs(run["misses"][name][i]) for run in runs) for i in (0, 1)]
        ratios = [[run["variance"][name][i] / run["variance"][first][i] for run in runs] for i in (0, 1)]
        ratios.append([run["wide"][name][-1] / run["wide"][first][-1] for run in runs])
        rows.append([name, *(f"{value:.1f}" for value in off), *map(spread, ratios)])
    print(f"Gradient of -ELBO at q = N({AT[0]:g}, e^{AT[1]:g}) for {len(runs)} decoders and images, {count:,} draws of "
          "one sample.\nOff: the largest distance of a mean from the exact gradient (quadrature) in standard errors.\n"
          f"Var: over the {first} estimator's, median (least to most) of the problems.")
    common.table(["estimator", "∂μ off", "∂log σ² off", "Var of ∂μ", "Var of ∂log σ²", "Var of ∂μ, 64 latents"], rows)
    draw(runs, os.path.join(arguments.out, "gradient_estimators.png"))


def spread(values):
    """Median, least and most, as text."""
    return f"{onp.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def draw(runs, path):
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    means, variances, growth = figure.subplots(1, 3)
    for name, style in (("score function", 0.25), ("score function, baseline", 0.35), ("pathwise", 0.6)):
        middle, deviation = ([f(g) for g in runs[0]["along"][name]] for f in (onp.mean, onp.std))
        means.fill_between(GRID, onp.subtract(middle, deviation), onp.add(middle, deviation), color=COLORS[name],
                           alpha=style, linewidth=0, label=f"{name}: mean ± one s.d.")
    means.plot(GRID, runs[0]["slopes"], "k", linewidth=1.5, label="exact, by quadrature")
    means.set(xlabel="μ of q", ylabel="∂(−ELBO)/∂μ (nats)", title="one-sample estimates, first problem")
    for name, color in COLORS.items():
        band(variances, GRID, [[onp.var(g) for g in run["along"][name]] for run in runs], color, name)
        band(growth, DIMENSIONS, [run["wide"][name] for run in runs], color, name, marker="o")
    variances.set(yscale="log", xlabel="μ of q", ylabel="variance of ∂/∂μ (nats²)",
                  title=f"variance along μ: median, range of {len(runs)}")
    growth.set(xscale="log", yscale="log", xlabel="latents d", ylabel="variance of ∂/∂μ_j, mean over j (nats²)",
               title="and with more latents")
    growth.set_xticks(DIMENSIONS, [str(d) for d in DIMENSIONS])
    growth.minorticks_off()
    for axes in (means, variances):
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


def band(axes, x, values, color, label, **line):
    """The median of the rows of values, and from their least to their most."""
    axes.fill_between(x, onp.min(values, axis=0), onp.max(values, axis=0), color=color, alpha=0.15, linewidth=0)
    axes.plot(x, onp.median(values, axis=0), color=color, label=label, **line)


if __name__ == "__main__":
    parser = common.options(__doc__, "gradient_estimators")
    parser.add_argument("--runs", type=common.positive, default=10, help="problems, a decoder and an image each")
    common.run(main, parser)
