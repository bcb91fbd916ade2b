"""Flows: determinants against slogdet of the Jacobian, total mass by quadrature, invertibility, slopes, bad input."""

import autograd.numpy as anp
import mpmath
import numpy as np
import pytest
from autograd import grad, jacobian
from checkers import assert_gradient, assert_mean
from scipy import stats

from vae_np import (
    astype,
    bernoulli_likelihood,
    dense,
    elementwise,
    gaussian_likelihood,
    gaussian_log_ratio,
    gaussian_posterior,
    heads,
    log_likelihood,
    relu,
    sequential,
    vae,
    value_and_grad,
)
from vae_np.extensions.flows import (
    amortized,
    compose,
    flow_posterior,
    fused_walk,
    planar,
    planar_direction,
    radial,
    shared,
    walk,
)
from vae_np.nests import leaves, rebuild

EPS = np.finfo(np.float64).eps
PLANAR, RADIAL = ("u", "w", "b"), ("z0", "log_alpha", "beta")


FLOWS = pytest.mark.parametrize(
    "flow", [planar, lambda d: planar(d, 3), radial, lambda d: compose(planar(d), radial(d), planar(d, length=2))],
    ids=["planar", "three", "radial", "composition"])


def drawn(flow, rng, scale=1.0, data=()):
    """Parameters of a flow far from the identity, in float64; one set for each of so many data."""
    p = flow.init(rng)
    return rebuild(p, [scale * rng.standard_normal((*data, *np.shape(a))) for a in leaves(p)])


def of_datum(p, i):
    return rebuild(p, [a[i] for a in leaves(p)])


def softplus(a):
    return np.logaddexp(0, a)


@FLOWS
@pytest.mark.parametrize("d", [1, 2, 5])
def test_log_det_is_slogdet_of_the_jacobian(flow, d, rng):
    block = flow(d)
    for scale in (0.3, 1.0, 2.0):
        p, z = drawn(block, rng, scale), rng.standard_normal(d)
        sign, expected = np.linalg.slogdet(jacobian(lambda z, p=p: block.apply(p, z)[0])(z))
        assert sign == 1 and abs(block.apply(p, z)[1] - expected) < 1e-12


@FLOWS
def test_log_det_is_slogdet_of_the_jacobian_of_each_datum_and_sample(flow, rng):
    block, k, n, d = flow(3), 2, 4, 3
    p, z = drawn(block, rng, data=(n,)), rng.standard_normal((k, n, d))
    moved, log_det = block.apply(p, z)
    assert moved.shape == z.shape and log_det.shape == (k, n)
    whole = jacobian(lambda z: block.apply(p, z)[0])(z)
    for i, j in np.ndindex(k, n):
        sign, expected = np.linalg.slogdet(whole[i, j, :, i, j])
        assert sign == 1 and abs(log_det[i, j] - expected) < 1e-12
        whole[i, j, :, i, j] = 0
    assert not whole.any(), "a datum's z moved another's"


@FLOWS
def test_each_datum_passes_through_its_own_flow(flow, rng):
    block = flow(3)
    p, z = drawn(block, rng, data=(4,)), rng.standard_normal((2, 4, 3))
    moved, log_det = block.apply(p, z)
    for i in range(4):
        for found, expected in zip((moved[:, i], log_det[:, i]), block.apply(of_datum(p, i), z[:, i])):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("data", [(), (4,)], ids=["global", "each datum"])
@pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k samples"])
@pytest.mark.parametrize("length", [1, 3])
def test_fused_walk_is_the_walk(data, samples, length, rng):
    """Value, gradient, and the gradient of a function of the gradient."""
    z, weights = rng.standard_normal((*samples, 4, 2)), rng.standard_normal((*samples, 4, 2 + length))
    args = z, *(rng.standard_normal((*data, *shape)) for shape in ((length, 2), (length, 2), (length,)))
    np.testing.assert_array_equal(fused_walk(*args), walk(*args))

    def slopes(f):
        return value_and_grad(lambda args: anp.sum(weights * anp.sin(f(*args))))(args)[1]

    def curvature(f):
        length_of = lambda i: lambda a: anp.sum(grad(lambda b: anp.sum(weights * anp.sin(
            f(*args[:i], b, *args[i + 1:]))))(a) ** 2)
        return [grad(length_of(i))(args[i]) for i in range(4)]

    for of in (slopes, curvature):
        for found, expected in zip(of(fused_walk), of(walk)):
            assert np.max(np.abs(found - expected)) <= 1e-12 * np.max(np.abs(expected))


