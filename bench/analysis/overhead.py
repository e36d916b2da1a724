"""What a framework costs over plain JAX: per call, per leaf, and up to which model size it matters."""

from dataclasses import dataclass

import numpy as np

from ...common.gru.kernels import STOCK
from ..results.record import Benchmark, Results
from .rates import baseline_of

#: An overhead below this share of the baseline's time is negligible.
NEGLIGIBLE = 0.01


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


def overheads(results: Results) -> list[Overhead]:
    """The overhead of every arm of the stock division, without the baseline."""
    found = []
    for benchmarks in results.groups().values():
        if benchmarks[0].arm.division != STOCK:
            continue
        baseline = baseline_of(benchmarks)
        found += [_overhead(results, b, baseline) for b in benchmarks if b.arm.role == "arm" and not b.arm.way]
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


def _overhead(results: Results, b: Benchmark, baseline: Benchmark) -> Overhead:
    time_s = float(np.median(baseline.time_s))
    shares = [ratio - 1 for ratio in (b.ratio, b.ratio_low, b.ratio_high)]
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
