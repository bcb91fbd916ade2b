"""What the README claims of the files stands in the files."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def test_the_page_in_the_readme_is_the_page():
    assert read("demos", "one_page.py").strip() in read("README.md")


def test_every_file_and_figure_that_is_named_exists():
    for page, folder in (("README.md", ""), (os.path.join("demos", "README.md"), "demos")):
        text = read(page)
        for path in re.findall(r"\]\(([^)#:]+)\)", text):
            assert os.path.exists(os.path.join(ROOT, folder, path)), f"{page}: {path}"
        for path in re.findall(r"`((?:demos|vae_np|tests)/[\w/]+\.(?:py|md))`", text):
            assert os.path.exists(os.path.join(ROOT, path)), f"{page}: {path}"


def test_the_model_in_the_readme_runs():
    code = re.findall(r"```python\n(import autograd.*?)```", read("README.md"), re.DOTALL)
    scope = {}
    exec(next(block for block in code if "from vae_np import *" in block), scope)
    rng = __import__("numpy").random.default_rng(0)
    params = scope["model"].init(rng)
    assert 400 < scope["loss"](params, rng.random((5, 784)), rng.standard_normal((5, 2))) < 700
