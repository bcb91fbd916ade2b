"""Logits to ±10⁴, log-variances to ±80, black and white images, one pixel, one latent, a batch of one, in float32 and
float64: every loss and gradient is finite, and equal to a computation with 60 digits within what rounding allows.

What rounding allows is not guessed. A `Number` holds the exact value, of mpmath, and a bound on the error of any
floating-point evaluation in which an elementary operation errs by at most 8 eps (numpy's exp and tanh by 4 units in the
last place, and a few operations around them), and a sum of n terms, in whatever order, by n eps Σ|terms|. Errors of
operands are carried through each operation, through a function that is monotone by its value at both ends.
"""

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from vae_np import (
    bernoulli_likelihood,
    bernoulli_nll,
    dense,
    gaussian_kl,
    gaussian_log_ratio,
    gaussian_nll,
    gaussian_posterior,
    heads,
    location_scale,
    relu,
    sequential,
    vae,
    value_and_grad,
)
from vae_np.nests import astype, leaves, paths

DTYPES = [np.float32, np.float64]
LOGITS = [0, 1e-4, -1e-4, 1, -1, 20, -20, 88, -88, 90, -90, 104, -104, 708, -708, 750, -750, 1e4, -1e4]
LOG_VARS = [0, 1e-6, -1e-6, 1, -1, 40, -40, 80, -80]
WORST = {}


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(60):
        yield


class Number:
    """An exact value, and a bound on the error with which `dtype` arrives at it."""

    def __init__(self, value, dtype, error=0):
        self.value, self.dtype, self.error = mpf(value), dtype, mpf(error)

    def rounded(self, value, error, size=None):
        """A result: the error of its operands, 8 eps of its size, and what underflows."""
        info = np.finfo(self.dtype)
        size = (abs(value) if size is None else size) + error
        return Number(value, self.dtype, error + 8 * mpf(float(info.eps)) * size + mpf(float(info.tiny)))

    def __add__(self, other):
        return total([self, other])

    def __sub__(self, other):
        return total([self, -other])

    def __neg__(self):
        return Number(-self.value, self.dtype, self.error)

    def __mul__(self, other):
        if not isinstance(other, Number):
            other = Number(other, self.dtype)
        return self.rounded(self.value * other.value, abs(self.value) * other.error + abs(other.value) * self.error
                            + self.error * other.error)

    def through(self, f, size=None):
        """f(self) for a monotone f; size: what its rounding is relative to, where that is not the value."""
        value = f(self.value)
        ends = [abs(f(self.value + s * self.error) - value) for s in (-1, 1)]
        return self.rounded(value, max(ends), size)


def total(terms):
    """The sum, in whatever order."""
    size = mpmath.fsum(abs(term.value) for term in terms)
    error = mpmath.fsum(term.error for term in terms)
    return terms[0].rounded(mpmath.fsum(term.value for term in terms), error, len(terms) / mpf(8) * (size + error))


def exp(a):
    return a.through(mpmath.exp)


def expm1(a):
    return a.through(mpmath.expm1)


def sigmoid(a):
    return a.through(lambda v: 1 / (1 + mpmath.exp(-v)), size=1)


def softplus(a):
    return a.through(lambda v: max(v, mpf(0)) + mpmath.log1p(mpmath.exp(-abs(v))))


def is_positive(a):
    assert abs(a.value) > a.error, "a relu at its kink: take another seed"
    return a.value > 0


def numbers(array):
    """An array as nested lists of exact numbers."""
    array = np.asarray(array)
    return [numbers(row) for row in array] if array.ndim else Number(float(array), array.dtype.type)


def assert_equal(name, found, truth):
    """Every entry is finite and within the truth's error; the largest error is kept for the record."""
    found = np.asarray(found)
    flat = [truth] if isinstance(truth, Number) else leaves(truth)
    assert found.size == len(flat)
    for f, t in zip(np.ravel(found), flat):
        assert np.isfinite(f), f"{name}: {f}, expected {mpmath.nstr(t.value, 10)}"
        assert abs(t.value) + t.error < np.finfo(t.dtype).max, "the truth itself is beyond the dtype"
        off = abs(mpf(float(f)) - t.value)
        assert off <= t.error, (f"{name}: {float(f)!r}, expected {mpmath.nstr(t.value, 17)} "
                                f"± {mpmath.nstr(t.error, 3)}")
        if not off:
            continue
        worst = WORST.setdefault(t.dtype.__name__, [0, 0])
        worst[0] = max(worst[0], float(off / t.error))
        worst[1] = max(worst[1], float(off / (abs(t.value) + 1) / mpf(float(np.finfo(t.dtype).eps))))


