"""What a kernel gains over each framework's own cell and over peers, and what several devices gain over one.

Both are timed in the same rounds, so their ratio is paired, like the ratio to the baseline.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...common.gru.kernels import STOCK
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .statistics import Comparison, Effect, as_ratio, effect_of, enough_rounds, mean_effect, mean_floor, verdict


@dataclass(frozen=True)
class Speedup:
    """How much faster an arm is with a kernel or on several devices, in one group or in several.

    Args:
        benchmark: the arm with the kernel or the devices; of the first group where there are several.
        other: what it is compared with: the arm of its port and style on the stock cell or on one device, or a peer.
        arm: the name of the arm of its port and style on the stock cell or on one device.
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


def speedups(results: Results, peers: bool = False) -> list[Speedup]:
    """The speedup of every arm with a kernel: over its own port's stock arm, or over each peer."""
    found = []
    for alone, _ in _groups(results):
        stock = {(b.arm.port, b.arm.style): b for b in alone if b.arm.kernel == STOCK}
        others = [b for b in stock.values() if b.arm.port in results.trigru.plan.peers]
        for b in alone:
            own = stock.get((b.arm.port, b.arm.style))
            if b.arm.kernel != STOCK and own is not None:
                found += [_speedup(b, other, own.name) for other in (others if peers else [own])]
    return found


def scalings(results: Results) -> list[Speedup]:
    """The speedup of every arm on several devices over the same arm on one; without that, it is left out."""
    found = []
    for alone, several in _groups(results):
        of_key = {(b.arm.port, b.arm.style, b.arm.kernel): b for b in alone}
        pairs = [(b, of_key.get((b.arm.port, b.arm.style, b.arm.kernel))) for b in several]
        found += [_speedup(b, one, one.name) for b, one in pairs if one is not None]
    return found


def means_of(found: list[Speedup]) -> list[Speedup]:
    """The geometric mean over groups of each arm and peer in a phase, where it has several groups.

    If a run was interrupted, groups that only one process measured are left out: they do not show how processes differ.
    """
    of_arms = grouped(found, lambda s: (s.benchmark.arm.phase, s.arm, s.other.name)).values()
    return [mean_speedup(of_arm) for of_arm in of_arms if len(of_arm) > 1]


def mean_speedup(found: list[Speedup]) -> Speedup:
    """That of one arm, kernel, peer and phase."""
    found = [s for s in found if s.effect.processes > 1] or found
    return replace(
        found[0],
        groups=len(found),
        effect=mean_effect([s.effect for s in found]),
        floor=mean_floor([s.floor for s in found]),
        enough=all(s.enough for s in found),
    )


def _groups(results: Results) -> Iterator[tuple[list[Benchmark], list[Benchmark]]]:
    """Of each group: the arms on one device, without the duplicate, and those on several."""
    for benchmarks in results.groups().values():
        arms = [b for b in benchmarks if b.arm.copy == 1]
        yield [b for b in arms if not b.arm.way], [b for b in arms if b.arm.way]


def _speedup(b: Benchmark, other: Benchmark, arm: str) -> Speedup:
    effect = effect_of(np.log(b.time_s) - np.log(other.time_s), b.process)
    return Speedup(b, other, arm, effect, b.floor, enough_rounds(b.process))
