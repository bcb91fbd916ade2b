"""Auto-encoding variational Bayes against wake-sleep, and Monte Carlo EM: one model, three ways of learning it.

    AEVB        −∇_{θ,φ} {log p_θ(x|z) − KL[q_φ(z|x) ‖ N(0, I)]},    z = μ_φ(x) + σ_φ(x) ⊙ ε
    wake-sleep  −∇_θ log p_θ(x|z), z ~ q_φ(z|x);                     −∇_φ log q_φ(z'|x'), (x', z') ~ p_θ
    MCEM        −∇_θ log p_θ(x|z), z ~ p_θ(z|x) by Hamiltonian Monte Carlo: no encoder

Kingma & Welling (2014), figures 2 and 3: AEVB "converged considerably faster and reached a better solution in all
experiments". Here both claims are put to the test, on MNIST, binarized once. First the bound, for 2, 5, 10 and 20
latents, by the training images seen; then log p(x) with three latents, for 1,000 and for all training images. Three
latents allow a sum over a grid: one judge for every method, and no q has a part in it (the paper estimates from samples
of the posterior). As there: one hidden layer of tanh, batches of 100, one sample, five steps of MCEM a batch, and for
each method the rate that was best on the training set in a short trial. Other than there: Adam for Adagrad, 200 hidden
units for 500 in the first figure, no weight decay, and fewer images seen.
"""

from support import common, data

import os
import time
from functools import partial
from itertools import islice
from types import SimpleNamespace

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import logsumexp

from vae_np import (
    State,
    adam,
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    dynamic,
    evaluate,
    gaussian_nll,
    gaussian_noise,
    gaussian_posterior,
    heads,
    log_likelihood,
    minibatches,
    sequential,
    tanh,
    train,
    vae,
    value_and_grad,
)
from vae_np.autodiff import stop_gradient
from vae_np.tools import checkpoint

LATENTS, HIDDEN, BATCH, MARKS = (2, 5, 10, 20), 200, 100, 8
GRID, RADIUS, SAMPLES = 0.2, 5.0, 500
LEAPFROGS, UPDATES, ACCEPTANCE = 10, 5, 0.9


def network(latents, hidden, pixels=784):
    encoder = sequential(dense(pixels, hidden), tanh, heads(dense(hidden, latents), dense(hidden, latents)))
    decoder = sequential(dense(latents, hidden), tanh, dense(hidden, pixels))
    posterior, likelihood = gaussian_posterior(encoder), bernoulli_likelihood(decoder)
    return SimpleNamespace(latents=latents, pixels=pixels, encoder=encoder, decoder=decoder, posterior=posterior,
                           likelihood=likelihood, vae=vae(posterior, likelihood))


def wake(net, params, x, eps):
    """−log p_θ(x|z), z ~ q_φ(z|x) a constant: the gradient in θ is the bound's, that in φ is zero. (..., n), nats."""
    z, _ = net.posterior.apply(stop_gradient(params["phi"]), x, eps)
    return net.likelihood.apply(params["theta"], x, z)


def sleep(net, params, z, u):
    """−log q_φ(z|x) of a dream, z ~ N(0, I), x ~ p_θ(x|z) from u uniform: the gradient in θ is zero. (n,), nats."""
    x = u < net.likelihood.mean(stop_gradient(params["theta"]), z)
    return gaussian_nll(z, *net.encoder.apply(params["phi"], x.astype(z.dtype)))


def aevb(net, x, rate, epochs, init, order, noise):
    """The parameters after each minibatch, one after another."""
    loss = lambda params, x, eps: np.mean(net.vae.apply(params, x, eps))
    batches = minibatches(order, x, BATCH, epochs, pixels=None)
    states = train(loss, net.vae.init(init), batches, gaussian_noise(noise, net.latents), adam(rate))
    return (state.params for state in states)


