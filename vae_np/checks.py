"""Refusals, each a call of one line where it is needed: what was wrong, where, and what was expected."""

import inspect

import numpy as np
from autograd.tracer import isbox

from vae_np.nests import leaves, paths, rebuild

INSTEAD = {
    "fit": "train with `for state in train(loss, params, minibatches(...), noise, optimizer)`",
    "encode": "μ, log σ² = encoder.apply(params['phi'], x)",
    "decode": "use likelihood.mean(params['theta'], z)",
    "sample": "use likelihood.mean(params['theta'], z) at z ~ N(0, I)",
    "log_weight": "its posterior has no log_ratio, log q(z|x) − log p(z) of each sample",
    "log_ratio": "the density of its samples is not known",
    "mean": "a likelihood has one, and no other block",
}


def instead(key):
    """What to write, where a block is asked for what it has not."""
    return INSTEAD.get(key.replace("generate", "sample").replace("predict", "encode"),
                       "a block is a pair of functions, init(rng) and apply(params, ...)")


def shapes(arrays):
    """`mu (3, 2), log_var (3, 4)`."""
    return ", ".join(f"{key} {np.shape(array)}" for key, array in arrays.items())


def number(name, key, a):
    """a as an array of numbers (a Python number stays one: it takes the others' dtype)."""
    if isinstance(a, tuple):
        raise ValueError(f"{name}: {key} is {len(a)} arrays; expected one, not the outputs of heads")
    if isbox(a) or type(a) in (int, float, bool):
        return a
    a = np.asarray(a)
    if a.dtype.kind not in "biuf":
        raise ValueError(f"{name}: {key} has dtype {a.dtype}; expected real numbers")
    return a


def agree(name, **arrays):
    """The arrays broadcast, and share their last axis (a scalar goes with everything)."""
    found = [np.shape(array) for array in arrays.values()]
    if len(set(found)) > 1:
        try:
            np.broadcast_shapes(*found)
            one_width = len({shape[-1] for shape in found if shape}) == 1
        except ValueError:
            one_width = False
        if not one_width:
            raise ValueError(f"{name}: shapes disagree: {shapes(arrays)}; "
                             "expected (..., n, d) with one d")


def samples(name, eps, **arrays):
    """eps has the shape of the arrays, (n, d), or leads it by an axis of samples: (k, n, d)."""
    first, *others = (np.shape(array) for array in arrays.values())
    if any(shape != first for shape in others) or np.shape(eps)[-len(first):] != first:
        raise ValueError(f"{name}: eps has shape {np.shape(eps)}, {shapes(arrays)}; expected (n, d) "
                         "or (k, n, d) for two (n, d)")


def within(name, x, low, high, hint=""):
    """low ≤ x ≤ high, entry by entry."""
    if np.size(x) and not (np.min(x) >= low and np.max(x) <= high):  # so that a NaN fails too
        found = "holds NaN" if np.isnan(np.min(x)) else f"lies from {np.min(x):.6g} to {np.max(x):.6g}"
        raise ValueError(f"{name}: x {found}; expected [{low}, {high}]{hint}")


def counts(name, x):
    """x is a whole number and not negative, entry by entry."""
    if np.size(x) and not (np.min(x) >= 0 and np.all(x == np.rint(x)) and np.isfinite(np.max(x))):
        wrong = np.ravel(x)[~((x >= 0) & (x == np.rint(x)) & np.isfinite(x)).ravel()][0]
        raise ValueError(f"{name}: x holds {wrong:.6g}; expected counts, 0, 1, 2, …")


def outputs(name, found, *expected):
    """A network's outputs, counted: a tuple where several are expected, as of `heads`, else one array."""
    count = len(found) if isinstance(found, tuple) else 1
    if count != max(1, len(expected)):
        wanted = f"{' and '.join(expected)}, as of heads(..., ...)" if expected else "one"
        raise ValueError(f"{name}: its network gives {count} outputs; expected {wanted}")
    return found


def one_for_each_datum(name, z, **terms):
    """Each term is (n,), or (k, n) for k samples, where z is (n, d) or (k, n, d)."""
    lead = np.shape(z)[:-1]
    for key, term in terms.items():
        if np.shape(term) not in (lead, lead[-1:]) or (key == "nll" and np.shape(term) != lead):
            raise ValueError(f"{name}: {key} has shape {np.shape(term)} for z of shape {np.shape(z)}; "
                             f"expected one number for each datum, {lead}")


def layer(name, params, x, n_in, n_out):
    """A dense layer's parameters are W (n_in, n_out) and b (n_out,), and x has n_in features."""
    if not hasattr(params, "keys") or {*params.keys()} != {"W", "b"}:
        raise ValueError(f"{name}: parameters are {form(params)}; expected a dict of W and b")
    found = np.shape(params["W"]), np.shape(params["b"])
    if found != ((n_in, n_out), (n_out,)):
        raise ValueError(f"{name}: parameters have shapes W {found[0]}, b {found[1]}")
    if isinstance(x, tuple):
        raise ValueError(f"{name}: input is {len(x)} arrays; expected one")
    if np.shape(x)[-1:] != (n_in,):
        raise ValueError(f"{name}: input has {np.shape(x)[-1] if np.shape(x) else 'no'} features")


