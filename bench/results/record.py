"""A run as it is read: its arms with ratios, noise floors and verdicts. Times are in seconds.

`trigru.bench.analysis.merge` makes it of the records in `trigru.bench.results.run`, and nothing of it is stored.
"""

from datetime import UTC, datetime

import numpy as np
from msgspec import Struct

from .arm import Arm, Untimed
from .grouping import grouped
from .run import Run, Timed


class TimeComparison(Struct, frozen=True):
    """The time of one arm over that of another, per call, with its 95 % interval."""

    ratio: float
    low: float
    high: float


class Benchmark(TimeComparison, frozen=True, kw_only=True):
    """An arm with a number: its time over the baseline's, paired within rounds."""

    arm: Arm
    timed: dict[int, Timed]  # its samples, by process
    shape: str  # sizes of the workload, as text
    steps: int  # time steps of a call, without padding
    flops: float  # the least work of a call; see `trigru.bench.arms.workloads.work_of`
    moved_bytes: float
    floor: float  # the group's noise floor, as a fraction
    verdict: str  # "faster", "slower" or "indistinguishable", than the baseline

    @property
    def group(self) -> str:
        return self.arm.group

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def facts(self) -> Timed:
        """The facts from its first process. No other times how it is built, nor, on a CPU, reads its program."""
        return next(iter(self.timed.values()))

    @property
    def time_s(self) -> np.ndarray:
        """Seconds per call, one for each round."""
        return np.concatenate([t.time_s for t in self.timed.values()])

    @property
    def median_s(self) -> float:
        return float(np.median(self.time_s))

    @property
    def process(self) -> list[int]:
        """The process of each round, from 0."""
        return [number for number, t in self.timed.items() for _ in t.time_s]

    @property
    def other_s(self) -> list[float]:
        """Seconds per call by the clock that does not lead; see `trigru.bench.results.run.Timed`."""
        return [s for t in self.timed.values() for s in t.other_s]

    @property
    def steady(self) -> list[bool]:
        """Whether the warm-up ended since calls became no faster, for each process."""
        return [t.steady for t in self.timed.values()]


class Results(Struct, frozen=True):
    """A run: its records, the arms with a number, and those without."""

    trigru: Run
    benchmarks: list[Benchmark]
    untimed: list[Untimed]

    @property
    def datetime(self) -> str:
        """When the run ended; now, if it did not."""
        return self.trigru.ended.datetime if self.trigru.ended else datetime.now(UTC).isoformat(timespec="minutes")

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the plan."""
        return grouped(self.benchmarks, lambda b: b.group)
