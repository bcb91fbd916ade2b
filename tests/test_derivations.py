"""The lesson's derivations: every line agrees with the one before, and no change of a sign, constant or function "
"passes."""

import ast
import copy
import os
import re
import subprocess
import sys
from string import Formatter

import numpy as np
import pytest
from lesson import derivations
from lesson.latex import FUNCTIONS as FORMULAS
from lesson.latex import latex

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEEDS = (0, 1, 2, 3, 4)
NAMES = [derivation.title for derivation in derivations.DERIVATIONS]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_line_agrees_with_the_one_before(seed):
    wrong = [(i, j, n, line.code) for i, j, n, line, _, _, right in derivations.judged(seed) if not right]
    assert not wrong


OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
FUNCTIONS = {"log": "exp", "exp": "log", "tanh": "sg", "sg": "tanh", "total": "product", "product": "total",
             "E_q": "V_q", "q": "posterior", "posterior": "q", "p_x_z": "p_xz", "p_xz": "p_x_z", "f1": "f", "f": "f1"}


def mutants(code):
    """The expression with one sign, operator, constant or function changed."""
    tree = ast.parse(code, mode="eval")
    indices = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for place, node in enumerate(ast.walk(tree)):
        other = copy.deepcopy(tree)
        found = [*ast.walk(other)][place]
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            found.op = OPERATORS[type(node.op)]()
        elif isinstance(node, ast.UnaryOp):
            found.op = ast.UAdd()
        elif isinstance(node, ast.Constant) and id(node) not in indices:  # which of several equal draws is no constant
            found.value += 1
        elif isinstance(node, ast.Name) and node.id in FUNCTIONS:
            found.id = FUNCTIONS[node.id]
        elif isinstance(node, ast.Name) and node.id in ("mu", "sigma", "s2", "tau"):
            found.id = {"mu": "sigma", "sigma": "s2", "s2": "sigma", "tau": "s"}[node.id]
        else:
            continue
        yield ast.unparse(other)


