"""A decoder that can do without z does without it: posterior collapse, and two cures that are a line in the loss each.

−ELBO = E_q[−log p(x|z)] + KL[q(z|x) ‖ p(z)]. Early on z says little, so the KL is cost without gain and pulls q(z|x) to
the prior. A decoder that sees the pixels before the one it predicts, p(x|z) = Π_j Bern(x_j | σ(l_j(z) + c_j(x))),
explains most of an image without z; once q is the prior, z carries nothing that could teach the decoder to use it.
KL annealing lets z in free at first: a weight β on the KL grows from 0 to 1 (Bowman et al., 2016). Free bits charge λ
nats for each latent whether it uses them or not: Σ_k max(λ, KL_k), KL_k the minibatch's mean (Kingma et al., 2016).
The figures are of the true −ELBO, β = 1 and λ = 0, however a model was trained. On each of three seeds annealing gains
1.7 to 2.3 nats and free bits lose 0.4 to 1.0, beside no cure.
"""

from support.common import options, positive, progress, run, streams, table, takes
from support.data import load

import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import (
    Block,
    adam,
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    dynamic,
    evaluate,
    gaussian_kl,
    gaussian_noise,
    gaussian_posterior,
    heads,
    minibatches,
    relu,
    sequential,
    train,
)
from vae_np.evaluation import active_units, kl_by_dimension, posterior_moments

LATENTS, WIDTH, BATCH, RATE = 32, 256, 100, 3e-3
REACH, FILTERS = 3, 16                       # the window before a pixel: 3 rows above, 3 columns to either side
FREE, ACTIVE, USED = 0.2, 0.01, 0.1          # nats free a latent; Var_x(E_q[z_k]) if active; nats if in use
POINTS = 60                                  # of a curve
SECONDS = 85                                 # an epoch of all four, on one core

LOSSES = {                                   # nll: (n,), kl: (n, d), beta: from 0 to 1 over the first half of training
    "nothing": lambda nll, kl, beta: np.mean(nll) + np.sum(np.mean(kl, axis=0)),
    "KL annealing": lambda nll, kl, beta: np.mean(nll) + beta * np.sum(np.mean(kl, axis=0)),
    "free bits": lambda nll, kl, beta: np.mean(nll) + np.sum(np.maximum(FREE, np.mean(kl, axis=0))),
}
RUNS = (("pixels independent", "nothing"), *(("autoregressive", cure) for cure in LOSSES))


def context(images, side):
    """The pixels before each one, in the rows of a (2R + 1)-wide window that end at it: (n, D, 2R(R + 1))."""
    padded = onp.pad(images.reshape(-1, side, side), ((0, 0), (REACH, 0), (REACH, REACH)))
    offsets = [(i, j) for i in range(REACH + 1) for j in range(2 * REACH + 1) if (i, j) < (REACH, REACH)]
    return onp.stack([padded[:, i:i + side, j:j + side].reshape(images.shape) for i, j in offsets], axis=-1)


def autoregressive_likelihood(decoder, side):
    """p(x|z) = Π_j Bern(x_j | σ(l_j(z) + c_j(x))), c_j a network of the pixels before j, the same for all j."""
    c = sequential(dense(2 * REACH * (REACH + 1), FILTERS), relu, dense(FILTERS, 1))

    def apply(theta, x, z):
        seen = c.apply(theta["context"], context(x, side))[..., 0]
        return bernoulli_nll(x, decoder.apply(theta["decoder"], z) + seen)

    return Block(lambda rng: {"decoder": decoder.init(rng), "context": c.init(rng)}, apply, "autoregressive")


def by_dimension(mu, log_var, z):
    """KL[N(μ_k, σ_k²) ‖ N(0, 1)] for every latent by itself, (n, d) in nats."""
    return gaussian_kl(mu[..., None], log_var[..., None])


