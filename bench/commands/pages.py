"""All tables of a run, in their order, and the files that show runs: a page, tables in Markdown, and pictures."""

from collections.abc import Sequence
from pathlib import Path

from ...common.files import write_whole
from ..analysis.answer import WAYS, Answer, answer
from ..analysis.diff import Diff
from ..reporting.answer import answer_lines, proof_lines, time_table
from ..reporting.diff import diff_tables, outcome
from ..reporting.equality import equality_tables
from ..reporting.exports import framework_tables
from ..reporting.overhead import overhead_tables
from ..reporting.page.page import Part, page, sheet
from ..reporting.plots.answer import answer_picture
from ..reporting.plots.figures import Picture, remove_picture
from ..reporting.plots.sweep import sweep_picture
from ..reporting.provenance import load_warnings, origin_lines, provenance_lines, sight_lines
from ..reporting.sections import Section, markdown
from ..reporting.speedups import speedup_tables
from ..reporting.times import timing_tables
from ..results.record import Results

PAGE, TABLES, DIFF_PAGE = "report.html", "report.md", "diff.html"


def write_pages(folder: Path, runs: Sequence[Results]) -> list[Path]:
    """Write the page of some runs; of a single one also its tables and pictures, in place of an earlier run's.

    Returns:
        What was written, the page first.

    Raises:
        OSError: a file cannot be written.
    """
    write_whole(folder / PAGE, run_page(runs).encode())
    if len(runs) > 1:
        return [folder / PAGE]
    (run,) = runs
    text = markdown("trigru", [*provenance_lines(run), *sight_lines(run)], tables_of(run))
    write_whole(folder / TABLES, text.encode())
    written = [folder / PAGE, folder / TABLES]
    for name, picture in _pictures(run, answer(run)).items():
        if picture is None:
            remove_picture(name, folder)
        else:
            written += picture.write(folder)
    return written


def run_page(runs: Sequence[Results]) -> str:
    """The page of some runs, side by side and never ranked against each other."""
    names = names_of(runs) if len(runs) > 1 else [""]
    return page("linen, NNX and Equinox", [_part(*of_run) for of_run in zip(runs, names, strict=True)])


def names_of(runs: Sequence[Results]) -> list[str]:
    """What tells runs apart: the machine, the date, the versions, and a number where these do not."""
    names = []
    for run in runs:
        versions = run.trigru.machine.versions
        known = [f"{name} {versions[name]}" for name in ("python", "jax", "flax", "equinox") if name in versions]
        names.append(f"{run.trigru.machine.device}, {run.datetime[:10]}, {', '.join(known)}")
    return [
        name if names.count(name) == 1 else f"{name} ({names[: number + 1].count(name)})"
        for number, name in enumerate(names)
    ]


def tables_of(results: Results) -> list[Section]:
    """All tables of a results file: first what was proven, then the times."""
    return [*equality_tables(results.trigru.equality or []), *time_tables(results)]


def time_tables(results: Results) -> list[Section]:
    """What it says of times."""
    makers = (framework_tables, overhead_tables, speedup_tables, timing_tables)
    return [section for make in makers for section in make(results)]


def write_diff(folder: Path, found: Diff) -> list[Path]:
    """Write the page of what changed between two runs. Returns its path, and raises an OSError if it cannot."""
    origins = [
        f"{name}: {line}" for name, run in (("OLD", found.old), ("NEW", found.new)) for line in origin_lines(run)
    ]
    content = sheet("what changed", outcome(found), [], diff_tables(found), origins)
    write_whole(folder / DIFF_PAGE, content.encode())
    return [folder / DIFF_PAGE]


def _part(run: Results, name: str) -> Part:
    found, warnings = answer(run), load_warnings(run.trigru)
    lines = answer_lines(found, warnings, times=False) if found.rows else [*warnings, *proof_lines(found)]
    pictures = [picture for picture in _pictures(run, found).values() if picture]
    times = [time_table(found, way) for way in WAYS if any(way in row.cells for row in found.rows)]
    return Part(name, lines, pictures, [*times, *tables_of(run)], provenance_lines(run))


def _pictures(run: Results, found: Answer) -> dict[str, Picture | None]:
    return {"answer": answer_picture(found), "sweep": sweep_picture(run)}
