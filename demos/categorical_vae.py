"""VAEs whose codes are discrete, 20 variables of 10 categories or 200 coins, trained through a relaxation of the draw.

Claim: draws softened at a temperature τ let a gradient through, and a VAE learns to code digits in words of a small
alphabet. With the KL of the discrete laws (Jang, Gu & Poole) what is minimised is no bound: a soft z tells the decoder
more than a category could, while the KL counts it as a category. With the soft variables' own densities (Maddison,
Mnih & Teh) it is one, of a model whose prior is soft too. Both are judged as what they are for: the discrete model.

    y = softmax((log π + G) / τ),  G = −log(−log u),   τ_t = max(½, e^{−r t})
    discrete KL:   E[−log p(x|y)] + Σ_i Σ_j π_ij log π_ij / p_ij
    Concrete:      E[−log p(x|y) + log q_τ(y|x) − log p_λ(y)],   τ = ⅔, λ = ½
    judge:         −ELBO at one-hot y, and −log p(x) <= −log 1/k Σ w

Jang, Gu & Poole (2017), "Categorical reparameterization with Gumbel-softmax", table 1: 101.5 nats for 20 × 10
categories, 105.0 for 200 coins, bounds of 1000 samples, MNIST binarized once, much longer training. As there: a learned
prior and the annealed τ; 50,000 training images, all binarized once (theirs is another draw). Each run is saved after
every epoch, and goes on from there.
"""

from support import common, data, saved

import itertools
import math
import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from scipy.special import expit

from vae_np import (
    adam,
    bernoulli_likelihood,
    constant,
    dense,
    evaluate,
    log_likelihood,
    minibatches,
    relu,
    sequential,
    threshold,
    train,
    vae,
)
from vae_np.extensions.concrete import binary_concrete_posterior, concrete_posterior
from vae_np.extensions.relaxed import bernoulli_posterior, categorical_posterior, gumbel_softmax, hard_categorical

VARIABLES, CATEGORIES, WIDTH = 20, 10, 256
CODE = VARIABLES * CATEGORIES                          # of either kind: 200 numbers
BATCH, LEARNING_RATE, RATE, COLDEST = 100, 1e-3, 1e-4, 0.5
CONCRETE = 2 / 3, 0.5                                  # τ of q, λ of p: as Maddison et al. take for coins
ENCODER = sequential(dense(784, WIDTH), relu, dense(WIDTH, CODE))
DECODER = sequential(dense(CODE, WIDTH), relu, dense(WIDTH, 784))
PRIOR = constant(CODE)                                 # learned
PAPER = {"20 x 10 categories": 101.5, "200 coins": 105.0}
LAWS = "discrete KL", "Concrete"
IMPORTANCE, IMAGES = 1000, 500                         # samples and test images of −log p(x)
SECONDS = {"epoch": 7, "judge": 20}                    # on one core: of 50,000 images, and the judgement of one run


def model(code, law, taus):
    """The VAE at τ, λ = taus. Building it costs nothing: its parameters live outside, the same of all laws."""
    tau, lam = taus
    posterior = {
        ("20 x 10 categories", "discrete KL"): lambda: categorical_posterior(ENCODER, tau, CATEGORIES, prior=PRIOR),
        ("20 x 10 categories", "Concrete"): lambda: concrete_posterior(ENCODER, tau, CATEGORIES, lam, prior=PRIOR),
        ("20 x 10 categories", "hard"): lambda: categorical_posterior(ENCODER, tau, CATEGORIES, True, prior=PRIOR),
        ("200 coins", "discrete KL"): lambda: bernoulli_posterior(ENCODER, tau, prior=PRIOR),
        ("200 coins", "Concrete"): lambda: binary_concrete_posterior(ENCODER, tau, lam, prior=PRIOR),
        ("200 coins", "hard"): lambda: bernoulli_posterior(ENCODER, tau, True, prior=PRIOR)}[code, law]()
    return vae(posterior, bernoulli_likelihood(DECODER))


def uniform(rng):
    return lambda n: rng.random((n, CODE), onp.float32)


def temperatures(law, step, concrete):
    """τ annealed as Jang et al. do, with no λ; Concrete's two stay, λ being part of its model."""
    return (max(COLDEST, math.exp(-RATE * step)), None) if law == "discrete KL" else tuple(concrete)


