"""`trigru report`: the answer of a run on one screen, its tables and its page."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ..analysis.answer import COMPARED, answer
from ..analysis.benchmarks import Results
from ..analysis.diff import Diff
from ..analysis.merge import load
from ..analysis.timings import Kind, timings
from ..reporting.answer import head_lines, more_lines, show_run
from ..reporting.console import say, show_lines
from ..reporting.diff import diff_tables, outcome
from ..reporting.equality import equality_tables
from ..reporting.exports import exported, sheet, style_table
from ..reporting.naming import load_warnings, origin_lines, provenance_lines
from ..reporting.plots import answer_picture
from ..reporting.times import time_tables
from .arguments import Names
from .options import choose

PAGE = "report.html"


def report(
    results: Sequence[Path],
    *,
    format: str,
    ratio: Kind,
    workloads: Names,
    phases: Names,
    styles: Names,
    details: bool,
    output: Path | None,
) -> None:
    """Show runs again, one after the other; or times of what was chosen as one table in a format."""
    if format != "text":
        if details or output:
            raise typer.BadParameter(
                "--format prints one table: it goes with neither --details nor --output."
            )
        runs = [load(path) for path in results]
        arms = [item.arm for run in runs for item in (*run.benchmarks, *run.untimed)]

        def chosen(
            kind: str, names: Sequence[str] | None, known: Iterable[str]
        ) -> tuple[str, ...]:
            return choose(f"{kind} of these results", names, list(dict.fromkeys(known)))

        works = chosen(
            "workload",
            workloads,
            (name for a in arms for name in (a.workload.name, str(a.workload))),
        )
        of_phases = chosen("phase", phases, (arm.phase for arm in arms))
        called = chosen(
            "call style",
            styles or COMPARED,
            (n for a in arms for n in (a.style, *a.labels) if n),
        )
        rows = [row for row in timings(runs, ratio, called) if row.phase in of_phases]
        rows = [
            row
            for row in rows
            if {row.workload, row.workload.partition("@")[0]} & {*works}
        ]
        if not rows:
            raise InputError(
                "there is no number of these frameworks, phases and call styles in these results."
            )
        typer.echo(exported(rows, ratio, runs, format), nl=False)
        return
    if ratio != "pure" or workloads or phases or styles:
        raise typer.BadParameter(
            "--ratio, --workload, --phase and --style choose rows of a table: add --format csv or another."
        )
    if output is not None and len(results) > 1:
        raise InputError("--output writes the page of one run: name one.")
    if output is not None and output.exists() and not output.is_dir():
        raise InputError(
            f"{output} is a file, expected a folder for {PAGE}. Pass another to --output."
        )
    for number, path in enumerate(results):
        if len(results) > 1:
            show_lines([""] * bool(number) + [f"{path}:"])
        run = load(path)
        show_run(run, details=details)
        if output is not None:
            write_page(output / PAGE, run_page(run))


def run_page(run: Results) -> str:
    """The page of a run: its answer in sentences, a picture and tables."""
    found, equality = answer(run), equality_tables(run.trigru.begun.equality or [])
    lines = [*load_warnings(run.trigru), *head_lines(found)]
    pictures = [answer_picture(found)] if found.rows else []
    tables = [
        replace(table, detail=True)
        for table in (*style_table(run, "time"), *equality, *time_tables(run))
    ]
    return sheet(
        "linen, NNX and Equinox",
        lines,
        pictures,
        tables,
        provenance_lines(run),
        more_lines(found),
    )


def diff_page(found: Diff) -> str:
    """The page of what changed between two runs."""
    runs = {"OLD": found.old, "NEW": found.new}
    origins = [
        f"{name}: {line}" for name, run in runs.items() for line in origin_lines(run)
    ]
    return sheet("what changed", outcome(found), [], diff_tables(found), origins)


def write_page(path: Path, page: str) -> None:
    """Write a page, and say so. Raises an OSError if it cannot be written."""
    write_whole(path, page.encode())
    say(f"written: {path}")
