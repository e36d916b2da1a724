"""Tables for any medium, and where their numbers come from."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..results.record import Provenance, Results

__all__ = [
    "Section",
    "format_bytes",
    "format_rate",
    "format_time",
    "load_warnings",
    "markdown",
    "markdown_table",
    "provenance_lines",
    "terminal",
]

#: A machine is pointed at on which more than this share of the cores was at work before the run.
BUSY_SHARE = 0.5
#: Tables of this many columns are set closer, to fit 100 characters.
WIDE = 7


@dataclass(frozen=True)
class Section:
    """A table with a title above and notes below, for any medium.

    Args:
        detail: for files, and for terminals that ask for it.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    detail: bool = False


def terminal(sections: Iterable[Section]) -> RenderableType:
    """For a terminal of 100 columns."""
    parts: list[RenderableType] = []
    for section in sections:
        gap = 1 if len(section.columns) < WIDE else 0
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0))
        for column, left in zip(section.columns, _left_aligned(section), strict=True):
            table.add_column(
                Text(column), justify="left" if left else "right", no_wrap=column not in _FOLDED, overflow="fold"
            )
        for row in section.rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        parts += [
            Text(section.title, style="bold"),
            table,
            *(Text(note, style=_style(note)) for note in section.notes),
            Text(),
        ]
    return Group(*parts)


def markdown(title: str, sections: Iterable[Section], results: Results | None) -> str:
    """For report.md."""
    lines = [f"# {title}", ""]
    for line in provenance_lines(results) if results else ():
        lines += [line, ""]
    for section in sections:
        lines += [f"## {section.title}", "", markdown_table(section)]
        lines += [""] + [f"- {note}" for note in section.notes] + ([""] if section.notes else [])
    return "\n".join(lines)


_FOLDED = ("arm", "noticed by", "reason", "why", "departure", "seen")


def provenance_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and what to beware of."""
    facts, machine = results.trigru, results.trigru.machine
    lines = [
        f"{results.datetime[:10]}, {machine.device} ({machine.backend}, {machine.threads} threads): "
        + " ".join(facts.command),
        ", ".join(f"{name} {version}" for name, version in machine.versions.items()) + ".",
    ]
    for dtype in facts.ceilings[0]:
        best = facts.best_ceilings(dtype)
        lines.append(
            f"Limits of the machine in {dtype}, measured in the same run: {best.gemm_gflop_per_s:.0f} GFLOP/s of a "
            f"matrix product, {best.copy_gbyte_per_s:.0f} GB/s of memory."
        )
    if not facts.complete:
        lines.insert(0, "INTERRUPTED: not all was measured.")
    return [*lines, *load_warnings(facts)]


def load_warnings(facts: Provenance) -> list[str]:
    """A sentence where other work kept the machine busy after a run, and one where it did before."""
    threads, found = facts.machine.threads, []
    if facts.load_after is not None and facts.load_after > threads * (1 + BUSY_SHARE):
        found.append(
            f"The machine was busy with other work: {facts.load_after:.1f} runnable processes on {threads} threads at "
            "the end of the run. Measure again on an idle one."
        )
    if facts.load_before is not None and facts.load_before > threads * BUSY_SHARE:
        found.append(
            f"The machine was busy: {facts.load_before:.1f} runnable processes on {threads} threads before the run. "
            "Measure again on an idle one."
        )
    return found


def _left_aligned(section: Section) -> list[bool]:
    words = (
        "framework",
        "initial state",
        "phase",
        "arm",
        "peer",
        "fault",
        "noticed by",
        "verdict",
        "why",
        "reason",
        "departure",
        "seen",
        "status",
    )
    return [number == 0 or column in words for number, column in enumerate(section.columns)]


def format_time(time_s: float) -> str:
    """Seconds in the unit that reads best.

    >>> format_time(12.3e-6), format_time(0.0123), format_time(1.23), format_time(999.7e-6)
    ('12.3 µs', '12.3 ms', '1.23 s', '1000 µs')
    """
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        if time_s < 1000 * scale:
            return f"{_three_digits(time_s / scale)} {unit}"
    return f"{_three_digits(time_s)} s"


def format_rate(per_s: float) -> str:
    """A rate with a metric prefix.

    >>> format_rate(1234567)
    '1.23 M'
    """
    for prefix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_s >= scale:
            return f"{_three_digits(per_s / scale)} {prefix}"
    return _three_digits(per_s)


def markdown_table(section: Section) -> str:
    """A section's rows alone."""
    lines = [
        _markdown_row(section.columns),
        _markdown_row("---" if left else "---:" for left in _left_aligned(section)),
        *(_markdown_row(row) for row in section.rows),
    ]
    return "\n".join(lines)


def format_bytes(count: int) -> str:
    """A number of bytes with a binary prefix.

    >>> format_bytes(4324), format_bytes(52_428_800), format_bytes(1_030_000)
    ('4.22 KiB', '50 MiB', '1006 KiB')
    """
    for prefix, scale in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if count >= scale:
            return f"{_three_digits(count / scale)} {prefix}B"
    return f"{count:.0f} B"


def _three_digits(number: float) -> str:
    """At least three, and no power of ten."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _style(text: str) -> str:
    colours = {"FAILED": "red", "GONE": "red", "NEW": "red", "slower": "yellow", "faster": "green"}
    return next((colour for word, colour in colours.items() if text.startswith(word)), "")
