"""What the engine cannot mean it refuses, in one line that says what to write instead; what it can mean it computes.

Each case is a kind of slip from which a plausible, wrong number came once.
"""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads

from vae_np import (
    Block,
    adam,
    astype,
    bernoulli_likelihood,
    bernoulli_nll,
    constant,
    dense,
    dynamic,
    elementwise,
    evaluate,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_nll,
    gaussian_noise,
    gaussian_posterior,
    gray,
    heads,
    location_scale,
    log_likelihood,
    minibatches,
    relu,
    rmsprop,
    sequential,
    sigmoid,
    softplus,
    tanh,
    threshold,
    train,
    vae,
    value_and_grad,
)
from vae_np.extensions.adversarial import implicit_posterior
from vae_np.extensions.bounds import iwae, log_mean_exp
from vae_np.extensions.dlgm import dlgm
from vae_np.extensions.flows import flow_posterior, norm, planar
from vae_np.extensions.likelihoods import (
    categorical_likelihood,
    categorical_nll,
    log_softmax,
    poisson_likelihood,
    poisson_nll,
)
from vae_np.extensions.pairs import critic, joined
from vae_np.extensions.relaxed import (
    bernoulli_posterior,
    binary_concrete,
    categorical_posterior,
    gumbel_softmax,
)
from vae_np.extensions.sbn import sbn
from vae_np.layers import affine

ENCODER = sequential(dense(6, 4), relu, heads(dense(4, 2), dense(4, 2)))
DECODER = sequential(dense(2, 4), relu, dense(4, 6))
MODEL = vae(gaussian_posterior(ENCODER), bernoulli_likelihood(DECODER))
X, EPS = np.full((4, 6), 0.5, np.float32), np.zeros((4, 2), np.float32)
I, R = np.array([[0]]), np.array([[0.7]])


def rng():
    return np.random.default_rng(0)


def refused(call, *words, error=ValueError):
    """One line that holds all the words."""
    with pytest.raises(error) as info:
        call()
    assert "\n" not in str(info.value)
    for word in words:
        assert word in str(info.value), str(info.value)


def loss(params, x, eps):
    return anp.mean(MODEL.apply(params, x, eps))


# ---- data outside a density's support -------------------------------------------------------------------------------

@pytest.mark.parametrize("x", [21.0, -1, 2, -0.001, 1.001, np.nan, np.inf, np.uint8(255)])
def test_pixels_outside_0_and_1(x):
    refused(lambda: bernoulli_nll(np.array([[x]]), np.array([[10.0]])), "bernoulli_nll: x", "expected [0, 1]")


@pytest.mark.parametrize("x", [0.0, 1.0, 0.3, np.float32(1), True, False, np.uint8(1), 0])
def test_pixels_of_every_right_kind(x):
    expected = np.logaddexp(0, 2.0) - 2.0 * float(x)
    np.testing.assert_allclose(bernoulli_nll(np.array([[x]]), np.array([[2.0]])), [expected], rtol=1e-7)


def test_pixels_of_no_data_and_of_one_number():
    assert bernoulli_nll(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0,)
    np.testing.assert_allclose(bernoulli_nll(1.0, np.zeros((2, 1))), np.log([2, 2]))


@pytest.mark.parametrize("x", [-0.5, -1, -2.5, 1.5, np.nan, np.inf])
def test_counts_that_are_none(x):
    refused(lambda: poisson_nll(np.array([[x]]), np.zeros((1, 1))), "poisson_nll: x holds", "expected counts")


@pytest.mark.parametrize("x", [-1, 3, 0.5, np.nan])
def test_labels_that_are_none(x):
    refused(lambda: categorical_nll(np.array([[x]]), np.zeros((1, 1, 3))), "categorical_nll: x", "labels")


@pytest.mark.parametrize("pixels", [gray, threshold, dynamic(rng())])
@pytest.mark.parametrize("data, word", [(np.array([[0.0, 255.0]], "f4"), "255"), (np.array([[-1.0, 1.0]]), "-1"),
                                        (np.array([[0.5, np.nan]]), "NaN"), (np.array([[1, 2]]), "int64")])
def test_minibatches_of_what_are_no_pixels(pixels, data, word):
    refused(lambda: next(minibatches(None, data, 1, pixels=pixels)), word, "expected", "pixels=None")
    np.testing.assert_array_equal(next(minibatches(None, data, 1, pixels=None)), data)


