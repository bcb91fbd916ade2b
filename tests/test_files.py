"""Files: the old one or the new one, whole, whoever dies or writes beside; and from a broken one, one line."""

import os
import signal
import subprocess
import sys
import time
import zipfile

import fuzz
import numpy as np
import pytest

from vae_np.tools.files import read_npz, write_atomically

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WRITER = """
import os, sys, time, numpy as np
from vae_np.tools import checkpoint
os.fsync = lambda descriptor: time.sleep(0.001)  # a killed process needs no sync; a disk that takes its time
print(flush=True)
end, i = time.perf_counter() + float(sys.argv[3]), int(sys.argv[2])
while time.perf_counter() < end:
    checkpoint.save(sys.argv[1], {"a": np.full(300_000, i, np.int32)})
    i += 2
"""


def write(path, content):
    write_atomically(path, lambda file: file.write(content))


def writers(path, count, seconds):
    """Processes that save arrays of one number, again and again, to one path."""
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first), str(seconds)],
                                  stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT})
                 for first in range(count)]
    for process in processes:
        process.stdout.readline()
    return processes


def assert_whole(path):
    """The array that stands at the path is all of one number; which."""
    array = read_npz(path)["a"]
    assert array.shape == (300_000,) and (array == array[0]).all()
    return int(array[0])


def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource", reason="no limit on the size of a file on this system")
    old, path = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "full"
    write(path, b"old")
    for limit in (0, 1, 100, 5000, 39_999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))  # what is beyond it fails as on a full disk
        try:
            with pytest.raises(OSError, match="full: not written, .*; what was there before is kept") as error:
                write(path, bytes(40_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert "\n" not in str(error.value) and path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_the_end_of_writing_leaves_the_old_file(tmp_path, monkeypatch, failing, failure):
    def fail(*_):
        raise failure

    write(tmp_path / "end", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(type(failure)):
            write(tmp_path / "end", b"new")
    assert (tmp_path / "end").read_bytes() == b"old" and len([*tmp_path.iterdir()]) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere.*a: not written, No such file"):
        write(tmp_path / "nowhere" / "a", b"")


def test_it_is_on_the_disk_before_it_bears_its_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr(os, "replace", lambda old, new: calls.append(new))
    write(tmp_path / "a", b"123")
    assert calls == [3, tmp_path / "a"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        write(tmp_path / "a", b"")
        (tmp_path / "b").write_bytes(b"")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_two_writers_of_one_path_tear_nothing(tmp_path):
    path, seen, reads = tmp_path / "one.npz", set(), 0
    processes = writers(path, 2, 1)
    while any(process.poll() is None for process in processes):
        if path.exists():
            seen.add(assert_whole(path))
            reads += 1
    assert [process.wait() for process in processes] == [0, 0]
    assert reads > 10 and {i % 2 for i in seen} == {0, 1} and [*tmp_path.iterdir()] == [path]


def test_killed_in_the_middle_the_file_is_whole_and_what_is_left_goes_after_a_minute(tmp_path):
    path = tmp_path / "[killed].npz"
    for _ in range(3):
        process, = writers(path, 1, 20)
        while not path.exists() or not [*tmp_path.glob("*.tmp")]:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert_whole(path)
    (tmp_path / "[killed].npz.0123abcd.tmp").write_bytes(b"PK")
    (tmp_path / "other.npz.0123abcd.tmp").write_bytes(b"PK")
    (tmp_path / "[killed].npz.mine.tmp").write_bytes(b"mine")
    left = {file.name for file in tmp_path.glob("*.tmp")}
    write(path, b"")
    assert {file.name for file in tmp_path.glob("*.tmp")} == left  # perhaps they are being written
    for file in tmp_path.glob("*.tmp"):
        os.utime(file, (0, time.time() - 61))
    write(path, b"")
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "other.npz.0123abcd.tmp", "[killed].npz.mine.tmp"}


def refused(path, content, message="expected a whole .npz file of plain arrays"):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_npz(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500


SMALL = {"a.npy": fuzz.npy(np.arange(3.0)), "b.npy": fuzz.npy("x")}


def test_cut_short_at_any_byte_it_is_refused(tmp_path):
    whole = fuzz.zipped(SMALL)
    for length in range(len(whole)):
        refused(tmp_path / "cut.npz", whole[:length])


class Planted:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_pickled_objects_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = fuzz.zipped({**SMALL, "c.npy": fuzz.npy(np.array([Planted()]))})
    refused(tmp_path / "pickle.npz", content, "'c.npy': Object arrays cannot be loaded")
    assert not (tmp_path / "planted").exists()


def header(text):
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode("latin1")


def sized(shape):
    return header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}")


@pytest.mark.parametrize("content", [
    sized("(9999999999,)"), sized("(99999999,)"), sized("(2,)") + bytes(8), sized("(2,)") + bytes(17),
    sized("(-1, -1)") + bytes(8), sized("(-2, -3)") + bytes(48), sized("(0, 99999999999, 99999999999)"),
    header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"), header("(" * 5000), header("-" * 9000 + "1"),
    header("{'descr': __import__('os')}"), header("'''"), b"\x93NUMPY\3\0" + bytes(8), b"\x93NUMPY\7\0" + bytes(8),
    b"", b"text"])
def test_a_hostile_array_is_refused_and_its_name_told(tmp_path, content):
    resource = pytest.importorskip("resource", reason="resident memory is not told on this system")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "header.npz", fuzz.zipped({**SMALL, "c.npy": content}), "plain arrays; 'c.npy': ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB, of 800 MB and more declared


def test_a_bomb_is_refused_before_it_inflates(tmp_path):
    refused(tmp_path / "lzma.npz", fuzz.zipped(SMALL, zipfile.ZIP_LZMA), "another method than deflate")
    bomb = fuzz.zipped({"a.npy": bytes(1000)}, zipfile.ZIP_DEFLATED)
    size = (1000).to_bytes(4, "little")
    refused(tmp_path / "bomb.npz", bomb.replace(size, (0xfffffff0).to_bytes(4, "little")), "more than it can hold")
    refused(tmp_path / "lies.npz", bomb.replace(size, (2000).to_bytes(4, "little")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", SMALL["a.npy"])
    refused(tmp_path / "two.npz", (tmp_path / "two.npz").read_bytes(), "'a.npy': two arrays of one name")


def test_no_file_and_no_readable_file_are_errors_of_the_system(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(OSError):
            read_npz(path)
