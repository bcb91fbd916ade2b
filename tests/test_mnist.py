"""The main demo as its users meet it: what it writes, stopped and resumed, killed, and given what it cannot use."""

from support import figures

import csv
import json
import os
import signal
import subprocess
import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import fuzz
import kill
import mnist
import numpy as np
import pytest
from kill import assert_same_run

from vae_np.tools import checkpoint, plots

FIGURES = ["nelbo.png", "latent_space.png", "manifold.png", "combined.png", "reconstructions.png", "samples.png",
           "manifold.gif", *(f"{name}.{ending}" for ending in ("png", "svg") for name in
                             ("decoder", "inference_network", "reparameterization", "encoder", "vae_full",
                              "vae_full_shapes"))]
SYNC = os.fsync
HEADER = "epoch,train_nelbo,test_nelbo,test_nll,test_kl,seconds"


def write_images(path, arrays):
    path.write_bytes(fuzz.zipped({f"{name}.npy": fuzz.npy(array) for name, array in arrays.items()}))
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images") / "images.npz", fuzz.images(70, 12))


@pytest.fixture
def run(capsys, monkeypatch):
    """run(*argv, drawn=False): the demo in this process, as (status, stdout, lines of stderr but the bar's)."""
    handler = signal.getsignal(signal.SIGINT)

    def call(*argv, drawn=False):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["mnist.py", *map(str, argv)])
            if os.fsync is SYNC:
                patch.setattr(os, "fsync", lambda descriptor: None)  # the disk may take its time: not the tests
            if not drawn:
                patch.setattr(figures, "draw", lambda *arguments: None)
            status = 0
            try:
                mnist.command(mnist.main, mnist.POST, [*map(str, argv)])
            except SystemExit as end:
                status = end.code
            finally:
                signal.signal(signal.SIGINT, handler)
        out, err = capsys.readouterr()
        err = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "it/s" not in line
               and "?it" not in line]
        return types.SimpleNamespace(status=status, out=out, err=err)

    return call


@pytest.fixture
def small(images, tmp_path):
    return ["--data", images, "--hidden", 5, "--batch-size", 16, "--out", tmp_path / "out"]


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def refused(result, *messages):
    assert result.status == 2 and len(result.err) == 1, result
    assert all(message in result.err[0] for message in ("error: ", *messages)), result.err[0]


def test_the_command_writes_the_history_the_checkpoint_the_figures_and_what_made_them(images, tmp_path):
    argv = ["demos/mnist.py", "--data", images, "--hidden", "5", "4", "--epochs", "2", "--out", tmp_path / "out"]
    ended = subprocess.run([sys.executable, *map(str, argv)], cwd=kill.ROOT, capture_output=True, encoding="utf-8",
                           env={**os.environ, "PYTHONPATH": str(kill.ROOT)})
    assert ended.returncode == 0, ended.stderr
    assert "epoch   2/2  train" in ended.stdout and "nats" in ended.stdout and "warn" not in ended.stderr.lower()
    contents = files(tmp_path / "out")
    assert set(contents) == {*FIGURES, "history.csv", "checkpoint.npz", "run.json"}
    for name, content in contents.items():
        start = {".png": b"\x89PNG", ".gif": b"GIF89a", ".npz": b"PK"}.get(Path(name).suffix, b"")
        assert content.startswith(start) and len(content) > 100, name
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
    lines = contents["history.csv"].decode().splitlines()
    assert lines[0] == HEADER
    rows = [list(map(float, row)) for row in csv.reader(lines[1:])]
    assert [row[0] for row in rows] == [1, 2] and all(abs(row[2] - row[3] - row[4]) < 1e-9 for row in rows)
    record = json.loads(contents["run.json"])
    assert record["command"].startswith("python demos/mnist.py --data")
    assert record["options"] | {"out": ""} == {
        "epochs": 2, "latent_dim": 2, "hidden": [5, 4], "batch_size": 100, "samples": 1, "optimizer": "rmsprop",
        "learning_rate": 0.001, "binarize": "none", "seed": 0, "data": str(images), "out": "", "resume": False}
    assert record["numpy"] == np.__version__ and {"python", "autograd", "scipy", "matplotlib", "blas"} <= set(record)
    assert "None" not in record["blas"]


