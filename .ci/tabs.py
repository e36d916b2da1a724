"""Hooks of MkDocs: links to the anchors of tabs are checked, and the ports' models are shown from their sources.

And an extension of Griffe: the `>>>` examples of a docstring are code, and not text with brackets and quotes; and the
comments of a results file's fields are the arguments of its records.
"""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from griffe import Extension, Object

ROOT = Path(__file__).parents[1]
#: Stands before the adapter of a port, below the model that a user copies.
SEPARATOR = "# The port ---"
#: The classes that stand beside each other, by the title of their column.
BESIDE = {
    "Flax linen": "impls/linen.py",
    "Flax NNX": "impls/nnx.py",
    "Equinox": "impls/equinox.py",
}
#: The headings of methods, the others below the last; the fields of a class go with its construction.
METHODS = {
    "setup": "Construction",
    "__init__": "Construction",
    "__call__": "A call over sequences",
    "step": "One step",
}
METHODS |= {"get_initial_carry": "The initial carry", "": "The rest"}
#: So many characters fit a third of a page that is 1280 pixels wide.
COLUMN = 56
#: The comments above the last line of a code, and beside it.
_FIELD = re.compile(r"((?:\n    #: .*)*)\n.*?(?:  # (.*))?$")
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called with the text of a page: `<!-- model of impls/linen.py -->` becomes that model's code."""
    markdown = markdown.replace("<!-- models beside each other -->", side_by_side())
    pattern = re.compile(r"^( *)<!-- model of (\S+) -->$", re.MULTILINE)
    return pattern.sub(
        lambda m: textwrap.indent(f"```python\n{model_of(m[2])}```", m[1]), markdown
    )


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to: MkDocs looks for anchors before the tabs are made."""
    page.present_anchor_ids |= set(
        re.findall(r'<input[^>]* id="([^"]+)" name="__tabbed_', html)
    )


def model_of(path: str) -> str:
    """The half of a port that a user copies, with the imports that it needs."""
    model, separator, _ = (ROOT / path).read_text(encoding="utf-8").partition(SEPARATOR)
    assert separator, (
        f"{path} has no line {SEPARATOR!r} between its model and its port."
    )
    model = re.sub(
        r"\n__all__ = .*",
        "",
        re.sub(r"^from \.+(?=\w)", "from trigru.", model, flags=re.M),
    )
    return _ruff(model, "check", "--select=F401", "--fix", "--quiet").rstrip() + "\n"


def side_by_side() -> str:
    """The classes of three frameworks, a column each: method for method, without docstrings, in short lines."""
    parts = {title: parts_of(path) for title, path in BESIDE.items()}
    text = []
    for heading in dict.fromkeys(METHODS.values()):
        columns = (
            f"<div markdown>\n\n{title}\n\n```python\n{of[heading]}```\n\n</div>"
            for title, of in parts.items()
        )
        text += [f"### {heading}", "<div class='beside' markdown>", *columns, "</div>"]
    return "\n\n".join(text)


def parts_of(path: str) -> dict[str, str]:
    """The code of the class `GRU` of a port, by the headings of `METHODS`."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    (model,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == "GRU"
    )
    parts = dict.fromkeys(METHODS.values(), "")
    for node in model.body:
        if isinstance(node, ast.FunctionDef | ast.AnnAssign):
            code = lines[node.lineno - 1 : node.end_lineno]
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                docstring = node.body[0]
                code = (
                    lines[node.lineno - 1 : docstring.lineno - 1]
                    + lines[docstring.end_lineno : node.end_lineno]
                )
            name = getattr(node, "name", "__init__")
            parts[METHODS.get(name, METHODS[""])] += textwrap.dedent(
                "\n".join([*code, ""])
            )
    return {
        heading: _ruff(code, "format", f"--line-length={COLUMN}")
        for heading, code in parts.items()
    }


def _ruff(code: str, *words: str) -> str:
    """The code as ruff changes it."""
    command = [sys.executable, "-m", "ruff", *words, "--stdin-filename=part.py", "-"]
    return subprocess.run(
        command, input=code, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


class Docstrings(Extension):
    """Fences examples, and adds what a comment says, beside a field or above it after `#:`, to that of its class."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called with every module, class, function and attribute."""
        if not obj.docstring:
            return
        obj.docstring.value = _EXAMPLE.sub(
            lambda m: f"```pycon\n{m[0]}\n```", obj.docstring.value
        )
        if obj.is_class and obj.path.startswith(("bench.results.", "common.port.hlo.")):
            words = ["\n\nArgs:"]
            for field in obj.members.values():
                if (
                    field.is_attribute
                    and field.annotation
                    and "property" not in field.labels
                ):
                    above, line = _FIELD.findall(
                        "\n".join(obj.lines_collection[obj.filepath][: field.endlineno])
                    )[-1]
                    words.append(
                        f"    {field.name}: {' '.join(above.split()).replace('#: ', '') or line}"
                    )
            obj.docstring.value += "\n".join(words)
