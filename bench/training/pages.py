"""The files that show the record of `trigru train`: a page, and pictures."""

from pathlib import Path

from ...common.files import write_whole
from ..reporting.page.sheet import sheet
from ..reporting.plots.figures import Picture, remove_picture
from ..reporting.provenance import origin_of
from ..reporting.sections import Section
from .plots import curves_picture, gains_picture, vanishing_picture
from .record import TrainingRecord
from .tables import agreement_table, gain_table, vanishing_table

#: Of gradients, and of trainings.
VANISHING_PAGE, PAGE = "vanishing.html", "training.html"


def write_training(folder: Path, record: TrainingRecord) -> list[Path]:
    """Write the page of a record, and its pictures.

    Returns:
        What was written, the page first.

    Raises:
        OSError: a file cannot be written.
    """
    pictures, vanishing = pictures_of(record), record.vanishing is not None
    path = folder / (VANISHING_PAGE if vanishing else PAGE)
    title = "the gradient of the initial state" if vanishing else "training with a learned initial state"
    content = sheet(title, _lines(record), pictures, training_tables(record), training_origin(record))
    write_whole(path, content.encode())
    if record.runs and "gains" not in {picture.name for picture in pictures}:
        remove_picture("gains", folder)
    return [path, *(written for picture in pictures for written in picture.write(folder))]


def training_tables(record: TrainingRecord) -> list[Section]:
    """What was trained and differentiated, in tables."""
    return [
        *([gain_table(record.runs, complete=record.complete)] if record.runs else []),
        *([agreement_table(record.agreement)] if record.agreement else []),
        *([vanishing_table(record.vanishing)] if record.vanishing else []),
    ]


def training_origin(record: TrainingRecord) -> list[str]:
    """When, where and with what it was measured."""
    return origin_of(record.datetime, record.machine, record.command)


def pictures_of(record: TrainingRecord) -> list[Picture]:
    """What was trained and differentiated, in pictures."""
    found = [gains_picture(record.runs), curves_picture(record.runs)] if record.runs else []
    return [
        *(picture for picture in found if picture),
        *([vanishing_picture(record.vanishing)] if record.vanishing else []),
    ]


def _lines(record: TrainingRecord) -> list[str]:
    quick = ["A first look: one experiment unless others were named, with few seeds."] if record.quick else []
    return [*([] if record.complete else ["INTERRUPTED: not all was trained."]), *quick]
