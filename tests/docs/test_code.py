"""The page of the models shows code that runs as it is, from the ports' files, and whole classes beside each other."""

import ast
import re
from pathlib import Path

import pytest
import tabs

ROOT = Path(__file__).parents[2]
PATHS = re.findall(r"<!-- model of (\S+) -->", (ROOT / "docs" / "code.md").read_text(encoding="utf-8"))


def test_every_port_is_shown():
    own = ("linen", "nnx", "equinox", "pure")
    assert [f"impls/{name}.py" for name in own] == PATHS


@pytest.mark.parametrize("path", PATHS)
def test_a_model_runs_alone_and_has_no_adapter(path):
    code = tabs.model_of(path)
    assert "PORT" not in code
    namespace = {"__name__": "shown"}
    exec(compile(code, path, "exec"), namespace)
    assert "GRU" in namespace or "gru" in namespace


def test_the_page_has_the_code_in_its_tabs():
    shown = tabs.on_page_markdown("    <!-- model of impls/pure.py -->")
    assert shown.startswith("    ```python\n")
    assert shown.endswith("```")


def test_the_classes_beside_each_other_are_whole():
    """Every statement is there, but for docstrings."""
    for path in tabs.BESIDE.values():
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        (model,) = (node for node in body if isinstance(node, ast.ClassDef) and node.name == "GRU")
        expected = [ast.unparse(without_docstring(node)) for node in model.body[1:]]
        parts = ast.parse("\n".join(tabs.parts_of(path).values())).body
        assert sorted(ast.unparse(node) for node in parts) == sorted(expected)


def without_docstring(node):
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    return node
