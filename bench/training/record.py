"""The file that `trigru train` writes: it has all numbers, and pictures and tables are made from it."""

from pathlib import Path

import msgspec
from msgspec import Struct

from ...common.errors import InputError, brief
from ...common.files import read_whole, write_whole
from ..results.contradictions import check_date
from ..results.lines import MOST_BYTES, decode
from ..results.record import Machine
from .study import Agreement, Run, check_trainings
from .vanishing import Vanishing

SCHEMA = 1


class TrainingRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """What was trained or differentiated, and where.

    Args:
        datetime: in UTC, ISO 8601.
        quick: whether it is a first look, of one experiment unless others were named, with few seeds.
        complete: whether everything that was asked for is here.
    """

    schema: int
    datetime: str
    command: list[str]
    machine: Machine
    quick: bool
    complete: bool
    runs: list[Run] = []
    agreement: list[Agreement] = []
    vanishing: Vanishing | None = None

    def __post_init__(self) -> None:
        check_date(self.datetime)
        check_trainings(self.runs, self.agreement, complete=self.complete)


def save_record(path: Path, record: TrainingRecord) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, msgspec.json.encode(record) + b"\n")


def load_record(path: Path) -> TrainingRecord:
    """Read a file that `save_record` wrote. Raises an InputError if it is missing, or is not such a file."""
    try:
        record = decode(read_whole(path, MOST_BYTES), TrainingRecord)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write it with `trigru train`.") from error
    except (ValueError, RecursionError) as error:  # also what msgspec, and the checks of the records, say
        raise InputError(f"{path}: not written by this version's `trigru train` ({brief(error)}).") from error
    if record.schema != SCHEMA:
        raise InputError(f"{path}: schema {record.schema}, expected {SCHEMA}. Run `trigru train` again.")
    return record
