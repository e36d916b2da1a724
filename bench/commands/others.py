"""Cold starts, as `trigru report` shows them."""

from pathlib import Path

from ...common.files import write_whole
from ..analysis.starts import load_starts
from ..reporting.console import show
from ..reporting.page.page import sheet
from ..reporting.provenance import origin_of
from ..reporting.starts import cold_start_tables

STARTS_PAGE = "cold_start.html"


def show_starts(path: Path, output: Path | None) -> list[Path]:
    """Print the tables of cold starts.

    Args:
        output: a folder, where a page of them is written.

    Returns:
        What was written.
    """
    found = load_starts(path)
    tables = cold_start_tables(found.starts, found.datetime, (found.load_before, found.load_after))
    origin = origin_of(found.datetime, found.machine, found.command)
    show(tables, above=origin)
    if output is None:
        return []
    write_whole(output / STARTS_PAGE, sheet("cold starts", [], [], tables, origin).encode())
    return [output / STARTS_PAGE]
