"""What the judge of the exercises asks, and what is true: inputs of every kind, results that owe nothing to a solution.

The truth comes from finite differences, quadrature, determinants of numerical Jacobians, scipy, a formula in another
form, or the engine. An exercise is a function of a generator and of one case, and returns arguments and true results.
"""

import functools

import numpy as np
from scipy import special

import vae_np
from vae_np.extensions import flows

EXERCISES = {}  # name: its cases, made when first asked for
BATCHES = ((), float), ((4,), float), ((5, 6), float), ((7,), int)  # one datum, n data, k samples of n, whole numbers


def exercise(*layouts):
    def add(case):
        seed = [*case.__name__.encode()]
        EXERCISES[case.__name__] = functools.cache(
            lambda: [case(np.random.default_rng([i, *seed]), *layout) for i, layout in enumerate(layouts)])
    return add


def draw(rng, *shape, kind=float):
    """Normal numbers of two decimals, or whole ones: so what is printed of them is all of them."""
    return np.asarray(np.round(1.5 * rng.standard_normal(shape), 2 if kind is float else 0).astype(kind))


def jacobian(f, a, h=1e-3):
    """∂f/∂a, shape (*a.shape, *f.shape), by central differences of fourth order."""
    steps = h * np.eye(np.size(a)).reshape(-1, *np.shape(a))
    d = np.array([8 * (f(a + s) - f(a - s)) - f(a + 2 * s) + f(a - 2 * s) for s in steps]) / (12 * h)
    return d.reshape(np.shape(a) + d.shape[1:])


def gradient(f, a):
    """∂/∂a of the sum of all numbers of f: summed after the differences, which lose less of small numbers."""
    return np.sum(jacobian(lambda a: np.ravel(f(a)), a), axis=-1)


def affine(x, W, b):
    return np.einsum("...i,ij->...j", x, W) + b


@exercise(*BATCHES)
def dense(rng, batch, kind):
    x, W, b = draw(rng, *batch, 2, kind=kind), draw(rng, 2, 3, kind=kind), draw(rng, 3, kind=kind)
    return dict(x=x, W=W, b=b), affine(x, W, b)


@exercise(*BATCHES)
def dense_backward(rng, batch, kind):
    g, x, W = draw(rng, *batch, 3, kind=kind), draw(rng, *batch, 2, kind=kind), draw(rng, 2, 3, kind=kind)
    return dict(g=g, x=x, W=W), dict(dx=gradient(lambda x: g * affine(x, W, 0), x),
                                     dW=gradient(lambda W: g * affine(x, W, 0), W),
                                     db=gradient(lambda b: g * affine(x, W, b), np.zeros(3)))


def pixels(rng, batch, kind, scale):
    """An image, gray or (as whole numbers) binary, and logits, k samples of them for one image."""
    x = rng.random((*batch[-1:], 3)).round(2) if kind is float else rng.integers(0, 2, (*batch, 3))
    return dict(x=x, logits=scale * draw(rng, *batch, 3, kind=kind))


def cross_entropy(x, logits):
    return -np.sum(x * special.log_expit(logits) + (1 - x) * special.log_expit(-logits), axis=-1)


@exercise(*((*batch, scale) for scale in (1, 400) for batch in BATCHES))
def bernoulli_nll(rng, batch, kind, scale):
    given = pixels(rng, batch, kind, scale)
    return given, cross_entropy(**given)


@exercise(*((*batch, scale) for scale in (1, 400) for batch in BATCHES))
def bernoulli_nll_gradient(rng, batch, kind, scale):
    given = pixels(rng, batch, kind, scale)
    return given, gradient(lambda logits: cross_entropy(given["x"], logits), given["logits"])


def log_normal(z, mu=0.0, variance=1.0):
    return -0.5 * np.log(2 * np.pi * variance) - (z - mu) ** 2 / (2 * variance)


