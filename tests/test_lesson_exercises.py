"""The judge of the exercises: right for right solutions, and wrong, with the number, for every other one."""

import ast
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import scipy.stats
from mutants import mutants

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LESSON = os.path.join(ROOT, "demos", "lesson")
sys.path.insert(0, LESSON)

import check  # noqa: E402
import exercises  # noqa: E402
import solutions  # noqa: E402
import truths  # noqa: E402

NAMES = list(truths.EXERCISES)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow is what some wrong solutions do


COMMAND = [sys.executable, os.path.join(LESSON, "check.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": ROOT, "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def judge(*arguments, cwd=None):
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, encoding="utf-8",
                          env=ENVIRONMENT, timeout=120)


def defined(source):
    """The names of a student's file that holds this source, after the solutions, which it may call."""
    namespace = dict(vars(solutions))
    exec(source, namespace)
    return namespace


def written(name, body):
    """The function of this exercise with another body."""
    return defined(f"def {name}{inspect.signature(getattr(exercises, name))}:\n{textwrap.indent(body, '    ')}\n")[name]


def test_the_solutions_are_right():
    done = judge(os.path.join(LESSON, "solutions.py"))
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [f"{name:<23}  right" for name in NAMES] + ["15 of 15 right"]


def test_the_untouched_exercises_are_not_done():
    done = judge()
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.splitlines() == [f"{name:<23}  not done" for name in NAMES] + ["0 of 15 right"]


def functions(module):
    return {name: f for name, f in vars(module).items() if inspect.isfunction(f)}


def test_exercises_solutions_and_truths_are_of_the_same_functions_in_the_same_order():
    assert list(functions(exercises)) == list(functions(solutions)) == NAMES
    for name, function in functions(exercises).items():
        assert inspect.signature(function) == inspect.signature(getattr(solutions, name))
        assert all(list(given) == list(inspect.signature(function).parameters) for given in check.inputs(name))
        docstring, body = ast.parse(inspect.getsource(function)).body[0].body
        text = docstring.value.value
        assert ast.unparse(body) == "raise NotImplementedError"
        assert "Hint: " in text and re.search(r"The post|\(\d{4}\)", text) and re.search("Returns? ", text)


@pytest.mark.parametrize("module", [check, truths])
def test_the_judge_reads_no_solution(module):
    with open(module.__file__, encoding="utf-8") as file:
        assert not re.search("import solutions|from solutions|solutions.py", file.read())


# Wrong solutions of the usual kinds. Where another message than a number is due, it stands third.
WRONG = [
    ("dense", "return x * W + b", "it raises ValueError"),
    ("dense", "return x @ W - b"),
    ("dense", "return x @ W.T + b", "it raises ValueError"),
    ("dense", "return np.asarray([x @ W + b])", "has shape (1, 3), expected (3,)"),
    ("dense_backward", "return g @ W.T, np.outer(x, g), g", "dW has shape (8, 12)"),
    ("dense_backward", "dx, dW, db = solved(g, x, W)\nreturn dx, dW / x[..., 0].size, db / x[..., 0].size"),
    ("dense_backward", "dx, dW, db = solved(g, x, W)\nreturn dx, dW.T, db", "dW has shape (3, 2), expected (2, 3)"),
    ("dense_backward", "return g @ W.T, x.reshape(-1, 2).T @ g.reshape(-1, 3)", "expected 3 arrays: dx, dW, db"),
    ("bernoulli_nll", "return np.mean(np.logaddexp(0, logits) - x * logits, axis=-1)"),
    ("bernoulli_nll", "return np.sum(np.logaddexp(0, logits) - x * logits)", "has shape (), expected (4,)"),
    ("bernoulli_nll", "return np.sum(np.logaddexp(0, logits) - x * logits, axis=0)", "has shape (3,), expected (4,)"),
    ("bernoulli_nll", "return np.sum(np.log(1 + np.exp(logits)) - x * logits, axis=-1)"),
    ("bernoulli_nll", "return -np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)"),
    ("bernoulli_nll", "return np.sum(np.logaddexp(0, -logits) - x * logits, axis=-1)"),
    ("bernoulli_nll", "p = 1 / (1 + np.exp(-logits))\n"
                      "return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)"),
    ("bernoulli_nll", "p = np.clip(1 / (1 + np.exp(-logits)), 1e-9, 1 - 1e-9)\n"
                      "return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)"),
    ("bernoulli_nll", "p = logits\nreturn -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)"),
    ("bernoulli_nll_gradient", "return x - np.exp(-np.logaddexp(0, -logits))"),
    ("bernoulli_nll_gradient", "return np.exp(logits) / (1 + np.exp(logits)) - x"),
    ("bernoulli_nll_gradient", "return logits - x"),
    ("bernoulli_nll_gradient", "p = np.exp(-np.logaddexp(0, -logits))\nreturn (p - x) / (p * (1 - p))"),
    ("bernoulli_nll_gradient", "return np.exp(-np.logaddexp(0, -x)) - logits"),
    ("bernoulli_nll_gradient", "return np.sum(np.exp(-np.logaddexp(0, -logits)) - x, axis=-1)", "has shape ()"),
    ("gaussian_kl", "return 0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)"),
    ("gaussian_kl", "return -np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)"),
    ("gaussian_kl", "return -0.5 * np.mean(1 + log_var - mu**2 - np.exp(log_var), axis=-1)"),
    ("gaussian_kl", "return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var))", "has shape (), expected (4,)"),
    ("gaussian_kl", "return np.mean(-0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1))", "has shape ()"),
    ("gaussian_kl", "return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var) ** 2, axis=-1)"),
    ("gaussian_kl", "return -0.5 * np.sum(1 + np.log(log_var**2) - mu**2 - log_var**2, axis=-1)"),
    ("gaussian_kl", "return 0.5 * np.sum(log_var + (1 + mu**2) / np.exp(log_var) - 1, axis=-1)"),  # KL[p ‖ q]
    ("gaussian_kl_gradient", "return mu, 0.5 * (1 - np.exp(-log_var))"),  # with respect to σ²
    ("gaussian_kl_gradient", "return mu, np.exp(0.5 * log_var) - np.exp(-0.5 * log_var)"),  # with respect to σ
    ("gaussian_kl_gradient", "return mu, np.exp(log_var) - 1"),
    ("gaussian_kl_gradient", "return -mu, -0.5 * (np.exp(log_var) - 1)"),
    ("gaussian_kl_gradient", "return 2 * mu, np.exp(log_var) - 1"),
    ("gaussian_kl_gradient", "return mu, 0.5 * (np.exp(mu) - 1)"),
    ("gaussian_kl_gradient", "return mu + 0.5 * (np.exp(log_var) - 1)", "expected 2 arrays: dmu, dlog_var"),
    ("location_scale", "return mu + np.exp(log_var) * eps"),
    ("location_scale", "return mu + log_var * eps"),
    ("location_scale", "return mu + 0.5 * np.exp(log_var) * eps"),
    ("location_scale", "return mu + np.exp(2 * log_var) * eps"),
    ("location_scale", "return mu + np.exp(0.5 * log_var)"),
    ("location_scale", "return mu", "the true one"),
    ("location_scale", "return (mu + np.exp(0.5 * log_var) * eps).sum(axis=0)", "has shape ()"),
    ("location_scale", "eps *= np.exp(0.5 * log_var)\neps += mu\nreturn eps", "it changes its argument eps in place"),
    ("location_scale", "z = np.zeros_like(eps)\nz[...] = solved(mu, log_var, eps)\nreturn z"),  # truncates integers
    ("location_scale_backward", "return g.mean(0), 0.5 * np.exp(0.5 * log_var) * np.mean(g * eps, axis=0)"),
    ("location_scale_backward", "return g.sum(0), np.exp(0.5 * log_var) * np.sum(g * eps, axis=0)"),
    ("location_scale_backward", "return g.sum(0), 0.5 * np.exp(0.5 * log_var) * np.sum(g, axis=0)"),
    ("location_scale_backward", "return g.sum(0), np.sum(g * eps, axis=0)"),
    ("location_scale_backward", "return g, 0.5 * np.exp(0.5 * log_var) * g * eps", "dmu has shape (1, 1, 2)"),
    ("gaussian_log_ratio", "return 0.5 * np.sum((z - mu) ** 2 / np.exp(log_var) + log_var - z**2, axis=-1)"),
    ("gaussian_log_ratio", "return np.sum(z**2 - log_var - (z - mu) ** 2 / np.exp(log_var), axis=-1)"),
    ("gaussian_log_ratio", "return 0.5 * np.sum(z**2 - (z - mu) ** 2 / np.exp(log_var), axis=-1)"),
    ("gaussian_log_ratio", "return 0.5 * np.sum(z**2 - log_var - (z - mu) ** 2 / log_var, axis=-1)"),
    ("gaussian_log_ratio", "return 0.5 * np.sum(z**2 - 2 * log_var - (z - mu) ** 2 / np.exp(2 * log_var), axis=-1)"),
    ("gaussian_log_ratio", "return gaussian_kl(mu, log_var)"),
    ("gaussian_log_ratio", "return solved(mu, log_var, z) - 0.5 * np.log(2 * np.pi) * mu.shape[-1]"),
    ("elbo", "return -solved(params, x, eps)"),
    ("elbo", "return solved(params, x, 0 * eps)"),  # at z = μ
    ("elbo", "return solved(params, x, 0.01 * eps)"),
    ("elbo", "return np.mean(solved(params, x, eps))", "has shape (), expected (1,)"),
    ("elbo", "return solved(params, x, eps) / x.shape[-1]"),
    ("elbo", "return solved({'phi': params['phi'], 'theta': params['phi']}, x, eps)", "it raises"),
    ("elbo", "hidden, _, heads = params['phi']\n"  # the heads exchanged
             "return solved({'phi': [hidden, (), heads[::-1]], 'theta': params['theta']}, x, eps)"),
    ("elbo", "params['theta'][0]['b'] *= 0\nreturn solved(params, x, eps)", "it changes its argument params in place"),
    ("elbo", "first, _, heads = params['phi']\nh = np.maximum(dense(x, **first), 0)\n"
             "mu, log_var = dense(h, **heads[0]), dense(h, **heads[1])\nz = location_scale(mu, log_var, eps)\n"
             "first, _, last = params['theta']\nlogits = dense(np.maximum(dense(z, **first), 0), **last)\n"
             "return -bernoulli_nll(x, logits) - gaussian_log_ratio(mu, log_var, z)"),  # sampled, not closed-form
    ("elbo", "first, _, heads = params['phi']\nh = np.maximum(dense(x, **first), 0)\n"
             "mu, log_var = dense(h, **heads[0]), dense(h, **heads[1])\nz = location_scale(mu, log_var, eps)\n"
             "first, _, last = params['theta']\nlogits = dense(np.maximum(dense(z, **first), 0), **last)\n"
             "return -bernoulli_nll(x, logits) + gaussian_kl(mu, log_var)"),
    ("elbo", "first, _, heads = params['phi']\nh = dense(x, **first)\n"
             "mu, log_var = dense(h, **heads[0]), dense(h, **heads[1])\nz = location_scale(mu, log_var, eps)\n"
             "first, _, last = params['theta']\nlogits = dense(dense(z, **first), **last)\n"
             "return -bernoulli_nll(x, logits) - gaussian_kl(mu, log_var)"),  # no relu
    ("iwae", "return np.mean(log_w, axis=0)"),
    ("iwae", "return np.log(np.mean(np.exp(log_w), axis=0))"),
    ("iwae", "m = np.max(log_w)\nreturn m + np.log(np.mean(np.exp(log_w - m), axis=0))"),
    ("iwae", "m = np.mean(log_w, axis=0)\nreturn m + np.log(np.mean(np.exp(log_w - m), axis=0))"),
    ("iwae", "m = np.max(log_w, axis=0)\nreturn m + np.log(np.sum(np.exp(log_w - m), axis=0))"),
    ("iwae", "m = np.max(log_w, axis=0)\nreturn np.log(np.mean(np.exp(log_w - m), axis=0))"),
    ("iwae", "return solved(log_w.T)", "has shape (3,), expected (1,)"),
    ("rmsprop_step", "v = rho * v + (1 - rho) * g**2\nreturn theta - eta * g / np.sqrt(v + epsilon), v"),
    ("rmsprop_step", "new = rho * v + (1 - rho) * g**2\nreturn theta - eta * g / (np.sqrt(v) + epsilon), new"),
    ("rmsprop_step", "v = (1 - rho) * v + rho * g**2\nreturn theta - eta * g / (np.sqrt(v) + epsilon), v"),
    ("rmsprop_step", "v = v + g**2\nreturn theta - eta * g / (np.sqrt(v) + epsilon), v"),
    ("rmsprop_step", "v = rho * v + (1 - rho) * g**2\nreturn theta + eta * g / (np.sqrt(v) + epsilon), v"),
    ("rmsprop_step", "v = rho * v + (1 - rho) * g**2\nreturn theta - eta * g / np.sqrt(v), v"),
    ("rmsprop_step", "v *= rho\nv += (1 - rho) * g**2\nreturn theta - eta * g / (np.sqrt(v) + epsilon), v",
     "it changes its argument v in place"),
    ("rmsprop_step", "new, out = v.copy(), theta.copy()\nnew[...] = rho * v + (1 - rho) * g**2\n"
                     "out[...] = theta - eta * g / (np.sqrt(new) + epsilon)\nreturn out, new"),  # truncates integers
    ("adam_step", "m = beta1 * m + (1 - beta1) * g\nv = beta2 * v + (1 - beta2) * g**2\n"
                  "return theta - eta * m / (np.sqrt(v) + epsilon), m, v"),
    ("adam_step", "return solved(theta, g, m, v, t + 1, eta, beta1, beta2, epsilon)"),
    ("adam_step", "return solved(theta, g, m, v, 1, eta, beta1, beta2, epsilon)"),
    ("adam_step", "return solved(theta, g, m, v, t, eta, beta2, beta1, epsilon)"),
    ("adam_step", "theta, m, v = solved(theta, g, m, v, t, eta, beta1, beta2, epsilon)\n"
                  "return theta, m / (1 - beta1**t), v / (1 - beta2**t)"),
    ("adam_step", "m = beta1 * m + (1 - beta1) * g\nv = beta2 * v + (1 - beta2) * g**2\n"
                  "return theta - eta * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + epsilon), m, v"),
    ("adam_step", "m = beta1 * m + (1 - beta1) * g\nv = beta2 * v + (1 - beta2) * g**2\n"
                  "return theta - eta * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + epsilon), m, v"),
    ("planar", "t = np.tanh(z @ w + b)\n"  # u for û
               "return z + t[..., None] * u, np.log(np.abs(1 + (w @ u) * (1 - t**2)))"),
    ("planar", "f, log_det = solved(z, u, w, b)\nreturn f, -log_det"),
    ("planar", "a = w @ u\nu = u + (np.log(1 + np.exp(a)) - 1 - a) * w / (w @ w)\nt = np.tanh(z @ w + b)\n"
               "return z + t[..., None] * u, np.log(1 + (w @ u) * (1 - t**2))"),
    ("planar", "a = w @ u\nu = u + (np.logaddexp(0, a) - 1 - a) * w / np.sqrt(w @ w)\nt = np.tanh(z @ w + b)\n"
               "return z + t[..., None] * u, np.log(1 + (w @ u) * (1 - t**2))"),
    ("planar", "a = w @ u\nv = u + (np.logaddexp(0, a) - 1 - a) * w / (w @ w)\nt = np.tanh(z @ w + b)\n"
               "return z + t[..., None] * v, np.log(np.abs(1 + (w @ u) * (1 - t**2)))"),  # û in f alone
    ("planar", "f, log_det = solved(z, u, w, b)\nreturn f, np.sum(log_det)", "log_det has shape ()"),
    ("gumbel_softmax", "return solved(logits, u, 1)"),
    ("gumbel_softmax", "return solved(logits, u, 1 / tau)"),
    ("gumbel_softmax", "return solved(tau * logits, u, tau)"),
    ("gumbel_softmax", "return solved(-logits, u, tau)"),
    ("gumbel_softmax", "return solved(logits, 1 - u, tau)"),
    ("gumbel_softmax", "return solved(logits + u, np.full(u.shape, 0.5), tau)"),  # uniform noise, not Gumbel's
    ("gumbel_softmax", "y = np.exp((logits - np.log(-np.log(u))) / tau)\n"
                       "return y / np.sum(y, axis=-1, keepdims=True)"),
    ("gumbel_softmax", "a = (logits - np.log(-np.log(u))) / tau\ny = np.exp(a - np.max(a))\nreturn y / np.sum(y)"),
    ("gumbel_softmax", "a = (logits - np.log(-np.log(u))) / tau\ny = np.exp(a - np.max(a, axis=0))\n"
                       "return y / np.sum(y, axis=0)"),
    ("gumbel_softmax", "y = solved(logits, u, tau)\nreturn 1.0 * (y == y.max(axis=-1, keepdims=True))"),
]


@pytest.mark.parametrize("name, body, message", [(*row, "the true one")[:3] for row in WRONG],
                         ids=[f"{i}-{row[0]}" for i, row in enumerate(WRONG)])
def test_a_wrong_solution_of_the_usual_kinds_is_told_wrong(name, body, message):
    function = written(name, f"solved = {name}_solved\n{body}")
    function.__globals__[f"{name}_solved"] = getattr(solutions, name)
    said = check.verdict(name, function)
    assert said.startswith("wrong: input ") and message in said, said
    if message == "the true one":  # the first number that differs, where it says, and both as they are
        i, place, index, yours, true = re.search(
            r"input (\d+).*: (\w+)(?:\[([\d, ]+)\])? is (\S+), the true one (\S+)$", said).groups()
        given, truth = truths.EXERCISES[name]()[int(i)]
        result = function(*given.values())
        if isinstance(truth, dict):
            result, truth = result[list(truth).index(place)], truth[place]
        index = tuple(map(int, index.split(", "))) if index else ()
        same = np.abs(result - truth) <= check.TOLERANCE * np.maximum(1, np.abs(truth))
        assert index == tuple(np.argwhere(~same)[0])
        assert f"{np.asarray(result)[index]:.10g}" == yours and f"{truth[index]:.10g}" == true


RIGHT_TOO = [
    ("dense", "return (np.expand_dims(x, -1) * W).sum(-2) + b"),
    ("dense_backward", "axes = list(range(x.ndim - 1))\n"
                       "return g.dot(W.T), np.tensordot(x, g, [axes, axes]), g.sum(axis=tuple(axes))"),
    ("bernoulli_nll", "a = np.maximum(logits, 0) - x * logits\n"
                      "return np.sum(a + np.log1p(np.exp(-np.abs(logits))), axis=-1)"),
    ("bernoulli_nll_gradient", "return 1 / (1 + np.exp(-logits)) - x"),
    ("gaussian_kl", "return 0.5 * (mu * mu + np.expm1(log_var) - log_var).sum(axis=-1)"),
    ("gaussian_kl", "return sum(0.5 * (mu[..., i]**2 + np.exp(log_var[..., i]) - 1 - log_var[..., i])"
                    " for i in range(mu.shape[-1]))"),
    ("gaussian_kl_gradient", "return [mu.copy(), np.expm1(log_var) / 2]"),
    ("location_scale", "sigma = np.sqrt(np.exp(log_var))\nreturn sigma * eps + mu"),
    ("gaussian_log_ratio", "from scipy.stats import norm\n"
                           "return (norm.logpdf(z, mu, np.exp(log_var / 2)) - norm.logpdf(z)).sum(axis=-1)"),
    ("iwae", "from scipy.special import logsumexp\nreturn logsumexp(log_w, axis=0) - np.log(log_w.shape[0])"),
    ("adam_step", "m = m + (1 - beta1) * (g - m)\nv = v + (1 - beta2) * (g * g - v)\nc = np.sqrt(1 - beta2**t)\n"
                  "return theta - eta * c / (1 - beta1**t) * m / (np.sqrt(v) + epsilon * c), m, v"),
    ("planar", "a = u @ w\nu_hat = u + (-1 + np.logaddexp(0, a) - a) / np.linalg.norm(w)**2 * w\ns = z @ w + b\n"
               "return z + np.multiply.outer(np.tanh(s), u_hat), np.log(np.abs(1 + u_hat @ w / np.cosh(s)**2))"),
    ("gumbel_softmax", "from scipy.special import softmax\nfrom scipy.stats import gumbel_r\n"
                       "return softmax((logits + gumbel_r.ppf(u)) / tau, axis=-1)"),
]


@pytest.mark.parametrize("name, body", RIGHT_TOO, ids=[f"{i}-{row[0]}" for i, row in enumerate(RIGHT_TOO)])
def test_another_way_is_right_too(name, body):
    assert check.verdict(name, written(name, body)) == "right"


# (exercise, the changed lines as a pattern, why the numbers are the same). Every other mutant must be told wrong.
EQUIVALENT = [
    ("dense_backward", r"reshape\((-2|2 \* -1),", "NumPy takes any negative size for the one that it finds out"),
    ("dense_backward", r"len\(\(?(-|2 \* |1 \+ )W", "the size of W does not depend on its numbers"),
    ("dense_backward", r"len\(g\.T\)", "g has as many columns as W"),
    ("gaussian_kl", r"\(-mu\) \*\* 2", "a square"),
    ("gaussian_log_ratio", r"\(-z\) \*\* 2|\(mu - z\) \*\* 2|\(-\(z - mu\)\) \*\* 2", "a square"),
    ("elbo", r"gaussian_kl\(-mu, log_var\)", "the KL is the same at −μ"),
    ("iwae", r"m = (1 \+ np\.max\(|np\.max\(1 \+ )log_w", "m cancels, whatever it is, as long as nothing overflows"),
    ("rmsprop_step", r"\(-g\) \*\* 2", "a square"),
    ("adam_step", r"v = .*\(-g\) \*\* 2", "a square"),
    ("planar", r"\(-t\) \*\* 2", "a square"),
    ("planar", r"u @ w", "an inner product of two vectors is symmetric"),
    ("gumbel_softmax", r"a = .*(1 \+ |\(2 \* )", "a constant added to all entries (log 2 is one) cancels in a softmax"),
    ("gumbel_softmax", r"y = np\.exp.*1 \+ ", "a constant added to all entries cancels in a softmax"),
    ("gumbel_softmax", r"y = (-|2 \* )np\.exp", "a factor of all entries cancels in y / Σ y"),
]


def tree(name):
    return ast.parse(inspect.getsource(getattr(solutions, name))).body[0]


def surviving(name):
    """How many mutants there are, and the changed lines of those that the judge does not tell wrong."""
    found = [(line, defined(source)[name]) for line, source in mutants(tree(name))]
    return len(found), {line for line, function in found if not check.verdict(name, function).startswith("wrong: ")}


@pytest.mark.parametrize("name", NAMES)
def test_every_small_change_of_a_solution_is_told_wrong(name):
    count, alive = surviving(name)
    assert count > 30
    excused = {line: reason for line in alive for exercise, pattern, reason in EQUIVALENT
               if exercise == name and re.search(pattern, line)}
    assert alive == set(excused), f"not told wrong: {alive - set(excused)}"
    assert set(excused.values()) == {reason for exercise, _, reason in EQUIVALENT if exercise == name}, "out of date"


@pytest.mark.parametrize("name", ["gaussian_kl", "rmsprop_step", "iwae"])
def test_a_judge_of_one_input_would_let_mutants_pass(name, monkeypatch):
    _, before = surviving(name)
    first = truths.EXERCISES[name]()[:1]
    monkeypatch.setitem(truths.EXERCISES, name, lambda: first)
    assert surviving(name)[1] > before


def test_the_truths_densities_are_scipys(rng):
    z, mu, variance = rng.standard_normal((3, 50)) ** [[1], [1], [2]]
    expected = scipy.stats.norm.logpdf(z, mu, np.sqrt(variance))
    assert np.max(np.abs(truths.log_normal(z, mu, variance) - expected) / (1 + np.abs(expected))) < 1e-14
    assert np.allclose(truths.kl(np.zeros((2, 3)), np.zeros((2, 3))), 0, atol=1e-15)


def test_differences_are_ten_times_finer_than_the_tolerance():
    for name in NAMES:
        for given, truth in truths.EXERCISES[name]():
            result = getattr(solutions, name)(*given.values())
            for a, b in zip(result, truth.values()) if isinstance(truth, dict) else [(result, truth)]:
                assert np.max(np.abs(a - b) / np.maximum(1, np.abs(b))) < check.TOLERANCE / 10, name


MISBEHAVING = '''
import os, sys
import numpy as np
print("at the top")
def dense(x, W, b):
    raise ValueError("no\\nidea")
def dense_backward(g, x, W):
    pass
def bernoulli_nll(x, logits):
    return np.full(logits.shape[:-1], np.nan)
def bernoulli_nll_gradient(x, logits):
    return "σ(l) − x"
def gaussian_kl(mu, log_var):
    print("here\\nthere")
    return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)
def gaussian_kl_gradient(mu, log_var):
    while True:
        print("still here")
def location_scale(mu, log_var, eps):
    os._exit(0)
def location_scale_backward(g, log_var, eps):
    sys.exit(0)
def gaussian_log_ratio(mu, z):
    return 0
def elbo(params, x, eps):
    return -gumbel_softmax(params, x, eps)
iwae = 3
def rmsprop_step(theta, g, v, eta, rho, epsilon):
    return np.float32(theta), v
def adam_step(theta, g, m, v, t, eta, beta1, beta2, epsilon):
    return [theta.tolist(), m, v]
def planar(z, u, w, b):
    return planar(z, u, w, b)
def gumbel_softmax(logits, u, tau):
    raise NotImplementedError
'''
ANSWERS = """\
dense                    wrong: input 0, x = *, W = *, b = *: it raises ValueError: no idea (line 6)
dense_backward           wrong: input 0, *: result is None, expected 3 arrays: dx, dW, db
bernoulli_nll            wrong: input 0, x = *, logits = *: result is nan, the true one *
bernoulli_nll_gradient   wrong: input 0, *: result is a str, expected float64 of shape (3,)
gaussian_kl              wrong: it prints 'here'; its numbers are right, take the print out
gaussian_kl_gradient     wrong: no answer after 2 s; does a loop never end?
location_scale           wrong: it ended the process that ran it
location_scale_backward  wrong: input 0, *: it raises SystemExit: 0 (line 22)
gaussian_log_ratio       wrong: input 0, *: it raises TypeError: gaussian_log_ratio() takes 2 positional arguments *
elbo                     not done: it calls gumbel_softmax, which is not
iwae                     not done: the file has no function iwae
rmsprop_step             wrong: input 0, *: theta is float32, expected float64 of shape (2,)
adam_step                wrong: input 0, *: theta is a list, expected float64 of shape (2,)
planar                   wrong: input 0, *: it raises RecursionError: *
gumbel_softmax           not done
0 of 15 right
Inputs to try yourself, in *lesson: from check import inputs; inputs("dense")[0]
"""


def test_whatever_a_file_does_is_answered_in_one_line_each(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MISBEHAVING, encoding="utf-8")
    done = judge("--seconds", 2, file, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == "" and os.listdir(tmp_path) == ["mine.py"]
    for said, pattern in zip(done.stdout.splitlines(), ANSWERS.splitlines(), strict=True):
        assert re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), said), said


