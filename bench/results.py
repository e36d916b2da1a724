"""The results file: pytest-benchmark's JSON, with trigru's facts under `extra_info.trigru`.

`pytest-benchmark compare results.json` and github-action-benchmark read it. Times are seconds; the raw samples, one
for each round, are kept in `stats.data`. Everything that is printed, plotted or reported comes from this file.
"""

import os
import platform
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ..common.equivalence import Measurement
from ..common.errors import TrigruError
from ..common.files import write_whole
from ..impls.upstream import Finding

__all__ = [
    "SCHEMA",
    "Benchmark",
    "Facts",
    "Provenance",
    "Results",
    "ResultsFileError",
    "Untimed",
    "load",
    "provenance",
    "save",
    "stats_of",
]

SCHEMA = 1
PACKAGES = ("trigru", "jax", "jaxlib", "flax", "equinox", "optax", "numpy", "scipy", "pytest-benchmark")


#: Environment variables that change what is measured.
_MATTERS = re.compile(r"^(JAX|XLA|TF|CUDA|NVIDIA|OPENBLAS|OMP|MKL)_|_NUM_THREADS$")


class ResultsFileError(TrigruError, ValueError):
    """A results file that is truncated, malformed, of another schema, or lacks a fact."""


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What trigru knows of a benchmark beside its times.

    Args:
        shape: sizes of the workload, for people.
        steps: time steps that count in a call.
        is_baseline: whether ratios of the group are relative to this one.
        copy: 2 for the duplicate of the baseline (A/A).
        calls: calls in each sample.
        position: the arm's place within each round.
        leaves, dots, transposes: see `trigru.bench.programs`.
        gate: largest error of the first results, as a share of what the equality gate allows.
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
    is_baseline: bool
    calls: int
    position: list[int]
    leaves: int
    dots: int
    transposes: int
    gate: float
    ratio: float
    ratio_low: float
    ratio_high: float
    floor: float
    verdict: str


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


class Untimed(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm without a number, and why."""

    id: str
    group: str
    name: str
    reason: str


class Provenance(Struct, frozen=True, forbid_unknown_fields=True):
    """What the numbers depend on. A file that lacks one of these does not load."""

    schema: int
    command: list[str]
    versions: dict[str, str]
    device: str
    backend: str
    cores: int
    environment: dict[str, str]
    matmul_precision: str
    load_before: float | None
    load_after: float | None
    seed: int
    complete: bool


class _Schema(Struct):
    schema: int


class _WithSchema(Struct):
    trigru: _Schema


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
    write_whole(path, msgspec.json.format(msgspec.json.encode(results), indent=1))


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsFileError: it cannot be read, isn't one of trigru's, or lacks something.
    """
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_WithSchema).trigru.schema
        if schema != SCHEMA:
            raise ResultsFileError(f"{path}: schema {schema}, expected {SCHEMA}. Measure again.")
        results = msgspec.json.decode(content, type=Results)
    except OSError as error:
        raise ResultsFileError(f"{path}: {error.strerror}. Pass a results.json that trigru wrote.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsFileError(
            f"{path}: not a results file of trigru: {error}. Pass a results.json that trigru wrote, or measure again."
        ) from error
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
    return results


def stats_of(time_s: Iterable[float], calls: int) -> dict[str, Any]:
    """pytest-benchmark's statistics of samples, by pytest-benchmark itself."""
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for sample_s in time_s:
        stats.update(float(sample_s))
    return stats.as_dict() | {"data": stats.data, "iterations": calls}


def provenance(
    seed: int, matmul_precision: str, load_before: float | None, *, complete: bool, packages: Iterable[str] = ()
) -> Provenance:
    """What the numbers of this process depend on."""
    import jax

    device = jax.devices()[0]
    return Provenance(
        schema=SCHEMA,
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        versions=_versions(packages),
        device=_cpu_name() if device.platform == "cpu" else device.device_kind,
        backend=device.platform,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        environment={name: value for name, value in sorted(os.environ.items()) if _MATTERS.search(name)},
        matmul_precision=matmul_precision,
        load_before=load_before,
        load_after=load_average(),
        seed=seed,
        complete=complete,
    )


def assemble(benchmarks: list[Benchmark], untimed: list[Untimed], facts: Provenance) -> Results:
    """A results file of what was measured."""
    from pytest_benchmark.utils import get_commit_info

    return Results(
        machine_info={
            "machine": platform.machine(),
            "processor": facts.device,
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "cpu": {"brand_raw": _cpu_name(), "count": os.cpu_count()},
        },
        commit_info=get_commit_info(),
        benchmarks=benchmarks,
        datetime=datetime.now(UTC).isoformat(),
        version=facts.versions["pytest-benchmark"],
        trigru=facts,
        untimed=untimed,
    )


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
        "versions": _versions(packages),
        "unavailable": unavailable,
    }
    if departures is not None:
        content["departures"] = [msgspec.to_builtins(finding) for finding in departures]
    return msgspec.json.encode(content | {"measurements": found}).decode()


def load_average() -> float | None:
    """Runnable processes over the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _versions(packages: Iterable[str] = ()) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*PACKAGES, *packages)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
