"""Tables and pages in Markdown, in which text of strangers is no markup."""

import re
from collections.abc import Iterable

from ...common.errors import for_terminal
from .console import Section

from tabulate import tabulate  # isort: skip  # after what names a missing extra first

#: What Markdown would read as more than text, wherever it stands in a line.
_SPECIAL = re.compile(
    r"""
    \\(?=[!-/:-@\[-`{-~])    # a backslash that would escape what follows it
    | [|*`~]                 # cells, emphasis, code and what is struck out
    | (?<![^\W_])_           # emphasis, which an underscore within a word is not
    | _(?![^\W_])
    | (?<=\])[(\[]           # links
    | (?<=:)/(?=/)
    | (?<=\bwww)\.
    """,
    re.VERBOSE,
)
#: What makes a line a heading, a quotation, a rule, a table, a reference or an item of
#: a list.
_LINE_START = re.compile(r"^(?=[#>+=|[])|^\d+(?=[.)](?:\s|$))")


def markdown(title: str, lines: Iterable[str], sections: Iterable[Section]) -> str:
    """A page: a title, lines that say where the numbers come from, and the sections."""
    parts = [f"# {title}"]
    for line in lines:
        parts.append(for_markdown(line))
    for section in sections:
        parts.append(f"## {for_markdown(section.title)}")
        parts.append(markdown_section(section))
    return "\n\n".join(parts) + "\n"


def markdown_section(section: Section) -> str:
    """The rows and notes of a section, without its title."""
    table = markdown_table(section)
    if not section.notes:
        return table
    notes = "\n".join(f"- {for_markdown(note)}" for note in section.notes)
    return f"{table}\n\n{notes}"


def markdown_table(section: Section) -> str:
    """The rows of a section, without title and notes."""
    headings = [for_markdown_cell(heading) for heading in section.columns]
    rows = []
    for row in section.rows:
        rows.append([for_markdown_cell(cell) for cell in row])
    return tabulate(
        rows,
        headings,
        tablefmt="pipe",
        colalign=section.alignments,
        disable_numparse=True,
    )


def for_markdown(text: str) -> str:
    """What Markdown shows as it is, in a paragraph of its own."""
    return _LINE_START.sub(r"\g<0>\\", for_markdown_cell(text).lstrip(" "))


def for_markdown_cell(text: str) -> str:
    """What Markdown shows as it is, in a cell of a table."""
    text = for_terminal(text).replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\g<0>", text)
