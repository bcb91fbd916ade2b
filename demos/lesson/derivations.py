"""The derivations behind the post, line by line; each is evaluated at random numbers, and held against the one before.

    python demos/lesson/derivations.py            every line, both sides, and how far apart they are
    python demos/lesson/derivations.py --write    writes derivations.md, the same with the formulas set

A line is written once, as an expression that runs, and set by `latex.py`: what is printed is what was evaluated. (How a
name is printed, its dictionaries say; they are read, not evaluated.) Integrals are trapezoidal sums, exact to rounding
for integrands as smooth and as short-tailed as these. Derivatives are complex steps, f'(x) = Im f(x + ih)/h with
h = 10⁻³⁰, exact to rounding too; sums over states are whole. So "=" allows the rounding of the longest sum and no more,
"≈" four standard errors of a mean over draws.
Agreement at random numbers is a test, no proof: the proof is the reason that stands above each line.
"""

import itertools
import os
import sys
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import common  # noqa: E402

from lesson.latex import latex  # noqa: E402

import vae_np  # noqa: E402
from vae_np.extensions.bounds import iwae  # noqa: E402
from vae_np.extensions.flows import planar, planar_direction  # noqa: E402
from vae_np.extensions.relaxed import gumbel_softmax  # noqa: E402

DRAWS = 200_000
ROUNDING = 1e-11  # of the longest sum: n eps Σ|terms| with n = 6000, eps = 2.2e-16 and Σ|terms| up to 10
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "derivations.md")


class Estimate(NamedTuple):
    """A mean over draws, and its standard error."""

    mean: float
    error: float


class Line(NamedTuple):
    relation: str  # to the line before; "" in the first
    code: str      # evaluated in the derivation's scope, and set by latex()
    why: str


class Derivation(NamedTuple):
    title: str
    where: str     # the code that uses it, and the test
    scope: object  # rng -> the names that the lines use
    chains: list   # of (what it shows, [Line, ...])


# ---------------------------------------------------------------------------------------------------- the operators

def over(left, right, n=6001):
    """f ↦ ∫ f(z) dz by the trapezoidal sum on [left, right], where f vanishes at both ends."""
    z = np.linspace(left, right, n)
    return lambda f: np.sum(f(z) + 0 * z) * (z[1] - z[0])


def positive(f):
    """∫_0^∞ f(t) dt, t = e^v."""
    return over(-45, 7)(lambda v: f(np.exp(v)) * np.exp(v))


def plane(f, n=481):
    """∬ f(a, b) da db on [−12, 12]²."""
    z = np.linspace(-12, 12, n)
    return np.sum(f(z[:, None], z)) * (z[1] - z[0]) ** 2


def d(f, x, h=1e-30):
    """f'(x) by a complex step."""
    return np.imag(f(x + 1j * h)) / h


def jacobian(f, z):
    """∂f_i/∂z_j, one complex step for each column."""
    return np.stack([d(lambda a, e=e: f(z + a * e), 0.0) for e in np.eye(len(z))], axis=-1)


def mean(values):
    return Estimate(np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values)))


def N(z, mu, s2):
    return np.exp(-(z - mu) ** 2 / (2 * s2)) / np.sqrt(2 * np.pi * s2)


def sg(a):
    return 1 / (1 + np.exp(-a))


COMMON = {"log": np.log, "exp": np.exp, "tanh": np.tanh, "pi": np.pi, "sg": sg, "N": N, "d": d,
          "plane": plane, "positive": positive, "jacobian": jacobian, "det": np.linalg.det, "absolute": np.abs,
          "integral": over(-12, 12)}


def away_from(rng, *centres, low=-1.0, high=1.0):
    """A random number that is no nearer than 0.15 to any of the centres, where a wrong sign would not show."""
    while True:
        number = rng.uniform(low, high)
        if all(abs(number - centre) > 0.15 for centre in centres):
            return number


# ------------------------------------------------------------------------------------------------------- the scopes

def one_latent(rng):
    """x of four binary pixels, z one number: p(z) = N(0, 1), p(x|z) = Bern(σ(w z + b)), q(z|x) = N(μ, σ²)."""
    x, (w, b) = rng.integers(0, 2, 4).astype(float), rng.standard_normal((2, 4))
    mu, sigma = away_from(rng, 0), away_from(rng, 0, 1, low=0.6, high=1.1)
    s2, integral = sigma**2, COMMON["integral"]
    decoder, encoder = vae_np.dense(1, 4), vae_np.heads(vae_np.constant(1), vae_np.constant(1))
    model = vae_np.vae(vae_np.gaussian_posterior(encoder), vae_np.bernoulli_likelihood(decoder))
    params = {"phi": [np.array([mu]), np.array([np.log(s2)])], "theta": {"W": w[None], "b": b}}

    def p_x_z(z):
        return np.exp(-vae_np.bernoulli_nll(x, np.multiply.outer(z, w) + b))

    def logits(z):
        return np.multiply.outer(z, w) + b

    def f(z):                                           # log p(x|z), by a formula that takes complex z
        return np.sum(x * logits(z) - np.log(1 + np.exp(logits(z))), axis=-1)

    def f1(z):
        return np.sum(w * (x - sg(logits(z))), axis=-1)

    def through_the_code(log_var, mu):
        """∂/∂ log σ² of E_ε[log p(x|μ + σε)], by value_and_grad through location_scale and bernoulli_nll."""
        eps = np.linspace(-12, 12, 6001)[:, None]
        weight = N(eps[:, 0], 0, 1) * (eps[1, 0] - eps[0, 0])

        def loss(t):
            z = vae_np.location_scale(np.array([mu]), t, eps)
            return (weight * -vae_np.bernoulli_nll(x, z * w + b)).sum()

        return vae_np.value_and_grad(loss)(np.array([log_var]))[1][0]

    def p_xz(z):
        return p_x_z(z) * N(z, 0, 1)

    def q(z):
        return N(z, mu, s2)

    def p_z(z):
        return N(z, 0, 1)

    p_x = integral(p_xz)
    noise = rng.standard_normal(DRAWS)
    E_q = lambda g: integral(lambda z: q(z) * g(z))
    return {**COMMON, "mu": mu, "sigma": sigma, "s2": s2, "t": np.log(s2), "z": away_from(rng, 0), "p_x_z": p_x_z,
            "p_xz": p_xz, "p_z": p_z, "p_x": p_x, "q": q, "posterior": lambda z: p_xz(z) / p_x, "E_q": E_q,
            "E_eps": lambda g: integral(lambda eps: p_z(eps) * g(eps)), "f": f, "f1": f1,
            "KL": lambda a, b: integral(lambda z: a(z) * np.log(a(z) / b(z))),
            "vae": lambda eps: model.apply(params, x[None], np.reshape(eps, (-1, 1, 1)))[:, 0],
            "gaussian_kl": lambda mu, t: vae_np.gaussian_kl(np.array([mu]), np.array([t])),
            "draws": lambda g: mean(g(noise)),
            "dKL_dmu": lambda mu, t: vae_np.value_and_grad(vae_np.gaussian_kl)(np.array([mu]), np.array([t]))[1][0],
            "dKL_dt": lambda mu, t: vae_np.value_and_grad(lambda t, mu: vae_np.gaussian_kl(mu, t))(
                np.array([t]), np.array([mu]))[1][0],
            "value_and_grad": through_the_code, "V_q": lambda g: E_q(lambda z: g(z) ** 2) - E_q(g) ** 2,
            "step": lambda z: np.where(np.real(z) > 0, 1.0, 0.0), "c": away_from(rng, 0)}


