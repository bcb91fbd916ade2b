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
    whole, params = iwae.learn(name, images, rates, 0, 0, one)
    iwae.learn(name, images, rates[:1], 0, 0, two)
    parts, others = iwae.learn(name, images, rates, 0, 0, two)
    assert same(params, others) and np.array_equal(whole[:, :2], parts[:, :2])
    assert [*whole[:, 0]] == rates and len({*whole[:, 1]}) == 3


def test_after_the_branch_each_goes_its_own_way_from_where_vae_1_stood(images, tmp_path):
    rates = [1e-3, 1e-3, 1e-4]
    other, params = iwae.learn("IWAE-5", images, rates, 2, 0, folders(tmp_path))      # trains the trunk itself
    one, ones = iwae.learn("VAE-1", images, rates, 2, 0, tmp_path)
    alone, alones = iwae.learn("VAE-1", images, rates, 0, 0, folders(tmp_path / "alone"))
    assert np.array_equal(other[:2, 1], one[:2, 1]) and other[2, 1] != one[2, 1]
    assert np.array_equal(one[:, 1], alone[:, 1]) and same(ones, alones) and not same(ones, params)
    _, unchanged = iwae.learn("IWAE-50", images, rates[:2], 2, 0, tmp_path)
    assert same(unchanged, checkpoint.load(tmp_path / "branch" / "seed0.npz")["params"])


def test_what_it_cannot_go_on_with_is_said_and_kept(images, tmp_path):
    iwae.learn("VAE-1", images, [1e-3], 0, 0, folders(tmp_path))
    path = tmp_path / "VAE-1" / "seed0.npz"
    before = path.read_bytes()
    for rates, branch, part, message in (([2e-3, 1e-3], 0, images, "its 1 epochs had other rates"),
                                         ([2e-3], 0, images, "its 1 epochs had other rates"),
                                         ([1e-3, 1e-3], 1, images, "expected a run of"),
                                         ([1e-3, 1e-3], 0, images[:40], "expected a run of")):
        with pytest.raises(ValueError, match=message):
            iwae.learn("VAE-1", part, rates, branch, 0, tmp_path)
    assert path.read_bytes() == before


def test_a_run_that_is_no_run_is_one_line(tmp_path):
    folder = folders(tmp_path) / "VAE-1"
    checkpoint.save(folder / "seed0.npz", {"rates": []})
    command = [sys.executable, iwae.__file__, "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "expected a run of" in done.stderr and done.stderr.count("\n") == 1


def test_the_judgement_of_another_run_is_not_taken_for_this_ones(images, tmp_path):
    path, x = tmp_path / "test0.npz", 1.0 * (images[:3] > 127)
    one, other = (iwae.begin(np.random.default_rng(seed), images) for seed in (0, 1))
    for foreign in ([1, 2], {"of": 0}):
        checkpoint.save(path, foreign)
        first = iwae.judge(one, x, 2, [1e-3], 0, path)
    assert same(iwae.judge(other, x, 2, [1e-3], 0, path), first)                   # kept: the same run's
    assert not same(iwae.judge(other, x, 2, [1e-4], 0, path)["nll"], first["nll"])
