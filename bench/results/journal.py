"""The journal of a run: a file with a line of JSON for each record, which survives the run.

Each line has a checksum that is chained to the line before it.
"""

import os
from pathlib import Path

from ...common.errors import TrigruError, brief
from ...common.files import read_whole
from .arm import Plan
from .lines import MOST_BYTES, decode_lines, encode_line
from .machine import machine_differences, version_differences
from .run import Begun, Line, Resumed, Run, Started

#: Name of the file, beside the results.
PARTIAL = "results.partial.jsonl"


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
