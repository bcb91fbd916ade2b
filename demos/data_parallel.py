"""Past one machine: the same training on P processes, which average their gradients (MPI).

    mpiexec -n 2 python demos/data_parallel.py

The gradient of a mean is the mean of the gradients. Each process takes every P-th row of the same global minibatch, and
what `train` differentiates with is replaced by one that adds the gradients up, weighted by their rows. With the global
batch fixed, the curve is that of one process, to rounding, for every P; all processes hold the same parameters, and
their checksums are compared. A process that dies ends the run for all.

Every run adds its P to scaling.csv in --out. The figure sets the measured times beside a model on paper: each step, a
ring sends 2 (P − 1)/P of the gradient's bytes past each process (Patarasuk & Yuan, 2009), so a step takes
t_compute / P + latency + bytes / bandwidth.
"""

from support import common, data

import contextlib
import csv
import os
import signal
import sys
import time
import zlib

import autograd.numpy as np
import numpy as onp
from matplotlib.figure import Figure
from mnist import build

from vae_np import gaussian_noise, minibatches, rmsprop, train, value_and_grad
from vae_np.nests import leaves, rebuild

NETWORKS = {"1 Gbit/s, 50 µs": (1e9 / 8, 50e-6), "10 Gbit/s, 20 µs": (10e9 / 8, 20e-6),
            "100 Gbit/s, 5 µs": (100e9 / 8, 5e-6)}


def averaged(communicator, seconds):
    """A `value_and_grad` for `train`: (loss over all processes' rows, its gradient). seconds: the waiting is added."""
    from mpi4py import MPI

    rank, processes = communicator.rank, communicator.size

    def over_processes(loss):
        differentiate = value_and_grad(loss)

        def everywhere(params, x, eps):
            rows = len(x)
            x, eps = x[rank::processes], eps[..., rank::processes, :]
            buffer = onp.zeros(1 + sum(leaf.size for leaf in leaves(params)), onp.float32)
            if len(x):  # the last minibatch may have fewer rows than there are processes
                value, gradient = differentiate(params, x, eps)
                buffer[0] = value
                onp.concatenate([leaf.ravel() for leaf in leaves(gradient)], out=buffer[1:])
                buffer *= len(x) / rows
            start = time.perf_counter()
            communicator.Allreduce(MPI.IN_PLACE, buffer)
            seconds.append(time.perf_counter() - start)
            parts = onp.split(buffer[1:], onp.cumsum([leaf.size for leaf in leaves(params)])[:-1])
            shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves(params))]
            return buffer[0], rebuild(params, shaped)

        return everywhere

    return over_processes


def checksum(params):
    return zlib.crc32(b"".join(leaf.tobytes() for leaf in leaves(params)))


