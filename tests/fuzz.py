"""Broken files by the thousand, for every reader: each must be read, or refused in one line that names the file.

    python tests/fuzz.py --count 10000

Counts the outcomes; ends with status 1 at the first traceback, at a file that takes over ten seconds, or beyond 1 GB of
memory. The suite runs the same mutations in small numbers (`test_checkpoint.py`, `test_data.py`).
"""

import argparse
import collections
import contextlib
import gzip
import io
import json
import os
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "demos")]

from support import data

from vae_np.tools import checkpoint

KINDS = ("overwrite", "flip", "insert", "delete", "repeat", "cut", "number")
NUMBERS = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\xff\xff", b"\0\x01\0\0", b"\0\0\0\x01"]
TEXTS = [b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b"{" * 40, b"[" * 3000, b'"x"', b"9" * 21, b"0.5", b"true",
         b'{"array": "structure"}', b'{"value": 1}', b'{"object": 1}', b"18446744073709551616", b"\\ud800", b""]
PLAIN = [None, True, -1, 0, 1, 2, 7, 0.5, 1e300, float("nan"), 10**6, 2**63, 2**64, 10**30, -10**9, "", "x", "--help",
         "-h", "adam", "params.phi.0.W", "structure", [], [1], [10**9], {}]
NODES = [{"value": 3}, {"array": "structure"}, {"array": "params.phi.0.W"}, {"list": []}, {"tuple": []}, {"dict": {}},
         {"list": [{"value": 10**9}]}, {"value": [1]}, {"value": {"a": 1}}]


def mutated(content, edits):
    """The content after edits (kind, where from 0 to 1, payload)."""
    for kind, where, payload in edits:
        i = int(where * len(content))
        if kind == "overwrite":
            content = content[:i] + payload + content[i + len(payload):]
        elif kind == "flip" and content:
            i = min(i, len(content) - 1)
            content = content[:i] + bytes([content[i] ^ 1 << (payload or b"\0")[0] % 8]) + content[i + 1:]
        elif kind == "insert":
            content = content[:i] + payload + content[i:]
        elif kind == "delete":
            content = content[:i] + content[i + len(payload):]
        elif kind == "repeat":
            content = content[:i] + content[max(0, i - 50):i] * min(9, 1 + len(payload)) + content[i:]
        elif kind == "cut":
            content = content[:i]
        elif kind == "number":  # in the first bytes, where headers are
            i = int(where * min(len(content), 128))
            number = NUMBERS[(payload or b"\0")[0] % len(NUMBERS)]
            content = content[:i] + number + content[i + 4:]
    return content


def zipped(members, compress_type=zipfile.ZIP_STORED):
    """A zip file of {name: content}, its checksums right: what is wrong inside then reaches the inner readers."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type)
    return file.getvalue()


def members(npz):
    with zipfile.ZipFile(io.BytesIO(npz)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def idx(array):
    """The IDX file of an array of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array))
    return file.getvalue()


def images(n_train=7, n_test=3, shape=(4, 4), seed=0):
    """A small data set of random pixels and labels, as data.load names its arrays."""
    rng = np.random.default_rng(seed)
    return {"x_train": rng.integers(0, 256, (n_train, *shape), np.uint8), "y_train": rng.integers(0, 10, n_train),
            "x_test": rng.integers(0, 256, (n_test, *shape), np.uint8), "y_test": rng.integers(0, 10, n_test)}


def edit_text(rng, text):
    """JSON with a piece replaced by what its reader may not expect."""
    marks = [i for i, c in enumerate(text) if c in b"[]{}:, "]
    for _ in range(rng.integers(1, 3)):
        i, j = sorted(rng.choice(marks, 2))
        j = min(j, i + int(rng.integers(1, 40)))
        text = text[:i + 1] + TEXTS[rng.integers(len(TEXTS))] + text[j:]
    return text


