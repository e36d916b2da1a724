"""Hooks of MkDocs: links to the anchors of tabs are checked, and the ports' models are shown from their sources."""

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
    """The half of a port that a user copies."""
    model, separator, _ = (ROOT / path).read_text(encoding="utf-8").partition(SEPARATOR)
    if not separator:
        raise SystemExit(f"{path} has no line {SEPARATOR!r} between its model and its port.")
    return model.rstrip() + "\n"


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to: MkDocs looks for anchors before the tabs are made."""
    page.present_anchor_ids |= set(_TAB.findall(html))