@pytest.mark.parametrize("source, message", [
    (b"def dense(x, W, b)\n", "SyntaxError: expected ':' (mine.py, line 1)"),
    (b"import numpyy\n", "ModuleNotFoundError: No module named 'numpyy' (line 1)"),
    (b"\xff\xfe\x00", "SyntaxError: "),
    (b"while True: pass\n", "no answer after 2 s"),
    (b"import os; os._exit(3)\n", "it ended the process that ran it"),
])
def test_a_file_that_cannot_be_run_is_one_line_and_status_1(source, message, tmp_path):
    (tmp_path / "mine.py").write_bytes(source)
    done = judge("--seconds", 2, "mine.py", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.startswith("mine.py: wrong: ") and message in done.stdout and done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments, message", [
    (["missing.py"], "missing.py: No such file or directory"),
    (["."], ".: Is a directory"),
    (["--unknown"], "unrecognized arguments: --unknown"),
])
def test_no_file_is_one_line_and_status_2(arguments, message, tmp_path):
    done = judge(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr == f"check.py: error: {message}\n"


def test_ctrl_c_ends_it_without_a_word(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def dense_backward(g, x, W):\n    while True:\n        pass\n")
    process = subprocess.Popen([*COMMAND, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == b""


def test_inputs_are_copies():
    check.inputs("dense")[0]["x"] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(check.verdict(name, getattr(solutions, name)) == "right" for name in NAMES)
