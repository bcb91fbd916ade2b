"""Checkpoints: what is saved comes back bit for bit, or not at all; never a part, never a traceback, never pickle."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile

import fuzz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kill import same

from vae_np import adam, dense, heads, relu, sequential
from vae_np.tools import checkpoint

NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
DTYPES = st.sampled_from(["f4", "f8", ">f4", "u1", "i8", "?", "c8", "f2"])
ARRAYS = st.builds(lambda dtype, shape, seed: np.random.default_rng(seed).integers(0, 2, shape).astype(dtype),
                   DTYPES, st.lists(st.integers(0, 3), max_size=3), st.integers(0, 99))
NAMES = st.from_regex(r"\A[a-z_0-9]{1,5}\Z")
NESTS = st.recursive(st.one_of(NUMBERS, ARRAYS), lambda children: st.one_of(
    st.lists(children, max_size=3), st.lists(children, max_size=3).map(tuple),
    st.dictionaries(NAMES, children, max_size=3)), max_leaves=8)
EDITS = st.lists(st.tuples(st.sampled_from(fuzz.KINDS), st.floats(0, 1), st.binary(max_size=8)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoint")


@pytest.fixture
def nest(rng):
    params = sequential(dense(3, 4), relu, heads(dense(4, 2), dense(4, 2))).init(rng)
    return {"params": params, "optimizer": adam().init(params), "streams": [rng.bit_generator.state], "epoch": 3,
            "history": [(1, 0.1), (2, float("nan"))], "name": "ε", "none": None}


@settings(max_examples=60, deadline=None)
@given(NESTS)
def test_what_is_saved_comes_back_bit_for_bit(folder, nest):
    checkpoint.save(folder / "nest.npz", nest)
    assert same(checkpoint.load(folder / "nest.npz"), nest)


def test_saving_leaves_nothing_to_the_cyclic_collector(tmp_path, rng):
    """A cycle of references would hold every epoch's parameters until the collector comes by, many epochs later."""
    nest, path = {"a": [rng.standard_normal(3), 1]}, str(tmp_path / "a.npz")
    for _ in range(2):  # the first time, some things are made that stay
        gc.collect()
        gc.disable()
        try:
            checkpoint.save(path, nest)
            left = gc.collect()
        finally:
            gc.enable()
    assert left == 0


def test_an_array_in_fortrans_order_comes_back_the_same(folder):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    checkpoint.save(folder / "fortran.npz", [array, array[:, ::2]])
    assert same(checkpoint.load(folder / "fortran.npz"), [array, array[:, ::2]])


def test_a_restored_random_stream_goes_on_where_it_stood(folder, rng, nest):
    checkpoint.save(folder / "stream.npz", nest)
    other = np.random.default_rng(1)
    other.bit_generator.state = checkpoint.load(folder / "stream.npz")["streams"][0]
    assert np.array_equal(rng.random(5), other.random(5))


def test_the_same_nest_gives_the_same_bytes(folder, nest):
    for name in ("a.npz", "b.npz"):
        checkpoint.save(folder / name, nest)
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


def test_any_program_reads_the_arrays_by_their_paths(folder, nest):
    checkpoint.save(folder / "names.npz", nest)
    with np.load(folder / "names.npz", allow_pickle=False) as file:
        assert set(file.files) >= {"params.0.W", "params.0.b", "params.2.0.W", "params.2.1.b", "structure"}
        assert np.array_equal(file["params.0.W"], nest["params"][0]["W"])
        json.loads(file["structure"].item())