def several_latents(rng):
    """Two latents, each with its μ_k and σ²_k; k = 1, 2."""
    m = {k: away_from(rng, 0) for k in (1, 2)}
    v = {k: away_from(rng, 0.6, 1, low=0.4, high=1.2) for k in (1, 2)}
    return {**COMMON, "mu": m, "s2": v, "total": lambda f: sum(map(f, (1, 2))),
            "gaussian_kl": lambda mu, s2: vae_np.gaussian_kl(np.array([*mu.values()]), np.log([*s2.values()]))}


def one_pixel(rng):
    x, l = away_from(rng, 0.5, low=0.1, high=0.9), away_from(rng, 0, low=-2, high=2)
    x1, l1 = np.array([x]), np.array([l])
    return {**COMMON, "x": x, "l": l, "bernoulli_nll": lambda x, l: vae_np.bernoulli_nll(x1, l1),
            "value_and_grad": lambda x, l: vae_np.value_and_grad(
                lambda l: vae_np.bernoulli_nll(x1, l))(l1)[1][0]}


def planar_map(rng):
    """A planar map of three dimensions at one z."""
    u, w, z = rng.standard_normal((3, 3))
    u *= np.sign(w @ u) * rng.choice([-1, 1])            # w'u < 0 is the case that needs the constraint
    b = away_from(rng, 0)
    direction = planar_direction(u, w)[0]
    psi = (1 - np.tanh(w @ z + b) ** 2) * w
    flow = {"u": u[None], "w": w[None], "b": np.array([b])}
    return {**COMMON, "u": u, "w": w, "z": z, "b": b, "direction": direction, "psi": psi, "row": psi[None],
            "f": lambda z: z + direction * np.tanh(w @ z + b), "identity": np.eye(3), "outer": np.outer,
            "m": lambda a: np.log(1 + np.exp(a)) - 1, "square": lambda v: np.sum(v * v), "slope": w @ direction,
            "block": lambda a, b, c, d: np.block([[a, np.reshape(b, (3, 1))], [c, np.reshape(d, (1, 1))]]),
            "minus": lambda a: -a, "least": min, "s": away_from(rng, 0),
            "root": brentq(lambda s: s - 2 * np.tanh(s), 1, 3),
            "planar": lambda z: planar(3).apply(flow, z[None])[1][0]}


def four_states(rng):
    """z takes four values, so that every expectation is a finite sum: q(z|x), p(x, z), and weights w = p/q of k "
    "draws."""
    q, joint = rng.dirichlet([2.0] * 4), 0.3 * rng.dirichlet([2.0] * 4)
    states, weights = np.arange(4), joint / q

    def expectation(f, k):
        tuples = np.array([*itertools.product(states, repeat=k)]).T
        return np.sum(q[tuples].prod(axis=0) * f(weights[tuples]))

    return {**COMMON, "z": states, "q": lambda z: q[z], "p_xz": lambda z: joint[z], "p_x": joint.sum(),
            "posterior": lambda z: joint[z] / joint.sum(), "total": lambda f: np.sum(f(states)),
            "KL": lambda a, b: np.sum(a(states) * np.log(a(states) / b(states))),
            "E": lambda f: expectation(lambda w: f({i + 1: w[i] for i in range(3)}), 3),
            "L": lambda k: expectation(lambda w: iwae(np.log(w)), k)}


