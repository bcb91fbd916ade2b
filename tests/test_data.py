"""Images from disk: whole files in every layout are read; anything else is refused in one line naming the file."""

from support import data

import gzip
import io
import json
import os
import pickle
import re
import tarfile
import tracemalloc

import fuzz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import io as scipy_io
from test_checkpoint import EDITS

IDX_NAMES = {"x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
             "x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def arrays():
    return {name: array.astype(np.uint8) for name, array in fuzz.images().items()}


def as_npz(path, arrays):
    path.write_bytes(fuzz.zipped({f"{name}.npy": fuzz.npy(array) for name, array in arrays.items()}))
    return path


def as_folder(path, arrays, ending="", names=IDX_NAMES):
    path.mkdir()
    for name, array in arrays.items():
        content = fuzz.idx(array)
        (path / (names[name] + ending)).write_bytes(gzip.compress(content) if ending else content)
    return path


def refused(path, message, reader=data.load):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        reader(path)
    line = str(error.value)
    assert str(path) in line and "\n" not in line and len(line.replace(str(path), "")) < 400


def assert_loads(path, arrays):
    for found, name in zip(data.load(path), ("x_train", "y_train", "x_test", "y_test")):
        assert (found is None) == (name not in arrays)
        assert found is None or np.array_equal(found, arrays[name])
        assert name[0] == "y" or found.dtype == np.uint8


def test_mnist_itself():
    x_train, y_train, x_test, y_test = data.load()
    assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(y_train)[:2].tolist() == [5923, 6742] and np.bincount(y_test)[:2].tolist() == [980, 1135]
    assert round(float(x_train.mean()), 4) == 33.3184  # the mean known of MNIST, 0.1307 of 255
    assert (y_train[0], y_test[0]) == (5, 7)


def test_every_layout(tmp_path, arrays):
    assert_loads(as_npz(tmp_path / "a.npz", arrays), arrays)
    assert_loads(as_folder(tmp_path / "plain", arrays), arrays)
    assert_loads(as_folder(tmp_path / "gz", arrays, ".gz"), arrays)
    dotted = {name: name_.replace("-idx", ".idx").replace("t10k", "TEST") for name, name_ in IDX_NAMES.items()}
    assert_loads(as_folder(tmp_path / "dotted", arrays, "", dotted), arrays)
    both = as_folder(tmp_path / "both", arrays)
    for name in IDX_NAMES.values():
        (both / f"{name}.gz").write_bytes(gzip.compress((both / name).read_bytes()))
    (both / "readme.txt").write_text("train images")
    assert_loads(both, arrays)


EMNIST = {split: {name: f"emnist-{split}-{idx.replace('t10k', 'test')}" for name, idx in IDX_NAMES.items()}
          for split in ("letters", "byclass")}


def test_emnists_images_stored_column_by_column_are_turned(tmp_path):
    stored = np.array([1, 3, 2, 4], np.uint8).reshape(1, 2, 2)
    arrays = {"x_train": stored, "y_train": np.array([7], np.uint8), "x_test": stored}
    for folder, names, turned in (("a", EMNIST["letters"], True), ("EMNIST", IDX_NAMES, True),
                                  ("mnist", IDX_NAMES, False)):
        x_train, y_train, x_test, _ = data.load(as_folder(tmp_path / folder, arrays, ".gz", names))
        assert x_train.tolist() == x_test.tolist() == [[[1, 2], [3, 4]] if turned else [[1, 3], [2, 4]]]
        assert y_train.tolist() == [7]
    wide = np.arange(60, dtype=np.uint8).reshape(2, 5, 6)
    loaded, *_ = data.load(as_folder(tmp_path / "wide", {"x_train": wide, "x_test": wide}, "", EMNIST["letters"]))
    assert np.array_equal(loaded, wide.swapaxes(1, 2)) and loaded.flags.c_contiguous


def test_of_several_sets_in_a_folder_one_is_named_and_none_guessed(tmp_path, arrays):
    folder = as_folder(tmp_path / "gzip", arrays, ".gz", EMNIST["letters"])
    refused(folder / "emnist-byclass", "no such file; expected an .npz, or a folder of IDX files")
    for name in arrays:
        (folder / EMNIST["byclass"][name]).write_bytes(fuzz.idx(arrays[name][:1]))
    refused(folder, "several files for x_train: .*byclass.*letters.*; expected one set: name its folder, or how its "
            "files begin, as FOLDER/emnist-letters")
    for split, count in (("letters", 7), ("byclass", 1)):
        x_train, y_train, x_test, y_test = data.load(folder / f"emnist-{split}")
        assert np.array_equal(x_train, arrays["x_train"].swapaxes(1, 2)[:count]) and len(y_train) == count


def test_torchvisions_raw_is_looked_into(tmp_path, arrays):
    (tmp_path / "root" / "MNIST").mkdir(parents=True)
    raw = as_folder(tmp_path / "root" / "MNIST" / "raw", arrays)
    for folder in (raw, raw.parent, raw.parent.parent):
        assert_loads(folder, arrays)
    (tmp_path / "root" / "KMNIST").mkdir()
    as_folder(tmp_path / "root" / "KMNIST" / "raw", arrays, ".gz")
    refused(tmp_path / "root", "several files for x_train: .*KMNIST.*/MNIST/raw.*; expected one set: name its folder")
    assert_loads(tmp_path / "root" / "KMNIST", arrays)


def test_a_file_is_gzipped_by_what_it_is_and_not_by_its_name(tmp_path, arrays):
    (tmp_path / "plain.gz").write_bytes(fuzz.idx(arrays["x_train"]))
    (tmp_path / "gzipped").write_bytes(gzip.compress(fuzz.idx(arrays["x_train"])))
    for name in ("plain.gz", "gzipped"):
        assert np.array_equal(data.read_idx(tmp_path / name), arrays["x_train"])


def test_labels_may_be_absent(tmp_path, arrays):
    for some in ({"x_train", "x_test"}, {"x_train", "x_test", "y_test"}):
        few = {name: arrays[name] for name in sorted(some)}
        assert_loads(as_npz(tmp_path / f"{len(some)}.npz", few), few)
        assert_loads(as_folder(tmp_path / f"{len(some)}", few), few)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7,), (1,), (3, 3, 1), (1, 3, 4), (1, 3, 1)])
