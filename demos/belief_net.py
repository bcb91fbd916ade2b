"""Sigmoid belief nets: the bound beside the exact log-likelihood where all states can be summed, then MNIST.

Claim: a net of coins, each biased by the layer above it, is trained by the score function with the other samples as
baseline. On 4 × 4 bars its 2^8 (two layers: 2^11) states are summed, so log p(x), the ELBO and the gap between them
are exact, and the sampled figures can be judged. On MNIST with 200 coins the same lines run, without that judge.

    p_θ(x, h) = p(h_L) Π p(h_l | h_{l+1}),   log p(x) − ELBO = KL[q(h|x) ‖ p(h|x)]
    ∇_φ: (−log w − mean of the others' −log w) ∇_φ log q_φ(h|x)

Saul, Jaakkola & Jordan (1996); Mnih & Gregor (2014). For one affine layer of 200 binary units on binary MNIST,
Grathwohl et al. (2018) print best validation ELBOs of −114.32 (REBAR) and −113.62 (RELAX), with a learned prior, after
2 million steps. Binary pixels throughout: bars are binary, MNIST's are drawn at each showing from their gray values.
"""

from support import data
from support.common import options, positive, progress, run, streams, table

import itertools
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import expit, logsumexp

from vae_np import adam, dynamic, minibatches, train
from vae_np.extensions.sbn import exact, generate, sbn, score_function

SIDE, ON = 4, 0.25
SAMPLES, BATCH = 4, 100


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
    """Train on an endless stream of bars; returns params and the exact and sampled figures, means over the data law."""
    (x, p), model = bars(), sbn(SIDE ** 2, *hidden)
    init, order, noise, test = streams(seed)
    batches = (x[order.choice(len(x), BATCH, p=p)] for _ in range(steps))
    states = train(loss, model.init(init), batches, uniform(noise, sum(hidden)), adam(0.03))
    *_, last = progress(states, steps, f"bars, {'-'.join(map(str, hidden))} units")
    log_p, elbo = (onp.concatenate(values) for values in zip(*(exact(last.params, part) for part in onp.split(x, 2))))
    log_w = -model.apply(last.params, x, uniform(test, sum(hidden), 10 * k)(len(x)))
    error = onp.sqrt(onp.sum(p ** 2 * log_w.var(axis=0) / len(log_w)))
    many = logsumexp(log_w.reshape(10, k, -1), axis=1).mean(axis=0) - onp.log(k)
    return last.params, [f"{p @ log_p:.4f}", f"{p @ elbo:.4f}", f"{p @ (log_p - elbo):.4f}",
                          f"{p @ log_w.mean(axis=0):.4f} ± {error:.4f}", f"{p @ many:.4f}"]


def on_mnist(units, epochs, quick, seed, k):
    """Train on MNIST; returns params, and ELBO and log p(x) >= by k samples on n test images."""
    x_train, _, x_test, _ = data.load()
    x_train, x_test = (x.reshape(len(x), -1)[:1000 if quick else None] for x in (x_train, x_test))
    x_test = x_test[:50 if quick else 2000]
    model, (init, order, noise, test) = sbn(784, units), streams(seed)
    batches = minibatches(order, x_train, BATCH, epochs, dynamic(order.spawn(1)[0]))
    states = train(loss, model.init(init), batches, uniform(noise, units), adam(3e-3))
    *_, last = progress(states, epochs * len(x_train) // BATCH, f"MNIST, {units} units")
    log_w = [-model.apply(last.params, x, uniform(test, units, k)(len(x)))
             for x in minibatches(None, x_test, 50, pixels=dynamic(test.spawn(1)[0]))]
    log_w = onp.concatenate(log_w, axis=1)
    return last.params, log_w.mean(), (logsumexp(log_w, axis=0) - onp.log(k)).mean(), len(x_test)


def main(arguments):
    steps, epochs, k = (20, 1, 5) if arguments.quick else (5000, arguments.epochs, 100)
    nets = [((8,), "bars, 8 units"), ((8, 3), "bars, 8 and 3 units")]
    trained = [(on_bars(hidden, steps, arguments.seed, k), name) for hidden, name in nets]
    rows = [(name, *figures) for (_, figures), name in trained]
    _, p = bars()
    rows.append(("bars, the law itself (-entropy)", f"{p @ onp.log(p):.4f}", "", "", "", ""))
    params, elbo, tight, n = on_mnist(200, epochs, arguments.quick, arguments.seed, k)
    rows.append((f"MNIST, 200 units, {epochs} epochs, {n} test images", "", "", "", f"{elbo:.2f}", f"{tight:.2f}"))
    rows.append(("RELAX paper, 200 units, best validation ELBO", "", "", "", "-113.62", ""))
    table(["nats, binary pixels", "exact log p(x)", "exact ELBO", "gap", "sampled ELBO", f"log p(x) >= ({k} samples)"],
          rows)
    rng = streams(arguments.seed)[3]
    draw(os.path.join(arguments.out, "bars.png"), trained[0][0][0]["theta"], SIDE, 8, rng)
    draw(os.path.join(arguments.out, "mnist.png"), params["theta"], 28, 40, rng)


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


def draw(path, theta, side, units, rng):
    """Dreams of the net (pixel probabilities given drawn causes), and what each of some units adds to the logits."""
    layer = theta["layers"][0]
    _, h = generate(theta, rng.random((40, side ** 2 + len(layer["W"])), onp.float32))
    dreams, fields = expit(h[0] @ layer["W"] + layer["b"]), layer["W"][:units]
    most = abs(fields).max()
    figure = Figure(layout="constrained", figsize=(9, 2.9))
    panels = ((dreams, "Dreams: pixel probabilities, binary model", "probability", ("gray_r", 0, 1)),
              (fields, f"Weights of {units} units: what each adds where on", "logit", ("RdBu_r", -most, most)))
    for axes, (images, title, label, (colors, low, high)) in zip(figure.subplots(1, 2), panels):
        shown = show(axes, images, side, 8 if len(images) > 8 else 4, title, colors, low, high)
        figure.colorbar(shown, ax=axes, shrink=0.7, label=label)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = options(__doc__, "belief_net")
    parser.add_argument("--epochs", type=positive, default=8, help="passes over MNIST's 60,000 training images")
    run(main, parser)
