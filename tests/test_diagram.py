"""The diagrams: what is drawn is what was computed, for the post's model and for others."""

import xml.etree.ElementTree as ElementTree

import autograd.extend
import autograd.numpy as np
import numpy as onp
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from test_one_page import build

from vae_np import dense, elementwise, gaussian_log_ratio, gaussian_posterior, heads, sequential
from vae_np.tools.diagram import Vertex, draw, layout, trace


@pytest.fixture
def graph(rng):
    model = build(20, [8], 2)
    x, eps = rng.random((5, 20), onp.float32), rng.standard_normal((5, 2))
    return trace(model.apply, model.init(rng), {"x": x, "ε": eps}, ["−ELBO"])


def edges(graph):
    return sorted((parent.label, vertex.label) for vertex in graph for parent in vertex.inputs)


def test_every_operation_is_a_node_and_x_and_noise_are_sources(graph):
    assert [vertex.label for vertex in graph if vertex.kind == "input"] == ["x", "ε"]
    assert edges(graph) == sorted([
        ("x", "dense"), ("dense", "relu"), ("relu", "dense"), ("relu", "dense"), ("dense", "Gaussian KL"),
        ("dense", "Gaussian KL"), ("dense", "location-scale"), ("dense", "location-scale"), ("ε", "location-scale"),
        ("location-scale", "dense"), ("dense", "relu"), ("relu", "dense"), ("dense", "Bernoulli NLL"),
        ("x", "Bernoulli NLL"), ("Bernoulli NLL", "add"), ("Gaussian KL", "add"), ("add", "−ELBO")])


def test_shapes_and_parameters_are_those_of_the_computation(graph):
    first = next(vertex for vertex in graph if vertex.label == "dense")
    assert first.shape == (5, 8) and first.params == [("phi.0.W", (20, 8)), ("phi.0.b", (8,))]
    assert {vertex.label: vertex.shape for vertex in graph}["location-scale"] == (5, 2)
    assert sum(len(vertex.params) for vertex in graph) == 10


def test_another_computation_is_another_diagram(rng):
    encoder = sequential(dense(6, 4), elementwise(np.tanh), heads(dense(4, 1), dense(4, 1)))
    posterior = gaussian_posterior(encoder, kl=gaussian_log_ratio)
    inputs = {"x": rng.random((3, 6)), "ε": rng.random((7, 3, 1))}
    graph = trace(posterior.apply, posterior.init(rng), inputs, ["z", "KL"])
    assert ("dense", "tanh") in edges(graph) and ("location-scale", "Gaussian log-ratio") in edges(graph)
    assert {vertex.label: vertex.shape for vertex in graph if vertex.kind == "output"} == {"z": (7, 3, 1), "KL": (7, 3)}


def test_an_output_that_depends_on_nothing_and_comparisons_that_are_not_recorded(rng):
    graph = trace(lambda p, x: (np.sum(x * (x > 0)), 3.0), (), {"x": rng.standard_normal(4)}, ["a", "b"])
    assert [(vertex.label, len(vertex.inputs)) for vertex in graph] == [
        ("x", 0), ("multiply", 1), ("sum", 1), ("a", 1), ("b", 0)]


def test_heads_are_marked_by_what_the_formulas_take_them_for(graph):
    marked = {vertex.params[0][0]: vertex.symbol for vertex in graph if vertex.symbol}
    assert marked == {"phi.2.0.W": "μ", "phi.2.1.W": "log σ²"}


def test_the_plain_formula_of_the_reparameterization_shows_its_steps():
    inputs = {"μ": onp.zeros(2), "log σ²": onp.zeros(2), "ε": onp.ones(2)}
    graph = trace(lambda _, mu, log_var, eps: mu + np.exp(0.5 * log_var) * eps, (), inputs, ["z"])
    assert edges(graph) == sorted([("log σ²", "multiply 0.5"), ("multiply 0.5", "exp"), ("exp", "multiply"),
                                   ("ε", "multiply"), ("multiply", "add"), ("μ", "add"), ("add", "z")])


@pytest.mark.parametrize("name, title", [
    ("affine", "dense"), ("dense", "dense"), ("rectify", "relu"), ("relu", "relu"), ("hyperbolic_tangent", "tanh"),
    ("tanh", "tanh"), ("poisson_nll", "poisson nll")])