def wake_sleep(net, x, rate, epochs, init, order, noise):
    """As `aevb`: one step for both phases, one dream a datum."""
    loss = lambda params, x, draws: np.mean(wake(net, params, x, draws[0]) + sleep(net, params, *draws[1:]))
    normal = gaussian_noise(noise, net.latents)
    draws = lambda n: (normal(n), normal(n), noise.random((n, net.pixels), onp.float32))
    batches = minibatches(order, x, BATCH, epochs, pixels=None)
    return (state.params for state in train(loss, net.vae.init(init), batches, draws, adam(rate)))


def mcem(net, x, rate, epochs, init, order, noise):
    """As `aevb`: each datum's own chain moves, then five steps of θ with the z where it stands. φ stays as it is."""
    loss = lambda theta, x, z: np.mean(net.likelihood.apply(theta, x, z))
    params, optimizer, size = net.vae.init(init), adam(rate), 0.1
    state = State(0, params["theta"], None, optimizer.init(params["theta"]))
    z = gaussian_noise(noise, net.latents)(len(x))
    for rows in minibatches(order, onp.arange(len(x)), BATCH, epochs, pixels=None):
        z[rows], accepted = hamiltonian(partial(energy, net, state.params, x[rows]), z[rows], size, noise)
        size *= float(onp.exp(0.05 * (accepted - ACCEPTANCE)))
        *_, state = train(loss, None, [x[rows]] * UPDATES, lambda n, z=z[rows]: z, optimizer, resume=state)
        yield {**params, "theta": state.params}


def energy(net, theta, x, z):
    """−log p_θ(x|z) − log p(z), up to a constant: −log p_θ(z|x) up to another. (n,), nats."""
    return net.likelihood.apply(theta, x, z) + 0.5 * np.sum(z ** 2, axis=-1)


def hamiltonian(energy, z, size, rng):
    """One move of each row of z that leaves e^−energy(z) as it is, and the share of rows that moved. Neal (2011).

    energy: z ↦ (n,), nats. size: of a leapfrog step.
    """
    def summed(z):
        each = energy(z)
        return np.sum(each), each

    differentiate, q = value_and_grad(summed), z
    momentum = rng.standard_normal(z.shape, z.dtype)
    (_, potential), force = differentiate(q)
    before = potential + 0.5 * onp.sum(momentum ** 2, axis=-1)
    momentum = momentum - 0.5 * size * force
    for i in range(LEAPFROGS):
        q = q + size * momentum
        (_, potential), force = differentiate(q)
        momentum = momentum - (0.5 if i == LEAPFROGS - 1 else 1) * size * force
    after = potential + 0.5 * onp.sum(momentum ** 2, axis=-1)
    moved = onp.log(rng.random(len(z))) < before - after
    return onp.where(moved[:, None], q, z), float(moved.mean())