def relaxed(rng):
    """Logits of three categories, a temperature, a point y of the simplex and a number s."""
    l = {k: value for k, value in zip((1, 2, 3), rng.uniform(-1, 1, 3))}
    alpha, tau = {k: np.exp(l[k]) for k in l}, away_from(rng, 1, low=0.6, high=1.4)
    y = dict(zip(l, rng.dirichlet([5.0] * 3)))
    u, logits = rng.random((DRAWS, 3)), np.array([*l.values()])
    soft = gumbel_softmax(logits, u, tau)

    def noise_of(v):  # G of (y_1, y_2, s), with y_3 = 1 − y_1 − y_2
        return np.array([tau * np.log(a) - l[k] + tau * v[2] for k, a in zip(l, (v[0], v[1], 1 - v[0] - v[1]))])

    def density(y):
        return (2 * tau**2 * np.prod([alpha[k] * y[k] ** (-tau - 1) for k in l], axis=0)
                / sum(alpha[k] * y[k] ** -tau for k in l) ** 3)

    def under_the_density(f):  # over a = log y_1/y_3 and b = log y_2/y_3, whose Jacobian is 1/(y_1 y_2 y_3)
        z = np.linspace(-50, 50, 601)
        e = np.stack(np.broadcast_arrays(np.exp(z[:, None]), np.exp(z), 1.0))
        y = dict(zip(l, e / e.sum(axis=0)))
        return np.sum(f(y) * density(y) * y[1] * y[2] * y[3]) * (z[1] - z[0]) ** 2

    every = lambda f: [f(k) for k in l]
    return {**COMMON, "integral": over(-40, 80), "l": l, "alpha": alpha, "tau": tau, "y": y, "k": 2,
            "s": away_from(rng, 0), "gumbel": lambda g: np.exp(-g - np.exp(-g)), "total": lambda f: sum(every(f)),
            "product": lambda f: np.prod(every(f), axis=0), "factorial": lambda n: {2: 2}[n],
            "others": lambda f: np.prod([f(j) for j in l if j != 2], axis=0), "G": noise_of,
            "v": np.array([y[1], y[2], 0.3]), "E": under_the_density, "draws": lambda f: mean(f(dict(zip(l, soft.T)))),
            "first": lambda y, k: np.argmax(np.stack([*y.values()]), axis=0) == k - 1, "p": density}


def binary_relaxed(rng):
    l, tau, c = away_from(rng, 0), away_from(rng, 1, low=0.6, high=1.4), away_from(rng, 0.5, low=0.2, high=0.8)
    noise = rng.random(DRAWS)
    return {**COMMON, "l": l, "tau": tau, "c": c, "alpha": np.exp(l), "a": tau * np.log(c / (1 - c)) - l,
            "below": lambda a, b: (a <= b).astype(float), "draws": lambda g: mean(g(noise))}


# -------------------------------------------------------------------------------------------------- the derivations

DENSITIES = "[densities.py](../../vae_np/densities.py), tested in [test_densities.py](../../tests/test_densities.py)"

