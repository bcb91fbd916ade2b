"""The lesson's notebook runs from top to bottom with all its checks; the outputs that it holds are of one whole run."""

import json
import os
import re

import pytest
from lesson import derivations, notebook

pytest.importorskip("nbclient")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="module")
def stored():
    with open(notebook.PATH, encoding="utf-8") as file:
        return json.load(file)


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_it_runs_from_top_to_bottom(monkeypatch):
    """One epoch of 2,000 images; every assert in it is made, but for the comparison with the post's curve."""
    short = {"VAE_EPOCHS": "1", "VAE_IMAGES": "2000", "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1"}
    for name, value in short.items():
        monkeypatch.setenv(name, value)
    executed = notebook.execute()
    assert [cell.execution_count for cell in code(executed.cells)] == [*range(1, len(code(executed.cells)) + 1)]


def test_the_stored_outputs_are_those_of_one_whole_run(stored):
    cells = code(stored["cells"])
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    silent = [cell["execution_count"] for cell in cells if not cell["outputs"]]
    assert silent == [1]  # the imports
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "display_data") and output.get("name") != "stderr"


def test_it_was_trained_in_full_and_shows_every_figure(stored):
    cells = code(stored["cells"])
    text = "".join(text for cell in cells for output in cell["outputs"] for text in output.get("text", []))
    assert re.findall(r"^epoch (\d+)", text, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    pictures = [output for cell in cells for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(pictures) == 12  # six diagrams; curve, posteriors, latent plane, manifold, both, reconstructions


def test_it_is_small_and_knows_of_no_machine(stored):
    with open(notebook.PATH, encoding="utf-8") as file:
        text = file.read()
    assert len(text) < 800_000
    text = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.findall(r"/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\", text)
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    assert not any(cell["metadata"] for cell in stored["cells"])


def test_its_links_lead_somewhere(stored):
    text = "".join(line for cell in stored["cells"] if cell["cell_type"] == "markdown" for line in cell["source"])
    links = re.findall(r"\]\(([^)#:]+)#?([^)]*)\)", text)
    assert len(links) > 8
    headings = {derivations.anchor(line[3:]) for line in derivations.page().split("\n") if line.startswith("## ")}
    for path, place in links:
        assert place in headings or not place, place
        assert path == "README.md" or os.path.exists(os.path.join(os.path.dirname(notebook.PATH), path)), path