def test_planar_is_the_papers_formula(rng):
    p, z = drawn(planar(3), rng), rng.standard_normal((4, 3))
    u, w, b = (p[key][0] for key in PLANAR)
    u_hat = u + (-1 + np.log(1 + np.exp(w @ u)) - w @ u) * w / np.linalg.norm(w) ** 2
    psi = (1 - np.tanh(z @ w + b) ** 2)[:, None] * w
    moved, log_det = planar(3).apply(p, z)
    np.testing.assert_allclose(moved, z + u_hat * np.tanh(z @ w + b)[:, None], rtol=0, atol=1e-14)
    np.testing.assert_allclose(log_det, np.log(np.abs(1 + psi @ u_hat)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(planar_direction(u, w)[0], u_hat, rtol=0, atol=1e-14)


def test_radial_is_the_papers_formula(rng):
    p, z = drawn(radial(3), rng), rng.standard_normal((4, 3))
    z0, alpha, beta = p["z0"], np.exp(p["log_alpha"]), -np.exp(p["log_alpha"]) + softplus(p["beta"])
    r = np.linalg.norm(z - z0, axis=-1)
    h, slope = 1 / (alpha + r), -1 / (alpha + r) ** 2
    moved, log_det = radial(3).apply(p, z)
    np.testing.assert_allclose(moved, z + beta * h[:, None] * (z - z0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(log_det, 2 * np.log(1 + beta * h) + np.log(1 + beta * h + beta * slope * r),
                               rtol=0, atol=1e-14)


# The density of what a flow makes of N(0, I) needs the inverse, which no formula of the room contains.

def inverse_planar(p, y):
    w, b = p["w"][0], p["b"][0]
    u_hat, _ = planar_direction(p["u"][0], w)
    at, slope = y @ w, w @ u_hat
    low, high = at - np.abs(slope), at + np.abs(slope)
    for _ in range(60):
        middle = (low + high) / 2
        above = middle + slope * np.tanh(middle + b) > at
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return y - np.tanh((low + high) / 2 + b)[..., None] * u_hat


def inverse_radial(p, y):
    alpha, s = np.exp(p["log_alpha"]), softplus(p["beta"])
    far = np.linalg.norm(y - p["z0"], axis=-1, keepdims=True)
    r = 0.5 * (far - s + np.sqrt((far - s) ** 2 + 4 * alpha * far))
    return p["z0"] + (y - p["z0"]) * (alpha + r) / (r + s)


def density(flow, inverse, p, y):
    z = inverse(p, y)
    moved, log_det = flow.apply(p, z)
    np.testing.assert_allclose(moved, y, rtol=0, atol=1e-8)
    return np.exp(stats.norm.logpdf(z).sum(-1) - log_det)


def test_mass_of_a_planar_flow_is_one_in_one_dimension(rng):
    """The trapezoidal rule converges faster than any power of the step for a smooth density that ends at zero."""
    y, step = np.linspace(-40, 40, 8001, retstep=True)
    for _ in range(3):
        p = drawn(planar(1), rng)
        assert abs(np.sum(density(planar(1), inverse_planar, p, y[:, None])) * step - 1) < 1e-8


def test_mass_of_a_radial_flow_is_one_in_one_dimension(rng):
    """To the left and to the right of z₀, where the density has a kink."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for _ in range(3):
        p = drawn(radial(1), rng)
        for_side = lambda side, p=p: density(radial(1), inverse_radial, p, (p["z0"] + side * 15 * (nodes + 1))[:, None])
        assert abs(15 * weights @ (for_side(-1) + for_side(1)) - 1) < 1e-8


def test_mass_of_planar_flows_is_one_in_two_dimensions(rng):
    flows = [drawn(planar(2), rng) for _ in range(3)]
    for p in flows:
        p["w"] /= np.linalg.norm(p["w"], axis=-1)  # û grows as 1/‖w‖, and would leave the square
    axis = np.linspace(-14, 14, 281)
    y = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    z = y
    for p in reversed(flows):
        z = inverse_planar(p, z)
    _, log_det = compose(planar(2), planar(2), planar(2)).apply(flows, z)
    mass = np.sum(np.exp(stats.norm.logpdf(z).sum(-1) - log_det)) * (axis[1] - axis[0]) ** 2
    assert abs(mass - 1) < 1e-8


def test_mass_of_a_radial_flow_is_one_in_two_dimensions(rng):
    """In polar coordinates around z₀, where the density has a kink."""
    p = drawn(radial(2), rng)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r, angle = 8 * (nodes + 1), 2 * np.pi * np.arange(200) / 200
    y = p["z0"] + r[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    mass = np.sum(density(radial(2), inverse_radial, p, y) * (8 * weights * r)[:, None]) * 2 * np.pi / 200
    assert abs(mass - 1) < 1e-8


@pytest.mark.parametrize("scale", [1e-3, 1, 10, 300])
def test_planar_constraint_holds(scale, rng):
    """In exact arithmetic w'û > −1; what is computed is that û up to rounding, and its determinant is positive."""
    for d in (1, 2, 10):
        for _ in range(20):
            u, w = scale * rng.standard_normal(d), rng.standard_normal(d)
            size = (np.abs(w) @ np.abs(u)) + 1
            u_hat, one_plus = planar_direction(u, w)
            assert w @ u_hat > -1 - 8 * d * EPS * size
            assert one_plus > 0 or w @ u < -745  # where e^{w'u} is below the smallest number
            p = {"u": u[None], "w": w[None], "b": rng.standard_normal(1)}
            _, log_det = planar(d).apply(p, rng.standard_normal((100, d)))
            assert np.all(np.isfinite(log_det))


@pytest.mark.parametrize("a", [-700.0, -300.0, -40.0, -5.0, 0.0, 5.0, 40.0, 700.0])
def test_planar_under_extreme_parameters_is_exact(a):
    """Against 400 digits; also on the plane w'z + b = 0 itself, where the determinant is 1 + w'û."""
    u, w, b = np.array([[a, 0.0]]), np.array([[1.0, 0.0]]), np.zeros(1)
    with mpmath.workdps(400):
        m = -1 + mpmath.log(1 + mpmath.exp(a))
        assert m > -1
        for first in (0.0, 1e-9, 0.3, -2.0):
            t = mpmath.tanh(first)
            expected = mpmath.log(1 + m * (1 - t ** 2))
            z, log_det = planar(2).apply({"u": u, "w": w, "b": b}, np.array([first, 1.0]))
            assert abs(log_det - float(expected)) <= 1e-13 * max(1, abs(float(expected)))
            assert abs(z[0] - float(first + m * t)) <= 4 * EPS * (1 + abs(a)) and z[1] == 1


def test_planar_keeps_the_order_along_w(rng):
    """Invertible: w'f(z) increases with w'z, even where the unconstrained u would fold the space over."""
    for u in (-0.9, -3.0, -30.0):
        p = {"u": np.array([[u]]), "w": np.array([[2.0]]), "b": np.array([0.3])}
        moved, _ = planar(1).apply(p, np.linspace(-4, 4, 801)[:, None])
        assert np.all(np.diff(moved[:, 0]) > -4 * EPS * abs(u))


@pytest.mark.parametrize("beta", [-600.0, -30.0, 0.0, 600.0])
def test_radial_constraint_holds(beta):
    for log_alpha in (-20.0, 0.0, 20.0):
        p = {"z0": np.array([0.5, -0.5]), "log_alpha": np.array([log_alpha]), "beta": np.array([beta])}
        z = np.array([[0.5, -0.5], [0.5, -0.5 + 1e-9], [1.0, 2.0], [30.0, 40.0]])
        moved, log_det = radial(2).apply(p, z)
        assert np.all(np.isfinite(log_det))
        # Four roundings: of z − z₀ (exact here but for 1e-9), of alpha + r, of the quotient and of the sum.
        rounding = 8 * EPS * (np.exp(max(log_alpha, 0)) + abs(beta) + 50)
        assert np.all(np.diff(np.linalg.norm(moved - p["z0"], axis=-1)) > -rounding)


def test_flows_start_at_the_identity(rng):
    for flow in (planar(3), planar(3, length=2), radial(3)):
        z = rng.standard_normal((100, 3)).astype(np.float32)
        moved, log_det = flow.apply(flow.init(rng), z)
        assert np.max(np.abs(moved - z)) < 0.15 and np.max(np.abs(log_det)) < 0.15
    w = rng.standard_normal(3)
    p = {"u": np.log(np.e - 1) * w[None] / (w @ w), "w": w[None], "b": np.ones(1)}
    moved, log_det = planar(3).apply(p, rng.standard_normal(3))
    assert np.max(np.abs(planar_direction(p["u"][0], w)[0])) < 4 * EPS and abs(log_det) < 4 * EPS


@FLOWS
@pytest.mark.parametrize("shape, data", [((3,), ()), ((4, 3), ()), ((2, 4, 3), ()), ((4, 3), (4,)), ((2, 4, 3), (4,))],
                         ids=str)
def test_gradient_of_a_flow(flow, shape, data, rng):
    block, z = flow(3), rng.standard_normal(shape)
    up, down = rng.standard_normal(shape), rng.standard_normal(shape[:-1])

    def loss(params):
        moved, log_det = block.apply(params["flow"], params["z"])
        return anp.sum(up * moved) + anp.sum(down * log_det)

    assert_gradient(loss, {"flow": drawn(block, rng, data=data), "z": z})


@FLOWS
def test_integers_become_floats(flow, rng):
    block, z = flow(3), np.array([[1, -2, 0], [0, 1, 2]])
    p = drawn(block, rng)
    values, gradients = zip(*(value_and_grad(lambda p, z=z: anp.sum(anp.sin(block.apply(p, z)[0])))(p)
                              for z in (z, z.astype(float))))
    assert values[0] == values[1]
    for found, expected in zip(*map(leaves, gradients)):
        np.testing.assert_array_equal(found, expected)


def test_gradient_at_the_centre_of_a_radial_flow_is_finite(rng):
    p = drawn(radial(2), rng)
    _, gradient = value_and_grad(lambda q: anp.sum(radial(2).apply(q, q["z0"])[1]))(p)
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradient))


def encoder_of(flow, d=2, each=True):
    """4-5-(d, d, the flow's parameters): of each datum, or one set for all."""
    return sequential(dense(4, 5), relu, heads(dense(5, d), dense(5, d), amortized(5, flow) if each else shared(flow)))


def scrambled(model, rng):
    """Parameters of a model that are all at work, in float64."""
    params = model.init(rng)
    return rebuild(params, [a + 0.5 * rng.standard_normal(np.shape(a)) for a in leaves(params)])


EACH = pytest.mark.parametrize("each", [True, False], ids=["each datum", "global"])
SAMPLES = pytest.mark.parametrize("samples", [(), (3,)], ids=["one sample", "k samples"])


@EACH
@SAMPLES
def test_gradient_of_the_whole_vae(samples, each, rng):
    flow = compose(planar(2), radial(2), planar(2, length=2))
    model = vae(flow_posterior(encoder_of(flow, each=each), flow), bernoulli_likelihood(dense(2, 4)))
    x, eps, weights = rng.random((3, 4)), rng.standard_normal((*samples, 3, 2)), rng.standard_normal((*samples, 3))
    params = scrambled(model, rng)
    assert model.apply(params, x, eps).shape == (*samples, 3)
    np.testing.assert_array_equal(model.log_weight(params, x, eps), -model.apply(params, x, eps))
    assert_gradient(lambda p: anp.sum(weights * model.apply(p, x, eps)), params)


@EACH
@SAMPLES
def test_no_flows_is_the_gaussian_posterior(samples, each, rng):
    encoder = sequential(dense(4, 5), relu, heads(dense(5, 2), dense(5, 2)))
    plain, x, eps = gaussian_posterior(encoder, kl=gaussian_log_ratio), rng.random((3, 4)), rng.standard_normal(
        (*samples, 3, 2))
    phi = astype(encoder.init(rng), np.float64)
    for flow in (planar(2, length=0), compose(), compose(planar(2, length=0), planar(2, length=0))):
        posterior = flow_posterior(encoder_of(flow, each=each), flow)
        with_flow = [*phi[:2], [*phi[2], posterior.init(rng)[2][2]]]
        for found, expected in zip(posterior.apply(with_flow, x, eps), plain.apply(phi, x, eps)):
            np.testing.assert_array_equal(found, expected)
        value_and_grad(lambda p, f=posterior: anp.sum(f.apply(p, x, eps)[1]))(with_flow)


def test_amortized_starts_as_shared_and_then_depends_on_the_datum(rng):
    flow, x, eps = planar(2, length=3), rng.random((3, 4)), rng.standard_normal((3, 2))
    each, one = (flow_posterior(encoder_of(flow, each=e), flow) for e in (True, False))
    phi = astype(each.init(np.random.default_rng(1)), np.float64)
    same = astype(one.init(np.random.default_rng(1)), np.float64)
    for found, expected in zip(each.apply(phi, x, eps), one.apply(same, x, eps)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    head, h = amortized(5, flow), rng.standard_normal((3, 5))
    p = head.init(rng)
    p["W"] = {key: rng.standard_normal(np.shape(p["W"][key])) for key in p["W"]}
    for key, rows in head.apply(p, h).items():
        for i in range(3):
            np.testing.assert_allclose(rows[i], p["start"][key] + np.tensordot(h[i], p["W"][key], axes=1), atol=1e-13)


@EACH
def test_log_weights_average_to_the_exact_p_of_x(each, rng):
    """z ~ N(0, 1), x|z ~ N(z, ½²): log p(x) = log N(x | 0, 1 + ¼); every q gives it, within four standard errors."""
    flow = planar(1, length=3)
    head = amortized(1, flow) if each else shared(flow)
    log_var = elementwise(lambda z: (z, np.full_like(z, np.log(0.25))), "known")
    model = vae(flow_posterior(heads(dense(1, 1), dense(1, 1), head), flow), gaussian_likelihood(log_var))
    params, x, k = scrambled(model, rng), np.array([[-1.0], [0.3], [1.2]]), 20_000
    noise = lambda m: rng.standard_normal((m, 1))
    w = np.exp(model.log_weight(params, x, noise(k * 3).reshape(k, 3, 1)))
    assert_mean(w, stats.norm.pdf(x[:, 0], scale=np.sqrt(1.25)))
    found = log_likelihood(model, params, x, noise, k)
    assert np.all(np.abs(found - stats.norm.logpdf(x[:, 0], scale=np.sqrt(1.25))) < 5 * w.std(axis=0) / w.mean(axis=0)
                  / np.sqrt(k))


def test_a_planar_flow_of_some_length_is_that_many_in_a_row(rng):
    z, p = rng.standard_normal((2, 4, 3)), drawn(planar(3, length=3), rng)
    one_each = [{key: p[key][k:k + 1] for key in p} for k in range(3)]
    for found, expected in zip(planar(3, length=3).apply(p, z), compose(*[planar(3)] * 3).apply(one_each, z)):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_kl_is_log_q_minus_log_p(rng):
    """log q_K(z_K) by the inverse and scipy; E_q[p/q] = 1 and E_q[log q/p] by quadrature, over ε and over z."""
    p = drawn(planar(1), rng)
    posterior = flow_posterior(heads(dense(1, 1), dense(1, 1), shared(planar(1))), planar(1))
    phi = [{"W": np.zeros((1, 1)), "b": np.array([0.7])}, {"W": np.zeros((1, 1)), "b": np.array([-0.5])}, p]
    log_p = stats.norm.logpdf

    def log_q(y):
        z = inverse_planar(p, y)
        return stats.norm.logpdf(z, 0.7, np.exp(-0.25))[..., 0] - planar(1).apply(p, z)[1]

    eps, h = np.linspace(-12, 12, 4001, retstep=True)
    z, kl = posterior.apply(phi, np.zeros((1, 1)), eps[:, None, None])
    np.testing.assert_allclose(kl[:, 0], log_q(z[:, 0]) - log_p(z[:, 0, 0]), rtol=0, atol=1e-10)
    assert abs(np.sum(stats.norm.pdf(eps) * np.exp(-kl[:, 0])) * h - 1) < 1e-8
    y, step = np.linspace(-20, 20, 8001, retstep=True)
    log_ratio = log_q(y[:, None]) - log_p(y)
    kl_by_z = np.sum(np.exp(log_q(y[:, None])) * log_ratio) * step
    assert abs(np.sum(stats.norm.pdf(eps) * kl[:, 0]) * h - kl_by_z) < 1e-8


@EACH
def test_float32_stays_float32(each, rng):
    flow = compose(planar(2, length=2), radial(2))
    model = vae(flow_posterior(encoder_of(flow, each=each), flow), bernoulli_likelihood(dense(2, 4)))
    params, x, eps = model.init(rng), rng.random((3, 4), np.float32), rng.standard_normal((2, 3, 2), np.float32)
    assert {leaf.dtype for leaf in leaves(params)} == {np.dtype(np.float32)}
    assert model.apply(params, x, eps).dtype == np.float32
    _, gradient = value_and_grad(lambda p: anp.mean(model.apply(p, x, eps)))(params)
    assert {leaf.dtype for leaf in leaves(gradient)} == {np.dtype(np.float32)}


def test_names():
    flow = compose(planar(2, length=3), radial(2))
    assert repr(flow_posterior(heads(dense(2, 2), dense(2, 2), amortized(2, flow)), flow)) == (
        "flow_posterior(heads(dense(2, 2), dense(2, 2), amortized(2, compose(planar(2, length=3), radial(2)))), "
        "compose(planar(2, length=3), radial(2)))")
    assert repr(shared(planar(2))) == "shared(planar(2))"


def apply(encoder, flow, rng):
    posterior = flow_posterior(encoder, flow)
    return posterior.apply(posterior.init(rng), np.zeros((2, 4)), np.zeros((2, 2)))


@pytest.mark.parametrize("call, words", [
    (lambda rng: planar(3).apply(planar(3).init(rng), np.zeros((4, 2))),
     r"^planar\(3\): z has shape \(4, 2\); expected \(..., 3\)$"),
    (lambda rng: radial(3).apply(radial(3).init(rng), np.zeros((4, 2))),
     r"^radial\(3\): z has shape \(4, 2\); expected \(..., 3\)$"),
    (lambda rng: planar(2).apply(planar(3).init(rng), np.zeros((4, 2))),
     r"shapes \{'u': \(1, 3\), 'w': \(1, 3\), 'b': \(1,\)\}; expected \{'u': \(1, 2.*, or each with 4 data in front$"),
    (lambda rng: radial(2).apply(radial(3).init(rng), np.zeros((4, 2))),
     r"expected \{'z0': \(2,\), 'log_alpha': \(1,\), 'beta'"),
    (lambda rng: planar(2).apply(drawn(planar(2), rng, data=(3,)), np.zeros((3, 4, 2))),
     r"shapes \{'u': \(3, 1, 2\).* with 4 data in front$"),
    (lambda rng: planar(2).apply(radial(2).init(rng), np.zeros((4, 2))),
     r"^planar\(2\): parameters are dict \['z0', .*\]; expected a dict of u, w, b"),
    (lambda rng: apply(dense(4, 2), planar(2), rng),
     r"^flow_posterior\(dense\(4, 2\), planar\(2\)\): its network gives 1 outputs; expected mu and log_var and the"),
    (lambda rng: apply(heads(dense(4, 2), dense(4, 2)), planar(2), rng), "its network gives 2 outputs; expected mu"),
    (lambda rng: apply(heads(dense(4, 2), dense(4, 2), dense(4, 5)), planar(2), rng),
     r"^planar\(2\): parameters are ndarray; expected a dict of u, w, b, as of amortized"),
    (lambda rng: apply(heads(dense(4, 2), dense(4, 2), shared(planar(3))), planar(3), rng),
     r"^planar\(3\): z has shape \(2, 2\)"),
    (lambda rng: apply(heads(dense(4, 2), dense(4, 2), amortized(5, planar(2))), planar(2), rng),
     r"^amortized\(5, planar\(2\)\): input has shape \(2, 4\); expected \(n, 5\)$"),
    (lambda rng: compose(planar(2), planar(2)).apply([planar(2).init(rng)], np.zeros((4, 2))),
     "parameters for 1 blocks, expected 2"),
    (lambda rng: planar(0), r"planar\(0\): expected a dimension of at least 1"),
    (lambda rng: planar(2, length=-1), r"planar\(2, length=-1\): expected .* a length of at least 0"),
    (lambda rng: radial(-1), r"radial\(-1\): expected a dimension of at least 1"),
    (lambda rng: amortized(0, planar(2)), r"^amortized\(0, planar\(2\)\): sizes must be integers of at least 1"),
])
def test_bad_input(call, words, rng):
    with pytest.raises(ValueError, match=words) as raised:
        call(rng)
    assert "\n" not in str(raised.value)
