"""The main demo's run on disk, behind one object: options, checkpoint, history, progress, how it goes on and ends.

    def main(run): ...  run.begin(...); for epoch in run.epochs(): ... run.step(state) ... run.save(epoch, nll, kl)

    command(main, defaults)

Once it has begun, its folder holds a whole checkpoint.npz at every moment. That is a dict: `options`, `data` (path,
shapes, checksum), `step`, `params`, `optimizer`, `streams` (the states of the random generators), `history`, `seconds`
(of each epoch) and `frames` (of the animation).
"""

from support import common, resume

import argparse
import os
import signal
import sys
import time
import zlib

import numpy as np

from vae_np import State
from vae_np.tools import checkpoint

HEADER = "epoch,train_nelbo,test_nelbo,test_nll,test_kl,seconds"


def command(main, defaults, argv=None):
    """main(run) as a command: options from argv; what ends it early is one line, which says what the folder holds."""
    parser = _parser(defaults)

    def guarded(arguments):
        run = Run(arguments, defaults, parser)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, and named, by the checks
                main(run)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"\nstopped: {run.path} holds {len(run.history)} epochs; --resume goes on"
                                    if run.state else "") from None
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}; {run.path} holds the {len(run.history)} epochs before") from None
        finally:
            if run.bar is not None:
                run.bar.close()

    common.run(guarded, parser, argv)


def _parser(defaults):
    p = common.Parser(description="Train the post's variational autoencoder, or go on with a run.",
                      argument_default=argparse.SUPPRESS,
                      epilog="With --resume, an option that is not given is that of the run that goes on.")
    for name, text, how in [
            ("epochs", "in all", {"type": common.positive}),
            ("latent_dim", "dimensions of z", {"type": common.positive}),
            ("hidden", "widths of the hidden layers", {"type": common.positive, "nargs": "+"}),
            ("batch_size", "images a step", {"type": common.positive}),
            ("samples", "Monte Carlo samples of z for each image", {"type": common.positive}),
            ("optimizer", "the update rule", {"choices": ["rmsprop", "adam"]}),
            ("learning_rate", "its step size", {"type": common.rate}),
            ("binarize", "gray pixels as they are, drawn anew each time, or cut at one half",
             {"choices": ["none", "dynamic", "threshold"]}),
            ("seed", "of every random stream", {"type": common.non_negative})]:
        p.add_argument(resume.flag(name), help=f"{text} (default {str(defaults[name]).strip('[]')})", **how)
    p.add_argument("--data", help="folder of IDX files, or .npz (default: the MNIST beside this file)")
    p.add_argument("--out", default=os.path.join("results", "mnist"), help="folder (default results/mnist)")
    p.add_argument("--resume", action="store_true", default=False, help="go on from the checkpoint in --out")
    return p


