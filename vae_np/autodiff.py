"""Reverse-mode differentiation of a loss with respect to a nest of parameters: what autograd does, in a page.

Running the loss on *boxes* records a graph: one node for each operation, holding the function that takes the gradient
of the output back to the inputs (its vector-Jacobian product). Walking that graph from the loss to the parameters,
adding where paths meet, is the whole of backpropagation.
"""

import functools
import inspect

import numpy as onp
from autograd.core import VJPNode, add_outgrads
from autograd.core import defvjp as _defvjp
from autograd.tracer import box_types, getval, isbox, new_box, notrace_primitives, trace_stack
from autograd.tracer import primitive as _primitive

# Freeing one block just under glibc's 32 MB ceiling raises the size from which malloc maps and unmaps pages: the
# temporaries of a step are then reused instead of being faulted in anew. The second block lies where they will, and
# numpy asks for huge pages there. A step of the post's model takes 0.42 of the time (demos/benchmark.py --tricks).
for _ in range(2):
    _block = onp.empty((32 << 20) - (64 << 10), onp.uint8)
    del _block


def leaves(nest):
    """The arrays of a nest of dicts, lists and tuples, in a fixed order (dictionaries by sorted key)."""
    found = []
    _collect(nest, found)
    return found


def _collect(nest, found):
    if isinstance(nest, dict):
        for key in sorted(nest):
            _collect(nest[key], found)
    elif isinstance(nest, (list, tuple)):
        for child in nest:
            _collect(child, found)
    else:
        found.append(nest)


def paths(nest, prefix=""):
    """Where each of `leaves(nest)` stands, as text: `phi.0.W`."""
    if isinstance(nest, dict):
        children = [(key, nest[key]) for key in sorted(nest)]
    elif isinstance(nest, (list, tuple)):
        children = enumerate(nest)
    else:
        return [prefix]
    return [path for key, child in children for path in paths(child, f"{prefix}.{key}" if prefix else str(key))]


def rebuild(nest, new_leaves):
    """A nest of the same form as `nest`, holding `new_leaves` in the order of `leaves`."""
    return _build(nest, iter(new_leaves))


def _build(nest, remaining):
    # Not inside `rebuild`: a closure that calls itself is a cycle of references, and would keep the leaves, and behind
    # them the whole graph of a step, until Python's collector comes by: half as much memory again (0.68).
    if not isinstance(nest, (dict, list, tuple)):
        return next(remaining)
    if isinstance(nest, dict):
        built = dict.fromkeys(nest)  # in the nest's own order, filled in the order of `leaves`
        for key in sorted(nest):
            built[key] = _build(nest[key], remaining)
        return built
    children = [_build(child, remaining) for child in nest]
    return type(nest)(*children) if hasattr(nest, "_fields") else type(nest)(children)


def astype(nest, dtype):
    """The nest with every array cast: `astype(params, np.float64)` before a gradient check."""
    return rebuild(nest, [onp.asarray(leaf, dtype) for leaf in leaves(nest)])


def primitive(fun):
    """One formula as one node of the graph; its derivative follows with `defvjp`. Arguments may be named."""
    traced, signature = _primitive(fun), inspect.signature(fun)

    @functools.wraps(fun)
    def call(*args, **kwargs):
        if kwargs:
            args = signature.bind(*args, **kwargs).args  # autograd traces positional arguments only
        values, argnums, parents, trace = list(args), [], [], None
        for i, arg in enumerate(args):
            if type(arg) in box_types:
                if type(arg._node) is not Node or trace not in (None, arg._trace):
                    return traced(*args)  # several traces at once, or another's: autograd knows what to do
                values[i], trace = arg._value, arg._trace
                argnums.append(i)
                parents.append(arg._node)
        if trace is None:
            return fun(*args)
        answer = (call if trace else fun)(*values)  # inside no other trace, there is nothing more to unbox
        return new_box(answer, trace, Node(answer, traced, values, {}, argnums, parents))

    call.traced = traced
    return call


def defvjp(fun, *vjps, argnums=None):
    """vjps[i](answer, *args)(g) = g · ∂answer/∂args[i], for a `primitive`. None: constant in that argument."""
    _defvjp(fun.traced, *vjps, **({} if argnums is None else {"argnums": argnums}))


def unbroadcast(g, shape):
    """Sum the gradient of a broadcast array back to the array's own shape."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, size in enumerate(shape) if size == 1), keepdims=True)


class Node(VJPNode):
    """A node that remembers its value's dtype, which its gradient will have too, and its tape.

    The tape lists all nodes of the graph in the order of their making, so that none stands before its parents.
    """

    __slots__ = ["dtype", "tape"]

    def __init__(self, value, fun, args, kwargs, argnums, parents):
        super().__init__(value, fun, args, kwargs, argnums, parents)
        self.dtype, self.tape = value.dtype, parents[0].tape
        self.tape.append(self)

    def initialize_root(self, dtype, tape):
        self.dtype, self.tape = dtype, tape


notrace_primitives[Node] = notrace_primitives[VJPNode]  # comparisons, shapes: not differentiable, not recorded


def backward(end):
    """∂end/∂root for every root of the graph that ends in `end`, a scalar: {root: gradient}. Uses the tape up."""
    gradients = {end: (onp.ones((), end.dtype), False)}
    while end.tape:
        node = end.tape.pop()
        if node in gradients:
            for parent, g in zip(node.parents, node.vjp(_cast(gradients.pop(node)[0], node.dtype))):
                gradients[parent] = add_outgrads(gradients.get(parent), g)
    return {root: _cast(g, root.dtype) for root, (g, _) in gradients.items()}


def _cast(g, dtype):
    return g if g.dtype == dtype else g.astype(dtype)  # np.mean's derivative, for one, makes float64 of float32


def value_and_grad(loss):
    """(params, *args) ↦ loss(params, *args), ∇_params loss: the gradient a nest of params' own form, shapes and dtypes.

    loss: returns a scalar, or a pair (scalar, extra) whose second part is handed on without being differentiated; the
    value is then that pair, of plain arrays. Raises ValueError where the loss is not a scalar or a parameter no float.
    Each leaf is a root of its own: autograd's gradient of a container would add a whole container of zeros for each,
    and a step of the post's model take half as long again (0.69).
    """

    def differentiate(params, *args):
        arrays = [leaf if isbox(leaf) else onp.asarray(leaf) for leaf in leaves(params)]
        for i, array in enumerate(arrays):
            if array.dtype.kind != "f":
                raise ValueError(f"parameter {paths(params)[i]} has dtype {array.dtype}: expected a float")
        tape = []
        roots = [Node.new_root(array.dtype, tape) for array in arrays]
        with trace_stack.new_trace() as trace:
            boxes = [new_box(array, trace, root) for array, root in zip(arrays, roots)]
            output = loss(rebuild(params, boxes), *args)
        value = output[0] if isinstance(output, tuple) else output
        if value is None:
            raise ValueError("the loss returned None: expected a scalar; is its return missing?")
        if onp.shape(getval(value)) != ():
            raise ValueError(f"the loss has shape {value.shape}: expected a scalar, such as its mean over the data")
        depends = isbox(value) and value._trace == trace
        gradients = backward(value._node) if depends else {}
        plain = rebuild(output, [leaf._value if isbox(leaf) and leaf._trace == trace else leaf
                                 for leaf in leaves(output)])
        return plain, rebuild(params, [gradients[root] if root in gradients else onp.zeros_like(array)
                                       for root, array in zip(roots, arrays)])

    return differentiate
