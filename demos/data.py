"""Images from disk: the MNIST files beside this file, folders of IDX files, or .npz in Keras' layout. No download.

IDX is the format of MNIST and its relatives: the bytes 0 0 T R (T the type, 8 for unsigned bytes; R the number of
axes), R sizes as big-endian 32-bit integers, then the entries. Files may be gzipped.
"""

import gzip
import hashlib
import math
import os
import re
import struct
import zlib

import numpy as np

from vae_np.checkpoint import DEFLATE, read_npz

MNIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mnist")
MD5 = {"x_train": "6bbc9ace898e44ae57da46a324031adb", "y_train": "a25bea736e30d166cdddb491f175f624",
       "x_test": "2646ac647ad5339dbf082846283269ea", "y_test": "27ae3e4e09519cfbb04c329615203637"}
NAMES = {"x_train": r"train.*images", "y_train": r"train.*labels",
         "x_test": r"(t10k|test).*images", "y_test": r"(t10k|test).*labels"}
CHUNK = 1 << 20


def load(path=None):
    """x_train, y_train, x_test, y_test: images uint8 (n, h, w), or (n, d); labels (n,), or None where there are none.

    path: None for the MNIST beside this file, its checksums verified; a folder with the IDX files of a training and of
    a test set, named as MNIST's (t10k or test), plain or .gz; or a .npz with x_train and x_test, and y_train and y_test
    where there are labels. Floats must lie in [0, 1]; they become bytes.
    Raises ValueError in one line that names the file and what was expected; FileNotFoundError where there is none.
    """
    source = MNIST if path is None else path
    if not os.path.exists(source):
        raise FileNotFoundError(f"{source}: no such file; expected an .npz, or a folder of IDX files")
    arrays = _read_folder(source, MD5 if path is None else {}) if os.path.isdir(source) else read_npz(source)
    missing = [name for name in ("x_train", "x_test") if name not in arrays]
    if missing:
        raise ValueError(f"{source}: expected {' and '.join(missing)}; found {', '.join(sorted(arrays)) or 'nothing'}")
    x_train, x_test = (_images(arrays[name], f"{source}: {name}") for name in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"{source}: training images are of shape {x_train.shape[1:]}, test images of "
                         f"{x_test.shape[1:]}; expected the same")
    return (x_train, _labels(arrays.get("y_train"), len(x_train), f"{source}: y_train"),
            x_test, _labels(arrays.get("y_test"), len(x_test), f"{source}: y_test"))


def read_idx(path, md5=None):
    """The array of unsigned bytes in an IDX file, plain or .gz. Raises ValueError, naming the file, if it is not whole.

    md5: the checksum that the content must have, where it is known.
    """
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
            header = file.read(4)
            if len(header) < 4 or header[:3] != b"\0\0\x08" or header[3] not in (1, 2, 3, 4):
                raise ValueError(f"expected an IDX file of bytes, beginning with 0 0 8 and 1 to 4; got {[*header]}")
            sizes = file.read(4 * header[3])
            if len(sizes) < 4 * header[3]:
                raise ValueError(f"cut short in its header of {header[3]} axes")
            shape = struct.unpack(f">{header[3]}I", sizes)
            length = math.prod(shape)
            if length > DEFLATE * os.path.getsize(path):
                raise ValueError(f"declares {length} bytes for shape {shape}, more than the file can hold")
            data = bytearray()
            while len(data) <= length and (piece := file.read(min(CHUNK, length + 1 - len(data)))):
                data += piece
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    if len(data) != length:
        found = f"only {len(data)}" if len(data) < length else "more"
        raise ValueError(f"{path}: declares {length} bytes for shape {shape}, but has {found}")
    if md5 and _md5(header, sizes, data) != md5:
        raise ValueError(f"{path}: its checksum is not MNIST's ({md5}); restore the file, or name yours with --data")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _md5(*pieces):
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _read_folder(folder, md5):
    arrays = {}
    for name, pattern in NAMES.items():
        files = sorted(file for file in os.listdir(folder)
                       if re.search(pattern + r".*idx\d-ubyte(\.gz)?$", file, re.IGNORECASE))
        if len({file.removesuffix(".gz") for file in files}) > 1:
            raise ValueError(f"{folder}: several files for {name}: {', '.join(files)}; expected one set in a folder")
        if files:
            arrays[name] = read_idx(os.path.join(folder, files[0]), md5.get(name))
    return arrays


def _images(array, where):
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise ValueError(f"{where} has shape {array.shape}; expected (n, h, w) or (n, d)")
    if array.size == 0:
        raise ValueError(f"{where} is empty, of shape {array.shape}; expected at least one image of one pixel")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where} has dtype {array.dtype}; expected bytes, or floats in [0, 1]")
    top = 255 if array.dtype.kind in "iu" else 1
    if not (array.min() >= 0 and array.max() <= top):  # written so that a NaN fails too
        raise ValueError(f"{where} has pixels from {array.min()} to {array.max()}; expected 0 to {top}")
    return np.rint(array * (255 / top)).astype(np.uint8)


def _labels(array, count, where):
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise ValueError(f"{where} has shape {array.shape} and dtype {array.dtype}; expected {count} integers, "
                         "one for each image")
    return array
