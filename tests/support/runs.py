"""Records of runs whose numbers are known: the one builder of results for all tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from trigru.bench.analysis.statistics import (
    TimeComparison,
    compare,
    noise_floor,
    verdict,
)
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results import files
from trigru.bench.results.arm import Arm, Plan, Sized
from trigru.bench.results.build import Build
from trigru.bench.results.grouping import grouped
from trigru.bench.results.machine import Ceilings, Machine
from trigru.bench.results.run import (
    SCHEMA,
    Begun,
    Benchmark,
    Ended,
    GroupTimed,
    Results,
    Run,
    Started,
    Timed,
)
from trigru.common.equality.measurement import Measurement
from trigru.common.port.hlo import ProgramFacts
from trigru.common.port.styles import labels_of
from trigru.impls import get_port

PLAN = Plan(
    workloads=(Sized("tiny"),),
    phases=("forward",),
    ports=("pure", "linen"),
    peers=(),
    styles=None,
    kernels=("stock",),
    processes=2,
    rounds=6,
    sample_time_s=1e-6,
)
VERSIONS = {
    "python": "3.13.5",
    "jax": "0.12.0",
    "flax": "0.12.12",
    "equinox": "0.13.8",
    "pytest-benchmark": "5.2.3",
}
MACHINE = Machine(VERSIONS, "A CPU", "cpu", 16, "", {"OMP_NUM_THREADS": "8"}, "abc")
PORTS = ("pure", "linen", "nnx", "equinox")
EQUAL = Measurement("linen", "sequence", None, "carry", "float64", 2e-16, 1e-12)
#: A proof of each port of the runs that are drawn.
PROOF = [
    replace(EQUAL, port=port, check=check)
    for port in (*PORTS, "torch")
    for check in ("sequence", "step", "training")
]
ENDED = "2026-11-04T10:00:00+00:00"
BUILD = Build(trace_s=0.1, lower_s=0.02, compile_s=0.3, first_call_s=0.5)
PROGRAM = ProgramFacts("0123456789ab", 2, 5, 1, 3, 1024)


def sized(text: str) -> Sized:
    name, *sizes = text.split("@")
    return Sized(
        name, {size: int(value) for size, value in (of.split("=") for of in sizes)}
    )


def plan(**changes: Any) -> Plan:
    """A plan of tiny's forward pass in pure and linen, with changes; workloads as in ids of arms."""
    if "workloads" in changes:
        changes["workloads"] = tuple(map(sized, changes["workloads"]))
    return msgspec.structs.replace(PLAN, **changes)


def make_arm(
    name: str, workload: str = "tiny", phase: str = "forward", division: str = "stock"
) -> Arm:
    """An arm by its name, as in "linen[apply]", "pure[jit]#2" or "nnx[leaves]:fused"."""
    port, _, rest = name.partition("[")
    style, _, rest = rest.partition("]")
    rest, _, copy = rest.partition("#")
    kernel = rest.removeprefix(":") or "stock"
    is_own = (port, style) == ("pure", "jit") and kernel == "stock"
    role = "baseline" if is_own and not copy else "duplicate" if copy == "2" else "arm"
    style = None if style == "?" else style  # of a port that is not to be had
    labels = (
        labels_of(get_port(port), phase).get(style, ())
        if port in PORTS
        else ("documented",) * (style == "eager")
    )
    return Arm(
        sized(workload),
        phase,
        "float32",
        division,
        port,
        style,
        kernel,
        role,
        int(copy or 1),
        labels,
    )


