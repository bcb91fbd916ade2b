"""Four models that differ in the decoder alone: from logistic factor analysis to a deep latent Gaussian model.

A deep latent Gaussian model is h_L = G_L ξ_L, h_l = T_l(h_{l+1}) + G_l ξ_l, x ~ p(x | T_0(h_1)). All the noise ξ is
N(0, I), so the encoder is a Gaussian over ξ and the KL is closed, whatever the hierarchy.
    logistic factor analysis          x ~ Bern(σ(z W + b)): one level, T_0 linear
    non-linear factor analysis        x ~ N(T_0(z), σ²): one level, T_0 a network (Lappalainen & Honkela, 2000)
    non-linear Gaussian belief net    T_l(h) = tanh(h) W_l + b_l at every level (Frey & Hinton, 1999)
    two-level DLGM                    T_1, T_0 networks, x Bernoulli (Rezende, Mohamed & Wierstra, 2014, eqs. 1–4)
Bernoulli rows: binary pixels, drawn anew each time. Gaussian rows: gray pixels in [0, 1], one learned σ. A probability
and a density cannot be compared: compare within the two pairs, whose members differ by far more than three seeds do.
"""

from support import common, data

import os

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure

from vae_np import (
    Block,
    adam,
    bernoulli_likelihood,
    constant,
    dense,
    dynamic,
    evaluate,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    sequential,
    tanh,
    train,
    vae,
)
from vae_np.extensions.dlgm import dlgm

EPOCHS, BATCH, HIDDEN, SHOWN = 3, 100, 200, 12
SECONDS = 20                # an epoch of all four, on one core


def network(n_in, n_out):
    return sequential(dense(n_in, HIDDEN), tanh, dense(HIDDEN, n_out))


def with_noise(mu):
    """A decoder's mean, and one log-variance for all pixels, learned from −3: from 0, it would take Adam 3000 steps."""
    noise = constant(784, tied=True)
    return heads(mu, Block(lambda rng: noise.init(rng) - 3, noise.apply, noise.name))


MODELS = {   # name: the likelihood, the sizes of the levels from the top, the decoder
    "logistic factor analysis": (bernoulli_likelihood, (2,), dense(2, 784)),
    "two-level DLGM": (bernoulli_likelihood, (20, 50), dlgm(network(20, 50), network(50, 784), sizes=(20, 50))),
    "non-linear factor analysis": (gaussian_likelihood, (2,), with_noise(network(2, 784))),
    "non-linear Gaussian belief net": (gaussian_likelihood, (20, 50), dlgm(
        sequential(tanh, dense(20, 50)), with_noise(sequential(tanh, dense(50, 784))), sizes=(20, 50))),
}


def fit(name, x_train, x_test, epochs, seed):
    """The test set's mean NELBO, NLL and KL of each level, the learned σ if there is one, and means of p(x|z)."""
    likelihood, sizes, decoder = MODELS[name]
    latent, ends = sum(sizes), onp.cumsum(sizes)
    encoder = sequential(dense(784, HIDDEN), tanh, heads(dense(HIDDEN, latent), dense(HIDDEN, latent)))
    model = vae(gaussian_posterior(encoder), likelihood(decoder))
    rng_init, rng_data, rng_noise, rng_test = common.streams(seed)
    pixels = dynamic(rng_data.spawn(1)[0]) if likelihood is bernoulli_likelihood else gray

    def terms(params, x, eps):
        mu, log_var = encoder.apply(params["phi"], x)
        kls = [gaussian_kl(mu[:, end - d:end], log_var[:, end - d:end]) for d, end in zip(sizes, ends)]
        return model.apply(params, x, eps), *kls

    batches = minibatches(rng_data, x_train, BATCH, epochs=epochs, pixels=pixels)
    states = train(lambda params, x, eps: np.mean(model.apply(params, x, eps)), model.init(rng_init), batches,
                   gaussian_noise(rng_noise, latent), adam(1e-3))
    for state in common.progress(states, epochs * -(-len(x_train) // BATCH), name):  # noqa: B007
        pass
    nelbo, *kls = evaluate(terms, state.params, minibatches(None, x_test, 500, pixels=pixels),
                           gaussian_noise(rng_test, latent))
    output = decoder.apply(state.params["theta"], rng_test.standard_normal((SHOWN, latent), onp.float32))
    bernoulli = likelihood is bernoulli_likelihood
    means = 0.5 + 0.5 * onp.tanh(0.5 * output) if bernoulli else output[0]
    return [nelbo, nelbo - sum(kls), *kls], [] if bernoulli else [onp.exp(0.5 * output[1][0, 0])], means


def main(arguments):
    x_train, _, x_test, _ = data.load(arguments.data)
    x_train, x_test = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
    epochs, runs = (1, 2) if arguments.quick else (arguments.epochs, arguments.runs)
    if arguments.quick:
        x_train, x_test = x_train[:3000], x_test[:500]
    common.takes(SECONDS * runs * epochs * len(x_train) / 60_000)
    figure = Figure(layout="constrained", figsize=(SHOWN * 0.75, len(MODELS)))
    rows = []
    for name, axis in zip(MODELS, figure.subplots(len(MODELS), 1)):
        seeds = range(arguments.seed, arguments.seed + runs)
        terms, sigmas, means = zip(*(fit(name, x_train, x_test, epochs, seed) for seed in seeds))
        nelbo, nll, *kls = (spread(values, 2) for values in zip(*terms))
        pixels = "gray" if sigmas[0] else "binary"
        rows.append([name, pixels, " + ".join(map(str, MODELS[name][1])), nelbo, nll, ", ".join(kls),
                     *(spread(values, 3) for values in zip(*sigmas))])
        means = means[0]
        side = int(onp.sqrt(means.shape[1]))
        axis.imshow(onp.hstack(list(means.reshape(SHOWN, side, side))), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(f"{name}: means of p(x|z), z ~ N(0, I), {pixels} pixels, seed {seeds[0]}", fontsize=9)
        axis.axis("off")
    figure.savefig(os.path.join(arguments.out, "deep_latent_gaussian.png"), dpi=120)
    print(f"MNIST test set after {epochs} epochs of {len(x_train)} images; nats for each image (gray: of a density), "
          f"levels from the top down.\n±: the standard deviation over {runs} seeds")
    common.table(["model", "pixels", "latents", "NELBO", "of it NLL", "KL by level", "sigma"],
                 [(row + [""])[:7] for row in rows])


def spread(values, digits):
    """Mean ± standard deviation over the seeds, as text; of one seed, its value."""
    mean = f"{onp.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {onp.std(values, ddof=1):.{digits}f}"


parser = common.options(__doc__, "deep_latent_gaussian")
parser.add_argument("--epochs", type=common.positive, default=EPOCHS, help="of training, for each model")
parser.add_argument("--runs", type=common.positive, default=3, help="seeds for each model, from --seed on")
parser.add_argument("--data", default=None, help="a folder of IDX files or an .npz, in place of MNIST")

if __name__ == "__main__":
    common.run(main, parser)