def main(arguments):
    from mpi4py import MPI

    communicator = MPI.COMM_WORLD
    rank, processes = communicator.rank, communicator.size
    x_train = data.load(arguments.data)[0]
    x_train = x_train.reshape(len(x_train), -1)
    init, data_rng, noise_rng, _ = common.streams(arguments.seed)  # the same on every process: one global minibatch
    *_, model = build(x_train.shape[1], arguments.hidden, arguments.latent_dim)
    params, waiting, losses, times = model.init(init), [], [], []
    epochs = -(-arguments.steps * arguments.batch_size // len(x_train))
    states = train(lambda p, x, eps: np.mean(model.apply(p, x, eps)), params,
                   minibatches(data_rng, x_train, arguments.batch_size, epochs),
                   gaussian_noise(noise_rng, arguments.latent_dim), rmsprop(1e-3), averaged(communicator, waiting))
    start = time.perf_counter()
    for state in common.progress(states, arguments.steps, f"{processes} processes") if rank == 0 else states:
        times.append(time.perf_counter() - start)
        losses.append(state.loss)
        if rank == processes - 1 and state.step == arguments.fails_at:
            raise RuntimeError(f"told to fail at step {state.step}")
        if rank == processes - 1 and state.step == arguments.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if state.step == arguments.steps:
            break
        start = time.perf_counter()
    sums = communicator.allgather(checksum(state.params))
    if len(set(sums)) > 1:
        raise RuntimeError(f"the processes hold different parameters: checksums {sums}")
    if rank == 0:
        report(arguments, processes, times, waiting, losses, sums[0], 4 * sum(leaf.size for leaf in leaves(params)))


def report(arguments, processes, times, waiting, losses, crc, size):
    """The table and the figure, from this run and those that stand in --out already."""
    path = os.path.join(arguments.out, "scaling.csv")
    rows = {}
    if os.path.exists(path):
        with open(path, newline="", encoding="utf-8") as file:
            rows = {int(row["P"]): row for row in csv.DictReader(file)}
    rows[processes] = {"P": processes, "ms": f"{1e3 * onp.median(times):.3f}",
                       "waiting_ms": f"{1e3 * onp.median(waiting):.3f}", "first_loss": f"{losses[0]:.4f}",
                       "last_loss": f"{losses[-1]:.4f}", "crc32": crc}
    rows = [rows[p] for p in sorted(rows)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    common.table(("processes", "ms a step", "of it, averaging", "loss, step 1", f"loss, step {len(losses)}"),
                 [(row["P"], row["ms"], row["waiting_ms"], row["first_loss"], row["last_loss"]) for row in rows])
    print(f"all processes hold the same parameters (crc32 {crc}); each step averages {size / 1e6:.2f} MB")

    alone = [float(row["ms"]) / 1e3 for row in rows if int(row["P"]) == 1]
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    if alone:
        P = 2.0 ** onp.arange(8)
        for label, (bandwidth, latency) in NETWORKS.items():
            step = alone[0] / P + onp.where(P > 1, 2 * (P - 1) * latency + 2 * (P - 1) / P * size / bandwidth, 0)
            axes.plot(P, alone[0] / step, label=f"on paper: {label}")
        axes.plot(P, P, color="gray", ls=":", label="no cost of averaging")
        axes.plot([int(row["P"]) for row in rows], [alone[0] * 1e3 / float(row["ms"]) for row in rows], "ko",
                  label=f"measured here, {os.cpu_count()} cores")
        axes.legend(fontsize=8)
    axes.set(xlabel="processes P", ylabel="speed-up over one process", xscale="log", yscale="log",
             title=f"batch {arguments.batch_size} in all, {size / 1e6:.1f} MB a step")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(os.path.join(arguments.out, "scaling.png"), dpi=120)


def together(arguments):
    """main, on every process; where one fails, all end, since the others would wait for it for ever."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the second where the library under it is missing
        reason = str(error).splitlines()[0]
        raise ValueError(f"needs MPI: install the extra, pip install -e '.[demos,mpi]' ({reason})") from None
    try:
        if arguments.quick:
            arguments.steps = 20
        with contextlib.nullcontext() if MPI.COMM_WORLD.rank else common.alone_in(arguments.out):
            main(arguments)
    except BaseException as error:
        rank = MPI.COMM_WORLD.rank
        print(f"data_parallel.py: error: process {rank} of {MPI.COMM_WORLD.size}: {error!r}; all processes end",
              file=sys.stderr, flush=True)
        MPI.COMM_WORLD.Abort(2)
    if MPI.COMM_WORLD.rank:
        sys.exit(0)  # the first process alone writes run.json


if __name__ == "__main__":
    options = common.options(__doc__, "data_parallel")
    options.add_argument("--steps", type=common.positive, default=600, help="of training")
    options.add_argument("--batch-size", type=common.positive, default=100, help="of all processes together")
    options.add_argument("--hidden", type=common.positive, nargs="+", default=[256], help="widths")
    options.add_argument("--latent-dim", type=common.positive, default=2, help="dimensions of z")
    options.add_argument("--data", default=None, help="folder of IDX files, or .npz (default: MNIST)")
    options.add_argument("--fails-at", type=common.positive, help="an error in the last process at this step: all end")
    options.add_argument("--killed-at", type=common.positive, help="the last process is killed at this step: all end")
    common.run(together, options, hold=contextlib.nullcontext)
