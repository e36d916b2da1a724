"""The records of a run: a line each in the journal. The results file has them, too, but no samples of arms that have no
number in the end, and for each such arm one reason.

Nothing is stored that can be computed from them. The types bound every number that is read, and readers refuse records
that contradict each other.
"""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.port.programs import Build, Count, ProgramFacts
from .arm import Arm, Clock, Load, Natural, NotNegative, Plan, SampleSeconds, Untimed
from .grouping import grouped
from .lines import check_date, first_twice
from .machine import Ceilings, Machine


class Begun(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """How a run began.

    Args:
        plan: the arms to time.
        arms, untimed: of the plan, group by group, as known when the run began.
        equality: every measurement of equality with the oracle that was made before timing; None where there is none.
        backend: the platform on which equality was measured. The processes must run on it, too.
        command: its words, without the folder of the results.
        load: runnable processes on the machine, in the mean of the minute before the run; None where not known.
        since: when it began, in UTC.
        versions, commit: with which it began, and with which its proof was made.
    """

    plan: Plan
    arms: list[Arm]
    untimed: list[Untimed]
    equality: list[Measurement] | None
    backend: str | None
    command: list[str]
    load: Load | None
    since: str = ""
    versions: dict[str, str] = {}
    commit: str = ""


class Started(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A process that started to measure.

    Args:
        machine: as it found it.
        ceilings: the machine's limits, by the arms' arithmetic.
    """

    machine: Machine
    ceilings: dict[str, Ceilings]


class Resumed(Struct, frozen=True, tag=True):
    """The run was stopped, and is continued."""


class Samples(Struct, frozen=True, kw_only=True):
    """The times of an arm in one process.

    Args:
        calls: in a sample.
        steady: whether the warm-up ended since calls became no faster, and not since it took too long.
        time_s: seconds per call, one for each round.
        clock: "blocked", where each call is waited for before the next, or "pipelined", where all calls of a sample are
            started before the first is waited for. It is blocked on a CPU, and pipelined on an accelerator, where it
            is the throughput of a training loop and the other one is latency.
        other_s: seconds per call by the other clock, from separate rounds; empty where it was not measured.
        position: the arm's place within each round.
        started_s: when each sample began, seconds since the epoch.
    """

    calls: Natural
    steady: bool
    time_s: Annotated[list[SampleSeconds], Meta(min_length=1)]
    clock: Clock
    other_s: list[SampleSeconds]
    position: list[Count]
    started_s: list[NotNegative]

    def __post_init__(self) -> None:
        for name in ("position", "started_s"):
            if len(getattr(self, name)) != len(self.time_s):
                raise ValueError(f"{name} has {len(getattr(self, name))} items, expected {len(self.time_s)}")


class Timed(Samples, frozen=True, kw_only=True):
    """An arm in one process: its samples, and what else is known of it. Further keys are ignored.

    Args:
        arm: its id.
        device, backend: where the arm ran.
        gate: largest error of the first results, as a share of what its admission allows; None of a peer that an
            earlier version did not compare.
        leaves: arrays that cross the jit boundary inwards for model and optimiser.
        build: how long tracing, lowering and compiling took; None where it is not known.
        program: the program that XLA made; None where XLA did not run it, another process read it, or it is unreadable.
        unreadable: why it could not be read; "" where it was, or nobody tried.
    """

    arm: str
    device: str
    backend: str
    gate: Annotated[float, Meta(ge=0, le=1)] | None
    leaves: Count
    build: Build | None
    program: ProgramFacts | None
    unreadable: str = ""


class GroupTimed(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """One group in one process: the arms that have a number in it."""

    group: str
    process: Count
    timed: list[Timed]

    def __post_init__(self) -> None:
        if twice := first_twice(t.arm for t in self.timed):
            raise ValueError(f"{twice} is there twice")
        if len({len(t.time_s) for t in self.timed}) > 1:
            raise ValueError(f"the arms of {self.group} have other numbers of rounds in process {self.process}")


class Ended(Struct, frozen=True, tag=True):
    """How a run ended. Further keys of earlier versions are ignored.

    Args:
        datetime: when it did.
        load: runnable processes on the machine, in the mean of the minute before that; None where not known.
    """

    datetime: str
    load: Load | None

    def __post_init__(self) -> None:
        check_date(self.datetime)


#: A line of a journal.
Line = Begun | Started | Resumed | Untimed | GroupTimed


class Run(Struct, kw_only=True, forbid_unknown_fields=True):
    """The records of a run, each kind in the order in which they came.

    Args:
        begun: how it began.
        started: one for each process that was started, before or after an interruption.
        untimed: the arms without a number. Those with which the run began are among them in a results file alone.
        interruptions: how often the run was stopped and resumed.
        ended: how it ended; None if it did not.
        groups_timed: what was measured. In a results file it stands with each arm that has a number instead.
    """

    begun: Begun
    started: list[Started]
    untimed: list[Untimed]
    interruptions: Annotated[int, Meta(ge=0, le=1000)]
    ended: Ended | None
    groups_timed: list[GroupTimed] = []

    @property
    def plan(self) -> Plan:
        return self.begun.plan

    @property
    def machine(self) -> Machine:
        """That of the first process. As long as none has started, its threads are 0, and only its software is known."""
        begun = self.begun
        unknown = Machine(begun.versions, "unknown machine", "unknown", 0, "", {}, begun.commit)
        return self.started[0].machine if self.started else unknown

    @property
    def reasons(self) -> dict[str, Untimed]:
        """Arms without a number, by id, each with its first reason."""
        return {line.arm.id: line for line in reversed([*self.begun.untimed, *self.untimed])}

    @property
    def complete(self) -> bool:
        return not any(map(self.todo, range(self.plan.processes)))

    def groups(self) -> dict[str, list[Arm]]:
        """All arms, by group."""
        return grouped(self.begun.arms, lambda arm: arm.group)

    def todo(self, process: int) -> list[Arm]:
        """The arms that a process has not measured yet, of groups that can still have numbers."""
        reasons = self.reasons
        over = {line.group for line in self.groups_timed if line.process == process}
        over |= {line.arm.group for line in reasons.values() if line.arm.role in ("baseline", "duplicate")}
        return [arm for arm in self.begun.arms if arm.group not in over and arm.id not in reasons]

    def take(self, line: Line) -> None:
        """Add a line to the records of its kind. Raises a ValueError if it is a second beginning."""
        if isinstance(line, Begun):
            raise ValueError("it has a second beginning")
        if isinstance(line, Resumed):
            self.interruptions += 1
        else:
            {Started: self.started, Untimed: self.untimed, GroupTimed: self.groups_timed}[type(line)].append(line)

    def check(self) -> None:
        """Raise a ValueError with what contradicts what, if the records cannot be of one run."""
        begun, started, groups_timed = self.begun, self.started, self.groups_timed
        arms, without = {arm.id: arm for arm in begun.arms}, {u.arm.id for u in begun.untimed}
        if twice := first_twice(arm.id for arm in begun.arms) or first_twice(u.arm.id for u in begun.untimed):
            raise ValueError(f"the arm {twice} is there twice")
        for line in [*begun.untimed, *self.untimed]:
            if line.arm != arms.get(line.arm.id):
                raise ValueError(f"{line.arm.id} is no arm of the run")
        if any(line.ceilings.keys() != {arm.arithmetic for arm in begun.arms} for line in started):
            raise ValueError("a process lacks the limits of the machine in a dtype of the arms")
        # clocks and temperatures of a GPU differ
        if any(replace(line.machine, gpus=[]) != replace(started[0].machine, gpus=[]) for line in started):
            raise ValueError("its processes ran on different machines, versions or commits")
        if twice := first_twice(f"process {line.process} of {line.group}" for line in groups_timed):
            raise ValueError(f"it has {twice} twice")
        groups = {group: {arm.id for arm in of_group} for group, of_group in self.groups().items()}
        for line in groups_timed:
            timed = {t.arm for t in line.timed}
            if line.process >= begun.plan.processes or line.group not in groups or not timed <= groups[line.group]:
                raise ValueError(f"process {line.process} of {line.group} is none of the run, or has other arms")
            if timed & without:
                raise ValueError(f"{min(timed & without)} has a number, though the run began with a reason why not")
        if len({line.process for line in groups_timed}) > len(started):
            raise ValueError("a group was timed before its process started")
        if len({t.clock for line in groups_timed for t in line.timed}) > 1:
            raise ValueError("it was timed by two clocks")