def make_benchmark(
    arm: Arm, time_s: Any, process: Any = None, **facts: Any
) -> Benchmark:
    """An arm with its times, whose facts are those of a small run unless said otherwise."""
    process = [0] * len(time_s) if process is None else list(map(int, process))
    other_s, others = facts.pop("other_s", []), facts.pop("other_process", [])
    steady = facts.pop("steady", [True] * len({*process}))
    default: dict[str, Any] = {
        "arm": arm.id,
        "device": MACHINE.device,
        "backend": MACHINE.backend,
    }
    default |= {"gate": 0.1, "leaves": 9, "build": BUILD, "program": PROGRAM}
    default |= {"calls": 1, "clock": "blocked"}
    default |= {name: facts.pop(name) for name in [*facts] if name in default}
    timed = {}
    for number, is_steady in zip(dict.fromkeys(process), steady, strict=True):
        here = [float(s) for s, p in zip(time_s, process, strict=True) if p == number]
        own = (
            {"build": None, "program": None} if timed else {}
        )  # which the first process alone reads
        there = [s for s, p in zip(other_s, others, strict=True) if p == number]
        clock = default["clock"]
        times_s = {clock: here} | (
            {({"blocked", "pipelined"} - {clock}).pop(): there} if there else {}
        )
        timed[number] = Timed(**default | own, steady=is_steady, times_s=times_s)
    ratio, shape = facts.get("ratio", 1.0), get_workload(arm.workload).shape
    of_arm: dict[str, Any] = {
        "shape": shape,
        "steps": 8,
        "flops": 1e6,
        "moved_bytes": 1e6,
        "floor": 0.02,
    }
    of_arm |= {
        "ratio": ratio,
        "low": ratio,
        "high": ratio,
        "verdict": "indistinguishable",
    }
    return Benchmark(arm=arm, timed=timed, **of_arm | facts)


def make_results(
    benchmarks: list[Benchmark], ceilings: Any = None, **facts: Any
) -> Results:
    """A complete run of these arms, in as many processes as they have; its plan asks for them, too."""
    processes = max((p + 1 for b in benchmarks for p in b.timed), default=1)
    planned, arms = facts.pop("plan", PLAN), [b.arm for b in benchmarks]
    rounds = {len(timed.time_s) for b in benchmarks for timed in b.timed.values()}
    more: dict[str, Any] = {"processes": processes} if arms else {}
    for name in ("workload", "phase", "port", "kernel"):
        own = [
            getattr(arm, name)
            for arm in arms
            if name != "port" or arm.port not in planned.peers
        ]
        more[f"{name}s"] = tuple(
            {
                str(value): value for value in (*getattr(planned, f"{name}s"), *own)
            }.values()
        )
    planned = msgspec.structs.replace(planned, rounds=max(rounds, default=None), **more)
    run = Run(
        begun=Begun(planned, [], [], None, None, ["trigru", "bench"], 0.0),
        started=[
            Started(MACHINE, of)
            for of in ceilings or [{"float32": Ceilings(100.0, 40.0)}] * processes
        ],
        untimed=[],
        groups_timed=[],
        interruptions=0,
        ended=Ended(ENDED, 0.0),
        schema=SCHEMA,
    )
    return with_provenance(Results(run, benchmarks, []), **facts)


def run_of(results: Results) -> Run:
    """The records that a run's processes would have written. Ratios, floors and verdicts are not among them."""
    run, arms = (
        results.trigru,
        [b.arm for b in results.benchmarks] + [u.arm for u in results.untimed],
    )
    arms = [
        arm for group in grouped(arms, lambda arm: arm.group).values() for arm in group
    ]
    parts: dict[tuple[int, str], list[Timed]] = {}
    for b in results.benchmarks:
        for process, timed in b.timed.items():
            parts.setdefault((process, b.group), []).append(timed)
    groups = sorted(parts.items(), key=lambda part: part[0][0])
    backend = run.begun.equality and run.machine.backend
    return msgspec.structs.replace(
        run,
        begun=msgspec.structs.replace(run.begun, arms=arms, backend=backend),
        untimed=results.untimed,
        groups_timed=[
            GroupTimed(group, process, timed) for (process, group), timed in groups
        ],
    )


def save(results: Results, path: Path) -> None:
    files.save(msgspec.structs.replace(results, trigru=run_of(results)), path)


