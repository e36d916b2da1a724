"""The record of a run: what was asked for, what was proven, what was measured, and the verdicts.

It is data without behaviour, but what contradicts itself cannot be made, nor read from a file: the types bound every
number, and what has to fit together is compared. `trigru.bench.results.files` stores it as pytest-benchmark's JSON,
with trigru's facts under `extra_info.trigru`. Times are in seconds.
"""

from typing import Any

import numpy as np
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.port.programs import Build, ProgramFacts
from . import contradictions
from .arm import Arm, Plan, Untimed
from .grouping import grouped
from .ranges import Admitted, Clock, Count, Natural, NotNegative, Positive, Seconds, Verdict

SCHEMA = 6


class Ceilings(Struct, frozen=True, forbid_unknown_fields=True):
    """The best rates measured on a device.

    Args:
        gemm_gflop_per_s: of a large square matrix product, in the dtype and precision of the arms.
        copy_gbyte_per_s: bytes read plus bytes written, when an array far larger than the caches is updated in place.
        loop_step_s: seconds for each step of a loop that does almost nothing; None in files that do not say.
    """

    gemm_gflop_per_s: Positive
    copy_gbyte_per_s: Positive
    loop_step_s: Seconds | None = None


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """The machine and the software of a process.

    Args:
        versions: of Python and of the distributions that matter; on a GPU also those of CUDA and cuDNN.
        device, backend: as JAX calls them; for a CPU, its model.
        threads: how many CPUs the process may use, which is the number of XLA's threads.
        xla_flags: the environment's XLA_FLAGS, without paths.
        environment: other variables that change what is measured.
        commit: of trigru's own checkout, with "-dirty" if it was changed; "" if there is no checkout.
        gpus: what NVIDIA's driver says of each GPU of the machine when the process starts; clocks, power, memory used.
    """

    versions: dict[str, str]
    device: str
    backend: str
    threads: Natural
    xla_flags: str
    environment: dict[str, str]
    commit: str
    gpus: list[dict[str, str]] = []


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
        clock: "blocked", where each call is waited for before the next, or "pipelined", where all calls of a sample are
            started before the first is waited for. It is blocked on a CPU, and pipelined on an accelerator, where it
            is the throughput of a training loop and the other one is latency.
        other_s: seconds per call by the other clock, from separate rounds; empty where a single call fills a sample.
        other_process: the process of each of these rounds.
        warm_up_calls: calls before timing, for each process.
        steady: whether the warm-up ended in a steady state, for each process.
        leaves: arrays that cross the jit boundary inwards for model and optimiser.
        build: how long tracing, lowering and compiling took; None where it is not known.
        program: the program that XLA made; None where XLA did not run it.
        tunings: on an accelerator, of each process, what was chosen by trying; see `ProgramFacts.tuned`. If they
            differ, so did what the processes ran.
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
    gate: Admitted | None
    process: list[Count]
    position: list[Count]
    started_s: list[NotNegative]
    calls: list[Natural]
    clock: Clock
    other_s: list[Seconds]
    other_process: list[Count]
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
    tunings: list[str] = []

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
        ceilings: the machine's limits in each process, by the arms' arithmetic.
        load_before, load_after: runnable processes on the machine before and after the run; None where not known.
        interruptions: how often the run was stopped and resumed.
        complete: whether everything that was asked for was measured.
    """

    schema: int
    command: list[str]
    plan: Plan
    equality: list[Measurement] | None
    machine: Machine
    ceilings: list[dict[str, Ceilings]]
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