# The changes that leave the line true, by derivation; every other one must be caught.
EQUIVALENT = {
    0: {  # a factor of one; one density for another; what is constant in μ, under its derivative
        "log(p_x) / integral(lambda z: q(z))",
        "log(p_x) * integral(lambda z: posterior(z))",
        "log(E_q(lambda z: q(z) / q(z)))",
        "log(E_q(lambda z: posterior(z) / posterior(z)))",
        "log(integral(lambda z: q(z)))",
        "d(lambda mu: integral(lambda z: N(z, mu, s2) * log(p_xz(z) * N(z, mu, s2))), mu)",
        "d(lambda mu: integral(lambda z: N(z, mu, s2) * log(p_xz(z) / N(z, mu, sigma))), mu)",
        "d(lambda mu: exp(p_x) - integral(lambda z: N(z, mu, s2) * log(N(z, mu, s2) / posterior(z))), mu)",
        "d(lambda mu: log(p_x) - integral(lambda z: N(z, mu, s2) * log(N(z, mu, sigma) / posterior(z))), mu)",
        "-d(lambda mu: integral(lambda z: N(z, mu, s2) * log(N(z, mu, sigma) / posterior(z))), mu)",
    },
    1: {  # a constant under a derivative
        "d(lambda mu: -1 / 2 * (1 + log(s2) - mu ** 2 + s2), mu)",
        "d(lambda mu: -1 / 2 * (1 + log(s2) - mu ** 2 - sigma), mu)",
        "d(lambda mu: -1 / 2 * (1 - log(s2) - mu ** 2 - s2), mu)",
        "d(lambda mu: -1 / 2 * (2 + log(s2) - mu ** 2 - s2), mu)",
        "d(lambda mu: -1 / 2 * (1 + exp(s2) - mu ** 2 - s2), mu)",
        "d(lambda mu: -1 / 2 * (1 + log(sigma) - mu ** 2 - s2), mu)",
        "dKL_dmu(mu, exp(s2))",
        "dKL_dmu(mu, log(sigma))",
        "d(lambda t: -1 / 2 * (1 + t + mu ** 2 - exp(t)), t)",
        "d(lambda t: -1 / 2 * (2 + t - mu ** 2 - exp(t)), t)",
        "d(lambda t: -1 / 2 * (1 + t - sigma ** 2 - exp(t)), t)",
        "d(lambda t: -1 / 2 * (1 + t - mu ** 3 - exp(t)), t)",
        "dKL_dt(sigma, t)",
    },
    4: {  # ε has a symmetric law; the step's slope is zero anywhere
        "integral(lambda eps: sigma * N(mu + sigma * eps, mu, s2) * f(mu - sigma * eps))",
        "integral(lambda eps: sigma * N(mu - sigma * eps, mu, s2) * f(mu + sigma * eps))",
        "integral(lambda eps: N(eps, 0, 1) * f(mu - sigma * eps))",
        "d(lambda mu: E_eps(lambda eps: f(mu - sigma * eps)), mu)",
        "E_eps(lambda eps: d(lambda mu: f(mu - sigma * eps), mu))",
        "E_eps(lambda eps: f1(mu - sigma * eps))",
        "draws(lambda eps: f1(mu - sigma * eps))",
        "E_eps(lambda eps: d(lambda t: f(mu - exp(t / 2) * eps), t))",
        "E_eps(lambda eps: d(lambda mu: step(mu + sigma * eps), sigma))",
        "E_eps(lambda eps: d(lambda mu: step(mu - sigma * eps), mu))",
        "E_eps(lambda eps: d(lambda mu: step(sigma + sigma * eps), mu))",
        "E_eps(lambda eps: d(lambda mu: step(mu + sigma / eps), mu))",
        "E_eps(lambda eps: d(lambda mu: step(mu + s2 * eps), mu))",
    },
    5: {  # the score has mean zero
        "E_q(lambda z: (z - mu) / s2 * (f(z) + c))",
        "E_q(lambda z: (z - mu) / s2 * f(z)) + c * E_q(lambda z: (z - mu) / s2)",
        "E_q(lambda z: (z - mu) / s2 * f(z)) - c * E_q(lambda z: (z - mu) * s2)",
        "E_q(lambda z: (z - mu) / s2 * f(z)) - c * E_q(lambda z: (z - mu) / sigma)",
    },
    7: {  # p(x, z) / p(z|x) is p(x) as well
        "total(lambda z: q(z) * (p_xz(z) / posterior(z)))",
    },
    8: {  # a constant under a derivative
        "sg(a) * sg(-a) * d(lambda c: tau * log(c / (1 - c)) + l, c)",
    },
    9: {  # y sums to one
        "tau ** 3 / (y[1] + y[2] + y[3]) / (y[1] * y[2] * y[3])",
    },
}


def survivors(number):
    derivation = derivations.DERIVATIONS[number]
    scopes = [derivation.scope(np.random.default_rng([seed, number + 1])) for seed in SEEDS]
    for _, lines in derivation.chains:
        values = [[derivations.evaluate(line.code, dict(scope)) for line in lines] for scope in scopes]
        for n, line in enumerate(lines):
            for mutant in mutants(line.code):
                if not any(caught(mutant, scope, lines, n, row) for scope, row in zip(scopes, values)):
                    yield line.code, mutant


def caught(mutant, scope, lines, n, values):
    try:
        value = derivations.evaluate(mutant, dict(scope))
        return not ((n == 0 or derivations.holds(lines[n].relation, values[n - 1], value))
                    and (n + 1 == len(lines) or derivations.holds(lines[n + 1].relation, value, values[n + 1])))
    except (TypeError, ValueError, KeyError, NameError, IndexError, ZeroDivisionError):
        return True


def test_the_page_is_that_of_the_code():
    with open(derivations.PAGE, encoding="utf-8") as file:
        assert file.read() == derivations.page(), "python demos/lesson/derivations.py --write"


