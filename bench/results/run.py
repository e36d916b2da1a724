"""A run: its plan, its machine and its samples. Times are in seconds.

Nothing is stored that can be computed: `trigru.bench.analysis` computes ratios, noise
floors and verdicts from the samples. The types bound every number that is read.
"""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from ...common.equality.measurement import Measurement
from ...common.port.hlo import ProgramFacts
from .arm import (
    Arm,
    Clock,
    Load,
    Natural,
    Plan,
    SampleSeconds,
    Untimed,
    check_date,
    leading_clock,
)
from .build import Build, Count
from .grouping import grouped
from .machine import Machine

#: The version of the format of results.
SCHEMA = 11


class Sample(NamedTuple):
    """How long an arm took in one round: the seconds of a call, the mean of some calls.

    The samples of one process and one round were taken one right after the other, so
    the ratio of two of them is free of what slows the machine for longer.
    """

    arm: str  # its id
    process: Count  # from 0
    round: Count  # from 0, by this clock in this process
    clock: Clock  # blocked: each call was waited for; pipelined: calls in flight
    s: SampleSeconds  # seconds of one call


class ArmFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process knows of an arm beside its samples."""

    arm: str  # its id
    process: Count  # from 0
    calls: Natural  # in a sample
    #: Whether the warm-up ended since calls became no faster, and not since it took too
    #: long.
    steady: bool
    device: str  # where the arm ran
    backend: str  # the platform of that
    #: Largest error of the first results, as a share of what its admission allows.
    gate: Annotated[float, Meta(ge=0, le=1)]
    leaves: Count  # arrays that cross the jit boundary inwards for model and optimiser
    #: How long tracing, lowering and compiling took; None where it is not known.
    build: Build | None
    #: The program that XLA made; None where another process read it, or it is
    #: unreadable.
    program: ProgramFacts | None
    unreadable: str = ""  # why it could not be read; "" where it was, or nobody tried


class Begun(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """How a run began."""

    plan: Plan  # the arms to time
    arms: list[Arm]  # of the plan, group by group
    untimed: list[Untimed]  # of the plan, as known when the run began
    #: Every measurement of equality with the oracle that was made before timing; None
    #: where there is none.
    equality: list[Measurement] | None
    #: The platform on which equality was measured; the processes must run on it, too.
    backend: str | None
    command: list[str]  # its words, without the folder of the results
    #: Runnable processes on the machine, mean of the minute before the run; None where
    #: not known.
    load: Load | None
    since: str = ""  # when it began, in UTC
    #: With which it began, and with which its proof was made.
    versions: dict[str, str] = {}
    commit: str = ""  # of trigru's own checkout, likewise


class Started(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A process that started to measure."""

    machine: Machine  # as it found it


class Resumed(Struct, frozen=True, tag=True):
    """The run was stopped, and is continued."""


class Measured(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """What a process measured of one group."""

    samples: list[Sample]
    facts: list[ArmFacts]


class Ended(Struct, frozen=True, tag=True):
    """How a run ended."""

    datetime: str  # when it did
    #: Runnable processes on the machine, mean of the minute before that; None where not
    #: known.
    load: Load | None

    def __post_init__(self) -> None:
        check_date(self.datetime)


#: A line of a journal: what happened in a run, in the order in which it happened.
Line = Begun | Started | Resumed | Untimed | Measured


class Run(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is known of a run, complete or not."""

    begun: Begun  # how it began
    started: list[Started]  # one for each process, before or after an interruption
    untimed: list[Untimed]  # arms that lost their number after it began
    samples: list[Sample]  # of all arms, in the order in which they came
    facts: list[ArmFacts]  # of each arm in each process
    #: How often the run was stopped and resumed.
    interruptions: Annotated[int, Meta(ge=0, le=1000)]
    ended: Ended | None  # how it ended; None if it did not
    schema: int  # the version of this format

    @classmethod
    def begin(cls, begun: Begun) -> "Run":
        """A run of which nothing is measured."""
        return cls(
            begun=begun,
            started=[],
            untimed=[],
            samples=[],
            facts=[],
            interruptions=0,
            ended=None,
            schema=SCHEMA,
        )

    def take(self, line: Line) -> None:
        """Add what happened. Raises a ValueError if it is a second beginning."""
        match line:
            case Begun():
                raise ValueError("it has a second beginning")
            case Resumed():
                self.interruptions += 1
            case Started():
                self.started.append(line)
            case Untimed():
                self.untimed.append(line)
            case Measured():
                self.samples += line.samples
                self.facts += line.facts

    def check(self) -> None:
        """Raise a ValueError if something was measured of an arm that is not of the
        run.
        """
        arms = {arm.id for arm in self.begun.arms}
        measured = {sample.arm for sample in self.samples}
        measured |= {facts.arm for facts in self.facts}
        if strangers := measured - arms:
            raise ValueError(f"{min(strangers)} is no arm of the run")

    @property
    def plan(self) -> Plan:
        return self.begun.plan

    @property
    def machine(self) -> Machine:
        """That of the first process.

        As long as none has started, its threads are 0, and only its software is known.
        """
        if self.started:
            return self.started[0].machine
        return Machine(
            versions=self.begun.versions,
            device="unknown machine",
            backend="unknown",
            threads=0,
            xla_flags="",
            environment={},
            commit=self.begun.commit,
        )

    @property
    def clock(self) -> Clock:
        """The clock that leads."""
        return leading_clock(self.machine.backend)

    @property
    def datetime(self) -> str:
        """When the run ended; now, if it did not."""
        if self.ended is None:
            return datetime.now(UTC).isoformat(timespec="minutes")
        return self.ended.datetime

    @property
    def reasons(self) -> dict[str, Untimed]:
        """Arms without a number, by id, each with its first reason."""
        reasons: dict[str, Untimed] = {}
        for untimed in (*self.begun.untimed, *self.untimed):
            reasons.setdefault(untimed.arm.id, untimed)
        return reasons

    @property
    def complete(self) -> bool:
        return not any(map(self.todo, range(self.plan.processes)))

    @property
    def measured(self) -> set[tuple[str, int]]:
        """The groups that have numbers, each with a process that measured it."""
        group_of = {arm.id: arm.group for arm in self.begun.arms}
        # facts are fewer than samples
        return {(group_of[facts.arm], facts.process) for facts in self.facts}

    def groups(self) -> dict[str, list[Arm]]:
        return grouped(self.begun.arms, lambda arm: arm.group)

    def todo(self, process: int) -> list[Arm]:
        """The arms that a process has not measured yet, of groups that can have
        numbers.
        """
        reasons = self.reasons
        finished = {group for group, number in self.measured if number == process}
        for untimed in reasons.values():
            if untimed.arm.role in ("baseline", "duplicate"):
                finished.add(untimed.arm.group)
        arms = [arm for arm in self.begun.arms if arm.group not in finished]
        return [arm for arm in arms if arm.id not in reasons]
