"""What a kernel gains over each framework's own cell and over peers, and what several devices gain over one.

Both are timed in the same rounds, so their ratio is paired, like the ratio to the baseline.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...common.gru.kernels import STOCK
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .statistics import Comparison, Effect, as_ratio, effect_of, enough_rounds, mean_effect, mean_floor, verdict

#: What an arm is compared with: the arm of its port and style on the stock cell, each peer, or itself on one device.
Over = Literal["stock", "peers", "one device"]


@dataclass(frozen=True)
class Speedup:
    """How much faster an arm is with a kernel or on several devices, in one group or in several.

    Args:
        benchmark: the arm with the kernel or the devices; of the first group where there are several.
        other: what it is compared with; see `Over`.
        arm: the name of the arm, without the kernel.
        effect: log of the arm's time over the other arm's.
        floor: of noise, as a fraction.
        enough: whether all groups have enough rounds for a verdict.
    """

    benchmark: Benchmark
    other: Benchmark
    arm: str
    effect: Effect
    floor: float
    enough: bool
    groups: int = 1

    @property
    def ratio(self) -> Comparison:
        """The other arm's time over this one's: above 1, this one is faster."""
        return as_ratio(self.effect).inverse

    @property
    def verdict(self) -> str:
        """Of the arm: "faster", "slower" or "indistinguishable"."""
        return verdict(as_ratio(self.effect), self.floor) if self.enough else "indistinguishable"

    @property
    def temp_share(self) -> float | None:
        """The arm's temporary memory over the other's; None where one is unknown, or the latter has none."""
        other, own = (b.facts.program.temp_bytes if b.facts.program else None for b in (self.other, self.benchmark))
        return own / other if other and own is not None else None


def speedups(results: Results, over: Over = "stock") -> list[Speedup]:
    """The speedup of every arm with a kernel, or on several devices; without the other arm, it is left out."""
    found = []
    for benchmarks in results.groups().values():
        first = [b for b in benchmarks if b.arm.copy == 1]
        alone = {(b.arm.port, b.arm.style, b.arm.kernel): b for b in first if not b.arm.way}
        peers = [b for b in alone.values() if b.arm.port in results.trigru.plan.peers and b.arm.kernel == STOCK]
        for b in first:
            own = alone.get((b.arm.port, b.arm.style, b.arm.kernel if b.arm.way else STOCK))
            if own is None or own is b or bool(b.arm.way) != (over == "one device"):
                continue
            for other in peers if over == "peers" else [own]:
                effect = effect_of(np.log(b.time_s) - np.log(other.time_s), b.process)
                name = b.name if b.arm.way else own.name
                found.append(Speedup(b, other, name, effect, b.floor, enough_rounds(b.process)))
    return found


def means_of(found: list[Speedup]) -> list[Speedup]:
    """The geometric mean over groups of each arm and peer in a phase, where it has several groups."""
    of_arms = grouped(found, lambda s: (s.benchmark.arm.phase, s.arm, s.other.name)).values()
    return [mean_speedup(of_arm) for of_arm in of_arms if len(of_arm) > 1]


def mean_speedup(found: list[Speedup]) -> Speedup:
    """That of one arm, kernel, peer and phase."""
    effect, floor = mean_effect([s.effect for s in found]), mean_floor([s.floor for s in found])
    return replace(found[0], groups=len(found), effect=effect, floor=floor, enough=all(s.enough for s in found))
