"""One Helmholtz machine trained four ways: wake-sleep, relaxed, score function, and by the exact gradient.

Claim: wake-sleep needs neither a relaxation nor a score function, and yet learns; its recognition phase follows another
gradient than the bound's, and the relaxed bound's is biased too. The net is small enough (2^8 states) to sum over all
causes, so that the exact log p(x), the exact ELBO and the exact gradient are the judges.

    wake:  −∇_θ log p_θ(x, h), h ~ q_φ(h|x)        sleep:  −∇_φ log q_φ(h|x), (x, h) ~ p_θ
    Concrete: ∇ of log q_τ(h|x) − log p_λ(x, h), h and its prior relaxed: the bound of another model
    score function: (−log w − mean of the others') ∇_φ log q_φ(h|x), unbiased

Data: 4 × 4 binary bars, every row and column on with probability ¼: the law is known, and its entropy is the least
−log p(x) that any model reaches. Hinton, Dayan, Frey & Neal (1995); Dayan et al. (1995); Maddison et al. (2017).
"""

from support.common import options, positive, progress, run, streams, table, takes

import os
from itertools import islice

import autograd.numpy as np
import numpy as onp
from belief_net import SIDE, bars, show
from matplotlib.figure import Figure

from vae_np import adam, bernoulli_likelihood, constant, dense, train, vae, value_and_grad
from vae_np.extensions.concrete import binary_concrete_posterior
from vae_np.extensions.helmholtz import wake_sleep
from vae_np.extensions.sbn import exact, generate, sbn, score_function
from vae_np.nests import leaves

VISIBLE, HIDDEN, SAMPLES, BATCH = SIDE ** 2, 2 * SIDE, 4, 50
STAGES = ((0.8, 0.03), (0.2, 0.003))                    # share of the steps, Adam's learning rate
TAU, PRIOR_TAU = 2 / 3, 1 / 2                           # Maddison et al. (2017), section 5: of q, and of the prior
NET = sbn(VISIBLE, HIDDEN)
SOFT = vae(binary_concrete_posterior(dense(VISIBLE, HIDDEN), TAU, PRIOR_TAU, prior=constant(HIDDEN)),
           bernoulli_likelihood(dense(HIDDEN, VISIBLE)))


def concrete(params, x, u):
    """−log w of the relaxed net: the same layers, h and its prior replaced by binary Concrete variables."""
    (up,), (down,), prior = params["phi"], params["theta"]["layers"], params["theta"]["prior"]
    return SOFT.apply({"phi": {"encoder": up, "prior": prior}, "theta": down}, x, u)


def one(rng):
    return lambda n: rng.random((SAMPLES, n, HIDDEN), onp.float32)


def two(rng):
    return lambda n: (one(rng)(n), rng.random((SAMPLES, n, VISIBLE + HIDDEN), onp.float32))


# Name: the loss of each datum (and sample), and the noise it asks for. The same start and batches for all.
METHODS = {"exact gradient": (lambda params, x, _: -exact(params, x)[1], lambda rng: lambda n: None),
           "score function": (score_function, one),
           "Concrete": (concrete, one),
           "wake-sleep": (wake_sleep, two)}


def fit(loss, noise, steps, seed, every, name):
    """Train through the stages; returns the parameters every so many steps (the last included)."""
    (x, p), (init, order, draws, _) = bars(), streams(seed)
    batches = (x[order.choice(len(x), BATCH, p=p)] for _ in iter(int, 1))
    params, state, kept = NET.init(init), None, []
    for share, rate in STAGES:
        count = round(share * steps)
        states = train(lambda *args: np.mean(loss(*args)), params, islice(batches, count), noise(draws), adam(rate),
                       resume=state)
        for state in progress(states, count, name):
            if state.step % every == 0:
                kept.append(state.params)
    return kept


