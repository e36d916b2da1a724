"""The record of a run: what was asked for, what was proven, what was measured, and the verdicts.

It is data without behaviour, but what contradicts itself cannot be made, nor read from a file: the types bound every
number, and what has to fit together is compared. `trigru.bench.results.files` stores it as pytest-benchmark's JSON,
with trigru's facts under `extra_info.trigru`. Times are in seconds.
"""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import Kernel
from ...common.port.programs import Build, ProgramFacts
from . import contradictions
from .grouping import grouped
from .ranges import Count, Dtype, Label, Natural, NotNegative, Phase, Positive, Seconds, Size, Verdict

SCHEMA = 4
Role = Literal["baseline", "duplicate", "arm", "calibration"]


class Sized(Struct, frozen=True, forbid_unknown_fields=True):
    """A workload by name, and those of its sizes that were changed.

    Args:
        name: a row of `trigru.bench.arms.workloads.WORKLOADS`.
        sizes: "batch", "time", "inputs" or "hidden".

    >>> str(Sized("question", {"hidden": 64}))
    'question@hidden=64'
    """

    name: str
    sizes: dict[Size, Natural] = {}

    def __str__(self) -> str:
        """The text that users write."""
        return self.name + "".join(f"@{size}={value}" for size, value in self.sizes.items())


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """What is timed: a port in a call style, on a phase of a workload.

    Args:
        workload, phase, dtype: the work. Arms are compared where they have these and the division in common.
        division: "stock", or the name of the kernel that the group compares with each framework's own cell.
        port: its name, or a peer's.
        style: the call style; None where the port is not available, so that its styles are not known.
        kernel: the arm's own, with its choices.
        role: ratios are relative to the "baseline". Its "duplicate", the same code compiled again, shows the noise
            floor. An "arm" gets a verdict, and so does an arm of a "calibration", whose true difference is known.
        copy: 1; 2 for the duplicate; more for further copies of the baseline in a calibration.
        slowed: the share by which a calibration makes the arm take longer.
        trial: in a calibration, the number of the group, from 1; else 0.
        labels: what the call style is, whatever its port calls it: of `trigru.common.port.protocol.LABELS`.
    """

    workload: Sized
    phase: Phase
    dtype: Dtype
    division: str
    port: str
    style: str | None
    kernel: Kernel
    role: Role
    copy: Natural
    slowed: NotNegative
    trial: Count
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        contradictions.check_arm(self)

    @property
    def group(self) -> str:
        """The group of arms that this arm may be compared with: the same work, in the same division."""
        trial = f"~{self.trial}" if self.trial else ""
        return f"{self.workload}{trial}/{self.phase}/{self.dtype}/{self.division}"

    @property
    def name(self) -> str:
        """Short, and unique within the group: "linen[apply]", "pure[jit]#2" or "pure[jit]:fused@save=none"."""
        kernel = "" if self.kernel.is_stock else f":{self.kernel}"
        copy = f"#{self.copy}" if self.copy > 1 else ""
        return f"{self.port}[{self.style or '?'}]{kernel}{copy}" + (f"+{self.slowed:.0%}" if self.slowed else "")

    @property
    def id(self) -> str:
        """Stable and unique. Results of different runs are matched by it."""
        return f"{self.group}/{self.name}"

    @property
    def is_baseline(self) -> bool:
        """Whether ratios of the group are relative to this arm."""
        return self.role == "baseline"


