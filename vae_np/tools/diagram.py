"""The architecture, drawn from the computation itself: what autograd records when the model runs is what you see.

`trace` runs a function on boxes, as `value_and_grad` does, but each node it records keeps its name and shape instead of
a derivative. `draw` lays the nodes out in layers, from the inputs at the top to the result at the bottom.
"""

from dataclasses import dataclass, field

import numpy as np
from autograd.core import VJPNode
from autograd.tracer import Node, getval, isbox, new_box, notrace_primitives, trace_stack
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vae_np.nests import leaves, paths, rebuild

TITLES = {"affine": "dense", "rectify": "relu", "hyperbolic_tangent": "tanh", "location_scale": "location-scale",
          "gaussian_kl": "Gaussian KL", "gaussian_log_ratio": "Gaussian log-ratio", "gaussian_nll": "Gaussian NLL",
          "bernoulli_nll": "Bernoulli NLL"}
COLOURS = {"input": "#cfe3f7", "operation": "#f2f2f2", "output": "#d5efcf"}


@dataclass(eq=False)
class Vertex:
    """One box of the diagram: an input, an operation or an output; `inputs` are the vertices that feed it."""

    label: str
    shape: tuple
    kind: str
    inputs: list = field(default_factory=list)
    params: list = field(default_factory=list)   # the parameters it uses, as (path, shape)


class Recorder(Node):
    """autograd's node, remembering what was called on what."""

    __slots__ = ["vertex", "param"]

    def __init__(self, value, fun, args, kwargs, argnums, parents):
        self.param = None
        self.vertex = Vertex(TITLES.get(fun.__name__, fun.__name__.replace("_", " ")), np.shape(value), "operation",
                             [parent.vertex for parent in parents if parent.param is None],
                             [parent.param for parent in parents if parent.param is not None])

    def initialize_root(self, vertex, param=None):
        self.vertex, self.param = vertex, param


notrace_primitives[Recorder] = notrace_primitives[VJPNode]


def trace(fun, params, inputs, outputs=("output",)):
    """The graph of fun(params, *inputs.values()), as a list of vertices in the order in which they were computed.

    params: a nest of arrays. inputs: {name: array}, the sources of the diagram. outputs: a name for each result.
    """
    with trace_stack.new_trace() as level:
        def box(array, vertex, param=None):
            return new_box(np.asarray(array), level, Recorder.new_root(vertex, param))

        boxed = rebuild(params, [box(leaf, None, (path, np.shape(leaf)))
                                 for leaf, path in zip(leaves(params), paths(params))])
        sources = [Vertex(name, np.shape(array), "input") for name, array in inputs.items()]
        results = fun(boxed, *map(box, inputs.values(), sources))
    results = results if isinstance(results, (tuple, list)) else (results,)
    sinks = [Vertex(name, np.shape(getval(result)), "output", [result._node.vertex] if isbox(result) else [])
             for name, result in zip(outputs, results)]
    found = []

    def visit(vertex):
        if vertex not in found:
            for parent in vertex.inputs:
                visit(parent)
            found.append(vertex)

    for sink in sinks:
        visit(sink)
    return found


def _layers(graph):
    """Vertices by row: each one below all that feed it, an input just above the first that uses it."""
    depth = {}
    for vertex in graph:
        depth[vertex] = 1 + max((depth[parent] for parent in vertex.inputs), default=-1)
    for source in (vertex for vertex in graph if not vertex.inputs):
        depth[source] = min((depth[v] for v in graph if source in v.inputs), default=1) - 1
    return depth


def _columns(graph, depth):
    """Chains (lists of points) for every edge and a column for every vertex, few crossings: barycentres, to and fro."""
    rows = [[] for _ in range(max(depth.values()) + 1)]
    for vertex in graph:
        rows[depth[vertex]].append(vertex)
    above, chains = {v: [] for v in graph}, []
    for vertex in graph:
        for parent in vertex.inputs:  # an edge that passes rows by gets a bend in each, kept free of boxes
            chain = [parent]
            for row in range(depth[parent] + 1, depth[vertex]):
                bend = (parent, vertex, row)
                rows[row].append(bend)
                above[bend] = [chain[-1]]
                chain.append(bend)
            above[vertex].append(chain[-1])
            chains.append((*chain, vertex))
    below = {}
    for item, parents in above.items():
        for parent in parents:
            below.setdefault(parent, []).append(item)
    column = {item: i - (len(row) - 1) / 2 for row in rows for i, item in enumerate(row)}
    for sweep in range(24):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wish = {item: np.mean([column[n] for n in neighbours.get(item, [])] or [column[item]]) for item in row}
            row.sort(key=wish.get)
            spots = np.array([wish[item] for item in row])
            for _ in range(20):  # push apart what stands closer than one column
                for i in range(len(row) - 1):
                    gap = _room(row[i], row[i + 1]) - (spots[i + 1] - spots[i])
                    if gap > 0:
                        spots[i] -= gap / 2
                        spots[i + 1] += gap / 2
            column.update(zip(row, spots))
    return column, chains


def _room(left, right):
    return 1.0 if isinstance(left, Vertex) and isinstance(right, Vertex) else 0.62


def draw(graph, path, shapes=False, title=None):
    """Draw the graph of `trace` into `path`, .svg or .png. shapes: also those of each result and of the parameters."""
    depth = _layers(graph)
    column, chains = _columns(graph, depth)
    text = {vertex: "\n".join([vertex.label] + shapes * [f"{name} {shape}" for name, shape in vertex.params]
                              + shapes * [f"→ {vertex.shape}"]) for vertex in graph}
    lines = [line for label in text.values() for line in label.split("\n")]
    most = max(label.count("\n") + 1 for label in text.values())
    width, height, gap = 0.35 + 0.095 * max(map(len, lines)), 0.18 + 0.2 * most, 0.4  # inches, for text of 11 points
    row = {item: depth[item] if isinstance(item, Vertex) else item[2] for item in column}
    spot = {item: (column[item] * (width + gap), -row[item] * (height + gap)) for item in column}
    reach = [(x + side * (width / 2 if isinstance(item, Vertex) else 0.05)) for item, (x, _) in spot.items()
             for side in (-1, 1)]
    left, right, bottom = min(reach) - 0.2, max(reach) + 0.2, min(y for _, y in spot.values()) - height / 2 - 0.2
    top = height / 2 + (0.5 if title else 0.2)

    figure = Figure(figsize=(right - left, top - bottom))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, top))
    axes.axis("off")
    for chain in chains:
        start, *bends, end = (spot[item] for item in chain)
        points = [(start[0], start[1] - height / 2)]
        for x, y in bends:  # straight down while it passes a row of boxes
            points += [(x, y + height / 2), (x, y - height / 2)]
        axes.plot(*zip(*points, (end[0], end[1] + height / 2)), color="#666666", lw=1.1, zorder=1)
        axes.annotate("", (end[0], end[1] + height / 2), points[-1], zorder=1,
                      arrowprops={"arrowstyle": "-|>", "color": "#666666", "shrinkA": 0, "shrinkB": 0, "lw": 1.1})
    for vertex in graph:
        x, y = spot[vertex]
        axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, zorder=2, lw=1, ec="#444444",
                                      fc=COLOURS[vertex.kind], boxstyle="round,pad=0,rounding_size=0.08"))
        axes.text(x, y, text[vertex], ha="center", va="center", fontsize=11, zorder=3, linespacing=1.25)
    if title:
        axes.text((left + right) / 2, top - 0.22, title, ha="center", va="center", fontsize=12, weight="bold")
    figure.savefig(path, dpi=150)
