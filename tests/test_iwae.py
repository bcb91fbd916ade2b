"""The IWAE demo's runs: where they start, that a stop costs an epoch at most, and what they refuse to go on with."""

from support import data

import subprocess
import sys

import iwae
import numpy as np
import pytest

from vae_np import gray
from vae_np.nests import leaves
from vae_np.tools import checkpoint


@pytest.fixture(scope="module")
def images():
    return data.load()[0][:60].reshape(60, -1)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def folders(path):
    for name in iwae.SYSTEMS:
        (path / name).mkdir(parents=True)
    return path


def test_the_output_biases_begin_at_the_logits_of_the_pixels_means(images):
    bias = iwae.begin(np.random.default_rng(0), images)["theta"][-1]["b"]
    mean = gray(images).astype(np.float64).mean(axis=0)
    assert bias.dtype == np.float32 and np.min(mean) < 0.001
    np.testing.assert_allclose(1 / (1 + np.exp(-bias.astype(np.float64))), np.clip(mean, 0.001, 0.999), rtol=1e-5)


@pytest.mark.parametrize("name", ["VAE-5", "IWAE-5"])
def test_a_run_in_two_parts_is_the_run_in_one(name, images, tmp_path):
    rates, (one, two) = [1e-3, 5e-4, 1e-4], (folders(tmp_path / part) for part in ("one", "two"))
    whole, _ = iwae.learn(name, images, rates, 0, 0, one)
    iwae.learn(name, images, rates[:1], 0, 0, two)
    parts, path = iwae.learn(name, images, rates, 0, 0, two)
    assert len(whole["losses"]) == 3 and whole["step"] == 9
    for key in whole.keys() - {"seconds"}:
        assert same(whole[key], parts[key]), key
        assert same(parts[key], checkpoint.load(path)[key]), key


def test_after_the_branch_each_goes_its_own_way_from_where_vae_1_stood(images, tmp_path):
    rates = [1e-3, 1e-3, 1e-4]
    trunk, _ = iwae.learn("VAE-1", images, rates[:2], 2, 0, folders(tmp_path))
    one, _ = iwae.learn("VAE-1", images, rates, 2, 0, tmp_path)
    other, _ = iwae.learn("IWAE-5", images, rates, 2, 0, tmp_path)
    assert one["losses"][:2] == trunk["losses"] == other["losses"][:2] and one["losses"][2] != other["losses"][2]
    unchanged, _ = iwae.learn("IWAE-50", images, rates[:2], 2, 0, tmp_path)
    assert same(unchanged["params"], trunk["params"]) and not same(one["params"], other["params"])


def test_what_it_cannot_go_on_with_is_said_and_kept(images, tmp_path):
    _, path = iwae.learn("VAE-1", images, [1e-3], 0, 0, folders(tmp_path))
    with open(path, "rb") as file:
        before = file.read()
    for rates, branch, part in (([2e-3, 1e-3], 0, images), ([1e-3, 1e-3], 1, images), ([1e-3, 1e-3], 0, images[:40])):
        with pytest.raises(ValueError, match=r"1 epochs of 60 images with other --stages or --branch"):
            iwae.learn("VAE-1", part, rates, branch, 0, tmp_path)
    with pytest.raises(FileNotFoundError, match="branch1_seed0"):
        iwae.learn("IWAE-5", images, [1e-3, 1e-3], 1, 0, tmp_path)
    with open(path, "rb") as file:
        assert file.read() == before


def test_a_run_that_is_no_run_is_one_line(tmp_path):
    folder = folders(tmp_path) / "VAE-1"
    checkpoint.save(folder / "seed0.npz", {"rates": []})
    command = [sys.executable, iwae.__file__, "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "not a run of this demo" in done.stderr and done.stderr.count("\n") == 1
