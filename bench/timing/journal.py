"""The journal of a run: a file with one line of JSON for each record, which survives the run.

Each line has a checksum that is chained to the line before it.
"""

import os
from pathlib import Path

from ...common.errors import TrigruError, brief
from ...common.files import read_whole
from ..processes.interrupts import shielded
from ..results.arm import Plan
from ..results.lines import MOST_BYTES, decode_lines, encode_line
from ..results.run import Begun, Line, Resumed, Run, Started
from .machine import machine_differences, version_differences

#: Name of the file, beside the results.
PARTIAL = "results.partial.jsonl"


class ResumeError(TrigruError, ValueError):
    """A run cannot be continued: it is damaged, had another plan, or was of other versions or on another machine.

    Args:
        what: is wrong, as a sentence without its full stop.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}. Begin anew with --fresh, or in another folder with --output.")


class Journal(Run):
    """The records of a run that is under way. Each is handed to the system before the next begins."""

    def __init__(self, path: Path, begun: Begun):
        """Begin a file. Raises a FileExistsError if there is one."""
        self._open(path, [begun], "")
        path.open("xb").close()
        self._write(begun)

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
        software = begun.versions | {"commit": begun.commit}
        differences = version_differences(software, versions | {"commit": commit}) if begun.versions else []
        if differences:
            raise ResumeError(f"{path} was begun elsewhere: {'; '.join(differences)}")
        if path.is_symlink():
            raise ResumeError(f"{path}: is a symbolic link, which is not written to")
        os.truncate(path, len(_whole_lines(path)))
        self.add(Resumed())
        return self

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """The journal in a file. Raises a TrigruError if it is missing, and a ResumeError if it is not a journal."""
        self = cls.__new__(cls)
        try:
            self._open(path, *decode_lines(_whole_lines(path), Line))
        except OSError as error:
            raise TrigruError(f"{path}: {error.strerror}.") from error
        except ValueError as error:  # also msgspec's
            raise ResumeError(f"{path}: not a run of this trigru: {brief(error)}") from error
        return self

    def _open(self, path: Path, lines: list[Line], checksum: str) -> None:
        super().__init__(lines)
        self._checksum = checksum
        self.path, self._made_folder = path, not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, line: Line) -> None:
        """Keep a record. Raises a ResumeError if it is from another machine than those before."""
        before = self.machine
        if before and isinstance(line, Started):
            differences = machine_differences(before, line.machine)
            if before.commit != line.machine.commit:
                differences.append(f"commit {line.machine.commit}, was {before.commit}")
            if differences:
                raise ResumeError(f"{self.path} was measured elsewhere: {'; '.join(differences)}")
        with shielded():
            self._write(line)
            self.lines.append(line)

    def _write(self, line: Line) -> None:
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(self.path, flags), "ab") as file:
            content, checksum = encode_line(line, self._checksum)
            file.write(content)
        self._checksum = checksum

    def close(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if self._made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


def _whole_lines(path: Path) -> bytes:
    """What a file has up to the end of its last whole line."""
    content = read_whole(path, MOST_BYTES)
    return content[: content.rfind(b"\n") + 1]