PIXEL, ROWS, STRIP = fuzz.images(7, 3, (1, 1)), fuzz.images(7, 3, (10,)), fuzz.images(7, 3, (2, 9))
GRAY = fuzz.images(7, 3)


@pytest.mark.parametrize("arrays, options, said", [
    (PIXEL, [], ""), (ROWS, ["--batch-size", 1], ""), (STRIP, ["--samples", 3], ""), (fuzz.images(1, 1), [], ""),
    (fuzz.images(1, 1, (1, 1)), ["--hidden", 1, "--latent-dim", 1], "one latent dimension"),
    ({"x_train": GRAY["x_train"], "x_test": GRAY["x_test"]}, [], ""),
    ({**GRAY, "y_test": np.full(3, 7)}, [], ""), ({**GRAY, "y_test": np.array([-5, 3, 2**40])}, [], ""),
    (GRAY | {"x_train": GRAY["x_train"] * 0, "x_test": GRAY["x_test"] * 0}, ["--binarize", "dynamic"], ""),
    (GRAY | {"x_train": GRAY["x_train"] | 255}, ["--binarize", "threshold"], ""),
    (GRAY, ["--latent-dim", 5], "5 latent dimensions: latent_space.png and manifold.png show the two"),
    (fuzz.images(7, 300) | {"y_test": np.arange(300)}, [], "more than 256 different labels"),
])
@pytest.mark.filterwarnings("error", "ignore:.*deprecated", "ignore::DeprecationWarning")
def test_figures_of_any_images_and_any_latent_space(run, tmp_path, monkeypatch, arrays, options, said):
    def sketch(draw, path, size=None):  # without the layout, and small: four times as fast
        figure = plots.Figure()
        draw(figure.subplots())
        figure.savefig(path, dpi=20)

    monkeypatch.setattr(plots, "save", sketch)
    monkeypatch.setattr(plots, "animation", lambda path, draw, frames: draw(plots.Figure().subplots(), frames[-1]))
    if "--hidden" not in options:
        monkeypatch.setattr(figures, "diagrams", lambda *arguments: None)
    data = write_images(tmp_path / "a.npz", arrays)
    result = run("--data", data, "--hidden", 3, "--epochs", 1, "--out", tmp_path / "out", *options, drawn=True)
    assert result.status == 0 and result.err == [] and said in result.out, result
    assert set(FIGURES[:3]) <= set(files(tmp_path / "out"))


@pytest.mark.parametrize("options", [[], ["--samples", 3], ["--optimizer", "adam", "--latent-dim", 1, "--seed", 7],
                                     ["--binarize", "dynamic", "--batch-size", 33], ["--binarize", "threshold"]])
def test_resumed_it_ends_in_the_same_bytes_as_a_run_never_stopped(run, small, tmp_path, options):
    assert run(*small, *options, "--epochs", 9, "--out", tmp_path / "whole").status == 0
    assert run(*small, *options, "--epochs", 2).status == 0
    for epochs in (3, 9):
        assert run("--out", tmp_path / "out", "--resume", "--epochs", epochs).status == 0  # data, options: remembered
    assert_same_run(tmp_path / "out", tmp_path / "whole")
    arrays = [fuzz.members((tmp_path / name / "checkpoint.npz").read_bytes()) for name in ("out", "whole")]
    assert len(arrays[0]) > 20 and all(arrays[0][name] == arrays[1][name] for name in arrays[0]
                                       if name != "structure.npy")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(run, small, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run(*small, "--epochs", 1, "--seed", seed, "--out", tmp_path / name).status == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError, match="differ in .*params"):
        assert_same_run(tmp_path / "a", tmp_path / "c")


