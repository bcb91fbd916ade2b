"""Parameters are nests (JAX: pytrees): dicts, lists and tuples of arrays, as deep as you like.

What treats every array alike, an optimizer for one, takes a nest apart with `leaves`, works on the
list, and puts it together again with `rebuild`.
"""

import numpy as np


def leaves(nest):
    """The arrays of a nest, in a fixed order: dictionaries by sorted key."""
    if isinstance(nest, dict):
        return [leaf for key in sorted(nest) for leaf in leaves(nest[key])]
    if isinstance(nest, (list, tuple)):
        return [leaf for child in nest for leaf in leaves(child)]
    return [nest]


def paths(nest, prefix=""):
    """Where each of `leaves(nest)` stands, as text: `phi.0.W`."""
    if isinstance(nest, dict):
        children = [(key, nest[key]) for key in sorted(nest)]
    elif isinstance(nest, (list, tuple)):
        children = enumerate(nest)
    else:
        return [prefix]
    return [path for key, child in children
            for path in paths(child, f"{prefix}.{key}" if prefix else str(key))]


def rebuild(nest, arrays):
    """A nest of the same form, holding `arrays` in the order of `leaves`."""
    arrays = iter(arrays)  # of an iterator: itself, so that the children take up where we stand
    if isinstance(nest, dict):
        built = {key: rebuild(nest[key], arrays) for key in sorted(nest)}
        return {key: built[key] for key in nest}
    if isinstance(nest, (list, tuple)):
        children = [rebuild(child, arrays) for child in nest]
        return type(nest)(*children) if hasattr(nest, "_fields") else type(nest)(children)
    return next(arrays)


def astype(nest, dtype):
    """The nest, every array cast: `astype(params, np.float64)` before a gradient check."""
    return rebuild(nest, [np.asarray(leaf, dtype) for leaf in leaves(nest)])
