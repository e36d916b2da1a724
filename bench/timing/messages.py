"""Messages between the parent of a run and its processes: one line of JSON each."""

from msgspec import Struct

from ..results.arm import Arm, Untimed
from ..results.run import GroupTimed, Started

#: A file in the request's folder with the number of the arm that is being timed, from 1; 0 between groups. It costs no
#: system call, and it still exists after the process has died.
MARKER = "underway"
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class Request(Struct, frozen=True):
    """What a process has to measure.

    Args:
        arms: those still to be measured, group by group.
        devices: how many the arms need; a CPU is divided into so many.
        packages: distributions whose versions are reported, in addition to those that always matter.
        backend: the expected platform; None if any platform is accepted.
        folder: for files that the processes of a run share.
    """

    arms: list[Arm]
    process: int
    processes: int
    rounds: int | None
    sample_time_s: float
    devices: int
    packages: list[str]
    backend: str | None
    folder: str


class Underway(Struct, frozen=True, tag=True):
    """What comes next, and the share of the process's work that was done since the last such message."""

    what: str
    share: float
    group: str | None = None
    arm: str | None = None


Answer = Started | Underway | Untimed | GroupTimed
