"""What a run has measured so far, in a file that survives it: a line of JSON for each thing as it happens."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...common.errors import TrigruError
from ..arms.plan import Plan
from .machine import Machine
from .messages import GroupRecord, Started

__all__ = ["PARTIAL", "Journal", "ResumeError", "check_resumable"]

#: Name of the file, beside the results.
PARTIAL = "results.partial.jsonl"


class ResumeError(TrigruError, ValueError):
    """A run cannot be resumed: there is none, or it was another, or on another machine."""


class Begun(Struct, frozen=True, tag=True):
    """The first line, and another for each time that the run is resumed."""

    plan: Plan
    command: list[str]
    load: float | None


class Lost(Struct, frozen=True, tag=True):
    """An arm that gets no number any more."""

    id: str
    reason: str


_T = TypeVar("_T")
_Line = Begun | Started | GroupRecord | Lost


class Journal:
    """The lines of a run, on disk before the next begins.

    Args:
        path: of the file.
        plan: of the run.
        command: how it was called.
        load: of the machine, before.
        resume: go on where the file ends, instead of starting it anew.

    Raises:
        ResumeError: the file is missing, or of another plan.
    """

    def __init__(self, path: Path, plan: Plan, command: list[str], load: float | None, *, resume: bool = False):
        self.path, self.plan = path, plan
        self._lines: list[_Line] = []
        if resume:
            self._lines, whole_bytes = _read(path)
            _refuse_another(path, self._lines, plan)
            os.truncate(path, whole_bytes)
        self._made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not resume:
            path.write_bytes(b"")
        self.add(Begun(plan, command, load))

    def add(self, line: _Line) -> None:
        """Keep a line; a machine that is not the one of the lines before is refused with a ResumeError."""
        before = self.machine
        differences = before.differences(line.machine) if isinstance(line, Started) and before else []
        if isinstance(line, Started) and before and before.commit != line.machine.commit:
            differences.append(f"commit {line.machine.commit}, was {before.commit}")
        if differences:
            raise ResumeError(
                f"{self.path} was measured elsewhere: {'; '.join(differences)}. Start again without --resume."
            )
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        self._lines.append(line)

    @property
    def command(self) -> list[str]:
        """How the run was called first."""
        return self._of(Begun)[0].command

    @property
    def load_before(self) -> float | None:
        """Of the machine, before the run."""
        return self._of(Begun)[0].load

    @property
    def interruptions(self) -> int:
        """How often it was resumed."""
        return len(self._of(Begun)) - 1

    @property
    def machine(self) -> Machine | None:
        """Where it ran; None as long as no process has started."""
        started = self._of(Started)
        return started[0].machine if started else None

    @property
    def started(self) -> list[Started]:
        """One for each process that was started, those after an interruption, too."""
        return self._of(Started)

    @property
    def records(self) -> list[GroupRecord]:
        """What was measured."""
        return self._of(GroupRecord)

    @property
    def lost(self) -> dict[str, str]:
        """Arms that get no number any more, by id, with the reason."""
        untimed = {u.id: u.reason for record in self.records for u in record.untimed}
        return untimed | {line.id: line.reason for line in self._of(Lost)}

    def todo(self, process: int) -> list[str]:
        """The groups that a process has not measured yet."""
        done = {record.group for record in self.records if record.process == process}
        return [group for group in self.plan.groups() if group not in done]

    @property
    def complete(self) -> bool:
        """Whether all is measured."""
        return not any(self.todo(process) for process in range(self.plan.processes))

    def close(self) -> None:
        """Remove the file: the results file has it all, or there is nothing to have."""
        self.path.unlink(missing_ok=True)
        if self._made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def _of(self, kind: type[_T]) -> list[_T]:
        return [line for line in self._lines if isinstance(line, kind)]


def check_resumable(path: Path, plan: Plan) -> None:
    """Refuse early what `Journal` would refuse; which ports the plan excludes may not be known yet.

    Raises:
        ResumeError: the file is missing, or of another plan.
    """
    lines, _ = _read(path)
    _refuse_another(path, lines, msgspec.structs.replace(plan, excluded=_begun(lines).plan.excluded))


def _read(path: Path) -> tuple[list[_Line], int]:
    """The whole lines of a file, and how many bytes they are."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResumeError(
            f"{path}: {error.strerror}. There is no run to resume; start one without --resume."
        ) from error
    whole = content[: content.rfind(b"\n") + 1]  # the last line may have been cut off
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in whole.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResumeError(f"{path}: not a run of this trigru: {error}. Start again without --resume.") from error
    if not lines or not isinstance(lines[0], Begun):
        raise ResumeError(f"{path}: has no beginning. Start again without --resume.")
    return lines, len(whole)


def _refuse_another(path: Path, lines: list[_Line], plan: Plan) -> None:
    begun = _begun(lines)
    if begun.plan != plan:
        raise ResumeError(
            f"{path} is of another plan: {' '.join(begun.command)}. Resume with the same options, or start again "
            "without --resume."
        )


def _begun(lines: list[_Line]) -> Begun:
    """How it began: `_read` saw to it that it did."""
    return next(line for line in lines if isinstance(line, Begun))