def bernoulli_truth(x, logits):
    return (total([softplus(l) - a * l for a, l in zip(x, logits)]),
            {"x": [-l for l in logits], "logits": [sigmoid(l) - a for a, l in zip(x, logits)]})


def standard(x, mu, log_var):
    return (x - mu) * exp(log_var * -0.5)


def one(a):
    return Number(1, a.dtype)


def gaussian_truth(x, mu, log_var):
    t = [standard(*row) for row in zip(x, mu, log_var)]
    log_2pi = Number(mpmath.log(2 * mpmath.pi), x[0].dtype)
    log_2pi.error = abs(log_2pi.value) * mpf(float(np.finfo(x[0].dtype).eps))
    slope = [ti * exp(v * -0.5) for ti, v in zip(t, log_var)]
    return (total([term * 0.5 for ti, v in zip(t, log_var) for term in (log_2pi, v, ti * ti)]),
            {"x": slope, "mu": [-s for s in slope], "log_var": [(one(ti) - ti * ti) * 0.5 for ti in t]})


def kl_truth(mu, log_var):
    return (total([term * 0.5 for m, v in zip(mu, log_var) for term in (m * m, expm1(v), -v)]),
            {"mu": mu, "log_var": [expm1(v) * 0.5 for v in log_var]})


def log_ratio_truth(mu, log_var, z):
    t = [standard(*row) for row in zip(z, mu, log_var)]
    slope = [ti * exp(v * -0.5) for ti, v in zip(t, log_var)]
    return (total([term * 0.5 for zi, v, ti in zip(z, log_var, t) for term in (zi * zi, -v, -(ti * ti))]),
            {"mu": slope, "log_var": [(ti * ti - one(ti)) * 0.5 for ti in t], "z": [a - s for a, s in zip(z, slope)]})


def grid(**axes):
    """Every combination of the values, as columns."""
    columns = np.meshgrid(*axes.values(), indexing="ij")
    return {name: np.ravel(column) for name, column in zip(axes, columns)}


