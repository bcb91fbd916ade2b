"""Checkpoints: a nest of arrays, numbers and text as one .npz file, written whole or not at all. Never pickle.

Every array stands in the file under its path, as `vae_np.summary` prints it, so that any program that reads .npz can
use it. Of the main demo's run, 784-256-2 and back, `numpy.load("checkpoint.npz")` gives

    params.phi.0.W    (784, 256)    params.phi.2.0.W    (256, 2)      params.theta.0.W    (2, 256)
    params.phi.0.b    (256,)        params.phi.2.0.b    (2,)  μ       params.theta.0.b    (256,)
                                    params.phi.2.1.W    (256, 2)      params.theta.2.W    (256, 784)
                                    params.phi.2.1.b    (2,)  log σ²  params.theta.2.b    (784,)

in Keras' layout, (n_in, n_out); PyTorch's is the transpose. One more entry, `structure`, is JSON: the form of the nest,
and the plain values in it. `demos/to_keras.py` and `demos/to_torch.py` carry a model away by these names.
"""

import contextlib
import json
import math
import os
import warnings
import zipfile

import numpy as np

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DEFLATE = 1040  # no zip or gzip file can inflate by more than this: what declares more is not whole
CHUNK = 1 << 20


def save(path, nest):
    """Write the nest to `path`, atomically: a reader, or a crash, finds the old file or the new one, never a part.

    nest: dicts with names for keys, lists and tuples of arrays and of JSON's values (numbers, text, booleans, None).
    The same nest gives the same bytes. Raises ValueError for anything else, OSError where the disk refuses; the file
    that was there is then untouched.
    """
    arrays = {}
    structure = json.dumps(_describe(nest, "", path, arrays))
    arrays["structure"] = np.array(structure)

    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write)


# Not inside `save`, nor `_build` inside `load`: closures that call themselves are cycles of references, and would hold
# the arrays until Python's collector comes by, in training many epochs later.
def _describe(node, where, path, arrays):
    """The form of the nest, as JSON's values; its arrays go into `arrays`, under their paths."""
    if isinstance(node, dict):
        if not all(isinstance(key, str) and key.replace("_", "a").isalnum() for key in node):
            raise ValueError(f"checkpoint {path}: {where or 'the nest'} has keys {list(node)[:5]}; expected names "
                             "of letters, digits and _")
        return {"dict": {key: _describe(child, f"{where}.{key}" if where else key, path, arrays)
                         for key, child in node.items()}}
    if isinstance(node, (list, tuple)):
        kind = "tuple" if isinstance(node, tuple) else "list"
        return {kind: [_describe(child, f"{where}.{i}" if where else str(i), path, arrays)
                       for i, child in enumerate(node)]}
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


def write_atomically(path, write):
    """write(file) into `path`.tmp, flushed to the disk, then renamed over `path` in one step."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path}: not written, {error.strerror or error}; what was there before is kept") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def load(path):
    """The nest that `save` wrote, equal in form, dtype and every bit; a named tuple comes back as a tuple.

    Arrays that the structure does not name are ignored. Raises ValueError, in one line that names the file, where it is
    cut short, altered or no checkpoint, and OSError (FileNotFoundError, ...) where it cannot be opened.
    """
    arrays = read_npz(path)

    try:
        return _build(json.loads(arrays["structure"].item()), arrays)
    except KeyError as error:
        raise ValueError(f"{path}: expected a checkpoint of vae_np; it has no entry {error}") from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a checkpoint of vae_np; its structure is altered, {_line(error)}") from None


def _build(node, arrays):
    (kind, content), = node.items()
    if kind == "dict":
        return {key: _build(child, arrays) for key, child in content.items()}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_build(child, arrays) for child in content)
    return {"array": arrays.__getitem__, "value": lambda value: value}[kind](content)


def read_npz(path):
    """{name: array} of an .npz file, each length checked against what the file declares before memory is asked for.

    Raises ValueError in one line that names the file where it is not a whole .npz of plain arrays.
    """
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                names = [info.filename.removesuffix(".npy") for info in members]
                if len(set(names)) < len(names):
                    raise ValueError("it has two arrays of one name")
                declared, size = sum(info.file_size for info in members), os.fstat(file.fileno()).st_size
                if declared > DEFLATE * size:
                    raise ValueError(f"it declares {declared} bytes, more than it can hold")
                return {name: _read_member(archive, info) for name, info in zip(names, members)}
        except Exception as error:  # on bytes that lie, the parsers of zip and npy raise a dozen different kinds
            raise ValueError(f"{path}: expected a whole .npz file of plain arrays; {_line(error)}") from None


def read_bytes(file, length):
    """`length` bytes of the file, or what is left of it: the memory grows with what is there, not with what is asked.

    One copy in memory, unlike file.read() of a compressed file.
    """
    data = bytearray()
    while len(data) < length and (piece := file.read(min(CHUNK, length - len(data)))):
        data += piece
    return data


def _read_member(archive, info):
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename!r} is compressed by another method than deflate")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{info.filename!r} has .npy version {version}")
        shape, fortran, dtype = HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename!r} holds Python objects, which are never loaded")
        length = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or file.tell() + length != info.file_size:
            raise ValueError(f"{info.filename!r} of shape {shape} declares {length} bytes, "
                             f"but has {info.file_size - file.tell()}")
        data = read_bytes(file, length)  # to the end, where the checksum is compared
    if len(data) != length:
        raise ValueError(f"{info.filename!r} is cut short: {len(data)} of {length} bytes")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__
