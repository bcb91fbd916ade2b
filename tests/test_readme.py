"""What the README claims of the files stands in the files."""

import os
import re

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def test_every_file_and_figure_that_is_named_exists():
    for page, folder in (("README.md", ""), (os.path.join("demos", "README.md"), "demos")):
        text = read(page)
        for path in re.findall(r"\]\(([^)#:]+)\)", text):
            assert os.path.exists(os.path.join(ROOT, folder, path)), f"{page}: {path}"
        for path in re.findall(r"`((?:demos|vae_np|tests)/[\w/]+\.(?:py|md))`", text):
            assert os.path.exists(os.path.join(ROOT, path)), f"{page}: {path}"


def test_the_model_in_the_readme_runs_and_prints_what_stands_under_it(capsys):
    """The summary letter by letter. Rounding grows with the steps, so only the first loss is exact to its digits; the
    last is above log 4, which no model of four pictures can pass, and near what is recorded."""
    model, use = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    recorded, = re.findall(r"```python\nimport autograd.*?```\n\n```\n(.*?)```", read("README.md"), re.DOTALL)
    scope = {}
    exec(model, scope)
    printed = capsys.readouterr().out
    assert printed.split("step")[0] == recorded.split("step")[0]
    found, expected = ([float(loss) for loss in re.findall(r"-ELBO +(\S+)", text)] for text in (printed, recorded))
    assert abs(found[0] - expected[0]) <= 0.011 and found[0] > found[1] > found[2] > np.log(4)
    assert abs(found[2] - expected[2]) < 1
    exec(use, scope)
    shapes = {"mu": (5, 2), "log_var": (5, 2), "means": (5, 784), "again": (5, 784), "new": (5, 784), "log_p": (5,)}
    assert {key: scope[key].shape for key in shapes} == shapes
    assert np.mean(np.rint(scope["means"]) != scope["x"]) < 0.01
    assert np.all(scope["log_p"] > -20)
