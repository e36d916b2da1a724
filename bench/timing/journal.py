"""What a run has measured so far, in a file that survives the run: one line of JSON for each event."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError, brief
from ...common.files import read_whole
from ..processes.interrupts import shielded
from ..results.arm import Arm, Plan, Untimed
from ..results.contradictions import check_asked, check_proven, check_roles, first_twice
from ..results.grouping import grouped
from ..results.lines import MOST_BYTES, decode
from ..results.record import Machine, NotNegative
from .machine import machine_differences, version_differences
from .messages import GroupTimed, Started

#: Name of the file, beside the results.
PARTIAL = "results.partial.jsonl"


class ResumeError(TrigruError, ValueError):
    """A run cannot be continued: it is damaged, had another plan, or was of other versions or on another machine.

    Args:
        what: is wrong, as a sentence without its full stop.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}. Begin anew with --fresh, or in another folder with --output.")


class Begun(Struct, frozen=True, tag=True):
    """The first line.

    Args:
        since: when it began, in UTC.
        versions, commit: with which it began, and with which its proof was made.
        arms, untimed: of the plan, group by group, as known when the run began.
        equality: its measurements before timing; None where there are none.
        backend: the platform on which equality was measured. The processes must run on it, too.
        load: of the machine, before the run.
    """

    plan: Plan
    arms: list[Arm]
    untimed: list[Untimed]
    equality: list[Measurement] | None
    backend: str | None
    command: list[str]
    load: NotNegative | None
    since: str = ""
    versions: dict[str, str] = {}
    commit: str = ""


class Resumed(Struct, frozen=True, tag=True):
    """A line for each time that the run was resumed."""


_T = TypeVar("_T")
_Line = Begun | Resumed | Started | Untimed | GroupTimed


