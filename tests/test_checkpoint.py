"""Checkpoints: what is saved comes back bit for bit, in a file that any program reads; what is altered is refused."""

import base64
import gc
import json
import tracemalloc
import weakref
import zipfile
import zlib

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
OLD = """c-jl_W@gc4fB;1X|CbC}|Dk}7L4=_ou_!UOSkFK&TraPnl954xVFpw!jGpWl>KhQr$WX>mt)7xvoLr=CrJ!z;W}>d6pq`drR8o|f7oT60k_
r-cOUx-w1&SAEBo?Fs`5Hz#3dWi`3bhJk11^Xw8tj3D0}ugm0}wB82te_d-s7Kpu=*>BM1NTj<u79$%6tX)7bZaU*JsYQRapFG2=p1$UyV?;jrjakl
W9nlzbN$;&|l1`9_UV6wFTw@UZ4kxONvU9OG=AUVeUV}3{eWBvByiOks*D2z*P-&gAx#@0C6S|Cj)T_RLly96@VC~rT~Z&fw%}t=K^st4z)Q@^NO*
U7mcKj7<<EUh{N0hb5A9jI(%-{17ZUx4Ku$Mh;@+kCehg5BqV!l(d>uW1qzc=sCl3;O~n(Il)B3h$$d&V+*1bCmjiVdx_k1V;yF+ZG9wm^Mh@dtsG
IVkX&?hfm=m(s2#eWyNPbKu(_9cc1}X;%7h`C=nPQ2%0B=SnU1rqUX9lzk=0hs;8W=$&YF&h`7gWMy*Lwq5ZxS}Wpi;CET1KMk-N49zR;Hrs1r=bR
vI&HFQS=rvF`yP_0p6@^ASo6gd=I2+z&rr1rX=w""".replace("\n", "")


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


def test_a_checkpoint_of_version_1_loads(folder):
    (folder / "old.npz").write_bytes(zlib.decompress(base64.b85decode(OLD)))
    layer = {"W": np.arange(6, dtype="f4").reshape(2, 3), "b": np.zeros(3)}
    expected = {"params": [layer, (np.array(3, np.int8), None)], "epoch": 2, "name": "ε"}
    assert same(checkpoint.load(folder / "old.npz"), expected)


@pytest.mark.parametrize("work", [checkpoint.save, lambda path, nest: nest.append(checkpoint.load(path)["a"])],
                         ids=["save", "load"])
def test_arrays_are_freed_with_the_nest_not_by_the_cyclic_collector(folder, work):
    """A cycle of references would hold every epoch's arrays until the collector comes by, many epochs later."""
    checkpoint.save(folder / "cycles.npz", {"a": np.zeros(3)})
    nest = [np.ones(3)]
    gc.disable()
    try:
        work(folder / "cycles.npz", nest)
        held = weakref.ref(nest.pop())
        assert held() is None
    finally:
        gc.enable()


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
    with zipfile.ZipFile(folder / "a.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # and at any time


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
def test_what_cannot_be_kept_is_refused_and_the_file_untouched(tmp_path, nest, message):
    checkpoint.save(tmp_path / "kept.npz", {"a": 1})
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.save(tmp_path / "kept.npz", nest)
    assert "kept.npz" in str(error.value) and "\n" not in str(error.value)
    assert checkpoint.load(tmp_path / "kept.npz") == {"a": 1} and len([*tmp_path.iterdir()]) == 1


def refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.fixture
def small(folder):
    checkpoint.save(folder / "small.npz", {"a": np.arange(3.0), "b": [1, "x"]})
    return fuzz.members((folder / "small.npz").read_bytes())


@pytest.mark.parametrize("compression", [0, 8])
def test_with_any_bit_turned_it_is_refused_or_the_same(folder, small, compression):
    whole, path, expected = fuzz.zipped(small, compression), folder / "bit.npz", checkpoint.load(folder / "small.npz")
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
        try:
            assert same(checkpoint.load(path), expected), f"byte {i}"
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


@pytest.mark.parametrize("text", [
    "", "{", "null", "3", '"x"', "[]", "{}", '{"list": 3}', '{"list": {"a": 1}}', '{"dict": [1]}', '{"array": "c"}',
    '{"array": ["a"]}', '{"array": 3}', '{"object": "a"}', '{"array": "a", "value": 1}', '{"value"}', "[" * 100_000,
    '{"list": [' * 5000 + "]}" * 5000, '{"dict": {"a": null}}', "\\ud800", "9" * 10_000,
    '{"array": "' + 1000 * "a" + '"}', '{"' + 1000 * "a" + '": 3}'])
def test_an_altered_structure_is_refused(folder, small, text):
    content = fuzz.zipped({**small, "structure.npy": fuzz.npy(text)})
    refused(folder / "structure.npz", content, "expected a checkpoint of vae_np")


def test_a_structure_that_is_no_text_is_refused(folder, small):
    for array in (np.zeros(3), np.array(["{}", "{}"]), np.zeros((), "M8[s]"), np.array(b"\xff"), np.zeros(0)):
        content = fuzz.zipped({**small, "structure.npy": fuzz.npy(array)})
        refused(folder / "kind.npz", content, "expected a checkpoint of vae_np")


def test_missing_and_misnamed_arrays_are_named_and_extra_ones_ignored(folder, small):
    form, array = small["structure.npy"], small["a.npy"]
    refused(folder / "a.npz", fuzz.zipped({"structure.npy": form}), "it has no entry 'a'")
    refused(folder / "a.npz", fuzz.zipped({"A.npy": array, "structure.npy": form}), "it has no entry 'a'")
    refused(folder / "a.npz", fuzz.zipped({"a.npy": array}), "it has no entry 'structure'")
    (folder / "extra.npz").write_bytes(fuzz.zipped({**small, "extra.npy": fuzz.npy(np.zeros(3))}))
    assert same(checkpoint.load(folder / "extra.npz"), checkpoint.load(folder / "small.npz"))
