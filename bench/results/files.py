"""How a run is stored and read: its results file, and its journal.

The journal is a file that survives the run, with a line for each record. The results file has all of them under
`trigru`; the rest of it is for `pytest-benchmark compare` and github-action-benchmark, which read its format.
"""

import os
import platform
import re
import sys
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from .arm import Plan
from .checksums import (
    MOST_BYTES,
    decode_lines,
    encode_line,
    record_of,
    refusing,
    with_checksum,
)
from .machine import machine_differences, version_differences
from .run import SCHEMA, Begun, Line, Results, Resumed, Run, Started

#: Name of the file in the folder of a run.
FILE = "results.json"
#: Name of the file of a journal, beside the results.
PARTIAL = "results.partial.jsonl"


class ResultsFileError(TrigruError, ValueError):
    """A results file is truncated, malformed, of another schema, or lacks a fact."""


class _File(Struct, frozen=True):
    trigru: Run


def save(results: Results, path: Path) -> None:
    """Write a run that ended, whole or not at all."""
    from pytest_benchmark.stats import Stats

    run, machine = results.trigru, results.trigru.machine
    benchmarks = []
    for b in results.benchmarks:
        stats = Stats()
        for sample_s in b.time_s.tolist():
            stats.update(sample_s)
        names = {
            "group": b.group,
            "name": b.name,
            "fullname": b.arm.id,
            "params": None,
            "param": None,
        }
        options = {"disable_gc": True, "timer": "perf_counter_ns"}
        facts = {
            "extra_info": {},
            "stats": stats.as_dict() | {"iterations": b.facts.calls},
        }
        benchmarks.append(names | facts | {"options": options})
    system, commit = platform.uname(), machine.commit.removesuffix("-dirty")
    # trigru's own; pytest-benchmark itself would take that of the working folder
    commit_info = {
        "id": commit or "unversioned",
        "time": None,
        "author_time": None,
        "project": "trigru",
    }
    file = {
        "machine_info": {
            "machine": system.machine,
            "processor": machine.device,
            "system": system.system,
            "release": system.release,
            "python_implementation": platform.python_implementation(),
            "python_version": machine.versions.get("python", "?"),
            "cpu": {
                "brand_raw": machine.device if machine.backend == "cpu" else "?",
                "count": machine.threads,
            },
        },
        "commit_info": commit_info
        | {"dirty": commit != machine.commit, "branch": "(unknown)"},
        "benchmarks": benchmarks,
        "datetime": results.datetime,
        "version": machine.versions.get("pytest-benchmark", "?"),
        "trigru": {name: getattr(run, name) for name in Run.__struct_fields__},
    }
    write_whole(path, with_checksum(file))


def read(path: Path) -> Run:
    """The records in a results file, given its path or that of the folder that a run wrote into.

    Raises a ResultsFileError.
    """
    if path.is_dir():
        path /= FILE
    with refusing(
        path,
        ResultsFileError,
        "Pass a results.json that trigru wrote, or measure again.",
    ):
        run = record_of(read_whole(path, MOST_BYTES), _File, SCHEMA).trigru
        if run.ended is None:
            raise ValueError("it has not ended")
        run.check()
        return run


def command_line() -> list[str]:
    """The command of this process, without the folder of the results."""
    output = re.compile("-o|--output(=|$)")
    words = [
        word
        for before, word in pairwise(sys.argv)
        if before not in ("-o", "--output") and not output.match(word)
    ]
    return [Path(sys.argv[0]).name, *words]


class ResumeError(TrigruError, ValueError):
    """A run cannot be continued: it is damaged, had another plan, or was of other versions or on another machine."""

    def __init__(self, what: str):
        super().__init__(
            f"{what}. Begin anew with --fresh, or in another folder with --output."
        )


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
    def resume(
        cls, path: Path, plan: Plan, versions: dict[str, str], commit: str
    ) -> "Journal":
        """Continue where the file ends, on the same plan and the same software, installed now. Raises a ResumeError."""
        self = cls.read(path)
        begun = self.begun
        if self.plan != plan:
            command = " ".join(begun.command)
            raise ResumeError(
                f"{path} is of an unfinished run with other options, {begun.since or '?'} UTC: {command}"
            )
        if begun.versions:
            then, now = (
                begun.versions | {"commit": begun.commit},
                versions | {"commit": commit},
            )
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
            raise ResumeError(
                f"{path}: not a run of this trigru: {brief(error)}"
            ) from error

    @classmethod
    def _of(cls, path: Path, lines: list[Line], checksum: str = "") -> "Journal":
        """The journal of these lines. Raises a ValueError if they are not of one run."""
        if not lines or not isinstance(lines[0], Begun):
            raise ValueError("it has no beginning")
        facts = {
            "started": [],
            "untimed": [],
            "groups_timed": [],
            "interruptions": 0,
            "ended": None,
            "schema": SCHEMA,
        }
        self = cls(begun=lines[0], **facts, path=path, checksum=checksum)
        for line in lines[1:]:
            self.take(line)
        self.check()
        return self

    def add(self, line: Line) -> None:
        """Keep a record. Raises a ResumeError if it is from another machine than those before."""
        if self.started and isinstance(line, Started):
            commits = (
                {"commit": machine.commit} for machine in (self.machine, line.machine)
            )
            self._refuse(
                "measured",
                machine_differences(self.machine, line.machine)
                + version_differences(*commits),
            )
        self._write(line)
        self.take(line)

    def _refuse(self, was: str, differences: list[str]) -> None:
        if differences:
            raise ResumeError(
                f"{self.path} was {was} elsewhere: {'; '.join(differences)}"
            )

    def _write(self, line: Line) -> None:
        with open(
            os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "ab"
        ) as file:
            content, checksum = encode_line(line, self.checksum)
            file.write(content)
        self.checksum = checksum

    def discard(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if (
            self.made_folder
            and self.path.parent.exists()
            and not any(self.path.parent.iterdir())
        ):
            self.path.parent.rmdir()


def _whole_lines(path: Path) -> bytes:
    content = read_whole(path, MOST_BYTES)
    return content[: content.rfind(b"\n") + 1]
