"""Records of runs whose numbers are known: the one builder of results for all tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from trigru.bench.analysis.benchmarks import Benchmark, Results
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.statistics import (
    compare,
    noise_floor,
    typical_time,
    verdict,
)
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
    """A workload by its text, as "question@hidden=512"."""
    name, *texts = text.split("@")
    sizes = {}
    for size in texts:
        letter, _, value = size.partition("=")
        sizes[letter] = int(value)
    return Sized(name, sizes)


def plan(**changes: Any) -> Plan:
    """A plan of tiny's forward pass in pure and linen, with changes; workloads as in
    ids of arms.
    """
    if "workloads" in changes:
        changes["workloads"] = tuple(map(sized, changes["workloads"]))
    return msgspec.structs.replace(PLAN, **changes)


def make_arm(
    name: str, workload: str = "tiny", phase: str = "forward", division: str = "stock"
) -> Arm:
    """An arm by its name, as in "linen[apply]", "pure[jit]#2" or "nnx[leaves]:fused".

    The style "?" is that of a port that is not to be had.
    """
    port, _, rest = name.partition("[")
    style, _, rest = rest.partition("]")
    rest, _, copy = rest.partition("#")
    kernel = rest.removeprefix(":")
    role = "arm"
    if copy == "2":
        role = "duplicate"
    elif (port, style) == ("pure", "jit") and not kernel and not copy:
        role = "baseline"
    labels = ()
    if port in PORTS:
        labels = labels_of(get_port(port), phase).get(style, ())
    return Arm(
        workload=sized(workload),
        phase=phase,
        dtype="float32",
        division=division,
        port=port,
        style=None if style == "?" else style,
        kernel=kernel or "stock",
        role=role,
        copy=int(copy or 1),
        labels=labels,
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
    """An arm with its times, whose facts are those of a small run unless said
    otherwise.
    """
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
        baseline_s=typical_time(np.asarray(time_s, float), process) / ratio,
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
    planned = _planned(facts.pop("plan", PLAN), benchmarks)
    run = Run.begin(Begun(planned, [], [], None, None, ["trigru", "bench"], 0.0))
    numbers = {number for b in benchmarks for number in b.processes}
    run.started = [Started(MACHINE)] * (max(numbers, default=0) + 1)
    run.ended = Ended(ENDED, 0.0)
    return with_provenance(Results(run, benchmarks, []), **facts)


def _planned(plan: Plan, benchmarks: list[Benchmark]) -> Plan:
    """A plan that also asks for these arms."""
    rounds = {b.process.count(n) for b in benchmarks for n in b.processes}
    changes: dict[str, Any] = {"rounds": max(rounds, default=None)}
    if benchmarks:
        changes["processes"] = max(max(b.processes) for b in benchmarks) + 1
    for name in ("workload", "phase", "port", "kernel"):
        values = list(getattr(plan, f"{name}s"))
        values += [getattr(b.arm, name) for b in benchmarks]
        # workloads are told apart by their text
        by_text = {str(value): value for value in values}
        changes[f"{name}s"] = tuple(by_text.values())
    return msgspec.structs.replace(plan, **changes)


def run_of(results: Results) -> Run:
    """The records that a run's processes would have written.

    Ratios, floors and verdicts are not among them.
    """
    run = results.trigru
    arms = [b.arm for b in results.benchmarks]
    arms += [untimed.arm for untimed in results.untimed]
    in_groups = []
    for group in grouped(arms, lambda arm: arm.group).values():
        in_groups += group
    samples = []
    facts = []
    for b in results.benchmarks:
        samples += b.samples
        facts += b.facts_by_process.values()
    backend = run.machine.backend if run.begun.equality else None
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
#: Their times in seconds, where linen, and all in functional style, are as fast as
#: plain JAX.
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
        changed: by how much an arm (its name, or its port's) takes longer, as a factor;
            "all" is every arm.
        arms: their times, relative to the baseline's.
        noise: of each sample, in log time.
        luck: of each arm in each process, in log time.
        mood: of the machine, for all arms, in log time.
    """
    rng = np.random.default_rng(seed)
    changed = changed or {}
    level = rng.uniform(-mood, mood)
    shape = (processes, rounds)
    process = np.repeat(np.arange(processes), rounds)
    benchmarks = []
    for number, group in enumerate(groups):
        workload, phase = group.split("/")
        waves = np.sin(rng.uniform(0, 6) + np.linspace(0, 4, processes * rounds))
        drift = level + mood / 4 * waves.reshape(shape)
        time_s = {}
        for name, ratio in arms.items():
            port = name.partition("[")[0]
            factor = changed.get(name, changed.get(port, 1.0)) * changed.get("all", 1.0)
            chance = rng.normal(0, luck, (processes, 1)) + rng.normal(0, noise, shape)
            median_s = 10.0 ** (number - 5) * ratio * factor
            time_s[name] = (median_s * np.exp(drift + chance)).ravel()
        base_s = time_s["pure[jit]"]
        floor = noise_floor(compare(time_s["pure[jit]#2"], base_s, process))
        for name, arm_s in time_s.items():
            medians = np.median(np.log(arm_s / base_s).reshape(shape), axis=1)
            ratio = float(np.exp(np.mean(medians)))
            benchmark = make_benchmark(
                make_arm(name, workload, phase),
                arm_s,
                process,
                ratio=ratio,
                floor=floor,
                verdict=verdict(TimeComparison(ratio, ratio, ratio), floor),
            )
            benchmarks.append(benchmark)
    planned = plan(ports=("pure",), processes=processes, rounds=rounds)
    return make_results(benchmarks, plan=planned)


