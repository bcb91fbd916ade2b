"""One run in one folder: the second is told so in one line, until the first ends, also by a kill."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("fcntl", reason="no such locks on this system")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN = f"""
import sys
sys.path[:0] = [{ROOT!r}, {os.path.join(ROOT, "demos")!r}]
from support import common

def main(arguments):
    print("begun", flush=True)
    sys.stdin.readline()

common.run(main, common.options("A run.", "run"))
"""


def start(out):
    return subprocess.Popen([sys.executable, "-c", RUN, "--out", str(out)], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def begun(out):
    process = start(out)
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    return process


def test_a_second_run_in_one_folder_is_told_and_once_the_first_is_killed_another_may(tmp_path):
    first = begun(tmp_path / "out")
    second = start(tmp_path / "out")
    out, err = second.communicate("\n")
    assert (second.returncode, out) == (2, "") and os.listdir(tmp_path / "out") == []
    assert err == f"-c: error: --out {tmp_path}/out: another run writes there now; let it end, or name another folder\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert begun(tmp_path / "out").communicate("\n") == ("", "") and os.listdir(tmp_path / "out") == ["run.json"]
