"""What `trigru matrix` shows: tables, a picture, files, and findings for machines."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ...common.errors import for_terminal
from ...common.files import write_whole
from ..reporting.console import Progress, Prose, Section, say, show
from ..reporting.findings import Finding, Format, written
from ..reporting.markdown import markdown
from ..reporting.page import Page, html_of
from ..results.machine import version_differences
from .environments import Environments
from .matrix import FILE, Facts, Matrix, MatrixRow, fill
from .version_sets import VersionSet
from .words import change_table, counts_in_words, finding_of

if TYPE_CHECKING:
    from ..reporting.plots import Picture

TABLES, PAGE = "matrix.md", "matrix.html"
NOTE = (
    "Works: in full, or what fails in some way. Changed: since the row before, by kind."
)


def matrix(
    sets: Sequence[VersionSet],
    arguments: Sequence[str],
    environments: Environments,
    *,
    details: bool,
    format: Format,
    output: Path,
) -> None:
    """Fill a matrix, print it, and write its files.

    Args:
        sets: the version sets.
        arguments: of `trigru snapshot`.
        environments: of the sets.
        details: whether all tables are printed.
        format: of what is printed.
        output: the folder.

    Raises a typer.Exit with 1 if a set has no snapshot.
    """
    with Progress("matrix") as progress:

        def tell(done: int, number: int, name: str) -> None:
            text = f"matrix: {done} of {number} done, {name} at work"
            progress.to(done / number, text)

        filled = fill(sets, output, environments, arguments, tell)

    sections = matrix_tables(filled)
    picture = matrix_picture(filled)
    pictures = [] if picture is None else [("", picture)]
    command = " ".join(filled.command)
    origin = [f"{filled.datetime}, {filled.device}: {command}"]
    tables = markdown("Version sets", origin, sections)
    page = Page("Version sets", origin[0], pictures=pictures, sections=sections)
    write_whole(output / TABLES, tables.encode())
    write_whole(output / PAGE, html_of(page).encode())

    if format == "text":
        show(sections, details=details)
    else:
        findings = findings_of(filled)
        typer.echo(written(format, "trigru matrix", origin, findings))
    files = [str(output / name) for name in (FILE, TABLES, PAGE)]
    say(f"written: {', '.join(files)}")
    if any(row.reason for row in filled.rows):
        raise typer.Exit(1)


def findings_of(matrix: Matrix) -> list[Finding]:
    """Sets without a snapshot, which fail, and what each of the others changed."""
    findings: list[Finding] = []
    for row in matrix.rows:
        if row.reason:
            text = f"no snapshot: {row.reason}"
            findings.append(Finding("broken", row.name, text, failed=True))
        for change in row.moved:
            findings.append(finding_of(change, before=f"{row.name}: "))
    return findings


def matrix_tables(matrix: Matrix) -> list[Section]:
    """A row for each set: versions, whether each port works, and what changed."""
    rows: list[tuple[str, ...]] = []
    details: list[Section] = []
    notes = [NOTE]
    before: MatrixRow | None = None
    for row in matrix.rows:
        if row.reason:
            rows.append((row.name, "", "", "no snapshot"))
            notes.append(f"No snapshot of {row.name}: {row.reason}")
            continue
        versions = _versions_in_words(before, row)
        changed = "the first" if before is None else _counts_in_words(row)
        rows.append((row.name, versions, _works(row.facts), changed))
        details.append(change_table(f"Changed with {row.name}", row.moved))
        before = row
    columns = (
        Prose("version set"),
        Prose("versions, then new ones"),
        Prose("works"),
        Prose("changed"),
    )
    return [Section("Version sets", columns, rows, tuple(notes)), *details]


def matrix_picture(matrix: Matrix) -> "Picture | None":
    """The lines of Python that one train step of each port runs, over the sets.

    It is None of fewer than two sets.
    """
    rows = [row for row in matrix.rows if not row.reason]
    lines = _lines_by_port(rows)
    if len(rows) < 2 or not lines:
        return None
    from ..reporting.plots import (
        Picture,
        colour_of,
        drawing,
        marker_of,
    )  # half a second

    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (port, points) in enumerate(lines.items()):
            axes.plot(
                list(points),
                list(points.values()),
                label=for_terminal(port),
                color=colour_of(port, list(lines)),
                marker=marker_of(number),
            )
        axes.set(
            title="Lines of Python in one train step, as documented",
            ylabel="lines",
            yscale="log",
        )
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.grid(alpha=0.3)
        labels = [_label(row) for row in rows]
        ticks = range(len(rows))
        axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
        figure.legend(loc="outside right upper", frameon=False)

    ends: list[str] = []
    last = len(rows) - 1
    for port, points in lines.items():
        if 0 in points and last in points:
            ends.append(f"{for_terminal(port)} from {points[0]} to {points[last]}")
    title = f"Lines of Python in one train step, over {len(rows)} version sets"
    return Picture(figure, f"{title}: {'; '.join(ends)}.")


def _versions_in_words(before: MatrixRow | None, row: MatrixRow) -> str:
    """All versions of the first set; of others, what is new."""
    if before is None:
        versions = [f"{name} {version}" for name, version in row.versions.items()]
    else:
        versions = version_differences(before.versions, row.versions)
    return ", ".join(versions) or "nothing new"


def _counts_in_words(row: MatrixRow) -> str:
    counts: Counter[str] = Counter()
    for by_kind in row.counts.values():
        counts.update(by_kind)
    return counts_in_words(counts)


def _works(facts: dict[str, Facts]) -> str:
    """That all ports and parts work, or those that do not."""
    failing = [name for name, fact in facts.items() if fact.works != "yes"]
    if failing:
        return f"not {', '.join(failing)}"
    return "all" if facts else "not asked"


def _lines_by_port(rows: Sequence[MatrixRow]) -> dict[str, dict[int, int]]:
    """Of each port, the lines of its train step by the numbers of the rows."""
    lines: dict[str, dict[int, int]] = {}
    for number, row in enumerate(rows):
        for port, facts in row.facts.items():
            if ":" not in port and facts.lines:
                lines.setdefault(port, {})[number] = facts.lines
    return lines


def _label(row: MatrixRow) -> str:
    """What stands below a set in the picture."""
    name = for_terminal(row.name)
    if row.day:
        return f"{name}, jax {row.versions.get('jax', '?')}"
    return name.replace(" ", "\n")