ARMS = {  # times / pure[jit]'s
    "pure[jit]": 1.0,
    "pure[jit]#2": 1.0,
    "linen[apply]": 1.5,
    "nnx[nnx.jit]": 24.0,
    "nnx[cached_partial]": 7.9,
    "nnx[split-merge]": 1.3,
    "nnx[leaves]": 0.95,
    "equinox[filter_jit]": 3.0,
    "equinox[partition]": 1.25,
    "torch[compile]": 4.0,
}
#: Their times in seconds, where linen, and all in functional style, are as fast as plain JAX.
FAST = {
    "pure[jit]": 1e-4,
    "pure[jit]#2": 1e-4,
    "linen[apply]": 1e-4,
    "nnx[nnx.jit]": 3.5e-4,
    "nnx[split-merge]": 1e-4,
    "equinox[filter_jit]": 1.4e-4,
    "equinox[partition]": 1e-4,
}
GROUPS = ("tiny/forward", "tiny/train_step", "question@hidden=512/train_step")
#: What makes a run a small one.
SMALL: dict[str, Any] = {"groups": GROUPS[:1], "processes": 3, "rounds": 5}


def draw_run(
    seed: int,
    changed: dict[str, float] | None = None,
    *,
    arms: dict[str, float] = ARMS,
    groups: tuple[str, ...] = GROUPS,
    processes: int = 5,
    rounds: int = 11,
    noise: float = 0.02,
    luck: float = 0.01,
    mood: float = 0.2,
) -> Results:
    """A run that is drawn, not measured.

    Args:
        seed: of its draws.
        changed: by how much an arm (its name, or its port's) takes longer, as a factor; "all" is every arm.
        arms: their times, relative to the baseline's.
        noise: of each sample, luck: of each arm in each process, mood: of the machine, for all arms; in log time.
    """
    rng, changed = np.random.default_rng(seed), changed or {}
    level, shape = rng.uniform(-mood, mood), (processes, rounds)
    process = np.repeat(np.arange(processes), rounds)
    benchmarks = []
    for number, group in enumerate(groups):
        workload, phase = group.split("/")
        drift = level + mood / 4 * np.sin(
            rng.uniform(0, 6) + np.linspace(0, 4, processes * rounds)
        ).reshape(shape)
        time_s = {}
        for name, ratio in arms.items():
            factor = changed.get(
                name, changed.get(name.partition("[")[0], 1.0)
            ) * changed.get("all", 1.0)
            own = rng.normal(0, luck, (processes, 1)) + rng.normal(0, noise, shape)
            time_s[name] = (
                10.0 ** (number - 5) * ratio * factor * np.exp(drift + own)
            ).ravel()
        base_s = time_s["pure[jit]"]
        floor = noise_floor(compare(time_s["pure[jit]#2"], base_s, process))
        for name, t in time_s.items():
            medians = np.median(np.log(t / base_s).reshape(shape), axis=1)
            ratio = float(np.exp(np.mean(medians)))
            facts = {"ratio": ratio, "low": ratio, "high": ratio, "floor": floor}
            facts["verdict"] = verdict(TimeComparison(ratio, ratio, ratio), floor)
            benchmarks.append(
                make_benchmark(make_arm(name, workload, phase), t, process, **facts)
            )
    return make_results(
        benchmarks, plan=plan(ports=("pure",), processes=processes, rounds=rounds)
    )


#: The speedup of the fused kernel, by workload, port and phase, in the runs of `draw_kernels`.
KERNEL_TRUTH = {
    ("tiny", "pure", "forward"): 1.005,
    ("question", "pure", "forward"): 1.5,
    ("medium", "pure", "forward"): 0.8,
    ("tiny", "nnx", "forward"): 1.0,
    ("question", "nnx", "forward"): 2.0,
    ("medium", "nnx", "forward"): 4.0,
    ("question", "pure", "train_step"): 3.0,
}


