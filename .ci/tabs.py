"""Hooks of MkDocs: links to the anchors of tabs are checked, and the ports' models are shown from their sources."""

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: Stands before the adapter of a port, below the model that a user copies.
SEPARATOR = "# The port ---"
_TAB = re.compile(r'<input[^>]* id="([^"]+)" name="__tabbed_')
_MODEL = re.compile(r"^( *)<!-- model of (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called with the text of a page: `<!-- model of impls/linen.py -->` becomes that model's code."""
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


def _kept(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    """An import of what is used, from trigru where it is relative."""
    node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
    if isinstance(node, ast.ImportFrom) and node.level:
        node.module, node.level = f"trigru.{node.module}", 0
    return ast.unparse(node) if node.names else ""


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to: MkDocs looks for anchors before the tabs are made."""
    page.present_anchor_ids |= set(_TAB.findall(html))