def edit_tree(rng, tree):
    """JSON's tree with some value replaced, moved, renamed or dropped: still JSON, but no longer what was saved."""
    places = []

    def visit(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                visit(node[key])

    visit(tree)
    for _ in range(rng.integers(1, 3)):
        node, key = places[rng.integers(len(places))]
        kind, leaf = rng.integers(8), key in ("value", "array")
        if kind == 0 and isinstance(node, dict):
            node[str(rng.choice(["", "v", "list", "dict", "array", "0", "epochs"]))] = node.pop(key, None)
        elif kind == 1 and len(node) > 1:
            node.pop(key, None) if isinstance(node, dict) else node.pop()
        elif kind == 2:
            other, there = places[rng.integers(len(places))]
            value = other.get(there) if isinstance(other, dict) else (other or [None])[-1]
            node[key if isinstance(node, dict) else slice(key, key + 1)] = json.loads(
                json.dumps(value if isinstance(node, dict) else [value]))
        elif isinstance(node, dict) or key < len(node):
            values = PLAIN if leaf or rng.random() < 0.2 else NODES
            node[key] = values[rng.integers(len(values))]
    return tree


def random_edits(rng):
    return [(KINDS[rng.integers(len(KINDS))], rng.random(), rng.bytes(int(rng.integers(0, 9))))
            for _ in range(rng.integers(1, 5))]


class Fuzz:
    """The readers, each with a whole file that `run` breaks; all in one temporary folder."""

    def __init__(self, folder):
        import mnist

        self.folder, arrays = Path(folder), images()
        self.readers = {"idx": self.read_idx, "idx.gz": self.read_idx, "gz of broken idx": self.read_idx,
                        "npz": self.read_data, "deflated npz": self.read_data, "npz of broken npy": self.read_data,
                        "folder of idx": self.read_folder, "checkpoint": self.read_checkpoint,
                        "checkpoint of broken npy": self.read_checkpoint,
                        "checkpoint of broken JSON": self.read_checkpoint, "mnist.py --resume": self.resume}
        self.idx = idx(arrays["x_train"])
        self.npz = {f"{name}.npy": npy(array) for name, array in arrays.items()}
        self.main = lambda argv: mnist.command(mnist.main, mnist.POST, argv)
        mnist.figures.draw = lambda *arguments: None
        self.images = self.folder / "images.npz"
        self.images.write_bytes(zipped(self.npz))
        self.argv = ["--out", str(self.folder / "run"), "--epochs", "1"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.main([*self.argv, "--data", str(self.images), "--hidden", "3"])
        self.checkpoint = (self.folder / "run" / "checkpoint.npz").read_bytes()

    def broken(self, name, rng):
        """A file's broken content, for the reader `name`."""
        edits = random_edits(rng)
        if name in ("idx", "folder of idx"):
            return mutated(self.idx, edits)
        if name == "idx.gz":
            return mutated(gzip.compress(self.idx, mtime=0), edits)
        if name == "gz of broken idx":
            return gzip.compress(mutated(self.idx, edits), mtime=0)
        if name == "npz":
            return mutated(zipped(self.npz), edits)
        if name == "deflated npz":
            return mutated(zipped(self.npz, zipfile.ZIP_DEFLATED), edits)
        if name == "checkpoint":
            return mutated(self.checkpoint, edits)
        inner = dict(self.npz) if name == "npz of broken npy" else members(self.checkpoint)
        if name in ("npz of broken npy", "checkpoint of broken npy") or rng.random() < 0.2:
            key = list(inner)[rng.integers(len(inner))]
            if rng.random() < 0.1:
                inner[mutated(key.encode(), edits).decode("latin1")[:99]] = inner.pop(key)
            else:
                inner[key] = mutated(inner[key], edits)
        else:
            text = np.load(io.BytesIO(inner["structure.npy"])).item()
            text = (edit_text(rng, text.encode()).decode("latin1") if rng.random() < 0.2 else
                    json.dumps(edit_tree(rng, json.loads(text))))
            inner["structure.npy"] = npy(text)
        return zipped(inner, zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED)

    def attempt(self, name, content):
        """"read" or "refused"; AssertionError where the refusal is not one line that names the file."""
        path = self.folder / "broken"
        path.write_bytes(content)
        try:
            self.readers[name](path)
        except (ValueError, FileNotFoundError) as error:
            assert "\n" not in str(error) and str(self.folder) in str(error), f"not one line with the file: {error!r}"
            return "refused"
        return "read"

    def read_idx(self, path):
        assert data.read_idx(path).dtype == np.uint8

    def read_data(self, path):
        x_train, _, x_test, _ = data.load(path)
        assert x_train.dtype == x_test.dtype == np.uint8 and len(x_train) and len(x_test)

    def read_folder(self, path):
        folder = self.folder / "idx"
        folder.mkdir(exist_ok=True)
        (folder / "train-images-idx3-ubyte").write_bytes(path.read_bytes())
        (folder / "t10k-images-idx3-ubyte").write_bytes(self.idx)
        self.read_data(folder)

    def read_checkpoint(self, path):
        checkpoint.load(path)

    def resume(self, path):
        os.replace(path, self.folder / "run" / "checkpoint.npz")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                self.main([*self.argv, "--resume"])
            except SystemExit as end:
                assert end.code == 2, f"status {end.code}: {err.getvalue()}"
                *before, last = err.getvalue().replace("\r", "\n").strip("\n ").split("\n")
                assert "error: " in last and not [line for line in before if "it/s" not in line and line.strip()], (
                    f"not one line: {err.getvalue()}")
                raise ValueError(f"{self.folder}: {last}") from None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    outcomes, slowest = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(folder)
        for i in range(arguments.count):
            name, rng = list(fuzz.readers)[i % len(fuzz.readers)], np.random.default_rng([arguments.seed, i])
            content, start = fuzz.broken(name, rng), time.perf_counter()
            try:
                outcomes[name, fuzz.attempt(name, content)] += 1
                assert time.perf_counter() - start < 10, "took over ten seconds"
            except Exception:
                traceback.print_exc()
                print(f"FAILED: {name}, mutation {i} of seed {arguments.seed}")
                return 1
            slowest = max(slowest, time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name in fuzz.readers:
        print(f"{name:28} read {outcomes[name, 'read']:5}   refused in one line {outcomes[name, 'refused']:5}")
    print(json.dumps({"mutations": sum(outcomes.values()), "tracebacks": 0, "slowest_s": round(slowest, 3),
                      "peak_MB": round(peak)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