DERIVATIONS = [
    Derivation("log p(x) = ELBO + KL",
               "[models.py](../../vae_np/models.py), tested in [test_vae.py](../../tests/test_vae.py)",
               one_latent, [
        ("The evidence is the bound and the gap. $q$ may be any density that is positive where the posterior is.", [
            Line("", "log(p_x)", "The evidence is a number; it does not know of z."),
            Line("=", "log(p_x) * integral(lambda z: q(z))", "A density integrates to one."),
            Line("=", "E_q(lambda z: log(p_x))", "A constant goes under the integral."),
            Line("=", "E_q(lambda z: log(p_xz(z) / posterior(z)))",
                 "The product rule, p(x, z) = p(z|x) p(x), holds at every z."),
            Line("=", "E_q(lambda z: log(p_xz(z) / q(z) * (q(z) / posterior(z))))", "Multiply and divide by q(z|x)."),
            Line("=", "E_q(lambda z: log(p_xz(z) / q(z))) + E_q(lambda z: log(q(z) / posterior(z)))",
                 "The logarithm of a product; the expectation of a sum. The first term is the ELBO."),
            Line("=", "E_q(lambda z: log(p_xz(z) / q(z))) + KL(q, posterior)",
                 "The second is the divergence, by definition."),
        ]),
        ("The ELBO in its two forms, and as the model computes it.", [
            Line("", "E_q(lambda z: log(p_xz(z) / q(z)))", "The ELBO."),
            Line("=", "E_q(lambda z: log(p_x_z(z)) + log(p_z(z)) - log(q(z)))",
                 "p(x, z) = p(x|z) p(z): the first form."),
            Line("=", "E_q(lambda z: log(p_x_z(z))) - E_q(lambda z: log(q(z) / p_z(z)))", "The expectation of a sum."),
            Line("=", "E_q(lambda z: log(p_x_z(z))) - KL(q, p_z)",
                 "The second form: how well x is told, less what telling it costs."),
            Line("=", "E_eps(lambda eps: -vae(eps))",
                 "What `vae(...)` returns for one draw ε is one sample of −ELBO: its mean over ε has the sign turned."),
        ]),
        ("The gap is never negative, so the ELBO is a lower bound.", [
            Line("", "-KL(q, posterior)", "The gap, with its sign turned."),
            Line("=", "E_q(lambda z: log(posterior(z) / q(z)))",
                 "A quotient turned over changes the logarithm's sign."),
            Line("≤", "log(E_q(lambda z: posterior(z) / q(z)))",
                 "Jensen's inequality: the logarithm is concave. Equality only where the quotient is constant, that "
                 "is q = p(z|x)."),
            Line("=", "log(integral(lambda z: posterior(z)))", "q cancels."),
            Line("=", "0", "A density integrates to one, and log 1 is nothing."),
        ]),
        ("One step uphill in φ on the ELBO is one step downhill on the gap: log p(x) does not depend on φ.", [
            Line("", "d(lambda mu: integral(lambda z: N(z, mu, s2) * log(p_xz(z) / N(z, mu, s2))), mu)",
                 "The ELBO's slope in μ."),
            Line("=", "d(lambda mu: log(p_x) - integral(lambda z: N(z, mu, s2) * log(N(z, mu, s2) / posterior(z))), "
                 "mu)",
                 "ELBO = log p(x) − KL."),
            Line("=", "-d(lambda mu: integral(lambda z: N(z, mu, s2) * log(N(z, mu, s2) / posterior(z))), mu)",
                 "The evidence is a constant here."),
        ]),
    ]),
    Derivation("The Gaussian divergence in closed form", f"`gaussian_kl` in {DENSITIES}", one_latent, [
        ("One latent: q = N(μ, σ²) against p = N(0, 1). This is the post's exercise.", [
            Line("", "E_q(lambda z: log(q(z)) - log(p_z(z)))", "The definition."),
            Line("=", "E_q(lambda z: -1 / 2 * log(2 * pi * s2) - (z - mu) ** 2 / (2 * s2)"
                      " - (-1 / 2 * log(2 * pi) - z ** 2 / 2))", "The two log densities, written out."),
            Line("=", "E_q(lambda z: -1 / 2 * log(s2) - (z - mu) ** 2 / (2 * s2) + z ** 2 / 2)", "The 2π cancel."),
            Line("=", "-1 / 2 * log(s2) - E_q(lambda z: (z - mu) ** 2) / (2 * s2) + E_q(lambda z: z ** 2) / 2",
                 "The expectation of a sum; what does not depend on z comes out."),
            Line("=", "-1 / 2 * log(s2) - s2 / (2 * s2) + (mu ** 2 + s2) / 2",
                 "The variance of q is σ², its second moment μ² + σ² (next chain)."),
            Line("=", "-1 / 2 * (1 + log(s2) - mu ** 2 - s2)", "Collect: the post's formula."),
            Line("=", "gaussian_kl(mu, log(s2))", "What `vae_np` computes, from μ and log σ²."),
        ]),
        ("The second moment.", [
            Line("", "E_q(lambda z: z ** 2)", "Asked for above."),
            Line("=", "E_q(lambda z: (z - mu) ** 2 + 2 * mu * z - mu ** 2)", "Complete the square."),
            Line("=", "E_q(lambda z: (z - mu) ** 2) + 2 * mu * E_q(lambda z: z) - mu ** 2", "Term by term."),
            Line("=", "s2 + mu ** 2", "Variance σ², mean μ."),
        ]),
        ("Its derivative in μ pulls the mean to the prior's.", [
            Line("", "d(lambda mu: -1 / 2 * (1 + log(s2) - mu ** 2 - s2), mu)", "From the closed form."),
            Line("=", "mu", "Only μ² depends on μ."),
            Line("=", "dKL_dmu(mu, log(s2))", "What `value_and_grad` returns for `gaussian_kl`."),
        ]),
        ("Its derivative in t = log σ² pulls the variance to 1.", [
            Line("", "d(lambda t: -1 / 2 * (1 + t - mu ** 2 - exp(t)), t)", "σ² = e^t."),
            Line("=", "-1 / 2 * (1 - exp(t))", "Term by term."),
            Line("=", "1 / 2 * (s2 - 1)", "e^t = σ² again: zero where σ = 1."),
            Line("=", "dKL_dt(mu, t)", "What `value_and_grad` returns."),
        ]),
    ]),
    Derivation("Several latents: the divergences add up", f"`gaussian_kl` in {DENSITIES}", several_latents, [
        ("q and p are products over k, and so the divergence is a sum; here of two.", [
            Line("", "plane(lambda a, b: N(a, mu[1], s2[1]) * N(b, mu[2], s2[2]) * log(N(a, mu[1], s2[1])"
                     " * N(b, mu[2], s2[2]) / (N(a, 0, 1) * N(b, 0, 1))))", "The definition, in the plane (a, b)."),
            Line("=", "total(lambda k: integral(lambda z: N(z, mu[k], s2[k]) * log(N(z, mu[k], s2[k]) / N(z, 0, 1))))",
                 "The logarithm of a product is a sum, and the other density integrates to one."),
            Line("=", "-1 / 2 * total(lambda k: (1 + log(s2[k]) - mu[k] ** 2 - s2[k]))", "One latent, twice."),
            Line("=", "gaussian_kl(mu, s2)", "What `vae_np` computes over the last axis."),
        ]),
    ]),
    Derivation("The derivative of the Bernoulli NLL in its logit", f"`bernoulli_nll` in {DENSITIES}", one_pixel, [
        ("From the probability to the logit l; x may be gray, between 0 and 1.", [
            Line("", "-(x * log(sg(l)) + (1 - x) * log(1 - sg(l)))",
                 "−log Bern(x | σ(l)): the binary cross-entropy. Here a probability that rounds to 0 or 1 ends in log "
                 "0."),
            Line("=", "-(x * log(sg(l)) + (1 - x) * log(sg(-l)))", "1 − σ(l) = σ(−l)."),
            Line("=", "-(x * (l - log(1 + exp(l))) - (1 - x) * log(1 + exp(l)))",
                 "σ(l) = e^l / (1 + e^l) and σ(−l) = 1 / (1 + e^l)."),
            Line("=", "log(1 + exp(l)) - x * l", "Collect: no probability is formed any more."),
            Line("=", "bernoulli_nll(x, l)", "What `vae_np` computes, with a softplus that does not overflow."),
        ]),
        ("The derivative.", [
            Line("", "d(lambda l: log(1 + exp(l)) - x * l, l)", "From the last chain."),
            Line("=", "exp(l) / (1 + exp(l)) - x", "The chain rule."),
            Line("=", "1 / (1 + exp(-l)) - x", "Divide both by e^l."),
            Line("=", "sg(l) - x", "Prediction less truth: zero for gray x too, where the prediction is x."),
            Line("=", "value_and_grad(x, l)", "What `value_and_grad` returns for `bernoulli_nll`."),
        ]),
    ]),
    Derivation("Why gradient and expectation may change places",
               f"`location_scale` in {DENSITIES}; both estimators race in "
               f"[gradient_estimators.py](../gradient_estimators.py)",
               one_latent, [
        ("The substitution z = μ + σε, for any f; here f(z) = log p(x|z).", [
            Line("", "integral(lambda z: N(z, mu, s2) * f(z))",
                 "An expectation under a density that depends on μ and σ."),
            Line("=", "integral(lambda eps: sigma * N(mu + sigma * eps, mu, s2) * f(mu + sigma * eps))",
                 "Substitute: dz = σ dε."),
            Line("=", "integral(lambda eps: N(eps, 0, 1) * f(mu + sigma * eps))",
                 "σ N(μ + σε | μ, σ²) = N(ε | 0, 1): the density no longer knows μ and σ."),
        ]),
        ("The gradient in μ.", [
            Line("", "d(lambda mu: integral(lambda z: N(z, mu, s2) * f(z)), mu)",
                 "What is wanted. The density itself depends on μ, so the gradient is not that of f alone."),
            Line("=", "d(lambda mu: E_eps(lambda eps: f(mu + sigma * eps)), mu)", "The substitution."),
            Line("=", "E_eps(lambda eps: d(lambda mu: f(mu + sigma * eps), mu))",
                 "Now they may change places: neither the density nor the range of ε depends on μ, f is "
                 "differentiable, and its "
                 "slope is bounded (here by Σ|w|), so that dominated convergence applies."),
            Line("=", "E_eps(lambda eps: f1(mu + sigma * eps))", "The chain rule; ∂z/∂μ = 1."),
            Line("≈", "draws(lambda eps: f1(mu + sigma * eps))",
                 "An expectation, so a mean of draws estimates it without bias."),
        ]),
        ("The gradient in t = log σ².", [
            Line("", "d(lambda t: integral(lambda z: N(z, mu, exp(t)) * f(z)), t)", "What is wanted."),
            Line("=", "E_eps(lambda eps: d(lambda t: f(mu + exp(t / 2) * eps), t))", "Substitute, and change places."),
            Line("=", "E_eps(lambda eps: f1(mu + exp(t / 2) * eps) * (exp(t / 2) * eps / 2))",
                 "The chain rule; ∂z/∂t = ½σε."),
            Line("=", "value_and_grad(t, mu)",
                 "Backpropagation through `location_scale` and `bernoulli_nll`, over a grid of ε."),
        ]),
        ("Where they may not: a step has slope zero wherever it has one, and still its mean depends on μ.", [
            Line("", "d(lambda mu: positive(lambda z: N(z, mu, s2)), mu)", "The mean of a step is the mass above 0."),
            Line("=", "N(0, mu, s2)", "Moving the density to the right moves that much mass across 0."),
            Line("≠", "E_eps(lambda eps: d(lambda mu: step(mu + sigma * eps), mu))",
                 "Changed places all the same: f is not differentiable at 0, and the gradient is lost."),
            Line("=", "0",
                 "Every draw says that nothing changes. So a discrete z needs another way, such as a relaxation."),
        ]),
    ]),
    Derivation("The score function, beside it", "[gradient_estimators.py](../gradient_estimators.py), "
               "[helmholtz.py](../../vae_np/extensions/helmholtz.py), tested in "
               "[test_helmholtz.py](../../tests/test_helmholtz.py)",
               one_latent, [
        ("The same gradient without a slope of f.", [
            Line("", "d(lambda mu: integral(lambda z: N(z, mu, s2) * f(z)), mu)", "What is wanted, as before."),
            Line("=", "integral(lambda z: d(lambda mu: N(z, mu, s2), mu) * f(z))",
                 "The range of z does not depend on μ, and the density is smooth in it: differentiate under the "
                 "integral."),
            Line("=", "integral(lambda z: N(z, mu, s2) * d(lambda mu: log(N(z, mu, s2)), mu) * f(z))",
                 "∂q = q ∂ log q: an expectation again."),
            Line("=", "E_q(lambda z: (z - mu) / s2 * f(z))", "The score of a Gaussian in its mean."),
            Line("≈", "draws(lambda eps: eps / sigma * f(mu + sigma * eps))",
                 "Estimated by draws z = μ + σε; f is only evaluated."),
            Line("≈", "E_q(lambda z: f1(z))", "The same number as by reparameterization (Stein's identity)."),
        ]),
        ("The score has mean zero, so a constant may be taken from f.", [
            Line("", "E_q(lambda z: (z - mu) / s2 * (f(z) - c))", "A baseline c, any number."),
            Line("=", "E_q(lambda z: (z - mu) / s2 * f(z)) - c * E_q(lambda z: (z - mu) / s2)",
                 "The expectation of a difference."),
            Line("=", "E_q(lambda z: (z - mu) / s2 * f(z))", "Its mean does not change; its variance does."),
        ]),
        ("The price, at these numbers: the variance of one draw. No law: for an f that wriggles fast, it turns "
         "round.", [
            Line("", "V_q(lambda z: f1(z))", "Reparameterized: the variance of the slope."),
            Line("=", "E_q(lambda z: f1(z) ** 2) - E_q(lambda z: f1(z)) ** 2", "Written out."),
            Line("≤", "E_q(lambda z: ((z - mu) / s2 * f(z)) ** 2) - E_q(lambda z: f1(z)) ** 2",
                 "The means are equal; the second moments are not."),
            Line("=", "V_q(lambda z: (z - mu) / s2 * f(z))", "The score function's."),
        ]),
    ]),
    Derivation("The determinant of a planar map, and why w'û > −1",
               "`planar` and `planar_direction` in [flows.py](../../vae_np/extensions/flows.py), tested in "
               "[test_flows.py](../../tests/test_flows.py)", planar_map, [
        ("f(z) = z + û tanh(w'z + b), in three dimensions. ψ = (1 − tanh²(w'z + b)) w is the slope of the tanh in z.", [
            Line("", "det(jacobian(f, z))", "Three by three; in general d by d, at a cost of d³."),
            Line("=", "det(identity + outer(direction, psi))", "The identity and a matrix of rank one."),
            Line("=", "det(block(identity, direction, minus(row), 1))",
                 "One dimension more: eliminate the last column with the 1 in the corner, and the line above is left."),
            Line("=", "1 + psi @ direction",
                 "Eliminate the last row with I instead: this is left. The matrix determinant lemma."),
            Line("=", "1 + (1 - tanh(w @ z + b) ** 2) * (w @ direction)", "ψ written out: a cost of d."),
        ]),
        ("Its logarithm, as `planar` returns it.", [
            Line("", "log(absolute(det(jacobian(f, z))))", "What the density is divided by."),
            Line("=", "log(absolute(1 + (1 - tanh(w @ z + b) ** 2) * (w @ direction)))", "The last chain."),
            Line("=", "log(1 + (1 - tanh(w @ z + b) ** 2) * (w @ direction))",
                 "It is positive, as the last chain here shows."),
            Line("=", "planar(z)", "What `planar(d)` returns beside z."),
        ]),
        ("û is built so that w'û > −1, whatever u is: with m(a) = log(1 + e^a) − 1.", [
            Line("", "w @ direction", "What must exceed −1."),
            Line("=", "w @ (u + (m(w @ u) - w @ u) * w / square(w))", "The definition of û: u, moved along w alone."),
            Line("=", "w @ u + (m(w @ u) - w @ u) * (w @ w) / square(w)", "Multiply out."),
            Line("=", "m(w @ u)", "w'w = ‖w‖², and w'u cancels."),
            Line("=", "log(1 + exp(w @ u)) - 1", "The definition of m."),
            Line(">", "log(1) - 1", "e^a > 0."),
            Line("=", "-1", ""),
        ]),
        ("Why that is enough. f moves z along û by an amount that depends on s = w'z alone; if s ↦ w'f(z) rises, f "
         "can be undone.", [
            Line("", "w @ f(z)", "The image's coordinate along w."),
            Line("=", "w @ z + slope * tanh(w @ z + b)", "A function of s = w'z."),
        ]),
        ("Its slope in s:", [
            Line("", "d(lambda s: s + slope * tanh(s + b), s)", "To be positive everywhere."),
            Line("=", "1 + slope * (1 - tanh(s + b) ** 2)", "The determinant again."),
            Line("≥", "least(1, 1 + slope)", "1 − tanh² lies between 0 and 1, so the slope lies between its ends."),
            Line("=", "least(1, log(1 + exp(w @ u)))", "The chain before the last."),
            Line(">", "0", "So f is invertible, and the determinant has no absolute value to take."),
        ]),
        ("Why it is needed. With w'û = −2 and b = 0 there is an s* > 0 where s = 2 tanh s, and three points have one "
         "image.", [
            Line("", "root - 2 * tanh(root)", "The image of s*."),
            Line("=", "-root - 2 * tanh(-root)", "The image of −s*: tanh is odd."),
            Line("=", "0", "The image of 0 is 0 as well."),
        ]),
    ]),
    Derivation("log w, and why a bound of k samples is tighter",
               "`log_weight` in [models.py](../../vae_np/models.py), `iwae` in "
               "[bounds.py](../../vae_np/extensions/bounds.py), "
               "tested in [test_bounds.py](../../tests/test_bounds.py)", four_states, [
        ("One weight, w = p(x, z) / q(z|x), at every z.", [
            Line("", "log(p_xz(z) / q(z))", "The log-weight of a draw z."),
            Line("=", "log(p_x) + log(posterior(z) / q(z))",
                 "p(x, z) = p(x) p(z|x). If q is the posterior, log w = log p(x) for every z."),
        ]),
        ("A weight is an unbiased estimate of p(x).", [
            Line("", "E(lambda w: w[1])", "w₁ is the weight of a draw from q."),
            Line("=", "total(lambda z: q(z) * (p_xz(z) / q(z)))", "The expectation is a sum over z."),
            Line("=", "total(lambda z: p_xz(z))", "q cancels."),
            Line("=", "p_x", "The marginal."),
        ]),
        ("One sample: the ELBO.", [
            Line("", "L(1)", "The mean of `iwae` over one draw."),
            Line("=", "E(lambda w: log(w[1]))", "The ELBO."),
            Line("=", "log(p_x) - KL(q, posterior)", "The first derivation."),
            Line("≤", "log(E(lambda w: w[1]))", "Jensen."),
            Line("=", "log(p_x)", "The weight is unbiased; its logarithm is not."),
        ]),
        ("Three samples: still a bound, for the mean of three weights is unbiased too.", [
            Line("", "L(3)", "The mean of `iwae` over three draws."),
            Line("=", "E(lambda w: log((w[1] + w[2] + w[3]) / 3))", "The logarithm of the mean weight."),
            Line("≤", "log(E(lambda w: (w[1] + w[2] + w[3]) / 3))", "Jensen, once."),
            Line("=", "log((p_x + p_x + p_x) / 3)", "Each weight has mean p(x)."),
            Line("=", "log(p_x)", ""),
        ]),
        ("And tighter than two: a mean of three is the mean of the means of its pairs. For k and m < k alike, with "
         "all subsets of m.", [
            Line("", "L(3)", ""),
            Line("=", "E(lambda w: log((w[1] + w[2] + w[3]) / 3))", "As above."),
            Line("=", "E(lambda w: log(((w[1] + w[2]) / 2 + (w[1] + w[3]) / 2 + (w[2] + w[3]) / 2) / 3))",
                 "Every weight stands in two of the three pairs."),
            Line("≥", "E(lambda w: (log((w[1] + w[2]) / 2) + log((w[1] + w[3]) / 2) + log((w[2] + w[3]) / 2)) / 3)",
                 "Jensen, on the mean over the three pairs, inside the expectation."),
            Line("=", "(E(lambda w: log((w[1] + w[2]) / 2)) + E(lambda w: log((w[1] + w[3]) / 2))"
                      " + E(lambda w: log((w[2] + w[3]) / 2))) / 3", "The expectation of a sum."),
            Line("=", "E(lambda w: log((w[1] + w[2]) / 2))", "The draws are alike, so every pair has the same law."),
            Line("=", "L(2)", "The mean of `iwae` over two draws."),
        ]),
    ]),
    Derivation("The binary Concrete density",
        "`binary_concrete` in [relaxed.py](../../vae_np/extensions/relaxed.py), tested in "
               "[test_relaxed.py](../../tests/test_relaxed.py)", binary_relaxed, [
        ("y = σ((l + log u − log(1 − u)) / τ), u uniform. How often does y stay below c?", [
            Line("", "draws(lambda u: below(sg((l + log(u) - log(1 - u)) / tau), c))",
                 "The share of draws of which it is true."),
            Line("=", "draws(lambda u: below(log(u / (1 - u)), tau * log(c / (1 - c)) - l))",
                 "σ rises: apply its inverse, log c/(1 − c), to both sides."),
            Line("=", "draws(lambda u: below(u, sg(tau * log(c / (1 - c)) - l)))",
                 "Once more: u is σ of its own logit."),
            Line("≈", "sg(tau * log(c / (1 - c)) - l)",
                 "u is uniform: below a number a between 0 and 1 with probability a."),
        ]),
        ("The density is its derivative; α = e^l.", [
            Line("", "d(lambda c: sg(tau * log(c / (1 - c)) - l), c)", "The distribution function, differentiated."),
            Line("=", "sg(a) * sg(-a) * d(lambda c: tau * log(c / (1 - c)) - l, c)",
                 "The chain rule, a = τ log c/(1 − c) − l."),
            Line("=", "sg(a) * sg(-a) * tau / (c * (1 - c))", "The logit's slope."),
            Line("=", "tau * alpha * (c * (1 - c)) ** (-tau - 1) / (alpha * c ** (-tau) + (1 - c) ** (-tau)) ** 2",
                 "e^a = c^τ (1 − c)^−τ / α put in: the published form (Maddison, Mnih & Teh, 2017)."),
        ]),
    ]),
    Derivation("The Concrete density of three categories",
        "`gumbel_softmax` in [relaxed.py](../../vae_np/extensions/relaxed.py), "
               "tested in [test_relaxed.py](../../tests/test_relaxed.py)", relaxed, [
        ("Gumbel-max first: the largest of l_k + G_k is a draw from softmax(l), here its second category, k = 2; α = "
         "e^l.", [
            Line("", "integral(lambda g: gumbel(g - l[k]) * others(lambda j: exp(-exp(-(g - l[j])))))",
                 "l_k + G_k is g, and each other one stays below g: e^(−e^(−g)) is the Gumbel's distribution "
                 "function."),
            Line("=", "integral(lambda g: alpha[k] * exp(-g) * exp(-exp(-g) * total(lambda j: alpha[j])))",
                 "The density is e^(−g) times the distribution function, which completes the product: one exponent."),
            Line("=", "alpha[k] / total(lambda j: alpha[j])",
                 "Substitute t = e^(−g): the integral of e^(−tA) is 1/A. The softmax."),
            Line("≈", "draws(lambda y: first(y, k))",
                 "The share of the draws of `gumbel_softmax` whose largest entry is the k-th, at any τ."),
        ]),
        ("From y to the noise. If s is the logarithm of the softmax's denominator, G_k = τ log y_k − l_k + τ s; "
         "and y₃ = 1 − y₁ − y₂. The volume that (y₁, y₂, s) spans in G:", [
            Line("", "absolute(det(jacobian(G, v)))", "v = (y₁, y₂, s)."),
            Line("=", "tau ** 3 * (1 / (y[1] * y[2]) + 1 / (y[2] * y[3]) + 1 / (y[1] * y[3]))",
                 "Expanded along the column of s."),
            Line("=", "tau ** 3 * (y[1] + y[2] + y[3]) / (y[1] * y[2] * y[3])", "One denominator."),
            Line("=", "tau ** 3 / (y[1] * y[2] * y[3])", "y lies on the simplex."),
        ]),
        ("The density of y and s: that volume times the density of the three Gumbels.", [
            Line("", "tau ** 3 / (y[1] * y[2] * y[3]) * product(lambda k: gumbel(tau * log(y[k]) - l[k] + tau * s))",
                 "A change of variables."),
            Line("=", "tau ** 3 * (product(lambda k: alpha[k] * y[k] ** (-tau - 1)) * exp(-3 * tau * s)"
                      " * exp(-exp(-tau * s) * total(lambda k: alpha[k] * y[k] ** (-tau))))",
                 "e^(−G_k) = α_k y_k^(−τ) e^(−τs), once as a factor and once in the exponent."),
        ]),
        ("s is integrated out.", [
            Line("", "integral(lambda s: tau ** 3 * (product(lambda k: alpha[k] * y[k] ** (-tau - 1)) * exp(-3 * tau "
                 "* s)"
                     " * exp(-exp(-tau * s) * total(lambda k: alpha[k] * y[k] ** (-tau)))))",
                     "The density of y alone."),
            Line("=", "tau ** 2 * (product(lambda k: alpha[k] * y[k] ** (-tau - 1))"
                      " * positive(lambda t: t ** 2 * exp(-t * total(lambda k: alpha[k] * y[k] ** (-tau)))))",
                 "Substitute t = e^(−τs), ds = −dt/(τt)."),
            Line("=", "factorial(2) * tau ** 2 * (product(lambda k: alpha[k] * y[k] ** (-tau - 1))"
                      " / total(lambda k: alpha[k] * y[k] ** (-tau)) ** 3)",
                 "The Gamma integral: 2!/A³. For K categories (K − 1)! τ^(K−1) and A^K: the published density."),
            Line("=", "p(y)", "The function that the last chain integrates."),
        ]),
        ("It is the density of what the code draws.", [
            Line("", "E(lambda y: y[1] ** 2)", "Under this density, by quadrature over the simplex."),
            Line("≈", "draws(lambda y: y[1] ** 2)", "Over draws of `gumbel_softmax`."),
        ]),
        ("And a density.", [
            Line("", "E(lambda y: 1)", "It integrates ..."),
            Line("=", "1", "... to one."),
        ]),
    ]),
]


