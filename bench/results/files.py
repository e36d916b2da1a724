"""Results files: pytest-benchmark's JSON, which `pytest-benchmark compare` and github-action-benchmark read, too.

The records of the run stand under `trigru` and, for each arm, under `extra_info.trigru`. The rest is for other readers.
"""

import platform
import re
import sys
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from ...common.errors import TrigruError
from ...common.files import read_whole, write_whole
from ...common.port.programs import Count
from .lines import MOST_BYTES, record_of, refusing, with_checksum
from .record import Results
from .run import GroupTimed, Run, Timed

SCHEMA = 9
#: Name of the file in the folder of a run.
FILE = "results.json"
#: The file of cold starts in a folder, and the command that writes it.
STARTS, STARTS_COMMAND = "cold_start.json", "trigru compare --cold-start"


class ResultsFileError(TrigruError, ValueError):
    """A results file is truncated, malformed, of another schema, or lacks a fact."""


class Stored(Run):
    """The records of a run as they stand in a file."""

    schema: int  # the version of this format


class _ExtraInfo(Struct, frozen=True):
    trigru: dict[Count, Timed]


class _Benchmark(Struct, frozen=True):
    """The samples of an arm by process. What pytest-benchmark's format has beside these is for other readers."""

    group: str
    fullname: str
    extra_info: _ExtraInfo


class _File(Struct, frozen=True):
    benchmarks: list[_Benchmark]
    trigru: Stored


class OtherFileError(ResultsFileError):
    """A file is another command's, and has no run."""

    def __init__(self, path: Path, command: str):
        super().__init__(f"{path} is a file of `{command}`, which has no run. `trigru report` shows it.")
        self.path, self.command = path, command


def save(results: Results, path: Path) -> None:
    """Write a run that ended, with the arms that have a number and the reasons of the others, whole or not at all."""
    from pytest_benchmark.stats import Stats

    run, machine = results.trigru, results.trigru.machine
    benchmarks = []
    for b in results.benchmarks:
        stats = Stats()
        for sample_s in b.time_s.tolist():
            stats.update(sample_s)
        names = {"group": b.group, "name": b.name, "fullname": b.arm.id, "params": None, "param": None}
        options = {"disable_gc": True, "timer": "perf_counter_ns"}
        facts = {"extra_info": {"trigru": b.timed}, "stats": stats.as_dict() | {"iterations": b.facts.calls}}
        benchmarks.append(names | facts | {"options": options})
    system, commit = platform.uname(), machine.commit.removesuffix("-dirty")
    # trigru's own; pytest-benchmark itself would take that of the working folder
    commit_info = {"id": commit or "unversioned", "time": None, "author_time": None, "project": "trigru"}
    of_run = {name: getattr(run, name) for name in ("begun", "started", "interruptions", "ended")}
    file = {
        "machine_info": {
            "machine": system.machine,
            "processor": machine.device,
            "system": system.system,
            "release": system.release,
            "python_implementation": platform.python_implementation(),
            "python_version": machine.versions.get("python", "?"),
            "cpu": {"brand_raw": machine.device if machine.backend == "cpu" else "?", "count": machine.threads},
        },
        "commit_info": commit_info | {"dirty": commit != machine.commit, "branch": "(unknown)"},
        "benchmarks": benchmarks,
        "datetime": results.datetime,
        "version": machine.versions.get("pytest-benchmark", "?"),
        "trigru": {"schema": SCHEMA, "untimed": results.untimed} | of_run,
    }
    write_whole(path, with_checksum(file))


def read(path: Path) -> Run:
    """The records in a results file, given its path or that of the folder that a run wrote into.

    Raises a ResultsFileError; an OtherFileError if the file is of a command that measures no run.
    """
    if path.is_dir():
        path /= next((name for name in (FILE, STARTS) if (path / name).exists()), FILE)
    with refusing(path, ResultsFileError, "Pass a results.json that trigru wrote, or measure again."):
        content = read_whole(path, MOST_BYTES)
        if b'"starts"' in content and b'"benchmarks"' not in content:
            raise OtherFileError(path, STARTS_COMMAND)
        file = record_of(content, _File, SCHEMA)
        run = file.trigru
        if run.ended is None:
            raise ValueError("it has not ended")
        group_of = {arm.id: arm.group for arm in run.begun.arms}
        parts: dict[tuple[int, str], list[Timed]] = {}
        for b in file.benchmarks:
            for process, timed in b.extra_info.trigru.items():
                if timed.arm != b.fullname or timed.arm not in group_of:
                    raise ValueError(f"{b.fullname} has samples of {timed.arm}, or is no arm of the run")
                if b.group != group_of[timed.arm]:
                    raise ValueError(f"{b.fullname} is in the group {b.group}")
                parts.setdefault((process, b.group), []).append(timed)
        in_order = sorted(parts.items(), key=lambda part: part[0][0])
        run.groups_timed = [GroupTimed(group, process, timed) for (process, group), timed in in_order]
        run.check()
        return run


def command_line() -> list[str]:
    """The command of this process, without the folder of the results."""
    output = re.compile("-o|--output(=|$)")
    words = [word for before, word in pairwise(sys.argv) if before not in ("-o", "--output") and not output.match(word)]
    return [Path(sys.argv[0]).name, *words]
