"""`trigru report`: the answer of a run on one screen, and its tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ..analysis.answer import answer
from ..analysis.merge import load
from ..analysis.starts import load_starts
from ..analysis.tidy import check_names, timings
from ..reporting.answer import answer_lines, problem_lines, proof_lines
from ..reporting.console import say, show, show_lines
from ..reporting.equality import equality_tables
from ..reporting.exports import FORMATS, Export, Kind
from ..reporting.numbers import json_text
from ..reporting.page import sheet
from ..reporting.provenance import load_warnings, origin_of, provenance_lines
from ..reporting.speedups import overhead_tables, speedup_tables
from ..reporting.starts import cold_start_tables
from ..results.files import OtherFileError
from ..results.record import Results
from .pages import PAGE, tables_of, time_tables, write_page

STARTS_PAGE = "cold_start.html"


def export(paths: Sequence[Path], to: str, ratio: Kind, **chosen: Any) -> None:
    """Print the table of some runs in a format, as `trigru.bench.analysis.tidy.timings` makes it of what was chosen."""
    runs = [load(path) for path in paths]
    check_names(runs, **chosen)
    rows = timings(runs, "pairwise" if ratio == "pairwise" else "pure", **chosen)
    if not rows:
        raise InputError("there is no number of these frameworks, phases and call styles in these results.")
    typer.echo(FORMATS[to](Export(rows, ratio, runs)), nl=False)


def report(paths: Sequence[Path], *, details: bool = False, output: Path | None = None) -> None:
    """Show runs and cold starts again, one after the other.

    Args:
        output: a folder, where the page of a single file is written.
    """
    if output is not None and len(paths) > 1:
        raise InputError("--output writes the page of one run: name one.")
    if output is not None and output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file, expected a folder for {PAGE}. Pass another to --output.")
    for number, path in enumerate(paths):
        if len(paths) > 1:
            show_lines([""] * bool(number) + [f"{path}:"])
        try:
            run = load(path)
        except OtherFileError as other:
            show_starts(other.path, output)
            continue
        show_run(run, details=details)
        if output is not None:
            say(f"written: {write_page(output, run)}")


def show_starts(path: Path, output: Path | None) -> None:
    """Print the tables of cold starts; with a folder, write a page of them into it."""
    found = load_starts(path)
    tables = cold_start_tables(found)
    origin = origin_of(found.datetime, found.machine, found.command)
    show(tables, above=origin)
    if output is not None:
        write_whole(output / STARTS_PAGE, sheet("cold starts", [], [], tables, origin).encode())
        say(f"written: {output / STARTS_PAGE}")


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
    plan = results.trigru.plan
    failed = [m for m in results.trigru.equality or () if not m.passed]
    if details:
        show(tables_of(results), above=provenance_lines(results), details=True)
    else:
        ports = {(m.port, m.kernel) for m in failed}
        show(equality_tables([m for m in results.trigru.equality or () if (m.port, m.kernel) in ports]))
        if not (found.rows or len(plan.devices) > 1):
            show(time_tables(results), above=provenance_lines(results))
        else:
            show([*speedup_tables(results), *overhead_tables(results)])
    if found.rows:
        show_lines(answer_lines(found, () if details else load_warnings(results.trigru)))
    else:
        show_lines([*problem_lines(found), *proof_lines(found)])
