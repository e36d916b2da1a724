"""How long users of each port wait for the first train step, from the timed cold starts."""

from collections.abc import Iterator
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
    """The file of cold starts: every start, and where they were timed.

    Args:
        datetime: in UTC, ISO 8601.
        load_before, load_after: runnable processes; None where they are not known.
    """

    schema: int
    command: list[str]
    datetime: str
    machine: Machine
    load_before: Load | None
    load_after: Load | None
    starts: Annotated[list[ColdStart], Meta(min_length=1)]

    def __post_init__(self) -> None:
        check_date(self.datetime)

    def contradictions(self) -> Iterator[str]:
        """Rules of the machine, and of the starts of each port."""
        of_port = grouped(self.starts, lambda cold: cold.port)
        yield from machine_contradictions(self.machine, of_port)
        if any(len({cold.style for cold in starts}) > 1 for starts in of_port.values()):
            yield "the starts of one port are of several call styles"
        if first_twice(map(repr, self.starts)):
            yield "it has a start twice, to the last digit"


def load_starts(path: Path) -> ColdStarts:
    """Read a file of cold starts. Raises an InputError if it is missing, was changed, or is not such a file."""
    with refusing(path, InputError, f"Write it with `{STARTS_COMMAND}`."):
        found = record_of(read_whole(path, MOST_BYTES), ColdStarts, SCHEMA)
        for sentence in found.contradictions():
            raise ValueError(sentence)
        return found


@dataclass(frozen=True)
class PortStart:
    """Medians over the starts of one port.

    Args:
        style: the call style of the starts.
        part_s: of each of PARTS.
        total_s: of import, init and first step together: the median, the least and the most.
        peak_bytes, device_peak_bytes: resident memory, and memory in use on the accelerator; None where no start knows
            it.
    """

    port: str
    style: str
    starts: int
    part_s: tuple[float, ...]
    total_s: tuple[float, float, float]
    second_call_s: float
    peak_bytes: int | None
    device_peak_bytes: int | None


def summarise_starts(found: list[ColdStart]) -> list[PortStart]:
    """Medians of each port's starts."""

    def known(peaks: list[int | None]) -> int | None:
        there = [peak for peak in peaks if peak is not None]
        return int(median(there)) if there else None

    def summary(port: str, starts: list[ColdStart]) -> PortStart:
        parts_s = ((s.import_s, s.init_s, *astuple(s.build)) for s in starts)
        totals_s = [cold.total_s for cold in starts]
        return PortStart(
            port, starts[0].style, len(starts), tuple(map(median, zip(*parts_s, strict=True))),
            (median(totals_s), min(totals_s), max(totals_s)), median(cold.second_call_s for cold in starts),
            known([cold.peak_bytes for cold in starts]), known([cold.device_peak_bytes for cold in starts]),
        )  # fmt: skip

    return [summary(port, starts) for port, starts in grouped(found, lambda cold: cold.port).items()]