def test_a_formula_goes_by_its_title_or_its_own_name(name, title):
    def fun(x, mu):
        return x + mu

    fun.__name__ = name
    graph = trace(lambda _, x: autograd.extend.primitive(fun)(x, 2 * x), (), {"x": onp.ones(2)})
    assert [v.label for v in graph] == ["x", "multiply 2", title, "output"] and graph[1].symbol == "μ"


def test_numbers_that_are_no_arrays_of_the_graph_stand_in_the_box():
    graph = trace(lambda _, x: 2.5 * np.sum(x) ** 2, (), {"x": onp.ones(3)})
    assert [v.label for v in graph] == ["x", "sum", "power 2", "multiply 2.5", "output"]


def test_an_output_may_be_an_input_or_a_parameter():
    graph = trace(lambda params, x: (params["b"], x), {"b": onp.ones(3)}, {"x": onp.ones(2)}, ["b", "same"])
    assert edges(graph) == [("b", "b"), ("x", "same")]


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.parametrize("shapes", [False, True])
def test_it_is_drawn_with_every_label(graph, ending, shapes, tmp_path):
    path = tmp_path / f"graph.{ending}"
    draw(graph, path, shapes=shapes, title="all of it")
    if ending == "png":
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    else:
        text = "".join(ElementTree.parse(path).getroot().itertext()) + path.read_text(encoding="utf-8")
        for label in ["Gaussian KL", "location-scale", "all of it"] + ["phi.0.W (20, 8)"] * shapes:
            assert f"<!-- {label}" in text or label in text
        assert ("phi.0.W" in text) is shapes


def random_graph(seed, n=15):
    rng, graph = onp.random.default_rng(seed), []
    for i in range(n):
        inputs = [graph[j] for j in rng.choice(i, min(i, rng.integers(4)), replace=False)]
        graph.append(Vertex(f"{i}", (), "operation", inputs))
    return graph


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_labels_stand_in_boxes_and_no_box_and_no_line_runs_into_another(graph, seed, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    graph = graph if seed is None else random_graph(seed)
    draw(graph, "", shapes=seed is None)
    figure, = figures
    renderer, (axes,) = FigureCanvasAgg(figure).get_renderer(), figure.axes
    boxes = onp.array([patch.get_window_extent(renderer).extents for patch in axes.patches])  # left, bottom, right, top
    assert len(boxes) == len(graph)

    labels = [text.get_window_extent(renderer).extents for text in axes.texts if text.get_text()]
    for (left, bottom, right, top), label in zip(boxes, labels, strict=True):
        assert left < label[0] < label[2] < right and bottom < label[1] < label[3] < top
    for i, (left, bottom, right, top) in enumerate(boxes):
        apart = (boxes[:, 0] > right) | (boxes[:, 2] < left) | (boxes[:, 1] > top) | (boxes[:, 3] < bottom)
        assert apart.sum() == len(boxes) - 1, f"{graph[i].label} overlaps"

    lines = [line.get_xydata() for line in axes.lines]
    lines += [onp.array([arrow.xyann, arrow.xy]) for arrow in axes.texts if isinstance(arrow, Annotation)]
    assert len(lines) == 2 * len(edges(graph))
    for line in lines:
        points = axes.transData.transform(line[0] + onp.linspace(0, 1, 200)[:, None] * (line[1] - line[0]))
        inside = [((points > box[:2] + 1) & (points < box[2:] - 1)).all(axis=1).any() for box in boxes]
        assert not any(inside), f"a line runs through {graph[inside.index(True)].label}"


@pytest.mark.parametrize("seed", range(8))
def test_each_stands_below_all_that_feed_it_and_a_column_carries_one_value_at_a_time(seed):
    graph = random_graph(seed)
    row, column = layout(graph)
    cells = {(row[v], column[v]): v for v in graph}
    assert min(row.values()) == 0 and len(cells) == len(graph)
    for source in (v for v in graph if not v.inputs):
        assert row[source] == min([row[v] for v in graph if source in v.inputs], default=1) - 1
    for vertex in graph:
        for source in vertex.inputs:
            assert row[source] < row[vertex]
            for r in range(row[source] + 1, row[vertex]):
                assert cells.setdefault((r, column[source]), source) is source
