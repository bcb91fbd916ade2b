"""The rules of the house: who may import whom, what the top level holds, how long importing takes to say nothing."""

import ast
import glob
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORE = sorted(glob.glob(os.path.join(ROOT, "vae_np", "*.py")))
TOOLS = sorted(glob.glob(os.path.join(ROOT, "vae_np", "tools", "*.py")))
ROOMS = sorted(glob.glob(os.path.join(ROOT, "vae_np", "extensions", "*.py")))
ALLOWED = {"numpy", "autograd", "scipy", "vae_np"}


def imports(path):
    with open(path, encoding="utf-8") as file:
        for node in ast.walk(ast.parse(file.read())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path):
    return os.path.relpath(path, ROOT)


@pytest.mark.parametrize("path", CORE, ids=name)
def test_the_root_imports_neither_extensions_nor_tools(path):
    for module in imports(path):
        assert module.split(".")[0] in ALLOWED | sys.stdlib_module_names, module
        assert not module.startswith(("vae_np.extensions", "vae_np.tools")), module


@pytest.mark.parametrize("path", TOOLS, ids=name)
def test_tools_import_the_root_and_what_draws(path):
    for module in imports(path):
        assert module.split(".")[0] in ALLOWED | {"matplotlib"} | sys.stdlib_module_names, module
        assert not module.startswith("vae_np.extensions"), module


@pytest.mark.parametrize("path", ROOMS, ids=name)
def test_a_room_imports_the_core_alone_or_says_why_not(path):
    with open(path, encoding="utf-8") as file:
        docstring = ast.get_docstring(ast.parse(file.read()))
    for module in imports(path):
        assert module.split(".")[0] in ALLOWED or module.split(".")[0] in sys.stdlib_module_names, module
        if module.startswith("vae_np.extensions."):
            assert module.split(".")[2] in docstring, f"{name(path)} imports {module}: its docstring must say why"
        assert not module.startswith("vae_np.tools"), module


def test_importing_the_package_imports_no_matplotlib_no_extension_and_no_tool():
    code = "import sys, vae_np; " \
        "print([m for m in sys.modules if m.startswith(('matplotlib', 'vae_np.ext', 'vae_np.tool'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


def test_everything_public_is_documented():
    import vae_np

    for key in vae_np.__all__:
        assert getattr(vae_np, key).__doc__, key


@pytest.mark.parametrize("path", CORE + TOOLS + ROOMS, ids=name)
def test_no_clipping_no_pickle_no_global_randomness(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for word in (r"np\.clip", "import pickle", r"np\.random\.(?!Generator)", "allow_pickle=True", r"plt\.show"):
        assert not re.search(word, text), word


@pytest.mark.parametrize("path", CORE + TOOLS + ROOMS, ids=name)
def test_lines_of_the_package_end_at_100_characters(path):
    with open(path, encoding="utf-8") as file:
        long = [i for i, line in enumerate(file, 1) if len(line.rstrip("\n")) > 100]
    assert not long