# ------------------------------------------------------------------------------------------------------ the judgement

def allowed(relation, before, after):
    """How far apart two lines may lie."""
    if relation == "≈":
        return 4 * sum(side.error for side in (before, after) if isinstance(side, Estimate))
    return ROUNDING * max(1.0, float(np.max(np.abs(number(after)))))


def number(value):
    return value.mean if isinstance(value, Estimate) else value


def holds(relation, before, after):
    """Whether `before relation after` is true to the tolerance; arrays entry by entry."""
    tolerance, difference = allowed(relation, before, after), np.subtract(number(before), number(after), dtype=float)
    if not np.all(np.isfinite(difference)):
        return False
    if relation in "=≈":
        return bool(np.all(np.abs(difference) <= tolerance))
    if relation == "≠":
        return bool(np.all(np.abs(difference) > tolerance))
    difference = difference if relation in "≥>" else -difference
    return bool(np.all(difference > tolerance) if relation in "<>" else np.all(difference >= -tolerance))


def evaluate(code, scope):
    return eval(compile(code, "<line>", "eval"), scope)


def shown(value):
    value = np.ravel(number(value))
    return ", ".join(f"{v + 0.0:.6f}" for v in np.where(np.abs(value) < 5e-7, 0, value))


def judged(seed):
    """Every line as (derivation's number, chain's, line's, line, value, the value before, whether it holds)."""
    for i, derivation in enumerate(DERIVATIONS, start=1):
        scope = derivation.scope(np.random.default_rng([seed, i]))
        for j, (_, lines) in enumerate(derivation.chains, start=1):
            before = None
            for n, line in enumerate(lines, start=1):
                value = evaluate(line.code, dict(scope))
                yield i, j, n, line, value, before, before is None or holds(line.relation, before, value)
                before = value


