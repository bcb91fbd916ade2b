"""Reverse-mode differentiation of a loss with respect to a nest of parameters: what autograd does,
in a page.

Running the loss on *boxes* records a graph: one node for each operation, holding the function that
takes the gradient of the output back to the inputs (its vector-Jacobian product, vjp). Walking that
graph from the loss to the parameters, adding where paths meet, is the whole of backpropagation.
"""

import functools
import inspect

import autograd.numpy as np
import numpy as onp
from autograd.core import VJPNode, add_outgrads, make_vjp
from autograd.extend import defjvp, defvjp, primitive, vspace
from autograd.tracer import getval, isbox, new_box, trace_stack
from autograd.util import toposort

from vae_np import checks
from vae_np.nests import leaves, paths, rebuild

FLOAT32, FLOAT64 = {onp.dtype(onp.float32)}, {onp.dtype(onp.float64)}


def value_and_grad(loss):
    """(params, *args) ↦ loss(params, *args), ∇ loss: a nest of params' own form, shapes and dtypes.

    loss: returns a scalar, or a pair (scalar, extra) whose second part is handed on without being
    differentiated; the value is then that pair. Each array is a root of its own: for a container,
    autograd would add a whole container of zeros for each, and a step take half as long again
    (0.69). Raises ValueError where the loss is not a scalar or a parameter no float.
    """

    def differentiate(params, *args):
        arrays = [leaf if isbox(leaf) else onp.asarray(leaf) for leaf in leaves(params)]
        checks.parameters(arrays, paths(params))
        roots = [VJPNode.new_root() for _ in arrays]
        with trace_stack.new_trace() as trace:
            boxes = [new_box(array, trace, root) for array, root in zip(arrays, roots)]
            output = loss(rebuild(params, boxes), *args)
        mine = lambda a: isbox(a) and a._trace == trace
        value = output[0] if isinstance(output, tuple) else output
        checks.scalar(value)
        gradient = backward(value._node) if mine(value) else {}
        plain = rebuild(output, [leaf._value if mine(leaf) else leaf for leaf in leaves(output)])
        return plain, rebuild(params, [cast(gradient[root], array.dtype) if root in gradient
                                       else onp.zeros_like(getval(array))
                                       for root, array in zip(roots, arrays)])

    return differentiate


def backward(end):
    """{root: ∂end/∂root} of the graph that ends in `end`, a scalar. Uses the graph up."""
    gradient = {end: (onp.ones(()), False)}  # the flag: an array that may be added to in place
    for node in toposort(end):  # the loss first, each node after all that use it
        if node.parents:
            g, _ = gradient.pop(node)
            for parent, part in zip(node.parents, node.vjp(g)):
                gradient[parent] = add_outgrads(gradient.get(parent), part)
            node.vjp = None  # frees the activations that it holds, for the next step to reuse
    return {root: g for root, (g, _) in gradient.items()}


def formula(like, summed=False):
    """A formula as one node of the graph, its derivative by hand under it: `f.derivatives(x=…)`.

    like: the argument whose dtype the others are cast to; integers become floats. summed: whether
    it sums over the last axis. A derivative takes g = ∂loss/∂f, with that axis given back, and the
    arguments; what was broadcast is summed here. Written with autograd's functions, it can be
    differentiated again.
    """

    def decorate(fun):
        signature = inspect.signature(fun)
        names = [p.name for p in signature.parameters.values() if p.default is p.empty]

        def floats(args):
            kinds = {a.dtype if type(a) is onp.ndarray else None for a in args}
            if kinds <= FLOAT32 or kinds <= FLOAT64:  # as in training: nothing to be done
                return args
            args = [checks.number(fun.__name__, key, a) for key, a in zip(names, args)]
            dtypes = [a.dtype for a in (args[names.index(like)], *args)
                      if hasattr(a, "dtype") and a.dtype.kind == "f"]
            return [cast(a, dtypes[0] if dtypes else onp.dtype(float)) for a in args]

        traced = primitive(functools.wraps(fun)(lambda *args: fun(*floats(args))))

        @functools.wraps(fun)
        def call(*args, **kwargs):
            args = signature.bind(*args, **kwargs).args if kwargs else args
            return traced(*args[:len(names)])  # an argument with a default is one that is not used

        def backwards(i, line):
            def vjp(out, *args):
                def pull(g):
                    a = floats(args)
                    g = cast(g, a[0].dtype)
                    if summed:
                        g = np.expand_dims(g, -1)
                        if () in map(np.shape, a):  # a scalar stands for all d entries
                            g = g * onp.ones(max(map(np.shape, a), key=len)[-1:], g.dtype)
                    return unbroadcast(line(g, *a), np.shape(a[i]))
                return pull
            return vjp

        def forwards(vjp):  # a vjp is linear in g: its own vjp is the Jacobian-vector product
            return lambda t, out, *args: make_vjp(vjp(out, *args), vspace(out).zeros())[0](t)

        def derivatives(**lines):
            vjps = [backwards(i, lines.get(name, checks.constant(fun.__name__, name)))
                    for i, name in enumerate(names)]
            defvjp(traced, *vjps)
            defjvp(traced, *map(forwards, vjps))

        call.derivatives = derivatives
        return call

    return decorate


def cast(a, dtype):
    """a with another dtype, if it has not that one already. autograd's own operations may hand back
    a float64 gradient of a float32 array, `np.mean` for one."""
    a = a if isbox(a) else onp.asarray(a)
    return a if a.dtype == dtype else a.astype(dtype)


def floating(a):
    """a as an array of floats: integers become float64."""
    a = a if isbox(a) else onp.asarray(a)
    return a if a.dtype.kind == "f" else a.astype(float)


def flush_denormal(a):
    """a, with 0 for its denormal numbers, in float32 those below 10⁻³⁸: beside any gradient that
    moves a parameter they are rounded away, but arithmetic with them takes many times as long."""
    return a * (np.abs(a) >= onp.finfo(a.dtype).tiny)


def unbroadcast(g, shape):
    """Sum the gradient of a broadcast array back to the array's own shape."""
    if np.shape(g) == shape:
        return g
    g = np.sum(g, axis=tuple(range(np.ndim(g) - len(shape))))
    return np.sum(g, axis=tuple(i for i, size in enumerate(shape) if size == 1), keepdims=True)


def stop_gradient(nest):
    """The nest's arrays without what recorded them: the same values, constants to every
    gradient."""
    return rebuild(nest, [getval(leaf) for leaf in leaves(nest)])