def fit(decoder_kind, cure, x_train, x_test, epochs, seed):
    """Train one model. Returns (−ELBO, nll, KL), active units, KL by latent, all on x_test, and the KL by step."""
    init, data, noise, test = streams(seed)
    pixels = x_train.shape[1]
    encoder = sequential(dense(pixels, WIDTH), relu, heads(dense(WIDTH, LATENTS), dense(WIDTH, LATENTS)))
    decoder = sequential(dense(LATENTS, WIDTH), relu, dense(WIDTH, WIDTH), relu, dense(WIDTH, pixels))
    posterior = gaussian_posterior(encoder, kl=by_dimension)
    likelihood = (autoregressive_likelihood(decoder, int(pixels ** 0.5)) if decoder_kind == "autoregressive"
                  else bernoulli_likelihood(decoder))

    def terms(params, x, eps):
        z, kl = posterior.apply(params["phi"], x, eps)
        return likelihood.apply(params["theta"], x, z), kl

    def loss(params, x, draws):
        eps, beta = draws
        nll, kl = terms(params, x, eps)
        return LOSSES[cure](nll, kl, beta), np.mean(np.sum(kl, axis=1))

    steps = epochs * -(-len(x_train) // BATCH)
    betas, draw = iter(onp.minimum(1, onp.arange(steps) / (steps / 2))), gaussian_noise(noise, LATENTS)
    batches = minibatches(data, x_train, BATCH, epochs, dynamic(data))
    states = train(loss, {"phi": posterior.init(init), "theta": likelihood.init(init)}, batches,
                   lambda n: (draw(n), next(betas)), adam(RATE))
    history = []
    for state in progress(states, steps, f"{decoder_kind}, {cure}"):
        history.append(state.extra)
    nll, kl = evaluate(lambda *args: [t.reshape(len(args[1]), -1).sum(axis=1) for t in terms(*args)], state.params,
                       minibatches(None, x_test, BATCH), gaussian_noise(test, LATENTS))
    mu, log_var = posterior_moments(encoder, state.params["phi"], x_test)
    return (nll + kl, nll, kl), active_units(mu, ACTIVE).sum(), kl_by_dimension(mu, log_var), history


def main(arguments):
    x_train, _, x_test, _ = load(arguments.data)
    if x_train.ndim != 3 or x_train.shape[1] != x_train.shape[2]:
        raise ValueError(f"images have shape {x_train.shape[1:]}: expected (h, h)")
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    epochs, runs = arguments.epochs, arguments.runs
    if arguments.quick:
        x_train, x_test, epochs, runs = x_train[:1_000], x_test[:200], 1, 2
    takes(SECONDS * runs * epochs * len(x_train) / 60_000)
    seeds = range(arguments.seed, arguments.seed + runs)
    x_test = dynamic(onp.random.default_rng(arguments.seed))(x_test)            # binarized once, for every model
    rows, figure = [], Figure(layout="constrained", figsize=(10.5, 4))
    left, right = figure.subplots(1, 2)
    for decoder, cure in RUNS:
        figures, active, kls, histories = zip(*(fit(decoder, cure, x_train, x_test, epochs, seed) for seed in seeds))
        rows.append([decoder, cure, *(", ".join(f"{value:.2f}" for value in column) for column in zip(*figures)),
                     ", ".join(map(str, active)), ", ".join(str(onp.sum(kl > USED)) for kl in kls)])
        pieces = onp.array_split(onp.stack([onp.arange(len(histories[0])), *histories]),
                                 min(POINTS, len(histories[0])), axis=1)
        steps, *curves = onp.array([piece.mean(axis=1) for piece in pieces]).T
        style = {"label": decoder if cure == "nothing" else f"{decoder}, {cure}",
                 "linestyle": "-" if decoder == "autoregressive" else "--"}
        band(left, onp.arange(1, LATENTS + 1), onp.sort(kls, axis=1)[:, ::-1], marker=".", **style)
        band(right, steps, curves, **style)
    left.set(xlabel="latents, sorted", ylabel="KL of a latent, mean over the test set (nats)",
             title=f"After training: mean and range of {runs} seeds")
    right.set(xlabel="step", ylabel="KL, all latents (nats)", title="While training", yscale="log")
    left.legend(fontsize=8)
    print(f"MNIST, binary pixels, {len(x_test)} test images; nats for each; in each cell seeds "
          f"{', '.join(map(str, seeds))}.\nOf {LATENTS} latents those that are active, and those whose KL is above "
          f"{USED} nats")
    table(("decoder", "cure", "-ELBO", "-log p(x|z)", "KL", "active", f"KL > {USED}"), rows)
    figure.savefig(os.path.join(arguments.out, "kl_by_dimension.png"), dpi=120)


def band(axes, x, values, **style):
    """The mean of the rows of values, and from their least to their most."""
    line, = axes.plot(x, onp.mean(values, axis=0), **style)
    axes.fill_between(x, onp.min(values, axis=0), onp.max(values, axis=0), color=line.get_color(), alpha=0.2, lw=0)


if __name__ == "__main__":
    parser = options(__doc__, "posterior_collapse")
    parser.add_argument("--data", default=None, help="images other than MNIST: .npz, or a folder of IDX files")
    parser.add_argument("--epochs", type=positive, default=2, help="over the training set, for each of the four models")
    parser.add_argument("--runs", type=positive, default=3, help="seeds for each model, from --seed on")
    run(main, parser)
