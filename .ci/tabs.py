"""Hooks of MkDocs and an extension of Griffe.

The hooks check links to the anchors of tabs, and show the ports' models from their
sources. The extension shows the `>>>` examples of a docstring as code, and not as text
with brackets and quotes; and it lists the fields of a results file's records with
their comments.
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
#: The headings of methods; the fields of a class go with its construction.
HEADINGS = {
    "setup": "Construction",
    "__init__": "Construction",
    "__call__": "A call over sequences",
    "step": "One step",
    "get_initial_carry": "The initial carry",
}
REST = "The rest"
#: So many characters fit a third of a page that is 1280 pixels wide.
COLUMN = 56
#: What has its fields listed: the records of results files.
RECORDS = ("bench.results.", "common.port.hlo.")
#: The comments above the last line of a field, and the one beside it.
_FIELD = re.compile(r"((?:\n    #: .*)*)\n.*?(?:  # (.*))?$")
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
_MODEL = re.compile(r"^( *)<!-- model of (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called with the text of a page, in which markers become code.

    `<!-- model of impls/linen.py -->` becomes the model of that file.
    """
    markdown = markdown.replace("<!-- models beside each other -->", side_by_side())
    return _MODEL.sub(_shown_model, markdown)


def _shown_model(marker: re.Match[str]) -> str:
    indent, path = marker.groups()
    return textwrap.indent(f"```python\n{model_of(path)}```", indent)


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to.

    MkDocs looks for anchors before the tabs are made, and would miss theirs.
    """
    anchors = re.findall(r'<input[^>]* id="([^"]+)" name="__tabbed_', html)
    page.present_anchor_ids.update(anchors)


def model_of(path: str) -> str:
    """The half of a port that a user copies, with the imports that it needs."""
    source = (ROOT / path).read_text(encoding="utf-8")
    model, separator, _ = source.partition(SEPARATOR)
    assert separator, f"{path} has no line {SEPARATOR!r} between model and port"
    model = re.sub(r"^from \.+(?=\w)", "from trigru.", model, flags=re.MULTILINE)
    model = re.sub(r"\n__all__ = .*", "", model)
    model = _ruff(model, "check", "--select=F401", "--fix", "--quiet")
    return f"{model.rstrip()}\n"


def side_by_side() -> str:
    """The classes of three frameworks, a column each, method for method.

    They are without docstrings, in short lines.
    """
    by_title = {title: parts_of(path) for title, path in BESIDE.items()}
    lines = []
    for heading in dict.fromkeys([*HEADINGS.values(), REST]):
        lines += [f"### {heading}", "<div class='beside' markdown>"]
        for title, parts in by_title.items():
            code = f"```python\n{parts[heading]}```"
            lines.append(f"<div markdown>\n\n{title}\n\n{code}\n\n</div>")
        lines.append("</div>")
    return "\n\n".join(lines)


def parts_of(path: str) -> dict[str, str]:
    """The code of the class `GRU` of a port, by the headings."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    parts = dict.fromkeys([*HEADINGS.values(), REST], "")
    for node in _class(text, "GRU").body:
        if isinstance(node, ast.AnnAssign):
            heading = HEADINGS["__init__"]
        elif isinstance(node, ast.FunctionDef):
            heading = HEADINGS.get(node.name, REST)
        else:
            continue
        code = "\n".join(_without_docstring(node, lines))
        parts[heading] += textwrap.dedent(f"{code}\n")
    for heading, code in parts.items():
        parts[heading] = _ruff(code, "format", f"--line-length={COLUMN}")
    return parts


def _class(text: str, name: str) -> ast.ClassDef:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise ValueError(f"there is no class {name}")


def _without_docstring(
    node: ast.AnnAssign | ast.FunctionDef, lines: list[str]
) -> list[str]:
    """The lines of a part of a class."""
    first = node.lineno - 1
    if isinstance(node, ast.AnnAssign) or not ast.get_docstring(node):
        return lines[first : node.end_lineno]
    docstring = node.body[0]
    above = lines[first : docstring.lineno - 1]
    below = lines[docstring.end_lineno : node.end_lineno]
    return above + below


def _ruff(code: str, *arguments: str) -> str:
    """The code as ruff changes it."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--stdin-filename=part.py",
        "-",
    ]
    ruff = subprocess.run(
        command, input=code, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return ruff.stdout


class Docstrings(Extension):
    """Fences examples, and lists the fields of records with what their comments say."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called with every module, class, function and attribute."""
        if not obj.docstring:
            return
        text = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
        if obj.is_class and obj.path.startswith(RECORDS):
            lines = [text, "", "Args:"]
            for name, comment in field_comments(obj).items():
                lines.append(f"    {name}: {comment}")
            text = "\n".join(lines)
        obj.docstring.value = text


def field_comments(record: Object) -> dict[str, str]:
    """The fields of a class, with the comment beside each or above it."""
    comments = {}
    for field in record.members.values():
        is_field = field.is_attribute and field.annotation
        if not is_field or "property" in field.labels:
            continue
        source = record.lines_collection[record.filepath][: field.endlineno]
        above, beside = _FIELD.findall("\n".join(source))[-1]
        comments[field.name] = " ".join(above.split()).replace("#: ", "") or beside
    return comments