class Untimed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """An arm without a number.

    Args:
        reason: why, in words.
    """

    arm: Arm
    reason: str


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked for.

    Args:
        workloads, phases, ports, peers, kernels: by name; each arm is one of each.
        styles: call styles; None for all.
        processes: fresh interpreters, each of which measures everything.
        rounds: for each group in each process, fewer if they would take too long; None for as many as fit a time.
        sample_time_s: least duration of a sample of fewer than twenty calls.
        limit_s: a measuring process that says nothing for longer is ended, and the arm under way has no number.
        seed: of the orders and the bootstrap.
        trials: above 0, calibrate instead, with this many groups of copies and slowed copies of the baseline.
        compile_anew: every process compiles; else the later ones take the programs of the first or the second one.
    """

    workloads: Annotated[tuple[Sized, ...], Meta(min_length=1)]
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    ports: tuple[str, ...]
    peers: tuple[str, ...]
    styles: tuple[str, ...] | None
    kernels: Annotated[tuple[Kernel, ...], Meta(min_length=1)]
    processes: Annotated[int, Meta(ge=1, le=1000)]
    rounds: Natural | None
    sample_time_s: Seconds
    limit_s: NotNegative
    seed: Count
    trials: Count
    compile_anew: bool = True  # in files that do not say

    def __post_init__(self) -> None:
        contradictions.check_plan(self)

    @property
    def swept(self) -> str | None:
        """The one size in which the workloads differ; None where they differ in another way."""
        first = self.workloads[0]
        if any((w.name, w.sizes.keys()) != (first.name, first.sizes.keys()) for w in self.workloads):
            return None
        varied = [size for size in first.sizes if len({w.sizes[size] for w in self.workloads}) > 1]
        return varied[0] if len(varied) == 1 else None


class Ceilings(Struct, frozen=True, forbid_unknown_fields=True):
    """The best rates measured on a device.

    Args:
        gemm_gflop_per_s: of a large square matrix product, in the dtype and matmul precision of the arms.
        copy_gbyte_per_s: bytes read plus bytes written, when an array far larger than the caches is updated in place.
    """

    gemm_gflop_per_s: Positive
    copy_gbyte_per_s: Positive


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """The machine and the software of a process.

    Args:
        versions: of Python and of the distributions that matter; on a GPU also those of CUDA and cuDNN.
        device, backend: as JAX calls them; for a CPU, its model.
        threads: how many CPUs the process may use, which is the number of XLA's threads.
        xla_flags: the environment's XLA_FLAGS, without paths.
        environment: other variables that change what is measured.
        commit: of trigru's own checkout, with "-dirty" if it was changed; "" if there is no checkout.
    """

    versions: dict[str, str]
    device: str
    backend: str
    threads: Natural
    xla_flags: str
    environment: dict[str, str]
    commit: str


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What trigru knows about an arm, except its times.

    Args:
        shape: sizes of the workload, as text.
        steps: time steps of a call, without padding.
        device, backend: where the arm ran.
        differs: how its equations differ from the oracle's; None where they do not. If they do, it was not compared.
        gate: largest error of the first results, as a share of what its admission allows; None if not compared.
        process: the process of each round, from 0.
        position: the arm's place within each round.
        started_s: when each sample began, seconds since the epoch.
        calls: calls in a sample, for each process.
        pipelined_s: seconds per call where no call is waited for before the next, from separate rounds; empty where a
            single call fills a sample.
        warm_up_calls: calls before timing, for each process.
        steady: whether the warm-up ended in a steady state, for each process.
        leaves: arrays that cross the jit boundary inwards for model and optimiser.
        build: how long tracing, lowering and compiling took; None where it is not known.
        program: the program that XLA made; None where XLA did not run it.
        flops, moved_bytes: the least work of a call; see `trigru.bench.arms.work`.
        ratio, ratio_low, ratio_high: time / baseline time, paired within rounds, with its 95 % interval.
        floor: the group's noise floor, as a fraction.
        verdict: "faster", "slower" or "indistinguishable", than the baseline.
    """

    arm: Arm
    shape: str
    steps: Natural
    device: str
    backend: str
    differs: str | None
    gate: NotNegative | None
    process: list[Count]
    position: list[Count]
    started_s: list[NotNegative]
    calls: list[Natural]
    pipelined_s: list[Seconds]
    warm_up_calls: list[Count]
    steady: list[bool]
    leaves: Count
    build: Build | None
    program: ProgramFacts | None
    flops: NotNegative
    moved_bytes: NotNegative
    ratio: Positive
    ratio_low: Positive
    ratio_high: Positive
    floor: NotNegative
    verdict: Verdict

    def __post_init__(self) -> None:
        contradictions.check_facts(self)


class ExtraInfo(Struct, frozen=True):
    """pytest-benchmark's place for facts of other tools."""

    trigru: Facts


class Benchmark(Struct, frozen=True):
    """One arm, in pytest-benchmark's terms.

    Args:
        group, name, fullname: the arm's group, its name within the group, and both together.
        params, param, options: of no meaning here.
        extra_info: what pytest-benchmark does not know.
        stats: statistics of the samples, with the samples themselves as "data": seconds per call, one for each round.
    """

    group: str
    name: str
    fullname: str
    params: dict[str, Any] | None
    param: str | None
    extra_info: ExtraInfo
    options: dict[str, Any]
    stats: dict[str, Any]

    def __post_init__(self) -> None:
        contradictions.check_benchmark(self)

    @property
    def facts(self) -> Facts:
        """Trigru's facts about the arm."""
        return self.extra_info.trigru

    @property
    def arm(self) -> Arm:
        """Which arm it is."""
        return self.facts.arm

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.asarray(self.stats["data"])


class Provenance(Struct, frozen=True, forbid_unknown_fields=True):
    """What the numbers depend on. A file that lacks one of these does not load.

    Args:
        schema: the version of this format.
        command: the words of the command, without the folder of the results.
        plan: what was asked for.
        equality: every measurement of equality with the oracle that was made before timing. None where there is none;
            then only each arm's admission is known.
        ceilings: the machine's limits in each process, by dtype.
        matmul_precision: JAX's setting of that name.
        load_before, load_after: runnable processes on the machine before and after the run; None where not known.
        interruptions: how often the run was stopped and resumed.
        complete: whether everything that was asked for was measured.
    """

    schema: int
    command: list[str]
    plan: Plan
    equality: list[Measurement] | None
    machine: Machine
    ceilings: list[dict[Dtype, Ceilings]]
    matmul_precision: str
    load_before: NotNegative | None
    load_after: NotNegative | None
    interruptions: Count
    complete: bool


class Results(Struct, frozen=True):
    """A run: what a file holds.

    Args:
        machine_info, commit_info, version: what pytest-benchmark's own files say of the machine, of the commit and of
            pytest-benchmark.
        benchmarks: the arms with a number.
        datetime: when the run ended.
        trigru: what the numbers depend on.
        untimed: the arms without a number.
    """

    machine_info: dict[str, Any]
    commit_info: dict[str, Any]
    benchmarks: list[Benchmark]
    datetime: str
    version: str
    trigru: Provenance
    untimed: list[Untimed]

    def __post_init__(self) -> None:
        contradictions.check_results(self)

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the file."""
        return grouped(self.benchmarks, lambda b: b.group)
