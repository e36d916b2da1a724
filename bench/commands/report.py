"""`trigru report`: the answer of a run on one screen, its tables and its page."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ..analysis.merge import load
from ..processes.interrupts import leaving_at_once
from ..reporting.answer import run_markdown, show_run
from ..reporting.answer_page import answer_page
from ..reporting.console import ReportFormat, say, show_lines
from ..reporting.exports import runs_csv, runs_json

PAGE = "report.html"


def report(
    results: Sequence[Path],
    *,
    format: ReportFormat,
    details: bool,
    output: Path | None,
) -> None:
    """Show runs again, one after the other, or print them in a format of files."""
    if format == "text":
        _show(results, output, details=details)
        return
    if details or output:
        raise typer.BadParameter(
            "--format prints all: it goes with neither --details nor --output."
        )
    with leaving_at_once():
        runs = [load(path) for path in results]
    if format == "csv":
        text = runs_csv(runs)
    elif format == "json":
        text = runs_json(runs)
    else:
        text = "\n".join(map(run_markdown, runs))
    typer.echo(text, nl=False)


def _show(paths: Sequence[Path], output: Path | None, *, details: bool) -> None:
    if output is not None and len(paths) > 1:
        raise InputError("--output writes the page of one run: name one.")
    if output is not None and output.exists() and not output.is_dir():
        raise InputError(
            f"{output} is a file, expected a folder for {PAGE}. Pass another to "
            "--output."
        )
    for number, path in enumerate(paths):
        if number > 0:
            show_lines([""])
        if len(paths) > 1:
            show_lines([f"{path}:"])
        with leaving_at_once():
            run = load(path)
        show_run(run, details=details)
        if output is not None:
            write_page(output / PAGE, answer_page(run))


def write_page(path: Path, page: str) -> None:
    """Write a page, and say so. Raises an OSError if it cannot be written."""
    write_whole(path, page.encode())
    say(f"written: {path}")