#: The speedup of the fused kernel, by workload, port and phase, in the runs of
#: `draw_kernels`.
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
    """Two ports in the fused division; and linen, half as fast as pure, in the stock
    one.
    """
    process = np.repeat(np.arange(5), 6)
    benchmarks: list[Benchmark] = []

    def add(arm: Arm, time_s: Any, **facts: Any) -> None:
        noisy_s = time_s * rng.lognormal(0, 1e-3, len(process))
        benchmarks.append(make_benchmark(arm, noisy_s, process, **facts))

    stock = {"pure[jit]": 1.0, "pure[jit]#2": 1.0, "linen[apply]": 2.0}
    for name, ratio in stock.items():
        add(make_arm(name), ratio * 1e-3, ratio=ratio)

    slow = replace(PROGRAM, temp_bytes=4096)
    fast = replace(PROGRAM, temp_bytes=1024)
    for workload, phase in dict.fromkeys((w, phase) for w, _, phase in KERNEL_TRUTH):
        # the machine drifts, for all arms alike
        own_s = 1e-3 * rng.lognormal(0, 0.3, len(process))
        place = (workload, phase, "fused")
        add(make_arm("pure[jit]", *place), own_s, program=slow)
        add(make_arm("pure[jit]#2", *place), own_s, program=slow)
        for name, factor in (("pure[jit]", 1), ("nnx[nnx.jit]", 7)):
            port = name.partition("[")[0]
            truth = KERNEL_TRUTH.get((workload, port, phase))
            if truth is None:
                continue
            if port != "pure":
                add(make_arm(name, *place), factor * own_s, program=slow)
            fused_s = factor * own_s / truth
            add(make_arm(f"{name}:fused", *place), fused_s, program=fast)
    return make_results(benchmarks, plan=plan(ports=("pure", "nnx")))


def with_benchmarks(results: Results, benchmarks: list[Benchmark]) -> Results:
    return msgspec.structs.replace(results, benchmarks=benchmarks)


def with_facts(item: Any, **facts: Any) -> Any:
    """A benchmark, or all of a run's, with other facts.

    They are of the arm, of its ratio, or of what each process says of it.
    """
    if isinstance(item, Results):
        return with_benchmarks(item, [with_facts(b, **facts) for b in item.benchmarks])
    of_arm = {}
    of_process = {}
    of_ratio = {}
    for name, value in facts.items():
        if name in ArmFacts.__struct_fields__:
            of_process[name] = value
        elif name in TimeComparison.__struct_fields__:
            of_ratio[name] = value
        else:
            of_arm[name] = value
    facts_by_process = {}
    for process, facts_there in item.facts_by_process.items():
        facts_by_process[process] = msgspec.structs.replace(facts_there, **of_process)
    comparison = msgspec.structs.replace(item.comparison, **of_ratio)
    return msgspec.structs.replace(
        item, facts_by_process=facts_by_process, comparison=comparison, **of_arm
    )


def with_provenance(
    results: Results, *, complete: bool = True, **facts: Any
) -> Results:
    """A run with other facts of its machine, its beginning or its end.

    One that is not complete has planned a process more.
    """
    run = run_of(results)
    if not complete:
        more = run.plan.processes + 1
        facts["plan"] = msgspec.structs.replace(run.plan, processes=more)
    machine = facts.pop("machine", run.machine)
    datetime = facts.pop("datetime", results.datetime)
    started = []
    for process in run.started:
        started.append(msgspec.structs.replace(process, machine=machine))
    changed = msgspec.structs.replace(
        run,
        begun=msgspec.structs.replace(run.begun, **facts),
        ended=msgspec.structs.replace(run.ended, datetime=datetime),
        started=started,
    )
    return msgspec.structs.replace(results, trigru=changed)


def with_machine(results: Results, **facts: Any) -> Results:
    if "device" in facts:
        results = with_facts(results, device=facts["device"])
    machine = msgspec.structs.replace(results.trigru.machine, **facts)
    return with_provenance(results, machine=machine)
