"""The loop: what it yields, what it repeats bit for bit, what it does with the last batch and with infinities."""

import autograd.numpy as np
import numpy as onp
import pytest
from checkers import assert_mean

from vae_np import (
    adam,
    bernoulli_likelihood,
    dense,
    dynamic,
    evaluate,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    minibatches,
    relu,
    rmsprop,
    sequential,
    threshold,
    train,
    vae,
    value_and_grad,
)
from vae_np.nests import leaves

ENCODER = sequential(dense(12, 8), relu, heads(dense(8, 2), dense(8, 2)))
DECODER = sequential(dense(2, 8), relu, dense(8, 12))
POSTERIOR, LIKELIHOOD = gaussian_posterior(ENCODER), bernoulli_likelihood(DECODER)
MODEL = vae(POSTERIOR, LIKELIHOOD)


def loss(params, x, eps):
    return np.mean(MODEL.apply(params, x, eps))


def terms(params, x, eps):
    z, kl = POSTERIOR.apply(params["phi"], x, eps)
    return LIKELIHOOD.apply(params["theta"], x, z), kl


def images(n=57):
    return onp.random.default_rng(1).integers(0, 256, (n, 12), dtype=onp.uint8)


def run(seed=0, epochs=3, log_every=None, k=None, resume=None, optimizer=adam):
    init, data, noise, test = onp.random.default_rng(seed).spawn(4)
    params = MODEL.init(init)
    states = train(loss, params, minibatches(data, images(), 10, epochs), gaussian_noise(noise, 2, k), optimizer(1e-2))
    for state in states:
        if log_every and state.step % log_every == 0:
            evaluate(terms, state.params, minibatches(None, images(), 20), gaussian_noise(test, 2))
    return state


def test_each_step_yields_a_state_and_the_last_small_batch_trains(rng):
    states = list(train(loss, MODEL.init(rng), minibatches(rng, images(57), 10), gaussian_noise(rng, 2), rmsprop(1e-3)))
    assert [state.step for state in states] == [1, 2, 3, 4, 5, 6]
    assert all(onp.isfinite(state.loss) for state in states)
    assert {leaf.dtype for leaf in leaves(states[-1].params)} == {onp.dtype(onp.float32)}


def test_a_state_once_yielded_stays_as_it_is(rng):
    start = MODEL.init(rng)
    states, copies = [], []
    for state in train(loss, start, minibatches(rng, images(), 10), gaussian_noise(rng, 2), rmsprop(1e-2)):
        states.append(state)
        copies.append([leaf.copy() for leaf in leaves(state.params)])
    for state, copy in zip(states, copies):
        assert all(map(onp.array_equal, leaves(state.params), copy))
    assert not any(map(onp.array_equal, leaves(states[0].params), leaves(states[-1].params)))


def test_same_seed_other_logging_interval_identical_bits():
    results = [run(log_every=every) for every in (None, 1, 7)]
    for other in results[1:]:
        assert all(map(onp.array_equal, leaves(results[0].params), leaves(other.params)))
    assert not all(map(onp.array_equal, leaves(results[0].params), leaves(run(seed=1).params)))


@pytest.mark.parametrize("optimizer", [adam, rmsprop])
def test_resuming_from_a_state_continues_to_the_same_bits(optimizer):
    whole = run(optimizer=optimizer, epochs=2)
    init, data, noise, _ = onp.random.default_rng(0).spawn(4)
    make_noise, params, state = gaussian_noise(noise, 2), MODEL.init(init), None
    for _ in range(2):
        states = train(loss, params, minibatches(data, images(), 10), make_noise, optimizer(1e-2), resume=state)
        *_, state = states
    assert state.step == whole.step and all(map(onp.array_equal, leaves(state.params), leaves(whole.params)))


def test_training_lowers_the_loss_to_what_the_pixels_allow():
    """Pixels of one fixed pattern: the best NELBO is the pattern's entropy, reached with KL = 0."""
    pattern = onp.tile(onp.array([0, 255] * 6, onp.uint8), (40, 1))
    init, data, noise, _ = onp.random.default_rng(0).spawn(4)
    batches = minibatches(data, pattern, 10, epochs=60)
    *_, state = train(loss, MODEL.init(init), batches, gaussian_noise(noise, 2), adam(1e-2))
    assert 0 < state.loss < 0.2 < 12 * onp.log(2)


def test_the_gradient_can_be_replaced(rng):
    calls = []

    def half(loss):
        inner = value_and_grad(loss)

        def differentiate(*args):
            calls.append(len(args))
            return inner(*args)
        return differentiate

    list(train(loss, MODEL.init(rng), minibatches(rng, images(20), 10), gaussian_noise(rng, 2), adam(), half))
    assert calls == [3, 3]