def test_counts_as_bytes_do_not_become_gray_values_unseen():
    batch = next(minibatches(None, np.array([[3, 0]], np.uint8), 1))  # thought to be an image: 3/255
    refused(lambda: poisson_nll(batch, np.zeros((1, 2))), "poisson_nll: x holds 0.0117647; expected counts")
    assert poisson_nll(next(minibatches(None, np.array([[3, 0]], np.uint8), 1, pixels=None)), np.zeros((1, 2))).shape


def test_every_byte_is_a_pixel():
    every = gray(np.arange(256, dtype=np.uint8))
    assert every.min() == 0 and every.max() == 1 and every.dtype == np.float32
    assert gray(np.array([True, False])).dtype == bool and gray(np.array([0.0, 1.0])).dtype == np.float64


# ---- log-weights ----------------------------------------------------------------------------------------------------

def linear():
    """One latent, z ~ N(0, 1), x|z ~ N(3z, 1), a q that is too narrow: log p(x = 0) = −½ log 20π."""
    encoder, decoder = heads(dense(1, 1), dense(1, 1)), heads(dense(1, 1), constant(1))
    model = vae(gaussian_posterior(encoder), gaussian_likelihood(decoder))
    params = model.init(rng())
    params["theta"][0]["W"][:] = 3
    params["phi"][1]["b"][:] = -1
    return model, params, np.zeros((1, 1), np.float32)


def test_log_p_of_the_readmes_own_model_with_the_closed_form_kl():
    model, params, x = linear()
    estimates = [log_likelihood(model, params, x, gaussian_noise(np.random.default_rng(i), 1), k=2000)[0]
                 for i in range(30)]
    weights = np.exp(np.array(estimates) + 0.5 * np.log(20 * np.pi))
    assert abs(weights.mean() - 1) < 4 * weights.std(ddof=1) / np.sqrt(30)


def test_a_models_log_weight_is_the_sampled_one_whatever_kl_it_is_trained_on():
    model, params, x = linear()
    sampled = vae(gaussian_posterior(heads(dense(1, 1), dense(1, 1)), kl=gaussian_log_ratio),
                  gaussian_likelihood(heads(dense(1, 1), constant(1))))
    eps = rng().standard_normal((5, 1, 1), np.float32)
    np.testing.assert_array_equal(model.log_weight(params, x, eps), sampled.log_weight(params, x, eps))
    np.testing.assert_array_equal(-sampled.apply(params, x, eps), sampled.log_weight(params, x, eps))


def test_models_without_log_weights_are_refused():
    beta = lambda mu, log_var, z: 4 * gaussian_kl(mu, log_var)
    other = vae(gaussian_posterior(ENCODER, kl=beta), bernoulli_likelihood(DECODER))
    soft = vae(bernoulli_posterior(dense(6, 2), 0.5), bernoulli_likelihood(DECODER))
    grouped = vae(categorical_posterior(dense(6, 2), 0.5, 2), bernoulli_likelihood(DECODER))
    relaxed = sbn(6, 2, sample=lambda logits, u: binary_concrete(logits, u, 0.5))
    sampler, T = joined(dense(7, 2)), critic(dense(8, 1))
    implicit = vae(implicit_posterior(sampler, T, T.init(rng())), bernoulli_likelihood(DECODER))
    for model in (other, soft, grouped, relaxed, implicit, Block(MODEL.init, MODEL.apply, "mine")):
        refused(lambda model=model: log_likelihood(model, model.init(rng()), X, gaussian_noise(rng(), 2)),
                "has no log_weight", "log q(z|x)")
        refused(lambda model=model: model.log_weight({}, X, EPS), "has no log_weight", error=AttributeError)
    given = vae(gaussian_posterior(ENCODER, kl=beta, log_ratio=gaussian_log_ratio), bernoulli_likelihood(DECODER))
    params, eps = MODEL.init(rng()), np.ones((3, 4, 2), np.float32)
    np.testing.assert_array_equal(given.log_weight(params, X, eps), MODEL.log_weight(params, X, eps))


def test_a_bound_of_the_models_log_weights_is_none_of_the_closed_form():
    model, params, x = linear()
    log_w = model.log_weight(params, x, rng().standard_normal((20_000, 1, 1), np.float32))
    assert abs(np.exp(iwae(log_w) + 0.5 * np.log(20 * np.pi))[0] - 1) < 4 * np.std(np.exp(
        log_w + 0.5 * np.log(20 * np.pi))) / np.sqrt(20_000)


# ---- a decoder that ends in a sigmoid -------------------------------------------------------------------------------

