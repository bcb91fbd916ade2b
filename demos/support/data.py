"""Images from disk: the MNIST files beside this file, folders of IDX files, or .npz in Keras' layout. No download.

IDX is the format of MNIST and its relatives: the bytes 0 0 T R (T the type, 8 for unsigned bytes; R the number of
axes), R sizes as big-endian 32-bit integers, then the entries. Files may be gzipped. Images are stored row by row, but
EMNIST's column by column: those of a file with "emnist" in its own or its folder's name are turned.
"""

from support import formats

import glob
import gzip
import hashlib
import math
import os
import re
import struct
import zlib

import numpy as np

from vae_np import dynamic
from vae_np.tools.files import DEFLATE, read_npz

MNIST = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "mnist")
MD5 = {"x_train": "6bbc9ace898e44ae57da46a324031adb", "y_train": "a25bea736e30d166cdddb491f175f624",
       "x_test": "2646ac647ad5339dbf082846283269ea", "y_test": "27ae3e4e09519cfbb04c329615203637"}
NAMES = {"x_train": r"train.*images", "y_train": r"train.*labels",
         "x_test": r"(t10k|test).*images", "y_test": r"(t10k|test).*labels"}
DARK = 64  # as a brightest pixel: see _refuse_dark
IDX = r".*idx\d-(ubyte|int)(\.gz)?$"


def load(path=None):
    """x_train, y_train, x_test, y_test: images uint8 (n, h, w), or (n, d); labels (n,), or None where there are none.

    path: None for the MNIST beside this file, its checksums verified; a folder with the IDX files of a training and of
    a test set, named as MNIST's (t10k or test), plain or gzipped; one above it, where it is torchvision's (MNIST/raw);
    where a folder has several sets, what the names of one begin with (gzip/emnist-letters); or a .npz with x_train and
    x_test, and y_train and y_test where there are labels. Pixels are integers from 0 to 255, or floats or booleans from
    0 to 1; they become bytes. Raises ValueError in one line that names the file and what was expected; OSError
    (FileNotFoundError, ...) where it cannot be opened.
    """
    source = MNIST if path is None else os.fspath(path)
    file = os.path.exists(source) and not os.path.isdir(source)
    found, expected, held = _read_npz(source) if file else _read_files(source, MD5 if path is None else {})
    missing = [name for name in ("x_train", "x_test") if name not in found]
    if missing:
        raise ValueError(f"{source}: expected {expected}; found no {' and no '.join(missing)}; it holds "
                         f"{', '.join(held[:6]) or 'nothing'}")
    x_train, x_test = (_images(*found[name]) for name in ("x_train", "x_test"))
    _refuse_dark(x_train, *found["x_train"])
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"{source}: training images are of shape {x_train.shape[1:]}, test images of "
                         f"{x_test.shape[1:]}; expected the same")
    y_train, y_test = (_labels(*found[name], len(x)) if name in found else None
                       for name, x in (("y_train", x_train), ("y_test", x_test)))
    return x_train, y_train, x_test, y_test


def logits_of_means(mean):
    """log m/(1 − m) of the pixels' means m, clipped to [.001, .999]: where Burda et al.'s code starts output biases."""
    mean = np.clip(mean, 0.001, 0.999)
    return np.log(mean / (1 - mean)).astype(np.float32)


def binarized(*sets, seed=0):
    """x ~ Bern(gray value), drawn once: booleans (n, d) of each set of images (n, h, w), the same for the same seed.

    Salakhutdinov & Murray's (2008) way; their own draw, which most papers share, is another one, and not on this disk.
    """
    draw = dynamic(np.random.default_rng(seed))
    return [np.concatenate([draw(part).reshape(len(part), -1) > 0 for part in np.array_split(images, 100) if len(part)])
            for images in sets]


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
                raise ValueError("it is {}; {}".format(*formats.describe(path)))
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


def read_bytes(file, length):
    """`length` bytes of the file, or what is left of it: the memory grows with what is there, not with what is asked.

    One copy in memory, unlike file.read() of a compressed file.
    """
    data = bytearray()
    while len(data) < length and (piece := file.read(min(1 << 20, length - len(data)))):
        data += piece
    return data


def _read_npz(path):
    what, advice = formats.describe(path)
    if what != formats.NPZ:
        raise ValueError(f"{path}: it is {what}; expected an .npz, or a folder of IDX files; {advice}")
    found = {name: (array, f"{path}: {name}") for name, array in read_npz(path).items()}
    return found, "arrays x_train and x_test", [f"{name} {array.shape}" for name, (array, _) in found.items()]


