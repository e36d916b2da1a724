"""Two arms of one group against each other, paired within rounds, what causes the difference, and what a kernel gains.

Causes are told by experiment. What crossing the jit boundary costs is the difference between two call styles of one
framework that run the same program. Two frameworks in the same style may run other programs, whose operations are
counted; that they differ is said, not that each of them costs time. What neither explains is called unexplained, gains
too.
"""

from itertools import takewhile
from typing import Literal

from msgspec import Struct
from msgspec.structs import astuple

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DONATED, FUNCTIONAL, LEAVES
from ..results.machine import Ceilings
from ..results.run import Benchmark, Results, TimeComparison
from .merge import baseline_of
from .statistics import compare, verdict

#: An overhead below this share of the baseline's time is negligible.
NEGLIGIBLE = 0.01
#: What tells two arms apart; `trigru.bench.reporting.times.CAUSES` says it in words. With "boundary" and "unexplained"
#: it is the same program, with "style" it may be another one, too.
Cause = Literal["none", "unread", "boundary", "style", "program", "unexplained"]
#: What an arm is compared with: the arm of its port and style on the stock cell, each peer, or itself on one device.
Over = Literal["stock", "peers", "one device"]


class Difference(TimeComparison, frozen=True, kw_only=True):
    """Two frameworks in the same call style, or one framework in two: the time of one / the time of the other."""

    one: str  # port and style, as in "nnx[split-merge]"
    other: str
    difference_s: float  # seconds per call by which one takes longer
    difference_low_s: float
    difference_high_s: float
    verdict: str  # of the first: "faster", "slower" or "indistinguishable"
    same_program: (
        bool | None
    )  # whether XLA runs the same one; None where one could not be read
    cause: Cause
    counts: tuple[
        tuple[str, int, int], ...
    ]  # differing numbers of operations: name, of one, of the other

    @property
    def is_real(self) -> bool:
        return self.verdict != "indistinguishable"


def difference(group: list[Benchmark], one: Benchmark, other: Benchmark) -> Difference:
    """One arm against another of its group, by the same clock; what causes it is told by that group's arms."""
    ratio, word = _compared(one, other)
    difference_s, low_s, high_s = ((r - 1) * other.median_s for r in astuple(ratio))
    mine, its = one.facts.program, other.facts.program
    names = ("dots", "transposes", "whiles", "fusions") if mine and its else ()
    differing = [
        (n, m, i) for n in names if (m := getattr(mine, n)) != (i := getattr(its, n))
    ]
    counts = tuple(count for count in differing if count[0] != "fusions") or tuple(
        differing
    )
    same = same_program(one, other)
    cause = (
        "none"
        if word == "indistinguishable"
        else _cause(group, one, other, same, difference_s)
    )
    return Difference(
        *astuple(ratio),
        one=one.name,
        other=other.name,
        difference_s=difference_s,
        difference_low_s=low_s,
        difference_high_s=high_s,
        verdict=word,
        same_program=same,
        cause=cause,
        counts=counts,
    )


def _cause(
    group: list[Benchmark],
    one: Benchmark,
    other: Benchmark,
    same: bool | None,
    difference_s: float,
) -> Cause:
    if same is None:
        return "unread"
    same_port = one.arm.port == other.arm.port
    if not same_port and not {*one.arm.labels} & {*other.arm.labels} & {
        FUNCTIONAL,
        LEAVES,
        DONATED,
    }:
        return "style"
    if not same:
        return "style" if same_port else "program"
    if (
        abs(difference_s) > 2e-3
    ):  # the most that crossing the jit boundary was seen to take
        return "unexplained"
    if same_port:
        return "boundary"
    # two frameworks that cannot be told apart where both pass a list of arrays, by the same clock
    alike = [
        b for b in group if b.group == one.group and b.facts.clock == one.facts.clock
    ]
    as_leaves = labelled(alike, LEAVES)
    pair = [
        as_leaves[arm.port] for arm in (one.arm, other.arm) if arm.port in as_leaves
    ]
    vanishes = len(pair) == 2 and _compared(*pair)[1] == "indistinguishable"
    return "boundary" if vanishes else "unexplained"


def _compared(one: Benchmark, other: Benchmark) -> tuple[TimeComparison, str]:
    ratio = compare(one.time_s, other.time_s, one.process)
    return ratio, verdict(ratio, one.floor, one.process)


def same_program(one: Benchmark, other: Benchmark) -> bool | None:
    """Whether XLA runs the same program; None where one could not be read."""
    mine, its = one.facts.program, other.facts.program
    return None if mine is None or its is None else mine.fingerprint == its.fingerprint