def form(nest):
    """`dict ['phi', 'theta']`, `list of 3`."""
    if hasattr(nest, "keys"):
        return f"dict {[*nest.keys()]}"
    return f"{type(nest).__name__} of {len(nest)}" if isinstance(nest, (list, tuple)) else type(nest).__name__


def one_each(name, blocks, params):
    """Pairs of block and parameters, a list of as many as there are blocks."""
    if hasattr(params, "keys") or not hasattr(params, "__len__"):
        part = "; a part of the model takes params['phi'] or params['theta']" * (
            hasattr(params, "keys") and {*params.keys()} == {"phi", "theta"})
        raise ValueError(f"{name}: parameters are {form(params)}; expected a list, one entry a block{part}")
    if len(params) != len(blocks):
        raise ValueError(f"{name}: parameters for {len(params)} blocks, expected {len(blocks)}")
    return zip(blocks, params)


def blocks(kind, found, *arguments):
    """All are blocks, whose apply takes these arguments."""
    for block in found:
        if not all(hasattr(block, key) for key in ("init", "apply", "name")):
            raise ValueError(f"{kind}(...): got a {type(block).__name__}; expected blocks, one argument each")
        try:
            inspect.signature(block.apply).bind(*arguments)
        except TypeError:
            raise ValueError(f"{kind}(...): apply of {block.name} does not take {', '.join(arguments)}; for "
                             "networks write vae(gaussian_posterior(encoder), bernoulli_likelihood(decoder))"
                             ) from None


def generator(name, rng):
    """rng is a numpy.random.Generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"{name}: rng is {'' if rng is None else 'a '}{type(rng).__name__}; expected a Generator, "
                         "numpy.random.default_rng(seed)")
    return rng


def parameters(arrays, where):
    """Every parameter is an array of floats; where: their paths."""
    for array, path in zip(arrays, where):
        if array.dtype.kind != "f":
            raise ValueError(f"parameter {path or 'nest'} has dtype {array.dtype}: expected floats, such as "
                             "model.init(rng) gives")


def scalar(value):
    """The loss is one number."""
    if value is None:
        raise ValueError("the loss returned None: expected a scalar; is its return missing?")
    if np.shape(value) != ():
        raise ValueError(f"the loss has shape {np.shape(value)}: expected a scalar, such as its mean over the data")


def sizes(name, *found):
    """Sizes of layers are positive integers."""
    for size in found:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name}: sizes must be integers of at least 1; got {size!r}")


def unbounded(name, outputs, decoder, theta):
    """Logits reach below 0 for some parameters; what never does, a sigmoid's probabilities or a relu's output, is none.

    Looked for only where all outputs are positive: each array of theta, and each with its neighbour (W and b), is
    turned round and made large. The true last layer then shows a negative output.
    """
    outputs = stop(outputs)
    if not np.size(outputs) or np.min(outputs) < 0 or not np.max(outputs) > 0:
        return
    arrays = [np.asarray(stop(leaf)) for leaf in leaves(theta)]
    for i in range(len(arrays) - 1, -1, -1):
        for width in (1, 2):
            turned = [-100 * a if i <= j < i + width else a for j, a in enumerate(arrays)]
            if np.min(stop(decoder(rebuild(theta, turned)))) < 0:
                return
    raise ValueError(f"{name}: its network's outputs are never negative, whatever its parameters; expected logits: "
                     "leave out the sigmoid (or relu) at its end")


def rates(name, learning_rate, epsilon, **decays):
    """The learning rate and ε are positive, the decays in [0, 1): as Python's floats, which keep float32 as it is."""
    for key, value in (("learning rate", learning_rate), ("epsilon", epsilon)):
        if not (isinstance(value, (int, float, np.number)) and 0 < value < np.inf):
            raise ValueError(f"{name}: {key} {value}: expected a positive number")
    for key, value in decays.items():
        if not (isinstance(value, (int, float, np.number)) and 0 <= value < 1):
            raise ValueError(f"{name}: {key} {value}: expected a number in [0, 1)")
    return float(learning_rate), *map(float, decays.values()), float(epsilon)


def state(name, found, *keys):
    """The optimizer's state is its own."""
    if not hasattr(found, "keys") or {*found} != {*keys}:
        raise ValueError(f"{name}: its state is {sorted(keys)}; this one, {form(found)}, is another optimizer's")


def alike(name, params, gradient, *state):
    """Gradient and state have arrays of the parameters' shapes."""
    expected = [np.shape(leaf) for leaf in leaves(params)]
    for kind, nest in zip(("gradient", *["state"] * len(state)), (gradient, *state)):
        found = [np.shape(leaf) for leaf in leaves(nest)]
        if found != expected:
            raise ValueError(f"{name}: parameters have shapes {expected}, the {kind} {found}")


def function(name, key, found, instead):
    """A function stands where one is expected."""
    if not callable(found):
        raise ValueError(f"{name}: {key} is a {type(found).__name__}; expected a function, such as {instead}")