DENSITIES = {
    "bernoulli_nll": (bernoulli_nll, bernoulli_truth, grid(x=[0, 1, 0.5, 1 / 255], logits=LOGITS)),
    "gaussian_nll": (gaussian_nll, gaussian_truth, grid(x=[0, 1, 0.3], mu=[0, -3, 1e-3], log_var=LOG_VARS)),
    "gaussian_kl": (gaussian_kl, kl_truth, grid(mu=[0, 1e-8, -3, 1e4], log_var=LOG_VARS)),
    "gaussian_log_ratio": (gaussian_log_ratio, log_ratio_truth, grid(mu=[0, -3, 2.5], log_var=LOG_VARS, z=[0, 1, -4])),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("form", ["one pixel", "batch of one"])
def test_a_density_and_its_gradient(name, dtype, form):
    density, truth, columns = DENSITIES[name]
    params = {key: column.astype(dtype)[:, None] if form == "one pixel" else column.astype(dtype)[None]
              for key, column in columns.items()}
    values = density(**params)
    _, gradient = value_and_grad(lambda p: np_sum(density(**p)))(params)
    assert values.dtype == dtype and all(g.dtype == dtype for g in gradient.values())
    for i in range(len(values)):
        value, slopes = truth(**{key: numbers(column[i]) for key, column in params.items()})
        assert_equal(name, values[i], value)
        for key, slope in slopes.items():
            assert_equal(f"∂{name}/∂{key}", gradient[key][i], slope)


def np_sum(a):
    import autograd.numpy as np

    return np.sum(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reparameterization_and_its_gradient(dtype):
    columns = grid(mu=[0, -3, 1e4], log_var=LOG_VARS, eps=[0, 1, -4])
    params = {key: column.astype(dtype)[:, None] for key, column in columns.items()}
    z = location_scale(**params)
    _, gradient = value_and_grad(lambda p: np_sum(location_scale(**p)))(params)
    for i in range(len(z)):
        mu, log_var, eps = (numbers(column[i, 0]) for column in params.values())
        sigma = exp(log_var * 0.5)
        assert_equal("z", z[i], mu + sigma * eps)
        assert_equal("∂z/∂mu", gradient["mu"][i], one(mu))
        assert_equal("∂z/∂log_var", gradient["log_var"][i], sigma * eps * 0.5)
        assert_equal("∂z/∂eps", gradient["eps"][i], sigma)


def affine(p, x):
    return [total([a * w for a, w in zip(x, column)] + [b]) for column, b in zip(zip(*p["W"]), p["b"])]


def rectified(a):
    return [v if is_positive(v) else Number(0, v.dtype) for v in a]


def pull(p, g, a=None):
    """∂/∂x of x W + b, where x = relu(a) also through the relu."""
    back = [total([w * s for w, s in zip(row, g)]) for row in p["W"]]
    return back if a is None else [s if is_positive(v) else Number(0, s.dtype) for s, v in zip(back, a)]


def vae_truth(params, x, eps):
    """The mean negative ELBO and its gradient: one hidden layer each, every product and every chain written out."""
    params = nest_numbers(params)
    (first, _, (to_mu, to_log_var)), (second, _, last) = params["phi"], params["theta"]
    parts = {name: [] for name in ("loss", "first", "to_mu", "to_log_var", "second", "last")}
    rows = [(xi, e) for sample in (eps if eps.ndim == 3 else eps[None]) for xi, e in zip(x, sample)]
    scale = 1 / mpf(len(rows))
    for xi, e in rows:
        xi, e = numbers(xi), numbers(e)
        a = affine(first, xi)
        h = rectified(a)
        mu, log_var = affine(to_mu, h), affine(to_log_var, h)
        sigma = [exp(v * 0.5) for v in log_var]
        z = [m + s * ei for m, s, ei in zip(mu, sigma, e)]
        b = affine(second, z)
        f = rectified(b)
        logits = affine(last, f)
        nll, slopes = bernoulli_truth(xi, logits)
        kl, kl_slopes = kl_truth(mu, log_var)
        parts["loss"].append((nll + kl) * scale)
        g_logits = [s * scale for s in slopes["logits"]]
        g_b = pull(last, g_logits, b)
        g_z = pull(second, g_b)
        g_mu = [s + k * scale for s, k in zip(g_z, kl_slopes["mu"])]
        g_v = [s * sg * ei * 0.5 + k * scale for s, sg, ei, k in zip(g_z, sigma, e, kl_slopes["log_var"])]
        backs = [s + t for s, t in zip(pull(to_mu, g_mu), pull(to_log_var, g_v))]
        g_a = [s if is_positive(v) else Number(0, s.dtype) for s, v in zip(backs, a)]
        for name, h_in, g in (("first", xi, g_a), ("to_mu", h, g_mu), ("to_log_var", h, g_v), ("second", z, g_b),
                              ("last", f, g_logits)):
            parts[name].append({"W": [[i * s for s in g] for i in h_in], "b": g})
    sums = {name: add_up(part) for name, part in parts.items()}
    return sums["loss"], {"phi": [sums["first"], (), [sums["to_mu"], sums["to_log_var"]]],
                          "theta": [sums["second"], (), sums["last"]]}


def nest_numbers(nest):
    if isinstance(nest, Number):
        return nest
    if isinstance(nest, dict):
        return {key: nest_numbers(child) for key, child in nest.items()}
    return [nest_numbers(child) for child in nest] if isinstance(nest, (list, tuple)) else numbers(nest)


def add_up(nests):
    first = nests[0]
    if isinstance(first, dict):
        return {key: add_up([nest[key] for nest in nests]) for key in first}
    return [add_up(list(children)) for children in zip(*nests)] if isinstance(first, list) else total(nests)


def model(n_pixels, d, rng, dtype, log_var, logit):
    """A small network whose log-variances lie about `log_var` and whose logits about ±`logit`."""
    encoder = sequential(dense(n_pixels, 3), relu, heads(dense(3, d), dense(3, d)))
    decoder = sequential(dense(d, 3), relu, dense(3, n_pixels))
    block = vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))
    params = astype(block.init(rng), dtype)
    for part in (params["phi"][0], params["theta"][0]):
        part["b"] = rng.uniform(0.5, 1, 3).astype(dtype)
    params["phi"][2][1]["b"] = np.full(d, log_var, dtype)
    params["phi"][2][1]["W"] /= 100
    params["theta"][2]["b"] = (logit * rng.choice([-1, 1], n_pixels)).astype(dtype)
    return block, params


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_pixels, d, n, k", [(1, 1, 1, None), (1, 2, 3, None), (5, 1, 2, 3)])
@pytest.mark.parametrize("images", ["black", "white", "gray"])
@pytest.mark.parametrize("log_var, logit", [(0, 1), (80, 0), (-80, 0), (0, 1e4), (80, 1e4), (-80, 1e4)])
def test_the_whole_vae_and_its_gradient(n_pixels, d, n, k, dtype, images, log_var, logit, rng):
    block, params = model(n_pixels, d, rng, dtype, log_var, logit)
    x = {"black": np.zeros, "white": np.ones, "gray": rng.random}[images]((n, n_pixels)).astype(dtype)
    eps = rng.standard_normal((n, d) if k is None else (k, n, d)).astype(dtype)
    value, gradient = value_and_grad(lambda p, x, eps: np_mean(block.apply(p, x, eps)))(params, x, eps)
    truth, slopes = vae_truth(params, x, eps)
    assert_equal("−ELBO", value, truth)
    flat = dict(zip(paths(gradient), leaves(gradient)))
    assert all(g.dtype == dtype for g in flat.values())
    for path, g in flat.items():
        node = slopes
        for key in path.split("."):
            node = node[int(key) if isinstance(node, (list, tuple)) else key]
        assert_equal(f"∂/∂{path}", g, node)