def draw_kernels(rng: np.random.Generator) -> Results:
    """Two ports and two peers in the fused division, and linen, half as fast as pure, in the stock division."""
    process = np.repeat(np.arange(5), 6)
    benchmarks: list[Benchmark] = []

    def add(
        name: str,
        time_s: Any,
        workload: str,
        phase: str,
        division: str = "fused",
        **facts: Any,
    ) -> None:
        noisy_s = time_s * rng.lognormal(0, 1e-3, len(process))
        benchmarks.append(
            make_benchmark(
                make_arm(name, workload, phase, division), noisy_s, process, **facts
            )
        )

    for name, ratio in (
        ("pure[jit]", 1.0),
        ("pure[jit]#2", 1.0),
        ("linen[apply]", 2.0),
    ):
        add(name, ratio * 1e-3, "tiny", "forward", "stock", ratio=ratio)
    slow, fast = (replace(PROGRAM, temp_bytes=size) for size in (4096, 1024))
    for workload, phase in dict.fromkeys(
        (workload, phase) for workload, _, phase in KERNEL_TRUTH
    ):
        own_s = 1e-3 * rng.lognormal(
            0, 0.3, len(process)
        )  # the machine drifts, for all arms alike
        add("pure[jit]", own_s, workload, phase, program=slow)
        add("pure[jit]#2", own_s, workload, phase, program=slow)
        for port, style, factor in (("pure", "jit", 1), ("nnx", "nnx.jit", 7)):
            if truth := KERNEL_TRUTH.get((workload, port, phase)):
                if port != "pure":
                    add(
                        f"{port}[{style}]",
                        factor * own_s,
                        workload,
                        phase,
                        program=slow,
                    )
                add(
                    f"{port}[{style}]:fused",
                    factor * own_s / truth,
                    workload,
                    phase,
                    program=fast,
                )
        add("torch[eager]", 5 * own_s, workload, phase)
        add("haiku[transform]", 1.2 * own_s, workload, phase)
    return make_results(
        benchmarks, plan=plan(ports=("pure", "nnx"), peers=("torch", "haiku"))
    )


def with_benchmarks(results: Results, benchmarks: list[Benchmark]) -> Results:
    return msgspec.structs.replace(results, benchmarks=benchmarks)


def with_facts(found: Any, **facts: Any) -> Any:
    """A benchmark, or all of a run's, with other facts: of the arm, or what each process says."""
    if isinstance(found, Results):
        return with_benchmarks(
            found, [with_facts(b, **facts) for b in found.benchmarks]
        )
    said = {
        name: facts.pop(name) for name in [*facts] if name in Timed.__struct_fields__
    }
    timed = {
        process: msgspec.structs.replace(timed, **said)
        for process, timed in found.timed.items()
    }
    return msgspec.structs.replace(found, **{"timed": timed} | facts)


def with_provenance(
    results: Results, *, complete: bool = True, **facts: Any
) -> Results:
    """A run with other facts of its machine, its beginning or its end, or one that is not complete."""
    run = run_of(results)
    if not complete:  # as if a process more had been planned
        facts["plan"] = msgspec.structs.replace(
            run.plan, processes=run.plan.processes + 1
        )
    machine, ended = (
        facts.pop("machine", run.machine),
        {"datetime": facts.pop("datetime", results.datetime)},
    )
    changed = msgspec.structs.replace(
        run,
        begun=msgspec.structs.replace(run.begun, **facts),
        ended=msgspec.structs.replace(run.ended, **ended),
        started=[
            msgspec.structs.replace(started, machine=machine) for started in run.started
        ],
    )
    return msgspec.structs.replace(results, trigru=changed)


def with_machine(results: Results, **facts: Any) -> Results:
    results = (
        with_facts(results, device=facts["device"]) if "device" in facts else results
    )
    return with_provenance(
        results, machine=msgspec.structs.replace(results.trigru.machine, **facts)
    )