def bounds(code, law, params, x, taus, rng):
    """Mean over images of what is minimised at taus, and of −ELBO at hard draws."""
    def terms(params, x, u):
        return model(code, law, taus).apply(params, x, u), model(code, "hard", taus).apply(params, x, u)

    return evaluate(terms, params, minibatches(None, x, 200, pixels=threshold), uniform(rng))


def learn(code, law, concrete, x, x_test, epochs, seed, path):
    """So many epochs on x, gone on with from what `path` holds: (minimised, hard) on x_test after each, parameters."""
    init, order, noise, _ = common.streams(seed)

    def loss(params, x, noise):
        u, taus = noise
        return np.mean(model(code, law, taus).apply(params, x, u))

    def epoch(i, state, _):
        count, draw = itertools.count(state.step), uniform(noise)     # taus come along with the noise
        states = train(loss, None, minibatches(order, x, BATCH, pixels=threshold),
                       lambda n: (draw(n), temperatures(law, next(count), concrete)), adam(LEARNING_RATE), resume=state)
        *_, last = common.progress(states, -(-len(x) // BATCH), f"{code}, {law}, seed {seed}, epoch {i + 1}")
        taus = temperatures(law, last.step, concrete)
        return last, list(bounds(code, law, last.params, x_test, taus, common.streams(seed)[3])), None

    about = {"code": code, "law": law, "images": len(x), "test": len(x_test), "seed": seed}
    if law == "Concrete":
        about["temperatures"] = list(concrete)
    records, last, _ = saved.epochs(path, about, model(code, law, (1, 1)).init(init), adam(LEARNING_RATE),
                                    (order, noise), epoch, epochs)
    return onp.array(records), last


def judge(code, law, concrete, last, x, x_test, k, images, seed):
    """Minimised and −ELBO at hard draws on x_test, the latter on as many of x, and −log p(x) <= by k hard samples."""
    taus, rng = temperatures(law, last.step, concrete), common.streams(seed)[3]
    soft, hard = bounds(code, law, last.params, x_test, taus, rng)
    _, seen = bounds(code, law, last.params, x[:len(x_test)], taus, rng)
    nll = -log_likelihood(model(code, "hard", taus), last.params, threshold(x_test[:images]), uniform(rng), k)
    return taus[0], soft, hard, seen, nll.mean()


def main(arguments):
    n, test, k, images = (1000, 200, 5, 50) if arguments.quick else (50_000, 10_000, IMPORTANCE, IMAGES)
    epochs, runs = (2, 1) if arguments.quick else (arguments.epochs, arguments.runs)
    concrete = arguments.temperatures
    x_train, _, x_test, _ = data.load()
    x_train, x_test = (x[:count] for x, count in zip(data.binarized(x_train, x_test), (n, test)))
    if not arguments.quick:
        common.takes(len(arguments.only) * len(LAWS) * runs * (SECONDS["epoch"] * epochs + SECONDS["judge"]))
    rows, curves, shown = [], {}, None
    for code, law in itertools.product(arguments.only, LAWS):
        found = []
        for seed in range(arguments.seed, arguments.seed + runs):
            path = os.path.join(arguments.out, f"{code}-{law}-{seed}.npz".replace(" ", "_"))
            curve, last = learn(code, law, concrete, x_train, x_test[:2000], epochs, seed, path)
            found.append(judge(code, law, concrete, last, x_train, x_test, k, images, seed))
            curves.setdefault((code, law), []).append(curve)
            shown = shown or (last.params if code == "20 x 10 categories" else None)
        tau, *rest = onp.array(found).T
        taus = f"{tau[0]:.2f}" + (f", {concrete[1]:.2f}" if law == "Concrete" else "")
        rows.append([f"{code}, {law}", taus, *map(mean_and_spread, rest), ""])
        if law == LAWS[-1]:
            rows.append([f"{code}, Jang et al.", "", "", "", "", "", f"{PAPER[code]}"])
    print(f"nats, MNIST binarized once; {epochs} epochs of {len(x_train):,} images; {len(x_test):,} test images, of "
          f"-log p(x) {len(x_test[:images])}\nwith {k} hard samples; mean ± standard deviation over the seeds, {runs}")
    common.table(["", "tau, lambda", "minimised", "-ELBO, hard z", "on training images", "-log p(x) <=", "paper"], rows)
    figures(arguments.out, shown, curves, x_test)


def mean_and_spread(values):
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def figures(out, params, curves, x_test):
    figure = Figure(layout="constrained", figsize=(10, 3.8))
    codes = list(dict.fromkeys(code for code, _ in curves))
    for axes, code in zip(figure.subplots(1, len(codes), squeeze=False, sharey=True)[0], codes):
        for law, color in zip(LAWS, ("C0", "C1")):
            for i, curve in enumerate(curves[code, law]):
                epochs, first = onp.arange(1, len(curve) + 1), i == 0
                axes.plot(epochs, curve[:, 1], "-", color=color, label=f"{law}: −ELBO at hard draws" if first else None)
                axes.plot(epochs, curve[:, 0], ":", color=color, label=f"{law}: what is minimised" if first else None)
        axes.set(xlabel="epoch of 50,000 images", title=code)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
    figure.get_axes()[0].set(ylabel="nats, 2000 test images binarized once")
    figure.savefig(os.path.join(out, "bounds.png"), dpi=120)
    if params is None:
        return

    # One test image's code, one variable at a time set to each of its categories.
    rng = onp.random.default_rng(0)
    x, u = threshold(x_test[:1]), rng.random((1, CODE), onp.float32)
    z, _ = categorical_posterior(ENCODER, COLDEST, CATEGORIES, True, prior=PRIOR).apply(params["phi"], x, u)
    words = onp.repeat(z.reshape(1, 1, VARIABLES, CATEGORIES), CATEGORIES, axis=1)
    words = onp.repeat(words, VARIABLES, axis=0)                                # (variable, category, 20, 10)
    words[onp.arange(VARIABLES), :, onp.arange(VARIABLES)] = onp.eye(CATEGORIES)
    own = z.reshape(VARIABLES, CATEGORIES).argmax(axis=-1)
    u = rng.random((VARIABLES, CATEGORIES, VARIABLES, CATEGORIES), onp.float32)
    prior = onp.broadcast_to(params["phi"]["prior"].reshape(VARIABLES, CATEGORIES), u.shape)
    drawn = hard_categorical(gumbel_softmax(prior, u, COLDEST))
    figure = Figure(layout="constrained", figsize=(9, 8.8))
    left, right = figure.subplots(1, 2)
    tiles(left, params, words.astype(onp.float32), "Discrete KL. One code; row i: variable i set to each\n"
          "category (framed: the category that was drawn)", own)
    left.set(xlabel="category", ylabel="variable", xticks=14 + 28 * onp.arange(CATEGORIES),
             xticklabels=range(CATEGORIES), yticks=14 + 28 * onp.arange(VARIABLES), yticklabels=range(VARIABLES))
    tiles(right, params, drawn, "Codes drawn from the learned prior\n")
    right.set(xticks=[], yticks=[])
    figure.savefig(os.path.join(out, "categories.png"), dpi=120)


def tiles(axes, params, words, title, framed=()):
    """The pixels' probabilities for a grid of codes (rows, columns, 20, 10)."""
    rows, columns = words.shape[:2]
    images = expit(DECODER.apply(params["theta"], words.reshape(rows * columns, CODE)))
    axes.imshow(images.reshape(rows, columns, 28, 28).transpose(0, 2, 1, 3).reshape(rows * 28, columns * 28),
                cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for row, column in enumerate(framed):
        axes.plot(28 * column + onp.array([0, 27, 27, 0, 0]), 28 * row + onp.array([0, 0, 27, 27, 0]), color="C1", lw=1)
    axes.set_title(title, fontsize=10)


if __name__ == "__main__":
    parser = common.options(__doc__, "categorical_vae")
    parser.add_argument("--epochs", type=common.positive, default=10, help="passes over 50,000 training images")
    parser.add_argument("--runs", type=common.positive, default=3, help="seeds of each system, from --seed on")
    parser.add_argument("--only", nargs="+", choices=list(PAPER), default=list(PAPER), help="these codes")
    parser.add_argument("--temperatures", nargs=2, type=common.rate, default=CONCRETE, metavar=("TAU", "LAMBDA"),
                        help="Concrete's: of q and of p (default: 2/3 1/2)")
    common.run(main, parser)