@pytest.mark.parametrize("end", [sigmoid, lambda l: 1 / (1 + anp.exp(-l)), lambda l: anp.exp(l) / (1 + anp.exp(l)),
                                 lambda l: 0.5 + 0.5 * anp.tanh(0.5 * l), relu.apply, tanh.apply, softplus, anp.exp])
@pytest.mark.parametrize("likelihood", [bernoulli_likelihood, poisson_likelihood])
def test_a_decoder_that_gives_no_logits(likelihood, end):
    last = Block(lambda rng: (), (lambda p, x: end(p, x)) if end in (relu.apply, tanh.apply) else
                 (lambda p, x: end(x)), "end")
    model = vae(gaussian_posterior(ENCODER), likelihood(sequential(DECODER, last)))
    x = np.ones_like(X)
    params, states = model.init(rng()), None
    params["theta"][0][2]["b"] += 0.1  # at a relu's kink, nothing can be said yet
    states = train(lambda p, x, e: anp.mean(model.apply(p, x, e)), params, [x] * 3, gaussian_noise(rng(), 2), adam())
    refused(lambda: list(states), "likelihood", "never leave", "expected logits", "leave out the sigmoid")


@pytest.mark.parametrize("bias", [0.0, 0.3, 5.0, -5.0, 1e-6])
@pytest.mark.parametrize("decoder", [DECODER, dense(2, 6), sequential(dense(2, 6)), constant(6),
                                     sequential(dense(2, 3), dense(3, 6)), sequential(dense(2, 4), tanh, dense(4, 6))],
                         ids=str)
def test_true_logits_of_any_size_are_taken(decoder, bias):
    block = bernoulli_likelihood(decoder)
    for seed in range(3):
        theta = decoder.init(np.random.default_rng(seed))
        last = theta[-1] if isinstance(theta, list) else theta
        if isinstance(last, dict):
            last["b"] += np.float32(bias)
            last["W"] *= np.float32(1e-3)
        else:
            theta = theta + np.float32(bias)
        assert block.apply(theta, X[:1], EPS[:1] + 1).shape == (1,)
    fixed = bernoulli_likelihood(Block(lambda rng: (), lambda p, z: np.full((len(z), 6), 0.5), "fixed"))
    assert fixed.apply((), X, EPS).shape == (4,)


# ---- integers -------------------------------------------------------------------------------------------------------

def test_integers_become_floats_and_nothing_wraps():
    np.testing.assert_allclose(gaussian_nll(R, I, I), [0.5 * np.log(2 * np.pi) + 0.245], rtol=1e-12)
    np.testing.assert_allclose(location_scale(I, I, R), R)
    np.testing.assert_allclose(gaussian_log_ratio(I, I, R), [0], atol=1e-15)
    np.testing.assert_allclose(gaussian_kl(np.array([[20]], np.int8), 0.0 * I), [200])
    np.testing.assert_allclose(gaussian_nll(np.array([[250]], np.uint8), np.array([[255]], np.uint8), 0.0 * I),
                               [0.5 * np.log(2 * np.pi) + 12.5])
    np.testing.assert_allclose(dense(1, 1).apply({"W": np.array([[1]]), "b": np.array([0])}, R), R)
    np.testing.assert_allclose(sigmoid(np.array([1])), sigmoid(np.array([1.0])))
    np.testing.assert_allclose(softplus(np.array([-128], np.int8)), softplus(np.array([-128.0])))
    np.testing.assert_allclose(bernoulli_nll(R, np.array([[3]])), bernoulli_nll(R, np.array([[3.0]])))
    np.testing.assert_allclose(poisson_nll(np.array([[200]], np.uint8), np.array([[4]], np.int8)),
                               poisson_nll(np.array([[200.0]]), np.array([[4.0]])))
    np.testing.assert_allclose(categorical_nll(np.array([[1]]), np.array([[[100, -100]]], np.int8)), [200])
    np.testing.assert_allclose(tanh.apply((), np.array([1])), np.tanh([1.0]))
    np.testing.assert_allclose(iwae(np.array([[0], [1]])), [np.log((1 + np.e) / 2)])


def test_integer_logits_draw_with_the_whole_noise():
    u, logits = rng().random((3, 4)), np.array([[1, -2, 0, 3]] * 3)
    for draw in (gumbel_softmax, binary_concrete):
        np.testing.assert_allclose(draw(logits, u, 0.7), draw(logits.astype(float), u, 0.7), rtol=1e-14)


