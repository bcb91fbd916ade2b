"""Every small change of a function of numbers: what a slip of the pen could make of it, one change at a time.

Changed are constants, signs, operators and their order, functions of NumPy, arguments and axes, names, indices, the
order of what is returned, and lines, which are left out. Each expression also becomes minus itself, twice itself, and
one more. Not made, since it changes nothing: the two sides of + and * (and of logaddexp, maximum) exchanged.
"""

import ast

FAMILIES = (("exp", "expm1", "log", "log1p", "sqrt", "square", "tanh", "abs", "negative", "sign"),
            ("sum", "mean", "max", "min", "prod", "median"),
            ("logaddexp", "maximum", "minimum", "add", "multiply"))
OPERATORS = ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult
COMMUTATIVE = ast.Add, ast.Mult


def alternatives(node, names, strings):
    """What could stand in the place of an expression by mistake."""
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            others = {value + 1, value - 1, 2 * value, -value, 0, 1, -1}
            yield from map(ast.Constant, sorted(others - {value}))
        case ast.Constant(value=str() as value):
            yield from map(ast.Constant, sorted(strings - {value}))
        case ast.Constant():  # None and ...
            yield ast.Constant(0)
        case ast.Name(id=name):
            yield from (ast.Name(other) for other in sorted(names - {name}))
        case ast.BinOp(left=left, op=op, right=right):
            yield from (ast.BinOp(left, other(), right) for other in OPERATORS if not isinstance(op, other))
            if not isinstance(op, COMMUTATIVE):
                yield ast.BinOp(right, op, left)
            yield from (left, right)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Subscript(value=value) | ast.Attribute(value=value):
            yield value
        case ast.Tuple(elts=[*elements]):
            yield from (ast.Tuple(swapped(elements, i)) for i in range(len(elements) - 1))
        case ast.Call(func=function, args=arguments, keywords=keywords):
            family = next((f for f in FAMILIES if getattr(function, "attr", None) in f), ())
            yield from (ast.Call(ast.Attribute(function.value, other), arguments, keywords)
                        for other in family if other != function.attr)
            if family != FAMILIES[2]:
                yield from (ast.Call(function, swapped(arguments, i), keywords) for i in range(len(arguments) - 1))
            yield from (ast.Call(function, arguments, keywords[:i] + keywords[i + 1:]) for i in range(len(keywords)))
            yield from arguments
    if not isinstance(node, (ast.Constant, ast.Tuple)):
        yield ast.UnaryOp(ast.USub(), node)
        yield ast.BinOp(ast.Constant(2), ast.Mult(), node)
        yield ast.BinOp(ast.Constant(1), ast.Add(), node)


def swapped(items, i):
    return [*items[:i], items[i + 1], items[i], *items[i + 2:]]


def places(tree):
    """(where it hangs, the key there, expression) of every expression that is read, names of functions apart."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field == "func" or isinstance(parent, ast.arguments):
                continue
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                written = isinstance(getattr(child, "ctx", None), ast.Store)
                if isinstance(child, ast.expr) and not written and getattr(child, "id", None) != "np":
                    yield (parent.__dict__, field, child) if i is None else (value, i, child)


def mutants(function):
    """(the changed line, the source) of every mutant of an ast.FunctionDef, itself left as it was."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} - {"np"}
    strings = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)
               and isinstance(node.value, str)}
    original = ast.unparse(function)
    lines, seen = original.splitlines(), {original}
    for holder, key, node in places(function):
        for other in alternatives(node, names, strings):
            holder[key] = other
            text = ast.unparse(function)
            if text not in seen:
                seen.add(text)
                yield next(b.strip() for a, b in zip(lines, text.splitlines()) if a != b), text
        holder[key] = node
    for i in range(1, len(lines) - 1):
        yield f"without: {lines[i].strip()}", "\n".join(lines[:i] + lines[i + 1:])
