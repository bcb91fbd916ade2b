"""value_and_grad over nests of every kind, and the dtype that it keeps. The formulas are in test_gradients.py."""

import gc
from collections import namedtuple

import autograd
import autograd.numpy as np
import numpy as onp
import pytest
from checkers import assert_gradient
from test_one_page import build

from vae_np import adam, astype, bernoulli_nll, gaussian_kl, tanh, value_and_grad
from vae_np.autodiff import unbroadcast
from vae_np.nests import leaves, paths, rebuild

Pair = namedtuple("Pair", "a b")


def nest(rng):
    return {"z": [rng.standard_normal(3), (rng.standard_normal((2, 3)), ())], "a": Pair(rng.standard_normal(()), {})}


def total(p):
    a = p["a"].a if isinstance(p["a"], Pair) else p["a"]["a"]
    return np.sum(np.sin(p["z"][0]) * p["z"][1][0]) * a + np.sum(p["z"][0][1:] ** 2)


def test_the_gradient_has_the_form_of_the_parameters(rng):
    params = nest(rng)
    value, gradient = value_and_grad(total)(params)
    assert paths(gradient) == paths(params) == ["a.0", "z.0", "z.1.0"]
    assert type(gradient["a"]) is Pair and type(gradient["z"][1]) is tuple and list(gradient) == list(params)
    assert value == total(params)
    assert_gradient(total, params)


def test_it_equals_autograds_own_gradient(rng):
    params = {**nest(rng), "a": Pair(rng.standard_normal(()), {})._asdict()}
    for ours, theirs in zip(leaves(value_and_grad(total)(params)[1]), leaves(autograd.grad(total)(params))):
        onp.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_autograds_own_gradient_goes_through_a_model_as_well(rng):
    """Another's value_and_grad boxes the containers too."""
    model, x, eps = build(5, [4], 2), rng.random((3, 5)), rng.standard_normal((3, 2))
    params = astype(model.init(rng), float)
    loss = lambda p: np.mean(model.apply(p, x, eps))
    for ours, theirs in zip(leaves(value_and_grad(loss)(params)[1]), leaves(autograd.grad(loss)(params))):
        onp.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def test_a_formula_may_stand_in_two_traces_at_once(rng):
    """∂/∂s {∂/∂a tanh(a s)} = (1 − t²)(1 − 2 a s t), and ∂/∂s KL through arguments of which only one is inner."""
    a, s, mu, log_var = 0.7, 0.9, rng.standard_normal(3), rng.standard_normal(3)
    slope = lambda s: value_and_grad(lambda p: tanh.apply((), p["a"] * s))({"a": onp.array(a)})[1]["a"]
    t = onp.tanh(a * s)
    onp.testing.assert_allclose(autograd.grad(slope)(s), (1 - t**2) * (1 - 2 * a * s * t), rtol=1e-12)
    value = lambda log_var: value_and_grad(lambda p: gaussian_kl(p["mu"], log_var))({"mu": mu})[0]
    onp.testing.assert_allclose(autograd.grad(value)(log_var), 0.5 * onp.expm1(log_var), rtol=1e-12)


def test_a_step_leaves_nothing_to_the_cyclic_collector(rng):
    """A cycle of references would keep the activations of several steps: half as much memory again."""
    model, optimizer = build(5, [4], 2), adam()
    params = model.init(rng)
    state, step = optimizer.init(params), value_and_grad(lambda p, x, eps: np.mean(model.apply(p, x, eps)))
    x, eps = rng.random((3, 5), onp.float32), rng.standard_normal((3, 2), onp.float32)
    for _ in range(2):  # the first time, some things are made that stay
        gc.collect()
        gc.disable()
        try:
            optimizer.update(params, step(params, x, eps)[1], state)
            left = gc.collect()
        finally:
            gc.enable()
    assert left == 0


def test_a_leaf_used_twice_adds_and_a_leaf_not_used_is_zero(rng):
    params = {"used": rng.standard_normal(3), "idle": rng.standard_normal((2, 2))}
    _, gradient = value_and_grad(lambda p: np.sum(p["used"] ** 2) + np.sum(p["used"]))(params)
    onp.testing.assert_allclose(gradient["used"], 2 * params["used"] + 1)
    onp.testing.assert_array_equal(gradient["idle"], onp.zeros((2, 2)))
    value, gradient = value_and_grad(lambda p: 3.0)(params)
    assert value == 3.0 and not any(g.any() for g in leaves(gradient))


def test_float32_stays_float32_although_the_mean_would_promote_it(rng):
    seen = []

    def loss(p, x):
        out = np.mean(np.tanh(np.dot(x, p["W"])) ** 2)
        seen.append(out._value.dtype)
        return out

    params = {"W": rng.standard_normal((4, 3)).astype(onp.float32)}
    value, gradient = value_and_grad(loss)(params, rng.random((5, 4), onp.float32))
    assert value.dtype == seen[0] == gradient["W"].dtype == onp.float32


def test_a_second_result_is_handed_on(rng):
    params = {"a": rng.standard_normal(3)}
    loss = lambda p: (np.sum(p["a"] ** 2), {"mean": np.mean(p["a"]), "n": 3})
    (value, extra), gradient = value_and_grad(loss)(params)
    assert extra == {"mean": params["a"].mean(), "n": 3} and type(extra["mean"]) is onp.float64
    onp.testing.assert_allclose(gradient["a"], 2 * params["a"])


def test_nothing_is_changed_and_formulas_take_their_arguments_by_name(rng):
    params, x = {"l": rng.standard_normal((2, 3))}, rng.random((2, 3))
    before = params["l"].copy()
    _, by_name = value_and_grad(lambda p: np.sum(bernoulli_nll(logits=p["l"], x=x)))(params)
    _, by_place = value_and_grad(lambda p: np.sum(bernoulli_nll(x, p["l"])))(params)
    onp.testing.assert_array_equal(by_name["l"], by_place["l"])
    onp.testing.assert_array_equal(params["l"], before)


def test_formulas_work_under_autograds_own_grad(rng):
    mu = rng.standard_normal((2, 3))
    onp.testing.assert_allclose(autograd.grad(lambda m: np.sum(gaussian_kl(m, m)))(mu), mu + 0.5 * np.expm1(mu))


@pytest.mark.parametrize("loss, params, message", [
    (lambda p: None, {"a": onp.ones(3)}, "the loss returned None"),
    (lambda p: p["a"] * 2, {"a": onp.ones(3)}, r"the loss has shape \(3,\): expected a scalar"),
    (lambda p: np.sum(p["b"][0]), {"b": [onp.arange(3)]}, "parameter b.0 has dtype int64: expected floats"),
])
def test_bad_input(loss, params, message):
    with pytest.raises(ValueError, match=message):
        value_and_grad(loss)(params)


def test_nests_rebuild_and_cast(rng):
    params = nest(rng)
    again = rebuild(params, leaves(params))
    assert all(a is b for a, b in zip(leaves(again), leaves(params)))
    assert {leaf.dtype for leaf in leaves(astype(params, onp.float32))} == {onp.dtype(onp.float32)}


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 1, 3), (4, 2, 3), (1,), ()])
def test_unbroadcast_undoes_broadcasting(shape, rng):
    g = rng.standard_normal((4, 2, 3))
    padded = (1,) * (3 - len(shape)) + shape
    expected = g.sum(axis=tuple(i for i, n in enumerate(padded) if n == 1), keepdims=True).reshape(shape)
    onp.testing.assert_allclose(unbroadcast(g, shape), expected, rtol=1e-13, atol=1e-13)