def test_float32_stays_and_what_are_no_numbers_are_refused():
    x, l = np.float32(0.5) * np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    assert bernoulli_nll(x.astype(float), l).dtype == gaussian_nll(x.astype(float), l, l).dtype == np.float32
    assert gaussian_kl(l, l).dtype == location_scale(l, l, x.astype(float)).dtype == np.float32
    for wrong in (np.array(["a"]), np.array([None]), np.array([1j])):
        refused(lambda wrong=wrong: gaussian_kl(wrong, wrong), "gaussian_kl: mu has dtype", "expected real numbers")


# ---- outputs are counted, terms have one number for each datum ------------------------------------------------------

@pytest.mark.parametrize("likelihood", [bernoulli_likelihood, poisson_likelihood,
                                        lambda decoder: categorical_likelihood(decoder, 2)])
def test_a_likelihood_of_one_output_is_given_two(likelihood):
    block = likelihood(heads(dense(2, 6), dense(2, 6)))
    refused(lambda: block.apply(block.init(rng()), np.zeros((4, 6)), EPS), "gives 2 outputs; expected one")


@pytest.mark.parametrize("posterior", [gaussian_posterior, lambda e: flow_posterior(e, planar(2))])
def test_a_posterior_of_two_outputs_is_given_one(posterior):
    block = posterior(dense(6, 2))  # two data: their rows could pass for μ and log σ²
    refused(lambda: block.apply(block.init(rng()), X[:2], EPS[:2]), "gives 1 outputs; expected mu and log_var")


@pytest.mark.parametrize("posterior", [lambda e: bernoulli_posterior(e, 0.5), lambda e: categorical_posterior(e, 1, 2)])
def test_a_discrete_posterior_is_given_two_outputs(posterior):
    block = posterior(heads(dense(6, 2), dense(6, 2)))
    refused(lambda: block.apply(block.init(rng()), X, np.full((4, 2), 0.5)), "gives 2 outputs; expected one")


def test_two_outputs_where_a_layer_expects_one():
    pair = (X, X)
    for block in (dense(6, 2), relu, tanh):
        refused(lambda block=block: block.apply(block.init(rng()), pair), "2 arrays")
    decoder = dlgm(heads(dense(1, 1), dense(1, 1)), dense(1, 6), sizes=(1, 1))
    refused(lambda: decoder.apply(decoder.init(rng()), EPS), "dlgm", "gives 2 outputs; expected one")


@pytest.mark.parametrize("kl", [lambda mu, log_var, z: np.sum(mu**2, axis=-1, keepdims=True),
                                lambda mu, log_var, z: mu**2, lambda mu, log_var, z: np.mean(mu),
                                lambda mu, log_var, z: 0.0, lambda mu, log_var, z: np.zeros(3)])
def test_a_kl_of_another_shape(kl):
    model = vae(gaussian_posterior(ENCODER, kl=kl), bernoulli_likelihood(DECODER))
    for eps in (EPS, np.zeros((5, 4, 2), np.float32)):
        refused(lambda eps=eps: model.apply(model.init(rng()), X, eps), "kl", "expected one number for each datum")


def test_a_likelihood_of_another_shape():
    for nll in (lambda p, x, z: np.zeros((len(z), 1)), lambda p, x, z: 0.0, lambda p, x, z: np.zeros(z.shape)):
        model = vae(gaussian_posterior(ENCODER), Block(lambda rng: (), nll, "mine"))
        refused(lambda model=model: model.apply(model.init(rng()), X, EPS), "nll", "expected one number for each datum")


# ---- derivatives of derivatives -------------------------------------------------------------------------------------

def test_a_gradient_of_a_gradient():
    x = l = np.array([[0.5, 0.2]])
    slope = lambda l: anp.sum(value_and_grad(lambda t: anp.sum(bernoulli_nll(x, t)))(l)[1])
    np.testing.assert_allclose(value_and_grad(slope)(l)[1], sigmoid(l) * (1 - sigmoid(l)), rtol=1e-12)
    indexed = lambda t: anp.sum(value_and_grad(lambda v: v[0, 0] ** 3)(t)[1])
    np.testing.assert_allclose(value_and_grad(indexed)(l)[1], [[3.0, 0.0]], rtol=1e-12)


D2, D3 = (3, 2), (4, 3, 2)


