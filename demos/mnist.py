"""The post's experiment: a variational autoencoder with a two-dimensional latent space, trained on MNIST.

    x → 784-256-(2, 2) → z = μ + σ ⊙ ε → 2-256-784 → p(x|z),    −ELBO = −log p(x|z) + KL[q(z|x) ‖ p(z)]

relu, RMSprop 1e-3, batches of 100, one sample, gray pixels under a Bernoulli. After 50 epochs the negative ELBO of the
test set was 151.05 and 151.35 nats in the author's two runs. For gray pixels it is the mean over binary images drawn
with the pixels as probabilities, and cannot be compared with figures for binary images. Test figures sample ε.
"""

import argparse
import os
import sys
import time
import zlib
from types import SimpleNamespace

import autograd.numpy as np
import common
import data
import mnist_figures

from vae_np import (
    State,
    adam,
    bernoulli_likelihood,
    checkpoint,
    dense,
    dynamic,
    evaluate,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    relu,
    rmsprop,
    sequential,
    threshold,
    train,
    vae,
)
from vae_np.autodiff import leaves, paths

DEFAULTS = {"latent_dim": 2, "hidden": [256], "batch_size": 100, "samples": 1, "optimizer": "rmsprop",
            "learning_rate": 1e-3, "binarize": "none", "seed": 0}
RUN = ("options", "data", "step", "params", "optimizer", "streams", "history", "seconds", "frames")
HEADER = "epoch,train_nelbo,test_nelbo,test_nll,test_kl,seconds"


def parser():
    p = common.Parser(description=__doc__.splitlines()[0], argument_default=argparse.SUPPRESS,
                      epilog="With --resume, an option that is not given is that of the run that goes on.")
    p.add_argument("--epochs", type=common.positive, default=50, help="in all (default 50)")
    p.add_argument("--latent-dim", type=common.positive, help="dimensions of z (default 2)")
    p.add_argument("--hidden", type=common.positive, nargs="+", help="widths of the hidden layers (default 256)")
    p.add_argument("--batch-size", type=common.positive, help="images a step (default 100)")
    p.add_argument("--samples", type=common.positive, help="Monte Carlo samples of z for each image (default 1)")
    p.add_argument("--optimizer", choices=["rmsprop", "adam"], help="(default rmsprop)")
    p.add_argument("--learning-rate", type=common.rate, help="(default 0.001)")
    p.add_argument("--binarize", choices=["none", "dynamic", "threshold"],
                   help="gray pixels as they are, drawn anew each time, or cut at one half (default none)")
    p.add_argument("--seed", type=common.non_negative, help="of every random stream (default 0)")
    p.add_argument("--data", default=None, help="folder of IDX files, or .npz (default: the MNIST beside this file)")
    p.add_argument("--out", default=os.path.join("results", "mnist"), help="folder (default results/mnist)")
    p.add_argument("--resume", action="store_true", default=False, help="go on from the checkpoint in --out")
    return p


def networks(n_pixels, hidden, latent_dim):
    """Encoder n_pixels-hidden-(d, d) and decoder d-hidden reversed-n_pixels, relu after each hidden layer."""
    def layers(*widths):
        return [block for n_in, n_out in zip(widths, widths[1:]) for block in (dense(n_in, n_out), relu)]

    return (sequential(*layers(n_pixels, *hidden), heads(dense(hidden[-1], latent_dim), dense(hidden[-1], latent_dim))),
            sequential(*layers(latent_dim, *hidden[::-1]), dense(hidden[0], n_pixels)))


def experiment(options, n_pixels):
    """The model, its loss and its random streams, all from the options."""
    init, *streams = common.streams(options["seed"])
    data_rng, noise_rng, test_rng = streams
    encoder, decoder = networks(n_pixels, options["hidden"], options["latent_dim"])
    posterior, likelihood = gaussian_posterior(encoder), bernoulli_likelihood(decoder)
    k = None if options["samples"] == 1 else options["samples"]

    def terms(params, x, eps):
        z, kl = posterior.apply(params["phi"], x, eps)
        return likelihood.apply(params["theta"], x, z), kl

    def loss(params, x, eps):
        nll, kl = terms(params, x, eps)
        return np.mean(nll + kl), (np.mean(nll), np.mean(kl), len(x))

    def pixels(rng):
        return {"none": gray, "threshold": threshold, "dynamic": dynamic(rng)}[options["binarize"]]

    return SimpleNamespace(
        encoder=encoder, decoder=decoder, posterior=posterior, model=vae(posterior, likelihood), streams=streams,
        params=vae(posterior, likelihood).init(init), terms=terms, loss=loss, data_rng=data_rng,
        optimizer={"rmsprop": rmsprop, "adam": adam}[options["optimizer"]](options["learning_rate"]),
        pixels=pixels(data_rng), noise=gaussian_noise(noise_rng, options["latent_dim"], k),
        test_pixels=pixels(test_rng), test_noise=gaussian_noise(test_rng, options["latent_dim"], k))


