"""Sigmoid belief nets: the bound beside the exact log-likelihood where all states can be summed, then MNIST.

Claim: a net of coins, each biased by the layer above it, is trained by the score function with the other samples as
baseline. On 4 × 4 bars its 2^8 (two layers: 2^11) states are summed, so log p(x), the ELBO and the gap between them
are exact, and the sampled figures can be judged. On MNIST with 200 coins the same lines run, without that judge.

    p_θ(x, h) = p(h_L) Π p(h_l | h_{l+1}),   log p(x) − ELBO = KL[q(h|x) ‖ p(h|x)]
    ∇_φ: (−log w − mean of the others' −log w) ∇_φ log q_φ(h|x)

Saul, Jaakkola & Jordan (1996); Mnih & Gregor (2014). For one affine layer of 200 binary units on binary MNIST,
Grathwohl et al. (2018) print best validation ELBOs of −114.32 (REBAR) and −113.62 (RELAX), after 2 million steps of 24
images. As theirs: a learned prior, output biases that start at the logits of the pixels' means, 50,000 images to train
on and 10,000 to validate, all binarized once (theirs is another draw). A run is saved after each epoch and goes on from
there; the epoch whose validation ELBO is best is the one reported.
"""

from support import common, data, saved

import itertools
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import expit, logsumexp

from vae_np import adam, evaluate, minibatches, threshold, train
from vae_np.extensions.sbn import exact, generate, sbn, score_function

SIDE, ON, SEEDS = 4, 0.25, 3
SAMPLES, BATCH, UNITS, RATE = 4, 100, 200, 3e-3
SECONDS = {"bars": 40, "epoch": 8}  # on one core: both nets of one seed, an epoch of 50,000 images


def bars(side=SIDE, on=ON):
    """All images of bars with their probabilities: each of the rows and columns is on with probability `on`.

    Returns x (m, side²), distinct, and p (m,), summing to 1; their entropy is what the best model reaches.
    """
    codes = onp.array(list(itertools.product([0, 1], repeat=2 * side)))
    weights = onp.prod(onp.where(codes, on, 1 - on), axis=1)
    images = onp.maximum(codes[:, :side, None], codes[:, None, side:]).reshape(len(codes), -1)
    x, which = onp.unique(images, axis=0, return_inverse=True)
    return x.astype(onp.float32), onp.bincount(which.ravel(), weights)


def loss(params, x, u):
    return np.mean(score_function(params, x, u))


def uniform(rng, units, samples=SAMPLES):
    return lambda n: rng.random((samples, n, units), onp.float32)


def on_bars(hidden, steps, seed, k):
    """Train on an endless stream of bars; returns params and means over the data law: log p(x), ELBO and gap, exact;
    ELBO sampled, how many standard errors it lies off, and log p(x) >= by k samples."""
    (x, p), model = bars(), sbn(SIDE ** 2, *hidden)
    init, order, noise, test = common.streams(seed)
    batches = (x[order.choice(len(x), BATCH, p=p)] for _ in range(steps))
    states = train(loss, model.init(init), batches, uniform(noise, sum(hidden)), adam(0.03))
    *_, last = common.progress(states, steps, f"bars, {'-'.join(map(str, hidden))} units")
    log_p, elbo = (onp.concatenate(values) for values in zip(*(exact(last.params, part) for part in onp.split(x, 2))))
    log_w = -model.apply(last.params, x, uniform(test, sum(hidden), 10 * k)(len(x)))
    error = onp.sqrt(onp.sum(p ** 2 * log_w.var(axis=0) / len(log_w)))
    many = logsumexp(log_w.reshape(10, k, -1), axis=1).mean(axis=0) - onp.log(k)
    sampled = p @ log_w.mean(axis=0)
    return last.params, (p @ log_p, p @ elbo, p @ (log_p - elbo), sampled, abs(sampled - p @ elbo) / error, p @ many)


