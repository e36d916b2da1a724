"""Lines, tables and progress on the terminal, with all text in them made inert."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...common.errors import for_terminal
from ..processes.interrupts import raise_if_interrupted
from ..results.grouping import grouped

#: The formats of what a command found.
Format = Literal["text", "json", "markdown", "github"]
#: The formats of the results of a run.
ReportFormat = Literal["text", "markdown", "csv", "json"]
#: The columns of a screen.
WIDTH = 80


class Words(str):
    """The heading of a column of words, which is aligned to the left.

    The headings of numbers are plain strings.
    """


class Prose(Words):
    """The heading of a column of words that may be folded if the table is too wide."""


class Best(str):
    """A cell that is shown in bold."""


@dataclass(frozen=True)
class Section:
    """A table with a title above and notes below. The first column has words."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    detail: bool = False  # for files; a terminal shows it only with --details

    @property
    def alignments(self) -> list[Literal["left", "right"]]:
        """To which side each column is aligned: "left" for words, "right" for
        numbers.
        """
        sides: list[Literal["left", "right"]] = ["left"]
        for column in self.columns[1:]:
            sides.append("left" if isinstance(column, Words) else "right")
        return sides


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
    """Print tables to stdout, with lines above.

    With details, also the tables that are meant for files.
    """
    console = Console()
    if not console.is_terminal:  # a pipe has no width of its own
        console = Console(width=100)
    for line in above:
        console.print(for_terminal(line), markup=False, highlight=False)
    shown = [section for section in sections if details or not section.detail]
    if shown:
        console.print(terminal(shown))


def show_lines(lines: Iterable[str]) -> None:
    """Print lines to stdout as they are, whatever the width of the terminal."""
    for line in lines:
        typer.echo(for_terminal(line))


def show_parts(parts: Iterable[RenderableType]) -> None:
    """Print paragraphs and tables to stdout, folded at the terminal's width."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for part in parts:
        console.print(part, markup=False, highlight=False)


def paragraph(text: str, *, indent: int = 0, bold: bool = False) -> RenderableType:
    """A text that is folded at the terminal's width, in the colour of its first
    word.
    """
    shown = _text(text)
    if bold:
        shown.stylize("bold")
    return Padding(shown, (0, 0, 0, indent), expand=False)


def terminal(sections: Iterable[Section]) -> RenderableType:
    """For a terminal of 100 columns. Tables that have the same columns are aligned."""
    sections = list(sections)
    by_columns = grouped(sections, lambda section: section.columns[1:])
    widths = {columns: _widths(alike) for columns, alike in by_columns.items()}
    parts: list[RenderableType] = []
    for section in sections:
        parts.append(Text(for_terminal(section.title), style="bold"))
        if section.rows:
            parts.append(_terminal_table(section, widths[section.columns[1:]]))
        for note in section.notes:
            parts.append(_text(note))
        parts.append(Text())
    return Group(*parts)


def _widths(sections: Iterable[Section]) -> list[int]:
    """The width of the widest cell in each column of some tables."""
    widths: dict[int, int] = {}
    for section in sections:
        for row in (section.columns, *section.rows):
            for number, cell in enumerate(row):
                length = len(for_terminal(cell))
                widths[number] = max(widths.get(number, 0), length)
    return list(widths.values())


def _terminal_table(section: Section, widths: Sequence[int]) -> Table:
    gap = 1 if len(section.columns) < 7 else 0  # more fit 100 characters without
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0))
    for number, column in enumerate(section.columns):
        is_prose = isinstance(column, Prose)
        table.add_column(
            Text(for_terminal(column)),
            justify=section.alignments[number],
            min_width=None if is_prose else widths[number],
            no_wrap=not is_prose,
            overflow="fold",
        )
    for row in section.rows:
        table.add_row(*map(_text, row))
    return table


#: The colour of a text that begins with a word.
_COLOURS = {
    "FAILED": "red",
    "GONE": "red",
    "NEW": "red",
    "slower": "yellow",
    "faster": "green",
}


def _text(text: str) -> Text:
    if isinstance(text, Best):
        return Text(for_terminal(text), style="bold")
    for word, colour in _COLOURS.items():
        if text.startswith(word):
            return Text(for_terminal(text), style=colour)
    return Text(for_terminal(text))


class Progress:
    """A progress bar on stderr that disappears when the work is done.

    Where stderr is no terminal, it is a line every 30 s. Each step raises an
    Interrupted if there was a signal that a library swallowed.
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
            # while a child process times, each redrawing takes time of a core
            refresh_per_second=1,
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
        if not self._bar.console.is_terminal:
            self._say_line(what)
        raise_if_interrupted()

    def _say_line(self, what: str) -> None:
        task = self._bar.tasks[0]
        elapsed_s = task.elapsed or 0.0
        if elapsed_s < self._next_line_s:
            return
        self._next_line_s = elapsed_s + 30.0
        done = f"{task.percentage:.0f} % after {elapsed_s:.0f} s"
        if task.completed:
            left_s = max(0.0, elapsed_s * (1 / task.completed - 1))
            done = f"{done}, about {left_s:.0f} s left"
        say(f"{done}: {what}")
