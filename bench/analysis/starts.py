"""How long users of each port wait for the first train step, from the timed cold starts."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from msgspec import Struct

from ...common.errors import InputError, brief
from ...common.files import read_whole
from ..results.contradictions import check_date
from ..results.grouping import grouped
from ..results.lines import MOST_BYTES, decode
from ..results.record import Machine, NotNegative
from ..timing.coldstart import ColdStart

PARTS = ("import", "init", "trace", "lower", "compile", "first step")


SCHEMA = 2
#: Longer than any start is waited for.
MOST_S = 1e4


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
    load_before: NotNegative | None
    load_after: NotNegative | None
    starts: list[ColdStart]

    def __post_init__(self) -> None:
        check_date(self.datetime)
        times_s = [s for cold in self.starts for s in (*_parts_s(cold), cold.second_call_s)]
        peaks = [peak for cold in self.starts for peak in (cold.peak_bytes, cold.device_peak_bytes) if peak is not None]
        if not self.starts or not all(0 <= time_s <= MOST_S for time_s in times_s) or min(peaks, default=0) < 0:
            raise ValueError(f"it has no starts, or times that are not from 0 to {MOST_S:.0f} s, or memory below 0")
        if any(len({cold.style for cold in of_port}) > 1 for of_port in _by_port(self.starts).values()):
            raise ValueError("the starts of one port are of several call styles")


def load_starts(path: Path) -> ColdStarts:
    """Read a file of cold starts. Raises an InputError if it is missing, or is not such a file."""
    try:
        found = decode(read_whole(path, MOST_BYTES), ColdStarts)
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
        peak_bytes: resident memory; None where no start knows it.
        device_peak_bytes: memory in use on the accelerator; None where no start knows it.
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
    return [_of_port(port, starts) for port, starts in _by_port(found).items()]


def _by_port(found: list[ColdStart]) -> dict[str, list[ColdStart]]:
    return grouped(found, lambda cold: cold.port)


def _of_port(port: str, starts: list[ColdStart]) -> PortStart:
    totals_s = [cold.total_s for cold in starts]
    peaks = [cold.peak_bytes for cold in starts if cold.peak_bytes is not None]
    on_device = [cold.device_peak_bytes for cold in starts if cold.device_peak_bytes is not None]
    return PortStart(
        port=port,
        style=starts[0].style,
        starts=len(starts),
        part_s=tuple(median(part_s) for part_s in zip(*map(_parts_s, starts), strict=True)),
        total_s=median(totals_s),
        least_s=min(totals_s),
        most_s=max(totals_s),
        second_call_s=median(cold.second_call_s for cold in starts),
        peak_bytes=int(median(peaks)) if peaks else None,
        device_peak_bytes=int(median(on_device)) if on_device else None,
    )


def _parts_s(cold: ColdStart) -> tuple[float, ...]:
    build = cold.build
    return cold.import_s, cold.init_s, build.trace_s, build.lower_s, build.compile_s, build.first_call_s