@pytest.mark.parametrize("f, shapes", [
    pytest.param(lambda x, l: bernoulli_nll(0.5 + 0.4 * anp.tanh(x), l), [D2, D3], id="bernoulli_nll"),
    pytest.param(gaussian_nll, [D2, D3, (2,)], id="gaussian_nll"),
    pytest.param(gaussian_kl, [D2, D2], id="gaussian_kl"),
    pytest.param(gaussian_log_ratio, [D2, D2, D3], id="gaussian_log_ratio"),
    pytest.param(location_scale, [D2, D2, D3], id="location_scale"),
    pytest.param(sigmoid, [D2], id="sigmoid"), pytest.param(softplus, [D2], id="softplus"),
    pytest.param(affine, [D3, (2, 5), (5,)], id="affine"),
    pytest.param(lambda x: relu.apply((), x), [D2], id="relu"),
    pytest.param(lambda x: tanh.apply((), x), [D2], id="tanh"),
    pytest.param(lambda r: poisson_nll(np.array([[0, 1], [2, 3], [4, 5]]), r), [D3], id="poisson_nll"),
    pytest.param(lambda l: categorical_nll(np.array([0, 1, 1]), l), [(4, 3, 2)], id="categorical_nll"),
    pytest.param(log_softmax, [D2], id="log_softmax"), pytest.param(log_mean_exp, [D2], id="log_mean_exp"),
    pytest.param(norm, [D2], id="norm"),
])
def test_every_formula_to_second_order_in_both_modes(f, shapes):
    draw = np.random.default_rng(3).standard_normal
    np.random.seed(0)  # autograd's checker draws its directions from it
    check_grads(f, modes=["fwd", "rev"], order=2)(*[draw(shape) for shape in shapes])


def test_a_whole_model_to_second_order():
    tanh_model = vae(gaussian_posterior(sequential(dense(6, 3), tanh, heads(dense(3, 2), dense(3, 2)))),
                     bernoulli_likelihood(sequential(dense(2, 3), tanh, dense(3, 6))))
    params, eps = astype(tanh_model.init(rng()), float), rng().standard_normal((4, 2))

    def f(W):
        phi = [{"W": W, "b": params["phi"][0]["b"]}, *params["phi"][1:]]
        return anp.mean(tanh_model.apply({**params, "phi": phi}, X.astype(float), eps))

    np.random.seed(0)
    check_grads(f, modes=["rev"], order=2)(params["phi"][0]["W"])


# ---- what was wrong, and advice only where it applies ---------------------------------------------------------------

def wild(params, x, eps):
    return anp.mean(MODEL.apply(params, x, eps)) * np.nan


def train_on(x, loss=loss, dtype=np.float32):
    params = astype(MODEL.init(rng()), dtype)
    return lambda: list(train(loss, params, [x], gaussian_noise(rng(), 2), adam()))


def square(p, x, eps):
    return anp.mean(x**2) + anp.sum(p["phi"][0]["b"] ** 2)


def test_a_training_error_says_what_it_was():
    refused(train_on(np.full((4, 6), np.nan), square), "step 1", "the minibatch holds NaN", error=FloatingPointError)
    refused(train_on(np.zeros((0, 6)), square), "step 1", "the minibatch is empty", error=FloatingPointError)
    refused(train_on(X, wild), "step 1", "no step was taken yet", error=FloatingPointError)
    refused(train_on(X, lambda p, x, e: anp.sum(p["phi"][0]["b"] + 1) * np.float16(60000) * 2, dtype=np.float16),
            "float16 ends at 65504", error=FloatingPointError)
    for make in (rmsprop, adam):
        with pytest.raises(ValueError, match="expected a number in"):
            make(**{{rmsprop: "rho", adam: "beta2"}[make]: 1.5})
        with pytest.raises(ValueError, match="epsilon"):
            make(epsilon=0)
    for call in (train_on(np.full((4, 6), np.nan), square), train_on(X, wild)):
        with pytest.raises(FloatingPointError) as info:
            call()
        assert "smaller learning rate" not in str(info.value)


def test_a_rate_that_is_too_large_is_told_so():
    states = train(lambda p, x, eps: -anp.sum(anp.exp(p["a"])), {"a": np.ones(2, np.float32)}, [X] * 9,
                   gaussian_noise(rng(), 2), rmsprop(100.0))
    with pytest.raises(FloatingPointError, match="step 2: .*a smaller learning rate may help"):
        list(states)


# ---- the first hour's slips -----------------------------------------------------------------------------------------

NOISE = gaussian_noise(rng(), 2)


