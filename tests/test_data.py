"""Images from disk: whole files in every layout are read; anything else is refused in one line naming the file."""

import gzip
import os
import tracemalloc

import fuzz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import data
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
    assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500


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
    emnist = {name: f"emnist-digits-{name_.replace('t10k', 'test')}" for name, name_ in IDX_NAMES.items()}
    assert_loads(as_folder(tmp_path / "emnist", arrays, ".gz", emnist), arrays)
    both = as_folder(tmp_path / "both", arrays)
    for name in IDX_NAMES.values():
        (both / f"{name}.gz").write_bytes(gzip.compress((both / name).read_bytes()))
    (both / "readme.txt").write_text("train images")
    assert_loads(both, arrays)


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


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7,), (1,), (3, 3, 1)])
@pytest.mark.parametrize("count", [1, 4])
def test_images_of_any_size_rows_and_a_trailing_channel(tmp_path, shape, count):
    arrays = fuzz.images(count, 1, shape)
    x_train, _, x_test, _ = data.load(as_npz(tmp_path / "a.npz", arrays))
    assert x_train.shape == (count, *shape[:2]) and x_test.shape == (1, *shape[:2])


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
    ({"y_test": np.zeros((3, 10), int)}, "y_test has shape \\(3, 10\\)"),
    ({"y_test": np.zeros(3)}, "y_test has shape \\(3,\\) and dtype float64; expected 3 integers"),
    ({"y_train": np.array([None] * 7)}, "'y_train.npy' holds Python objects, which are never loaded"),
])
def test_an_npz_that_says_something_else_is_refused(tmp_path, arrays, changed, message):
    arrays = {name: array for name, array in {**arrays, **changed}.items() if array is not None}
    refused(as_npz(tmp_path / "a.npz", arrays), message)


@pytest.mark.parametrize("content, message", [
    (b"", "it begins with \\[\\], not with 0 0 8"), (b"\0\0", "it begins with \\[0, 0\\]"),
    (b"\0\0\x0d\3" + bytes(20), "it begins with \\[0, 0, 13, 3\\]"), (b"\0\0\x08\0", "it begins with"),
    (b"\0\0\x08\x05" + bytes(40), "it begins with"), (b"PK\3\4", "it begins with"),
    (b"\0\0\x08\3\0\0", "cut short in its header"),
    (fuzz.idx(X)[:-1], "declares 112 bytes for shape \\(7, 4, 4\\), but has only 111"),
    (fuzz.idx(X) + b"\0", "declares 112 bytes for shape \\(7, 4, 4\\), but has more"),
    (b"\0\0\x08\3" + b"\xff" * 12, "more than it can hold"),
    (b"\0\0\x08\4" + bytes(4) + b"\xff" * 12, "big|large|dimension"),
    (GZ[:-1], "Compressed file ended"), (GZ[:-12], "Compressed file ended"), (GZ + b"garbage", "Not a gzipped file"),
    (b"\x1f\x8b", "Compressed file ended"), (GZ[:-8] + bytes(4) + GZ[-4:], "CRC check failed"),
    (GZ[:-4] + bytes(4), "Incorrect length"), (GZ + GZ, "but has more"),
    (gzip.compress(fuzz.idx(X)[:16] + bytes(10_000_000), mtime=0), "but has more"),
    (b"\x1f\x8b\x07" + bytes(20), "compression method"), (gzip.compress(b"", mtime=0), "it begins with \\[\\]"),
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
