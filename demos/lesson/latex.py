"""An expression of Python, written as LaTeX: `latex("1 / 2 * log(s2)")` is `\\frac{1}{2} \\log \\sigma^{2}`.

A derivation that is written once, as code that runs, cannot differ from the formula that is printed. Arithmetic,
calls, subscripts and `lambda` are translated (with a lambda an integral, a sum, a derivative binds its letter), nothing
else.
"""

import ast

SYMBOLS = {
    "mu": r"\mu", "sigma": r"\sigma", "s2": r"\sigma^{2}", "eps": r"\epsilon", "tau": r"\tau", "pi": r"\pi", "t": "t",
    "p_x": r"p(x)", "p_z": r"p(z)", "q": r"q(z|x)",
    "posterior": r"p(z|x)", "direction": r"\hat u", "psi": r"\psi",
    "identity": "I", "alpha": r"\alpha", "slope": r"w^{\top}\hat u", "root": r"s^{*}", "row": r"\psi^{\top}",
}
FUNCTIONS = {
    "p_xz": r"p(x, {0})", "p_x_z": r"p(x|{0})", "p_z": r"p({0})", "q": r"q({0}|x)", "posterior": r"p({0}|x)",
    "KL": r"\mathrm{{KL}}\left[{0} \,\|\, {1}\right]", "N": r"\mathcal{{N}}({0} \mid {1}, {2})",
    "exp": r"e^{{{0}}}", "tanh": r"\tanh\left({0}\right)", "sg": r"\sigma\left({0}\right)",
    "f1": r"f'\left({0}\right)", "step": r"\mathbf{{1}}\left[{0} > 0\right]",
    "det": r"\det\left({0}\right)", "absolute": r"\left|{0}\right|", "outer": r"{0} {1}^{{\top}}",
    "block": r"\begin{{pmatrix}} {0} & {1} \\ {2} & {3} \end{{pmatrix}}", "square": r"\lVert {0} \rVert^{{2}}",
    "least": r"\min\left({0}, {1}\right)", "minus": r"-{0}", "factorial": r"{0}!",
    "jacobian": r"\frac{{\partial {0}}}{{\partial {1}}}", "gumbel": r"\mathrm{{Gumbel}}({0})",
    "m": r"m\left({0}\right)", "below": r"\mathbf{{1}}\left[{0} \le {1}\right]",
    "first": r"\mathbf{{1}}\left[{1} = \mathrm{{argmax}}_j \, {0}_j\right]", "f": r"f\left({0}\right)", "G": "G",
    "value_and_grad": r"\mathtt{{value\_and\_grad}}", "dKL_dmu": r"\mathtt{{value\_and\_grad}}",
    "dKL_dt": r"\mathtt{{value\_and\_grad}}",
}
# What binds a letter: {0} is the letter, {1} what stands under the operator, or between its brackets.
BINDERS = {
    "integral": r"\int {1} \, d{0}", "positive": r"\int_0^{{\infty}} {1} \, d{0}", "plane": r"\iint {1} \, d{0}",
    "d": r"\frac{{\partial}}{{\partial {0}}} {1}",
    "total": r"\sum_{{{0}}} {1}", "product": r"\prod_{{{0}}} {1}", "others": r"\prod_{{{0} \ne k}} {1}",
}
BRACKETS = {
    "E_q": r"\mathbb{{E}}_{{q({0}|x)}}\left[{1}\right]", "E_eps": r"\mathbb{{E}}_{{\epsilon}}\left[{1}\right]",
    "V_q": r"\mathrm{{Var}}_{{q({0}|x)}}\left[{1}\right]", "E": r"\mathbb{{E}}\left[{1}\right]",
    "draws": r"\frac{{1}}{{n}} \sum_{{{0}}} \left[{1}\right]",
}
SUM, OPEN, PRODUCT, FRACTION, ATOM = 1, 2, 3, 4, 5  # how strongly a piece holds together; OPEN has no closing end


def latex(text):
    return render(ast.parse(text, mode="eval").body)[0]


def at_least(strength, node):
    text, found = render(node)
    return text if found >= strength else rf"\left({text}\right)"


def render(node):
    """(LaTeX, how strongly it holds together) of a node of Python's syntax tree."""
    if isinstance(node, ast.Constant):
        return str(node.value), ATOM
    if isinstance(node, ast.Name):
        return SYMBOLS.get(node.id, node.id), ATOM - (node.id in ("s2", "direction"))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return "-" + at_least(OPEN, node.operand), SUM
    if isinstance(node, ast.Subscript):
        return f"{render(node.value)[0]}_{{{render(node.slice)[0]}}}", ATOM
    if isinstance(node, ast.Tuple):
        return ", ".join(render(item)[0] for item in node.elts), SUM
    if isinstance(node, ast.BinOp):
        return binary(node.op, node.left, node.right)
    if isinstance(node, ast.Call):
        return call(node.func.id, node.args)
    raise ValueError(f"{ast.unparse(node)}: no LaTeX for {type(node).__name__}")


def binary(op, left, right):
    if isinstance(op, ast.Add):
        return f"{at_least(SUM, left)} + {at_least(OPEN, right)}", SUM
    if isinstance(op, ast.Sub):
        return f"{at_least(SUM, left)} - {at_least(OPEN, right)}", SUM
    if isinstance(op, ast.Div) and isinstance(left, ast.UnaryOp):  # -1 / 2: the sign stands before the fraction
        return "-" + binary(op, left.operand, right)[0], SUM
    if isinstance(op, ast.Div):
        return rf"\frac{{{render(left)[0]}}}{{{render(right)[0]}}}", FRACTION
    if isinstance(op, ast.Pow):
        if isinstance(left, ast.Call) and left.func.id == "tanh":
            return rf"\tanh^{{{render(right)[0]}}}\left({render(left.args[0])[0]}\right)", FRACTION
        return f"{at_least(ATOM, left)}^{{{render(right)[0]}}}", FRACTION
    if isinstance(op, ast.MatMult):
        return rf"{at_least(ATOM, left)}^{{\top}} {at_least(FRACTION, right)}", PRODUCT
    if isinstance(op, ast.Mult):
        terms = isinstance(left, ast.BinOp) and isinstance(left.op, (ast.Add, ast.Sub))
        negative = render(left)[1] == SUM and not terms  # -a times b is -(a b): the sign needs no bracket
        a, b = render(left)[0] if negative else at_least(PRODUCT, left), at_least(OPEN, right)
        strength = SUM if negative else OPEN if render(right)[1] == OPEN else PRODUCT
        return a + (r" \cdot " if b[0].isdigit() else " ") + b, strength
    raise ValueError(f"no LaTeX for {type(op).__name__}")


def call(name, args):
    if args and isinstance(args[0], ast.Lambda):
        letter = ", ".join(SYMBOLS.get(a.arg, a.arg) for a in args[0].args.args)
        if name in BRACKETS:
            return BRACKETS[name].format(letter, render(args[0].body)[0]), ATOM
        return BINDERS[name].format(letter.replace(", ", r" \, d"), at_least(OPEN, args[0].body)), OPEN
    if name == "log":
        return r"\log " + at_least(FRACTION, args[0]), OPEN
    rendered = [render(a)[0] for a in args]
    template = FUNCTIONS.get(name)
    if template is None:
        name = name if len(name) == 1 else rf"\mathtt{{{name}}}".replace("_", r"\_")
        return name + "(" + ", ".join(rendered) + ")", ATOM
    strength = {"exp": FRACTION, "outer": FRACTION, "square": FRACTION, "minus": SUM}.get(name, ATOM)
    return template.format(*rendered), strength