def test_every_image_is_trained_on_also_where_the_batch_size_does_not_divide_them(run, small, tmp_path):
    assert run(*small, "--batch-size", 33, "--epochs", 2).status == 0
    assert checkpoint.load(tmp_path / "out" / "checkpoint.npz")["step"] == 2 * 3  # 70 = 33 + 33 + 4
    assert run(*small, "--batch-size", 1000, "--epochs", 2, "--out", tmp_path / "one").status == 0
    assert checkpoint.load(tmp_path / "one" / "checkpoint.npz")["step"] == 2


def test_resume_remembers_the_epochs_and_redraws_a_finished_run(run, small, tmp_path):
    run(*small, "--epochs", 2)
    before = files(tmp_path / "out")
    result = run("--out", tmp_path / "out", "--resume")
    assert result.status == 0 and "epoch" not in result.out and "-log p(x) <= " in result.out
    assert {**files(tmp_path / "out"), "run.json": ""} == {**before, "run.json": ""}


def test_an_earlier_run_is_kept(run, small, tmp_path):
    kept = []
    for seed in range(3):
        result = run(*small, "--epochs", 1, "--seed", seed)
        assert result.status == 0 and ("is kept as checkpoint." in result.out) == (seed > 0)
        kept.append(files(tmp_path / "out"))
    for number in (1, 2):
        for name in ("checkpoint.npz", "history.csv", "run.json"):
            assert kept[2][name.replace(".", f".{number}.")] == kept[number - 1][name]