def gradient_error(loss, noise, params, draws, rng):
    """In φ, in units of the exact gradient's length: how far the mean estimate lies off, and what noise alone makes."""
    def flat(f, *args):
        return onp.concatenate([onp.ravel(leaf) for leaf in leaves(value_and_grad(f)(params, *args)[1]["phi"])])

    (x, p), source = bars(), noise(rng)
    rows = onp.repeat(onp.arange(len(x)), onp.ceil(1000 * p).astype(int))      # likely images more often, weighed less
    weights = (p / onp.bincount(rows))[rows]
    truth = flat(lambda q: -np.sum(p * exact(q, x)[1]))
    found = onp.array([flat(lambda q, u: np.sum(np.mean(loss(q, x[rows], u).reshape(-1, len(rows)), axis=0) * weights),
                            source(len(rows))) for _ in range(draws)])
    length, spread = onp.linalg.norm(truth), onp.sqrt(found.var(axis=0, ddof=1).sum())
    return onp.linalg.norm(found.mean(axis=0) - truth) / length, spread / onp.sqrt(draws) / length


def main(arguments):
    steps, every, seeds, draws = (20, 4, 2, 3) if arguments.quick else (5000, 200, arguments.runs, 200)
    if seeds < 2:
        raise ValueError(f"--runs {seeds}: expected at least 2, for a standard error")
    if not arguments.quick:
        takes(70 * seeds)
    x, p = bars()
    best, curves, dreams, errors = p @ onp.log(p), {}, {}, {}
    judged = fit(*METHODS["exact gradient"], steps // 10, arguments.seed, steps // 10, "where to judge gradients")[-1]
    for name, (loss, noise) in METHODS.items():
        runs = [fit(loss, noise, steps, arguments.seed + i, every, f"{name}, run {i + 1}") for i in range(seeds)]
        curves[name] = onp.array([[[p @ value for value in exact(params, x)] for params in r] for r in runs])
        dreams[name] = generate(runs[0][-1]["theta"], streams(arguments.seed)[3].random((24, VISIBLE + HIDDEN)))[0]
        errors[name] = gradient_error(loss, noise, judged, 2 if name == "exact gradient" else draws,
                                      streams(arguments.seed)[3])
    rows = []
    for name, values in curves.items():
        log_p, elbo = values[:, -1].T
        rows.append((name, plus_minus(log_p), f"{log_p.min():.3f} to {log_p.max():.3f}",
                     "" if name == "wake-sleep" else plus_minus(curves["wake-sleep"][:, -1, 0] - log_p),
                     plus_minus(log_p - elbo), *(f"{100 * error:.1f} %" for error in errors[name])))
    print(f"Bars, binary, 4 × 4, {seeds} seeds, {steps} steps of {BATCH}: nats, mean ± standard error over seeds.\n"
          f"No model has log p(x) above {best:.3f}. Ahead: the difference in log p(x), seed by seed. Bias, noise: of "
          "the gradient in φ.")
    table(["trained by", "log p(x), exact", "least to most", "wake-sleep is ahead by", "gap to the ELBO", "bias",
           "noise alone"], rows)
    figures(arguments.out, curves, dreams, best, every, x[streams(arguments.seed)[3].choice(len(x), 24, p=p)])


def plus_minus(values):
    """Mean and its standard error, as text."""
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def figures(out, curves, dreams, best, every, shown):
    figure = Figure(layout="constrained", figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    for i, (name, values) in enumerate(curves.items()):
        steps = every * (1 + onp.arange(values.shape[1]))
        for axes, value in ((left, best - values[..., 0]), (right, values[..., 0] - values[..., 1])):
            axes.fill_between(steps, *onp.quantile(value, [0.1, 0.9], axis=0), color=f"C{i}", alpha=0.2, linewidth=0)
            axes.plot(steps, onp.median(value, axis=0), color=f"C{i}", label=name)
    left.set(xlabel="step", ylabel="nats", yscale="log", title="KL[data ‖ model] = −log p(x) − entropy, exact")
    right.set(xlabel="step", ylabel="nats", yscale="log", title="gap KL[q(h|x) ‖ p(h|x)], exact, discrete model")
    left.legend(title=f"median and 10 to 90 % of {len(values)} seeds", fontsize=8, title_fontsize=8)
    figure.savefig(os.path.join(out, "curves.png"), dpi=120)

    figure = Figure(layout="constrained", figsize=(9, 3))
    for axes, (name, images) in zip(figure.subplots(1, 1 + len(dreams)), {"data": shown, **dreams}.items()):
        show(axes, images, SIDE, 4, name)
    figure.savefig(os.path.join(out, "dreams.png"), dpi=120)


if __name__ == "__main__":
    parser = options(__doc__, "wake_sleep")
    parser.add_argument("--runs", type=positive, default=10, help="seeds for each method, at least 2")
    run(main, parser)
