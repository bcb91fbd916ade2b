"""Refusals, each a call of one line where it is needed: what was wrong, where, and what was
expected."""

import inspect

import numpy as np
from autograd.tracer import getval, isbox

from vae_np.nests import leaves, paths, rebuild

INSTEAD = {
    "fit": "write `for state in train(loss, params, minibatches(...), noise, optimizer)`",
    "encode": "write `mu, log_var = encoder.apply(params['phi'], x)`",
    "decode": "write `likelihood.mean(params['theta'], z)`",
    "sample": "write `likelihood.mean(params['theta'], z)`, z drawn from the prior",
    "parameters": "write `params = model.init(rng)`",
    "mean": "of all blocks, likelihoods alone have one",
    "log_weight": "its posterior does not know log q(z|x) − log p(z) of each sample",
}
for same, key in (("train", "fit"), ("predict", "encode"), ("reconstruct", "decode"),
                  ("generate", "sample"), ("log_ratio", "log_weight")):
    INSTEAD[same] = INSTEAD[key]
LOSS = "lambda params, x, eps: np.mean(model.apply(params, x, eps))"


def instead(key):
    """What to write, where a block is asked for what it has not."""
    return INSTEAD.get(key, "it is a pair of functions, init(rng) and apply(params, ...)")


def shapes(arrays):
    """`mu (3, 2), log_var (3, 4)`."""
    return ", ".join(f"{key} {np.shape(array)}" for key, array in arrays.items())


def form(nest):
    """`dict ['phi', 'theta']`, `list of 3`."""
    if hasattr(nest, "keys"):
        return f"dict {[*nest.keys()]}"
    return f"{type(nest).__name__}{f' of {len(nest)}' if isinstance(nest, (list, tuple)) else ''}"


# ---- the arguments of a formula ---------------------------------------------------------------

def number(name, key, a):
    """a as an array of numbers (a Python number stays one: it takes the others' dtype)."""
    if isbox(a) or type(a) in (int, float, bool):
        return a
    if isinstance(a, tuple):
        raise ValueError(f"{name}: {key} is {len(a)} arrays; expected one")
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
            agreed = len({shape[-1] for shape in found if shape}) == 1
        except ValueError:
            agreed = False
        if not agreed:
            raise ValueError(f"{name}: shapes disagree: {shapes(arrays)}; "
                             "expected (..., n, d) with one d")


def samples(name, eps, **arrays):
    """eps has the arrays' shape, (n, d), or leads it by an axis of samples, (k, n, d)."""
    first, *others = (np.shape(array) for array in arrays.values())
    if any(shape != first for shape in others) or np.shape(eps)[-len(first):] != first:
        raise ValueError(f"{name}: eps has shape {np.shape(eps)}, {shapes(arrays)}; "
                         "expected (n, d) or (k, n, d), and (n, d) of the others")


def within(name, x, low, high, hint=""):
    """low ≤ x ≤ high, entry by entry."""
    if np.size(x) and not (np.min(x) >= low and np.max(x) <= high):  # so that a NaN fails too
        found = ("holds NaN" if np.isnan(np.min(x)) else
                 f"lies from {np.min(x):.6g} to {np.max(x):.6g}")
        raise ValueError(f"{name}: x {found}; expected [{low}, {high}]{hint}")


def counts(name, x):
    """x is whole and not negative, entry by entry."""
    wrong = ~((x >= 0) & (x == np.rint(x)) & np.isfinite(x))
    if np.any(wrong):
        raise ValueError(f"{name}: x holds {x[wrong][0]:.6g}; expected counts, 0, 1, 2, …")


def constant(name, key):
    """In the place of a derivative: the argument is data, and has none."""
    def refuse(g, *args):
        raise NotImplementedError(f"{name}: {key} is data, there is no derivative in it")
    return refuse


# ---- blocks and what they return --------------------------------------------------------------

def sizes(name, *found):
    """Layers have integer sizes of at least 1."""
    if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in found):
        raise ValueError(f"{name}: sizes must be integers of at least 1")


def blocks(kind, found, *arguments):
    """All are blocks, whose apply takes these arguments."""
    for block in found:
        if not all(hasattr(block, key) for key in ("init", "apply", "name")):
            raise ValueError(f"{kind}(...): got a {type(block).__name__}; "
                             "expected blocks, one argument each")
        if callable(block.apply):
            try:
                inspect.signature(block.apply).bind(*arguments)
            except TypeError:
                raise ValueError(f"{kind}(...): {block.name} does not take {', '.join(arguments)}; "
                                 "write vae(gaussian_posterior(encoder), bernoulli_likelihood("
                                 "decoder)), networks in sequential(...)") from None


def one_each(name, blocks, params):
    """Pairs of block and parameters, a list of as many as there are blocks."""
    if hasattr(params, "keys") or not hasattr(params, "__len__"):
        raise ValueError(f"{name}: parameters are {form(params)}; expected a list, one entry a "
                         "block (of a whole model's, params['phi'] or params['theta'])")
    if len(params) != len(blocks):
        raise ValueError(f"{name}: parameters for {len(params)} blocks, expected {len(blocks)}")
    return zip(blocks, params)


