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
from support import common, data, figures
from support import run as runs

from vae_np import (
    State,
    adam,
    bernoulli_likelihood,
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
from vae_np.nests import leaves, paths
from vae_np.tools import checkpoint


def parser():
    p = common.Parser(description=__doc__.splitlines()[0], argument_default=argparse.SUPPRESS,
                      epilog="With --resume, an option that is not given is that of the run that goes on.")
    p.add_argument("--epochs", type=common.positive, help="in all (default 50)")
    p.add_argument("--latent-dim", type=common.positive, help="dimensions of z (default 2)")
    p.add_argument("--hidden", type=common.positive, nargs="+", help="widths of the hidden layers (default 256)")
    p.add_argument("--batch-size", type=common.positive, help="images a step (default 100)")
    p.add_argument("--samples", type=common.positive, help="Monte Carlo samples of z for each image (default 1)")
    p.add_argument("--optimizer", choices=["rmsprop", "adam"], help="(default rmsprop)")
    p.add_argument("--learning-rate", type=common.rate, help="(default 0.001)")
    p.add_argument("--binarize", choices=["none", "dynamic", "threshold"],
                   help="gray pixels as they are, drawn anew each time, or cut at one half (default none)")
    p.add_argument("--seed", type=common.non_negative, help="of every random stream (default 0)")
    p.add_argument("--data", help="folder of IDX files, or .npz (default: the MNIST beside this file)")
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


def check_finite(state, nelbo):
    """Raise FloatingPointError where the step before the evaluation went wrong, which no next step's gradient shows."""
    if not np.isfinite(nelbo):
        size, where = max((np.abs(np.nan_to_num(leaf)).max(), path)
                          for path, leaf in zip(paths(state.params), leaves(state.params)))
        raise FloatingPointError(f"step {state.step}: the test loss after it is {nelbo}; {where} reaches {size:.1e}; "
                                 "a smaller learning rate may help")


def fit(e, run, x_train, x_test, on_epoch):
    """Train from where the run stands to the end of the last epoch; on_epoch() after each.

    Raises FloatingPointError where the loss, a gradient or the test figures are not finite; `run` is then as before.
    """
    epochs, batch_size = run["options"]["epochs"], run["options"]["batch_size"]
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
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, and named, by the check
                test_nll, test_kl = evaluate(e.terms, state.params, batches, e.test_noise)
            check_finite(state, test_nll + test_kl)
            run.update(step=state.step, params=state.params, optimizer=state.optimizer,
                       streams=[rng.bit_generator.state for rng in e.streams],
                       history=[*run["history"], (epoch, nll + kl, test_nll + test_kl, test_nll, test_kl)],
                       seconds=[*run["seconds"], round(time.perf_counter() - start, 3)])
            on_epoch()
            bar.write(f"epoch {epoch:3d}/{epochs}  train {nll + kl:.2f} = {nll:.2f} + {kl:.2f}  "
                      f"test {test_nll + test_kl:.2f} = {test_nll:.2f} + {test_kl:.2f} nats (reconstruction + KL)  "
                      f"{run['seconds'][-1]:.1f} s", file=sys.stdout)


def main(arguments):
    path = os.path.join(arguments.out, "checkpoint.npz")
    given = {key: value for key, value in vars(arguments).items() if key in runs.OPTIONS}
    saved = runs.restore(path, given, parser()) if arguments.resume else {}
    options = {**runs.OPTIONS, **saved.get("options", {}), **given}
    source = saved["data"]["path"] if saved else ""
    source = os.path.abspath(arguments.data) if "data" in arguments else source
    vars(arguments).update(options, data=source or "MNIST")  # as run.json shall have them

    x_train, _, x_test, y_test = data.load(source or None)
    shape = figures.image_shape(x_train)
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    e = experiment(options, x_train.shape[1])
    run = {"options": options, "step": 0, "params": e.params, "optimizer": e.optimizer.init(e.params),
           "data": {"path": source, "train": [*x_train.shape], "test": [*x_test.shape],
                    "crc32": zlib.crc32(x_test, zlib.crc32(x_train))},
           "streams": [rng.bit_generator.state for rng in e.streams], "history": [], "seconds": [],
           "frames": [figures.frame(e.decoder, e.params["theta"], shape, 0)]}
    if saved:
        runs.check(path, saved, run, steps=-(-len(x_train) // options["batch_size"]))
        runs.set_streams(path, e.streams, saved["streams"])
        run = {**saved, "options": options}
    else:
        runs.keep(arguments.out)
    runs.save(arguments.out, run)
    common.record(arguments)
    print(e.model)

    def on_epoch():
        epoch = len(run["history"])
        if epoch % (1 << max(0, epoch.bit_length() - 4)) == 0:  # often at the start, and rarer as less changes
            run["frames"] = [*run["frames"], figures.frame(e.decoder, run["params"]["theta"], shape, epoch)]
        runs.save(arguments.out, run)

    try:
        fit(e, run, x_train, x_test, on_epoch)
    except KeyboardInterrupt:
        run = checkpoint.load(path)
        runs.write_history(arguments.out, run)  # the interrupt may have come between the two files
        print(f"\nstopped: {path} holds {len(run['history'])} epochs; --resume goes on", file=sys.stderr)
        sys.exit(130)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; {path} holds the {len(run['history'])} epochs before") from None
    del x_train  # 47 MB that the figures' own needs would come on top of
    figures.draw(arguments.out, e, run, x_test, y_test, shape)
    _, _, nelbo, nll, kl = run["history"][-1]
    print(f"-log p(x) <= {nelbo:.2f} nats = {nll:.2f} + {kl:.2f} for the test set; figures in {arguments.out}")


if __name__ == "__main__":
    common.run(main, parser())
