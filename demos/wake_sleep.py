"""One Helmholtz machine trained four ways: wake-sleep, relaxed, score function, and by the exact gradient.

Claim: wake-sleep needs neither a relaxation nor a score function, and yet learns; its recognition phase follows another
gradient than the bound's, and the relaxed bound's is biased too. The net is small enough (2^8 states) to sum over all
causes, so that the exact log p(x), the exact ELBO and the exact gradient are the judges.

    wake:  −∇_θ log p_θ(x, h), h ~ q_φ(h|x)        sleep:  −∇_φ log q_φ(h|x), (x, h) ~ p_θ
    relaxed: ∇ of −log w at h = σ((l + log u − log(1 − u)) / ½), the discrete formula at a soft h: no bound, and not the
             density of the relaxed variable that Maddison et al. (2017) put in its place
    score function: (−log w − mean of the others') ∇_φ log q_φ(h|x), unbiased

Data: 4 × 4 binary bars, every row and column on with probability ¼: the law is known, and its entropy is the least
−log p(x) that any model reaches. Hinton, Dayan, Frey & Neal (1995); Dayan et al. (1995); Maddison et al. (2017).
"""

from support.common import options, positive, progress, run, streams, table

import os

import autograd.numpy as np
import numpy as onp
from belief_net import SIDE, bars, show
from matplotlib.figure import Figure

from vae_np import adam, train, value_and_grad
from vae_np.extensions.helmholtz import wake_sleep
from vae_np.extensions.relaxed import binary_concrete
from vae_np.extensions.sbn import exact, generate, sbn, score_function
from vae_np.nests import leaves

VISIBLE, HIDDEN, SAMPLES, BATCH, LEARNING_RATE, TAU = SIDE ** 2, 2 * SIDE, 4, 50, 0.03, 0.5
NET = sbn(VISIBLE, HIDDEN)
SOFT = sbn(VISIBLE, HIDDEN, sample=lambda logits, u: binary_concrete(logits, u, TAU))


def one(rng):
    return lambda n: rng.random((SAMPLES, n, HIDDEN), onp.float32)


def two(rng):
    return lambda n: (one(rng)(n), rng.random((SAMPLES, n, VISIBLE + HIDDEN), onp.float32))


# Name: the loss of each datum (and sample), and the noise it asks for. The same batches for all.
METHODS = {"exact gradient": (lambda params, x, _: -exact(params, x)[1], lambda rng: lambda n: None),
           "score function": (score_function, one),
           f"relaxed, tau = {TAU}": (SOFT.apply, one),
           "wake-sleep": (wake_sleep, two)}


def fit(loss, noise, steps, seed, every, name):
    """Train; returns the parameters every so many steps (the last included)."""
    (x, p), (init, order, draws, _) = bars(), streams(seed)
    batches = (x[order.choice(len(x), BATCH, p=p)] for _ in range(steps))
    states = train(lambda *args: np.mean(loss(*args)), NET.init(init), batches, noise(draws), adam(LEARNING_RATE))
    return [state.params for state in progress(states, steps, name) if state.step % every == 0]


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
    steps, every, seeds, draws = (20, 10, 1, 3) if arguments.quick else (2500, 100, arguments.runs, 200)
    x, p = bars()
    best, curves, dreams = p @ onp.log(p), {}, {}
    judged = fit(*METHODS["exact gradient"], steps // 10, arguments.seed, steps // 10, "where to judge gradients")[-1]
    rows = []
    for name, (loss, noise) in METHODS.items():
        runs = [fit(loss, noise, steps, arguments.seed + i, every, f"{name}, run {i + 1}") for i in range(seeds)]
        curves[name] = onp.array([[[p @ value for value in exact(params, x)] for params in r] for r in runs])
        dreams[name] = generate(runs[0][-1]["theta"], streams(arguments.seed)[3].random((24, VISIBLE + HIDDEN)))[0]
        log_p, elbo = curves[name][:, -1].T
        bias, floor = gradient_error(loss, noise, judged, 2 if name == "exact gradient" else draws,
                                     streams(arguments.seed)[3])
        rows.append((name, f"{log_p.mean():.3f}", f"{log_p.min():.3f} to {log_p.max():.3f}", f"{elbo.mean():.3f}",
                     f"{(log_p - elbo).mean():.3f}", f"{100 * bias:.1f} %", f"{100 * floor:.1f} %"))
    rows.append(("the data's law", f"{best:.3f}", "", "", "", "", ""))
    table(["nats, binary bars", "log p(x)", f"over {seeds} runs", "ELBO", "gap", "bias of grad", "noise alone"], rows)
    figures(arguments.out, curves, dreams, best, every, x[streams(arguments.seed)[3].choice(len(x), 24, p=p)])


def figures(out, curves, dreams, best, every, shown):
    figure = Figure(layout="constrained", figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    for i, (name, values) in enumerate(curves.items()):
        steps = every * (1 + onp.arange(values.shape[1]))
        for run_, (log_p, elbo) in enumerate(values.transpose(0, 2, 1)):
            left.plot(steps, best - log_p, color=f"C{i}", lw=1, label=None if run_ else name)
            right.plot(steps, log_p - elbo, color=f"C{i}", lw=1)
    left.set(xlabel="step", ylabel="nats", yscale="log", title="KL[data ‖ model] = −log p(x) − entropy, exact")
    right.set(xlabel="step", ylabel="nats", yscale="log", title="The gap KL[q(h|x) ‖ p(h|x)], exact")
    left.legend(fontsize=8)
    figure.savefig(os.path.join(out, "curves.png"), dpi=120)

    figure = Figure(layout="constrained", figsize=(9, 3))
    for axes, (name, images) in zip(figure.subplots(1, 1 + len(dreams)), {"data": shown, **dreams}.items()):
        show(axes, images, SIDE, 4, name)
    figure.savefig(os.path.join(out, "dreams.png"), dpi=120)


if __name__ == "__main__":
    parser = options(__doc__, "wake_sleep")
    parser.add_argument("--runs", type=positive, default=3, help="seeds for each method, from --seed on")
    run(main, parser)
