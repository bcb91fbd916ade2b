"""The plane under your finger: a trained model of demos/mnist.py as one page that works offline.

    z = μ + σ ⊙ ε,    −log p(x) = −ELBO(x) − KL[q(z|x) ‖ p(z|x)]

With two latents the plane can be shown, and log p(x) = log ∫ p(x|z) p(z) dz found by a grid over it: the page shows an
image's posterior, exact and as the encoder has it, and what the difference costs in nats. It holds the weights and 400
test images, and computes in the browser what vae_np computes here; its formulas are in support/explore.html.
Kingma & Welling (2014), sections 2 and 3.
"""

from support import common, data, figures

import base64
import json
import os
import shlex
import sys
import webbrowser
import zlib
from pathlib import Path

import numpy as np

from vae_np.tools import checkpoint

TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "explore.html")
IMAGES = 400
TRAINED = {"none": "gray pixels", "dynamic": "binary pixels, drawn anew each time", "threshold": "pixels cut at ½"}
SMALLEST = 4  # pixels a side: fewer can neither be recognised nor drawn


def parser():
    p = common.Parser(__doc__)
    p.add_argument("--run", default=os.path.join("results", "mnist"),
                   help="folder of a run of demos/mnist.py with two latents (default %(default)s)")
    p.add_argument("--data", help="that run's data, where they have moved: folder of IDX files, or .npz")
    p.add_argument("--out", default=os.path.join("results", "explore"), help="folder (default %(default)s)")
    p.add_argument("--no-open", action="store_true", help="write the page, do not show it")
    return p


def read(folder):
    """The path of a run's checkpoint, and the run. Raises ValueError or OSError, in one line, where there is none."""
    path = os.path.join(folder, "checkpoint.npz")
    if not os.path.exists(path):
        where = "" if folder == os.path.join("results", "mnist") else f" --out {shlex.quote(folder)}"
        raise FileNotFoundError(f"{path}: no such file; python demos/mnist.py{where} makes it")
    run = checkpoint.load(path)
    names = run if isinstance(run, dict) else ()
    missing = [name for name in ("options", "data", "params", "history") if name not in names]
    if missing:
        raise ValueError(f"{path}: not a checkpoint of demos/mnist.py: no {', '.join(missing)}")
    if not isinstance(run["history"], list):
        raise ValueError(f"{path}: its history is {run['history']!r:.40}; expected a list of epochs")
    return path, run


def networks(path, params, n_pixels):
    """phi and theta as lists of dense layers (W, b), phi's last two the heads of μ and log σ²; relu between the others.

    Raises ValueError, in one line, unless they lead from n_pixels to two latents and back.
    """
    def dense(layer, where, n_in):
        W, b = (layer.get(key) for key in "Wb") if isinstance(layer, dict) else (None, None)
        if not all(isinstance(a, np.ndarray) and a.dtype.kind == "f" and np.isfinite(a).all() for a in (W, b)):
            raise ValueError(f"{path}: {where} is no layer of finite numbers W and b")
        if W.ndim != 2 or b.shape != W.shape[1:] or len(W) != n_in:
            raise ValueError(f"{path}: {where} has shapes W {W.shape}, b {b.shape}; expected W ({n_in}, n), b (n,)")
        return W, b

    def chain(part, n_in):
        blocks = params.get(part) if isinstance(params, dict) else None
        if not isinstance(blocks, list) or not blocks or any(block != () for block in blocks[1::2]):
            raise ValueError(f"{path}: params.{part} is no list of layers with a relu between them")
        layers = []
        for i, block in enumerate(blocks[::2]):
            where, last = f"params.{part}.{2 * i}", 2 * i == len(blocks) - 1
            if part == "phi" and last:  # the heads
                if not isinstance(block, list) or len(block) != 2:
                    raise ValueError(f"{path}: {where} is no pair of layers for μ and log σ²")
                return layers + [dense(head, f"{where}.{k}", n_in) for k, head in enumerate(block)]
            layers.append(dense(block, where, n_in))
            n_in = layers[-1][0].shape[1]
        return layers

    phi, theta = chain("phi", n_pixels), None
    latents = [b.size for _, b in phi[-2:]]
    if latents != [2, 2]:
        raise ValueError(f"{path}: a model of {latents[0]} latents; the page shows a plane, and expects 2")
    theta = chain("theta", 2)
    if theta[-1][1].size != n_pixels:
        raise ValueError(f"{path}: its decoder gives {theta[-1][1].size} pixels; expected {n_pixels}, as its data have")
    return phi, theta


def test_images(path, run, source):
    """The images and labels that the run was tested on, from where it had them. Raises ValueError for any others."""
    made = run["data"]
    if not isinstance(made, dict) or not isinstance(made.get("path"), str):
        raise ValueError(f"{path}: it does not say which data it was made from")
    x_train, _, x_test, y_test = data.load(source or made["path"] or None)
    found = {"train": [len(x_train), x_train[0].size], "test": [len(x_test), x_test[0].size],
             "crc32": zlib.crc32(np.ascontiguousarray(x_test), zlib.crc32(np.ascontiguousarray(x_train)))}
    for key in found:
        if made.get(key) != found[key]:
            raise ValueError(f"{path}: made from other data: {key} {made.get(key)}, not {found[key]}; name the data of "
                             "that run with --data")
    return x_test, y_test


def page(path, run, images, labels):
    """The text of the page."""
    shape = figures.image_shape(images)
    if min(shape) < SMALLEST:
        raise ValueError(f"{path}: made from images of shape {shape}; expected at least {SMALLEST} pixels a side")
    phi, theta = networks(path, run["params"], images[0].size)
    shown = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))  # from all over: some sets come sorted

    def text(array, dtype):
        return base64.b64encode(np.ascontiguousarray(array, dtype)).decode()

    widths = "-".join(map(str, [images[0].size, *(b.size for _, b in phi[:-2]), 2]))
    binarize = run["options"].get("binarize", "none") if isinstance(run["options"], dict) else "none"
    name, epochs = os.path.basename(run["data"]["path"]) or "MNIST", len(run["history"])
    content = {
        "about": f"{widths} and back, after {epochs} epoch{'s' * (epochs != 1)} on {name}",
        "trained": TRAINED.get(binarize, TRAINED["none"]), "binary": binarize in ("dynamic", "threshold"),
        "shape": shape, "shown": shown.tolist(), "count": len(images), "pixels": text(images[shown], "u1"),
        "labels": None if labels is None else labels[shown].tolist(),
        **{part: [{"W": text(W, "<f4"), "b": text(b, "<f4")} for W, b in layers]
           for part, layers in (("phi", phi), ("theta", theta))}}
    with open(TEMPLATE, encoding="utf-8") as file:
        before, slot, after = file.read().partition("{{data}}")
    return before + json.dumps(content, separators=(",", ":")).replace("<", "\\u003c") + after if slot else before


def desktop():
    """Whether a browser would have a screen to open on."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def main(arguments):
    path, run = read(arguments.run)
    images, labels = test_images(path, run, arguments.data)
    text = page(path, run, images, labels).encode()
    target = os.path.join(arguments.out, "explore.html")
    checkpoint.write_atomically(target, lambda file: file.write(text))
    print(f"{target}: {len(text) / 1e6:.2f} MB, whole in itself; open it in a browser")
    if desktop() and not arguments.no_open:
        webbrowser.open(Path(target).resolve().as_uri())


if __name__ == "__main__":
    common.run(main, parser())
