"""What a run finds in its folder: an earlier run, kept under a number, or gone on with, but never trusted.

Raises ValueError (or, for options, exits) in one line that says what was wrong with the checkpoint, and what expected.
"""

import itertools
import os

import numpy as np

from vae_np.nests import leaves, paths, rebuild
from vae_np.tools import checkpoint

NAMES = ("options", "data", "step", "params", "optimizer", "streams", "history", "seconds", "frames")


def keep(folder):
    """Copy an earlier run's files to run.1.json, history.1.csv, checkpoint.1.npz, or the next free number."""
    names = os.listdir(folder)
    if "checkpoint.npz" in names:
        number = next(i for i in itertools.count(1) if f"checkpoint.{i}.npz" not in names)
        for name in ("run.json", "history.csv", "checkpoint.npz"):  # the last one takes the number
            if name in names:
                with open(os.path.join(folder, name), "rb") as old:
                    checkpoint.write_atomically(os.path.join(folder, name.replace(".", f".{number}.")),
                                                lambda file, old=old: file.write(old.read()))
        print(f"the run that was in {folder} is kept as checkpoint.{number}.npz")


def load(path, given, defaults, parser):
    """What the checkpoint holds. Its options must be such as `parser` accepts, and as `given`, but for the epochs."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"--resume: no checkpoint at {path}")
    saved = checkpoint.load(path)
    missing = [name for name in NAMES if not isinstance(saved, dict) or name not in saved]
    if missing:
        raise ValueError(f"{path}: not a checkpoint of this demo: no {', '.join(missing)}")
    _like(path, "data", saved["data"], {"path": "", "train": [0, 0], "test": [0, 0], "crc32": 0})
    if not isinstance(saved["options"], dict) or set(saved["options"]) != set(defaults):
        raise ValueError(f"{path}: its options are {list(saved['options'])}, expected {list(defaults)}")
    words = []
    for name, value in saved["options"].items():
        listed = isinstance(value, list) and all(type(v) is int for v in value)
        words += [flag(name), *map(str, value)] if listed else [f"{flag(name)}={value}"]
    prog, parser.prog = parser.prog, path
    expected = {**vars(parser.parse_args(words)), **given}
    parser.prog = prog
    for name, value in saved["options"].items():
        if name != "epochs" and value != expected[name]:
            raise ValueError(f"{path}: made with {flag(name)} {value!r}, not {expected[name]!r}")
    return saved


def flag(name):
    return f"--{name.replace('_', '-')}"


def check(path, saved, fresh, steps, rngs):
    """`saved` in the form of `fresh`, the same run before its first epoch of `steps`; rngs go to where they stood."""
    for name in ("train", "test", "crc32"):
        if saved["data"][name] != fresh["data"][name]:
            raise ValueError(f"{path}: made from other data: {name} {saved['data'][name]}, not {fresh['data'][name]}; "
                             "name the data of that run with --data")
    epochs, frames = (len(saved[name]) if isinstance(saved[name], list) else 0 for name in ("history", "frames"))
    expected = {**fresh, "history": [(0, 0.0, 0.0, 0.0, 0.0)] * epochs, "seconds": [0.0] * epochs,
                "frames": fresh["frames"] * max(frames, 1)}
    saved = {**saved, **{name: _like(path, name, saved[name], expected[name]) for name in NAMES[2:]}}
    if [row[0] for row in saved["history"]] != [*range(1, epochs + 1)] or saved["step"] != steps * epochs:
        raise ValueError(f"{path}: after {epochs} epochs of {steps} steps at step {saved['step']}; expected "
                         f"{steps * epochs}, and epochs in order")
    try:
        for rng, state in zip(rngs, saved["streams"]):
            rng.bit_generator.state = state
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: streams are no states of random generators; {error}") from None
    return saved


def _like(path, name, found, expected):
    """`found` in the form of `expected`: each entry of the same type, dtype and shape, and finite."""
    def form(leaf):
        return f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else type(leaf).__name__

    found, wanted = (dict(zip(paths(nest, name), leaves(nest))) for nest in (found, expected))
    for where in sorted(found.keys() | wanted.keys()):
        is_ = form(found[where]) if where in found else "missing"
        should = form(wanted[where]) if where in wanted else "none"
        if is_ != should:
            raise ValueError(f"{path}: {where} is {is_}, expected {should}")
        if np.asarray(found[where]).dtype.kind == "f" and not np.isfinite(found[where]).all():
            raise ValueError(f"{path}: {where} is not finite; expected numbers")
    return rebuild(expected, [found[where] for where in paths(expected, name)])
