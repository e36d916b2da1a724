"""What a run has measured so far, in a file that survives the run: one line of JSON for each event."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError
from ..results.grouping import grouped
from ..results.record import Arm, Machine, Plan, Untimed
from .machine import machine_differences
from .messages import GroupTimed, Started

#: Name of the file, beside the results.
PARTIAL = "results.partial.jsonl"


class ResumeError(TrigruError, ValueError):
    """A run cannot be resumed: there is none, it had another plan, or it was on another machine."""


class Begun(Struct, frozen=True, tag=True):
    """The first line.

    Args:
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
    load: float | None


class Resumed(Struct, frozen=True, tag=True):
    """A line for each time that the run was resumed."""


_T = TypeVar("_T")
_Line = Begun | Resumed | Started | Untimed | GroupTimed


class Journal:
    """The lines of a run. Each is written before the next begins."""

    def __init__(self, path: Path, begun: Begun):
        self._start(path, [], begun)
        path.write_bytes(b"")
        self.add(begun)

    @classmethod
    def resume(cls, path: Path, plan: Plan) -> "Journal":
        """Continue where the file ends. The plan has to be what was asked for then, but its limit may be another.

        Raises:
            ResumeError: the file is missing, or of another plan.
        """
        lines, begun, whole_bytes = _read(path)
        if begun.plan != msgspec.structs.replace(plan, limit_s=begun.plan.limit_s):
            raise ResumeError(
                f"{path} is of another plan: {' '.join(begun.command)}. Resume with the same options, or start again "
                "without --resume."
            )
        os.truncate(path, whole_bytes)
        self = cls.__new__(cls)
        self._start(path, lines, msgspec.structs.replace(begun, plan=plan))
        self.add(Resumed())
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
                raise ResumeError(
                    f"{self.path} was measured elsewhere: {'; '.join(differences)}. Start again without --resume."
                )
        with self.path.open("ab") as file:
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
            if group not in done and not any(a.id in untimed for a in arms if a.role in ("baseline", "duplicate"))
            for arm in arms
            if arm.id not in untimed
        ]

    @property
    def complete(self) -> bool:
        """Whether everything is measured."""
        return not any(self.todo(process) for process in range(self.plan.processes))

    def close(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if self._made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def _of(self, kind: type[_T]) -> list[_T]:
        return [line for line in self._lines if isinstance(line, kind)]


def _read(path: Path) -> tuple[list[_Line], Begun, int]:
    """The complete lines of a file, the first of them, and their number of bytes."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResumeError(
            f"{path}: {error.strerror}. There is no run to resume; start one without --resume."
        ) from error
    whole = content[: content.rfind(b"\n") + 1]  # the last line may be incomplete
    try:
        lines: list[_Line] = [msgspec.json.decode(line, type=_Line) for line in whole.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResumeError(f"{path}: not a run of this trigru: {error}. Start again without --resume.") from error
    if not lines or not isinstance(lines[0], Begun):
        raise ResumeError(f"{path}: has no beginning. Start again without --resume.")
    return lines, lines[0], len(whole)
