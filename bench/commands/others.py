"""Files of commands that measure no run, as `trigru report` shows them."""

from pathlib import Path

from ...common.files import write_whole
from ..analysis.starts import load_starts
from ..reporting.console import show
from ..reporting.page.sheet import sheet
from ..reporting.provenance import origin_of
from ..reporting.starts import cold_start_tables

STARTS_PAGE = "cold_start.html"


def show_other(path: Path, command: str, output: Path | None) -> list[Path]:
    """Print the tables of such a file.

    Args:
        command: that wrote it.
        output: a folder, where a page of it is written, and its pictures.

    Returns:
        What was written.
    """
    return (_show_training if command == "trigru train" else _show_starts)(path, output)


def _show_training(path: Path, output: Path | None) -> list[Path]:
    from ..training.pages import training_origin, training_tables, write_training
    from ..training.record import load_record

    record = load_record(path)
    show(training_tables(record), above=training_origin(record))
    return [] if output is None else write_training(output, record)


def _show_starts(path: Path, output: Path | None) -> list[Path]:
    found = load_starts(path)
    tables = cold_start_tables(found.starts, found.datetime, (found.load_before, found.load_after))
    origin = origin_of(found.datetime, found.machine, found.command)
    show(tables, above=origin)
    if output is None:
        return []
    write_whole(output / STARTS_PAGE, sheet("cold starts", [], [], tables, origin).encode())
    return [output / STARTS_PAGE]
