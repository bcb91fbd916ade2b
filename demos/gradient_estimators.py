"""Gradient estimators of the ELBO: all unbiased; through z the variance is least, the more so with more latents.

With f(z) = log p(x|z) + log p(z) − log q(z|x), the gradient of ELBO = E_q[f] in λ = (μ, log σ²) is the mean of

    pathwise          ∇_λ f(z(ε, λ)),  z = μ + σ ⊙ ε       with log q(z), or with the KL in closed form
    path only         the same, μ and σ inside log q(z) held constant                  (Roeder et al., 2017)
    score function    f(z) ∇_λ log q(z|λ)                                              (Williams, 1992: REINFORCE)
    … with baseline   {f(z) − b} ∇_λ log q(z|λ),  b = E_q[f] from other samples        (Mnih & Gregor, 2014)

All have the gradient of the same bound as their mean, here known by quadrature. Kingma & Welling (2014), section 2.2,
find the variance of the score function's too high to be practical. With one latent and near the best μ, a baseline
can bring it level with the pathwise one; with many latents it cannot.
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


def main(arguments):
    count = 2000 if arguments.quick else 200_000
    init, data, noise, _ = common.streams(arguments.seed)
    setting = problem(1, init, data)
    grid, few = onp.linspace(-3, 3, 25), max(500, count // 20)
    slopes = [exact(*setting, mu, AT[1])[0].item() for mu in grid]
    along = {name: [draws(name, setting, 1, mu, AT[1], few, noise)[0] for mu in grid] for name in ESTIMATORS}
    wide = {name: [] for name in ESTIMATORS}
    for d in common.progress(DIMENSIONS, len(DIMENSIONS), "dimensions"):
        larger = problem(d, init, data)
        for name in ESTIMATORS:
            wide[name].append(onp.mean(onp.var(draws(name, larger, d, *AT, few, noise)[0], axis=0)))

    truth, rows, base = [g.item() for g in exact(*setting, *AT)], [], None
    for name in common.progress(ESTIMATORS, len(ESTIMATORS), "at one q"):
        g = draws(name, setting, 1, *AT, count, noise)
        mean, error = ([f(part) for part in g] for f in (onp.mean, lambda part: onp.std(part) / onp.sqrt(count)))
        variance = [onp.var(part) for part in g]
        base = base or variance
        rows.append([name, *(cell for i in (0, 1) for cell in (f"{mean[i]:+.4f} ± {error[i]:.4f}", f"{truth[i]:+.4f}",
                                                               f"{variance[i]:.4g}", f"{variance[i] / base[i]:.3g}")),
                     f"{wide[name][-1] / wide['pathwise'][-1]:.3g}"])
    print(f"Gradient of -ELBO (nats) at q = N({AT[0]:g}, e^{AT[1]:g}), one latent, {count:,} draws of one sample each; "
          "exact: by quadrature.\nRatio: of the variance to the pathwise one's; last column: with 64 latents.")
    common.table(["estimator", "∂/∂μ", "exact", "Var", "ratio", "∂/∂log σ²", "exact", "Var", "ratio", "d = 64"], rows)
    draw(grid, slopes, along, wide, os.path.join(arguments.out, "gradient_estimators.png"))


def draw(grid, slopes, along, wide, path):
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    means, variances, growth = figure.subplots(1, 3)
    for name, style in (("score function", 0.25), ("score function, baseline", 0.35), ("pathwise", 0.6)):
        middle, spread = ([f(g) for g in along[name]] for f in (onp.mean, onp.std))
        means.fill_between(grid, onp.subtract(middle, spread), onp.add(middle, spread), color=COLORS[name],
                           alpha=style, linewidth=0, label=f"{name}: mean ± one s.d.")
    means.plot(grid, slopes, "k", linewidth=1.5, label="exact, by quadrature")
    means.set(xlabel="μ of q", ylabel="∂(−ELBO)/∂μ (nats)", title="one-sample estimates")
    for name, color in COLORS.items():
        variances.semilogy(grid, [onp.var(g) for g in along[name]], color=color, label=name)
        growth.loglog(DIMENSIONS, wide[name], "o-", color=color, label=name)
    variances.set(xlabel="μ of q", ylabel="variance of ∂/∂μ (nats²)", title="variance along μ")
    growth.set(xlabel="latents d", ylabel="variance of ∂/∂μ_j, mean over j (nats²)", title="and with more latents")
    growth.set_xticks(DIMENSIONS, [str(d) for d in DIMENSIONS])
    growth.minorticks_off()
    for axes in (means, variances):
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    common.run(main, common.options(__doc__, "gradient_estimators"))
