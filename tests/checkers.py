"""The judges: what every test in this folder measures by. `test_checkers.py` shows that each of them can fail."""

import numpy as np

from vae_np import astype, value_and_grad
from vae_np.nests import leaves, paths, rebuild

EPS = np.finfo(np.float64).eps


def numerical_gradient(loss, params, *args, step=1e-4):
    """∂loss/∂p by central differences on the flat parameter vector, and a bound on their error, entry by entry.

    A difference with step h errs by a term in h² and by rounding, eps |loss| / h. The first is seen by doubling h:
    D(2h) − D(h) is three times the error of D(h). The bound is twice the first and 50 times the second, since a loss
    adds up many rounded terms.
    """
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves(params)]).astype(np.float64)
    sizes = np.cumsum([np.size(leaf) for leaf in leaves(params)])[:-1]

    def at(vector):
        pieces = np.split(vector, sizes)
        return float(loss(rebuild(params, [piece.reshape(np.shape(leaf))
                                           for piece, leaf in zip(pieces, leaves(params))]), *args))

    def difference(i, h):
        forward, backward = flat.copy(), flat.copy()
        forward[i] += h
        backward[i] -= h
        return (at(forward) - at(backward)) / (forward[i] - backward[i])

    near, far = (np.array([difference(i, h) for i in range(flat.size)]) for h in (step, 2 * step))
    return near, 2 * np.abs(far - near) / 3 + 50 * EPS * abs(at(flat)) / step


def assert_gradient(loss, params, *args):
    """The gradient of loss with respect to every parameter equals central differences, in float64, noise fixed."""
    params = astype(params, np.float64)
    _, gradient = value_and_grad(loss)(params, *args)
    found = np.concatenate([np.ravel(g) for g in leaves(gradient)])
    expected, bound = numerical_gradient(loss, params, *args)
    where = np.repeat(paths(params), [np.size(leaf) for leaf in leaves(params)])
    wrong = np.abs(found - expected) > bound
    assert not wrong.any(), "\n".join(
        f"∂/∂{path}: {f:.10g}, by differences {e:.10g} ± {b:.1g}"
        for path, f, e, b in list(zip(where[wrong], found[wrong], expected[wrong], bound[wrong]))[:5])
    assert np.max(bound) <= 1e-4 * max(np.max(np.abs(expected)), 1e-3), "the differences are too rough to judge by"


def assert_mean(samples, truth, errors=4):
    """The mean of independent samples (along axis 0) lies within four standard errors of the truth, entry by entry."""
    samples = np.asarray(samples, np.float64)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    distance = np.abs(samples.mean(axis=0) - truth)
    assert np.all(distance <= errors * error + 1e-12), (
        f"mean {samples.mean(axis=0)}, expected {truth}: {np.max(distance / error):.1f} standard errors away")
