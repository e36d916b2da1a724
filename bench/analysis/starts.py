"""How long users of each port wait for the first train step, from the timed cold starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from msgspec import Meta, Struct

from ...common.errors import InputError, brief
from ...common.files import read_whole
from ..results.grouping import grouped
from ..results.lines import MOST_BYTES, check_date, decode, first_twice
from ..results.ranges import Load
from ..results.rules import of_build, of_machine
from ..results.run import Machine
from ..timing.coldstart import ColdStart

PARTS = ("import", "init", "trace", "lower", "compile", "first step")
SCHEMA = 2
#: No import or initialisation is shorter, in seconds, and no process that ran a model is smaller, in bytes.
_LEAST_S, _LEAST_BYTES = 1e-3, 2**24
#: The first call compiles: the second takes no more than so many times as long, whatever else the machine does.
_SECOND = 10.0


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
        """Rules of the machine, of the starts of each port, and of each start."""
        of_port = grouped(self.starts, lambda cold: cold.port)
        yield from of_machine(self.machine, of_port)
        if any(len({cold.style for cold in starts}) > 1 for starts in of_port.values()):
            yield "the starts of one port are of several call styles"
        if first_twice(map(repr, self.starts)):
            yield "it has a start twice, to the last digit"
        for cold in self.starts:
            for sentence in of_build(cold.build):
                yield f"a start of {cold.port} {sentence}"
            if cold.second_call_s > _SECOND * cold.build.first_call_s:
                yield f"the second call of {cold.port} took longer than the first, which compiles"
            if min(cold.import_s, cold.init_s) < _LEAST_S or (cold.peak_bytes or _LEAST_BYTES) < _LEAST_BYTES:
                yield f"a start of {cold.port} took less time or memory than Python's own"


def load_starts(path: Path) -> ColdStarts:
    """Read a file of cold starts. Raises an InputError if it is missing, or is not such a file."""
    try:
        found = decode(read_whole(path, MOST_BYTES), ColdStarts)
        for sentence in found.contradictions():
            raise ValueError(sentence)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Write it with `trigru compare --cold-start`.") from error
    except ValueError as error:  # also what msgspec says
        raise InputError(
            f"{path}: not a file of this version's `trigru compare --cold-start` ({brief(error)})."
        ) from error
    if found.schema != SCHEMA:
        raise InputError(f"{path}: schema {found.schema}, expected {SCHEMA}. Run `trigru compare --cold-start` again.")
    return found


@dataclass(frozen=True)
class PortStart:
    """Medians over the starts of one port.

    Args:
        part_s: of each of PARTS.
        total_s, least_s, most_s: of import, init and first step together: the median, and the range.
        peak_bytes, device_peak_bytes: resident memory, and memory in use on the accelerator; None where no start knows
            it.
    """

    port: str
    style: str
    starts: int
    part_s: tuple[float, ...]
    total_s: float
    least_s: float
    most_s: float
    second_call_s: float
    peak_bytes: int | None
    device_peak_bytes: int | None


def summarise_starts(found: list[ColdStart]) -> list[PortStart]:
    """Medians of each port's starts."""

    def summary(port: str, starts: list[ColdStart]) -> PortStart:
        totals_s, builds = [cold.total_s for cold in starts], [cold.build for cold in starts]
        parts_s = [
            (cold.import_s, cold.init_s, build.trace_s, build.lower_s, build.compile_s, build.first_call_s)
            for cold, build in zip(starts, builds, strict=True)
        ]
        memory = [[cold.peak_bytes for cold in starts], [cold.device_peak_bytes for cold in starts]]
        known = [[peak for peak in peaks if peak is not None] for peaks in memory]
        return PortStart(
            port, starts[0].style, len(starts),
            tuple(median(of_part) for of_part in zip(*parts_s, strict=True)),
            median(totals_s), min(totals_s), max(totals_s), median(cold.second_call_s for cold in starts),
            *(int(median(peaks)) if peaks else None for peaks in known),
        )  # fmt: skip

    return [summary(port, starts) for port, starts in grouped(found, lambda cold: cold.port).items()]
