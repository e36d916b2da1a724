"""Records of runs whose numbers are known: the one builder of results for all tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from trigru.bench.analysis.benchmarks import Benchmark, Results
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.statistics import compare, noise_floor, verdict
from trigru.bench.results import files
from trigru.bench.results.arm import Arm, Plan, Sized
from trigru.bench.results.build import Build
from trigru.bench.results.grouping import grouped
from trigru.bench.results.machine import Machine
from trigru.bench.results.run import (
    ArmFacts,
    Begun,
    Ended,
    Run,
    Sample,
    Started,
)
from trigru.common.equality.measurement import Measurement
from trigru.common.port.hlo import ProgramFacts
from trigru.common.port.styles import labels_of
from trigru.impls import get_port

PLAN = Plan(
    workloads=(Sized("tiny"),),
    phases=("forward",),
    ports=("pure", "linen"),
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
    for port in PORTS
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
    labels = labels_of(get_port(port), phase).get(style, ()) if port in PORTS else ()
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
    arm: Arm,
    time_s: Any,
    process: Any = None,
    *,
    other_s: Any = (),
    other_process: Any = (),
    clock: Any = "blocked",
    ratio: float = 1.0,
    low: float | None = None,
    high: float | None = None,
    floor: float = 0.02,
    verdict: Any = "indistinguishable",
    **facts: Any,
) -> Benchmark:
    """An arm with its times, whose facts are those of a small run unless said otherwise."""
    process = [0] * len(time_s) if process is None else list(map(int, process))
    other_clock = "pipelined" if clock == "blocked" else "blocked"
    samples = _samples(arm, clock, time_s, process)
    samples += _samples(arm, other_clock, other_s, list(other_process))
    return Benchmark(
        arm=arm,
        clock=clock,
        samples=sorted(samples),
        facts_by_process=_facts_by_process(arm, sorted(set(process)), facts),
        comparison=TimeComparison(
            ratio, ratio if low is None else low, ratio if high is None else high
        ),
        floor=floor,
        verdict=verdict,
    )


def _samples(arm: Arm, clock: Any, time_s: Any, process: list[int]) -> list[Sample]:
    rounds: dict[int, int] = {}
    samples = []
    for number, seconds in zip(process, time_s, strict=True):
        turn = rounds.get(number, 0)
        rounds[number] = turn + 1
        samples.append(Sample(arm.id, number, turn, clock, float(seconds)))
    return samples


def _facts_by_process(
    arm: Arm, processes: list[int], changes: dict[str, Any]
) -> dict[int, ArmFacts]:
    steady = changes.pop("steady", [True] * len(processes))
    usual: dict[str, Any] = {
        "arm": arm.id,
        "calls": 1,
        "device": MACHINE.device,
        "backend": MACHINE.backend,
        "gate": 0.1,
        "leaves": 9,
        "build": BUILD,
        "program": PROGRAM,
    }
    facts = {}
    for process, is_steady in zip(processes, steady, strict=True):
        known = usual | changes | {"process": process, "steady": is_steady}
        if facts:  # only the first process reads these
            known |= {"build": None, "program": None}
        facts[process] = ArmFacts(**known)
    return facts


def make_results(benchmarks: list[Benchmark], **facts: Any) -> Results:
    """A complete run of these arms, in as many processes as they have.

    Its plan asks for them, too.
    """
    numbers = [number for b in benchmarks for number in b.processes]
    processes = max(numbers, default=0) + 1
    planned = facts.pop("plan", PLAN)
    arms = [b.arm for b in benchmarks]
    more: dict[str, Any] = {"processes": processes} if arms else {}
    for name in ("workload", "phase", "port", "kernel"):
        values = [*getattr(planned, f"{name}s"), *(getattr(arm, name) for arm in arms)]
        more[f"{name}s"] = tuple({str(value): value for value in values}.values())
    rounds = {b.process.count(number) for b in benchmarks for number in b.processes}
    planned = msgspec.structs.replace(planned, rounds=max(rounds, default=None), **more)
    run = Run.begin(Begun(planned, [], [], None, None, ["trigru", "bench"], 0.0))
    run.started = [Started(MACHINE)] * processes
    run.ended = Ended(ENDED, 0.0)
    return with_provenance(Results(run, benchmarks, []), **facts)


def run_of(results: Results) -> Run:
    """The records that a run's processes would have written.

    Ratios, floors and verdicts are not among them.
    """
    run = results.trigru
    arms = [b.arm for b in results.benchmarks] + [u.arm for u in results.untimed]
    in_groups = [
        arm for group in grouped(arms, lambda a: a.group).values() for arm in group
    ]
    samples, facts = [], []
    for b in results.benchmarks:
        samples += b.samples
        facts += b.facts_by_process.values()
    backend = run.begun.equality and run.machine.backend
    return msgspec.structs.replace(
        run,
        begun=msgspec.structs.replace(run.begun, arms=in_groups, backend=backend),
        untimed=results.untimed,
        samples=samples,
        facts=facts,
    )


def save(results: Results, path: Path) -> None:
    files.save(run_of(results), [b.arm for b in results.benchmarks], path)


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
    """Two ports in the fused division, and linen, half as fast as pure, in the stock division."""
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
    return make_results(benchmarks, plan=plan(ports=("pure", "nnx")))


def with_benchmarks(results: Results, benchmarks: list[Benchmark]) -> Results:
    return msgspec.structs.replace(results, benchmarks=benchmarks)


def with_facts(found: Any, **facts: Any) -> Any:
    """A benchmark, or all of a run's, with other facts: of the arm, or what each process says."""
    if isinstance(found, Results):
        return with_benchmarks(
            found, [with_facts(b, **facts) for b in found.benchmarks]
        )
    of_process = {
        name: facts.pop(name)
        for name in list(facts)
        if name in ArmFacts.__struct_fields__
    }
    of_ratio = {
        name: facts.pop(name)
        for name in list(facts)
        if name in ("ratio", "low", "high")
    }
    changed = {
        process: msgspec.structs.replace(known, **of_process)
        for process, known in found.facts_by_process.items()
    }
    comparison = msgspec.structs.replace(found.comparison, **of_ratio)
    return msgspec.structs.replace(
        found, facts_by_process=changed, comparison=comparison, **facts
    )


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