def training(loss, batches, noise, optimizer):
    """The slips of a first hour, each answered by what to write."""
    if hasattr(loss, "apply"):
        raise ValueError("train: loss is a block; write lambda params, x, eps: np.mean(model.apply(params, x, eps)), "
                         "with autograd.numpy as np")
    if isinstance(batches, np.ndarray):  # its rows would pass for minibatches, and train without a word
        raise ValueError(f"train: batches is an array of shape {batches.shape}; expected an iterable of minibatches, "
                         "such as minibatches(rng, data, 100)")
    function("train", "noise", noise, "gaussian_noise(rng, d)")
    if not all(hasattr(optimizer, key) for key in ("init", "update")):
        raise ValueError(f"train: optimizer is {getattr(optimizer, '__name__', repr(optimizer))}; expected one with "
                         "its rate, such as adam(1e-3)")


def finite(step, x, value, gradient, params):
    """A step's batch, loss and gradient are finite; else says which was not, and advises only where it applies."""
    def finite(a):
        # One product sees every entry at once; it may overflow where all are finite, and only then are they looked at.
        return np.isfinite(np.vdot(a, a)) or np.isfinite(a).all()

    if np.isfinite(value) and all(map(finite, leaves(gradient))):
        return
    wrong = [path for path, g in zip(paths(gradient), leaves(gradient)) if not np.isfinite(g).all()]
    said = f"step {step}: the loss is {value}, the gradient not finite in " + (
        ", ".join(wrong[:3]) + ", …" * (len(wrong) > 3) or "no parameter")
    if not np.size(x):
        why = "the minibatch is empty"
    elif np.asarray(x).dtype.kind == "f" and not np.isfinite(x).all():
        why = f"the minibatch holds {'NaN' if np.isnan(x).any() else 'infinity'}"
    elif not all(np.isfinite(leaf).all() for leaf in leaves(params)):
        why = "the parameters before it are not finite"
    elif any(np.asarray(leaf).dtype == np.float16 for leaf in leaves(params)):
        why = "float16 ends at 65504: astype(params, np.float32)"
    else:
        why = "the loss itself is not finite there" if step == 1 else "a smaller learning rate may help"
    raise FloatingPointError(f"{said}; {why}")


def stop(a):
    """The plain array within a box."""
    while isbox(a):
        a = a._value
    return a


def pixels(images):
    """Floats or booleans in [0, 1]."""
    if images.dtype.kind not in "fb":
        raise ValueError(f"images of dtype {images.dtype}: expected bytes (uint8), or floats in [0, 1]; minibatches "
                         "of other data take pixels=None")
    within("pixels", images, 0, 1, "; divide by the largest value, or take minibatches(..., pixels=None) for data "
           "that are no pixels")
    return images


def minibatches(rng, data, batch_size):
    """There are data, of at least one axis, and an integer batch size."""
    if rng is not None:
        generator("minibatches", rng)
    if not (batch_size >= 1 and batch_size % 1 == 0):  # written so that a NaN fails too
        raise ValueError(f"batch size {batch_size}: expected an integer of at least 1")
    if data.ndim == 0 or len(data) == 0:
        raise ValueError(f"no data: expected at least one row, got an array of shape {data.shape}")


def likelihood(model, x, noise, k, rows):
    """What importance sampling needs: log-weights, floats (n, D), a noise function and at least one sample."""
    if not hasattr(model, "log_weight"):
        raise ValueError(f"log_likelihood: {model} has no log_weight; {INSTEAD['log_weight']}")
    if x.ndim != 2 or x.dtype.kind not in "fb" or len(x) == 0:
        raise ValueError(f"log_likelihood: x has shape {x.shape} and dtype {x.dtype}; expected floats, (n, D), n ≥ 1")
    function("log_likelihood", "noise", noise, "gaussian_noise(rng, d)")
    if k < 1 or k != int(k):
        raise ValueError(f"log_likelihood: k is {k}; expected an integer of at least 1")
    if rows is not None and rows < 1:
        raise ValueError(f"log_likelihood: chunks of {rows} rows; expected at least 1")


def same_shape(name, found, expected):
    """The model's log-weights: one for each sample and datum."""
    if np.shape(found) != expected.shape:
        raise ValueError(f"{name}: the model returned {np.shape(found)} for {expected.shape[0]} samples of "
                         f"{expected.shape[1]} data; expected {expected.shape}")
    return found


def table(name, least, **arrays):
    """Each array is (n, d), of one shape, with at least so many rows."""
    found = {np.shape(array) for array in arrays.values()}
    if len(found) > 1 or any(len(shape) != 2 or shape[0] < least or 0 in shape for shape in found):
        raise ValueError(f"{name}: got {shapes(arrays)}; expected (n, d), n ≥ {least}, of all")


def constant(name, key):
    """The derivative of a formula in an argument that is data and has none."""
    def refuse(g, *args):
        raise NotImplementedError(f"{name}: {key} is a constant, there is no derivative in it")
    return refuse
