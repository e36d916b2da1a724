"""Two arms of one group against each other: the paired ratio, and what causes it.

Causes are told by experiment. What crossing the jit boundary costs is the difference
between two call styles of one framework that run the same program. Two frameworks in
the same style may run other programs, whose operations are counted; that they differ is
said, not that each of them costs time. What neither explains is called unexplained,
gains too.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Literal

from msgspec import Struct

from ...common.gru.kernels import STOCK
from ...common.port.hlo import ProgramFacts
from ...common.port.names import DONATED, FUNCTIONAL, LEAVES
from .benchmarks import Benchmark, Results
from .comparison import TimeComparison, Verdict
from .merge import baseline_of
from .statistics import compare, verdict

#: An overhead below this share of the baseline's time is negligible.
NEGLIGIBLE = 0.01
#: The most that crossing the jit boundary was seen to take.
MOST_BOUNDARY_S = 2e-3
#: What tells two arms apart; `trigru.bench.reporting.times.CAUSES` says it in words.
#: With "boundary" and "unexplained" it is the same program, with "style" it may be
#: another one.
Cause = Literal["none", "unread", "boundary", "style", "program", "unexplained"]
#: What an arm is compared with: that of its port and style on the stock cell, or itself
#: on one device.
Over = Literal["stock", "one device"]
#: The operations that are counted in a program.
OPERATIONS = ("dots", "transposes", "whiles", "fusions")


class Difference(Struct, frozen=True, kw_only=True):
    """An arm against another of its group: two frameworks, or one in two call
    styles.
    """

    one: str  # port and style, as in "nnx[split-merge]"
    other: str
    comparison: TimeComparison  # the time of one over the time of the other
    difference_s: float  # seconds per call by which one takes longer
    difference_low_s: float
    difference_high_s: float
    verdict: Verdict  # on the first
    #: Whether XLA runs the same program; None where one could not be read.
    same_program: bool | None
    cause: Cause
    #: Operations whose numbers differ: the name, and how many each program has.
    counts: tuple[tuple[str, int, int], ...]

    @property
    def is_real(self) -> bool:
        return self.verdict != "indistinguishable"


def difference(
    group: Sequence[Benchmark], one: Benchmark, other: Benchmark
) -> Difference:
    """One arm against another of its group, by the same clock.

    The arms of the group tell what causes the difference.
    """
    comparison, word = _compared(one, other)
    other_s = other.call_s
    difference_s = (comparison.ratio - 1) * other_s
    cause: Cause = "none"
    if word != "indistinguishable":
        cause = _cause(group, one, other, difference_s)
    return Difference(
        one=one.name,
        other=other.name,
        comparison=comparison,
        difference_s=difference_s,
        difference_low_s=(comparison.low - 1) * other_s,
        difference_high_s=(comparison.high - 1) * other_s,
        verdict=word,
        same_program=same_program(one, other),
        cause=cause,
        counts=_differing_counts(one.facts.program, other.facts.program),
    )


def _differing_counts(
    one: ProgramFacts | None, other: ProgramFacts | None
) -> tuple[tuple[str, int, int], ...]:
    """Operations whose numbers differ; fusions only where nothing else does."""
    if one is None or other is None:
        return ()
    differing = []
    for operation in OPERATIONS:
        count, other_count = getattr(one, operation), getattr(other, operation)
        if count != other_count:
            differing.append((operation, count, other_count))
    without_fusions = [counts for counts in differing if counts[0] != "fusions"]
    return tuple(without_fusions or differing)


def _cause(
    group: Sequence[Benchmark], one: Benchmark, other: Benchmark, difference_s: float
) -> Cause:
    """What causes a difference that is real."""
    is_same_program = same_program(one, other)
    if is_same_program is None:
        return "unread"
    is_one_port = one.arm.port == other.arm.port
    shared_labels = set(one.arm.labels) & set(other.arm.labels)
    if not is_one_port and not shared_labels & {FUNCTIONAL, LEAVES, DONATED}:
        return "style"
    if not is_same_program:
        return "style" if is_one_port else "program"
    if abs(difference_s) > MOST_BOUNDARY_S:
        return "unexplained"
    if is_one_port or _is_gone_with_leaves(group, one, other):
        return "boundary"
    return "unexplained"


def _is_gone_with_leaves(
    group: Sequence[Benchmark], one: Benchmark, other: Benchmark
) -> bool:
    """Whether two frameworks cannot be told apart where both pass a list of arrays."""
    of_group = [b for b in group if (b.group, b.clock) == (one.group, one.clock)]
    as_leaves = labelled(of_group, LEAVES)
    ports = one.arm.port, other.arm.port
    if not as_leaves.keys() >= set(ports):
        return False
    _, word = _compared(as_leaves[ports[0]], as_leaves[ports[1]])
    return word == "indistinguishable"


def _compared(one: Benchmark, other: Benchmark) -> tuple[TimeComparison, Verdict]:
    process = one.process
    comparison = compare(one.time_s, other.time_s, process)
    return comparison, verdict(comparison, one.floor, process)


def same_program(one: Benchmark, other: Benchmark) -> bool | None:
    """Whether XLA runs the same program; None where one could not be read."""
    program, other_program = one.facts.program, other.facts.program
    if program is None or other_program is None:
        return None
    return program.fingerprint == other_program.fingerprint


def labelled(benchmarks: Sequence[Benchmark], label: str) -> dict[str, Benchmark]:
    """The arm of each port whose call style has a label: of the stock cell, on one
    device.
    """
    by_port = {}
    for b in benchmarks:
        is_usual = b.arm.kernel == STOCK and not b.arm.way
        if is_usual and b.arm.role != "duplicate" and label in b.arm.labels:
            by_port[b.arm.port] = b
    return by_port


def reference_of(b: Benchmark, benchmarks: Sequence[Benchmark]) -> Benchmark:
    """What an arm is explained against: its port's functional style, or the baseline if
    it is that.
    """
    functional = labelled(benchmarks, FUNCTIONAL).get(b.arm.port)
    if functional is None or functional is b:
        return baseline_of(benchmarks)
    return functional


def by_size(results: Results) -> dict[tuple[str, str], dict[int, Benchmark]]:
    """Arms of the stock division by name and phase, then by the swept size.

    Empty where no size is swept.
    """
    swept = results.trigru.plan.swept
    by_arm: dict[tuple[str, str], dict[int, Benchmark]] = {}
    if swept is None:
        return by_arm
    for b in results.benchmarks:
        if (b.arm.division, b.arm.role, b.arm.way) == (STOCK, "arm", ""):
            sizes = by_arm.setdefault((b.name, b.arm.phase), {})
            sizes[b.arm.workload.sizes[swept]] = b
    return by_arm


def negligible_from(by_size: dict[int, Benchmark]) -> tuple[int | None, bool]:
    """The size from which an arm has a negligible overhead, and whether intervals
    confirm it; None where it has none at no size.
    """

    def is_likely(size: int) -> bool:
        return by_size[size].comparison.ratio - 1 < NEGLIGIBLE

    def is_sure(size: int) -> bool:
        return by_size[size].comparison.high - 1 < NEGLIGIBLE

    likely = list(takewhile(is_likely, sorted(by_size, reverse=True)))
    sure = list(takewhile(is_sure, likely))
    if sure:
        return sure[-1], True
    return (likely[-1] if likely else None), False


class Speedup(Struct, frozen=True):
    """How much faster an arm is with a kernel or on several devices."""

    benchmark: Benchmark  # the arm with the kernel or the devices
    other: Benchmark  # what it is compared with; see `Over`
    arm: str  # its name, without the kernel
    ratio: (
        TimeComparison  # the other's time over this one's: above 1, this one is faster
    )
    verdict: Verdict  # on the arm

    @property
    def temp_share(self) -> float | None:
        """The arm's temporary memory over the other's.

        None where one is unknown, or the latter has none.
        """
        program, other = self.benchmark.facts.program, self.other.facts.program
        if program is None or other is None:
            return None
        if program.temp_bytes is None or not other.temp_bytes:
            return None
        return program.temp_bytes / other.temp_bytes


def speedups(results: Results, over: Over = "stock") -> list[Speedup]:
    """The speedup of every arm with a kernel, or on several devices.

    An arm is left out where the other one has no number.
    """
    gains = []
    for group in results.groups().values():
        benchmarks = [b for b in group if b.arm.copy == 1]
        on_one_device = {}
        for b in benchmarks:
            if not b.arm.way:
                on_one_device[b.arm.port, b.arm.style, b.arm.kernel] = b
        for b in benchmarks:
            is_spread = bool(b.arm.way)
            if is_spread != (over == "one device"):
                continue
            kernel = b.arm.kernel if is_spread else STOCK
            other = on_one_device.get((b.arm.port, b.arm.style, kernel))
            if other is not None and other is not b:
                gains.append(_speedup(b, other))
    return gains


def _speedup(b: Benchmark, other: Benchmark) -> Speedup:
    comparison, word = _compared(b, other)
    name = b.name if b.arm.way else other.name
    return Speedup(b, other, name, comparison.turned, word)
