"""The times of an answer as a table for the screen."""

from collections.abc import Sequence

from ..analysis.answer import COMPARED, Answer, AnswerRow
from ..results.grouping import grouped
from .naming import CALLED, PHASES, describe, name_of
from .numbers import format_time
from .shown import shown_rows

#: The widths of the first columns; those of frameworks are as wide as their names.
PHASE_WIDTH = 16
TIME_WIDTH = 8
GAP = "  "
#: Beside each other, more frameworks do not fit a screen in two call styles.
MOST_BESIDE = 3
#: What a loop of calls does, by the clock.
WAITING = {"blocked": "waited", "pipelined": "queued"}


def time_lines(answer: Answer) -> list[str]:
    """The median times of all frameworks. A star marks those that no other is faster
    than.

    The two call styles stand beside each other, or one below the other where there are
    many frameworks.
    """
    labels = []
    for label in COMPARED:
        if any(label in row.cells for row in answer.rows):
            labels.append(label)
    if len(answer.ports) <= MOST_BESIDE:
        return _table(answer, labels)
    lines = []
    for label in labels:
        lines += _table(answer, [label])
    return lines


def _table(answer: Answer, labels: Sequence[str]) -> list[str]:
    """The table of some call styles, beside each other."""
    names = [f"{name_of(port)} " for port in answer.ports]
    widths = [max(TIME_WIDTH, len(name)) for name in names]

    block_width = sum(widths) + len(widths) - 1
    called = [f"{CALLED[label]:{block_width}}" for label in labels]
    processes = "1 process"
    if answer.processes != 1:
        processes = f"{answer.processes} processes"
    lines = [
        _line("Median time", "plain ", called),
        _line(f"of {processes}", "JAX ", [_block(names, widths)] * len(labels)),
    ]
    rows_by_workload = grouped(shown_rows(answer), lambda row: str(row.workload))
    for rows in rows_by_workload.values():
        lines.append(describe(rows[0].workload))
        for row in rows:
            for name, shown in _by_clock(row):
                blocks = []
                for label in labels:
                    cells = [_cell(shown, label, port) for port in answer.ports]
                    blocks.append(_block(cells, widths))
                plain = f"{format_time(shown.baseline.median_s)} "
                lines.append(_line(f" {name}", plain, blocks))
    return lines


def _by_clock(row: AnswerRow) -> list[tuple[str, AnswerRow]]:
    """A row with the name of its phase; where it was timed by two clocks, both."""
    if row.other is None:
        return [(PHASES[row.phase], row)]
    phase = row.phase.partition("_")[0]
    both = []
    for shown in (row, row.other):
        both.append((f"{phase}, {WAITING[shown.clock]}", shown))
    return both


def _line(first: str, plain: str, blocks: Sequence[str]) -> str:
    line = f"{first:{PHASE_WIDTH}}{plain:>{TIME_WIDTH}}{GAP}{GAP.join(blocks)}"
    return line.rstrip()


def _block(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The cells of a call style, aligned to the right."""
    aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
    return " ".join(aligned)


def _cell(row: AnswerRow, label: str, port: str) -> str:
    """A time; in brackets if it is not compared.

    A star or bracket is its last character.
    """
    b = row.cells.get(label, {}).get(port)
    if b is None:
        return "- "
    time = format_time(b.median_s)
    if row.apart(b):
        return f"({time})"
    is_fastest = port in row.fastest.get(label, ())
    return f"{time}*" if is_fastest else f"{time} "