@pytest.mark.parametrize("call, words", [
    (lambda: vae(ENCODER, DECODER), ["vae(...)", "gaussian_posterior(encoder), bernoulli_likelihood"]),
    (lambda: vae(gaussian_posterior(ENCODER), DECODER), ["vae(...)", "bernoulli_likelihood"]),
    (lambda: vae(gaussian_posterior, bernoulli_likelihood), ["vae(...)", "got a function", "expected blocks"]),
    (lambda: sequential(gaussian_posterior(ENCODER)), ["sequential", "does not take params, x"]),
    (lambda: train(MODEL, {}, [X], NOISE, adam()), ["train: loss is a block", "np.mean(model.apply("]),
    (lambda: train(loss, {}, [X], NOISE, adam), ["train: optimizer is adam", "adam(1e-3)"]),
    (lambda: train(loss, {}, [X], NOISE, "adam"), ["train: optimizer is 'adam'", "adam(1e-3)"]),
    (lambda: train(loss, {}, [X], EPS, adam()), ["train: noise is a ndarray", "gaussian_noise(rng, d)"]),
    (lambda: train(loss, {}, X, NOISE, adam()), ["train: batches is an array", "minibatches(rng, data, 100)"]),
    (lambda: evaluate(loss, {}, [X], EPS), ["evaluate: noise is a ndarray", "gaussian_noise"]),
    (lambda: log_likelihood(MODEL, MODEL.init(rng()), X, EPS), ["log_likelihood: noise is a ndarray"]),
    (lambda: MODEL.init(0), ["rng is 0", "numpy.random.default_rng(seed)"]),
    (lambda: MODEL.init(None), ["rng is NoneType", "numpy.random.default_rng(seed)"]),
    (lambda: MODEL.init(np.random.RandomState(0)), ["rng is RandomState", "numpy.random.default_rng(seed)"]),
    (lambda: MODEL.init(np.random), ["rng is module", "numpy.random.default_rng(seed)"]),
    (lambda: gaussian_noise(0, 2), ["gaussian_noise: rng is 0", "default_rng"]),
    (lambda: minibatches(0, X, 2), ["minibatches: rng is 0", "default_rng"]),
    (lambda: dynamic(np.random.RandomState(0)), ["dynamic: rng is RandomState", "default_rng"]),
    (lambda: ENCODER.apply(MODEL.init(rng()), X), ["parameters are dict ['phi', 'theta']", "params['phi']"]),
    (lambda: dense(6, 2).apply(MODEL.init(rng()), X), ["parameters are dict ['phi', 'theta']", "W and b"]),
    (lambda: value_and_grad(lambda p: 0.0)(None), ["parameter nest has dtype object", "model.init(rng)"]),
    (lambda: value_and_grad(lambda p: 0.0)({"a": None}), ["parameter a has dtype object", "model.init(rng)"]),
])
def test_a_slip_is_answered_by_what_to_write(call, words):
    refused(call, *words)


@pytest.mark.parametrize("key, words", [
    ("fit", "for state in train("), ("train", "for state in train("), ("encode", "encoder.apply(params['phi'], x)"),
    ("predict", "encoder.apply"), ("sample", "likelihood.mean"), ("decode", "likelihood.mean"), ("foo", "init(rng)"),
])
def test_methods_that_a_block_has_not(key, words):
    refused(lambda: getattr(MODEL, key), f"has no {key}", words, error=AttributeError)
    refused(lambda: MODEL(X), "block.apply(params, x)", error=TypeError)


def test_the_way_that_works_is_one_line_each():
    likelihood, params = bernoulli_likelihood(DECODER), MODEL.init(rng())
    mu, log_var = ENCODER.apply(params["phi"], X)
    z = location_scale(mu, log_var, EPS + 1)
    np.testing.assert_array_equal(likelihood.mean(params["theta"], z), sigmoid(DECODER.apply(params["theta"], z)))
    several = {"Gaussian": (gaussian_likelihood(heads(dense(2, 6), constant(6))), lambda out: out[0]),
               "Poisson": (poisson_likelihood(DECODER), np.exp)}
    for block, mean in several.values():
        theta = block.init(rng())
        network = heads(dense(2, 6), constant(6)) if block.name.startswith("gaussian") else DECODER
        np.testing.assert_allclose(block.mean(theta, z), mean(network.apply(theta, z)), rtol=1e-6)
    labels = categorical_likelihood(DECODER, 3)
    np.testing.assert_allclose(labels.mean(params["theta"], z).sum(axis=-1), np.ones((4, 2)), rtol=1e-6)
    assert elementwise(sigmoid).name == "sigmoid"
