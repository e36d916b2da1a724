"""The records of a run, and the run as it is read: arms with ratios, noise floors and verdicts. Times are in seconds.

Nothing is stored that can be computed: `trigru.bench.analysis.merge` makes `Results` of a `Run`. The types bound every
number that is read, and readers refuse records that contradict each other.
"""

from datetime import UTC, datetime
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.port.hlo import ProgramFacts
from .arm import (
    OTHER_CLOCK,
    Arm,
    Clock,
    Load,
    Natural,
    Plan,
    SampleSeconds,
    Untimed,
    check_date,
)
from .build import Build, Count
from .grouping import first_twice, grouped
from .machine import Ceilings, Machine

#: The version of the format of results.
SCHEMA = 10


class Begun(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """How a run began."""

    plan: Plan  # the arms to time
    arms: list[Arm]  # of the plan, group by group
    untimed: list[Untimed]  # of the plan, as known when the run began
    #: Every measurement of equality with the oracle that was made before timing; None where there is none.
    equality: list[Measurement] | None
    backend: (
        str | None
    )  # the platform on which equality was measured; the processes must run on it, too
    command: list[str]  # its words, without the folder of the results
    load: (
        Load | None
    )  # runnable processes on the machine, mean of the minute before the run; None where not known
    since: str = ""  # when it began, in UTC
    versions: dict[
        str, str
    ] = {}  # with which it began, and with which its proof was made
    commit: str = ""  # of trigru's own checkout, likewise


class Started(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A process that started to measure."""

    machine: Machine  # as it found it
    ceilings: dict[str, Ceilings]  # the machine's limits, by the arms' arithmetic


class Resumed(Struct, frozen=True, tag=True):
    """The run was stopped, and is continued."""


class Timed(Struct, frozen=True, kw_only=True):
    """An arm in one process: its samples, and what else is known of it. Further keys are ignored."""

    arm: str  # its id
    calls: Natural  # in a sample
    steady: bool  # whether the warm-up ended since calls became no faster, and not since it took too long
    #: The clock that leads: "blocked", where each call is waited for before the next, or "pipelined", where all calls
    #: of a sample are started before the first is waited for. It is blocked on a CPU, and pipelined on an accelerator,
    #: where it is the throughput of a training loop and the other one is latency.
    clock: Clock
    #: Seconds per call by each clock that was used, in rounds of its own: one number for each round.
    times_s: dict[Clock, Annotated[list[SampleSeconds], Meta(min_length=1)]]
    device: str  # where the arm ran
    backend: str  # the platform of that
    #: Largest error of the first results, as a share of what its admission allows; None of a peer that an earlier
    #: version did not compare.
    gate: Annotated[float, Meta(ge=0, le=1)] | None
    leaves: Count  # arrays that cross the jit boundary inwards for model and optimiser
    build: (
        Build | None
    )  # how long tracing, lowering and compiling took; None where it is not known
    #: The program that XLA made; None where XLA did not run it, another process read it, or it is unreadable.
    program: ProgramFacts | None
    unreadable: str = ""  # why it could not be read; "" where it was, or nobody tried

    def __post_init__(self) -> None:
        if self.clock not in self.times_s:
            raise ValueError(
                f"{self.arm} has no times by the clock that leads, {self.clock}"
            )

    @property
    def time_s(self) -> list[float]:
        """Seconds per call by the clock that leads, one for each round."""
        return self.times_s[self.clock]

    @property
    def other_s(self) -> list[float]:
        """Seconds per call by the other clock; empty where it was not measured."""
        return self.times_s.get(OTHER_CLOCK[self.clock], [])


class GroupTimed(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """One group in one process: the arms that have a number in it."""

    group: str  # its name, workload, phase and what else tells it apart
    process: Count  # the number of the process, from 0
    timed: list[Timed]  # the arms that have a number in it

    def __post_init__(self) -> None:
        if twice := first_twice(t.arm for t in self.timed):
            raise ValueError(f"{twice} is there twice")
        if len({len(t.time_s) for t in self.timed}) > 1:
            raise ValueError(
                f"the arms of {self.group} have other numbers of rounds in process {self.process}"
            )


class Ended(Struct, frozen=True, tag=True):
    """How a run ended. Further keys of earlier versions are ignored."""

    datetime: str  # when it did
    load: (
        Load | None
    )  # runnable processes on the machine, mean of the minute before that; None where not known

    def __post_init__(self) -> None:
        check_date(self.datetime)


#: A line of a journal.
Line = Begun | Started | Resumed | Untimed | GroupTimed


class Run(Struct, kw_only=True, forbid_unknown_fields=True):
    """The records of a run, each kind in the order in which they came."""

    begun: Begun  # how it began
    started: list[
        Started
    ]  # one for each process that was started, before or after an interruption
    untimed: list[Untimed]  # arms that lost their number after it began, in any process
    groups_timed: list[GroupTimed]  # what was measured
    interruptions: Annotated[
        int, Meta(ge=0, le=1000)
    ]  # how often the run was stopped and resumed
    ended: Ended | None  # how it ended; None if it did not
    schema: int  # the version of this format

    @property
    def plan(self) -> Plan:
        return self.begun.plan

    @property
    def machine(self) -> Machine:
        """That of the first process. As long as none has started, its threads are 0, and only its software is known."""
        begun = self.begun
        unknown = Machine(
            begun.versions, "unknown machine", "unknown", 0, "", {}, begun.commit
        )
        return self.started[0].machine if self.started else unknown

    @property
    def reasons(self) -> dict[str, Untimed]:
        """Arms without a number, by id, each with its first reason."""
        return {
            line.arm.id: line for line in reversed([*self.begun.untimed, *self.untimed])
        }

    @property
    def complete(self) -> bool:
        return not any(map(self.todo, range(self.plan.processes)))

    def groups(self) -> dict[str, list[Arm]]:
        return grouped(self.begun.arms, lambda arm: arm.group)

    def todo(self, process: int) -> list[Arm]:
        """The arms that a process has not measured yet, of groups that can still have numbers."""
        reasons = self.reasons
        over = {line.group for line in self.groups_timed if line.process == process}
        over |= {
            line.arm.group
            for line in reasons.values()
            if line.arm.role in ("baseline", "duplicate")
        }
        return [
            arm
            for arm in self.begun.arms
            if arm.group not in over and arm.id not in reasons
        ]

    def take(self, line: Line) -> None:
        """Add a line to the records of its kind. Raises a ValueError if it is a second beginning."""
        if isinstance(line, Begun):
            raise ValueError("it has a second beginning")
        if isinstance(line, Resumed):
            self.interruptions += 1
        else:
            {
                Started: self.started,
                Untimed: self.untimed,
                GroupTimed: self.groups_timed,
            }[type(line)].append(line)

    def check(self) -> None:
        """Raise a ValueError with what contradicts what, if the records cannot be of one run."""
        begun, started, groups_timed = self.begun, self.started, self.groups_timed
        arms, without = (
            {arm.id: arm for arm in begun.arms},
            {u.arm.id for u in begun.untimed},
        )
        if twice := first_twice(arm.id for arm in begun.arms) or first_twice(
            u.arm.id for u in begun.untimed
        ):
            raise ValueError(f"the arm {twice} is there twice")
        for line in [*begun.untimed, *self.untimed]:
            if line.arm != arms.get(line.arm.id):
                raise ValueError(f"{line.arm.id} is no arm of the run")
        if any(
            line.ceilings.keys() != {arm.arithmetic for arm in begun.arms}
            for line in started
        ):
            raise ValueError(
                "a process lacks the limits of the machine in a dtype of the arms"
            )
        # clocks and temperatures of a GPU differ
        if any(
            replace(line.machine, gpus=[]) != replace(started[0].machine, gpus=[])
            for line in started
        ):
            raise ValueError(
                "its processes ran on different machines, versions or commits"
            )
        if twice := first_twice(
            f"process {line.process} of {line.group}" for line in groups_timed
        ):
            raise ValueError(f"it has {twice} twice")
        groups = {
            group: {arm.id for arm in of_group}
            for group, of_group in self.groups().items()
        }
        for line in groups_timed:
            timed = {t.arm for t in line.timed}
            if (
                line.process >= begun.plan.processes
                or line.group not in groups
                or not timed <= groups[line.group]
            ):
                raise ValueError(
                    f"process {line.process} of {line.group} is none of the run, or has other arms"
                )
            if timed & without:
                raise ValueError(
                    f"{min(timed & without)} has a number, though the run began with a reason why not"
                )
        if len({line.process for line in groups_timed}) > len(started):
            raise ValueError("a group was timed before its process started")
        if len({t.clock for line in groups_timed for t in line.timed}) > 1:
            raise ValueError("it was timed by two clocks")


class TimeComparison(Struct, frozen=True):
    """The time of one arm over that of another, per call, with its 95 % interval."""

    ratio: float
    low: float
    high: float


class Benchmark(TimeComparison, frozen=True, kw_only=True):
    """An arm with a number: its time over the baseline's, paired within rounds."""

    arm: Arm
    timed: dict[int, Timed]  # its samples, by process
    shape: str  # sizes of the workload, as text
    steps: int  # time steps of a call, without padding
    flops: float  # the least work of a call; see `trigru.bench.arms.workloads.work_of`
    moved_bytes: float
    floor: float  # the group's noise floor, as a fraction
    verdict: str  # "faster", "slower" or "indistinguishable", than the baseline

    @property
    def group(self) -> str:
        return self.arm.group

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def facts(self) -> Timed:
        """The facts from its first process. No other times how it is built, nor, on a CPU, reads its program."""
        return next(iter(self.timed.values()))

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.concatenate([t.time_s for t in self.timed.values()])

    @property
    def median_s(self) -> float:
        return float(np.median(self.time_s))

    @property
    def process(self) -> list[int]:
        """The process of each round, from 0."""
        return [number for number, t in self.timed.items() for _ in t.time_s]

    @property
    def other_s(self) -> list[float]:
        """Seconds per call by the clock that does not lead; see `trigru.bench.results.run.Timed`."""
        return [s for t in self.timed.values() for s in t.other_s]

    @property
    def steady(self) -> list[bool]:
        """Whether the warm-up ended since calls became no faster, for each process."""
        return [t.steady for t in self.timed.values()]


class Results(Struct, frozen=True):
    """A run: its records, the arms with a number, and those without."""

    trigru: Run
    benchmarks: list[Benchmark]
    untimed: list[Untimed]

    @property
    def datetime(self) -> str:
        """When the run ended; now, if it did not."""
        return (
            self.trigru.ended.datetime
            if self.trigru.ended
            else datetime.now(UTC).isoformat(timespec="minutes")
        )

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the plan."""
        return grouped(self.benchmarks, lambda b: b.group)
