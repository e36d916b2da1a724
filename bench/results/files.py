"""How a run is stored and read: its results file, and its journal.

The journal is a file that survives the run, with a line for each event. The results
file has the run under `trigru`; the rest of it is for `pytest-benchmark compare` and
github-action-benchmark, which read its format.
"""

import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from .arm import Arm, Plan
from .grouping import grouped
from .json_files import MOST_BYTES, decode, refusing
from .machine import Machine, machine_differences, version_differences
from .run import SCHEMA, ArmFacts, Begun, Line, Resumed, Run, Sample, Started

#: Name of the file in the folder of a run.
FILE = "results.json"
#: Name of the file of a journal, beside the results.
PARTIAL = "results.partial.jsonl"


class ResultsFileError(TrigruError, ValueError):
    """A results file is truncated, malformed, of another schema, or lacks a fact."""


class _File(Struct, frozen=True):
    trigru: Run


def save(run: Run, timed: Iterable[Arm], path: Path) -> None:
    """Write a run that ended, whole or not at all.

    Args:
        timed: the arms that have a number, for other readers.
    """
    samples = grouped(run.samples, lambda sample: sample.arm)
    facts = grouped(run.facts, lambda facts: facts.arm)
    benchmarks = [
        _benchmark_record(arm, samples[arm.id], facts[arm.id], run) for arm in timed
    ]
    machine = run.machine
    file = {
        "machine_info": _machine_info(machine),
        "commit_info": _commit_info(machine),
        "benchmarks": benchmarks,
        "datetime": run.datetime,
        "version": machine.versions.get("pytest-benchmark", "?"),
        "trigru": run,
    }
    write_whole(path, msgspec.json.encode(file))


def _benchmark_record(
    arm: Arm, samples: Sequence[Sample], facts: Sequence[ArmFacts], run: Run
) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for sample in sorted(samples):
        if sample.clock == run.clock:
            stats.update(sample.s)
    calls = min(facts, key=lambda facts: facts.process).calls
    return {
        "group": arm.group,
        "name": arm.name,
        "fullname": arm.id,
        "params": None,
        "param": None,
        "extra_info": {},
        "stats": stats.as_dict() | {"iterations": calls},
        "options": {"disable_gc": True, "timer": "perf_counter_ns"},
    }


def _machine_info(machine: Machine) -> dict[str, Any]:
    system = platform.uname()
    return {
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
    }


def _commit_info(machine: Machine) -> dict[str, Any]:
    """That of trigru; pytest-benchmark itself would take that of the working folder."""
    commit = machine.commit.removesuffix("-dirty")
    return {
        "id": commit or "unversioned",
        "time": None,
        "author_time": None,
        "project": "trigru",
        "dirty": commit != machine.commit,
        "branch": "(unknown)",
    }


def read(path: Path) -> Run:
    """The run in a results file, given its path or that of the folder of the run.

    Raises a ResultsFileError.
    """
    if path.is_dir():
        path /= FILE
    advice = "Pass a results.json that trigru wrote, or measure again."
    with refusing(path, ResultsFileError, advice):
        content = read_whole(path, MOST_BYTES)
        run = decode(content, _File, SCHEMA).trigru
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
    """A run cannot be continued.

    It is damaged, had another plan, or was of other versions or on another machine.
    """

    def __init__(self, what: str):
        super().__init__(
            f"{what}. Begin anew with --fresh, or in another folder with --output."
        )


class Journal:
    """The file of a run that is not complete, and the run as far as it came."""

    def __init__(self, path: Path, run: Run):
        self.path = path
        self.run = run
        self._made_folder = False  # whether the file's folder was made for it

    @classmethod
    def begin(cls, path: Path, begun: Begun) -> "Journal":
        """Begin a file. Raises a FileExistsError if there is one."""
        journal = cls(path, Run.begin(begun))
        journal._made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
        journal._write(begun)
        return journal

    @classmethod
    def resume(
        cls, path: Path, plan: Plan, versions: dict[str, str], commit: str
    ) -> "Journal":
        """Continue where the file ends, on the same plan and the same software.

        The versions and the commit are those installed now. Raises a ResumeError.
        """
        journal = cls.read(path)
        begun = journal.run.begun
        if begun.plan != plan:
            command = " ".join(begun.command)
            since = begun.since or "?"
            raise ResumeError(
                f"{path} is of an unfinished run with other options, {since} UTC: "
                f"{command}"
            )
        if begun.versions:
            then = begun.versions | {"commit": begun.commit}
            now = versions | {"commit": commit}
            journal._refuse("begun", version_differences(then, now))
        if path.is_symlink():
            raise ResumeError(f"{path}: is a symbolic link, which is not written to")
        os.truncate(path, len(_whole_lines(path)))
        journal.add(Resumed())
        return journal

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """The journal in a file.

        Raises a TrigruError if it is missing, and a ResumeError if it is no journal.
        """
        try:
            return cls(path, _run_of_lines(_whole_lines(path)))
        except OSError as error:
            raise TrigruError(f"{path}: {error.strerror}.") from error
        except ValueError as error:  # also msgspec's
            raise ResumeError(
                f"{path}: not a run of this trigru: {brief(error)}"
            ) from error

    def add(self, line: Line) -> None:
        """Keep what happened.

        Raises a ResumeError if it is from another machine than what came before.
        """
        run = self.run
        if run.started and isinstance(line, Started):
            differences = machine_differences(run.machine, line.machine)
            differences += version_differences(
                {"commit": run.machine.commit}, {"commit": line.machine.commit}
            )
            self._refuse("measured", differences)
        self._write(line)
        run.take(line)

    def _refuse(self, was: str, differences: list[str]) -> None:
        if differences:
            raise ResumeError(
                f"{self.path} was {was} elsewhere: {'; '.join(differences)}"
            )

    def _write(self, line: Line) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        with open(os.open(self.path, flags), "ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")

    def discard(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        folder = self.path.parent
        self.path.unlink(missing_ok=True)
        if self._made_folder and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def _run_of_lines(content: bytes) -> Run:
    """The run of a journal's lines. Raises a ValueError if they are not of one run."""
    try:
        lines = [
            msgspec.json.decode(line, type=Line)  # pyright: ignore[reportArgumentType]
            for line in content.splitlines()
        ]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not lines or not isinstance(lines[0], Begun):
        raise ValueError("it has no beginning")
    run = Run.begin(lines[0])
    for line in lines[1:]:
        run.take(line)
    run.check()
    return run


def _whole_lines(path: Path) -> bytes:
    content = read_whole(path, MOST_BYTES)
    return content[: content.rfind(b"\n") + 1]
