"""Results files: pytest-benchmark's JSON, which `pytest-benchmark compare` and github-action-benchmark read, too.

The records of the run stand under `trigru` and, for each arm, under `extra_info.trigru`. The rest is for other readers.
"""

import platform
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from .arm import Untimed
from .lines import MOST_BYTES, decode
from .ranges import Count
from .run import Begun, Ended, GroupTimed, Line, Resumed, Run, Started, Timed

SCHEMA = 8
#: Name of the file in the folder of a run.
FILE = "results.json"
#: The file of cold starts in a folder, what it has and no run has, and the command that writes it.
STARTS, _STARTS_KEY, _STARTS_COMMAND = "cold_start.json", "starts", "trigru compare --cold-start"


class ResultsFileError(TrigruError, ValueError):
    """A results file is truncated, malformed, of another schema, or lacks a fact."""


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The records of a run that are of no arm alone.

    Args:
        schema: the version of this format.
        begun: how the run began.
        started: one for each process that was started.
        untimed: the arms without a number.
        interruptions: how often the run was stopped and resumed.
        ended: how it ended.
    """

    schema: int
    begun: Begun
    started: list[Started]
    untimed: list[Untimed]
    interruptions: Annotated[int, Meta(ge=0, le=1000)]
    ended: Ended


class ExtraInfo(Struct, frozen=True):
    """pytest-benchmark's place for facts of other tools.

    Args:
        trigru: the samples of the arm, by process.
    """

    trigru: dict[Count, Timed]


class Benchmark(Struct, frozen=True):
    """One arm, in pytest-benchmark's terms.

    Args:
        group, name, fullname: the arm's group, its name within the group, and both together.
        params, param, options: of no meaning here.
        extra_info: what trigru reads.
        stats: statistics of the samples for other readers.
    """

    group: str
    name: str
    fullname: str
    params: dict[str, Any] | None
    param: str | None
    extra_info: ExtraInfo
    options: dict[str, Any]
    stats: dict[str, Any]


class File(Struct, frozen=True):
    """What a results file holds.

    Args:
        machine_info, commit_info, datetime, version: what pytest-benchmark's own files say.
        benchmarks: the arms with a number.
        trigru: the other records of the run.
    """

    machine_info: dict[str, Any]
    commit_info: dict[str, Any]
    benchmarks: list[Benchmark]
    datetime: str
    version: str
    trigru: Header


class OtherFileError(ResultsFileError):
    """A file is another command's, and has no run.

    Args:
        path: of the file.
        command: that wrote it.
    """

    def __init__(self, path: Path, command: str):
        super().__init__(f"{path} is a file of `{command}`, which has no run. `trigru report` shows it.")
        self.path, self.command = path, command


def save(run: Run, untimed: list[Untimed], path: Path) -> None:
    """Write a run that ended, whole or not at all.

    Args:
        untimed: the arms without a number, with reasons; the others have samples in every process.
    """
    if run.ended is None or run.machine is None:
        raise ValueError("only a run that ended has a results file")
    without, machine = {u.arm.id for u in untimed}, run.machine
    samples: dict[str, dict[int, Timed]] = {}
    for line in run.groups_timed:
        for timed in line.timed:
            samples.setdefault(timed.arm, {})[line.process] = timed
    benchmarks = [
        Benchmark(
            arm.group, arm.name, arm.id, None, None, ExtraInfo(samples[arm.id]),
            {"disable_gc": True, "timer": "perf_counter_ns"}, _stats_of(samples[arm.id].values()),
        )
        for arm in run.begun.arms
        if arm.id in samples and arm.id not in without
    ]  # fmt: skip
    machine_info = {
        "machine": platform.machine(),
        "processor": machine.device,
        "system": platform.system(),
        "release": platform.release(),
        "python_implementation": platform.python_implementation(),
        "python_version": machine.versions.get("python", "?"),
        "cpu": {"brand_raw": machine.device if machine.backend == "cpu" else "?", "count": machine.threads},
    }
    header = Header(SCHEMA, run.begun, run.started, untimed, run.interruptions, run.ended)
    version = machine.versions.get("pytest-benchmark", "?")
    file = File(machine_info, _commit_info(machine.commit), benchmarks, run.ended.datetime, version, header)
    write_whole(path, msgspec.json.encode(file))


def read(path: Path) -> Run:
    """The records in a results file, given its path or that of the folder that a run wrote into.

    Raises:
        ResultsFileError: it cannot be read, was not written by trigru, or lacks something; an OtherFileError if it is
            of a command that measures no run.
    """
    if path.is_dir():
        path = _in_folder(path)
    try:
        content = decode(read_whole(path, MOST_BYTES))
        if isinstance(content, dict) and "benchmarks" not in content and _STARTS_KEY in content:
            raise OtherFileError(path, _STARTS_COMMAND)
        _check_schema(path, content)
        return Run(_lines_of(msgspec.convert(content, type=File, str_keys=True)))
    except OSError as error:
        raise ResultsFileError(f"{path}: {error.strerror}. Pass a results.json that trigru wrote.") from error
    except ResultsFileError:
        raise
    except ValueError as error:  # also what msgspec, and the checks of the records, say
        raise ResultsFileError(
            f"{path}: not a results file of trigru: {brief(error)}. Pass one that trigru wrote, or measure again."
        ) from error


def _lines_of(file: File) -> list[Line]:
    """The records of a file, as they would stand in a journal."""
    header = file.trigru
    arms = {arm.id: arm for arm in header.begun.arms}
    parts: dict[tuple[str, int], list[Timed]] = {}
    for benchmark in file.benchmarks:
        for process, timed in benchmark.extra_info.trigru.items():
            if timed.arm != benchmark.fullname or timed.arm not in arms:
                raise ValueError(f"{benchmark.fullname} has samples of {timed.arm}, or is no arm of the run")
            parts.setdefault((arms[timed.arm].group, process), []).append(timed)
    groups = [GroupTimed(group, process, timed) for (group, process), timed in sorted(parts.items(), key=_process_of)]
    return [
        header.begun, *header.started, *header.untimed, *groups, *[Resumed()] * header.interruptions, header.ended,
    ]  # fmt: skip


def _process_of(part: tuple[tuple[str, int], Any]) -> int:
    return part[0][1]


def _check_schema(path: Path, content: Any) -> None:
    """Raise a ResultsFileError if a file says that it has another schema."""
    facts = content.get("trigru") if isinstance(content, dict) else None
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        raise ResultsFileError(
            f"{path}: schema {schema}, expected {SCHEMA}: read it with the trigru that wrote it, or measure again."
        )


def _in_folder(folder: Path) -> Path:
    """The run in a folder, or what else trigru wrote there."""
    names = [name for name in (FILE, STARTS) if (folder / name).exists()]
    return folder / (names[0] if names else FILE)


def _stats_of(samples: Iterable[Timed]) -> dict[str, Any]:
    """Statistics of an arm's samples, as pytest-benchmark computes them."""
    from pytest_benchmark.stats import Stats

    stats, samples = Stats(), list(samples)
    for sample_s in (sample_s for timed in samples for sample_s in timed.time_s):
        stats.update(sample_s)
    return stats.as_dict() | {"iterations": samples[0].calls}


def command_line() -> list[str]:
    """The command of this process, without the folder of the results."""
    words = [Path(sys.argv[0]).name]
    for before, word in pairwise(sys.argv):
        if before not in ("-o", "--output") and not re.match("-o|--output(=|$)", word):
            words.append(word)
    return words


def _commit_info(commit: str) -> dict[str, Any]:
    """Trigru's commit, in pytest-benchmark's form. pytest-benchmark itself would take that of the working folder."""
    return {
        "id": commit.removesuffix("-dirty") or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": commit.endswith("-dirty"),
        "project": "trigru",
        "branch": "(unknown)",
    }
