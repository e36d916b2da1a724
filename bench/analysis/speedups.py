"""What a kernel gains over each framework's own cell and over peers, and what several devices gain over one.

Both are timed in the same rounds, so their ratio is paired, like the ratio to the baseline.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...common.gru.kernels import STOCK
from ..results.record import Benchmark, Results
from .statistics import Comparison, Effect, as_ratio, effect_of, enough_rounds, mean_effect, mean_floor, verdict


@dataclass(frozen=True)
class Speedup:
    """How much faster an arm is with a kernel or on several devices, in one group or in several.

    Args:
        benchmark: the arm with the kernel or the devices; of the first group where there are several.
        other: what it is compared with: the arm of its port and style on the stock cell or on one device, or a peer.
        arm: the name of the arm of its port and style that is compared with, or, beside a peer, of that on the stock
            cell.
        effect: log of the arm's time over the other arm's.
        floor: of noise, as a fraction.
        enough: whether all groups have enough rounds for a verdict.
    """

    benchmark: Benchmark
    other: Benchmark
    arm: str
    groups: int
    effect: Effect
    floor: float
    enough: bool

    @property
    def kernel(self) -> str:
        """The kernel's name."""
        return self.benchmark.arm.kernel

    @property
    def phase(self) -> str:
        """Of all groups."""
        return self.benchmark.arm.phase

    @property
    def ratio(self) -> Comparison:
        """The other arm's time over this one's: above 1, this one is faster."""
        return as_ratio(self.effect).inverse

    @property
    def verdict(self) -> str:
        """Of the arm: "faster", "slower" or "indistinguishable"."""
        return verdict(as_ratio(self.effect), self.floor) if self.enough else "indistinguishable"

    @property
    def temp_bytes(self) -> tuple[int | None, int | None]:
        """Temporary memory of the other arm's program and of the kernel's."""
        found = [b.facts.program.temp_bytes if b.facts.program else None for b in (self.other, self.benchmark)]
        return found[0], found[1]

    @property
    def temp_share(self) -> float | None:
        """The kernel's temporary memory over the other arm's; None where one is unknown, or the latter has none."""
        other, own = self.temp_bytes
        return own / other if other and own is not None else None


def speedups(results: Results, peers: bool = False) -> list[Speedup]:
    """The speedup of every arm with a kernel: over its own port's stock arm, or over each peer."""
    found = []
    for benchmarks in results.groups().values():
        alone = [b for b in benchmarks if not b.arm.way]
        stock = {(b.arm.port, b.arm.style): b for b in alone if b.arm.kernel == STOCK and b.arm.copy == 1}
        for b in alone:
            own = stock.get((b.arm.port, b.arm.style))
            if b.arm.kernel == STOCK or own is None:
                continue
            others = [s for s in stock.values() if s.arm.port in results.trigru.plan.peers] if peers else [own]
            found += [_speedup(b, other, own.name) for other in others]
    return found


def scalings(results: Results) -> list[Speedup]:
    """The speedup of every arm on several devices over the same arm on one; without that, it is left out."""
    found = []
    for benchmarks in results.groups().values():
        alone = {_key(b): b for b in benchmarks if not b.arm.way and b.arm.copy == 1}
        several = [(b, alone.get(_key(b))) for b in benchmarks if b.arm.way]
        found += [_speedup(b, one, one.name) for b, one in several if one is not None]
    return found


def _key(b: Benchmark) -> tuple[str, str | None, str]:
    return b.arm.port, b.arm.style, b.arm.kernel


def mean_speedup(found: list[Speedup]) -> Speedup:
    """The geometric mean over groups of one arm, kernel and phase.

    If a run was interrupted, groups that only one process measured are left out: they do not show how processes differ.
    """
    found = [s for s in found if s.effect.processes > 1] or found
    return replace(
        found[0],
        groups=len(found),
        effect=mean_effect([s.effect for s in found]),
        floor=mean_floor([s.floor for s in found]),
        enough=all(s.enough for s in found),
    )


def lone_processes(found: list[Speedup]) -> list[Speedup]:
    """The speedups of one arm, kernel and phase that `mean_speedup` leaves out."""
    if all(s.effect.processes == 1 for s in found):
        return []
    return [s for s in found if s.effect.processes == 1]


def _speedup(b: Benchmark, other: Benchmark, arm: str) -> Speedup:
    effect = effect_of(np.log(b.time_s) - np.log(other.time_s), b.process)
    return Speedup(b, other, arm, 1, effect, b.floor, enough_rounds(b.process))