def layer(name, params, x, n_in, n_out):
    """A dense layer's W is (n_in, n_out), its b (n_out,), and x has n_in features."""
    if not hasattr(params, "keys") or {*params.keys()} != {"W", "b"}:
        raise ValueError(f"{name}: parameters are {form(params)}; expected a dict of W and b")
    found = np.shape(params["W"]), np.shape(params["b"])
    if found != ((n_in, n_out), (n_out,)):
        raise ValueError(f"{name}: parameters have shapes W {found[0]}, b {found[1]}")
    if isinstance(x, tuple) or np.shape(x)[-1:] != (n_in,):
        features = np.shape(x)[-1] if np.shape(x) else "no"
        found = f"is {len(x)} arrays" if isinstance(x, tuple) else f"has {features} features"
        raise ValueError(f"{name}: input {found}")


def outputs(name, found, *expected):
    """A network's outputs, counted: a tuple where several are expected, as of heads, else one."""
    count = len(found) if isinstance(found, tuple) else 1
    if count != max(1, len(expected)):
        wanted = f"{' and '.join(expected)}, as of heads(..., ...)" if expected else "one"
        raise ValueError(f"{name}: its network gives {count} outputs; expected {wanted}")
    return found


def unbounded(name, decoder, theta, z):
    """The decoder's one output, if it is no sigmoid's, relu's or tanh's: logits reach below −1.

    Looked at only while none does, and for one datum: z is made large, and then each array of theta
    and each with its neighbour (W and b), of the sign that turns a last layer's largest output.
    """
    output = outputs(name, decoder.apply(theta, z))
    a, theta, z = getval(output), getval(theta), getval(z)
    if not np.size(a) or np.min(a) < -1 or (np.min(a) < 0 and np.max(a) > 1):
        return output
    one, high = z.reshape(-1, z.shape[-1])[:1], np.max(a.reshape(-1, a.shape[-1])[0])
    arrays = [np.asarray(getval(leaf)) for leaf in leaves(theta)]
    if high == 0 or not np.isfinite(high) or not arrays:  # `finite` names a NaN
        return output
    scale = -1e9 if high > 0 else 1e9
    spans = [(last - width, last) for last in range(len(arrays), 0, -1) for width in (1, 2)]
    for first, last in [(0, 0), *spans]:
        large = [scale * leaf if first <= i < last else leaf for i, leaf in enumerate(arrays)]
        with np.errstate(all="ignore"):
            if np.min(decoder.apply(rebuild(theta, large), one if last else 1e9 * one)) < -1:
                return output
    interval = "[0, ∞)" if np.min(a) >= 0 else "[−1, 1]"
    raise ValueError(f"{name}: its network's outputs never leave {interval}, whatever its "
                     "parameters are; expected logits (of counts, log-rates): leave out the "
                     "sigmoid, relu or tanh at its end")


def one_for_each_datum(name, z, nll, kl):
    """nll and kl are numbers for each datum: (n,), or (k, n) for k samples; z is (..., n, d)."""
    lead = np.shape(z)[:-1]
    if np.shape(nll) != lead or np.shape(kl) not in (lead, lead[-1:]):
        raise ValueError(f"{name}: nll has shape {np.shape(nll)} and kl {np.shape(kl)} for z of "
                         f"shape {np.shape(z)}; expected one number for each datum, {lead}")


# ---- training ---------------------------------------------------------------------------------