class Journal:
    """The lines of a run. Each is written before the next begins."""

    def __init__(self, path: Path, begun: Begun):
        """Begin a file. Raises a FileExistsError if there is one."""
        self._start(path, [], begun)
        path.open("xb").close()
        self.add(begun)

    @classmethod
    def resume(cls, path: Path, plan: Plan, versions: dict[str, str], commit: str) -> "Journal":
        """Continue where the file ends, on the same plan and the same software.

        Args:
            versions, commit: of what is installed.

        Raises:
            ResumeError: the file is damaged, of another plan, or of other software.
        """
        self = cls.read(path)
        begun = self.begun
        if self.plan != plan:
            command = " ".join(begun.command)
            raise ResumeError(f"{path} is of an unfinished run with other options, {begun.since or '?'} UTC: {command}")
        differences = version_differences(begun.versions, versions) if begun.versions else []
        if begun.versions and commit != begun.commit:
            differences.append(f"commit {commit}, was {begun.commit}")
        if differences:
            raise ResumeError(f"{path} was begun elsewhere: {'; '.join(differences)}")
        if path.is_symlink():
            raise ResumeError(f"{path}: is a symbolic link, which is not written to")
        os.truncate(path, len(_whole(read_whole(path, MOST_BYTES))))
        self._start(path, self._lines, begun)
        self.add(Resumed())
        return self

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """What a file has, to look at. Raises a ResumeError if it is missing, or is not a journal."""
        self = cls.__new__(cls)
        self._lines, self.begun = _read(path)
        self.path, self.plan = path, self.begun.plan
        return self

    def _start(self, path: Path, lines: "list[_Line]", begun: Begun) -> None:
        self.path, self.begun, self.plan, self._lines = path, begun, begun.plan, lines
        self._made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, line: _Line) -> None:
        """Keep a line. Raises a ResumeError if it is from another machine than the lines before."""
        before = self.machine
        if before and isinstance(line, Started):
            differences = machine_differences(before, line.machine)
            if before.commit != line.machine.commit:
                differences.append(f"commit {line.machine.commit}, was {before.commit}")
            if differences:
                raise ResumeError(f"{self.path} was measured elsewhere: {'; '.join(differences)}")
        with shielded():
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(self.path, flags), "ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
            self._lines.append(line)

    @property
    def interruptions(self) -> int:
        """How often it was resumed."""
        return len(self._of(Resumed))

    @property
    def started(self) -> list[Started]:
        """One line for each process that was started, before or after an interruption."""
        return self._of(Started)

    @property
    def machine(self) -> Machine | None:
        """The machine of the run; None as long as no process has started."""
        return self.started[0].machine if self.started else None

    @property
    def groups_timed(self) -> list[GroupTimed]:
        """What was measured."""
        return self._of(GroupTimed)

    @property
    def untimed(self) -> dict[str, Untimed]:
        """Arms without a number, by id, each with its first reason."""
        return {line.arm.id: line for line in reversed([*self.begun.untimed, *self._of(Untimed)])}

    def groups(self) -> dict[str, list[Arm]]:
        """All arms, by group."""
        return grouped(self.begun.arms, lambda arm: arm.group)

    def todo(self, process: int) -> list[Arm]:
        """The arms that a process has not measured yet, of groups that can still have numbers."""
        done = {line.group for line in self.groups_timed if line.process == process}
        untimed = self.untimed
        return [
            arm
            for group, arms in self.groups().items()
            if group not in done and _can_have_numbers(arms, untimed)
            for arm in arms
            if arm.id not in untimed
        ]

    @property
    def complete(self) -> bool:
        """Whether everything is measured."""
        untimed, done = self.untimed, {(line.group, line.process) for line in self.groups_timed}
        can = [g for g, arms in self.groups().items() if _can_have_numbers(arms, untimed)]
        return all((group, process) in done for group in can for process in range(self.plan.processes))

    def close(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if self._made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def _of(self, kind: type[_T]) -> list[_T]:
        return [line for line in self._lines if isinstance(line, kind)]


def _can_have_numbers(arms: list[Arm], untimed: dict[str, Untimed]) -> bool:
    return not any(arm.id in untimed for arm in arms if arm.role in ("baseline", "duplicate"))


def _read(path: Path) -> tuple[list[_Line], Begun]:
    """The whole lines of a file, and the first of them."""
    try:
        lines = [decode(line, _Line) for line in _whole(read_whole(path, MOST_BYTES)).splitlines()]
    except OSError as error:
        raise TrigruError(f"{path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # also msgspec's
        raise ResumeError(f"{path}: not a run of this trigru: {brief(error)}") from error
    if not lines or not isinstance(lines[0], Begun):
        raise ResumeError(f"{path}: has no beginning")
    if problem := _contradiction(lines[0], lines[1:]):
        raise ResumeError(f"{path}: {brief(problem)}")
    return lines, lines[0]


def _whole(content: bytes) -> bytes:
    """The lines that were written to their end."""
    return content[: content.rfind(b"\n") + 1]


def _contradiction(begun: Begun, lines: list[_Line]) -> str | None:
    """Why lines cannot be those of one run; None if they can."""
    groups = grouped(begun.arms, lambda arm: arm.group)
    arms = {arm.id: arm for arm in begun.arms}
    untimed = {u.arm.id for u in begun.untimed}
    if twice := first_twice([arm.id for arm in begun.arms]) or first_twice(u.arm.id for u in begun.untimed):
        return f"the arm {twice} is there twice"
    try:
        check_asked(begun.plan, begun.arms)
        check_proven(begun.equality, [arm for arm in begun.arms if arm.id not in untimed])
        for group, of_group in groups.items():
            check_roles(group, of_group)
    except ValueError as error:
        return str(error)
    used = {arm.arithmetic for arm in begun.arms}
    done: set[tuple[str, int]] = set()
    clocks: set[str] = set()
    machine: Machine | None = None
    for line in [*begun.untimed, *lines]:
        if isinstance(line, Begun):
            return "has a second beginning"
        if isinstance(line, Started):
            if line.ceilings.keys() != used:
                return "a process lacks the limits of the machine in a dtype of the arms"
            if machine is not None and (
                machine.commit != line.machine.commit or machine_differences(machine, line.machine)
            ):
                return "its processes ran on different machines, versions or commits"
            machine = line.machine
        if isinstance(line, Untimed) and line.arm != arms.get(line.arm.id):
            return f"{line.arm.id} is no arm of the run"
        if isinstance(line, GroupTimed):
            timed, part = {t.arm for t in line.timed}, (line.group, line.process)
            if machine is None:
                return "a group was timed before a process started"
            if (
                part in done
                or line.process >= begun.plan.processes
                or not timed <= {a.id for a in groups.get(line.group, ())}
            ):
                return f"process {line.process} has {line.group} twice, or is none of the run, or has other arms"
            clocks |= {t.clock for t in line.timed}
            if len(clocks) > 1:
                return "it was timed by two clocks"
            if timed & untimed:
                return f"{min(timed & untimed)} has a number, though the run began with a reason why it cannot have one"
            if any(len(t.time_s) > (begun.plan.rounds or len(t.time_s)) for t in line.timed):
                return f"process {line.process} has more rounds of {line.group} than the plan"
            done.add(part)
    return None
