"""All tables of a run, in their order, and the pages that show runs."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

from ...common.files import write_whole
from ..analysis.answer import answer
from ..analysis.diff import Diff
from ..reporting.answer import head_lines, more_lines
from ..reporting.diff import diff_tables, outcome
from ..reporting.equality import equality_tables
from ..reporting.exports import way_table
from ..reporting.page import sheet
from ..reporting.plots import answer_picture
from ..reporting.provenance import load_warnings, origin_lines, provenance_lines
from ..reporting.sections import Section
from ..reporting.speedups import overhead_tables, speedup_tables
from ..reporting.times import timing_tables
from ..results.record import Results

PAGE, DIFF_PAGE = "report.html", "diff.html"


def write_page(folder: Path, run: Results) -> Path:
    """Write the page of a run, and return its path. Raises an OSError if it cannot be written."""
    write_whole(folder / PAGE, run_page(run).encode())
    return folder / PAGE


def run_page(run: Results) -> str:
    """The page of a run: its answer in sentences, a picture and tables."""
    found = answer(run)
    picture = answer_picture(found)
    return sheet(
        "linen, NNX and Equinox",
        [*load_warnings(run.trigru), *head_lines(found)],
        [picture] if picture else [],
        [replace(table, detail=True) for table in (*way_table(run, "time"), *tables_of(run))],
        provenance_lines(run),
        more_lines(found),
    )


def tables_of(results: Results) -> list[Section]:
    """All tables of a results file: first what was proven, then the times."""
    return [*equality_tables(results.trigru.equality or []), *time_tables(results)]


def time_tables(results: Results) -> list[Section]:
    """The tables of times."""
    tables = overhead_tables(results), speedup_tables(results), timing_tables(results)
    return [*way_table(results, "pairwise"), *chain(*tables)]


def write_diff(folder: Path, found: Diff) -> list[Path]:
    """Write the page of what changed between two runs. Returns its path, and raises an OSError if it cannot."""
    origins = [
        f"{name}: {line}" for name, run in (("OLD", found.old), ("NEW", found.new)) for line in origin_lines(run)
    ]
    content = sheet("what changed", outcome(found), [], diff_tables(found), origins)
    write_whole(folder / DIFF_PAGE, content.encode())
    return [folder / DIFF_PAGE]