def np_mean(a):
    import autograd.numpy as np

    return np.mean(a)


def test_the_truth_differentiates_itself(rng):
    """The chain written out in `vae_truth` is the derivative of its own value, by differences at 60 digits."""
    _, params = model(2, 1, rng, np.float64, 0, 1)
    x, eps = rng.random((2, 2)), rng.standard_normal((2, 1))
    _, slopes = vae_truth(params, x, eps)
    h = mpf(2) ** -70  # h² ≈ 10⁻⁴², far beyond the 1e-15 asked for
    for path, part, place in (("phi", 0, "W"), ("phi", 2, "b"), ("theta", 0, "W"), ("theta", 2, "b")):
        def at(step, path=path, part=part, place=place):
            nest = nest_numbers(params)
            node = nest[path][part] if path == "theta" or part == 0 else nest[path][part][1]
            cell = node[place][0]
            entry = cell[0] if isinstance(cell, list) else cell
            entry.value += step
            return vae_truth_value(nest, x, eps)

        node = slopes[path][part] if path == "theta" or part == 0 else slopes[path][part][1]
        expected = node[place][0][0] if place == "W" else node[place][0]
        assert abs((at(h) - at(-h)) / (2 * h) - expected.value) < 1e-15


def vae_truth_value(nest, x, eps):
    return vae_truth(nest, x, eps)[0].value


def test_a_wrong_digit_is_found():
    """The judge can fail: an error of 100 eps relative to the size of the terms is seen in both precisions."""
    for dtype in DTYPES:
        x, logits = np.ones((1, 3), dtype), np.array([[20, -20, 1]], dtype)
        value, _ = bernoulli_truth(numbers(x[0]), numbers(logits[0]))
        right = bernoulli_nll(x, logits)[0]
        assert_equal("right", right, value)
        with pytest.raises(AssertionError, match="expected"):
            assert_equal("wrong", right * dtype(1 + 500 * np.finfo(dtype).eps), value)


def test_the_largest_errors():
    """Printed for the record with `pytest -s`: as a share of the bound, and in eps relative to |value| + 1."""
    for dtype, (share, relative) in WORST.items():
        print(f"\n  {dtype}: largest error {share:.2f} of its bound, {relative:.1f} eps of |value| + 1", end="")
    assert all(share <= 1 for share, _ in WORST.values())