def labelled(benchmarks: list[Benchmark], label: str) -> dict[str, Benchmark]:
    """The arm of each framework whose call style has a label, by port: of the stock cell, on one device."""
    own = [
        b
        for b in benchmarks
        if b.arm.role in ("arm", "baseline") and b.arm.kernel == STOCK and not b.arm.way
    ]
    return {b.arm.port: b for b in own if label in b.arm.labels}


def reference_of(b: Benchmark, benchmarks: list[Benchmark]) -> Benchmark:
    """What an arm is explained against: its port's functional style, or the baseline if it is that."""
    own = labelled(benchmarks, FUNCTIONAL).get(b.arm.port)
    return baseline_of(benchmarks) if own is None or own is b else own


def by_size(results: Results) -> dict[tuple[str, str], dict[int, Benchmark]]:
    """Arms of the stock division by name and phase, then by the swept size; empty where none is swept."""
    swept, found = (
        results.trigru.plan.swept,
        dict[tuple[str, str], dict[int, Benchmark]](),
    )
    for b in results.benchmarks:
        if swept and (b.arm.division, b.arm.role, b.arm.way) == (STOCK, "arm", ""):
            found.setdefault((b.name, b.arm.phase), {})[b.arm.workload.sizes[swept]] = b
    return found


def negligible_from(of_arm: dict[int, Benchmark]) -> tuple[int | None, bool]:
    """The size from which an arm, by the swept size, has a negligible overhead, and whether intervals confirm it."""
    from_largest = sorted(of_arm, reverse=True)
    likely = [
        *takewhile(lambda size: of_arm[size].ratio - 1 < NEGLIGIBLE, from_largest)
    ]
    sure = [*takewhile(lambda size: of_arm[size].high - 1 < NEGLIGIBLE, likely)]
    return (sure[-1], True) if sure else (likely[-1] if likely else None, False)


def limit_of(results: Results, b: Benchmark) -> tuple[str, float]:
    """The nearer limit of the machine for an arm, "gemm" or "copy", and the share of it that the arm reaches."""
    ceilings, time_s = best_ceilings(results, b.arm.arithmetic), b.median_s
    gemm_s, copy_s = (
        b.flops / ceilings.gemm_gflop_per_s * 1e-9,
        b.moved_bytes / ceilings.copy_gbyte_per_s * 1e-9,
    )
    return ("gemm", gemm_s / time_s) if gemm_s >= copy_s else ("copy", copy_s / time_s)


def best_ceilings(results: Results, arithmetic: str) -> Ceilings:
    """The best rates that any process of a run saw."""
    seen = [started.ceilings[arithmetic] for started in results.trigru.started]
    steps_s = [c.loop_step_s for c in seen if c.loop_step_s is not None]
    gemm, copy = (
        max(c.gemm_gflop_per_s for c in seen),
        max(c.copy_gbyte_per_s for c in seen),
    )
    return Ceilings(gemm, copy, min(steps_s, default=None))


class Speedup(Struct, frozen=True):
    """How much faster an arm is with a kernel or on several devices."""

    benchmark: Benchmark  # the arm with the kernel or the devices
    other: Benchmark  # what it is compared with; see `Over`
    arm: str  # its name, without the kernel
    ratio: TimeComparison  # the other arm's time over this one's: above 1, this one is faster
    verdict: str  # of the arm: "faster", "slower" or "indistinguishable"

    @property
    def temp_share(self) -> float | None:
        """The arm's temporary memory over the other's; None where one is unknown, or the latter has none."""
        other, own = (
            b.facts.program.temp_bytes if b.facts.program else None
            for b in (self.other, self.benchmark)
        )
        return own / other if other and own is not None else None


def speedups(results: Results, over: Over = "stock") -> list[Speedup]:
    """The speedup of every arm with a kernel, or on several devices; without the other arm, it is left out."""
    found = []
    for benchmarks in results.groups().values():
        first = [b for b in benchmarks if b.arm.copy == 1]
        alone = {
            (b.arm.port, b.arm.style, b.arm.kernel): b for b in first if not b.arm.way
        }
        peers = [
            b
            for b in alone.values()
            if b.arm.port in results.trigru.plan.peers and b.arm.kernel == STOCK
        ]
        for b in first:
            own = alone.get(
                (b.arm.port, b.arm.style, b.arm.kernel if b.arm.way else STOCK)
            )
            if own is None or own is b or bool(b.arm.way) != (over == "one device"):
                continue
            for other in peers if over == "peers" else [own]:
                time, word = _compared(b, other)
                ratio = TimeComparison(1 / time.ratio, 1 / time.high, 1 / time.low)
                found.append(
                    Speedup(b, other, b.name if b.arm.way else own.name, ratio, word)
                )
    return found