def generator(name, rng):
    """rng is a numpy.random.Generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"{name}: rng is {rng if np.isscalar(rng) else type(rng).__name__}; "
                         "expected a Generator, numpy.random.default_rng(seed)")
    return rng


def function(name, key, found, example):
    """A function stands where one is expected."""
    if not callable(found):
        raise ValueError(f"{name}: {key} is a {type(found).__name__}; "
                         f"expected a function, such as {example}")


def pixels(images):
    """Floats or booleans in [0, 1]."""
    if images.dtype.kind not in "fb":
        raise ValueError(f"images of dtype {images.dtype}: expected bytes (uint8), or floats in "
                         "[0, 1]; data that are no pixels take minibatches(..., pixels=None)")
    within("pixels", images, 0, 1, ", bytes as they are, or minibatches(..., pixels=None) for data "
           "that are no pixels")
    return images


def minibatches(rng, data, batch_size):
    """There are data, and an integer batch size."""
    if rng is not None:
        generator("minibatches", rng)
    if not (batch_size >= 1 and batch_size % 1 == 0):  # written so that a NaN fails too
        raise ValueError(f"batch size {batch_size}: expected an integer of at least 1")
    if data.ndim == 0 or len(data) == 0:
        raise ValueError(f"no data: expected at least one row, got shape {data.shape}")


def parameters(arrays, where):
    """Every parameter is an array of floats; where: their paths."""
    for array, path in zip(arrays, where):
        if array.dtype.kind != "f":
            raise ValueError(f"parameter {path or 'nest'} has dtype {array.dtype}: expected "
                             "floats, such as model.init(rng) gives")


def scalar(value):
    """The loss is one number."""
    if value is None or np.shape(value) != ():
        found = "returned None" if value is None else f"has shape {np.shape(value)}"
        raise ValueError(f"the loss {found}: expected a scalar, such as its mean over the data")


def training(loss, batches, noise, optimizer):
    """The slips of a first hour."""
    if hasattr(loss, "apply"):
        raise ValueError(f"train: loss is a block; write `{LOSS}`, with autograd.numpy as np")
    function("train", "loss", loss, LOSS)
    if isinstance(batches, np.ndarray):  # its rows would pass for minibatches, without a word
        raise ValueError(f"train: batches is an array of shape {batches.shape}; expected an "
                         "iterable of minibatches, such as minibatches(rng, data, 100)")
    function("train", "noise", noise, "gaussian_noise(rng, d)")
    if not all(hasattr(optimizer, key) for key in ("init", "update")):
        raise ValueError(f"train: optimizer is {getattr(optimizer, '__name__', repr(optimizer))}; "
                         "expected one with its rate, such as adam(1e-3)")


def finite(step, x, value, gradient, params):
    """Loss and gradient are finite; else what was not, with advice only where it applies."""
    if np.isfinite(value) and all(np.isfinite(np.vdot(g, g)) or np.isfinite(g).all()
                                  for g in leaves(gradient)):
        return
    bad = [path for path, g in zip(paths(gradient), leaves(gradient)) if not np.isfinite(g).all()]
    if not np.size(x):
        why = "the minibatch is empty"
    elif np.asarray(x).dtype.kind == "f" and not np.isfinite(x).all():
        why = "the minibatch holds NaN or infinity"
    elif not all(np.isfinite(leaf).all() for leaf in leaves(params)):
        why = "the parameters before it are not finite"
    elif any(np.asarray(leaf).dtype == np.float16 for leaf in leaves(params)):
        why = "float16 ends at 65504; use astype(params, np.float32)"
    else:
        why = "no step was taken yet" if step == 1 else "a smaller learning rate may help"
    where = ", ".join(bad[:3]) + ", …" * (len(bad) > 3) or "no parameter"
    raise FloatingPointError(f"step {step}: the loss is {value}, the gradient not finite in "
                             f"{where}; {why}")


def rates(name, learning_rate, epsilon, **decays):
    """η, ε > 0 and decays in [0, 1), as Python's floats: those leave float32 as it is."""
    for key, value, least in (("learning rate", learning_rate, 0), ("epsilon", epsilon, 0)):
        if not (np.isscalar(value) and least < value < np.inf):
            raise ValueError(f"{name}: {key} {value}: expected a positive number")
    for key, value in decays.items():
        if not (np.isscalar(value) and 0 <= value < 1):
            raise ValueError(f"{name}: {key} {value}: expected a number in [0, 1)")
    return float(learning_rate), *map(float, decays.values()), float(epsilon)


def state(name, found, *keys):
    """The optimizer's state is its own."""
    if not hasattr(found, "keys") or {*found} != {*keys}:
        raise ValueError(f"{name}: its state is {[*keys]}; this, {form(found)}, is another "
                         "optimizer's")


def alike(params, gradient, *state):
    """Gradient and state have arrays of the parameters' shapes."""
    first, *others = ([np.shape(a) for a in leaves(nest)] for nest in (params, gradient, *state))
    for kind, found in zip(("gradient", *["state"] * len(state)), others):
        if found != first:
            raise ValueError(f"optimizer: parameters have shapes {first}, the {kind} {found}")


# ---- evaluation -------------------------------------------------------------------------------

def likelihood(model, x, noise, k, rows):
    """What importance sampling needs: log-weights, data (n, D), a noise function, k ≥ 1."""
    if not hasattr(model, "log_weight"):
        raise ValueError(f"log_likelihood: {model} has no log_weight; {INSTEAD['log_weight']}")
    if x.ndim != 2 or x.dtype.kind not in "fb" or len(x) == 0:
        raise ValueError(f"log_likelihood: x has shape {x.shape} and dtype {x.dtype}; "
                         "expected floats, (n, D), n ≥ 1")
    function("log_likelihood", "noise", noise, "gaussian_noise(rng, d)")
    for key, count in (("k", k), ("rows, of a chunk,", 1 if rows is None else rows)):
        if count < 1 or count % 1:
            raise ValueError(f"log_likelihood: {key} is {count}; expected an integer of at least 1")


def log_weights(found, expected):
    """The model gives one log-weight for each sample and datum."""
    if np.shape(found) != expected.shape:
        k, n = expected.shape
        raise ValueError(f"log_likelihood: the model returned {np.shape(found)} for {k} samples of "
                         f"{n} data; expected {(k, n)}")
    return found


def table(name, least, **arrays):
    """Each array is (n, d), of one shape, with at least so many rows."""
    found = {np.shape(array) for array in arrays.values()}
    if len(found) > 1 or any(len(shape) != 2 or shape[0] < least or 0 in shape for shape in found):
        raise ValueError(f"{name}: got {shapes(arrays)}; expected (n, d), n ≥ {least}, of all")
