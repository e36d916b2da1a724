"""The page of the models shows code that runs as it is, from the ports' files, and whole classes beside each other."""

import ast
import re
from pathlib import Path

import pytest
import tabs

ROOT = Path(__file__).parents[2]
PATHS = [f"impls/{name}.py" for name in ("linen", "nnx", "equinox", "pure")]


def test_the_page_shows_every_port_in_a_tab():
    assert re.findall(r"<!-- model of (\S+) -->", (ROOT / "docs" / "code.md").read_text(encoding="utf-8")) == PATHS
    text = tabs.on_page_markdown("    <!-- model of impls/pure.py -->")
    assert re.fullmatch(r"    ```python\n.*```", text, re.DOTALL)


@pytest.mark.parametrize("path", PATHS)
def test_a_model_runs_alone_and_has_no_adapter(path):
    code = tabs.model_of(path)
    assert "PORT" not in code
    namespace = {"__name__": "shown"}
    exec(compile(code, path, "exec"), namespace)
    assert "GRU" in namespace or "gru" in namespace


@pytest.mark.parametrize("path", tabs.BESIDE.values())
def test_the_classes_beside_each_other_are_whole_but_for_docstrings(path):
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    (model,) = (node for node in body if isinstance(node, ast.ClassDef) and node.name == "GRU")
    for node in model.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    parts = ast.parse("\n".join(tabs.parts_of(path).values())).body
    assert sorted(map(ast.unparse, parts)) == sorted(map(ast.unparse, model.body[1:]))
