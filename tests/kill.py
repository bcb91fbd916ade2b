"""Kill a run at random moments, resume it, and compare what it ends with, byte for byte, with a run never stopped.

    python tests/kill.py --count 50

Half of the kills wait for a file that is being written, and strike within the next hundredth of a second. After each
kill the checkpoint and the history must be whole; `--resume` goes on, and is killed again, until the run is through;
then the next one begins. Ends with status 1 at the first difference. The suite does the same a few times.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "demos")]

from vae_np.tools import checkpoint

ROOT = Path(__file__).parent.parent
# The main demo without its figures, which are drawn after the training and take longer than it.
WITHOUT_FIGURES = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "demos")!r}]
import mnist
mnist.figures.draw = lambda *arguments: None
mnist.command(mnist.main, mnist.POST)
"""
FILES = ("checkpoint.npz", "history.csv", "run.json")
UNSYNCED = "import os\nos.fsync = lambda descriptor: None\n"  # a killed process needs no sync, only a dying machine


def start(*argv, sync=True):
    """The main demo without its figures as a process of its own; `sync=False` does not wait for the disk."""
    code = WITHOUT_FIGURES if sync else UNSYNCED + WITHOUT_FIGURES
    return subprocess.Popen([sys.executable, "-u", "-c", code, *map(str, argv)], encoding="utf-8",
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def same(a, b):
    """Equal in type, dtype, shape and every bit (so that NaN equals NaN and 0 differs from −0)."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return (isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
                and a.tobytes() == b.tobytes())
    return type(a) is type(b) and repr(a) == repr(b)


def history(folder):
    """The rows of history.csv without the seconds, the one column that no two runs share."""
    text = (Path(folder) / "history.csv").read_text()
    assert text.endswith("\n"), "history.csv is not whole"
    return [line.rsplit(",", 1)[0] for line in text.splitlines()]


def assert_same_run(folder, other):
    """Parameters, optimizer, random streams, history and frames of two runs are the same in every bit."""
    runs = [checkpoint.load(Path(f) / "checkpoint.npz") for f in (folder, other)]
    for run in runs:
        run.pop("seconds")
        run["data"].pop("path")
    different = [key for key in runs[0] if not same(runs[0][key], runs[1].get(key))]
    assert not different, f"{folder} and {other} differ in {different}"
    assert history(folder) == history(other), f"{folder} and {other} differ in history.csv"


def assert_whole(folder, reference):
    """Whatever a kill left: a checkpoint that loads, and a history that is the beginning of the reference's."""
    if (folder / "checkpoint.npz").exists():
        checkpoint.load(folder / "checkpoint.npz")
    if (folder / "history.csv").exists():
        rows = history(folder)
        assert rows == history(reference)[:len(rows)], f"{folder}/history.csv has other rows"


def unfinished(folder):
    """(name, time) of each file that is none of the run's own: what is being written, or was when it was killed."""
    found = set()
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.name not in FILES:
                found.add((path.name, path.stat().st_mtime_ns))
    return found


def killed(folder, argv, delay, sync=True, in_writing=0):
    """Start the run, or go on with it, and kill it `delay` s after training began (before, if negative).

    in_writing: if positive, wait further, until a file is being written, and so many seconds more. Returns whether it
    was killed (or came to its end before), and whether it left a part of a file.
    """
    before = unfinished(folder)
    resume = ["--resume"] if (folder / "checkpoint.npz").exists() else []
    process = start(*argv, "--out", folder, *resume, sync=sync)
    if delay >= 0:
        process.stdout.readline()
    time.sleep(abs(delay))
    while in_writing and process.poll() is None and not unfinished(folder) - before:
        time.sleep(0.0002)
    time.sleep(in_writing)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), f"status {process.returncode}: {err}"
    return process.returncode != 0, bool(unfinished(folder) - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, kills, writing, runs = np.random.default_rng(arguments.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(folder / "images.npz", x_train=rng.integers(0, 256, (50, 28, 28), np.uint8),
                 x_test=rng.integers(0, 256, (10, 28, 28), np.uint8))
        argv = ["--data", folder / "images.npz", "--hidden", 512, 512, "--epochs", 15, "--batch-size", 16,
                "--binarize", "dynamic", "--optimizer", "adam"]
        reference = start(*argv, "--out", folder / "reference")
        reference.stdout.readline()
        begun = time.perf_counter()
        _, err = reference.communicate()
        assert reference.returncode == 0, err
        longest = (time.perf_counter() - begun) / 2
        while kills < arguments.count:
            run = folder / f"run{runs}"
            run.mkdir()
            done, before = False, kills
            while not done and kills < arguments.count:
                delay = rng.uniform(0, longest) if rng.random() < 0.9 else -rng.uniform(0, 1)
                in_writing = rng.uniform(0, 0.01) if rng.random() < 0.5 else 0
                died, torn = killed(run, argv, delay, in_writing=in_writing)
                done, kills, writing = not died, kills + died, writing + torn
                assert_whole(run, folder / "reference")
            if kills == before:
                longest *= 0.7
            if not done:
                last = start(*argv, "--out", run, *(["--resume"] if (run / "checkpoint.npz").exists() else []))
                _, err = last.communicate()
                assert last.returncode == 0, err
            assert_same_run(run, folder / "reference")
            runs += 1
            print(f"{kills} kills, {writing} of them in the middle of writing; {runs} runs ended the same", flush=True)
    print(json.dumps({"kills": kills, "in the middle of writing": writing, "survived": kills, "runs compared": runs}))


if __name__ == "__main__":
    main()
