"""Every demo runs with --quick: figures drawn, one table printed, results only where it was told to put them."""

import glob
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMOS = os.path.join(ROOT, "demos")
QUICK = sorted(os.path.basename(path) for path in glob.glob(os.path.join(DEMOS, "*.py"))
               if "common.options(" in open(path, encoding="utf-8").read())


def run(demo, *arguments, cwd=None):
    environment = {**os.environ, "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, os.path.join(DEMOS, demo), *arguments], capture_output=True, text=True,
                          env=environment, cwd=cwd, timeout=120)


@pytest.mark.parametrize("demo", QUICK)
def test_quick(demo, tmp_path):
    if demo == "data_parallel.py":
        pytest.importorskip("mpi4py", reason="mpi4py is not installed (extra 'mpi')")
    out = tmp_path / "out"
    done = run(demo, "--quick", "--seed", "1", "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "---" in done.stdout, "no table"
    assert [path for path in os.listdir(out) if path.endswith(".png")] and "run.json" in os.listdir(out)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("demo", QUICK)
def test_its_docstring_states_claim_and_reference(demo):
    with open(os.path.join(DEMOS, demo), encoding="utf-8") as file:
        text = file.read()
    assert text.startswith('"""') and len(text.split('"""')[1]) > 200


@pytest.mark.parametrize("arguments, message", [
    (["--seed", "-1"], "--seed: '-1': expected an integer of at least 0"),
    (["--out", "/dev/null"], "--out /dev/null: expected a folder"),
])
@pytest.mark.parametrize("demo", ["mnist.py", *QUICK[:1]])
def test_bad_input_is_one_line_and_status_2(demo, arguments, message):
    done = run(demo, *arguments)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.strip().splitlines()) == 1