def _read_files(source, md5):
    found = {}
    for name, path in _set(source).items():
        array = read_idx(path, md5.get(name))
        if array.ndim == 3 and "emnist" in "/".join(os.path.abspath(path).split(os.sep)[-2:]).lower():
            array = np.ascontiguousarray(array.swapaxes(1, 2))
        found[name] = array, path
    held = [os.path.basename(path) for _, path in found.values()] or formats.first(source)
    return found, "train-images-idx3-ubyte and t10k-images-idx3-ubyte, plain or .gz", held


def _set(source):
    """{name: path} of the IDX files in a folder, in torchvision's `raw` below it, or whose names begin as `source`."""
    for below in ("/*", "/raw/*", "/*/raw/*") if os.path.isdir(source) else ("*",):
        paths = [path for path in sorted(glob.glob(glob.escape(source) + below)) if os.path.isfile(path)]
        sets = {name: [path for path in paths if re.search(pattern + IDX, os.path.basename(path), re.IGNORECASE)]
                for name, pattern in NAMES.items()}
        for name, same in sets.items():
            if len({path.removesuffix(".gz") for path in same}) > 1:
                raise ValueError(f"{source}: several files for {name}: {', '.join(same[:3])}; expected one set: name "
                                 "its folder, or how its files begin, as FOLDER/emnist-letters")
        if any(sets.values()):
            return {name: same[0] for name, same in sets.items() if same}
    if not os.path.isdir(source):
        raise FileNotFoundError(f"{source}: no such file; expected an .npz, or a folder of IDX files")
    return {}


def _images(array, where):
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[..., 0] if array.shape[3] == 1 else array[:, 0]
    if array.ndim not in (2, 3):
        raise ValueError(f"{where} has shape {array.shape}; expected (n, h, w) or (n, d), without colours")
    if array.size == 0:
        raise ValueError(f"{where} is empty, of shape {array.shape}; expected at least one image of one pixel")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where} has dtype {array.dtype}; expected integers from 0 to 255, or floats from 0 to 1")
    top, least, most = 255 if array.dtype.kind in "iu" else 1, array.min(), array.max()
    if not (least >= 0 and most <= top):  # written so that a NaN fails too
        floats = ", or floats from 0 to 1" if top == 255 else ""
        raise ValueError(f"{where} has pixels from {least} to {most}; expected 0 to {top} for {array.dtype}{floats}"
                         + _scaled(least, most))
    if top == 255 and most == 1:
        raise ValueError(f"{where} has integers 0 and 1 alone, nearly black of 255; expected binary images as booleans "
                         "or floats")
    if array.dtype == np.uint8:
        return array
    images = np.empty(array.shape, np.uint8)
    for i in range(0, len(array), 1000):  # not all at once: the intermediate floats need many times the memory
        images[i:i + 1000] = np.rint(array[i:i + 1000].astype(np.float32) * np.float32(255 / top))
    return images


def _scaled(least, most):
    """How such pixels come to lie from 0 to 1, where it is plain."""
    divisor = 255 if DARK <= most <= 255 else most
    if least == -1 and most == 1:
        return ", as (x + 1) / 2"
    return f", as x / {divisor:g}" if 0 <= least and most < np.inf else ""


def _refuse_dark(images, array, where):
    """Raise ValueError where no pixel of the training set is near white: 255, or 1.0, was not white to whoever made it.

    Integers below 64, a quarter of white, are scikit-learn's digits (0 to 16), images of 4 to 6 bits, or counts; dark
    photographs have a brighter pixel among their thousands. Floats below 1/255 were divided twice. All black is what it
    says, and a hundred pixels are a toy.
    """
    most, limit = array.max(), DARK if array.dtype.kind in "iu" else 2
    if most > 0 and images.max() < limit and images.size > 100:
        raise ValueError(f"{where} has pixels from {array.min()} to {most}, nearly black as {array.dtype}; expected "
                         "floats from 0 to 1" + _scaled(0, most))


def _labels(array, where, count):
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "iu":
        advice = {(1, count): "; y.astype(int) makes them", (2, count): "; of one-hot rows y.argmax(axis=1)"}
        raise ValueError(f"{where} has shape {array.shape} and dtype {array.dtype}; expected {count} integers, "
                         "one for each image" + advice.get((array.ndim, *array.shape[:1]), ""))
    return array
