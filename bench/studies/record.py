"""The file that a study writes: what was proven of its arms, and every sample."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...common.errors import InputError, brief
from ...common.files import read_whole, write_whole
from ..results.contradictions import check_date
from ..results.lines import MOST_BYTES, decode
from ..results.record import Machine

SCHEMA = 1
#: The second copy of the baseline, whose ratio shows the noise.
DUPLICATE = "duplicate"
Seconds = Annotated[float, Meta(gt=0)]


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """What was shown before anything was timed.

    Args:
        what: in words, with the arm.
        error: the largest relative difference, in float64.
        bound: the most that passes.
    """

    what: str
    error: Annotated[float, Meta(ge=0)]
    bound: Annotated[float, Meta(ge=0)]


class StudyRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """What a study found, and where.

    Args:
        datetime: in UTC, ISO 8601.
        short: whether it is a first look with few rounds, whose numbers are not to be published.
        load_before, load_after: runnable processes, a mean over the last minute; None where the platform has none.
        settings: of the study, by name.
        shown: what had to hold before the arms were timed.
        curves: numbers by update that were shown to be equal, by name.
        process: the process of each round.
        time_s: seconds per call of each arm, one for each round; the first arm is the baseline.
        read: what was read of the programs of arms, by name.
    """

    schema: int
    study: str
    datetime: str
    command: list[str]
    machine: Machine
    short: bool
    load_before: float | None
    load_after: float | None
    settings: dict[str, Any]
    shown: list[Shown]
    curves: dict[str, list[float]]
    process: list[int]
    time_s: dict[str, list[Seconds]]
    read: dict[str, list[str]] = {}

    def __post_init__(self) -> None:
        check_date(self.datetime)
        if DUPLICATE not in self.time_s:
            raise ValueError("a record has no duplicate of its baseline")
        rounds = {arm: len(times_s) for arm, times_s in self.time_s.items() if len(times_s) != len(self.process)}
        if rounds:
            raise ValueError(f"{len(self.process)} rounds, but other numbers of times: {rounds}")

    @property
    def baseline(self) -> str:
        """The arm that the duplicate is a copy of."""
        return next(iter(self.time_s))


def save_study(path: Path, record: StudyRecord) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, msgspec.json.encode(record) + b"\n")


def load_study(path: Path) -> StudyRecord:
    """Read a file that `save_study` wrote. Raises an InputError if it is missing, or is not such a file."""
    try:
        record = decode(read_whole(path, MOST_BYTES), StudyRecord)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write it with `python -m trigru.bench.studies`.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not written by this version's studies ({brief(error)}).") from error
    if record.schema != SCHEMA:
        raise InputError(f"{path}: schema {record.schema}, expected {SCHEMA}. Measure the study again.")
    return record