def test_minibatches_show_every_row_once_an_epoch_in_a_new_order(rng):
    data = onp.arange(23)[:, None].astype(onp.float64)
    batches = [batch[:, 0] for batch in minibatches(rng, data, 5, epochs=2, pixels=None)]
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3] * 2
    first, second = onp.concatenate(batches[:5]), onp.concatenate(batches[5:])
    assert sorted(first) == sorted(second) == list(range(23))
    assert not onp.array_equal(first, second) and not onp.array_equal(first, onp.arange(23))
    assert onp.array_equal(onp.concatenate(list(minibatches(None, data, 5, pixels=None)))[:, 0], onp.arange(23))


def test_bytes_become_float32_in_the_minibatch_alone():
    data = images(10)
    batch, = minibatches(None, data, 10)
    assert batch.dtype == onp.float32 and data.dtype == onp.uint8
    onp.testing.assert_allclose(batch, data / 255, rtol=1e-6)
    onp.testing.assert_array_equal(gray(batch.astype(onp.float64)), batch)


def test_binarization(rng):
    data = onp.tile(onp.array([0, 51, 127, 128, 204, 255], onp.uint8), (20_000, 1))
    onp.testing.assert_array_equal(threshold(data[0]), [0, 0, 0, 1, 1, 1])
    draws = dynamic(rng)(data)
    assert set(onp.unique(draws)) == {0, 1} and draws.dtype == onp.float32
    assert_mean(draws, data[0] / 255)
    assert not onp.array_equal(draws, dynamic(rng)(data))


def test_noise_is_standard_normal_of_the_shape_asked_for(rng):
    assert gaussian_noise(rng, 2)(7).shape == (7, 2) and gaussian_noise(rng, 2, 1)(7).shape == (1, 7, 2)
    draws = gaussian_noise(rng, 3, 5)(4000)
    assert draws.shape == (5, 4000, 3) and draws.dtype == onp.float32
    assert_mean(draws.reshape(-1, 3), 0)
    assert_mean(draws.reshape(-1, 3) ** 2, 1)


def test_evaluate_weighs_every_datum_alike_whatever_the_batches(rng):
    params, eps = MODEL.init(rng), rng.standard_normal((3, 57, 2)).astype(onp.float32)
    position = [0]

    def fixed(n):
        position[0] += n
        return eps[:, position[0] - n:position[0]]

    nll, kl = evaluate(terms, params, minibatches(None, images(), 10), fixed)
    whole_nll, whole_kl = terms(params, gray(images()), eps)
    onp.testing.assert_allclose([nll, kl], [whole_nll.mean(), whole_kl.mean()], rtol=1e-6)


@pytest.mark.parametrize("broken, message", [
    (lambda p, x, e: np.mean(MODEL.apply(p, x, e)) * (np.nan if len(x) == 7 else 1), "step 6: the loss is nan"),
    (lambda p, x, e: np.mean(MODEL.apply(p, x, e)) + (np.sum(np.sqrt(0 * p["theta"][2]["b"])) if len(x) == 7 else 0),
     "step 6: .*not finite in theta.2.b;"),
])
def test_the_first_step_that_is_not_finite_is_named(broken, message, rng):
    states = train(broken, MODEL.init(rng), minibatches(rng, images(57), 10), gaussian_noise(rng, 2), adam())
    last = None
    with pytest.raises(FloatingPointError, match=message):
        for state in states:
            last = state
    assert last.step == 5 and all(onp.isfinite(leaf).all() for leaf in leaves(last.params))


def test_a_finite_gradient_whose_square_overflows_is_let_through():
    states = train(lambda p, x, e: np.sum(p["a"]) * np.float32(1e30), {"a": onp.ones(3, onp.float32)},
                   [onp.ones((1, 1))], lambda n: None, rmsprop(1e-3))
    assert next(states).step == 1


@pytest.mark.parametrize("call, message", [
    (lambda: minibatches(None, images(), 0), "batch size 0: expected"),
    (lambda: minibatches(None, images(), 2.5), "batch size 2.5: expected"),
    (lambda: minibatches(None, images(0), 5), "no data"),
    (lambda: minibatches(None, images(), float("nan")), "batch size nan: expected"),
    (lambda: next(minibatches(None, onp.ones((3, 2), int), 2)), "dtype int64: expected bytes"),
    (lambda: train(loss, {}, images(), None, adam()), "batches is an array of shape .*; expected an iterable"),
    (lambda: gaussian_noise(onp.random.default_rng(0), 0), "d = 0"),
    (lambda: gaussian_noise(onp.random.default_rng(0), 2, 0), "k = 0"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