class Run:
    """options: as given, or as the run that goes on was made. data: the path of its data, or None. And after `begin`,
    state: where training stands. history: (epoch, train −ELBO, test −ELBO, test nll, test kl) of each epoch, in nats.
    """

    def __init__(self, arguments, defaults, parser):
        self.path, self.options, self.names = os.path.join(arguments.out, "checkpoint.npz"), arguments, list(defaults)
        given = {name: value for name, value in vars(arguments).items() if name in defaults}
        self.saved = resume.load(self.path, given, defaults, parser) if arguments.resume else {}
        self.data = self.saved.get("data", {}).get("path") or None
        if "data" in arguments:
            self.data = os.path.abspath(arguments.data)
        vars(arguments).update({**defaults, **self.saved.get("options", {}), **given}, data=self.data or "MNIST")
        self.state, self.history, self.seconds, self.bar = None, [], [], None

    def begin(self, images, params, optimizer, streams, frame):
        """Save a run that begins, or go on where the saved one stood, if this is its data and these are its forms.

        streams: the random generators, which are set to where they stood. frame: theta -> an image, for the animation.
        """
        x_train, x_test = images
        self.source = {"path": self.data or "", "train": [*x_train.shape], "test": [*x_test.shape],
                       "crc32": zlib.crc32(x_test, zlib.crc32(x_train))}
        self.streams, self.frame, self.frames = streams, frame, [(0, frame(params["theta"]))]
        state, steps = State(0, params, None, optimizer.init(params)), -(-len(x_train) // self.options.batch_size)
        if self.saved:
            saved = resume.check(self.path, self.saved, self._contents(state), steps, streams)
            state = State(saved["step"], saved["params"], None, saved["optimizer"])
            self.source, self.history, self.seconds, self.frames = (
                saved[name] for name in ("data", "history", "seconds", "frames"))
        else:
            resume.keep(self.options.out)
        self.bar = common.progress(None, steps * self.options.epochs)
        self.bar.update(min(state.step, self.bar.total))
        self.interrupted, self.writing = False, True
        self.handler = signal.getsignal(signal.SIGINT)
        if self.handler is signal.default_int_handler:  # not where it is ignored, as in the background
            signal.signal(signal.SIGINT, self._interrupt)
        self._write(state)
        self.state, self.saved = state, None
        common.record(self.options)

    def epochs(self):
        """The numbers of the epochs that are still to come."""
        self.first = len(self.history) + 1
        for epoch in range(len(self.history) + 1, self.options.epochs + 1):
            self.sums, self.seen, self.started = np.zeros(2), 0, time.perf_counter()
            yield epoch
        self.bar.close()
        signal.signal(signal.SIGINT, self.handler)
        if self.interrupted:
            self._stop()

    def step(self, state):
        """Note a step, whose loss returned (nll, kl) beside its value. Here, between two steps, Ctrl-C ends the run."""
        self.state, (nll, kl) = state, state.extra
        n = nll.shape[-1]
        self.sums, self.seen = self.sums + n * np.array([np.mean(nll), np.mean(kl)], np.float64), self.seen + n
        if state.step % 20 == 0:
            self.bar.set_postfix_str(f"NELBO {self.sums.sum() / self.seen:.2f} nats", refresh=False)
        self.bar.update()
        if self.interrupted:
            self._stop()

    def save(self, epoch, test_nll, test_kl):
        """End an epoch: checkpoint.npz, history.csv, a printed line. FloatingPointError if the test is not finite."""
        test, (nll, kl) = test_nll + test_kl, map(float, self.sums / self.seen)
        if not np.isfinite(test):  # the last step went wrong, which no next step's gradient shows
            raise FloatingPointError(f"step {self.state.step}: the test loss after it is {test}; "
                                     "a smaller learning rate may help")
        self.writing = True
        self.seconds = [*self.seconds, round(time.perf_counter() - self.started, 3)]
        if epoch % (1 << max(0, epoch.bit_length() - 4)) == 0:  # often at the start, and rarer as less changes
            self.frames = [*self.frames, (epoch, self.frame(self.state.params["theta"]))]
        self.history = [*self.history, (epoch, nll + kl, test, test_nll, test_kl)]
        self._write(self.state)
        self.bar.write(f"epoch {epoch:3d}/{self.options.epochs}  train {nll + kl:.2f} = {nll:.2f} + {kl:.2f}  "
                       f"test {test:.2f} = {test_nll:.2f} + {test_kl:.2f} nats (reconstruction + KL)  "
                       f"{self.seconds[-1]:.1f} s", file=sys.stdout)
        if self.first == epoch:
            left = self.options.epochs - epoch
            common.takes(self.seconds[-1] * left, "what is left", "after Ctrl-C, --resume goes on")

    def _contents(self, state):
        return {"options": {name: getattr(self.options, name) for name in self.names}, "data": self.source,
                "step": state.step, "params": state.params, "optimizer": state.optimizer,
                "streams": [rng.bit_generator.state for rng in self.streams],
                "history": self.history, "seconds": self.seconds, "frames": self.frames}

    def _write(self, state):
        """checkpoint.npz, then history.csv with all digits, each written whole or not at all."""
        checkpoint.save(self.path, self._contents(state))
        rows = [",".join(map(repr, (*row, seconds))) for row, seconds in zip(self.history, self.seconds)]
        checkpoint.write_atomically(os.path.join(self.options.out, "history.csv"),
                                    lambda file: file.write("\n".join([HEADER, *rows, ""]).encode()))
        self.writing = False

    def _interrupt(self, *_):
        # A KeyboardInterrupt wherever Ctrl-C happens to come can be lost: within zipfile, "Can't close the ZIP file"
        # takes its place. So `step` raises it. A second Ctrl-C, of someone in a hurry, does at once; in writing, never.
        if self.interrupted and not self.writing:
            self._stop()
        self.interrupted = True

    def _stop(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more shall not disturb the end
        raise KeyboardInterrupt