def test_ctrl_c_leaves_a_whole_checkpoint_and_history_to_go_on_from(run, small, tmp_path):
    process = kill.start(*small, "--epochs", 10**6, sync=False)  # far more than it will come to, however slow we are
    while not process.stdout.readline().startswith("epoch   3"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err, err
    done = len(kill.history(tmp_path / "out")) - 1
    assert err.endswith(f"stopped: {tmp_path}/out/checkpoint.npz holds {done} epochs; --resume goes on\n") and done >= 3
    assert run(*small, "--epochs", done + 2, "--out", tmp_path / "whole").status == 0
    assert run("--out", tmp_path / "out", "--resume", "--epochs", done + 2).status == 0
    assert_same_run(tmp_path / "out", tmp_path / "whole")


def test_ctrl_c_at_any_moment_of_training_ends_in_one_line(run, small, tmp_path, monkeypatch):
    """A moment is a call of a function, of Python's or of C's, from the first step to the end of the second epoch."""
    calls, train = [0], mnist.train

    def interrupted(moment):
        def profile(*arguments):
            calls[0] += 1
            if calls[0] == moment:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

        def begun(*arguments, **named):
            if not calls[0]:
                sys.setprofile(profile)
            return train(*arguments, **named)

        calls[0] = 0
        monkeypatch.setattr(mnist, "train", begun)
        monkeypatch.setattr(figures, "draw", lambda *arguments: sys.setprofile(None))
        return run(*small, "--epochs", 2, drawn=True)

    assert interrupted(moment=None).status == 0
    moments = calls[0]
    for moment in range(1, moments, moments // 40):
        result, saved = interrupted(moment), checkpoint.load(tmp_path / "out" / "checkpoint.npz")
        assert result.status == 130 and len(result.err) == 1, (moment, result)
        assert f"stopped: {tmp_path}/out/checkpoint.npz holds {len(saved['history'])} epochs" in result.err[0]
        assert len(kill.history(tmp_path / "out")) == 1 + len(saved["history"])


@pytest.mark.parametrize("owner, name", [(mnist.data, "load"), (mnist, "build"), (figures, "frame")])
def test_ctrl_c_before_training_says_so_in_one_line(run, small, monkeypatch, owner, name):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupted)
    result = run(*small)
    assert result.status == 130 and len(result.err) == 1 and "stopped" in result.err[0]


@pytest.mark.parametrize("owner, name, times, epochs", [(mnist, "evaluate", 2, 0), (os, "replace", 9, 0),
                                                        (figures, "draw", 1, 2)])
def test_ctrl_c_in_a_hurry_while_writing_and_after_training(run, small, monkeypatch, owner, name, times, epochs):
    """The first one waits for the end of the step, the second does not; while a file is written, all wait."""
    original = getattr(owner, name)

    def interrupted(*arguments):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(owner, name, interrupted)
    result = run(*small, "--epochs", 2, drawn=True)
    assert result.status == 130 and len(result.err) == 1 and f"holds {epochs} epochs; --resume" in result.err[0], result


def test_ctrl_c_is_ignored_where_it_was_before(run, small, monkeypatch):
    test = mnist.evaluate
    monkeypatch.setattr(mnist, "evaluate", lambda *arguments: signal.raise_signal(signal.SIGINT) or test(*arguments))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert run(*small, "--epochs", 1).status == 0


def test_killed_between_checkpoint_and_history_resume_writes_the_history(run, small, tmp_path):
    run(*small, "--epochs", 2)
    whole = kill.history(tmp_path / "out")
    (tmp_path / "out" / "history.csv").write_text(HEADER + "\n")
    assert run("--out", tmp_path / "out", "--resume").status == 0
    assert kill.history(tmp_path / "out") == whole


def test_killed_at_random_moments_it_ends_as_a_run_never_stopped(run, small, tmp_path, rng):
    run(*small, "--epochs", 60, "--out", tmp_path / "whole")
    argv = [*map(str, small), "--epochs", 60]
    argv = argv[:argv.index("--out")] + argv[argv.index("--out") + 2:]
    (tmp_path / "out").mkdir()
    for delay in (*rng.uniform(0, 0.4, 3), -0.2):
        kill.killed(tmp_path / "out", argv, delay, sync=False)
        kill.assert_whole(tmp_path / "out", tmp_path / "whole")
    assert run("--out", tmp_path / "out", "--resume").status == 0
    assert_same_run(tmp_path / "out", tmp_path / "whole")


@pytest.fixture
def earlier(run, small, tmp_path):
    """The files of a run of two epochs, which nothing that fails may touch."""
    run(*small, "--epochs", 2)
    return files(tmp_path / "out")


@pytest.mark.parametrize("options, message", [
    (["--batch-size", 0], "argument --batch-size: '0': expected an integer of at least 1"),
    (["--batch-size", 2.5], "--batch-size: '2.5'"), (["--epochs", -1], "--epochs: '-1'"),
    (["--epochs", "9" * 5000], "expected an integer"), (["--latent-dim", 0], "--latent-dim"),
    (["--hidden"], "--hidden"),
    (["--hidden", 3, 0], "--hidden: '0'"), (["--learning-rate", 0], "--learning-rate: '0': expected a positive number"),
    (["--learning-rate", "nan"], "'nan'"), (["--learning-rate", "inf"], "'inf'"), (["--samples", 0], "--samples"),
    (["--seed", -1], "--seed: '-1': expected an integer of at least 0"),
    (["--optimizer", "sgd"], "invalid choice: 'sgd'"),
    (["--binarize", "yes"], "invalid choice: 'yes'"), (["--speed", 1], "unrecognized arguments: --speed 1"),
    (["--data", "nowhere.npz"], "nowhere.npz: no such file; expected an .npz, or a folder of IDX files"),
    (["--data", __file__], "test_mnist.py: it is of a kind not known here"), (["--hidden", 10**16], ""),
    (["--resume", "--hidden", 6], "checkpoint.npz: made with --hidden [5], not [6]"),
    (["--resume", "--seed", 1], "made with --seed 0, not 1"),
    (["--resume", "--learning-rate", 0.1], "made with --learning-rate 0.001, not 0.1"),
])
def test_bad_input_ends_in_one_line_and_touches_nothing(run, small, earlier, tmp_path, options, message):
    refused(run(*small, *options), message)
    assert files(tmp_path / "out") == earlier


def test_bad_input_in_a_process_of_its_own(small, earlier, tmp_path):
    process = kill.start(*small, "--data", tmp_path)
    out, err = process.communicate()
    assert process.returncode == 2 and out == "" and err.count("\n") == 1 and f"error: {tmp_path}: expected" in err
    assert files(tmp_path / "out") == earlier


@pytest.mark.parametrize("changed", [
    {"x_train": GRAY["x_train"] + 0.5}, {"y_train": np.zeros(3, int)}, {"x_test": PIXEL["x_test"]},
    {"x_train": GRAY["x_train"][:0]}, {"x_train": np.array([None])}])
def test_bad_data_end_in_one_line_and_touch_nothing(run, small, earlier, tmp_path, changed):
    path = write_images(tmp_path / "bad.npz", {**GRAY, **changed})
    refused(run(*small, "--data", path), str(path))
    assert files(tmp_path / "out") == earlier


def test_other_data_than_the_run_was_made_from_are_refused(run, small, earlier, tmp_path):
    for n_train, seed in ((71, 0), (70, 1)):
        path = write_images(tmp_path / "other.npz", fuzz.images(n_train, 12, seed=seed))
        refused(run(*small, "--resume", "--data", path), "checkpoint.npz: made from other data")
    assert files(tmp_path / "out") == earlier


def test_an_out_that_cannot_be_written_is_named(run, small, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(run(*small, "--out", tmp_path / "file"), f"--out {tmp_path / 'file'}: expected a folder to write into")
    refused(run(*small, "--out", tmp_path / "file" / "inside"), "expected a folder to write into; Not a directory")
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_without_a_checkpoint(run, small, tmp_path):
    refused(run(*small, "--resume"), "--resume: no checkpoint at", "checkpoint.npz")
    assert not (tmp_path / "out" / "checkpoint.npz").exists()


def test_a_disk_that_fills_up_leaves_the_last_epoch(run, small, tmp_path, monkeypatch):
    run(*small, "--epochs", 4, "--out", tmp_path / "whole")
    calls = []

    def full(descriptor):
        calls.append(1)
        if len(calls) > 5:  # checkpoint, history and run.json at the start, and two for the first epoch
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(run(*small, "--epochs", 4), "checkpoint.npz: not written, No space left on device;")
    assert set(files(tmp_path / "out")) == {"checkpoint.npz", "history.csv", "run.json"}
    assert len(checkpoint.load(tmp_path / "out" / "checkpoint.npz")["history"]) == 1
    assert run("--out", tmp_path / "out", "--resume").status == 0
    assert_same_run(tmp_path / "out", tmp_path / "whole")


def test_divergence_names_the_step_and_the_parameter_and_keeps_the_last_good_checkpoint(run, small, earlier, tmp_path):
    result = run(*small, "--epochs", 3, "--learning-rate", 1e30)
    refused(result, "step 2: the loss is", "gradient not finite in", "phi.0.W", "holds the 0 epochs before")
    saved = checkpoint.load(tmp_path / "out" / "checkpoint.npz")
    assert saved["step"] == 0 and all(np.isfinite(W).all() for W in (saved["params"]["phi"][0]["W"],))
    assert files(tmp_path / "out")["checkpoint.1.npz"] == earlier["checkpoint.npz"]


def test_divergence_in_the_last_step_of_an_epoch_is_not_saved(run, small, tmp_path):
    result = run(*small, "--batch-size", 100, "--learning-rate", 1e30)
    refused(result, "step 1: the test loss after it is", "holds the 0 epochs before")
    assert kill.history(tmp_path / "out") == [HEADER.rsplit(",", 1)[0]]


def edited(nest, path, value):
    """The nest with the entry at path (such as options.seed) replaced, or dropped if the value is `del`."""
    if not path:
        return value
    key, *rest = path
    if isinstance(nest, dict):
        if not rest and isinstance(value, str) and value == "del":
            return {name: child for name, child in nest.items() if name != key}
        return {**nest, key: edited(nest.get(key), rest, value)}
    children = list(nest)
    children[int(key)] = edited(children[int(key)], rest, value)
    return type(nest)(children)


NAN = np.full((16, 5), np.nan, np.float32)


@pytest.mark.parametrize("path, value, message", [
    ("options", "del", "not a checkpoint of this demo: no options"), ("frames", "del", "no frames"),
    ("options.seed", "del", "its options are"), ("options.speed", 1, "its options are"),
    ("options", [], "its options are"),
    ("options.seed", -1, "argument --seed: '-1'"), ("options.seed", 1.5, "argument --seed"),
    ("options.hidden", [], "argument --hidden"), ("options.hidden", 5, "made with --hidden 5, not [5]"),
    ("options.hidden", [5, "-h"], "argument --hidden"),
    ("options.hidden", [6], "is float32 (16, 5), expected float32 (16, 6)"),
    ("options.optimizer", "-h", "argument --optimizer"), ("options.optimizer", "adam", "optimizer.m"),
    ("options.batch_size", "16", "made with --batch-size '16', not 16"),
    ("options.batch_size", True, "--batch-size"),
    ("options.batch_size", 70, "after 2 epochs of 1 steps at step 10; expected 2"),
    ("options.learning_rate", float("nan"), "argument --learning-rate"),
    ("data.train", [70, 17], "made from other data: train [70, 17], not [70, 16]"),
    ("data", None, "data is NoneType"),
    ("data.path", 3, "data.path is int, expected str"), ("data.path", "gone.npz", "gone.npz: no such file"),
    ("step", 11, "at step 11; expected 10"), ("step", "10", "step is str, expected int"),
    ("params.phi.0.W", NAN, "params.phi.0.W is not finite"),
    ("params.phi.0.b", "del", "params.phi.0.b is missing, expected float32 (5,)"),
    ("params.phi.0.W", NAN.astype(float) * 0, "params.phi.0.W is float64 (16, 5), expected float32 (16, 5)"),
    ("params.phi.0.W", 3.0, "params.phi.0.W is float, expected float32 (16, 5)"),
    ("params.phi.0.c", NAN, "params.phi.0.c"),
    ("params.phi", (), "params.phi"), ("params", [], "params"),
    ("optimizer.v.theta.0.W", NAN, "optimizer.v.theta.0.W is"),
    ("optimizer", {}, "optimizer.v"), ("streams", [], "streams.0"),
    ("streams.0.state.state", 2**200, "streams are no states"),
    ("streams.1.bit_generator", "MT19937", "streams are no states"), ("streams.1.state", 7, "streams.1.state is int"),
    ("streams.2", "del", "streams.2 is str"), ("history", {}, "seconds.0 is float, expected none"),
    ("history.1", (2, 1.0), "history.1.2 is missing"),
    ("history.1.0", 5, "epochs in order"), ("history.0.2", float("inf"), "history.0.2 is not finite"),
    ("seconds", [1.0], "seconds.1 is missing"), ("frames", [], "frames.0.0 is missing"),
    ("frames.0.1", np.zeros((60, 61), np.uint8), "frames.0.1 is uint8 (60, 61), expected uint8 (60, 60)"),
])
def test_an_altered_checkpoint_is_refused_on_resume(run, small, earlier, tmp_path, path, value, message):
    place = tmp_path / "out" / "checkpoint.npz"
    checkpoint.save(place, edited(checkpoint.load(place), path.split("."), value))
    before = files(tmp_path / "out")
    result = run("--out", tmp_path / "out", "--resume", "--epochs", 3)
    refused(result, message, *([] if path == "data.path" and value != 3 else [str(place)]))
    assert files(tmp_path / "out") == before


def test_a_checkpoint_of_something_else_is_refused_on_resume(run, small, earlier, tmp_path):
    place = tmp_path / "out" / "checkpoint.npz"
    for nest in ([], {}, 3, np.zeros(3), {"params": {}}):
        checkpoint.save(place, nest)
        refused(run("--out", tmp_path / "out", "--resume"), str(place), "not a checkpoint of this demo: no options,")


def test_a_checkpoint_cut_short_is_refused_on_resume(run, earlier, tmp_path):
    place = tmp_path / "out" / "checkpoint.npz"
    for length in np.linspace(0, len(earlier["checkpoint.npz"]) - 1, 12).astype(int):
        place.write_bytes(earlier["checkpoint.npz"][:length])
        refused(run("--out", tmp_path / "out", "--resume"), str(place), "expected a whole .npz file of plain arrays")
