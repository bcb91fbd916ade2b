"""Speed, guarded as a ratio within one run, for absolute times say more about the machine than about the code."""

import os
import statistics
import subprocess
import sys
import time

import autograd
import autograd.numpy as np
import numpy as onp
import one_page
from autograd.misc import flatten
from test_one_page import build

from vae_np import gaussian_noise, minibatches, rmsprop, train


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def training(rng, images, bias=0.0):
    """The post's model and parameters whose output biases are `bias`, and its states in float32, batch 100."""
    model = build(784, [256], 2)
    params = model.init(rng)
    params["theta"][-1]["b"] += onp.float32(bias)
    return params, train(lambda p, x, e: np.mean(model.apply(p, x, e)), params,
                         minibatches(rng, images, 100, epochs=1000), gaussian_noise(rng, 2), rmsprop(1e-3))


def ratio_of_a_step():
    """The post's model, batch 100: float32 training beside plain autograd in float64, in turn; the median ratio."""
    rng = onp.random.default_rng(0)
    images = rng.integers(0, 256, (100, 784), dtype=onp.uint8)
    params, states = training(rng, images)
    w, unflatten = flatten(params)
    plain = autograd.value_and_grad(lambda w, x, e: np.mean(one_page.nelbo(unflatten(w), x, e)))
    state = {"w": w.astype(float), "v": 0.0}

    def plain_step():
        _, g = plain(state["w"], images / 255, rng.standard_normal((100, 2)))
        state["v"] = 0.9 * state["v"] + 0.1 * g**2
        state["w"] = state["w"] - 1e-3 * g / (np.sqrt(state["v"]) + 1e-7)

    return statistics.median([seconds(lambda: next(states)) / seconds(plain_step) for _ in range(41)])


def ratio_of_a_late_step():
    """Of a step whose pixels are all but certainly black, as at the border late in training, to one whose are not.

    At these logits ∂l = σ(l) / 100 would be denormal for every pixel."""
    rng, black = onp.random.default_rng(0), onp.zeros((100, 784), onp.uint8)
    (_, late), (_, early) = training(rng, black, -86), training(rng, black, -5)
    return statistics.median([seconds(lambda: next(late)) / seconds(lambda: next(early)) for _ in range(41)])


def in_a_process_of_its_own(function):
    """With one thread: threads that wait for each other suffer most on a busy machine."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                   "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
    statement = f"import test_speed; print(test_speed.{function.__name__}())"
    return float(subprocess.check_output([sys.executable, "-c", statement], env=environment))


def test_a_step_takes_less_than_a_fifth_of_the_one_page_versions():
    assert in_a_process_of_its_own(ratio_of_a_step) < 0.2


def test_a_late_step_takes_no_longer_than_an_early_one():
    """Nothing in it is denormal, with which the processor's arithmetic takes many times as long."""
    assert in_a_process_of_its_own(ratio_of_a_late_step) < 2


def test_importing_costs_little_beside_numpy_and_scipy():
    """Under 0.35 s more than numpy and scipy.special, each in a fresh interpreter, in turn; the median difference."""
    def fresh(statement):
        return seconds(lambda: subprocess.run([sys.executable, "-c", statement], check=True))

    more = [fresh("import vae_np") - fresh("import numpy, scipy.special") for _ in range(5)]
    assert statistics.median(more) < 0.35


if __name__ == "__main__":
    print(ratio_of_a_step(), ratio_of_a_late_step())