def bound(params, x, seed, samples=1):
    """The mean ELBO, the same noise at every call."""
    return evaluate(lambda params, x, u: (-NET.apply(params, x, u),), params,
                    minibatches(None, x, 1000 // samples, pixels=threshold),
                    uniform(common.streams(seed)[3], UNITS, samples))[0]


NET = sbn(784, UNITS)


def on_mnist(x, held_out, epochs, seed, path):
    """So many epochs on x, gone on with from what `path` holds. Returns their ELBOs, a pair each, and the parameters
    whose ELBO on held_out is the best. Of the pair the first is the mean over the epoch's steps, while the net learned,
    the second on held_out after it."""
    init, order, noise, _ = common.streams(seed)
    params = NET.init(init)
    params["theta"]["layers"][0]["b"] = data.logits_of_means(x.mean(axis=0))

    def epoch(i, state, best):
        rate, losses = RATE / (1 + i / 20), []                        # none that depends on how many are to come
        batches = minibatches(order, x, BATCH, pixels=threshold)
        states = train(loss, None, batches, uniform(noise, UNITS), adam(rate), resume=state)
        for last in common.progress(states, -(-len(x) // BATCH), f"MNIST, epoch {i + 1} of {epochs}"):
            losses.append(last.loss)
        elbo = bound(last.params, held_out, seed)
        if best is None or elbo > best["elbo"]:
            best = {"elbo": elbo, "params": last.params}
        return last, [-float(onp.mean(losses)), elbo], best

    records, _, best = saved.epochs(path, {"net": NET.name, "images": len(x), "batch": BATCH, "samples": SAMPLES,
                                           "seed": seed}, params, adam(RATE), (order, noise), epoch, epochs)
    return onp.array(records), best["params"]


def main(arguments):
    steps, seeds, k, n = (20, 1, 5, 300) if arguments.quick else (5000, SEEDS, 100, 50_000)
    epochs = 2 if arguments.quick else arguments.epochs
    x_train, _, x_test, _ = data.load()
    x_train, x_test = data.binarized(x_train, x_test)
    x, held_out, x_test = x_train[:n], x_train[50_000:][:n], x_test[:n]
    if not arguments.quick:
        common.takes(seeds * SECONDS["bars"] + epochs * SECONDS["epoch"])
    nets = [((8,), "bars, 8 units"), ((8, 3), "bars, 8 and 3 units")]
    rows, first = [], None
    for hidden, name in nets:
        trained = [on_bars(hidden, steps, arguments.seed + i, k) for i in range(seeds)]
        first = first or trained[0][0]
        figures = onp.array([found for _, found in trained])
        spread = figures.std(axis=0, ddof=1) if seeds > 1 else 0 * figures[0]
        rows.append([name, *(f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(figures.mean(axis=0), spread))])
        rows[-1][5] = f"{figures[:, 4].max():.1f}"
    _, p = bars()
    rows.append(["bars, the law itself (-entropy)", f"{p @ onp.log(p):.3f}"])

    elbos, params = on_mnist(x, held_out, epochs, arguments.seed, os.path.join(arguments.out, "mnist.npz"))
    best = elbos[:, 1].argmax()
    for name, images in (("training", x[:len(held_out)]), ("validation", held_out), ("test", x_test)):
        log_w = [-NET.apply(params, part, uniform(common.streams(arguments.seed)[3], UNITS, k)(len(part)))
                 for part in minibatches(None, images[:2000], 50, pixels=threshold)]
        tight = (logsumexp(onp.concatenate(log_w, axis=1), axis=0) - onp.log(k)).mean()
        rows.append([f"MNIST, {UNITS} units, {len(images)} {name} images", "", "", "",
                     f"{bound(params, images, arguments.seed + 1, 10):.2f}", "", f"{tight:.2f}"])
    rows.append(["REBAR, 200 units, best validation ELBO", "", "", "", "-114.32"])
    rows.append(["RELAX, 200 units, best validation ELBO", "", "", "", "-113.62"])
    print(f"nats. Bars: mean and standard deviation of {seeds} seeds; off: the sampled ELBO from the exact one, in its "
          f"standard errors,\nthe worst seed. MNIST, binarized once: epoch {best + 1} of {epochs} of {len(x):,} "
          f"images, the best on validation; log p(x) by {k} samples.")
    header = ["", "exact log p(x)", "exact ELBO", "gap", "sampled ELBO", "off", "log p(x) >="]
    common.table(header, [row + [""] * (len(header) - len(row)) for row in rows])
    rng = common.streams(arguments.seed)[3]
    draw(os.path.join(arguments.out, "bars.png"), first["theta"], SIDE, 8, rng)
    draw(os.path.join(arguments.out, "mnist.png"), params["theta"], 28, 40, rng, elbos)


def show(axes, images, side, columns, title, colors="gray_r", low=0, high=1):
    """Square images side by side, drawn as one picture: the gaps between them are NaN, which shows the blue behind."""
    rows = -(-len(images) // columns)
    tiles = onp.full((rows * columns, side + 1, side + 1), onp.nan)
    tiles[:len(images), 1:, 1:] = onp.reshape(images, (-1, side, side))
    whole = tiles.reshape(rows, columns, side + 1, side + 1).transpose(0, 2, 1, 3)
    whole = onp.pad(whole.reshape(rows * (side + 1), columns * (side + 1)), ((0, 1), (0, 1)), constant_values=onp.nan)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[], facecolor="lightsteelblue")
    return axes.imshow(whole, cmap=colors, vmin=low, vmax=high, interpolation="nearest")


def draw(path, theta, side, units, rng, elbos=None):
    """Dreams of the net (pixel probabilities given drawn causes), what each of some units adds to the logits, and where
    there are any, the ELBOs of the epochs."""
    layer = theta["layers"][0]
    _, h = generate(theta, rng.random((40, side ** 2 + len(layer["W"])), onp.float32))
    dreams, fields = expit(h[0] @ layer["W"] + layer["b"]), layer["W"][:units]
    most = abs(fields).max()
    figure = Figure(layout="constrained", figsize=(9, 2.9) if elbos is None else (13, 3.3))
    left, middle, *right = figure.subplots(1, 2 if elbos is None else 3)
    panels = ((dreams, "Dreams: pixel probabilities, binary model", "probability", ("gray_r", 0, 1)),
              (fields, f"Weights of {units} units: what each adds where on", "logit", ("RdBu_r", -most, most)))
    for axes, (images, title, label, (colors, low, high)) in zip((left, middle), panels):
        shown = show(axes, images, side, 8 if len(images) > 8 else 4, title, colors, low, high)
        figure.colorbar(shown, ax=axes, shrink=0.7, label=label)
    for axes in right:
        epochs, names = onp.arange(1, len(elbos) + 1), ("training, while it learned", "validation, 10,000 images")
        for values, name in zip(elbos.T, names):
            axes.plot(epochs, values, "." if len(epochs) < 3 else "-", label=name)
        axes.axhline(-113.62, color="black", ls="--", lw=1, label="RELAX paper, best validation")
        axes.set(xlabel="epoch of 50,000 images", ylabel="ELBO (nats)", ylim=(min(-130, elbos[-1].min() - 3), -108))
        axes.set_title("MNIST binarized once, 200 binary units", fontsize=10)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = common.options(__doc__, "belief_net")
    parser.add_argument("--epochs", type=common.positive, default=6, help="passes over 50,000 training images of MNIST")
    common.run(main, parser)
