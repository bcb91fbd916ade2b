"""RMSprop and Adam: two steps by hand, a valley to walk down, nests of every kind, nothing changed in place."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from vae_np import adam, rmsprop
from vae_np.nests import leaves


def test_two_steps_of_rmsprop_by_hand():
    optimizer, p, g1, g2 = rmsprop(0.1, rho=0.9, epsilon=1e-7), 2.0, 3.0, -1.0
    v1 = 0.1 * 3.0**2
    p1 = p - 0.1 * 3.0 / (v1**0.5 + 1e-7)
    v2 = 0.9 * v1 + 0.1 * 1.0
    p2 = p1 + 0.1 * 1.0 / (v2**0.5 + 1e-7)
    params, state = optimizer.update([np.array(p)], [np.array(g1)], optimizer.init([np.array(p)]))
    np.testing.assert_allclose(params[0], p1, rtol=1e-14)
    params, state = optimizer.update(params, [np.array(g2)], state)
    np.testing.assert_allclose([params[0], state["v"][0]], [p2, v2], rtol=1e-14)


def test_rmsprops_epsilon_stands_outside_the_root():
    params, _ = rmsprop(1.0, epsilon=0.5).update([np.zeros(1)], [np.ones(1)], {"v": [np.zeros(1)]})
    np.testing.assert_allclose(params[0], -1 / (np.sqrt(0.1) + 0.5), rtol=1e-14)


def test_two_steps_of_adam_by_hand():
    optimizer, p, g1, g2 = adam(0.1), 2.0, 3.0, -1.0
    p1 = p - 0.1 * 3.0 / (3.0 + 1e-8)                           # m̂ = g, v̂ = g²
    m2, v2 = 0.9 * 0.3 - 0.1, 0.999 * 0.009 + 0.001
    p2 = p1 - 0.1 * (m2 / (1 - 0.81)) / ((v2 / (1 - 0.998001)) ** 0.5 + 1e-8)
    params, state = optimizer.update([np.array(p)], [np.array(g1)], optimizer.init([np.array(p)]))
    np.testing.assert_allclose(params[0], p1, rtol=1e-14)
    params, state = optimizer.update(params, [np.array(g2)], state)
    np.testing.assert_allclose([params[0], state["m"][0], state["v"][0]], [p2, m2, v2], rtol=1e-12)
    assert state["t"] == 2


@pytest.mark.parametrize("make", [rmsprop, adam])
def test_three_steps_of_arrays_of_every_shape_follow_the_textbook(make, rng):
    params = {"big": rng.standard_normal((3, 5000)), "small": rng.standard_normal(7), "none": np.zeros((0, 2)),
              "scalar": np.array(1.5)}
    optimizer = make(0.01)
    state, expected = optimizer.init(params), [leaf.copy() for leaf in leaves(params)]
    m, v = [0.0] * 4, [0.0] * 4
    for t in (1, 2, 3):
        gradient = {key: rng.standard_normal(p.shape) for key, p in params.items()}
        params, state = optimizer.update(params, gradient, state)
        for i, g in enumerate(leaves(gradient)):
            if make is rmsprop:
                v[i] = 0.9 * v[i] + 0.1 * g**2
                expected[i] = expected[i] - 0.01 * g / (np.sqrt(v[i]) + 1e-7)
            else:
                m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g**2
                expected[i] = expected[i] - 0.01 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    for found, wanted in zip(leaves(params), expected):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("optimizer, steps", [(adam(0.02), 4000), (rmsprop(1e-3), 20_000)])
def test_rosenbrocks_valley(optimizer, steps):
    params = {"x": np.array([-1.2, 1.0])}
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = optimizer.update(params, {"x": rosen_der(params["x"])}, state)
    assert rosen(params["x"]) < 1e-2


@pytest.mark.parametrize("make", [rmsprop, adam])
def test_nothing_is_changed_in_place_and_dtypes_stay(make, rng):
    params = [rng.standard_normal((2, 3)).astype(np.float32), (rng.standard_normal(4),)]
    copies, optimizer = [leaf.copy() for leaf in leaves(params)], make(0.1)
    state = optimizer.init(params)
    new, new_state = optimizer.update(params, params, state)
    newer, _ = optimizer.update(new, new, new_state)
    for old, copy in zip(leaves(params), copies):
        np.testing.assert_array_equal(old, copy)
    assert not any(leaf.any() for leaf in leaves(state["v"]))
    assert [leaf.dtype for leaf in leaves(newer)] == [np.float32, np.float64] and type(newer[1]) is tuple


@pytest.mark.parametrize("make", [rmsprop, adam])
@pytest.mark.parametrize("rate", [0, -1e-3, float("nan"), float("inf")])
def test_a_learning_rate_that_is_not_positive(make, rate):
    with pytest.raises(ValueError, match="learning rate .*: expected a positive number"):
        make(rate)


@pytest.mark.parametrize("call, message", [
    (lambda p: adam().update(p, p, rmsprop().init(p)), "adam: .*another optimizer's"),
    (lambda p: rmsprop().update(p, p, adam().init(p)), "rmsprop: .*another optimizer's"),
    (lambda p: adam().update(p, [p[0][:1]], adam().init(p)), r"the gradient \[\(1,\)\]"),
    (lambda p: adam().update(p, p, adam().init([p[0][:1]])), r"the state \[\(1,\)\]"),
    (lambda p: adam().update(p, [], adam().init(p)), r"the gradient \[\]"),
])
def test_what_does_not_fit_the_parameters(call, message):
    with pytest.raises(ValueError, match=message):
        call([np.ones(3)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [rmsprop, adam])
def test_what_no_gradient_feeds_decays_to_zero_through_no_denormal_number_and_moves_as_by_the_bare_rule(make, dtype):
    """Beside it an entry that is fed: neither differs from the textbook's line, in which denormal numbers stay."""
    optimizer, tiny, seen = make(1e-3), float(np.finfo(dtype).tiny), set()
    params = {"w": np.zeros(2, dtype)}
    state, (bare, m, v) = optimizer.init(params), np.zeros((3, 2), dtype)
    for t in range(1, 4000):
        g = np.array([100 * tiny ** 0.5 if t == 1 else 0, 0.5], dtype)
        params, state = optimizer.update(params, {"w": g}, state)
        if make is rmsprop:
            v = 0.9 * v + (1 - 0.9) * g**2
            bare = bare - 1e-3 * g / (np.sqrt(v) + 1e-7)
        else:
            c = (1 - 0.999**t) ** 0.5
            m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
            bare = bare - 1e-3 * c / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8 * c)
        seen |= {name for name, mean in (("m", m), ("v", v)) if np.any((mean != 0) & (np.abs(mean) < tiny))}
        for name in state.keys() - {"t"}:
            assert np.all((state[name]["w"] == 0) | (np.abs(state[name]["w"]) >= tiny))
        np.testing.assert_array_equal(params["w"], bare)
    assert seen == state.keys() - {"t"} and params["w"].dtype == dtype and params["w"][0] != 0