def test_loaded_arrays_can_be_written_to_and_are_bounded_in_memory(folder):
    big = np.zeros(4_000_000, np.float32)  # 16 MB
    checkpoint.save(folder / "big.npz", {"a": big})
    tracemalloc.start()
    loaded = checkpoint.load(folder / "big.npz")["a"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    loaded[0] = 1
    assert peak < 1.5 * big.nbytes


@pytest.mark.parametrize("nest, message", [
    ({"a": object()}, "a is object, neither numbers nor text"),
    ({"a": {"b": np.array([None])}}, "a.b is ndarray, neither numbers nor text"),
    ({"a": np.array(["text"])}, "a is ndarray, neither"),
    ({"a.b": 1}, "keys"), ({1: 2}, "keys"), ({"": 2}, "keys"), ({"a/b": 2}, "keys"), ({"a\0": 2}, "keys"),
    ({"structure": np.zeros(2)}, "the name 'structure' is taken"),
    ({"file": np.zeros(2), "a": {1, 2}}, "a is set, neither"),
])
def test_what_cannot_be_kept_is_refused_and_the_file_untouched(folder, nest, message):
    checkpoint.save(folder / "kept.npz", {"a": 1})
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.save(folder / "kept.npz", nest)
    assert "kept.npz" in str(error.value) and "\n" not in str(error.value)
    assert checkpoint.load(folder / "kept.npz") == {"a": 1}
    assert not (folder / "kept.npz.tmp").exists()


def test_a_full_disk_leaves_the_old_file(folder, nest):
    resource = pytest.importorskip("resource", reason="no limit on the size of a file on this system")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = folder / "full.npz"
    checkpoint.save(path, nest)
    for limit in (0, 1, 100, 5000, 39_999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))  # what is beyond it fails as on a full disk
        try:
            with pytest.raises(OSError, match="full.npz: not written, .*; what was there before is kept") as error:
                checkpoint.save(path, {"a": np.zeros(10_000, np.float32)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert "\n" not in str(error.value)
        assert same(checkpoint.load(path), nest) and not (folder / "full.npz.tmp").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_the_end_of_writing_leaves_the_old_file(folder, monkeypatch, failing, failure):
    def fail(*_):
        raise failure

    checkpoint.save(folder / "end.npz", {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(type(failure)):
            checkpoint.save(folder / "end.npz", {"a": 2})
    assert checkpoint.load(folder / "end.npz") == {"a": 1} and not (folder / "end.npz.tmp").exists()


def test_a_missing_folder_is_named(folder):
    with pytest.raises(OSError, match="nowhere.*a.npz: not written, No such file"):
        checkpoint.save(folder / "nowhere" / "a.npz", {})


def test_killed_in_the_middle_of_writing_the_file_is_the_old_or_the_new_one(folder):
    path = folder / "killed.npz"
    code = ("import sys, numpy as np\nfrom vae_np.tools import checkpoint\nprint(flush=True)\n"
            "for i in range(10**6): checkpoint.save(sys.argv[1], {'i': i, 'a': np.full(10**6, i, np.float32)})")
    for delay in (0.03, 0.08, 0.15):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        loaded = checkpoint.load(path)
        assert np.all(loaded["a"] == loaded["i"])


def refused(path, content, message="expected"):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.fixture
def small(folder):
    checkpoint.save(folder / "small.npz", {"a": np.arange(3.0), "b": [1, "x"]})
    return (folder / "small.npz").read_bytes()


def test_cut_short_at_any_byte_it_is_refused(folder, small):
    for length in range(len(small)):
        refused(folder / "cut.npz", small[:length], "expected a whole .npz file of plain arrays")


def test_with_any_bit_turned_it_is_refused_or_the_same(folder, small):
    expected = checkpoint.load(folder / "small.npz")
    for i in range(len(small)):
        (folder / "bit.npz").write_bytes(small[:i] + bytes([small[i] ^ 1 << i % 8]) + small[i + 1:])
        try:
            assert same(checkpoint.load(folder / "bit.npz"), expected), f"byte {i}"
        except ValueError as error:
            assert "bit.npz" in str(error) and "\n" not in str(error), f"byte {i}"


@settings(max_examples=200, deadline=None)
@given(edits=EDITS, name=st.sampled_from([None, "structure.npy", "a.npy"]))
def test_mutated_bytes_are_read_or_refused_in_one_line_and_bounded_memory(folder, edits, name):
    checkpoint.save(folder / "whole.npz", {"a": np.arange(30.0), "b": [1, "x"]})
    content = (folder / "whole.npz").read_bytes()
    if name:
        inside = fuzz.members(content)
        content = fuzz.zipped({**inside, name: fuzz.mutated(inside[name], edits)})
    else:
        content = fuzz.mutated(content, edits)
    (folder / "mutated.npz").write_bytes(content)
    tracemalloc.start()
    try:
        checkpoint.load(folder / "mutated.npz")
    except ValueError as error:
        assert str(folder / "mutated.npz") in str(error) and "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20e6


def with_structure(small, text):
    return fuzz.zipped({**fuzz.members(small), "structure.npy": fuzz.npy(text)})


@pytest.mark.parametrize("text", [
    "", "{", "null", "3", '"x"', "[]", "{}", '{"list": 3}', '{"list": {"a": 1}}', '{"dict": [1]}', '{"array": "c"}',
    '{"array": ["a"]}', '{"array": 3}', '{"object": "a"}', '{"array": "a", "value": 1}', '{"value"}', "[" * 100_000,
    '{"list": [' * 5000 + "]}" * 5000, '{"dict": {"a": null}}', "\\ud800", "9" * 10_000])
def test_an_altered_structure_is_refused(folder, small, text):
    refused(folder / "structure.npz", with_structure(small, text), "expected a checkpoint of vae_np")


def test_a_structure_that_is_no_text_is_refused(folder, small):
    for array in (np.zeros(3), np.array(["{}", "{}"]), np.zeros((), "M8[s]"), np.array(b"\xff"), np.zeros(0)):
        refused(folder / "kind.npz", with_structure(small, array), "expected a checkpoint of vae_np")


def test_missing_and_misnamed_arrays_are_named_and_extra_ones_ignored(folder, small):
    inside = fuzz.members(small)
    refused(folder / "a.npz", fuzz.zipped({"structure.npy": inside["structure.npy"]}), "it has no entry 'a'")
    refused(folder / "a.npz", fuzz.zipped({"A.npy": inside["a.npy"], "structure.npy": inside["structure.npy"]}),
            "it has no entry 'a'")
    refused(folder / "a.npz", fuzz.zipped({"a.npy": fuzz.npy(np.zeros(3))}), "it has no entry 'structure'")
    (folder / "extra.npz").write_bytes(fuzz.zipped({**fuzz.members(small), "extra.npy": fuzz.npy(np.zeros(3))}))
    assert same(checkpoint.load(folder / "extra.npz"), checkpoint.load(folder / "small.npz"))


class Planted:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_pickled_objects_are_never_loaded(folder, small, monkeypatch):
    monkeypatch.chdir(folder)
    refused(folder / "pickle.npz", fuzz.zipped({**fuzz.members(small), "a.npy": fuzz.npy(np.array([Planted()]))}),
            "'a.npy' holds Python objects, which are never loaded")
    assert not (folder / "planted").exists()


def header(text):
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode("latin1")


@pytest.mark.parametrize("content, message", [
    (header("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,), }"), "declares 79999999992 bytes"),
    (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }") + bytes(8), "shape"),
    (header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999, 99999999999), }"), "big|large|dimen"),
    (header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"), "Python objects"),
    (header("(" * 5000), "whole"), (header("-" * 9000 + "1"), "whole"),
    (header("{'descr': __import__('os')}"), "whole"),
    (header("'''"), "whole"), (b"\x93NUMPY\3\0" + bytes(8), "version"), (b"", "whole"), (b"text", "magic"),
])
def test_a_hostile_array_header_is_refused(folder, small, content, message):
    refused(folder / "header.npz", fuzz.zipped({**fuzz.members(small), "a.npy": content}), message)


def test_a_bomb_is_refused_before_it_inflates(folder, small):
    refused(folder / "lzma.npz", fuzz.zipped(fuzz.members(small), zipfile.ZIP_LZMA), "another method than deflate")
    bomb = fuzz.zipped({"a.npy": bytes(1000)}, zipfile.ZIP_DEFLATED)
    size = (1000).to_bytes(4, "little")
    refused(folder / "bomb.npz", bomb.replace(size, (0xfffffff0).to_bytes(4, "little")), "more than it can hold")
    refused(folder / "lies.npz", bomb.replace(size, (2000).to_bytes(4, "little")), "expected a whole .npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(folder, small):
    with zipfile.ZipFile(folder / "two.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", fuzz.npy(np.zeros(2)))
    refused(folder / "two.npz", (folder / "two.npz").read_bytes(), "two arrays of one name")


def test_no_file_and_no_readable_file_are_errors_of_the_system(folder):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(folder / "none.npz")
    with pytest.raises(OSError):
        checkpoint.load(folder)
