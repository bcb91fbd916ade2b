"""The architecture, drawn from the computation itself: what autograd records is what you see.

`trace` runs a function on boxes, as `value_and_grad` does, but its nodes keep what was called on
what in the place of a derivative. `draw` lays them out in rows, from the inputs to the results.
"""

import contextlib
import inspect
from dataclasses import dataclass, field

import numpy as np
from autograd.core import VJPNode
from autograd.tracer import Node, getval, isbox, new_box, notrace_primitives, trace_stack
from autograd.util import toposort
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vae_np.nests import leaves, paths, rebuild

TITLES = {"affine": "dense", "rectify": "relu", "hyperbolic_tangent": "tanh",
          "location_scale": "location-scale", "gaussian_kl": "Gaussian KL",
          "gaussian_log_ratio": "Gaussian log-ratio", "gaussian_nll": "Gaussian NLL",
          "bernoulli_nll": "Bernoulli NLL"}  # any other formula goes by its name
SYMBOLS = {"mu": "μ", "log_var": "log σ²"}   # whatever a formula takes as these is marked
COLOURS = {"input": "#cfe3f7", "parameter": "#f7ebcf", "operation": "#f2f2f2", "output": "#d5efcf"}


@dataclass(eq=False)
class Vertex:
    """One box of the diagram; `inputs` are the boxes that feed it, `params` pairs (path, shape)."""

    label: str
    shape: tuple
    kind: str
    inputs: list = field(default_factory=list)
    params: list = field(default_factory=list)
    symbol: str = ""


class Recorder(Node):
    """autograd's node, remembering what was called on what."""

    __slots__ = ["vertex"]

    def __init__(self, value, fun, args, kwargs, argnums, parents):
        fed = [parent.vertex for parent in parents]
        words = [TITLES.get(fun.__name__, fun.__name__.replace("_", " ")),
                 *(f"{arg:g}" for i, arg in enumerate(args)
                   if i not in argnums and isinstance(arg, (int, float)))]
        self.vertex = Vertex(" ".join(words), np.shape(value), "operation",
                             [v for v in fed if v.kind != "parameter"],
                             [(v.label, v.shape) for v in fed if v.kind == "parameter"])
        with contextlib.suppress(TypeError, ValueError, IndexError):  # numpy's own do not all tell
            names = [*inspect.signature(getattr(fun, "fun", fun)).parameters]
            for i, v in zip(argnums, fed):
                v.symbol = SYMBOLS.get(names[i], "") or v.symbol

    def initialize_root(self, vertex):
        self.vertex = vertex


notrace_primitives[Recorder] = notrace_primitives[VJPNode]


def trace(fun, params, inputs, outputs=("output",)):
    """The graph of fun(params, *inputs.values()): vertices, each after those that feed it.

    params: a nest of arrays. inputs: {name: array}, the sources. outputs: a name for each result.
    """
    with trace_stack.new_trace() as level:
        def box(array, name, kind):
            root = Recorder.new_root(Vertex(name, np.shape(array), kind))
            return new_box(np.asarray(array), level, root)

        boxes = [box(leaf, name, "parameter") for leaf, name in zip(leaves(params), paths(params))]
        results = fun(rebuild(params, boxes), *(box(inputs[key], key, "input") for key in inputs))
    results = results if isinstance(results, (tuple, list)) else (results,)
    ends = [Vertex(name, np.shape(getval(end)), "output", [end._node.vertex] if isbox(end) else [])
            for name, end in zip(outputs, results)]
    return [*toposort(Vertex("", (), "", ends), lambda vertex: vertex.inputs)][:0:-1]


def layout(graph):
    """{vertex: row}, each below all that feed it, and {vertex: column}, straight below if it can.

    Down to the row that uses it last, the column below a box is its value's alone: lines go down in
    their columns and across between two rows, and so through no box.
    """
    row, column, taken = {}, {}, set()
    users = {v: [user for user in graph if v in user.inputs] for v in graph}
    for v in graph:
        row[v] = 1 + max((row[w] for w in v.inputs), default=-1)
    for v in graph:
        if not v.inputs:
            row[v] = min((row[w] for w in users[v]), default=1) - 1
    for v in sorted(graph, key=lambda v: (not v.inputs, row[v])):  # the sources last
        near = [column[w] for w in v.inputs + users[v] if w in column and abs(row[w] - row[v]) < 2]
        cells = range(row[v], max((row[w] for w in users[v]), default=row[v] + 1))
        free = [c for c in range(-len(row), len(row)) if taken.isdisjoint((r, c) for r in cells)]
        column[v] = min((abs(c - np.mean(near or [0])), -c, c) for c in free)[-1]
        taken.update((r, column[v]) for r in cells)
    return row, column


def draw(graph, path, shapes=False, title=None):
    """Draw the graph of `trace` into `path`, .svg or .png. shapes: with those of all arrays."""
    row, column = layout(graph)
    text = {v: [v.label] for v in graph}
    for v in graph:
        text[v][0] += f" → {v.symbol}" if v.symbol and v.kind == "operation" else ""
        if shapes:
            text[v] += [*(f"{name} {shape}" for name, shape in v.params), f"→ {v.shape}"]
    width = 0.75 + 0.095 * max(len(line) for lines in text.values() for line in lines)
    height = 0.58 + 0.2 * max(map(len, text.values()))  # of a cell, in inches, for 11 points
    w, h = 1 - 0.4 / width, 1 - 0.4 / height            # of a box, in cells
    left, right = min(column.values()) - 0.5, max(column.values()) + 0.5
    bottom, top = -max(row.values()) - 0.5, 0.5 + bool(title)

    figure = Figure(figsize=((right - left) * width, (top - bottom) * height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, top))
    axes.axis("off")
    for v in graph:
        x, y = column[v], -row[v]
        axes.add_patch(FancyBboxPatch(
            (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.05",
            mutation_aspect=width / height, fc=COLOURS[v.kind], ec="#444444"))
        axes.text(x, y, "\n".join(text[v]), ha="center", va="center", size=11, linespacing=1.25)
        for x_from, y_from in ((column[u], -row[u]) for u in v.inputs):
            turn = x_from, y + 1 - h / 2
            axes.plot(*zip((x_from, y_from - h / 2), turn), color="#666666", lw=1.1)
            axes.annotate("", (x, y + h / 2), turn, arrowprops={
                "arrowstyle": "-|>", "color": "#666666", "lw": 1.1, "shrinkA": 0, "shrinkB": 0})
    axes.text((left + right) / 2, 1, title, size=12, weight="bold", ha="center", va="center")
    figure.savefig(path, dpi=150)
