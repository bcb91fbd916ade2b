"""What the README and the lesson say of files, lines, commands and figures is so.

`python tests/test_lesson.py` writes the line numbers of the links anew.
"""

from support import data

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LESSON = os.path.join("demos", "lesson", "README.md")
ANSWERS = os.path.join("demos", "lesson", "answers.md")
PAGES = ["README.md", LESSON, ANSWERS]
NAMED = re.compile(r"\[`(\w+)`\]\(([^)#]+\.py)#L(\d+)\)")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def links(page):
    """(target, anchor or None) of each link and picture that stays in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            yield os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page, anchor


def slugs(page):
    """The anchors that GitHub gives the headings of a page."""
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield "".join(c for c in heading if c in " -_" or unicodedata.category(c)[0] in "LN").replace(" ", "-")


def lines_of(path):
    """{name: the lines that define it}, functions within functions too."""
    found = {}
    for node in ast.walk(ast.parse(read(path))):
        names = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else [
            target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        for name in names:
            found.setdefault(name, []).append(node.lineno)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for path, anchor in links(page):
        assert os.path.exists(os.path.join(ROOT, path)), path
        if path.endswith(".md") and anchor:
            assert anchor in slugs(path), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_line_leads_to_the_line_that_defines_the_name(page):
    for name, path, number in NAMED.findall(read(page)):
        path = os.path.normpath(os.path.join(os.path.dirname(page), path))
        assert int(number) in lines_of(path).get(name, []), f"{name} is not at {path}:{number}; run {__file__}"
    assert len(NAMED.findall(read(page))) == read(page).count(".py#L")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_in_code_type_exists(page):
    for path in re.findall(r"`((?:demos|vae_np|tests)/[\w/]*(?:\.\w+)?)`", read(page)):
        assert os.path.exists(os.path.join(ROOT, path)), path


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_a_file_that_knows_its_options(page):
    for script, rest in re.findall(r"python (\w[\w/]*\.py)([^`\n&]*)", read(page)):
        assert os.path.exists(os.path.join(ROOT, script)), script
        options = [word for word in shlex.split(rest) if word.startswith("--")]
        if options:
            environment = {**os.environ, "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1"}
            shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, cwd=ROOT,
                                   env=environment, check=True).stdout
            for option in options:
                assert re.search(rf"{option}\b", shown), f"{script} {option}"


@pytest.mark.parametrize("page", PAGES)
def test_inline_maths_survives_githubs_markdown(page):
    """A backslash before punctuation is taken for Markdown's own, a | in a table for a new cell."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", read(page), flags=re.DOTALL)
    for formula in re.findall(r"\$([^$]+)\$", text):
        assert formula == formula.strip() and formula.count("{") == formula.count("}"), formula
        assert not re.search(r"\\[!-/:-@[-`{-~]", formula) and "½" not in formula, formula
    for line in text.splitlines():
        assert not (line.startswith("|") and any("|" in formula for formula in re.findall(r"\$([^$]+)\$", line))), line


def test_each_equation_of_the_post_has_code_derivation_test_and_figure():
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", read(LESSON), re.MULTILINE)
    rows = [(number, cells.split(" | ")) for number, cells in rows if "derivations.md#" in cells]
    assert [int(number) for number, _ in rows] == [*range(1, 12)]
    for _, (_, equation, code, derivation, test, figure) in rows:
        assert equation.count("$") == 2 and "../../vae_np/" in code and "#L" in code and "derivations.md#" in derivation
        assert "../../tests/" in test and "../figures/" in figure


def test_each_answer_has_code_test_and_figure_and_two_to_six_sentences():
    answers = re.findall(r"^### (.+?)\n\n(.*?)(?=\n##|\Z)", read(ANSWERS), re.MULTILINE | re.DOTALL)
    assert len(answers) >= 27
    for question, answer in answers:
        text, last = answer.strip().rsplit("\n\n", 1)
        assert last.startswith("code [`") and " · test [`" in last and " · figure " in last, question
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert question.endswith("?") and 2 <= len(re.findall(r"[.?!](?=\s|$)", text)) <= 6, question


def test_quoted_figures_stand_in_the_recorded_tables():
    """Every number with decimals in the claims and the answers is recorded, digit by digit, with its command."""
    recorded = read(os.path.join("demos", "README.md")).replace("−", "-") + read("README.md")
    mistakes = section(LESSON, "What trips people up, measured")
    claims = section(LESSON, "The post's claims")
    prose = re.sub(r"```.*?```|\]\([^)]*\)", "", claims + read(ANSWERS), flags=re.DOTALL)
    quoted = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", prose)) - {"0.01", "2.1", "3.15", "45.5"}  # settings
    for number in quoted:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", recorded + mistakes), number


