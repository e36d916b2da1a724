"""A run as it is read: its arms with ratios, noise floors and verdicts. Times are in seconds.

`trigru.bench.analysis.merge` makes it of the records in `trigru.bench.results.run`, and nothing of it is stored.
"""

import numpy as np
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.port.programs import Build, ProgramFacts
from .arm import Arm, Plan, Untimed
from .grouping import grouped
from .ranges import Admitted, Clock, Count, Natural, NotNegative, Positive, Seconds, Verdict
from .run import Ceilings as Ceilings
from .run import Machine as Machine


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


class Benchmark(Struct, frozen=True):
    """An arm with a number.

    Args:
        facts: what is known of it, except its times.
        samples_s: seconds per call, one for each round.
    """

    facts: Facts
    samples_s: list[Seconds]

    @property
    def arm(self) -> Arm:
        """Which arm it is."""
        return self.facts.arm

    @property
    def group(self) -> str:
        """The group of arms that it is compared with."""
        return self.arm.group

    @property
    def name(self) -> str:
        """Its name within the group."""
        return self.arm.name

    @property
    def fullname(self) -> str:
        """Group and name together."""
        return self.arm.id

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.asarray(self.samples_s)


class Provenance(Struct, frozen=True):
    """What the numbers depend on.

    Args:
        command: the words of the command, without the folder of the results.
        plan: what was asked for.
        equality: every measurement of equality with the oracle that was made before timing. None where there is none;
            then only each arm's admission is known.
        ceilings: the machine's limits in each process, by the arms' arithmetic.
        load_before, load_after: runnable processes on the machine before and after the run; None where not known.
        interruptions: how often the run was stopped and resumed.
        complete: whether everything that was asked for was measured.
    """

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
    """A run.

    Args:
        benchmarks: the arms with a number.
        datetime: when the run ended.
        trigru: what the numbers depend on.
        untimed: the arms without a number.
    """

    benchmarks: list[Benchmark]
    datetime: str
    trigru: Provenance
    untimed: list[Untimed]

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the plan."""
        return grouped(self.benchmarks, lambda b: b.group)
