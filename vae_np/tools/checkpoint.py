"""Checkpoints: a nest of arrays, numbers and text as one .npz file, whole or not at all. No pickle.

Each array stands under its path, as `vae_np.summary` prints it, for any program that reads .npz. Of
the main demo's run, 784-256-2 and back, `numpy.load("checkpoint.npz")` gives, and b beside each W,

    params.phi.0.W  (784, 256)    params.phi.2.0.W  (256, 2)  μ         params.theta.0.W  (2, 256)
                                  params.phi.2.1.W  (256, 2)  log σ²    params.theta.2.W  (256, 784)

in Keras' layout, (n_in, n_out); PyTorch's is the transpose (demos/to_keras.py, demos/to_torch.py).
One more entry, `structure`, is JSON: the form of the nest, and the plain values in it.
"""

import json
import re
import zipfile

import numpy as np

from vae_np.tools.files import one_line, read_npz, write_atomically


def save(path, nest):
    """Write the nest to `path`: a reader, or a crash, finds the old file or the new, never a part.

    nest: dicts with names for keys, lists and tuples of arrays, numbers, text, booleans and None.
    The same nest gives the same bytes. Raises ValueError for anything else, OSError where the disk
    refuses; the file that was there is then untouched.
    """
    arrays = {}
    structure = np.array(json.dumps(_form(nest, "", path, arrays)))

    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in [*arrays.items(), ("structure", structure)]:
                info = zipfile.ZipInfo(f"{name}.npy")  # without the time: the same bytes
                with archive.open(info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write)


# Not inside `save`, nor `_nest` inside `load`: a closure that calls itself is a cycle of references
# and would hold the arrays until Python's collector comes by, in training many epochs later.
def _form(node, where, path, arrays):
    """The nest as JSON's values; its arrays go into `arrays`, under their paths."""
    name = where[1:]
    if isinstance(node, dict):
        if not all(isinstance(key, str) and re.fullmatch(r"\w+", key) for key in node):
            raise ValueError(f"checkpoint {path}: {name or 'the nest'} has keys {[*node][:5]}; "
                             "expected names of letters, digits and _")
        return {"dict": {key: _form(node[key], f"{where}.{key}", path, arrays) for key in node}}
    if isinstance(node, (list, tuple)):
        children = [_form(child, f"{where}.{i}", path, arrays) for i, child in enumerate(node)]
        return {"tuple" if isinstance(node, tuple) else "list": children}
    if node is None or type(node) in (bool, int, float, str):
        return {"value": node}
    array = np.asarray(node)
    if array.dtype.kind not in "biufc":
        kind = type(node).__name__
        raise ValueError(f"checkpoint {path}: {name} is {kind}, neither numbers nor text")
    if name == "structure":
        raise ValueError(f"checkpoint {path}: the name 'structure' is taken; rename that array")
    arrays[name or "array"] = array
    return {"array": name or "array"}


def load(path):
    """The nest that `save` wrote, equal in form, dtype and every bit; a named tuple is now a tuple.

    Raises ValueError, in one line that names the file, where it is cut short, altered or no
    checkpoint, and OSError (FileNotFoundError, ...) where it cannot be opened.
    """
    arrays = read_npz(path)
    try:
        return _nest(json.loads(arrays["structure"].item()), arrays)
    except Exception as error:  # an altered structure may lead to any
        reason = one_line(error, "it has no entry " if isinstance(error, KeyError) else "")
        raise ValueError(f"{path}: expected a checkpoint of vae_np; {reason}") from None


def _nest(node, arrays):
    (kind, content), = node.items()
    if kind == "dict":
        return {key: _nest(child, arrays) for key, child in content.items()}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_nest(child, arrays) for child in content)
    return {"array": arrays.__getitem__, "value": lambda value: value}[kind](content)
