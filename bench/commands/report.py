"""`trigru report`: the answer of a run on one screen, its tables and its page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ..analysis.answer import WAYS, answer
from ..analysis.diff import Diff
from ..analysis.merge import load
from ..analysis.starts import load_starts
from ..analysis.tidy import check_names, timings
from ..reporting.answer import answer_lines, head_lines, more_lines, problem_lines, proof_lines
from ..reporting.console import say, show, show_lines
from ..reporting.diff import diff_tables, outcome
from ..reporting.equality import equality_tables
from ..reporting.exports import Kind, exported, way_table
from ..reporting.numbers import json_text
from ..reporting.page import sheet
from ..reporting.plots import Picture, answer_figure, answer_text
from ..reporting.provenance import load_warnings, origin_lines, origin_of, provenance_lines
from ..reporting.sections import Section
from ..reporting.times import cold_start_tables, overhead_tables, speedup_tables, timing_tables
from ..results.files import OtherFileError
from ..results.record import Results
from .arguments import Names

PAGE, DIFF_PAGE, STARTS_PAGE = "report.html", "diff.html", "cold_start.html"


def report(
    results: Sequence[Path],
    format: str,
    ratio: Kind,
    workloads: Names,
    phases: Names,
    styles: Names,
    details: bool,
    output: Path | None,
) -> None:
    """Show runs and cold starts again, one after the other; or their times as one table in a format."""
    if format != "text":
        if details or output:
            raise typer.BadParameter("--format prints one table: it goes with neither --details nor --output.")
        export(results, format, ratio, workloads=workloads, phases=phases, styles=styles or WAYS)
        return
    if ratio != "pure" or workloads or phases or styles:
        raise typer.BadParameter(
            "--ratio, --workload, --phase and --style choose rows of a table: add --format csv or another."
        )
    if output is not None and len(results) > 1:
        raise InputError("--output writes the page of one run: name one.")
    if output is not None and output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file, expected a folder for {PAGE}. Pass another to --output.")
    for number, path in enumerate(results):
        if len(results) > 1:
            show_lines([""] * bool(number) + [f"{path}:"])
        try:
            run = load(path)
        except OtherFileError as other:
            show_starts(other.path, output)
            continue
        show_run(run, details=details)
        if output is not None:
            say(f"written: {write_page(output, run)}")


def export(paths: Sequence[Path], to: str, ratio: Kind, **chosen: Any) -> None:
    """Print the table of some runs in a format, as `trigru.bench.analysis.tidy.timings` makes it of what was chosen."""
    runs = [load(path) for path in paths]
    check_names(runs, **chosen)
    rows = timings(runs, "pairwise" if ratio == "pairwise" else "pure", **chosen)
    if not rows:
        raise InputError("there is no number of these frameworks, phases and call styles in these results.")
    typer.echo(exported(rows, ratio, runs, to), nl=False)


def show_run(results: Results, *, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run on one screen; with details, after all tables; with json, instead for machines.

    A failed proof, a kernel, a sweep and a run of other call styles have tables of their own above it.
    """
    found = answer(results)
    if json:
        typer.echo(json_text(found))
        if not found.rows:
            say("the answer has no rows: no framework's own cell was timed as documented or in functional style.")
        return
    measured = results.trigru.equality or []
    if details:
        show(tables_of(results), above=provenance_lines(results), details=True)
    else:
        failed = {(m.port, m.kernel) for m in measured if not m.passed}
        show(equality_tables([m for m in measured if (m.port, m.kernel) in failed]))
        if found.rows or len(results.trigru.plan.devices) > 1:
            show([*speedup_tables(results), *overhead_tables(results)])
        else:
            show(time_tables(results), above=provenance_lines(results))
    if found.rows:
        show_lines(answer_lines(found, () if details else load_warnings(results.trigru)))
    else:
        show_lines([*problem_lines(found), *proof_lines(found)])


def show_starts(path: Path, output: Path | None) -> None:
    """Print the tables of cold starts; with a folder, write a page of them into it."""
    found = load_starts(path)
    tables, origin = cold_start_tables(found), origin_of(found.datetime, found.machine, found.command)
    show(tables, above=origin)
    if output is not None:
        write_whole(output / STARTS_PAGE, sheet("cold starts", [], [], tables, origin).encode())
        say(f"written: {output / STARTS_PAGE}")


def tables_of(results: Results) -> list[Section]:
    """All tables of a results file: first what was proven, then the times."""
    return [*equality_tables(results.trigru.equality or []), *time_tables(results)]


def time_tables(results: Results) -> list[Section]:
    """The tables of times."""
    across = [*way_table(results, "pairwise"), *overhead_tables(results), *speedup_tables(results)]
    return across + timing_tables(results)


def run_page(run: Results) -> str:
    """The page of a run: its answer in sentences, a picture and tables."""
    found = answer(run)
    return sheet(
        "linen, NNX and Equinox",
        [*load_warnings(run.trigru), *head_lines(found)],
        [Picture(answer_figure(found), answer_text(found))] if found.rows else [],
        [replace(table, detail=True) for table in (*way_table(run, "time"), *tables_of(run))],
        provenance_lines(run),
        more_lines(found),
    )


def write_page(folder: Path, run: Results) -> Path:
    """Write the page of a run, and return its path. Raises an OSError if it cannot be written."""
    write_whole(folder / PAGE, run_page(run).encode())
    return folder / PAGE


def write_diff(folder: Path, found: Diff) -> Path:
    """Write the page of what changed between two runs, and return its path. Raises an OSError if it cannot."""
    runs = {"OLD": found.old, "NEW": found.new}
    origins = [f"{name}: {line}" for name, run in runs.items() for line in origin_lines(run)]
    write_whole(folder / DIFF_PAGE, sheet("what changed", outcome(found), [], diff_tables(found), origins).encode())
    return folder / DIFF_PAGE
