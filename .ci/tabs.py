"""Hooks of MkDocs: links to the anchors of tabs are checked, and the ports' models are shown from their sources."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: Stands before the adapter of a port, below the model that a user copies.
SEPARATOR = "# The port ---"
_TAB = re.compile(r'<input[^>]* id="([^"]+)" name="__tabbed_')
_MODEL = re.compile(r"^( *)<!-- model of (\S+) -->$", re.MULTILINE)
_BESIDE = re.compile(r"^<!-- models beside each other -->$", re.MULTILINE)
#: The classes that stand beside each other, by the title of their column.
BESIDE = {"Flax linen": "impls/linen.py", "Flax NNX": "impls/nnx.py", "Equinox": "impls/equinox.py"}
#: The methods below each heading; the fields of a class go with its constructor, methods that are not named at the end.
METHODS = {
    "Construction": ("setup", "__init__"),
    "A call over sequences": ("__call__",),
    "One step": ("step",),
    "The initial carry": ("get_initial_carry",),
    "The rest": (),
}
#: So many characters fit a third of a page that is 1280 pixels wide.
COLUMN = 56


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called with the text of a page: `<!-- model of impls/linen.py -->` becomes that model's code."""
    markdown = _BESIDE.sub(lambda _: side_by_side(), markdown)
    return _MODEL.sub(lambda m: textwrap.indent(f"```python\n{model_of(m[2])}```", m[1]), markdown)


def model_of(path: str) -> str:
    """The half of a port that a user copies, with the imports that it needs."""
    model, separator, _ = (ROOT / path).read_text(encoding="utf-8").partition(SEPARATOR)
    if not separator:
        raise SystemExit(f"{path} has no line {SEPARATOR!r} between its model and its port.")
    tree, lines = ast.parse(model), model.splitlines()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    last = next(node for node in tree.body if isinstance(node, ast.Assign))  # __all__
    head = lines[: imports[0].lineno - 1]
    kept = [text for node in imports if (text := _kept(node, used))]
    return "\n".join([*head, *kept, *lines[last.end_lineno :]]).rstrip() + "\n"


def side_by_side() -> str:
    """The classes of three frameworks, a column each: method for method, without docstrings, in short lines."""
    parts = {title: parts_of(path) for title, path in BESIDE.items()}
    text = []
    for heading in METHODS:
        columns = (f"<div markdown>\n\n{title}\n\n```python\n{of[heading]}```\n\n</div>" for title, of in parts.items())
        text.append("\n\n".join([f"### {heading}", "<div class='beside' markdown>", *columns, "</div>"]))
    return "\n\n".join(text)


def parts_of(path: str) -> dict[str, str]:
    """The code of the class `GRU` of a port, by the headings of `METHODS`."""
    text = (ROOT / path).read_text(encoding="utf-8")
    (model,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "GRU")
    named = {name: heading for heading, names in METHODS.items() for name in names}
    first, *_, rest = METHODS
    parts = dict.fromkeys(METHODS, "")
    for node in model.body:
        if isinstance(node, ast.FunctionDef):
            parts[named.get(node.name, rest)] += "\n\n" + _code(text, node)
        elif isinstance(node, ast.AnnAssign):
            parts[first] += _code(text, node)
    command = [sys.executable, "-m", "ruff", "format", "--line-length", str(COLUMN), "--stdin-filename", "part.py", "-"]
    return {
        heading: subprocess.run(command, input=code, capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for heading, code in parts.items()
    }


def _code(text: str, node: ast.FunctionDef | ast.AnnAssign) -> str:
    """The lines of a field or method, without indentation and docstring."""
    lines = text.splitlines()
    if not isinstance(node, ast.FunctionDef) or ast.get_docstring(node) is None:
        return textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])) + "\n"
    docstring = node.body[0]
    kept = [*lines[node.lineno - 1 : docstring.lineno - 1], *lines[docstring.end_lineno : node.end_lineno]]
    return textwrap.dedent("\n".join(kept)) + "\n"


def _kept(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    """An import of what is used, from trigru where it is relative."""
    node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
    if isinstance(node, ast.ImportFrom) and node.level:
        node.module, node.level = f"trigru.{node.module}", 0
    return ast.unparse(node) if node.names else ""


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to: MkDocs looks for anchors before the tabs are made."""
    page.present_anchor_ids |= set(_TAB.findall(html))