@pytest.mark.parametrize("count", [1, 4])
def test_images_of_any_size_rows_and_a_trailing_channel(tmp_path, shape, count):
    arrays = fuzz.images(count, 1, shape)
    x_train, _, x_test, _ = data.load(as_npz(tmp_path / "a.npz", arrays))
    gray = {(1, 3, 4): (3, 4)}.get(shape, shape[:2])
    assert x_train.shape == (count, *gray) and x_test.shape == (1, *gray)


@pytest.mark.parametrize("value", [0, 255])
def test_all_black_and_all_white(tmp_path, value):
    arrays = {name: np.full((2, 3, 3), value, np.uint8) for name in ("x_train", "x_test")}
    assert_loads(as_npz(tmp_path / "a.npz", arrays), arrays)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i8", "u2", "?"])
def test_floats_integers_and_booleans_become_the_same_bytes(tmp_path, arrays, dtype):
    grey = arrays["x_train"] if dtype != "?" else 255 * (arrays["x_train"] > 99).astype(np.uint8)
    scaled = (grey / 255).astype(dtype) if np.dtype(dtype).kind in "f?" else grey.astype(dtype)
    loaded = data.load(as_npz(tmp_path / "a.npz", {"x_train": scaled, "x_test": scaled}))
    assert loaded[0].dtype == np.uint8 and np.array_equal(loaded[0], grey)