def kl(mu, log_var):
    """E_q[log q − log p] by Gauss–Hermite quadrature: exact, the integrand being a polynomial of second degree."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    mu, variance = mu[..., None], np.exp(log_var)[..., None]
    z = mu + np.sqrt(variance) * nodes
    return np.sum((log_normal(z, mu, variance) - log_normal(z)) @ weights / weights.sum(), axis=-1)


@exercise(*BATCHES)
def gaussian_kl(rng, batch, kind):
    given = dict(mu=draw(rng, *batch, 2, kind=kind), log_var=draw(rng, *batch, 2, kind=kind))
    return given, kl(**given)


@exercise(*BATCHES)
def gaussian_kl_gradient(rng, batch, kind):
    mu, log_var = draw(rng, *batch, 2, kind=kind), draw(rng, *batch, 2, kind=kind)
    return dict(mu=mu, log_var=log_var), dict(dmu=gradient(lambda mu: kl(mu, log_var), mu),
                                              dlog_var=gradient(lambda log_var: kl(mu, log_var), log_var))


def shifted(mu, log_var, eps):
    return mu + np.sqrt(np.exp(log_var)) * eps


@exercise(*BATCHES)
def location_scale(rng, batch, kind):
    mu, log_var, eps = (draw(rng, *shape, 2, kind=kind) for shape in (batch[-1:], batch[-1:], batch))
    return dict(mu=mu, log_var=log_var, eps=eps), shifted(mu, log_var, eps)


@exercise((1, 1, float), (3, 4, float), (1, 5, float), (5, 3, int))
def location_scale_backward(rng, k, n, kind):
    g, log_var, eps = (draw(rng, *shape, kind=kind) for shape in ((k, n, 2), (n, 2), (k, n, 2)))
    return dict(g=g, log_var=log_var, eps=eps), dict(
        dmu=gradient(lambda mu: g * shifted(mu, log_var, eps), np.zeros((n, 2))),
        dlog_var=gradient(lambda log_var: g * shifted(0, log_var, eps), log_var))


@exercise(*BATCHES)
def gaussian_log_ratio(rng, batch, kind):
    mu, log_var, z = (draw(rng, *shape, 2, kind=kind) for shape in (batch[-1:], batch[-1:], batch))
    return dict(mu=mu, log_var=log_var, z=z), np.sum(log_normal(z, mu, np.exp(log_var)) - log_normal(z), axis=-1)


@exercise(((), 1, 3, 2, 1, float), ((), 4, 7, 5, 2, float), ((3,), 5, 6, 4, 2, float), ((2,), 3, 6, 4, 2, int))
def elbo(rng, samples, n, D, H, d, kind):
    layer = lambda n_in, n_out: {"W": draw(rng, n_in, n_out), "b": draw(rng, n_out)}
    params = {"phi": [layer(D, H), (), [layer(H, d), layer(H, d)]], "theta": [layer(d, H), (), layer(H, D)]}
    encoder = vae_np.sequential(vae_np.dense(D, H), vae_np.relu, vae_np.heads(vae_np.dense(H, d), vae_np.dense(H, d)))
    decoder = vae_np.sequential(vae_np.dense(d, H), vae_np.relu, vae_np.dense(H, D))
    model = vae_np.vae(vae_np.gaussian_posterior(encoder), vae_np.bernoulli_likelihood(decoder))
    x, eps = rng.random((n, D)).round(2 if kind is float else 0).astype(kind), draw(rng, *samples, n, d)
    return dict(params=params, x=x, eps=eps), -model.apply(params, x, eps)


@exercise(((3, 1), 1, 0, float), ((5, 4), 1, -2000, float), ((6, 5), 400, 0, float), ((1, 3), 1, 900, float),
          ((4, 2, 3), 1, 0, float), ((4, 3), 1, 0, int))
def iwae(rng, shape, scale, shift, kind):
    log_w = scale * draw(rng, *shape, kind=kind) + shift
    return dict(log_w=log_w), special.logsumexp(log_w.astype(float), axis=0) - np.log(len(log_w))


def optimizer_step(rng, optimizer, t, shape, kind, **rates):
    """The t-th step of the engine's optimizer, from steps with other gradients: what it was given, what it made."""
    optimizer, theta = optimizer(*rates.values()), draw(rng, *shape, kind=kind)
    state = optimizer.init(theta)
    for _ in range(t):
        before, g = dict(state, theta=theta), draw(rng, *shape, kind=kind)
        theta, state = optimizer.update(theta, g, state)
    moments = {key: before[key] for key in ("m", "v") if key in state}
    steps = {key: state[key] for key in ("t",) if key in state}
    return (dict(theta=before["theta"], g=g, **moments, **steps, **rates),
            dict(theta=theta, **{key: state[key] for key in moments}))


@exercise((1, (2,), float, 0.1, 0.9, 1e-7), (3, (3, 2), float, 0.3, 0.25, 0.2), (2, (3,), float, 0.1, 0.5, 2.0),
          (1, (4,), int, 2.0, 0.6, 1.5))
def rmsprop_step(rng, t, shape, kind, eta, rho, epsilon):
    return optimizer_step(rng, vae_np.rmsprop, t, shape, kind, eta=eta, rho=rho, epsilon=epsilon)


@exercise((1, (2,), float, 0.1, 0.9, 0.999, 1e-8), (3, (3, 2), float, 0.3, 0.25, 0.6, 0.2),
          (2, (3,), float, 0.1, 0.8, 0.3, 2.0), (1, (4,), int, 2.0, 0.7, 0.5, 1.5))
def adam_step(rng, t, shape, kind, eta, beta1, beta2, epsilon):
    return optimizer_step(rng, vae_np.adam, t, shape, kind, eta=eta, beta1=beta1, beta2=beta2, epsilon=epsilon)


@exercise(*((*batch, None) for batch in BATCHES), ((3, 2), float, 1000), ((3, 2), float, -1000))
def planar(rng, batch, kind, product):
    z, u, w, b = draw(rng, *batch, 3, kind=kind), draw(rng, 3, kind=kind), draw(rng, 3, kind=kind), float(draw(rng))
    if product:
        u = u + (product - w @ u) * w / (w @ w)  # now w'u is that product
    f = lambda z: flows.planar(3).apply({"u": u[None] * 1.0, "w": w[None] * 1.0, "b": np.array([b])}, z)[0]
    jacobians = [jacobian(f, row) for row in z.reshape(-1, 3)]
    log_det = np.linalg.slogdet(jacobians)[1].reshape(z.shape[:-1])
    return dict(z=z, u=u, w=w, b=b), dict(f=f(1.0 * z), log_det=log_det)


@exercise(*((*batch, *rest) for rest in ((1, 0.5), (300, 0.1), (1, 3)) for batch in BATCHES))
def gumbel_softmax(rng, batch, kind, scale, tau):
    logits, u = scale * draw(rng, *batch[-1:], 3, kind=kind), rng.uniform(0.01, 0.99, (*batch, 3)).round(2)
    log_pi, gumbel = special.log_softmax(logits, axis=-1), -np.log(-np.log(u))
    return dict(logits=logits, u=u, tau=tau), special.softmax((log_pi + gumbel) / tau, axis=-1)
