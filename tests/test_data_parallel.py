"""Training over MPI processes: the curve does not depend on their number, and none outlives another's death."""

import csv
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("mpi4py", reason="mpi4py is not installed (extra 'mpi')")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
if MPIEXEC is None:
    pytest.skip("mpiexec is not installed (extra 'mpi')", allow_module_level=True)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, "demos", "data_parallel.py")


def start(processes, out, *arguments):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ROOT}
    return subprocess.Popen([MPIEXEC, "-n", str(processes), sys.executable, DEMO, "--out", str(out), *arguments],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_one_two_and_four_processes_learn_the_same(tmp_path):
    """Batches of 10,001 rows: neither 2 nor 4 divides them, and the last of an epoch is smaller."""
    for processes in (1, 2, 4):
        child = start(processes, tmp_path, "--steps", "7", "--batch-size", "10001", "--hidden", "16")
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    with open(tmp_path / "scaling.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["P"] for row in rows] == ["1", "2", "4"]
    losses = [float(row["last_loss"]) for row in rows]
    assert max(losses) - min(losses) <= 1e-5 * losses[0] and losses[0] < float(rows[0]["first_loss"])


@pytest.mark.parametrize("how, message", [("--fails-at", "process 2 of 3"), ("--killed-at", "")])
def test_a_process_that_dies_ends_all(how, message, tmp_path):
    child = start(3, tmp_path, "--steps", "100000", how, "3")
    output, errors = child.communicate(timeout=120)
    assert child.returncode != 0 and message in errors and output + errors