def restore(path, given):
    """The saved run and its options; those given now must not differ."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"--resume: no checkpoint at {path}")
    run = checkpoint.load(path)
    missing = [key for key in RUN if not isinstance(run, dict) or key not in run]
    if missing:
        raise ValueError(f"{path}: not a checkpoint of this demo: no {', '.join(missing)}")
    for key, value in given.items():
        if value != run["options"][key]:
            raise ValueError(f"{path}: made with --{key.replace('_', '-')} {run['options'][key]}, not {value}")
    return run


def check(path, run, params, source):
    """Raise ValueError unless the run that goes on has this architecture's parameters and was made from these data."""
    if run["data"] != source:
        raise ValueError(f"{path}: made from other data: {run['data']}, not {source}")
    found, expected = ({name: np.shape(leaf) for name, leaf in zip(paths(nest), leaves(nest))}
                       for nest in (run["params"], params))
    if found != expected:
        raise ValueError(f"{path}: of another architecture: {found}, expected {expected}")


def fit(e, run, x_train, x_test, epochs, on_epoch):
    """Train from where the run stands to the end of the last epoch; on_epoch(line) after each."""
    batch_size = run["options"]["batch_size"]
    steps = -(-len(x_train) // batch_size)
    state = State(run["step"], run["params"], None, run["optimizer"])
    with common.progress(None, steps * epochs) as bar:
        bar.update(steps * min(len(run["history"]), epochs))
        for epoch in range(len(run["history"]) + 1, epochs + 1):
            start, totals, seen = time.perf_counter(), np.zeros(2), 0
            batches = minibatches(e.data_rng, x_train, batch_size, pixels=e.pixels)
            for state in train(e.loss, None, batches, e.noise, e.optimizer, resume=state):  # noqa: B020
                nll, kl, n = state.extra
                totals, seen = totals + n * np.array([nll, kl], np.float64), seen + n
                if state.step % 20 == 0:
                    bar.set_postfix_str(f"NELBO {totals.sum() / seen:.2f} nats", refresh=False)
                bar.update()
            nll, kl = map(float, totals / seen)
            batches = minibatches(None, x_test, 1000, pixels=e.test_pixels)
            test_nll, test_kl = evaluate(e.terms, state.params, batches, e.test_noise)
            run.update(step=state.step, params=state.params, optimizer=state.optimizer,
                       streams=[rng.bit_generator.state for rng in e.streams],
                       history=[*run["history"], (epoch, nll + kl, test_nll + test_kl, test_nll, test_kl)],
                       seconds=[*run["seconds"], round(time.perf_counter() - start, 3)])
            on_epoch()
            bar.write(f"epoch {epoch:3d}/{epochs}  train {nll + kl:.2f} = {nll:.2f} + {kl:.2f}  "
                      f"test {test_nll + test_kl:.2f} = {test_nll:.2f} + {test_kl:.2f} nats (reconstruction + KL)  "
                      f"{run['seconds'][-1]:.1f} s", file=sys.stdout)


def save(folder, run):
    """checkpoint.npz and history.csv, each written whole or not at all."""
    checkpoint.save(os.path.join(folder, "checkpoint.npz"), run)
    rows = [",".join(map(repr, (*row, seconds))) for row, seconds in zip(run["history"], run["seconds"])]
    checkpoint.write_atomically(os.path.join(folder, "history.csv"),
                                lambda file: file.write("\n".join([HEADER, *rows, ""]).encode()))


def main(arguments):
    path = os.path.join(arguments.out, "checkpoint.npz")
    given = {key: value for key, value in vars(arguments).items() if key in DEFAULTS}
    run = restore(path, given) if arguments.resume else {"options": {**DEFAULTS, **given}}
    x_train, _, x_test, y_test = data.load(arguments.data)
    shape = mnist_figures.image_shape(x_train)
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    source = {"train": list(x_train.shape), "test": list(x_test.shape),
              "crc32": zlib.crc32(x_test, zlib.crc32(x_train))}
    e = experiment(run["options"], x_train.shape[1])

    def frame():
        """The manifold as it is now, for the animation: often at the start, and rarer as less changes."""
        epoch = len(run["history"])
        if epoch % (1 << max(0, epoch.bit_length() - 4)) == 0:
            run["frames"] = [*run["frames"], mnist_figures.frame(e.decoder, run["params"]["theta"], shape, epoch)]
        save(arguments.out, run)

    if arguments.resume:
        check(path, run, e.params, source)
        for rng, state in zip(e.streams, run["streams"]):
            rng.bit_generator.state = state
    else:
        if os.path.exists(path):
            os.replace(path, path.replace(".npz", ".previous.npz"))
            print("the checkpoint of the run before is kept as checkpoint.previous.npz")
        run.update(data=source, step=0, params=e.params, optimizer=e.optimizer.init(e.params), history=[], seconds=[],
                   streams=[rng.bit_generator.state for rng in e.streams], frames=[])
        frame()
    print(e.model)
    try:
        fit(e, run, x_train, x_test, arguments.epochs, frame)
    except KeyboardInterrupt:
        print(f"\nstopped: the checkpoint holds {len(run['history'])} epochs; --resume goes on", file=sys.stderr)
        sys.exit(130)
    mnist_figures.draw(arguments.out, e, run, x_test, y_test, shape)
    _, _, nelbo, nll, kl = run["history"][-1]
    print(f"-log p(x) <= {nelbo:.2f} nats = {nll:.2f} + {kl:.2f} for the test set; figures in {arguments.out}")


if __name__ == "__main__":
    common.run(main, parser())
