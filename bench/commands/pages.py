"""The files that show runs: a page, tables in Markdown, and pictures."""

from collections.abc import Sequence
from pathlib import Path

from ...common.files import write_whole
from ..analysis.answer import Answer
from ..analysis.diff import Diff
from ..reporting.diff import diff_tables
from ..reporting.outcome import outcome
from ..reporting.page.page import page
from ..reporting.page.sheet import sheet
from ..reporting.plots.answer import answer_picture
from ..reporting.plots.diff import diff_picture
from ..reporting.plots.figures import remove_picture
from ..reporting.plots.scaling import scaling_picture
from ..reporting.plots.sweep import sweep_picture
from ..reporting.provenance import origin_lines, provenance_lines
from ..reporting.sections import markdown
from ..reporting.sight import sight_lines
from ..results.record import Results
from .tables import tables_of

PAGE, TABLES, DIFF_PAGE = "report.html", "report.md", "diff.html"


def write_pages(folder: Path, runs: Sequence[Results], answers: Sequence[Answer]) -> list[Path]:
    """Write the page of some runs; of a single one also its tables and pictures, in place of an earlier run's.

    Returns:
        What was written, the page first.

    Raises:
        OSError: a file cannot be written.
    """
    write_whole(folder / PAGE, page(runs, answers).encode())
    if len(runs) > 1:
        return [folder / PAGE]
    (run,), (found,) = runs, answers
    text = markdown("trigru", [*provenance_lines(run), *sight_lines(run)], tables_of(run, found))
    write_whole(folder / TABLES, text.encode())
    written = [folder / PAGE, folder / TABLES]
    pictures = {
        "answer": answer_picture(found), "scaling": scaling_picture(run), "sweep": sweep_picture(run),
    }  # fmt: skip
    for name, picture in pictures.items():
        if picture is None:
            remove_picture(name, folder)
        else:
            written += picture.write(folder)
    return written


def write_diff(folder: Path, found: Diff) -> list[Path]:
    """Write the page of what changed between two runs, and its picture.

    Returns:
        What was written, the page first.

    Raises:
        OSError: a file cannot be written.
    """
    picture = diff_picture(found)
    origins = [
        f"{name}: {line}" for name, run in (("OLD", found.old), ("NEW", found.new)) for line in origin_lines(run)
    ]
    content = sheet("what changed", outcome(found), [picture] if picture else [], diff_tables(found), origins)
    write_whole(folder / DIFF_PAGE, content.encode())
    if picture is None:
        remove_picture("diff", folder)
        return [folder / DIFF_PAGE]
    return [folder / DIFF_PAGE, *picture.write(folder)]
