"""A kernel against each framework's own cell, and against peers: from a results file, and from nothing else.

Both are timed in the same rounds, so their ratio is paired as that to the baseline is. It is written as a speedup,
stock / kernel, the time of the framework's own cell over the kernel's: above 1, the kernel is faster.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...common.gru.kernels import STOCK
from ..analysis.statistics import (
    Comparison,
    Effect,
    as_ratio,
    effect_of,
    enough_rounds,
    mean_effect,
    mean_floor,
    verdict,
)
from ..results.record import Benchmark, Results
from .sections import Section, format_bytes, format_time
from .times import format_ratio, format_throughput, short_group

__all__ = ["Speedup", "kernel_tables", "mean_speedup", "speedups"]


@dataclass(frozen=True)
class Speedup:
    """What a kernel makes of an arm, in one group, or in several.

    Args:
        kernel: its name, with choices.
        port: whose model runs it.
        arm: the name of its port's stock arm, the column or row of tables.
        workload: of one group; the first where there are several.
        phase: of all groups.
        groups: how many.
        effect: log of the kernel's time over the other arm's.
        floor: of noise, as a fraction.
        enough: whether the rounds bear a verdict, in all groups.
    """

    kernel: str
    port: str
    arm: str
    workload: str
    phase: str
    groups: int
    effect: Effect
    floor: float
    enough: bool

    @property
    def ratio(self) -> Comparison:
        """The other arm's time over the kernel's."""
        return as_ratio(self.effect).inverse

    @property
    def verdict(self) -> str:
        """Of the kernel: "faster", "slower" or "indistinguishable"."""
        return verdict(as_ratio(self.effect), self.floor) if self.enough else "indistinguishable"


@dataclass(frozen=True)
class _Pair:
    """An arm and what it is held against: its port's stock arm, or a peer."""

    fused: Benchmark
    other: Benchmark
    speedup: Speedup


def speedups(results: Results, peers: bool = False) -> list[Speedup]:
    """The speedup of every arm with a kernel: over its own port's stock arm, or over each peer."""
    return [pair.speedup for pair in _pairs(results, peers)]


def mean_speedup(found: list[Speedup]) -> Speedup:
    """The geometric mean over groups of one arm, kernel and phase.

    Where a run was interrupted, without those of its groups that only one process had measured: nothing tells how
    processes differ there.
    """
    found = [s for s in found if s.effect.processes > 1] or found
    first = found[0]
    effect, floor = mean_effect([s.effect for s in found]), mean_floor([s.floor for s in found])
    return Speedup(
        first.kernel,
        first.port,
        first.arm,
        first.workload,
        first.phase,
        len(found),
        effect,
        floor,
        all(s.enough for s in found),
    )


def kernel_tables(results: Results) -> list[Section]:
    """For every kernel but the stock one: means, each workload, what it does with the machine, and peers.

    Where there is one workload, its table says what that of means would.
    """
    own, peers = _pairs(results, peers=False), _pairs(results, peers=True)
    sections = []
    for kernel in dict.fromkeys(pair.speedup.kernel for pair in own):
        mine = [pair for pair in own if pair.speedup.kernel == kernel]
        sections += [_means(kernel, mine)] if _has_means(mine) else []
        sections += [_workloads(kernel, mine), _machine(results, kernel, mine)]
        against = [pair for pair in peers if pair.speedup.kernel == kernel]
        sections += [_peer_means(kernel, against)] if _has_means(against) else []
        sections += [_peers(kernel, against)] if against else []
    return sections


def _pairs(results: Results, peers: bool) -> list[_Pair]:
    found = []
    for benchmarks in results.groups().values():
        stock = {(b.facts.port, b.facts.style): b for b in benchmarks if b.facts.kernel == STOCK and b.facts.copy == 1}
        for b in benchmarks:
            own = stock.get((b.facts.port, b.facts.style))
            if b.facts.kernel == STOCK or own is None:
                continue
            others = [s for s in stock.values() if s.facts.port in results.trigru.plan.peers] if peers else [own]
            found += [_Pair(b, other, _speedup(results, b, other, own.name)) for other in others]
    return found