def page(seed=0):
    """derivations.md, as text."""
    out = ["# Derivations, line by line", "",
           "Every line below is a Python expression in [derivations.py](derivations.py), set as a formula by "
           "[latex.py](latex.py) "
           "and evaluated at random numbers. The number above a formula is its value at those of seed 0; a line that "
           "belongs to "
           "`=` agrees with the one before to rounding (10⁻¹¹), one that belongs to `≈` within four standard errors "
           "of a mean "
           f"over {DRAWS:,} draws. That the numbers agree is a test and no proof: the proof is the reason above each "
           f"line.", "",
           "`python demos/lesson/derivations.py` prints both sides and their difference for any `--seed`; "
           "[test_derivations.py](../../tests/test_derivations.py) runs it, changes one sign, constant or function of "
           "one line at a "
           "time, and finds each change caught. Written by `python demos/lesson/derivations.py --write`.", "",
           "Integrals without limits run over the whole line. The latents are few and the pixels too, so that "
           "everything can "
           "be integrated; nothing in the reasons depends on that. Letters: [README.md](README.md).", ""]
    for i, derivation in enumerate(DERIVATIONS, start=1):
        out.append(f"{i}. [{derivation.title}](#{anchor(f'{i}. {derivation.title}')})")
    rows = judged(seed)
    for i, derivation in enumerate(DERIVATIONS, start=1):
        out += ["", f"## {i}. {derivation.title}", "", f"In the code: {derivation.where}."]
        for j, (what, lines) in enumerate(derivation.chains, start=1):
            out += ["", f"**{i}.{j}** {what}", ""]
            for line in lines:
                value = next(rows)[4]
                relation = {"≤": r"\le", "≥": r"\ge", "≈": r"\approx", "≠": r"\ne"}.get(line.relation, line.relation)
                out += [f"{line.why} `{shown(value)}`".strip(), ""]
                out += ["```math", f"{relation} {latex(line.code)}".strip(), "```", ""]
    return "\n".join(out).rstrip() + "\n"


