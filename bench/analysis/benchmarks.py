"""Judges samples: how long each arm takes, and whether it differs from the baseline."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from ..arms.workloads import get_workload
from ..results.arm import Arm, Clock, Untimed
from ..results.grouping import grouped
from ..results.run import ArmFacts, Run, Sample
from .comparison import TimeComparison, Verdict
from .statistics import compare, noise_floor, typical_time, verdict


class Benchmark(Struct, frozen=True, kw_only=True):
    """What the samples of an arm say, by one clock, beside the baseline of its
    group.
    """

    arm: Arm
    clock: Clock
    samples: list[Sample]  # by every clock, in order
    facts_by_process: dict[int, ArmFacts]
    comparison: TimeComparison  # its time over the baseline's, paired within rounds
    baseline_s: float  # seconds of a call of the baseline
    floor: float  # the noise floor of its group, as a fraction
    verdict: Verdict  # on its time beside the baseline's

    @property
    def group(self) -> str:
        return self.arm.group

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def facts(self) -> ArmFacts:
        """The facts from its first process.

        No other process times how the arm is built, nor, on a CPU, reads its program.
        """
        return self.facts_by_process[self.processes[0]]

    @property
    def processes(self) -> list[int]:
        return sorted(self.facts_by_process)

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.array([s.s for s in self.samples if s.clock == self.clock])

    @property
    def process(self) -> list[int]:
        """The process of each round, from 0."""
        return [s.process for s in self.samples if s.clock == self.clock]

    @property
    def call_s(self) -> float:
        """Seconds of a call: the baseline's, times the ratio to it.

        So two times differ as the arms do within a round, and not as the machine did
        from one minute to another.
        """
        return self.baseline_s * self.comparison.ratio

    @property
    def other_s(self) -> list[float]:
        """Seconds per call by the clock that does not lead."""
        return [s.s for s in self.samples if s.clock != self.clock]

    @property
    def steady(self) -> list[bool]:
        """Whether the warm-up ended since calls became no faster, for each process."""
        return [self.facts_by_process[process].steady for process in self.processes]

    @property
    def shape(self) -> str:
        """The sizes of its workload, as text."""
        return get_workload(self.arm.workload).shape

    @property
    def steps(self) -> int:
        """Time steps of a call, without padding."""
        workload = get_workload(self.arm.workload)
        return workload.batch_size if self.arm.phase == "step" else workload.steps


class Results(Struct, frozen=True):
    """A run, the arms with a number, and those without."""

    trigru: Run
    benchmarks: list[Benchmark]
    untimed: list[Untimed]

    @property
    def datetime(self) -> str:
        """When the run ended; now, if it did not."""
        return self.trigru.datetime

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the plan."""
        return grouped(self.benchmarks, lambda b: b.group)


def judge(
    arms: Sequence[Arm],
    samples: Mapping[str, Sequence[Sample]],
    facts: Mapping[str, Sequence[ArmFacts]],
    clock: Clock,
) -> list[Benchmark]:
    """Judge the arms of one group by their samples of one clock.

    Ratios are paired within rounds, so an arm that lacks a sample in any round of the
    group is left out. Nothing is judged without the baseline, which ratios are relative
    to, and its duplicate, which shows the noise floor; nor by a clock that was not used
    in every process.

    Args:
        samples: by the arm's id, of any clock.
        facts: by the arm's id.
    """
    ordered = {arm.id: sorted(samples.get(arm.id, ())) for arm in arms}
    rounds = {arm.id: _rounds(ordered[arm.id], clock) for arm in arms}
    all_rounds = sorted(set().union(*rounds.values()))
    processes = {s.process for taken in ordered.values() for s in taken}
    process = [process for process, _ in all_rounds]
    if set(process) != processes:
        return []  # the clock was not used in every process

    complete = []
    for arm in arms:
        if all_rounds and rounds[arm.id] == all_rounds and arm.id in facts:
            complete.append(arm)
    by_role = {arm.role: arm for arm in complete}
    if not {"baseline", "duplicate"} <= by_role.keys():
        return []

    time_s = {}
    for arm in complete:
        time_s[arm.id] = np.array([s.s for s in ordered[arm.id] if s.clock == clock])
    baseline_s = time_s[by_role["baseline"].id]
    duplicate = compare(time_s[by_role["duplicate"].id], baseline_s, process)
    floor = noise_floor(duplicate, len(processes))

    typical_s = typical_time(baseline_s, process)
    benchmarks = []
    for arm in complete:
        comparison = compare(time_s[arm.id], baseline_s, process)
        benchmarks.append(
            Benchmark(
                arm=arm,
                clock=clock,
                samples=ordered[arm.id],
                facts_by_process={f.process: f for f in facts[arm.id]},
                comparison=comparison,
                baseline_s=typical_s,
                floor=floor,
                verdict=verdict(comparison, floor, process),
            )
        )
    return benchmarks


def _rounds(samples: Sequence[Sample], clock: Clock) -> list[tuple[int, int]]:
    """The process and the number of each round in which a clock took a sample."""
    return [(s.process, s.round) for s in samples if s.clock == clock]