def _speedup(results: Results, b: Benchmark, other: Benchmark, arm: str) -> Speedup:
    effect = effect_of(np.log(b.time_s) - np.log(other.time_s), b.facts.process, results.trigru.seed)
    return Speedup(
        b.facts.kernel,
        b.facts.port,
        arm,
        b.facts.workload,
        b.facts.phase,
        1,
        effect,
        b.facts.floor,
        enough_rounds(b.facts.process),
    )


def _has_means(pairs: list[_Pair]) -> bool:
    """Whether some arm has several workloads in a phase."""
    by_arm = _by(pairs, lambda p: (p.speedup.phase, p.speedup.arm, _peer(p.other)))
    return any(len(found) > 1 for *_, found in by_arm)


def _means(kernel: str, pairs: list[_Pair]) -> Section:
    rows = []
    for phase, arm, found in _by(pairs, lambda p: (p.speedup.phase, p.speedup.arm)):
        mean = mean_speedup([pair.speedup for pair in found])
        rows.append((phase, arm, str(mean.groups), _interval(mean.ratio), mean.verdict))
    return Section(
        f"The {kernel} kernel against each framework's own cell: geometric means over workloads",
        ("phase", "arm", "workloads", f"speedup, stock / {kernel}", "verdict"),
        rows,
        (
            f"{_SPEEDUP_NOTE.format(kernel=kernel)}, which are of these workloads' mean and of no others'. The "
            "verdict is on the kernel, beyond the mean of the groups' noise floors.",
            *_left_out(pairs),
        ),
    )


def _left_out(pairs: list[_Pair]) -> list[str]:
    """What `mean_speedup` leaves out, in a sentence, where there is any."""
    left = dict.fromkeys(
        short_group(pair.fused.group)
        for *_, found in _by(pairs, lambda p: (p.speedup.phase, p.speedup.arm))
        if any(pair.speedup.effect.processes > 1 for pair in found)
        for pair in found
        if pair.speedup.effect.processes == 1
    )
    return [f"Not in the means, since one process alone measured them: {', '.join(left)}."] if left else []


def _workloads(kernel: str, pairs: list[_Pair]) -> Section:
    rows = [
        (
            pair.fused.facts.workload,
            pair.speedup.phase,
            pair.speedup.arm,
            *(format_time(float(np.median(b.time_s))) for b in (pair.other, pair.fused)),
            _interval(pair.speedup.ratio),
            pair.speedup.verdict,
        )
        for pair in pairs
    ]
    alone = f"{_SPEEDUP_NOTE.format(kernel=kernel)}. The verdict is on the kernel, beyond the noise floor."
    return Section(
        f"The {kernel} kernel against each framework's own cell",
        ("workload", "phase", "arm", "stock", kernel, f"speedup, stock / {kernel}", "verdict"),
        rows,
        (
            *([] if _has_means(pairs) else [alone]),
            "Times are medians a call; the ratio is the median within rounds, so it need not be their quotient.",
        ),
    )


def _machine(results: Results, kernel: str, pairs: list[_Pair]) -> Section:
    rows = []
    for pair in pairs:
        facts = pair.fused.facts
        own, fused = _temp_bytes(pair.other), _temp_bytes(pair.fused)
        limit = results.trigru.best_ceilings(facts.dtype).gemm_gflop_per_s * 1e9
        rates = [facts.flops / float(np.median(b.time_s)) for b in (pair.other, pair.fused)]
        rows.append(
            (
                facts.workload,
                facts.phase,
                pair.speedup.arm,
                *("-" if temp is None else format_bytes(temp) for temp in (own, fused)),
                f"{fused / own:.2f}" if own and fused is not None else "-",
                *(format_throughput(rate, rate / limit) for rate in rates),
            )
        )
    return Section(
        f"Temporary memory and GFLOP/s of each framework's own cell and of the {kernel} kernel",
        ("workload", "phase", "arm", "stock temp", "temp", "temp / stock", "stock GFLOP/s, %", "GFLOP/s, %"),
        rows,
        (
            "Temporary memory: beside arguments and results, by XLA's analysis; - where it gives none, or there is "
            f"none to divide by. Columns without stock are the {kernel} kernel's. GFLOP/s: the least operations of the "
            "phase, the same for both, over the time; %: of the rate of a large matrix product in the same run.",
        ),
    )


