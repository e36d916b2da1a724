"""The results file: pytest-benchmark's JSON, with trigru's facts under `extra_info.trigru`.

`pytest-benchmark compare results.json` and github-action-benchmark read it. Times are seconds; the raw samples, one
for each round, are kept in `stats.data`. Everything that is printed, plotted or reported comes from this file.
"""

import platform
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ...common.equality.verification import Measurement
from ...common.errors import TrigruError
from ...common.files import write_whole
from ...common.port.programs import Build, ProgramFacts
from ...impls.upstream import Finding
from ..arms.plan import Plan
from ..arms.work import Work
from ..timing.machine import Machine, cpu_name, versions_of
from ..timing.messages import Untimed
from ..timing.roofline import Ceilings

__all__ = [
    "FILE",
    "SCHEMA",
    "Benchmark",
    "Facts",
    "Provenance",
    "Results",
    "ResultsFileError",
    "assemble",
    "equality_json",
    "load",
    "save",
    "stats_of",
]

SCHEMA = 2
#: Name of the file in the folder of a run.
FILE = "results.json"


class ResultsFileError(TrigruError, ValueError):
    """A results file that is truncated, malformed, of another schema, or lacks a fact."""


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What trigru knows of a benchmark beside its times.

    Args:
        shape: sizes of the workload, for people.
        steps: time steps that count in a call.
        is_baseline: whether ratios of the group are relative to this one.
        copy: 2 for the duplicate of the baseline (A/A).
        differs: how its equations differ from the oracle's, so that it was not held to it; None where they do not.
        gate: largest error of the first results, as a share of what the equality gate allows; None where not held.
        process: the process of each round, from 0.
        position: the arm's place within each round.
        started_s: when each sample began, seconds since the epoch.
        calls: calls in a sample, for each process.
        pipelined_s: seconds per call where none is waited for before the next, from rounds of their own; none where
            a single call fills a sample.
        warm_up_calls: before the clock counted, for each process.
        steady: whether the warm-up ended in a steady state, for each process.
        leaves: arrays that cross the jit boundary inwards for model and optimiser.
        build: how long tracing, lowering and compiling took, where that is known.
        program: what XLA made of it, where XLA ran it.
        flops, moved_bytes: the least work of a call; see `trigru.bench.arms.work`.
        ratio, ratio_low, ratio_high: time / baseline time, paired within rounds, with its 95 % interval.
        floor: the group's noise floor, as a fraction.
        verdict: "faster", "slower" or "indistinguishable", than the baseline.
    """

    id: str
    workload: str
    shape: str
    steps: int
    phase: str
    port: str
    style: str
    kernel: str
    dtype: str
    copy: int
    slowed: float
    is_baseline: bool
    differs: str | None
    gate: float | None
    process: list[int]
    position: list[int]
    started_s: list[float]
    calls: list[int]
    pipelined_s: list[float]
    warm_up_calls: list[int]
    steady: list[bool]
    leaves: int
    build: Build | None
    program: ProgramFacts | None
    flops: float
    moved_bytes: float
    ratio: float
    ratio_low: float
    ratio_high: float
    floor: float
    verdict: str

    @property
    def division(self) -> str:
        """What the arm may be compared within, by kernel: "stock", or the kernel set against the stock ones."""
        return self.id.split("/")[3]

    @property
    def work(self) -> Work:
        """The least work of a call."""
        return Work(self.flops, self.moved_bytes)


class ExtraInfo(Struct, frozen=True):
    """pytest-benchmark's place for facts of others."""

    trigru: Facts


class Benchmark(Struct, frozen=True):
    """One arm, in pytest-benchmark's terms."""

    group: str
    name: str
    fullname: str
    params: dict[str, Any] | None
    param: str | None
    extra_info: ExtraInfo
    options: dict[str, Any]
    stats: dict[str, Any]

    @property
    def facts(self) -> Facts:
        """Trigru's facts of the arm."""
        return self.extra_info.trigru

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.asarray(self.stats["data"])


class Provenance(Struct, frozen=True, forbid_unknown_fields=True):
    """What the numbers depend on. A file that lacks one of these does not load.

    Args:
        plan: what was asked for, with the seed.
        ceilings: the machine's limits in each process, by dtype.
        interruptions: how often the run was stopped and resumed.
        complete: whether all that was asked for was measured.
    """

    schema: int
    command: list[str]
    plan: Plan
    seed: int
    machine: Machine
    ceilings: list[dict[str, Ceilings]]
    matmul_precision: str
    load_before: float | None
    load_after: float | None
    interruptions: int
    complete: bool

    def best_ceilings(self, dtype: str) -> Ceilings:
        """The best rates that any process saw."""
        seen = [by_dtype[dtype] for by_dtype in self.ceilings]
        return Ceilings(max(c.gemm_gflop_per_s for c in seen), max(c.copy_gbyte_per_s for c in seen))


class _Head(Struct):
    schema: int
    plan: dict[str, Any] = {}


class _WithHead(Struct):
    trigru: _Head