def anchor(heading):
    """As GitHub names the place of a heading."""
    return "".join("-" if c == " " else c for c in heading.lower() if c.isalnum() or c in " -_")


def main(arguments):
    if arguments.write:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page())
        return
    wrong = 0
    for i, j, n, line, value, before, right in judged(arguments.seed):
        if n == 1:
            derivation = DERIVATIONS[i - 1]
            heading = ["", f"{i}. {derivation.title}"] if j == 1 else []
            print(*heading, "", f"{i}.{j} {derivation.chains[j - 1][0]}", sep="\n")
        print(f"  {line.relation or ' '} {line.code}\n      {shown(value)}", end="")
        if before is not None:
            far = np.max(np.abs(np.subtract(number(before), number(value), dtype=float)))
            print(f"   |difference| {far:.1e}", end="")
            print(f", allowed {allowed(line.relation, before, value):.1e}" if line.relation in "=≈" else "", end="")
            print("" if right else f"   WRONG: {shown(before)} {line.relation} {shown(value)}", end="")
        print(f"   {line.why}")
        wrong += not right
    print(f"\n{wrong} lines are wrong" if wrong else "\nevery line agrees with the one before")
    sys.exit(1 if wrong else 0)


parser = common.Parser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=common.non_negative, default=0, help="of the random numbers (default 0)")
parser.add_argument("--write", action="store_true", help="write derivations.md, of seed 0")

if __name__ == "__main__":
    main(parser.parse_args())
