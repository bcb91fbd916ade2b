"""The main demo's run on disk: what its checkpoint holds, written without losing one, read back without trusting it.

A run is a dict: `options`, `data` (path, shapes and checksum), `step`, `params`, `optimizer`, `streams` (the states
of the random generators), `history`, `seconds` (of each epoch) and `frames` (of the animation).
"""

import itertools
import os
import shutil

import numpy as np

from vae_np.nests import leaves, paths, rebuild
from vae_np.tools import checkpoint

NAMES = ("options", "data", "step", "params", "optimizer", "streams", "history", "seconds", "frames")
OPTIONS = {"epochs": 50, "latent_dim": 2, "hidden": [256], "batch_size": 100, "samples": 1, "optimizer": "rmsprop",
           "learning_rate": 1e-3, "binarize": "none", "seed": 0}
HEADER = "epoch,train_nelbo,test_nelbo,test_nll,test_kl,seconds"


def save(folder, run):
    """checkpoint.npz, then history.csv, each written whole or not at all."""
    checkpoint.save(os.path.join(folder, "checkpoint.npz"), run)
    write_history(folder, run)


def write_history(folder, run):
    """history.csv: NELBO and its terms by epoch, in nats, with all their digits."""
    rows = [",".join(map(repr, (*row, seconds))) for row, seconds in zip(run["history"], run["seconds"])]
    checkpoint.write_atomically(os.path.join(folder, "history.csv"),
                                lambda file: file.write("\n".join([HEADER, *rows, ""]).encode()))


def keep(folder):
    """Copy an earlier run's checkpoint, history and run.json to checkpoint.1.npz, ..., or the next free number."""
    names = set(os.listdir(folder))
    if "checkpoint.npz" not in names:
        return
    number = next(i for i in itertools.count(1) if f"checkpoint.{i}.npz" not in names)
    for name in {"run.json", "history.csv", "checkpoint.npz"} & names:
        with open(os.path.join(folder, name), "rb") as old:
            checkpoint.write_atomically(os.path.join(folder, name.replace(".", f".{number}.")),
                                        lambda file, old=old: shutil.copyfileobj(old, file))
    print(f"the run that was in {folder} is kept as checkpoint.{number}.npz")


def restore(path, given, parser):
    """The run saved at `path`. What `given` names must be as in its options, but for the number of epochs.

    Raises ValueError or exits, in one line that names the file, where the options are not what `parser` would accept.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"--resume: no checkpoint at {path}")
    run = checkpoint.load(path)
    missing = [name for name in NAMES if not isinstance(run, dict) or name not in run]
    if missing:
        raise ValueError(f"{path}: not a checkpoint of this demo: no {', '.join(missing)}")
    _alike(path, "data", run["data"], {"path": "", "train": [0, 0], "test": [0, 0], "crc32": 0})
    if not isinstance(run["options"], dict) or set(run["options"]) != set(OPTIONS):
        raise ValueError(f"{path}: its options are {list(run['options'])}, expected {list(OPTIONS)}")
    parser.prog, flags = path, []
    for key, value in run["options"].items():
        flag, listed = f"--{key.replace('_', '-')}", isinstance(value, list) and all(type(v) is int for v in value)
        flags += [flag, *map(str, value)] if listed else [f"{flag}={value}"]
    parsed = vars(parser.parse_args(flags))
    for key, value in run["options"].items():
        if value != parsed[key]:
            raise ValueError(f"{path}: its option {key} is {value!r}, expected {parsed[key]!r}")
        if key != "epochs" and key in given and value != given[key]:
            raise ValueError(f"{path}: made with --{key.replace('_', '-')} {value}, not {given[key]}")
    return run


def check(path, run, fresh, steps):
    """Raise ValueError unless `run` has the form of `fresh`, the same run before its first epoch, and finite numbers.

    steps: those of an epoch. The random streams' states are tried out by the caller, who sets them.
    """
    differs = [key for key in ("train", "test", "crc32") if run["data"][key] != fresh["data"][key]]
    if differs:
        key = differs[0]
        raise ValueError(f"{path}: made from other data: {key} {run['data'][key]}, not {fresh['data'][key]}; name the "
                         f"data of that run with --data")
    epochs = len(run["history"]) if isinstance(run["history"], list) else 0
    frames = len(run["frames"]) if isinstance(run["frames"], list) else 0
    expected = {**fresh, "history": [(0, 0.0, 0.0, 0.0, 0.0)] * epochs, "seconds": [0.0] * epochs,
                "frames": fresh["frames"] * max(frames, 1)}
    for name in NAMES[2:]:
        _alike(path, name, run[name], expected[name])
        for where, leaf in zip(paths(run[name], name), leaves(run[name])):
            if np.asarray(leaf).dtype.kind == "f" and not np.isfinite(leaf).all():
                raise ValueError(f"{path}: {where} is not finite; expected numbers")
        run[name] = rebuild(expected[name], leaves(run[name]))
    if [row[0] for row in run["history"]] != [*range(1, epochs + 1)] or run["step"] != steps * epochs:
        raise ValueError(f"{path}: after {epochs} epochs of {steps} steps at step {run['step']}; expected "
                         f"{steps * epochs}, and epochs in order")


def set_streams(path, rngs, states):
    """Each generator to its saved state."""
    for i, (rng, state) in enumerate(zip(rngs, states)):
        try:
            rng.bit_generator.state = state
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{path}: streams.{i} is no state of a random generator; {error}") from None


def _form(nest):
    """The nest with each leaf replaced by its type, dtype and shape."""
    if isinstance(nest, dict):
        return {key: _form(child) for key, child in nest.items()}
    if isinstance(nest, (list, tuple)):
        return (tuple if isinstance(nest, tuple) else list)(map(_form, nest))
    return f"{nest.dtype} {nest.shape}" if hasattr(nest, "dtype") else type(nest).__name__


def _alike(path, name, found, expected):
    found, expected = _form(found), _form(expected)
    is_, should = (dict(zip(paths(form, name), leaves(form))) for form in (found, expected))
    for where in sorted(is_.keys() | should.keys()):
        if is_.get(where) != should.get(where):
            raise ValueError(f"{path}: {where} is {is_.get(where, 'missing')}, expected {should.get(where, 'none')}")
    if found != expected:
        raise ValueError(f"{path}: {name} has dicts, lists and tuples in other places than expected")
