"""Messages between the parent of a run and its processes: one line of JSON each."""

from typing import Annotated

from msgspec import Meta, Struct

from ...common.port.programs import Build, ProgramFacts
from ..results.arm import Arm, Untimed
from ..results.contradictions import check_admission, check_lengths, check_rounds, first_twice
from ..results.record import Admitted, Ceilings, Clock, Count, Machine, Natural, NotNegative, Seconds

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
    seed: int
    compile_anew: bool
    devices: int
    packages: list[str]
    backend: str | None
    folder: str


class Started(Struct, frozen=True, tag=True):
    """The first answer: the machine and its limits."""

    machine: Machine
    ceilings: dict[str, Ceilings]


class Underway(Struct, frozen=True, tag=True):
    """What comes next, and the share of the process's work that was done since the last such message."""

    what: str
    share: float
    group: str | None = None
    arm: str | None = None


class Timed(Struct, frozen=True):
    """One arm, by its id, in one process. See `trigru.bench.results.record.Facts`."""

    arm: str
    device: str
    backend: str
    differs: str | None
    gate: Admitted | None
    leaves: Count
    build: Build | None
    program: ProgramFacts | None
    calls: Natural
    warm_up_calls: Count
    steady: bool
    time_s: Annotated[list[Seconds], Meta(min_length=1)]
    clock: Clock
    other_s: list[Seconds]
    position: list[Count]
    started_s: list[NotNegative]

    def __post_init__(self) -> None:
        check_lengths(len(self.time_s), position=self.position, started_s=self.started_s)
        check_admission(self.gate, self.differs)


class GroupTimed(Struct, frozen=True, tag=True):
    """One group in one process: the arms that have a number in it."""

    group: str
    process: Count
    timed: list[Timed]

    def __post_init__(self) -> None:
        if twice := first_twice(t.arm for t in self.timed):
            raise ValueError(f"{twice} is there twice")
        for t in self.timed:
            check_lengths(len(self.timed[0].time_s), **{f"time_s of {t.arm}": t.time_s})
        if self.timed:
            rounds = len(self.timed[0].time_s)
            check_rounds(self.group, (t.position for t in self.timed), [self.process] * rounds, None)


Answer = Started | Underway | Untimed | GroupTimed
