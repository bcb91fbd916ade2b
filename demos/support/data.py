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

from vae_np.tools.checkpoint import DEFLATE, read_bytes, read_npz

MNIST = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "mnist")
MD5 = {"x_train": "6bbc9ace898e44ae57da46a324031adb", "y_train": "a25bea736e30d166cdddb491f175f624",
       "x_test": "2646ac647ad5339dbf082846283269ea", "y_test": "27ae3e4e09519cfbb04c329615203637"}
NAMES = {"x_train": r"train.*images", "y_train": r"train.*labels",
         "x_test": r"(t10k|test).*images", "y_test": r"(t10k|test).*labels"}


def load(path=None):
    """x_train, y_train, x_test, y_test: images uint8 (n, h, w), or (n, d); labels (n,), or None where there are none.

    path: None for the MNIST beside this file, its checksums verified; a folder with the IDX files of a training and of
    a test set, named as MNIST's (t10k or test), plain or gzipped; or a .npz with x_train and x_test, and y_train and
    y_test where there are labels. Pixels are integers from 0 to 255, or floats or booleans from 0 to 1; they become
    bytes. Raises ValueError in one line that names the file and what was expected; OSError (FileNotFoundError, ...)
    where it cannot be opened.
    """
    source = MNIST if path is None else path
    if not os.path.exists(source):
        raise FileNotFoundError(f"{source}: no such file; expected an .npz, or a folder of IDX files")
    if os.path.isdir(source):
        found = _read_folder(source, MD5 if path is None else {})
    else:
        found = {name: (array, f"{source}: {name}") for name, array in read_npz(source).items()}
    missing = [name for name in ("x_train", "x_test") if name not in found]
    if missing:
        expected = ("train-images-idx3-ubyte and t10k-images-idx3-ubyte, plain or .gz" if os.path.isdir(source) else
                    "arrays x_train and x_test")
        raise ValueError(f"{source}: expected {expected}; found no {' and no '.join(missing)}")
    x_train, x_test = (_images(*found[name]) for name in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"{source}: training images are of shape {x_train.shape[1:]}, test images of "
                         f"{x_test.shape[1:]}; expected the same")
    y_train, y_test = (_labels(*found[name], len(x)) if name in found else None
                       for name, x in (("y_train", x_train), ("y_test", x_test)))
    return x_train, y_train, x_test, y_test


def read_idx(path, md5=None):
    """The array of unsigned bytes in an IDX file, plain or gzipped. Raises ValueError, naming the file, unless whole.

    md5: the checksum that the content must have, where it is known.
    """
    try:
        with open(path, "rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"  # by what it is, not by its name: browsers unpack, and keep the .gz
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if gzipped else raw
            header = file.read(4)
            if len(header) < 4 or header[:3] != b"\0\0\x08" or header[3] not in (1, 2, 3, 4):
                raise ValueError(f"it begins with {[*header]}, not with 0 0 8 and 1 to 4")
            sizes = file.read(4 * header[3])
            if len(sizes) < 4 * header[3]:
                raise ValueError(f"it is cut short in its header of {header[3]} axes")
            shape = struct.unpack(f">{header[3]}I", sizes)
            length = math.prod(shape)
            if length > DEFLATE * os.fstat(raw.fileno()).st_size:
                raise ValueError(f"it declares {length} bytes for shape {shape}, more than it can hold")
            data = read_bytes(file, length + 1)
            if len(data) != length:
                count = f"only {len(data)}" if len(data) < length else "more"
                raise ValueError(f"it declares {length} bytes for shape {shape}, but has {count}")
            array = np.ndarray(shape, np.uint8, data)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ValueError(f"{path}: expected a whole IDX file of bytes; {' '.join(str(error).split())}") from None
    digest = hashlib.md5(header + sizes, usedforsecurity=False)
    digest.update(data)
    if md5 and digest.hexdigest() != md5:
        raise ValueError(f"{path}: its checksum is not MNIST's ({md5}); restore the file, or name yours with --data")
    return array


def _read_folder(folder, md5):
    found = {}
    for name, pattern in NAMES.items():
        files = sorted(file for file in os.listdir(folder)
                       if re.search(pattern + r".*idx\d-ubyte(\.gz)?$", file, re.IGNORECASE))
        if len({file.removesuffix(".gz") for file in files}) > 1:
            raise ValueError(f"{folder}: several files for {name}: {', '.join(files[:4])}; expected one set")
        if files:
            path = os.path.join(folder, files[0])
            found[name] = read_idx(path, md5.get(name)), path
    return found


def _images(array, where):
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise ValueError(f"{where} has shape {array.shape}; expected (n, h, w) or (n, d)")
    if array.size == 0:
        raise ValueError(f"{where} is empty, of shape {array.shape}; expected at least one image of one pixel")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where} has dtype {array.dtype}; expected integers from 0 to 255, or floats from 0 to 1")
    top, least, most = 255 if array.dtype.kind in "iu" else 1, array.min(), array.max()
    if not (least >= 0 and most <= top):  # written so that a NaN fails too
        raise ValueError(f"{where} has pixels from {least} to {most}; expected 0 to {top} for {array.dtype}")
    if top == 255 and most == 1:
        raise ValueError(f"{where} has integers 0 and 1 alone, nearly black of 255; expected binary images as booleans "
                         "or floats")
    if array.dtype == np.uint8:
        return array
    images = np.empty(array.shape, np.uint8)
    for i in range(0, len(array), 1000):  # not all at once: the intermediate floats need many times the memory
        images[i:i + 1000] = np.rint(array[i:i + 1000].astype(np.float32) * np.float32(255 / top))
    return images


def _labels(array, where, count):
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise ValueError(f"{where} has shape {array.shape} and dtype {array.dtype}; expected {count} integers, "
                         "one for each image")
    return array
