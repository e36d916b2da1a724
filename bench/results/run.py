"""The records of a run, and its journal: a file that survives the run, with a line for each record.

The results file has them, too, but no samples of arms that have no number in the end, and for each such arm one reason.
Nothing is stored that can be computed from them. The types bound every number that is read, and readers refuse records
that contradict each other. Each line of a journal has a checksum that is chained to the line before it.
"""

import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError, brief
from ...common.files import read_whole
from ...common.port.programs import Build, Count, ProgramFacts
from .arm import Arm, Clock, Load, Natural, Plan, SampleSeconds, Untimed
from .grouping import grouped
from .lines import MOST_BYTES, check_date, decode_lines, encode_line, first_twice
from .machine import Ceilings, Machine, machine_differences, version_differences

#: Name of the file of a journal, beside the results.
PARTIAL = "results.partial.jsonl"


class Begun(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """How a run began."""

    plan: Plan  # the arms to time
    arms: list[Arm]  # of the plan, group by group
    untimed: list[Untimed]  # of the plan, as known when the run began
    #: Every measurement of equality with the oracle that was made before timing; None where there is none.
    equality: list[Measurement] | None
    backend: str | None  # the platform on which equality was measured; the processes must run on it, too
    command: list[str]  # its words, without the folder of the results
    load: Load | None  # runnable processes on the machine, mean of the minute before the run; None where not known
    since: str = ""  # when it began, in UTC
    versions: dict[str, str] = {}  # with which it began, and with which its proof was made
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
    time_s: Annotated[list[SampleSeconds], Meta(min_length=1)]  # seconds per call, one for each round
    #: "blocked", where each call is waited for before the next, or "pipelined", where all calls of a sample are started
    #: before the first is waited for. It is blocked on a CPU, and pipelined on an accelerator, where it is the
    #: throughput of a training loop and the other one is latency.
    clock: Clock
    #: Seconds per call by the other clock, from separate rounds; empty where it was not measured.
    other_s: list[SampleSeconds]
    device: str  # where the arm ran
    backend: str  # the platform of that
    #: Largest error of the first results, as a share of what its admission allows; None of a peer that an earlier
    #: version did not compare.
    gate: Annotated[float, Meta(ge=0, le=1)] | None
    leaves: Count  # arrays that cross the jit boundary inwards for model and optimiser
    build: Build | None  # how long tracing, lowering and compiling took; None where it is not known
    #: The program that XLA made; None where XLA did not run it, another process read it, or it is unreadable.
    program: ProgramFacts | None
    unreadable: str = ""  # why it could not be read; "" where it was, or nobody tried


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
    """How a run ended. Further keys of earlier versions are ignored."""

    datetime: str  # when it did
    load: Load | None  # runnable processes on the machine, mean of the minute before that; None where not known

    def __post_init__(self) -> None:
        check_date(self.datetime)


#: A line of a journal.
Line = Begun | Started | Resumed | Untimed | GroupTimed


class Run(Struct, kw_only=True, forbid_unknown_fields=True):
    """The records of a run, each kind in the order in which they came."""

    begun: Begun  # how it began
    started: list[Started]  # one for each process that was started, before or after an interruption
    #: The arms without a number. Those with which the run began are among them in a results file alone.
    untimed: list[Untimed]
    interruptions: Annotated[int, Meta(ge=0, le=1000)]  # how often the run was stopped and resumed
    ended: Ended | None  # how it ended; None if it did not
    #: What was measured. In a results file it stands with each arm that has a number instead.
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


class ResumeError(TrigruError, ValueError):
    """A run cannot be continued: it is damaged, had another plan, or was of other versions or on another machine."""

    def __init__(self, what: str):
        super().__init__(f"{what}. Begin anew with --fresh, or in another folder with --output.")


class Journal(Run, kw_only=True):
    """The records of a run that is not complete, in a file."""

    path: Path
    checksum: str = ""  # of the file's last line
    made_folder: bool = False  # whether the file's folder was made for it

    @classmethod
    def begin(cls, path: Path, begun: Begun) -> "Journal":
        """Begin a file. Raises a FileExistsError if there is one."""
        self = cls._of(path, [begun])
        self.made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
        self._write(begun)
        return self

    @classmethod
    def resume(cls, path: Path, plan: Plan, versions: dict[str, str], commit: str) -> "Journal":
        """Continue where the file ends, on the same plan and the same software, installed now. Raises a ResumeError."""
        self = cls.read(path)
        begun = self.begun
        if self.plan != plan:
            command = " ".join(begun.command)
            raise ResumeError(f"{path} is of an unfinished run with other options, {begun.since or '?'} UTC: {command}")
        if begun.versions:
            then, now = begun.versions | {"commit": begun.commit}, versions | {"commit": commit}
            self._refuse("begun", version_differences(then, now))
        if path.is_symlink():
            raise ResumeError(f"{path}: is a symbolic link, which is not written to")
        os.truncate(path, len(_whole_lines(path)))
        self.add(Resumed())
        return self

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """The journal in a file. Raises a TrigruError if it is missing, and a ResumeError if it is not a journal."""
        try:
            return cls._of(path, *decode_lines(_whole_lines(path), Line))
        except OSError as error:
            raise TrigruError(f"{path}: {error.strerror}.") from error
        except ValueError as error:  # also msgspec's
            raise ResumeError(f"{path}: not a run of this trigru: {brief(error)}") from error

    @classmethod
    def _of(cls, path: Path, lines: list[Line], checksum: str = "") -> "Journal":
        """The journal of these lines. Raises a ValueError if they are not of one run."""
        if not lines or not isinstance(lines[0], Begun):
            raise ValueError("it has no beginning")
        facts = {"begun": lines[0], "started": [], "untimed": [], "interruptions": 0, "ended": None}
        self = cls(**facts, path=path, checksum=checksum)
        for line in lines[1:]:
            self.take(line)
        self.check()
        return self

    def add(self, line: Line) -> None:
        """Keep a record. Raises a ResumeError if it is from another machine than those before."""
        if self.started and isinstance(line, Started):
            commits = ({"commit": machine.commit} for machine in (self.machine, line.machine))
            self._refuse("measured", machine_differences(self.machine, line.machine) + version_differences(*commits))
        self._write(line)
        self.take(line)

    def _refuse(self, was: str, differences: list[str]) -> None:
        if differences:
            raise ResumeError(f"{self.path} was {was} elsewhere: {'; '.join(differences)}")

    def _write(self, line: Line) -> None:
        with open(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "ab") as file:
            content, checksum = encode_line(line, self.checksum)
            file.write(content)
        self.checksum = checksum

    def discard(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if self.made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


def _whole_lines(path: Path) -> bytes:
    content = read_whole(path, MOST_BYTES)
    return content[: content.rfind(b"\n") + 1]