def marginal(net, theta, x, step=GRID, radius=RADIUS):
    """log p(x) = log Σ_g p(x|z_g) N(z_g | 0, I) step³, over the grid's points within the radius. (n,), nats.

    x: (n, D), binary: ValueError where it is not. The net has three latents.
    """
    if not onp.isin(x, (0, 1)).all():
        raise ValueError("marginal: x has gray pixels; expected 0 or 1, since log p(x) is that of binary images")
    axis = step * onp.arange(-int(radius / step), int(radius / step) + 1)
    z = onp.stack(onp.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3).astype(x.dtype)
    z = z[onp.sum(z ** 2, axis=-1) <= radius ** 2]
    total = onp.full(len(x), -onp.inf)
    for part in onp.array_split(z, 1 + len(z) // 4096):
        logits = net.decoder.apply(theta, part)                            # −log p(0|z) = Σ_j softplus(l_j)
        joint = x @ logits.T - bernoulli_nll(onp.zeros_like(logits), logits) - 0.5 * onp.sum(part ** 2, axis=-1)
        total = onp.logaddexp(total, logsumexp(joint, axis=1))
    return total - 1.5 * onp.log(2 * onp.pi) + 3 * onp.log(step)


METHODS = {"AEVB": (aevb, 3e-3, "tab:red"), "wake-sleep": (wake_sleep, 3e-3, "tab:green"),
           "MCEM": (mcem, 1e-3, "tab:blue")}                               # Adam's rate, a colour
BOTH, ALL = ("AEVB", "wake-sleep"), tuple(METHODS)


def judge(net, params, sets, seed, step):
    """Mean bound, ten samples an image, and mean log p(x), by the grid if there are three latents. (set, 2), nats."""
    bounds = [-evaluate(lambda *args: (net.vae.apply(*args),), params, minibatches(None, x, BATCH, pixels=None),
                        gaussian_noise(common.streams(seed)[3], net.latents, 10))[0] for x in sets]
    log_p = marginal(net, params["theta"], onp.concatenate(sets), step) if net.latents == 3 else onp.full(2, onp.nan)
    return onp.array([bounds, [part.mean() for part in onp.split(log_p, 2)]]).T


def learn(method, latents, hidden, n, seed, sets, steps, arguments):
    """A run: at each mark the images seen, and of training and test set bound and log p(x), (marks, set, 2)."""
    (images, judged, grid), (fit, rate, _) = sets, METHODS[method]
    options = {"steps": steps, "hidden": hidden, "rate": rate, "judged": len(judged[0]), "grid": grid,
               "binarized": arguments.seed, "data": arguments.data}
    path = os.path.join(arguments.out, f"{method}_{latents}_{n}_seed{seed}.npz")
    run = checkpoint.load(path) if os.path.exists(path) else {}
    if run.get("options") != options:                                      # else it was done before a stop
        net, curve, seconds, clock = network(latents, hidden), [], 0.0, time.process_time()
        marks = onp.unique(onp.geomspace(max(1, steps // 80), steps, MARKS).round())
        learned = fit(net, images[:n], rate, 1 + steps * BATCH // n, *common.streams(seed)[:3])
        label = f"{method}, {latents} latents, seed {seed}"
        for i, params in enumerate(common.progress(islice(learned, steps), steps, label), 1):
            if i in marks:
                seconds += time.process_time() - clock
                curve.append(judge(net, params, judged, seed, grid))
                clock = time.process_time()
        run = {"options": options, "seen": BATCH * marks, "curve": onp.array(curve), "seconds": seconds}
        if latents == 3 and method in BOTH:                                # the usual estimate, as good as q is
            noise = gaussian_noise(common.streams(seed)[3], latents)
            run["through_q"] = log_likelihood(net.vae, params, judged[1], noise, SAMPLES).mean()
        checkpoint.save(path, run)
    return run


def sooner(curve, other, seen):
    """How many times fewer images the curve has seen where it passes the other's last value, between marks on the log
    axis; NaN where it does not."""
    i = max(1, onp.argmax(curve >= other[-1]))
    crossing = onp.exp(onp.interp(other[-1], curve[i - 1:i + 1], onp.log(seen[i - 1:i + 1])))
    return seen[-1] / crossing if curve[i] >= other[-1] else onp.nan


def over(values, form=".2f"):
    """The mean of the runs, their least and largest: text."""
    return f"{onp.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main(arguments):
    x_train, _, x_test, _ = data.load(arguments.data)
    if arguments.quick:
        x_train, x_test = x_train[:1000], x_test[:1000]
    fixed = common.streams(arguments.seed)[3].spawn(2)                     # each image binarized once
    images, held_out = (dynamic(rng)(x.reshape(len(x), -1)) for rng, x in zip(fixed, (x_train, x_test)))
    steps, few, all_ = arguments.epochs * len(images) // BATCH, 1000, len(images)
    latents, seeds, judged, grid = LATENTS, arguments.runs, 200, GRID
    if arguments.quick:
        steps, few, latents, seeds, judged, grid = 10, 200, (2, 20), 1, 20, 0.8
    else:
        common.takes((60 + 75 * arguments.epochs) * seeds)                 # a minute for the grid
    sets = (images[:all_], [x[:judged] for x in (images, held_out)], grid)
    seeds = range(arguments.seed, arguments.seed + seeds)
    go = lambda method, d, hidden, n: [learn(method, d, hidden, n, seed, sets, steps, arguments) for seed in seeds]
    first = {f"{d} latents": {method: go(method, d, HIDDEN, all_) for method in BOTH} for d in latents}
    second = {f"{n:,} training images": {method: go(method, 3, 100, n) for method in methods}
              for n, methods in ((few, ALL), (all_, BOTH))}

    print(f"MNIST, binarized once, {BATCH * steps:,} images seen; nats, for {judged} images of each set. Seeds "
          f"{[*seeds]}: mean (least to largest).\nBound. Sooner: how many times fewer images AEVB has seen where it "
          "passes wake-sleep's last test bound.")
    rows = []
    for name, runs in first.items():
        seen, (ours, theirs) = runs["AEVB"][0]["seen"], ([run["curve"][..., 0] for run in runs[m]] for m in BOTH)
        rows.append([name, *(over([curve[-1, i] for curve in curves]) for i in (0, 1) for curves in (ours, theirs)),
                     over([sooner(a[:, 1], b[:, 1], seen) for a, b in zip(ours, theirs)], ".1f")])
    common.table(["", "AEVB, training", "wake-sleep, training", "AEVB, test", "wake-sleep, test", "sooner"], rows)
    print(f"\nlog p(x), three latents. Through q: {SAMPLES} importance samples. s: seconds of processor time, a run.")
    rows = []
    for name, methods in second.items():
        for method, runs in methods.items():
            last = onp.array([run["curve"][-1] for run in runs])
            by_q = (over([run["through_q"] for run in runs]), over(last[:, 1, 0])) if method in BOTH else ("no q", "")
            rows.append([name, method, over(last[:, 0, 1]), over(last[:, 1, 1]), *by_q,
                         f"{onp.mean([run['seconds'] for run in runs]):.0f}"])
    common.table(["", "", "by the grid, training", "by the grid, test", "through q, test", "bound, test", "s"], rows)
    note = f"MNIST, binarized once, the mean of {judged} images of each set; a line a seed"
    draw(first, 0, f"bound on log p(x), {HIDDEN} hidden units", note, os.path.join(arguments.out, "aevb_bound.png"))
    draw(second, 1, "log p(x), three latents", note, os.path.join(arguments.out, "aevb_marginal.png"))


def draw(panels, quantity, label, note, path):
    """A panel each, a line a seed: the test set's, and dashed the training set's, against the images seen."""
    figure, ends = Figure(figsize=(1.2 + 3 * len(panels), 4), layout="constrained"), []
    for axes, (title, methods) in zip(figure.subplots(1, len(panels), sharey=True), panels.items()):
        for method, runs in methods.items():
            for j, style, part in ((0, "--", "training"), (1, "-", "test")):
                lines = onp.array([run["curve"][:, j, quantity] for run in runs]).T
                axes.plot(runs[0]["seen"], lines, style, color=METHODS[method][2], linewidth=1,
                          label=[f"{method}, {part}", *["_"] * (len(runs) - 1)])
                ends += [*lines[-1]]
        axes.set(xscale="log", xlabel="training images seen", title=title)
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if len(panels) > 2 else 3, fontsize=8)
    figure.suptitle(note, fontsize=10)
    figure.axes[0].set(ylabel=f"{label} (nats)", ylim=(min(ends) - 40, max(ends) + 8))
    figure.savefig(path, dpi=120)


parser = common.options(__doc__, "aevb")
parser.add_argument("--epochs", type=common.positive, default=2, help="of all images; runs on 1,000 see as many images")
parser.add_argument("--runs", type=common.positive, default=1, help="seeds for each method, from --seed on")
parser.add_argument("--data", default=None, help="a folder of IDX files or an .npz, in place of MNIST")

if __name__ == "__main__":
    common.run(main, parser)
