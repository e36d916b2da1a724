"""How long users of each port wait for the first train step: the file of the timed cold starts, and their medians."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import astuple

from ...common.errors import InputError
from ...common.files import read_whole
from ...common.port.programs import Build
from ..results.arm import Load, check_date
from ..results.checksums import MOST_BYTES, record_of, refusing
from ..results.files import STARTS_COMMAND
from ..results.grouping import first_twice
from ..results.machine import Machine
from ..timing.coldstart import ColdStart

SCHEMA = 3


class ColdStarts(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of cold starts: every start, and where they were timed."""

    schema: int
    command: list[str]
    datetime: str  # in UTC, ISO 8601
    machine: Machine
    load_before: Load | None  # runnable processes; None where not known
    load_after: Load | None
    starts: Annotated[list[ColdStart], Meta(min_length=1)]

    def __post_init__(self) -> None:
        check_date(self.datetime)


def load_starts(path: Path) -> ColdStarts:
    """Read a file of cold starts. Raises an InputError if it is missing, was changed, or is not such a file."""
    with refusing(path, InputError, f"Write it with `{STARTS_COMMAND}`."):
        found = record_of(read_whole(path, MOST_BYTES), ColdStarts, SCHEMA)
        if first_twice(
            port
            for port, _ in dict.fromkeys(
                (cold.port, cold.style) for cold in found.starts
            )
        ):
            raise ValueError("the starts of one port are of several call styles")
        if first_twice(map(repr, found.starts)):
            raise ValueError("it has a start twice, to the last digit")
        return found


def median_start(starts: Sequence[ColdStart]) -> ColdStart:
    """The starts of one port as one, of medians: of each time, and of the peaks that are known, or None."""
    times_s = zip(
        *((s.import_s, s.init_s, s.second_call_s, *astuple(s.build)) for s in starts),
        strict=True,
    )
    import_s, init_s, second_s, *build_s = map(median, times_s)
    peaks = []
    for name in ("peak_bytes", "device_peak_bytes"):
        known = [peak for s in starts if (peak := getattr(s, name)) is not None]
        peaks.append(int(median(known)) if known else None)
    return ColdStart(
        starts[0].port,
        starts[0].style,
        import_s,
        init_s,
        Build(*build_s),
        second_s,
        *peaks,
    )
