"""Results files: pytest-benchmark's JSON, which `pytest-benchmark compare` and github-action-benchmark read, too."""

import platform
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from .arm import Untimed
from .contradictions import check_run
from .lines import MOST_BYTES, decode
from .record import SCHEMA, Benchmark, Provenance, Results

#: Name of the file in the folder of a run.
FILE = "results.json"
#: The file of cold starts in a folder, what it has and no run has, and the command that writes it.
STARTS, _STARTS_KEY, _STARTS_COMMAND = "cold_start.json", "starts", "trigru compare --cold-start"


class ResultsFileError(TrigruError, ValueError):
    """A results file is truncated, malformed, of another schema, or lacks a fact."""


class _Writer(Struct, frozen=True):
    versions: dict[str, str] = {}
    commit: str = ""


class _Schema(Struct):
    schema: int | float
    machine: _Writer = _Writer()


class _Header(Struct):
    """What says which trigru reads a file, in every schema."""

    trigru: _Schema


class OtherFileError(ResultsFileError):
    """A file is another command's, and has no run.

    Args:
        path: of the file.
        command: that wrote it.
    """

    def __init__(self, path: Path, command: str):
        super().__init__(f"{path} is a file of `{command}`, which has no run. `trigru report` shows it.")
        self.path, self.command = path, command


def save(results: Results, path: Path) -> None:
    """Write a results file, whole or not at all."""
    write_whole(path, msgspec.json.encode(results))


def load(path: Path) -> Results:
    """Read a results file, given its path or that of the folder that a run wrote into.

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
        results = msgspec.convert(content, type=Results)
        check_run(results)
    except OSError as error:
        raise ResultsFileError(f"{path}: {error.strerror}. Pass a results.json that trigru wrote.") from error
    except ResultsFileError:
        raise
    except (ValueError, RecursionError) as error:  # also what msgspec, and the checks of the records, say
        raise ResultsFileError(
            f"{path}: not a results file of trigru: {brief(error)}. Pass one that trigru wrote, or measure again."
        ) from error
    return results


def _check_schema(path: Path, content: Any) -> None:
    """Raise a ResultsFileError that names the trigru to use, if a file says that it has another schema."""
    try:
        facts = msgspec.convert(content, _Header).trigru
    except msgspec.ValidationError:
        return  # the reader of the whole file says what is wrong
    if facts.schema != SCHEMA:
        version, commit = facts.machine.versions.get("trigru", "?"), facts.machine.commit
        writer = f"{version} (commit {commit})" if commit else version
        raise ResultsFileError(
            f"{path}: schema {facts.schema}, expected {SCHEMA}: read it with trigru {writer}, which wrote it."
        )


def _in_folder(folder: Path) -> Path:
    """The run in a folder, or what else trigru wrote there."""
    names = [name for name in (FILE, STARTS) if (folder / name).exists()]
    return folder / (names[0] if names else FILE)


def stats_of(time_s: Iterable[float], calls: int) -> dict[str, Any]:
    """The statistics of samples, as pytest-benchmark computes them."""
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for sample_s in time_s:
        stats.update(float(sample_s))
    return stats.as_dict() | {"data": stats.data, "iterations": calls}


def assemble(cpu: str, benchmarks: list[Benchmark], untimed: list[Untimed], facts: Provenance) -> Results:
    """A run's results, with the other fields of pytest-benchmark's files."""
    machine = facts.machine
    return Results(
        machine_info={
            "machine": platform.machine(),
            "processor": machine.device,
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": machine.versions.get("python", "?"),
            "cpu": {"brand_raw": cpu, "count": machine.threads},
        },
        commit_info=_commit_info(machine.commit),
        benchmarks=benchmarks,
        datetime=datetime.now(UTC).isoformat(),
        version=machine.versions.get("pytest-benchmark", "?"),
        trigru=facts,
        untimed=untimed,
    )


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
