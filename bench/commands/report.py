"""`trigru report`: the answer of a run on one screen, its tables and its page."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ..analysis.answer import COMPARED
from ..analysis.benchmarks import Results
from ..analysis.diff import Diff
from ..analysis.merge import load
from ..analysis.timings import Kind, Timing, timings
from ..reporting.answer import show_run
from ..reporting.answer_page import answer_page
from ..reporting.console import say, show_lines
from ..reporting.diff import diff_tables, outcome
from ..reporting.exports import FileFormat, exported
from ..reporting.naming import origin_lines
from ..reporting.page import Page, Paragraphs, html_of, origin_fold
from .arguments import Names
from .options import choose

PAGE = "report.html"


def report(
    results: Sequence[Path],
    *,
    format: FileFormat | Literal["text"],
    ratio: Kind,
    workloads: Names,
    phases: Names,
    styles: Names,
    details: bool,
    output: Path | None,
) -> None:
    """Show runs again, one after the other; or what was chosen as one table of a
    file.
    """
    if format == "text":
        if ratio != "pure" or workloads or phases or styles:
            raise typer.BadParameter(
                "--ratio, --workload, --phase and --style choose rows of a table: add "
                "--format csv or another."
            )
        _show(results, output, details=details)
        return

    if details or output:
        raise typer.BadParameter(
            "--format prints one table: it goes with neither --details nor --output."
        )
    runs = [load(path) for path in results]
    rows = _chosen_rows(runs, ratio, workloads, phases, styles)
    typer.echo(exported(rows, ratio, runs, format), nl=False)


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
        run = load(path)
        show_run(run, details=details)
        if output is not None:
            write_page(output / PAGE, answer_page(run))


def _chosen_rows(
    runs: Sequence[Results],
    kind: Kind,
    workloads: Names,
    phases: Names,
    styles: Names,
) -> list[Timing]:
    """The rows of these workloads, phases and call styles; of all where none is
    named.
    """
    workload_names = []
    phase_names = []
    style_names = []
    for run in runs:
        for item in (*run.benchmarks, *run.untimed):
            arm = item.arm
            # a workload goes by its name, and where it has another size by both
            workload_names += [arm.workload.name, str(arm.workload)]
            phase_names.append(arm.phase)
            style_names += [arm.style, *arm.labels] if arm.style else arm.labels
    chosen_workloads = _choose("workload", workloads, workload_names)
    chosen_phases = _choose("phase", phases, phase_names)
    chosen_styles = _choose("call style", styles or COMPARED, style_names)

    rows = []
    for row in timings(runs, kind, chosen_styles):
        name = row.workload.partition("@")[0]
        is_chosen = row.workload in chosen_workloads or name in chosen_workloads
        if is_chosen and row.phase in chosen_phases:
            rows.append(row)
    if not rows:
        raise InputError(
            "there is no number of these frameworks, phases and call styles in these "
            "results."
        )
    return rows


def _choose(
    kind: str, names: Iterable[str] | None, measured: Iterable[str]
) -> tuple[str, ...]:
    return choose(f"{kind} of these results", names, list(dict.fromkeys(measured)))


def diff_page(diff: Diff) -> str:
    """The page of what changed between two runs."""
    origin = []
    for name, run in (("OLD", diff.old), ("NEW", diff.new)):
        origin += [f"{name}: {line}" for line in origin_lines(run)]
    page = Page(
        "What changed between two runs",
        lead=[Paragraphs(outcome(diff))],
        sections=diff_tables(diff),
        folds=[origin_fold(origin)],
    )
    return html_of(page)


def write_page(path: Path, page: str) -> None:
    """Write a page, and say so. Raises an OSError if it cannot be written."""
    write_whole(path, page.encode())
    say(f"written: {path}")