def test_its_links_lead_somewhere():
    page = derivations.page()
    headings = {derivations.anchor(heading) for heading in re.findall(r"^## (.*)$", page, re.MULTILINE)}
    for path, place in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page):
        if path:  # README.md is the lesson's own
            assert path == "README.md" or os.path.exists(os.path.join(os.path.dirname(derivations.PAGE), path)), path
        else:
            assert place in headings, place


@pytest.mark.parametrize("code, expected", [
    ("1 / 2 * log(s2)", r"\frac{1}{2} \log \sigma^{2}"),
    ("-1 / 2 * log(a) - (-1 / 2 * b)", r"-\frac{1}{2} \log a - \left(-\frac{1}{2} b\right)"),
    ("exp(-a * total(lambda j: b[j]))", r"e^{-a \sum_{j} b_{j}}"),
    ("2 * (-1 / 2 * b)", r"2 \left(-\frac{1}{2} b\right)"),
    ("a - (b - c)", r"a - \left(b - c\right)"),
    ("a - (-b)", r"a - \left(-b\right)"),
    ("(a + b) * c ** 2", r"\left(a + b\right) c^{2}"),
    ("(a * b) ** 2", r"\left(a b\right)^{2}"),
    ("log(x) * y", r"\left(\log x\right) y"),
    ("y * log(x + 1)", r"y \log \left(x + 1\right)"),
    ("total(lambda k: a[k]) * b", r"\left(\sum_{k} a_{k}\right) b"),
    ("integral(lambda z: f(z) + 1)", r"\int \left(f\left(z\right) + 1\right) \, dz"),
    ("E_q(lambda z: z - mu)", r"\mathbb{E}_{q(z|x)}\left[z - \mu\right]"),
    ("w @ (u + w)", r"w^{\top} \left(u + w\right)"),
    ("(x / 2) ** 2", r"\left(\frac{x}{2}\right)^{2}"),
])
def test_the_formula_brackets_as_the_code_does(code, expected):
    assert latex(code) == expected


def test_no_argument_is_lost_in_print():
    """A function is printed with all its arguments, or as a name alone."""
    lines = [line for derivation in derivations.DERIVATIONS for _, chain in derivation.chains for line in chain]
    for node in (node for line in lines for node in ast.walk(ast.parse(line.code)) if isinstance(node, ast.Call)):
        template = FORMULAS.get(node.func.id)
        if template is not None:
            slots = {int(field) for _, field, _, _ in Formatter().parse(template) if field}
            assert slots in (set(), {*range(len(node.args))}), node.func.id


@pytest.mark.parametrize("code", ["a if b else c", "a == b", "[1, 2]", "a % b"])
def test_what_cannot_be_set_is_refused(code):
    with pytest.raises(ValueError, match="no LaTeX for"):
        latex(code)


@pytest.mark.parametrize("arguments, status, said", [
    (["--seed", "5"], 0, "every line agrees with the one before"),
    (["--seed", "x"], 2, "--seed: 'x': expected an integer of at least 0"),
])
def test_the_command(arguments, status, said):
    path = os.path.join(ROOT, "demos", "lesson", "derivations.py")
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1"}, timeout=120)
    assert done.returncode == status and said in done.stdout + done.stderr
    assert status == 0 or len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("relation, before, after, true", [
    ("=", 1.0, 1 + 1e-12, True), ("=", 1.0, 1 + 1e-10, False), ("=", 1.0, np.nan, False), ("=", 1.0, np.inf, False),
    ("≤", 1.0, 2.0, True), ("≤", 2.0, 1.0, False), ("≥", 2.0, 1.0, True), (">", 1.0, 1.0, False), ("<", 1.0, 1.1, True),
    ("≠", 1.0, 1.0, False), ("≈", derivations.Estimate(1.0, 0.01), 1.03, True),
    ("≈", derivations.Estimate(1.0, 0.01), 1.05, False),
])
def test_the_judge_can_say_no(relation, before, after, true):
    assert derivations.holds(relation, before, after) is true


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_changed_sign_constant_or_function_is_caught(number):
    with np.errstate(all="ignore"):
        alive = [mutant for _, mutant in survivors(number)]
    assert set(alive) == EQUIVALENT.get(number, set())
