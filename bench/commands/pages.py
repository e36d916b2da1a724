"""The files that show runs: a page, tables in Markdown, and pictures."""

from collections.abc import Sequence
from pathlib import Path

from ...common.files import write_whole
from ..analysis.answer import WAYS, Answer
from ..reporting.page.page import page
from ..reporting.plots.answer import answer_figure, answer_text
from ..reporting.plots.figures import write_figure
from ..reporting.plots.sweep import SWEPT, sweep_figure
from ..reporting.provenance import provenance_lines
from ..reporting.sections import markdown
from ..reporting.sight import sight_lines
from ..results.record import Results
from .tables import tables_of

PAGE, TABLES = "report.html", "report.md"
ANSWER_PLOT, SWEEP_PLOT = "answer", "sweep"
SUFFIXES = (".png", ".svg")


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
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    answered = answer_figure(found, ways) if ways else None
    said = " ".join(answer_text(found, way) for way in ways)
    figures = {ANSWER_PLOT: (answered, said), SWEEP_PLOT: (sweep_figure(run), SWEPT)}
    written = [folder / PAGE, folder / TABLES]
    for name, (figure, description) in figures.items():
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            if figure is None:
                path.unlink(missing_ok=True)
            else:
                write_figure(figure, path, description)
                written.append(path)
    return written
