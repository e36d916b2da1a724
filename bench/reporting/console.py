"""Lines, tables and progress on the terminal, and tables for files, with all text in them made inert."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...common.errors import escape, for_terminal
from ..processes.interrupts import raise_if_interrupted

#: What makes a line more than a paragraph: a heading, a quotation, a list, a rule, a fence, a table or a reference.
_LINE_STARTS = re.compile(r"^(?=[#>+*=~|[\x60-])|^\d+(?=[.)](?:\s|$))")
#: A backslash that would escape what follows it, what begins a table's cell, and links in their three forms.
_SPECIAL = re.compile(
    r"\\(?=[!-/:-@\[-\x60{-~])|\||(?<=\])[(\[]|(?<=:)/(?=/)|(?<=\bwww)\."
)
#: What Markdown reads only in pairs. Within a word, an underscore is one.
_PAIRED = (
    re.compile(r"\*"),
    re.compile(r"(?<![^\W_])_|_(?![^\W_])"),
    re.compile(r"~"),
    re.compile(r"\x60"),
)
#: What LaTeX would not set as it is.
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "µ": "$\\mu$",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\symbol{34}",
}
#: Between two of these, so that no pair becomes one character.
_LIGATURES = re.compile(r"(?<=[-`'!?,])(?=[-`',])")
#: What is an argument of the command before it, as of one that ends a row.
_ARGUMENT = re.compile(r"^(\s*[\[*])")


class Words(str):
    """The heading of a column of words, aligned to the left. Headings of numbers are plain strings."""


class Prose(Words):
    """The heading of a column of words that may be folded if the table is too wide."""


@dataclass(frozen=True)
class Section:
    """A table with a title above and notes below. The first column has words."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    detail: bool = False  # for files; a terminal shows it only with --details

    @property
    def sides(self) -> str:
        """To which side each column is aligned: "l" for left, "r" for right."""
        return "l" + "".join(
            "l" if isinstance(column, Words) else "r" for column in self.columns[1:]
        )


def say(message: str) -> None:
    """Print to stderr, where progress and messages go."""
    typer.echo(shortened(for_terminal(message)), err=True)


def shortened(text: str) -> str:
    """A message in which no word is longer than a path is.

    >>> len(shortened("x" * 15000 + " is no number")), shortened("too long")
    (214, 'too long')
    """
    return re.sub(r"\S{201,}", lambda word: f"{word[0][:200]}…", text)


def show(
    sections: list[Section], *, above: Iterable[str] = (), details: bool = False
) -> None:
    """Print tables to stdout, with lines above; with details, also the tables that are meant for files."""
    console = Console(
        width=None if Console().is_terminal else 100
    )  # a pipe has no width of its own
    for line in above:
        console.print(for_terminal(line), markup=False, highlight=False)
    if shown := [section for section in sections if details or not section.detail]:
        console.print(terminal(shown))


def show_lines(lines: Iterable[str]) -> None:
    """Print lines to stdout as they are, whatever the width of the terminal."""
    for line in lines:
        typer.echo(for_terminal(line))


def terminal(sections: Iterable[Section]) -> RenderableType:
    """For a terminal of 100 columns."""
    parts: list[RenderableType] = []
    for section in sections:
        gap = 1 if len(section.columns) < 7 else 0  # more fit 100 characters without
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0))
        for column, side in zip(section.columns, section.sides, strict=True):
            justify, no_wrap = (
                "left" if side == "l" else "right",
                not isinstance(column, Prose),
            )
            table.add_column(
                Text(for_terminal(column)),
                justify=justify,
                no_wrap=no_wrap,
                overflow="fold",
            )
        for row in section.rows:
            table.add_row(
                *(Text(for_terminal(cell), style=_style(cell)) for cell in row)
            )
        parts += [
            Text(for_terminal(section.title), style="bold"),
            *([table] if section.rows else []),
            *(Text(for_terminal(note), style=_style(note)) for note in section.notes),
            Text(),
        ]
    return Group(*parts)


def markdown(title: str, lines: Iterable[str], sections: Iterable[Section]) -> str:
    """A page: a title, lines that say where the numbers come from, and the sections."""
    parts = [f"# {title}", *map(for_markdown, lines)]
    for section in sections:
        parts += [f"## {for_markdown(section.title)}", markdown_section(section)]
    return "\n\n".join(parts) + "\n"


