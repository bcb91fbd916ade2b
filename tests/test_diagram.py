"""The diagrams: what is drawn is what was computed, for the post's model and for others."""

import xml.etree.ElementTree as ElementTree

import autograd.numpy as np
import numpy as onp
import pytest
from test_one_page import build

from vae_np import dense, elementwise, gaussian_log_ratio, gaussian_posterior, heads, sequential
from vae_np.tools.diagram import draw, trace


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


def test_no_two_boxes_and_no_box_and_bend_overlap(graph):
    from vae_np.tools.diagram import _columns, _layers

    depth = _layers(graph)
    column, _ = _columns(graph, depth)
    rows = {}
    for item, x in column.items():
        rows.setdefault(depth[item] if item in depth else item[2], []).append((x, item in depth))
    for row in rows.values():
        row.sort()
        for (left, box), (right, other) in zip(row, row[1:]):
            assert right - left >= (0.99 if box and other else 0.55)
