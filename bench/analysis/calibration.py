"""Verdicts on arms whose true difference is known: how many are wrong, and how many differences are found."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from ..results.record import Benchmark, Results


@dataclass(frozen=True)
class Row:
    """The verdicts on arms with one true difference.

    Args:
        slowed: the share by which the arms were made to take longer; 0 where they are identical to the baseline.
        workload: name; "" for all together.
        arms, slower, faster: how many arms there are, and how many got that verdict.
        share: of identical arms, those that were called different; of slowed arms, those that were called slower.
        low, high: 95 % interval of the share (Clopper and Pearson).
        ratio, floor: medians over the arms.
    """

    slowed: float
    workload: str
    arms: int
    slower: int
    faster: int
    share: float
    low: float
    high: float
    ratio: float
    floor: float


def calibration_rows(results: Results) -> list[Row]:
    """How often identical and slowed arms were called slower, faster or neither, all together and by workload.

    The duplicate of each group is left out: it defines the noise floor, so it cannot exceed it.
    """
    cases: dict[tuple[float, str], list[Benchmark]] = defaultdict(list)
    for b in results.benchmarks:
        if b.arm.role == "calibration":
            cases[b.arm.slowed, str(b.arm.workload)].append(b)
            cases[b.arm.slowed, ""].append(b)
    return [_row(*case, found) for case, found in sorted(cases.items())]


def _row(slowed: float, workload: str, found: list[Benchmark]) -> Row:
    slower, faster = (sum(b.facts.verdict == verdict for b in found) for verdict in ("slower", "faster"))
    counted = slower if slowed else slower + faster
    interval = binomtest(counted, len(found)).proportion_ci()
    return Row(
        slowed=slowed,
        workload=workload,
        arms=len(found),
        slower=slower,
        faster=faster,
        share=counted / len(found),
        low=interval.low,
        high=interval.high,
        ratio=float(np.median([b.facts.ratio for b in found])),
        floor=float(np.median([b.facts.floor for b in found])),
    )