def markdown_section(section: Section) -> str:
    """The rows and notes of a section, without its title."""
    notes = [f"- {for_markdown(note)}" for note in section.notes]
    return "\n".join([markdown_table(section), *[""] * bool(notes), *notes])


def markdown_table(section: Section) -> str:
    """The rows of a section, without title and notes."""
    rule = ["---" if side == "l" else "---:" for side in section.sides]
    lines = section.columns, rule, *section.rows
    return "\n".join(
        f"| {' | '.join(for_markdown(cell, cell=True) for cell in line)} |"
        for line in lines
    )


def for_markdown(text: str, *, cell: bool = False) -> str:
    """What Markdown shows as it is, in a paragraph or in a cell of a table."""
    text = for_terminal(text).replace("&", "&amp;").replace("<", "&lt;")
    text = _SPECIAL.sub(r"\\\g<0>", text)
    for mark in _PAIRED:
        if len(mark.findall(text)) > 1:
            text = mark.sub(r"\\\g<0>", text)
    return text if cell else _LINE_STARTS.sub(r"\g<0>\\", text.lstrip(" "))


def latex(section: Section) -> str:
    """A floating table that needs the package booktabs; the first note is its caption, an interval below its number."""
    caption, *notes = section.notes
    rows = "\n".join(_latex_row(row, " [") for row in section.rows)
    below = "".join(
        f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\raggedright {for_latex(note)}}}\n"
        for note in notes
    )
    return rf"""% \usepackage{{booktabs}}
\begin{{table}}
\centering\footnotesize\setlength{{\tabcolsep}}{{4pt}}
\caption{{{for_latex(caption)}}}
\begin{{tabular}}{{{section.sides}}}
\toprule
{_latex_row(section.columns, "[")}
\midrule
{rows}
\bottomrule
\end{{tabular}}
{below}\end{{table}}
"""


def _latex_row(cells: Iterable[str], below: str) -> str:
    shown = []
    for cell in cells:
        first, found, rest = cell.partition(below)
        under = f"\\\\{{\\scriptsize{for_latex(f'[{rest}')}}}" if found else ""
        shown.append(
            f"\\shortstack[r]{{{for_latex(first)}{under}}}"
            if found
            else for_latex(first)
        )
    return " & ".join(shown) + " \\\\"


def for_latex(text: str) -> str:
    r"""What LaTeX sets as it is, also at the start of a row of a table; what is not ASCII is escaped.

    >>> print(for_latex(r"\input{x} 50% a_b"), for_latex("[c]"), for_latex("µ, é"))
    \textbackslash{}input\{x\} 50\% a\_b {[}c] $\mu$, \textbackslash{}xe9
    """
    text = "".join(
        c if c.isascii() or c in _LATEX else escape(c) for c in for_terminal(text)
    )
    text = _LIGATURES.sub("{}", "".join(_LATEX.get(c, c) for c in text))
    return _ARGUMENT.sub(r"{\1}", text)


def _style(text: str) -> str:
    colours = {
        "FAILED": "red",
        "GONE": "red",
        "NEW": "red",
        "slower": "yellow",
        "faster": "green",
    }
    return next(
        (colour for word, colour in colours.items() if text.startswith(word)), ""
    )


class Progress:
    """A progress bar on stderr that disappears when the work is done; where that is no terminal, a line every 30 s.

    Each step raises an Interrupted if there was a signal that a library swallowed.
    """

    def __init__(self, what: str):
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            BarColumn(20),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("and about"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=600,
            refresh_per_second=1,  # while a child process times, each redrawing takes time of a core
        )
        self._next_line_s = 5.0  # of the first line; short work has none
        self._task = self._bar.add_task(what, total=1.0)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def to(self, share: float, what: str) -> None:
        """Show that this share of the work is done and what comes next."""
        self.add(what, share - self._bar.tasks[0].completed)

    def add(self, what: str, share: float) -> None:
        """Show that this much more is done and what comes next."""
        self._bar.update(self._task, advance=share, description=what)
        task = self._bar.tasks[0]
        elapsed_s = task.elapsed or 0.0
        if not self._bar.console.is_terminal and elapsed_s >= self._next_line_s:
            self._next_line_s = elapsed_s + 30.0
            left_s = (
                max(0.0, elapsed_s * (1 / task.completed - 1))
                if task.completed
                else 0.0
            )
            left = f", about {left_s:.0f} s left" if task.completed else ""
            say(f"{task.percentage:.0f} % after {elapsed_s:.0f} s{left}: {what}")
        raise_if_interrupted()