def _peer_means(kernel: str, pairs: list[_Pair]) -> Section:
    rows = []
    for phase, peer, found in _by(pairs, lambda p: (p.speedup.phase, _peer(p.other))):
        means = {
            arm: mean_speedup([pair.speedup for pair in of_arm])
            for arm, of_arm in _by(found, lambda p: (p.speedup.arm,))
        }
        counts = sorted({mean.groups for mean in means.values()})
        rows.append((phase, peer, " to ".join(map(str, (counts[0], *counts[1:][-1:]))), *_cells(pairs, means)))
    return Section(
        f"The {kernel} kernel against peers: geometric means over workloads",
        ("phase", "peer", "workloads", *_arms(pairs).values()),
        rows,
        (_PEER_NOTE.format(kernel=kernel), *_left_out(pairs), *_differences(pairs)),
    )


def _peers(kernel: str, pairs: list[_Pair]) -> Section:
    rows = []
    for workload, phase, peer, found in _by(pairs, lambda p: (p.fused.facts.workload, p.speedup.phase, _peer(p.other))):
        rows.append((workload, phase, peer, *_cells(pairs, {pair.speedup.arm: pair.speedup for pair in found})))
    return Section(
        f"The {kernel} kernel against peers",
        ("workload", "phase", "peer", *_arms(pairs).values()),
        rows,
        (_PEER_NOTE.format(kernel=kernel), *_differences(pairs)),
    )


_SPEEDUP_NOTE = (
    "Time of the framework's own cell over that of the {kernel} kernel in the same call style: above 1, the kernel is "
    "faster. Paired within rounds, with 95 % intervals"
)
_PEER_NOTE = (
    "Time of the peer over that of the {kernel} kernel in each port: above 1, the kernel is faster. ±: the farther end "
    "of the 95 % interval, as a share of the ratio. In brackets where they are indistinguishable; - where one has no "
    "number."
)


def _by(pairs: Iterable[_Pair], key: Callable[[_Pair], tuple[str, ...]]) -> list[tuple[Any, ...]]:
    """Pairs by a key, in the order of the key's first appearance: (*key, pairs)."""
    found: dict[tuple[str, ...], list[_Pair]] = {}
    for pair in pairs:
        found.setdefault(key(pair), []).append(pair)
    return [(*name, of_name) for name, of_name in found.items()]


def _arms(pairs: list[_Pair]) -> dict[str, str]:
    """Headings of the arms: the port's name will do where it has one style."""
    ports = {pair.speedup.arm: pair.speedup.port for pair in pairs}
    styles = list(ports.values())
    return {arm: port if styles.count(port) == 1 else arm for arm, port in ports.items()}


def _cells(pairs: list[_Pair], found: dict[str, Speedup]) -> list[str]:
    return [format_ratio(found[arm].ratio, found[arm].verdict) if arm in found else "-" for arm in _arms(pairs)]


def _peer(b: Benchmark) -> str:
    return b.name + ("*" if b.facts.differs else "")


def _differences(pairs: list[_Pair]) -> list[str]:
    differing = {_peer(pair.other): pair.other.facts.differs for pair in pairs if pair.other.facts.differs}
    return [
        f"{name}: other equations ({differs}), so it is not held to the oracle." for name, differs in differing.items()
    ]


def _temp_bytes(b: Benchmark) -> int | None:
    return b.facts.program.temp_bytes if b.facts.program else None


def _interval(found: Comparison) -> str:
    digits = 2 if found.high < 10 else 1
    return f"{found.ratio:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
