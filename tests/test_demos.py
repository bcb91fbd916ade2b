"""Every demo runs with --quick: figures drawn, one table printed, results only where it was told to put them.

And whatever surrounds it (a notebook's shell, Ctrl-C, a missing package, `| head`), it ends without a traceback.
"""

from support import EXTRAS, common

import ast
import glob
import io
import os
import signal
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMOS = os.path.join(ROOT, "demos")
ALL = sorted(os.path.basename(path) for path in glob.glob(os.path.join(DEMOS, "*.py")))
QUICK = sorted(os.path.basename(path) for path in glob.glob(os.path.join(DEMOS, "*.py"))
               if "options(__doc__" in open(path, encoding="utf-8").read())


def environment(*packages, **variables):
    """packages: folders that come before those installed."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **variables,
            "PYTHONPATH": os.pathsep.join([*map(str, packages), ROOT])}


def run(demo, *arguments, env=None, cwd=None, stdout=subprocess.PIPE):
    return subprocess.run([sys.executable, os.path.join(DEMOS, demo), *arguments], text=True, env=env or environment(),
                          stdout=stdout, stderr=subprocess.PIPE, cwd=cwd, timeout=120)


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


@pytest.mark.parametrize("demo", ALL)
def test_support_is_the_first_import(demo):
    with open(os.path.join(DEMOS, demo), encoding="utf-8") as file:
        _, first, *_ = ast.parse(file.read()).body
    assert (first.module if isinstance(first, ast.ImportFrom) else first.names[0].name).split(".")[0] == "support"


HELP = """
import sys
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    with open(path, encoding="utf-8") as file:
        code = compile(file.read(), path, "exec", optimize=2)  # as -OO does: without docstrings
    try:
        exec(code, {"__name__": "__main__", "__file__": path, "__doc__": None})
        print("did not end:", path)
    except SystemExit as end:
        assert end.code == 0, path
"""


def test_help_whatever_the_shell_the_terminal_and_the_switches_are(tmp_path):
    """All in one process, to import the packages once; the first of them sets it up."""
    (tmp_path / "help.py").write_text(HELP)
    env = environment(DEMOS, MPLBACKEND="module://no_such_package.backend", PYTHONIOENCODING="ascii", LC_ALL="C")
    done = subprocess.run([sys.executable, "-W", "error", str(tmp_path / "help.py"),
                           *(os.path.join(DEMOS, demo) for demo in ALL)],
                          capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and done.stderr == "" and "did not end" not in done.stdout, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("usage:")] == ALL


INTERRUPTED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(20)
except BaseException:  # as what imports in C may make of it
    raise ImportError("initialization failed")
"""


@pytest.mark.parametrize("demo, package", [
    ("energies.py", "numpy"), ("mnist.py", "matplotlib"), ("to_keras.py", "keras"), ("one_page.py", "autograd")])
def test_ctrl_c_while_importing_is_one_line_and_status_130(demo, package, tmp_path):
    (tmp_path / f"{package}.py").write_text(INTERRUPTED)
    done = run(demo, env=environment(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{demo}: stopped\n")


@pytest.mark.parametrize("demo, package, extra", [
    ("mnist.py", "tqdm", "demos"), ("energies.py", "autograd", "demos"), ("one_page.py", "numpy", "demos"),
    ("flow_vae.py", "vae_np", "demos"), ("to_torch.py", "torch", "bench"), ("to_keras.py", "keras", "bench"),
    ("data_parallel.py", "mpi4py", "mpi")])
def test_a_package_that_is_missing_is_one_line_that_names_the_extra(demo, package, extra, tmp_path):
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module named {package}', name='{package}')")
    done = run(demo, env=environment(tmp_path), cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stdout == ""
    assert done.stderr.startswith(f"{demo}: error: ") and package in done.stderr and f"{extra}]" in done.stderr


def test_the_extras_are_those_of_setup_py():
    with open(os.path.join(ROOT, "setup.py"), encoding="utf-8") as file:
        call = ast.parse(file.read()).body[-1].value
    setup = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords
             if keyword.arg in ("install_requires", "extras_require")}
    required = {name.partition(">")[0] for name in setup["install_requires"]}
    for package, extra in EXTRAS.items():
        assert package in setup["extras_require"][extra] or package in {*required, "vae_np"}, package
    for packages in (required, *(setup["extras_require"][extra] for extra in ("demos", "mpi", "bench"))):
        assert {*packages} <= {*EXTRAS, "mpich"}


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE on this system")
def test_when_nobody_reads_what_it_prints_it_ends_as_any_command(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = run("energies.py", "--help", stdout=writer, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_the_bar_is_for_terminals_alone(monkeypatch):
    class Terminal(io.StringIO):
        isatty = lambda self: True

    for stream, shown in ((io.StringIO(), False), (Terminal(), True), (None, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(common.progress(range(3), 3, "steps")) == [0, 1, 2]
        assert stream is None or ("steps" in stream.getvalue()) == shown


def test_what_takes_over_a_minute_is_said_once_on_stderr(capsys):
    common.takes(60)
    common.takes(150)
    out, err = capsys.readouterr()
    assert out == "" and err == "on one core, this takes about 2 minutes; --quick, some seconds\n"


def test_neither_a_test_nor_a_notebook_is_touched():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and sys.excepthook.__module__ != "support"
