"""What a framework costs over plain JAX: per call, per leaf, up to which model size it matters, and why."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...common.gru.kernels import STOCK
from ...common.port.programs import ProgramFacts
from ..results.record import Benchmark, Results
from .rates import baseline_of

#: An overhead below this share of the baseline's time is negligible.
NEGLIGIBLE = 0.01
#: The most that crossing the jit boundary was seen to take. If the same program takes longer than this beyond the
#: baseline, the boundary does not explain it.
DISPATCH_LIMIT_S = 2e-3
#: Crossing the jit boundary may cost this many times as much as it does on the smallest workload, where the caches
#: have little else to hold.
DISPATCH_FACTOR = 3


@dataclass(frozen=True)
class Overhead:
    """How much longer than the baseline a call of an arm takes.

    Args:
        size: the swept size of the workload; None where none was swept.
        time_s, low_s, high_s: seconds per call, with the 95 % interval.
        share: of the baseline's time; low_share and high_share are its 95 % interval.
        same_program: whether XLA runs the baseline's program, so that the overhead is only that of crossing the jit
            boundary.
    """

    arm: str
    workload: str
    phase: str
    size: int | None
    leaves: int
    time_s: float
    low_s: float
    high_s: float
    share: float
    low_share: float
    high_share: float
    same_program: bool


@dataclass(frozen=True)
class Cause:
    """Why an arm takes longer than the baseline, as far as programs and the jit boundary tell.

    Args:
        kind: "unread" where a program could not be read; "boundary" where the baseline's program takes longer to call;
            "unexplained" where it takes longer than the jit boundary can explain; "operations" where the program has
            other counts of operations; "other program" where it has the same counts but is another program.
        overhead_s: seconds per call beyond the baseline.
        leaves: how many cross the jit boundary, for the arm and for the baseline.
        counts: operations whose count differs: name, the arm's, the baseline's.
    """

    kind: Literal["unread", "boundary", "unexplained", "operations", "other program"]
    overhead_s: float
    leaves: tuple[int, int]
    counts: tuple[tuple[str, int, int], ...] = ()


def overheads(results: Results) -> list[Overhead]:
    """The overhead of every arm of the stock division, without the baseline."""
    found = []
    for benchmarks in results.groups().values():
        if benchmarks[0].arm.division != STOCK:
            continue
        baseline = baseline_of(benchmarks)
        found += [_overhead(results, b, baseline) for b in benchmarks if b.arm.role == "arm"]
    return found


def negligible_from(of_arm: list[Overhead]) -> tuple[int | None, bool]:
    """The size from which an arm's overhead is negligible, and whether the intervals confirm it.

    Args:
        of_arm: of one arm and phase, one for each size.
    """
    sure, likely = None, None
    for overhead in sorted(of_arm, key=lambda o: o.size or 0, reverse=True):
        if overhead.share >= NEGLIGIBLE:
            break
        if overhead.high_share < NEGLIGIBLE and sure == likely:
            sure = overhead.size
        likely = overhead.size
    return (likely, False) if sure is None else (sure, True)


def per_leaf_s(of_arm: list[Overhead]) -> tuple[float, float] | None:
    """Seconds per leaf, from the phases with the fewest and the most leaves, and the half-width of the interval.

    None where all phases have equally many leaves.
    """
    few, many = min(of_arm, key=lambda o: o.leaves), max(of_arm, key=lambda o: o.leaves)
    if few.leaves == many.leaves:
        return None
    span = many.leaves - few.leaves
    error = ((many.high_s - many.low_s) ** 2 + (few.high_s - few.low_s) ** 2) ** 0.5 / 2
    return (many.time_s - few.time_s) / span, error / span


def overhead_s(benchmark: Benchmark, baseline: Benchmark) -> float:
    """How much longer than the baseline a call takes, in seconds, from the paired ratio."""
    return (benchmark.facts.ratio - 1) * float(np.median(baseline.time_s))


def cause_of(results: Results, b: Benchmark, baseline: Benchmark) -> Cause:
    """Why an arm takes longer than the baseline of its group."""
    time_s, leaves = overhead_s(b, baseline), (b.facts.leaves, baseline.facts.leaves)
    mine, its = b.facts.program, baseline.facts.program
    if mine is None or its is None:
        return Cause("unread", time_s, leaves)
    if mine.fingerprint == its.fingerprint:
        explained = abs(time_s) <= _dispatch_limit_s(results, b)
        return Cause("boundary" if explained else "unexplained", time_s, leaves)
    counts = _other_counts(mine, its, "dots", "transposes", "whiles")
    if counts:
        return Cause("operations", time_s, leaves, counts)
    return Cause("other program", time_s, leaves, _other_counts(mine, its, "fusions"))


def _other_counts(mine: ProgramFacts, its: ProgramFacts, *names: str) -> tuple[tuple[str, int, int], ...]:
    found = [(name, getattr(mine, name), getattr(its, name)) for name in names]
    return tuple((name, one, other) for name, one, other in found if one != other)


def _dispatch_limit_s(results: Results, b: Benchmark) -> float:
    """What crossing the jit boundary may cost an arm, by what it costs on the smallest workload of the run."""
    alike = [
        (other.facts.flops, abs(overhead_s(other, baseline_of(benchmarks))))
        for benchmarks in results.groups().values()
        for other in benchmarks
        if (other.name, other.arm.phase, other.arm.division) == (b.name, b.arm.phase, b.arm.division)
    ]
    smallest_flops, seen_s = min(alike)
    return DISPATCH_LIMIT_S if smallest_flops == b.facts.flops else max(DISPATCH_FACTOR * seen_s, DISPATCH_LIMIT_S / 20)


def _overhead(results: Results, b: Benchmark, baseline: Benchmark) -> Overhead:
    time_s = float(np.median(baseline.time_s))
    shares = [ratio - 1 for ratio in (b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high)]
    mine, its = b.facts.program, baseline.facts.program
    return Overhead(
        b.name,
        str(b.arm.workload),
        b.arm.phase,
        b.arm.workload.sizes.get(results.trigru.plan.swept or ""),
        b.facts.leaves,
        *(share * time_s for share in shares),
        *shares,
        same_program=mine is not None and its is not None and mine.fingerprint == its.fingerprint,
    )