def test_the_entropy_of_the_gray_pixels_is_the_one_quoted():
    x = data.load()[2].reshape(-1, 784) / 255
    inside = np.where((x > 0) & (x < 1), x, 0.5)
    entropy = np.where((x > 0) & (x < 1), -inside * np.log(inside) - (1 - inside) * np.log(1 - inside), 0)
    assert f"{entropy.sum(axis=1).mean():.1f}\nnats" in read(ANSWERS).replace(" nats", "\nnats")


def section(page, heading):
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", read(page), re.MULTILINE | re.DOTALL)[1]


def lesson(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "demos", "lesson", f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recorded_table_of_mistakes_adds_up():
    mistakes, text = lesson("mistakes"), section(LESSON, "What trips people up, measured")
    for name in mistakes.MISTAKES:
        row = next(line for line in text.splitlines() if line.startswith(f"{name}  "))
        cells = re.split(r"\s{2,}", row)[-5:]
        if "not finite" not in row and "e+" not in row:
            nll, kl, nelbo, cost, _ = cells
            assert abs(float(nll) + float(kl) - float(nelbo)) < 0.016
            base = re.search(r"^the right model .*?(\d+\.\d+) +\S+ to", text, re.MULTILINE)
            assert abs(float(nelbo) - float(base[1]) - float(cost)) < 0.016
    exact, claimed = mistakes.linear_gaussian()
    assert f"{exact:.4f}" in text and f"{claimed:.4f}" in text


def test_the_linear_gaussian_example_by_other_means(rng):
    """log p and log E_q[p(x|z)] − KL by a grid over z, for data drawn from the model."""
    exact, claimed = lesson("mistakes").linear_gaussian()
    x, z = rng.standard_normal(4000)[:, None] * np.sqrt(2), np.linspace(-12, 12, 2001)
    step = z[1] - z[0]

    def normal(x, mean, variance):
        return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)

    q = normal(z, x / 2, 0.5)
    kl = (q * np.log(normal(z, x / 2, 0.5) / normal(z, 0, 1), where=q > 0, out=np.zeros_like(q))).sum(1) * step
    for value, found in ((exact, np.log((normal(x, z, 1) * normal(z, 0, 1)).sum(1) * step)),
                         (claimed, np.log((normal(x, z, 1) * q).sum(1) * step) - kl)):
        assert abs(value + found.mean()) < 4 * found.std() / np.sqrt(len(x))


def test_mistakes_runs(tmp_path):
    environment = {**os.environ, "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, os.path.join(ROOT, "demos", "lesson", "mistakes.py"), "--quick", "--out",
                           tmp_path / "out"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert {"mistakes.png", "run.json"} == {*os.listdir(tmp_path / "out")} and os.listdir(tmp_path) == ["out"]
    assert all(name in done.stdout for name in lesson("mistakes").MISTAKES)


def test_what_the_engine_is_said_to_refuse_it_refuses():
    mistakes = lesson("mistakes")
    x, eps = np.full((3, 784), 0.5, np.float32), np.zeros((3, 2), np.float32)
    for name, slip in mistakes.REFUSED.items():
        with pytest.raises(ValueError) as caught:
            slip(x, eps)
        assert "\n" not in str(caught.value), name


def test_the_right_row_is_the_models_own_bound():
    """The parts that mistakes.py puts together are, without a mistake, the model's −ELBO."""
    mistakes = lesson("mistakes")
    images = np.random.default_rng(0).integers(0, 256, (200, 784), dtype=np.uint8)
    params, broken, terms, pixels, noise = mistakes.train_with(0, images, epochs=1)
    x, eps = pixels(images[:5]), noise(5)
    np.testing.assert_array_equal(sum(terms(params, x, eps)), mistakes.model.apply(params, x, eps))
    assert broken is None


def renewed(page):
    """The page with the lines that its names are defined at now."""
    def renew(match):
        name, path, number = match.groups()
        found = lines_of(os.path.normpath(os.path.join(os.path.dirname(page), path)))
        if name not in found:
            sys.exit(f"{page}: no {name} in {path}")
        return match[0].replace(f"#L{number})", f"#L{found[name][0]})")

    return NAMED.sub(renew, read(page))


if __name__ == "__main__":
    for page in PAGES:
        text = renewed(page)
        with open(os.path.join(ROOT, page), "w", encoding="utf-8") as file:
            file.write(text)
