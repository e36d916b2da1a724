"""What a run asks of the processes that measure, and what they say."""

from pathlib import Path

from msgspec import Struct

from ..results.arm import Arm, Plan, Untimed
from ..results.run import Measured, Started

#: A folder in the request's folder, of programs, where the run has no other.
PROGRAMS = "programs"
#: How many processes work side by side in a first look.
SIDE_BY_SIDE = 2


class TimingRequest(Struct, frozen=True):
    """The request to a process: the arms that it is to measure."""

    plan: Plan
    arms: list[Arm]  # those of the plan that are still to be measured, group by group
    process: int  # its number, from 0
    backend: str | None  # the expected platform; None if any is accepted
    folder: str  # for files that the processes of a run share
    #: Where programs are taken from and kept; None where compiling them is timed.
    programs: str | None = None

    @property
    def marker(self) -> Path:
        """A file with the number of the arm that is being timed, from 1; 0 between
        groups.

        It outlives the process.
        """
        return Path(self.folder) / f"timed_arm-{self.process}"


class Stage(Struct, frozen=True, tag=True):
    """The work that a process does next."""

    what: str
    #: About which share of its group's work was done since the last stage.
    share: float = 0.0
    group: str | None = None
    arm: str | None = None  # its id


#: What a process sends.
Message = Started | Stage | Untimed | Measured
