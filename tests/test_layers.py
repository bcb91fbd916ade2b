"""Blocks: their formulas by hand, their names, and what they say where shapes disagree."""

import autograd.numpy as np
import numpy as onp
import pytest

from vae_np import Block, dense, elementwise, heads, relu, sequential, summary, tanh


def test_dense_is_the_matrix_product_plus_the_bias(rng):
    params = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    x = rng.standard_normal((5, 4, 3))
    expected = onp.einsum("kni,ij->knj", x, params["W"]) + params["b"]
    onp.testing.assert_allclose(dense(3, 2).apply(params, x), expected, rtol=1e-13)


def test_dense_starts_glorot_uniform_with_zero_bias(rng):
    params = dense(300, 500).init(rng)
    a = onp.sqrt(6 / 800)
    W = params["W"]
    assert W.dtype == onp.float32 and W.shape == (300, 500) and not params["b"].any()
    assert a * 0.999 < onp.abs(W).max() <= a
    # U(−a, a) has variance a²/3 and fourth moment a⁴/5; the bounds are 4 standard errors of mean and variance
    assert abs(W.mean()) < 4 * a / onp.sqrt(3 * W.size)
    assert abs(W.var() - a**2 / 3) < 4 * a**2 * onp.sqrt((1 / 5 - 1 / 9) / W.size)


def test_relu_and_tanh_and_elementwise(rng):
    x = rng.standard_normal((4, 3))
    onp.testing.assert_array_equal(relu.apply((), x), x * (x > 0))
    onp.testing.assert_array_equal(tanh.apply((), x), onp.tanh(x))
    square = elementwise(np.square)
    assert square.name == "square" and square.init(rng) == ()
    onp.testing.assert_array_equal(square.apply((), x), x * x)


def test_sequential_composes_in_order_and_heads_side_by_side(rng):
    block = sequential(dense(3, 4), tanh, heads(dense(4, 2), dense(4, 1)))
    params, x = block.init(rng), rng.standard_normal((6, 3))
    h = onp.tanh(x.astype(onp.float32) @ params[0]["W"])
    first, second = block.apply(params, x)
    onp.testing.assert_allclose(first, h @ params[2][0]["W"], rtol=1e-5, atol=1e-6)
    onp.testing.assert_allclose(second, h @ params[2][1]["W"], rtol=1e-5, atol=1e-6)
    assert sequential().apply([], x) is x


def test_the_parameters_dtype_decides(rng):
    block = dense(3, 2)
    params = block.init(rng)
    for x in (rng.random((4, 3)), rng.random((4, 3), onp.float32), onp.eye(3, dtype=onp.uint8)):
        assert block.apply(params, x).dtype == onp.float32


def test_a_block_is_named_as_it_was_made():
    encoder = sequential(dense(784, 256), relu, heads(dense(256, 2), dense(256, 2)))
    assert repr(encoder) == "sequential(dense(784, 256), relu, heads(dense(256, 2), dense(256, 2)))"
    assert repr(Block(None, None, name="mine")) == "mine"


@pytest.mark.parametrize("call, message", [
    (lambda p: dense(784, 256).apply(p, onp.zeros((5, 783))), r"dense\(784, 256\): input has 783 features"),
    (lambda p: dense(784, 256).apply(p, onp.float32(1)), r"dense\(784, 256\): input has no features"),
    (lambda p: dense(784, 255).apply(p, onp.zeros((5, 784))), r"dense\(784, 255\): parameters .*\(784, 256\)"),
    (lambda p: sequential(dense(784, 256), relu).apply([p], onp.zeros((5, 784))), "for 1 blocks, expected 2"),
    (lambda p: heads(dense(784, 256)).apply([p, p], onp.zeros((5, 784))), "parameters for 2 blocks, expected 1"),
    (lambda p: dense(0, 2), "at least 1"),
    (lambda p: dense(784, 256).apply([p["W"]], onp.zeros((5, 784))), r"dense\(784, 256\): parameters are list"),
    (lambda p: dense(784, 256).apply({"W": p["W"]}, onp.zeros((5, 784))), r"\['W'\]; expected a dict of W and b"),
    (lambda p: sequential([dense(2, 3)]), "sequential.*: got a list; expected blocks"),
    (lambda p: heads(dense), "heads.*: got a function; expected blocks"),
])
def test_shapes_that_disagree_are_named_where_they_were_written(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(dense(784, 256).init(rng))


def test_summary_lists_every_array_and_the_total(rng):
    params = {"phi": sequential(dense(784, 256), relu, heads(dense(256, 2), dense(256, 2))).init(rng),
              "theta": sequential(dense(2, 256), relu, dense(256, 784)).init(rng)}
    text = summary(params)
    lines = text.splitlines()
    assert any(line.split() == ["phi.0.W", "(784,", "256)", "200,704"] for line in lines)
    assert any(line.split() == ["theta.2.b", "(784,)", "784"] for line in lines)
    assert lines[-1].split() == ["total", "404,244"] and len(lines) == 10 + 4
