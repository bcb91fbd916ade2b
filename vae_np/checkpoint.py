"""Checkpoints: a nest of arrays, numbers and text as one .npz file, written whole or not at all. Never pickle.

Every array stands in the file under its path (`params.phi.0.W`), so that any program that reads .npz can use it. One
more entry, `structure`, is JSON: the form of the nest, and the plain values in it.
"""

import json
import math
import os
import zipfile
import zlib

import numpy as np

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DEFLATE = 1040  # no zip or gzip file can inflate by more than this: what declares more is not whole


def save(path, nest):
    """Write the nest to `path`, atomically: a reader, or a crash, finds the old file or the new one, never a part.

    nest: dicts with text keys, lists and tuples of arrays and of JSON's values (numbers, text, booleans, None).
    Raises ValueError for anything else, OSError where the disk refuses; the file that was there is then untouched.
    """
    arrays = {}

    def describe(node, where):
        if isinstance(node, dict):
            if not all(isinstance(key, str) and "." not in key and "/" not in key for key in node):
                raise ValueError(f"checkpoint {path}: {where or 'the nest'} has keys other than plain names")
            return {"dict": {key: describe(child, f"{where}.{key}" if where else key) for key, child in node.items()}}
        if isinstance(node, (list, tuple)):
            kind = "tuple" if isinstance(node, tuple) else "list"
            return {kind: [describe(child, f"{where}.{i}" if where else str(i)) for i, child in enumerate(node)]}
        if node is None or type(node) in (bool, int, float, str):
            return {"value": node}
        array = np.asarray(node)
        if array.dtype.kind not in "biufc":
            raise ValueError(f"checkpoint {path}: {where} is {type(node).__name__}, neither numbers nor text")
        name = where or "array"
        if name == "structure":
            raise ValueError(f"checkpoint {path}: the name 'structure' is taken; rename that array")
        arrays[name] = array
        return {"array": name}

    structure = json.dumps(describe(nest, ""))
    write_atomically(path, lambda file: np.savez(file, structure=np.array(structure), **arrays))


def write_atomically(path, write):
    """write(file) into `path`.tmp, flushed to the disk, then renamed over `path` in one step."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def load(path):
    """The nest that `save` wrote, equal in form, dtype and every bit.

    Raises ValueError, in one line that names the file, where it is cut short, altered or no checkpoint, and
    FileNotFoundError where there is none.
    """
    arrays = read_npz(path)

    def build(node):
        (kind, content), = node.items()
        if kind == "dict":
            return {key: build(child) for key, child in content.items()}
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](build(child) for child in content)
        return {"array": arrays.__getitem__, "value": lambda value: value}[kind](content)

    try:
        return build(json.loads(str(arrays["structure"])))
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a checkpoint of vae_np ({type(error).__name__}: {error})") from None


def read_npz(path):
    """{name: array} of an .npz file, each length checked against what the file declares before memory is asked for.

    Raises ValueError in one line that names the file where it is not a whole .npz of plain arrays.
    """
    size = os.path.getsize(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _read_member(archive, info, size)
                    for info in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError,
            SyntaxError, KeyError, TypeError, MemoryError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected a whole .npz file of plain arrays; {reason}") from None


def _read_member(archive, info, size):
    if info.file_size > DEFLATE * size:
        raise ValueError(f"{info.filename} declares {info.file_size} bytes, more than the file can hold")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{info.filename} has .npy version {version}")
        shape, fortran, dtype = HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects, which are never loaded")
        length = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or file.tell() + length != info.file_size:
            raise ValueError(f"{info.filename} of shape {shape} declares {length} bytes, "
                             f"but has {info.file_size - file.tell()}")
        data = file.read()  # to the end: the checksum is compared there
    if len(data) != length:
        raise ValueError(f"{info.filename} is cut short: {len(data)} of {length} bytes")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
