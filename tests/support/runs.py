"""Records of runs whose numbers are known: the one builder of results for all tests."""

from typing import Any

import msgspec
import numpy as np
from trigru.bench.arms.workloads import get_workload, parse_workload
from trigru.bench.results.files import SCHEMA, stats_of
from trigru.bench.results.record import (
    Arm,
    Benchmark,
    Ceilings,
    ExtraInfo,
    Facts,
    Machine,
    Plan,
    Provenance,
    Results,
)
from trigru.common.gru.kernels import parse_kernel
from trigru.common.port.programs import Build, ProgramFacts

PLAN = Plan(
    workloads=(parse_workload("tiny"),),
    phases=("forward",),
    ports=("pure", "linen"),
    peers=(),
    styles=None,
    kernels=(parse_kernel("stock"),),
    swept=None,
    processes=2,
    rounds=6,
    sample_time_s=1e-4,
    limit_s=60.0,
    seed=3,
    trials=0,
)
VERSIONS = {"python": "3.13.5", "jax": "0.12.0", "pytest-benchmark": "5.2.3"}
MACHINE = Machine(VERSIONS, "A CPU", "cpu", 16, "", {"OMP_NUM_THREADS": "8"}, "abc")
BUILD = Build(trace_s=0.1, lower_s=0.02, compile_s=0.3, first_call_s=0.5)
PROGRAM = ProgramFacts("0123456789ab", 2, 5, 1, 3, 1024, 1e6, 2e6)


def plan(**changes: Any) -> Plan:
    """A plan of tiny's forward pass in pure and linen, with changes; workloads and kernels as users write them."""
    for field, read in (("workloads", parse_workload), ("kernels", parse_kernel)):
        if field in changes:
            changes[field] = tuple(read(name) for name in changes[field])
    return msgspec.structs.replace(PLAN, **changes)


def make_arm(name: str, workload: str = "tiny", phase: str = "forward", division: str = "stock", trial: int = 0) -> Arm:
    """An arm by its name, as in "linen[apply]", "pure[jit]#2", "pure[jit]+5%" or "nnx[leaves]:fused@save=none"."""
    port, _, rest = name.partition("[")
    style, _, rest = rest.partition("]")
    rest, _, slowed = rest.partition("+")
    rest, _, copy = rest.partition("#")
    kernel = parse_kernel(rest.removeprefix(":") or "stock")
    is_own = (port, style) == ("pure", "jit") and kernel.is_stock
    role = "baseline" if is_own and not copy and not slowed else "duplicate" if copy == "2" else "arm"
    role = "calibration" if trial and role == "arm" else role
    share = float(slowed.rstrip("%") or 0) / 100
    sized = parse_workload(workload)
    style = None if style == "?" else style  # of a port that is not to be had
    return Arm(sized, phase, "float32", division, port, style, kernel, role, int(copy or 1), share, trial)


def make_benchmark(arm: Arm, time_s: Any, process: Any = None, **facts: Any) -> Benchmark:
    """An arm with its times, whose facts are those of a small run unless said otherwise."""
    time_s = np.asarray(time_s, float)
    process = [0] * len(time_s) if process is None else list(map(int, process))
    default: dict[str, Any] = {
        "arm": arm,
        "shape": get_workload(arm.workload).shape,
        "steps": 8,
        "device": MACHINE.device,
        "backend": MACHINE.backend,
        "differs": None,
        "gate": 0.1,
        "process": process,
        "position": [0] * len(process),
        "started_s": [0.0] * len(process),
        "calls": [10] * len(set(process)),
        "pipelined_s": [],
        "warm_up_calls": [10] * len(set(process)),
        "steady": [True] * len(set(process)),
        "leaves": 9,
        "build": BUILD,
        "program": PROGRAM,
        "flops": 1e6,
        "moved_bytes": 1e6,
        "ratio": 1.0,
        "ratio_low": 1.0,
        "ratio_high": 1.0,
        "floor": 0.02,
        "verdict": "indistinguishable",
    }
    info = ExtraInfo(Facts(**default | facts))
    return Benchmark(arm.group, arm.name, arm.id, None, None, info, {}, stats_of(time_s, 10))


def make_results(benchmarks: list[Benchmark], **provenance: Any) -> Results:
    """A complete run of these arms."""
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "command": ["trigru", "bench"],
        "plan": PLAN,
        "equality": None,
        "machine": MACHINE,
        "ceilings": [{"float32": Ceilings(100.0, 40.0)}],
        "matmul_precision": "highest",
        "load_before": 0.0,
        "load_after": 0.0,
        "interruptions": 0,
        "complete": True,
    }
    return Results({}, {}, benchmarks, "2026-11-04T10:00:00+00:00", "5", Provenance(**facts | provenance), [])


def with_facts(found: Any, **facts: Any) -> Any:
    """A benchmark, or all of a run's, with other facts."""
    if isinstance(found, Results):
        return msgspec.structs.replace(found, benchmarks=[with_facts(b, **facts) for b in found.benchmarks])
    return msgspec.structs.replace(found, extra_info=ExtraInfo(msgspec.structs.replace(found.facts, **facts)))


def with_provenance(results: Results, **facts: Any) -> Results:
    """A run with another provenance."""
    return msgspec.structs.replace(results, trigru=msgspec.structs.replace(results.trigru, **facts))


def with_machine(results: Results, **facts: Any) -> Results:
    """A run of another machine."""
    return with_provenance(results, machine=msgspec.structs.replace(results.trigru.machine, **facts))
