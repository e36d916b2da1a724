"""How long users of each port wait for the first train step, from the timed cold starts."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import astuple

from ...common.errors import InputError
from ...common.files import read_whole
from ..results.arm import Load
from ..results.files import STARTS_COMMAND
from ..results.grouping import grouped
from ..results.lines import MOST_BYTES, check_date, first_twice, record_of, refusing
from ..results.machine import Machine
from ..timing.coldstart import ColdStart
from ..timing.machine import machine_contradictions

PARTS = ("import", "init", "trace", "lower", "compile", "first step")
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
        for sentence in machine_contradictions(found.machine, {cold.port for cold in found.starts}):
            raise ValueError(sentence)
        if first_twice(port for port, _ in dict.fromkeys((cold.port, cold.style) for cold in found.starts)):
            raise ValueError("the starts of one port are of several call styles")
        if first_twice(map(repr, found.starts)):
            raise ValueError("it has a start twice, to the last digit")
        return found


@dataclass(frozen=True)
class PortStart:
    """Medians over the starts of one port."""

    port: str
    style: str
    starts: int
    part_s: tuple[float, ...]  # of each of PARTS
    total_s: tuple[float, float, float]  # import, init and first step together: the median, the least and the most
    second_call_s: float
    peak_bytes: int | None  # resident memory; None where not known
    device_peak_bytes: int | None  # in use on the accelerator; None where not known


def summarise_starts(found: list[ColdStart]) -> list[PortStart]:
    """Medians of each port's starts."""
    summaries = []
    for port, starts in grouped(found, lambda cold: cold.port).items():
        part_s = zip(*((s.import_s, s.init_s, *astuple(s.build)) for s in starts), strict=True)
        totals_s, second_s = [s.total_s for s in starts], [s.second_call_s for s in starts]
        total_s = median(totals_s), min(totals_s), max(totals_s)
        memory = ([getattr(s, name) for s in starts] for name in ("peak_bytes", "device_peak_bytes"))
        peaks = (int(median(known)) if (known := [peak for peak in of if peak is not None]) else None for of in memory)
        style, parts_s = starts[0].style, tuple(map(median, part_s))
        summaries.append(PortStart(port, style, len(starts), parts_s, total_s, median(second_s), *peaks))
    return summaries