@pytest.mark.parametrize("dtype, brightest", [("u1", 64), ("u1", 250), ("i8", 90), ("f4", 0.01), ("f8", 0.25)])
def test_dark_data_are_read(tmp_path, dtype, brightest):
    x = np.zeros((5, 8, 8), dtype)
    x[2, 3, 4] = brightest
    x_train, *_ = data.load(as_npz(tmp_path / "a.npz", {"x_train": x, "x_test": x}))
    assert x_train.max() == np.rint(brightest * (255 if x.dtype.kind == "f" else 1))
    bright = np.maximum(x, 1 if x.dtype.kind == "f" else 255)
    _, _, x_test, _ = data.load(as_npz(tmp_path / "a.npz", {"x_train": bright, "x_test": x // 9}))  # the test set alone
    assert np.array_equal(x_test[2] > 0, x[2] // 9 > 0)


@pytest.mark.parametrize("dtype, brightest, message", [
    ("u1", 16, "x_train has pixels from 0 to 16, nearly black as uint8; expected floats from 0 to 1, as x / 16"),
    ("i8", 15, "nearly black as int64; .* x / 15"), ("u1", 63, "nearly black as uint8; .* x / 63"),
    ("f8", 1 / 255, "to 0.0039.*, nearly black as float64; expected floats from 0 to 1, as x / 0.00392157"),
    ("f4", 1e-9, "nearly black as float32"), ("f8", 16, "to 16.0; expected 0 to 1 for float64, as x / 16$"),
    ("f8", 255, "to 255.0; expected 0 to 1 for float64, as x / 255$"), ("f4", 250, "for float32, as x / 255$"),
    ("u2", 65535, "to 65535; expected 0 to 255 for uint16, or floats from 0 to 1, as x / 65535$"),
])
def test_white_that_is_not_255_is_refused_with_what_to_divide_by(tmp_path, dtype, brightest, message):
    x = np.zeros((5, 8, 8), dtype)
    x[2, 3, 4] = brightest
    refused(as_npz(tmp_path / "a.npz", {"x_train": x, "x_test": x}), message)
    divided = x / float(re.search(r"x / (\S+)", str(pytest.raises(ValueError, data.load, tmp_path / "a.npz").value))[1])
    x_train, *_ = data.load(as_npz(tmp_path / "b.npz", {"x_train": divided, "x_test": divided}))
    assert x_train.max() == (250 if brightest == 250 else 255)


def test_labels_as_a_column_are_taken(tmp_path, arrays):
    loaded = data.load(as_npz(tmp_path / "a.npz", {**arrays, "y_train": arrays["y_train"][:, None]}))
    assert np.array_equal(loaded[1], arrays["y_train"])


X = np.full((7, 4, 4), 9, np.uint8)
GZ = gzip.compress(fuzz.idx(X), mtime=0)
NAN = np.where(np.arange(112).reshape(7, 4, 4) == 50, np.nan, 0.5)


@pytest.mark.parametrize("changed, message", [
    ({"x_train": None}, "expected arrays x_train and x_test; found no x_train"),
    ({"x_train": None, "x_test": None}, "found no x_train and no x_test"),
    ({"x_train": X[:0]}, "x_train is empty, of shape \\(0, 4, 4\\); expected at least one image"),
    ({"x_test": X[:, :0]}, "x_test is empty, of shape \\(7, 0, 4\\)"),
    ({"x_test": X[:, :3]}, "training images are of shape \\(4, 4\\), test images of \\(3, 4\\); expected the same"),
    ({"x_test": X.reshape(7, 16)}, "expected the same"),
    ({"x_train": X[0, 0]}, "x_train has shape \\(4,\\); expected \\(n, h, w\\) or \\(n, d\\)"),
    ({"x_train": np.uint8(3)}, "x_train has shape \\(\\)"),
    ({"x_train": np.zeros((7, 4, 4, 3), np.uint8)}, "x_train has shape \\(7, 4, 4, 3\\)"),
    ({"x_train": X + 0.5}, "x_train has pixels from 9.5 to 9.5; expected 0 to 1 for float64"),
    ({"x_train": -(X / 255)}, "x_train has pixels from -0.03"),
    ({"x_train": NAN}, "x_train has pixels from nan to nan"),
    ({"x_train": np.where(NAN > 0, np.inf, 0.5)}, "x_train has pixels from 0.5 to inf"),
    ({"x_train": X.astype(int) * 100}, "x_train has pixels from 900 to 900; expected 0 to 255 for int64"),
    ({"x_train": -X.astype(int)}, "x_train has pixels from -9"),
    ({"x_train": X // 9}, "x_train has integers 0 and 1 alone, nearly black of 255; expected binary images as"),
    ({"x_train": X.astype(complex)}, "x_train has dtype complex128"),
    ({"x_train": X.astype("U3")}, "x_train has dtype <U3"),
    ({"y_train": np.arange(6)}, "y_train has shape \\(6,\\) and dtype int64; expected 7 integers, one for each image"),
    ({"y_test": np.zeros((3, 10), int)}, "y_test has shape \\(3, 10\\) .*; of one-hot rows y.argmax\\(axis=1\\)$"),
    ({"y_test": np.zeros(3)}, "y_test has shape \\(3,\\) and dtype float64; expected 3 integers.*; y.astype\\(int\\)"),
    ({"y_test": np.array(["1", "2", "3"])}, "y_test has .* dtype <U1; expected 3 integers.*; y.astype\\(int\\)"),
    ({"x_train": np.linspace(-1, 1, 112).reshape(7, 4, 4)}, "x_train has pixels from -1.0 .* as \\(x \\+ 1\\) / 2$"),
    ({"x_train": None, "images": X}, "found no x_train; it holds y_train \\(7,\\), x_test .*, images \\(7, 4, 4\\)"),
    ({"y_train": np.array([None] * 7)}, "'y_train.npy': Object arrays cannot be loaded"),
])
def test_an_npz_that_says_something_else_is_refused(tmp_path, arrays, changed, message):
    arrays = {name: array for name, array in {**arrays, **changed}.items() if array is not None}
    refused(as_npz(tmp_path / "a.npz", arrays), message)


@pytest.mark.parametrize("content, message", [
    (b"", "it is an empty file; fetch it again"), (b"\0\0", "of a kind not known here, beginning with b'.x00.x00'"),
    (b"\0\0\x0d\3" + bytes(20), "it is an IDX file of other numbers than bytes"),
    (b"\0\0\x08\0", "of a kind not known"), (b"\0\0\x08\x05" + bytes(40), "of a kind not known"),
    (b"PK\3\4", "it is a zip or .npz file that is cut short"),
    (b"<!DOCTYPE html><html>", "it is an HTML page; it came in the file's place: fetch it again"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is a git-lfs pointer.* 'git lfs pull'"),
    (b"\0\0\x08\3\0\0", "cut short in its header"),
    (fuzz.idx(X)[:-1], "declares 112 bytes for shape \\(7, 4, 4\\), but has only 111"),
    (fuzz.idx(X) + b"\0", "declares 112 bytes for shape \\(7, 4, 4\\), but has more"),
    (b"\0\0\x08\3" + b"\xff" * 12, "more than it can hold"),
    (b"\0\0\x08\4" + bytes(4) + b"\xff" * 12, "big|large|dimension"),
    (GZ[:-1], "Compressed file ended"), (GZ[:-12], "Compressed file ended"), (GZ + b"garbage", "Not a gzipped file"),
    (b"\x1f\x8b", "Compressed file ended"), (GZ[:-8] + bytes(4) + GZ[-4:], "CRC check failed"),
    (GZ[:-4] + bytes(4), "Incorrect length"), (GZ + GZ, "but has more"),
    (gzip.compress(fuzz.idx(X)[:16] + bytes(10_000_000), mtime=0), "but has more"),
    (b"\x1f\x8b\x07" + bytes(20), "compression method"), (gzip.compress(b"", mtime=0), "it is an empty file, gzipped"),
])
def test_an_idx_file_that_is_not_whole_is_refused(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    refused(tmp_path / "file", "expected a whole IDX file of bytes; .*" + message, data.read_idx)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_cut_short_at_any_byte_it_is_refused(tmp_path):
    for content in (fuzz.idx(X), GZ):
        for length in range(len(content)):
            (tmp_path / "cut").write_bytes(content[:length])
            refused(tmp_path / "cut", "expected a whole IDX file", data.read_idx)


def tar(name, content):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def saved(save, *arguments):
    """What `save(file, *arguments)` writes."""
    file = io.BytesIO()
    save(file, *arguments)
    return file.getvalue()


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
ROWS = np.column_stack([np.arange(20) % 10, IMAGES.reshape(20, 16)])
CSV = "\n".join(",".join(map(str, row)) for row in ROWS).encode()
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(16))]).encode() + b"\n"
PAIRS = (IMAGES[5:] / 255, np.arange(15)), (IMAGES[:5] / 255, np.arange(5))
ARFF = b"% digits\n@relation d\n" + b"".join(b"@attribute a%d real\n" % i for i in range(16)) + (
    b"@attribute class {0,1}\n@data\n") + b"".join(b",".join(b"%.8f" % v for v in row) + b",1\n"
                                                  for row in IMAGES.reshape(20, 16) / 255)


@pytest.mark.parametrize("name, content, message", [
    ("train.csv", b"", "it is an empty file; .*; fetch it again"),
    ("a.npz", b"version https://git-lfs.github.com/spec/v1\noid", "it is a git-lfs pointer, not the file itself"),
    ("a.npz", b"\n  <!DOCTYPE html>\n<html>", "it is an HTML page; .*; it came in the file's place: fetch it again"),
    ("a.npz", b"\xef\xbb\xbf<HTML>", "it is an HTML page"), ("a.gz", gzip.compress(b"<html>"), "an HTML page, gzipped"),
    ("a.npz", b"<?xml version='1.0'?><Error>", "it is an XML page"),
    ("train-images-idx3-ubyte", fuzz.idx(X), "it is one IDX file; .*; name the folder in which it lies"),
    ("train-images-idx3-ubyte.gz", GZ, "it is one IDX file, gzipped; .*; name the folder in which it lies"),
    ("a-idx2-int", b"\0\0\x0c\2" + bytes(20), "it is an IDX file of other numbers than bytes"),
    ("mnist.zip", fuzz.zipped({"train-images-idx3-ubyte": fuzz.idx(X)}), "it is a zip archive; .*; unpack it"),
    ("a.npz", fuzz.zipped({"x_train.npy": fuzz.npy(X)})[:-30], "it is a zip or .npz file that is cut short"),
    ("a.gz", GZ[:20], "it is a gzip file that is cut short"),
    ("a.tar", tar("a", b"b"), "it is a tar archive; .*; unpack it"),
    ("a.tar.gz", gzip.compress(tar("a", b"b")), "it is a tar archive, gzipped; .*; unpack it"),
    ("a.xz", b"\xfd7zXZ\0", "it is packed by bzip2, xz"), ("a.7z", b"7z\xbc\xaf\x27\x1c", "it is packed by"),
    ("a.pt", fuzz.zipped({"a/data.pkl": b"", "a/data/0": b""}), "it is a PyTorch file; .* torch.load\\('.*a.pt'\\)"),
    ("a.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j", "it is a PyTorch file; .*import numpy, torch; x = torch.load"),
    ("a.h5", b"\x89HDF\r\n\x1a\n", "it is an HDF5 file; .*import numpy, h5py; x = h5py.File"),
    ("a.mat", b"MATLAB 7.3 MAT-file", "it is an HDF5 file; .*import numpy, h5py; x = h5py.File"),
    ("a.parquet", b"PAR1\x15", "it is a Parquet file; .*pandas.read_parquet"),
    ("a.svm", b"5 153:3 154:18 155:18\n", "it is a libsvm file; .*load_svmlight_file"),
    ("a.npz", b"\x01\x02garbage", "of a kind not known here, beginning with b'.x01.x02garbag'; .*; make an .npz"),
    ("a.txt", b"Dear reader, these are digits.", "of a kind not known here, beginning with b'Dear rea'"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_file_of_another_kind_is_called_by_its_name_whatever_its_own(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)
    assert "zip file" not in message or "cut short" in message


@pytest.mark.parametrize("name, content, what", [
    ("train.csv", HEADER + CSV, "a .csv table"), ("mnist_train.csv", CSV, "a .csv table"),
    ("train.csv.gz", gzip.compress(HEADER + CSV), "a .csv table, gzipped"),
    ("a.npy", fuzz.npy(IMAGES), "a single array, .npy"), ("a.npy", gzip.compress(fuzz.npy(IMAGES)), ".npy, gzipped"),
    ("a.mat", saved(scipy_io.savemat, {"NAME": IMAGES}), "a MATLAB file"),
    ("mnist.pkl", pickle.dumps(PAIRS), "a pickle"), ("mnist.pkl", pickle.dumps(PAIRS, protocol=0), "a pickle"),
    ("mnist.pkl.gz", gzip.compress(pickle.dumps((PAIRS[0], ((), ()), PAIRS[1]), protocol=2)), "a pickle, gzipped"),
    ("a.amat", saved(np.savetxt, IMAGES.reshape(20, 16) / 255), "numbers as text"),
    ("a.json", json.dumps((IMAGES / 255).tolist()).encode(), "a JSON file"), ("a.arff", ARFF, "an ARFF file"),
])
def test_the_python_that_is_advised_makes_an_npz_of_it(tmp_path, monkeypatch, name, content, what):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, f"it is .*{what}; expected an .npz, or a folder of IDX files; .*import ")
    code = re.search("import .*", str(pytest.raises(ValueError, data.load, tmp_path / name).value)).group()
    monkeypatch.chdir(tmp_path)
    exec(code.replace("1000", "5"), {})
    x_train, y_train, x_test, y_test = data.load("data.npz")
    assert np.array_equal(np.concatenate([x_test, x_train]).reshape(IMAGES.shape), IMAGES)
    if y_train is not None:
        assert y_train.tolist() == [i % 10 if "csv" in name else i - 5 for i in range(5, 20)]


def test_a_folder_of_other_files_is_told_what_the_first_is(tmp_path, monkeypatch):
    (tmp_path / "png" / "0").mkdir(parents=True)
    (tmp_path / "png" / ".DS_Store").write_bytes(b"")
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / "png" / "0" / f"{i:02}.png")
    refused(tmp_path / "png", "found no x_train and no x_test; it holds 0/00.png, 0/01.png, 0/02.png, the first is a "
            "picture \\(PNG, JPEG, ...\\); import ")
    refused(tmp_path / "png" / "0" / "00.png", "it is a picture .*; expected an .npz, or a folder of IDX.*; import ")
    code = re.search("import .*", str(pytest.raises(ValueError, data.load, tmp_path / "png").value)).group()
    monkeypatch.chdir(tmp_path)
    exec(code.replace("1000", "5"), {})
    assert np.array_equal(data.load("data.npz")[0], IMAGES[5:])
    as_folder(tmp_path / "npz", {})
    as_npz(tmp_path / "npz" / "mnist.npz", {"x_train": X, "x_test": X})
    refused(tmp_path / "npz", "it holds mnist.npz, the first is an .npz file; name the file, not its folder")


def test_folders_that_are_not_a_set_are_refused(tmp_path, arrays):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "expected train-images-idx3-ubyte .*; found no x_train and no x_test")
    refused(as_folder(tmp_path / "half", {"x_train": arrays["x_train"]}), "found no x_test")
    two = as_folder(tmp_path / "two", arrays)
    (two / "emnist-train-images-idx3-ubyte").write_bytes(fuzz.idx(arrays["x_train"]))
    refused(two, "several files for x_train: .*; expected one set")
    refused(tmp_path / "none", "no such file; expected an .npz, or a folder of IDX files")
    labels = as_folder(tmp_path / "labels", {**arrays, "y_test": arrays["y_test"][:2]})
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte has shape \\(2,\\) .*; expected 3 integers"):
        data.load(labels)
    swapped = as_folder(tmp_path / "swapped", {**arrays, "x_test": arrays["y_test"]})
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte has shape \\(3,\\)"):
        data.load(swapped)


def test_altered_mnist_is_refused(tmp_path, monkeypatch):
    for name in os.listdir(data.MNIST):
        os.symlink(os.path.join(data.MNIST, name), tmp_path / name)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100] ^= 1
    path.unlink()
    path.write_bytes(gzip.compress(content, 1))
    monkeypatch.setattr(data, "MNIST", str(tmp_path))
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte.gz: its checksum is not MNIST's"):
        data.load()
    assert data.load(tmp_path)[3][92] == content[100]  # as one's own data they are welcome


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error_of_the_system(tmp_path, arrays):
    path = as_npz(tmp_path / "a.npz", arrays)
    path.chmod(0)
    with pytest.raises(PermissionError):
        data.load(path)


@settings(max_examples=200, deadline=None)
@given(edits=EDITS, form=st.sampled_from(["idx", "gz", "inside gz", "npz", "deflated", *IDX_NAMES]))
def test_mutated_bytes_are_read_or_refused_in_one_line_and_bounded_memory(folder, edits, form):
    whole = fuzz.idx(X)
    inside = {f"{name}.npy": fuzz.npy(array) for name, array in fuzz.images().items()}
    if form in IDX_NAMES:
        inside[f"{form}.npy"] = fuzz.mutated(inside[f"{form}.npy"], edits)
    content = {"idx": lambda: fuzz.mutated(whole, edits), "gz": lambda: fuzz.mutated(gzip.compress(whole), edits),
               "inside gz": lambda: gzip.compress(fuzz.mutated(whole, edits)),
               "npz": lambda: fuzz.mutated(fuzz.zipped(inside), edits),
               "deflated": lambda: fuzz.mutated(fuzz.zipped(inside, 8), edits)}.get(form, lambda: fuzz.zipped(inside))()
    path = folder / "mutated"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        (data.read_idx if form in ("idx", "gz", "inside gz") else data.load)(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20e6


def test_binarized_once_is_the_same_draw_with_the_gray_value_as_probability():
    gray = np.tile(np.array([0, 51, 255], np.uint8), (20_000, 1)).reshape(-1, 1, 3)
    (x, y), (again, _) = data.binarized(gray, gray), data.binarized(gray, gray[:7])
    assert x.shape == (20_000, 3) and x.dtype == bool and np.array_equal(x, again)
    assert not np.array_equal(x, y) and not np.array_equal(x, data.binarized(gray, seed=1)[0])
    assert not x[:, 0].any() and x[:, 2].all() and abs(x[:, 1].mean() - 0.2) < 4 * np.sqrt(0.16 / 20_000)
    assert data.binarized(gray[:7])[0].shape == (7, 3)
