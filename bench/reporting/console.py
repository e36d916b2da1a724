"""The output of the command line while it works."""

import re
from collections.abc import Iterable

import typer
from rich.console import Console

from ...common.errors import for_terminal
from ..processes.interrupts import raise_if_interrupted
from .sections import Section, terminal


def say(message: str) -> None:
    """Print to stderr, where progress and messages go."""
    typer.echo(shortened(for_terminal(message)), err=True)


def shortened(text: str) -> str:
    """A message in which no word is longer than a path is.

    >>> len(shortened("x" * 15000 + " is no number")), shortened("too long")
    (214, 'too long')
    """
    return re.sub(r"\S{201,}", lambda word: f"{word[0][:200]}…", text)


def show(sections: list[Section], *, above: Iterable[str] = (), details: bool = False) -> None:
    """Print tables to stdout, with lines above; with details, also the tables that are meant for files."""
    console = Console(width=None if Console().is_terminal else 100)  # a pipe has no width of its own
    for line in above:
        console.print(for_terminal(line), markup=False, highlight=False)
    if shown := [section for section in sections if details or not section.detail]:
        console.print(terminal(shown))


def show_lines(lines: Iterable[str]) -> None:
    """Print lines to stdout as they are, whatever the width of the terminal."""
    for line in lines:
        typer.echo(for_terminal(line))


class Progress:
    """A progress bar on stderr that disappears when the work is done; where that is no terminal, a line every 30 s.

    Each step raises an Interrupted if there was a signal that a library swallowed.
    """

    def __init__(self, what: str):
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(20), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TextColumn("and about"),
            TimeRemainingColumn(compact=True), TextColumn("{task.description}"),
            console=Console(stderr=True), transient=True, speed_estimate_period=600,
        )  # fmt: skip
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
            left_s = max(0.0, elapsed_s * (1 / task.completed - 1)) if task.completed else 0.0
            left = f", about {left_s:.0f} s left" if task.completed else ""
            say(f"{task.percentage:.0f} % after {elapsed_s:.0f} s{left}: {what}")
        raise_if_interrupted()