class Results(Struct, frozen=True):
    """A results file."""

    machine_info: dict[str, Any]
    commit_info: dict[str, Any]
    benchmarks: list[Benchmark]
    datetime: str
    version: str
    trigru: Provenance
    untimed: list[Untimed]

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the file."""
        groups: dict[str, list[Benchmark]] = {}
        for benchmark in self.benchmarks:
            groups.setdefault(benchmark.group, []).append(benchmark)
        return groups


def save(results: Results, path: Path) -> None:
    """Write a results file, whole or not at all."""
    write_whole(path, msgspec.json.encode(results))


def load(path: Path) -> Results:
    """Read a results file.

    Args:
        path: of the file, or of the folder that a run was told to write into.

    Raises:
        ResultsFileError: it cannot be read, isn't one of trigru's, or lacks something.
    """
    if path.is_dir():
        path = path / FILE
    try:
        content = path.read_bytes()
        head = msgspec.json.decode(content, type=_WithHead).trigru
        if head.schema != SCHEMA:
            raise ResultsFileError(f"{path}: schema {head.schema}, expected {SCHEMA}. Measure again.")
        results = msgspec.json.decode(content, type=Results)
    except OSError as error:
        raise ResultsFileError(f"{path}: {error.strerror}. Pass a results.json that trigru wrote.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsFileError(
            f"{path}: not a results file of trigru: {error}. Pass a results.json that trigru wrote, or measure again."
        ) from error
    if lacking := [name for name in Plan.__struct_fields__ if name not in head.plan]:  # its defaults are no facts
        raise ResultsFileError(f"{path}: the plan lacks {', '.join(lacking)}. Measure again.")
    for benchmark in results.benchmarks:
        data = benchmark.stats.get("data")
        if not (isinstance(data, list) and data and all(type(t) in (int, float) and 0 < t < np.inf for t in data)):
            raise ResultsFileError(f"{path}: {benchmark.facts.id} has no positive finite samples in stats.data.")
        facts = benchmark.facts
        if facts.id != f"{benchmark.group}/{benchmark.name}" or benchmark.group.count("/") != 3:
            raise ResultsFileError(f"{path}: {facts.id} is not the id of {benchmark.name} in {benchmark.group}.")
        if not all(0 < ratio < np.inf for ratio in (facts.ratio_low, facts.ratio, facts.ratio_high)) or facts.floor < 0:
            raise ResultsFileError(f"{path}: {facts.id} has a ratio or a noise floor that no measurement gives.")
    for group, benchmarks in results.groups().items():
        if sum(b.facts.is_baseline for b in benchmarks) != 1:
            raise ResultsFileError(f"{path}: group {group} has no baseline, or several. Measure again.")
        if any(len(b.time_s) != len(benchmarks[0].time_s) for b in benchmarks):
            raise ResultsFileError(f"{path}: group {group} has arms with unequal numbers of rounds. Measure again.")
        if any(len(b.facts.process) != len(b.time_s) for b in benchmarks):
            raise ResultsFileError(f"{path}: group {group} does not say which process a sample is of. Measure again.")
    return results


def stats_of(time_s: Iterable[float], calls: int) -> dict[str, Any]:
    """pytest-benchmark's statistics of samples, by pytest-benchmark itself."""
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for sample_s in time_s:
        stats.update(float(sample_s))
    return stats.as_dict() | {"data": stats.data, "iterations": calls}


def assemble(benchmarks: list[Benchmark], untimed: list[Untimed], facts: Provenance) -> Results:
    """A results file of what was measured."""
    return Results(
        machine_info={
            "machine": platform.machine(),
            "processor": facts.machine.device,
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": facts.machine.versions["python"],
            "cpu": {"brand_raw": cpu_name(), "count": facts.machine.threads},
        },
        commit_info=_commit_info(facts.machine.commit),
        benchmarks=benchmarks,
        datetime=datetime.now(UTC).isoformat(),
        version=facts.machine.versions["pytest-benchmark"],
        trigru=facts,
        untimed=untimed,
    )


def command_line() -> list[str]:
    """How this process was called, without where the results went."""
    words = [Path(sys.argv[0]).name]
    for before, word in pairwise(sys.argv):
        if before not in ("-o", "--output") and not re.match("-o|--output(=|$)", word):
            words.append(word)
    return words


def _commit_info(commit: str) -> dict[str, Any]:
    """Trigru's own, as pytest-benchmark has it; pytest-benchmark's is that of the folder in which one works."""
    return {
        "id": commit.removesuffix("-dirty") or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": commit.endswith("-dirty"),
        "project": "trigru",
        "branch": "(unknown)",
    }


def equality_json(
    measurements: Iterable[Measurement],
    unavailable: dict[str, str],
    packages: Iterable[str],
    departures: Iterable[Finding] | None = None,
) -> str:
    """What `trigru verify` measured, for machines; the schema is in docs/equality.md."""
    found = [msgspec.to_builtins(m) | {"offered": m.offered, "passed": m.passed} for m in measurements]
    passed = bool(found) and all(m["passed"] for m in found)
    content: dict[str, Any] = {
        "schema": 1,
        "passed": passed,
        "versions": versions_of(packages),
        "unavailable": unavailable,
    }
    if departures is not None:
        content["departures"] = [msgspec.to_builtins(finding) for finding in departures]
    return msgspec.json.encode(content | {"measurements": found}).decode()
