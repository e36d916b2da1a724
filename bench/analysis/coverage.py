"""How often the intervals of short runs hold what a long run finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.record import Results

CONFIDENCE, RESAMPLES = 0.95, 4000


@dataclass(frozen=True)
class Coverage:
    """The intervals of all arms of several runs, held to the ratios of a long one.

    Args:
        runs, intervals: how many there are.
        share: of the intervals, those that hold the long run's ratio.
        low, high: its 95 % interval, from whole runs that are drawn again: what disturbs one disturbs all of its arms.
        width: the median half-width of the intervals, as a share of the ratio.
        by_arm: the share of each arm, by id.
    """

    runs: int
    intervals: int
    share: float
    low: float
    high: float
    width: float
    by_arm: dict[str, float]


def coverage(runs: Sequence[Results], long: Results) -> Coverage:
    """Hold the intervals of runs to the ratios of a long run of the same arms, without the baseline.

    Raises a ValueError if they have no arm in common.
    """
    truth = {b.arm.id: b.facts.ratio for b in long.benchmarks if not b.arm.is_baseline}
    held: dict[str, list[bool]] = {}
    of_runs, widths = [], []
    for run in runs:
        of_run = []
        for b in run.benchmarks:
            if b.arm.id in truth:
                holds = b.facts.ratio_low <= truth[b.arm.id] <= b.facts.ratio_high
                of_run.append(holds)
                held.setdefault(b.arm.id, []).append(holds)
                widths.append(np.log(b.facts.ratio_high / b.facts.ratio_low) / 2)
        of_runs.append(of_run)
    if not held:
        raise ValueError("the runs have no arm in common with the long one")
    shares = np.array([np.mean(of_run) for of_run in of_runs])
    drawn = np.random.default_rng(0).integers(len(shares), size=(RESAMPLES, len(shares)))
    low, high = np.quantile(shares[drawn].mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Coverage(
        len(runs),
        len(widths),
        float(np.mean([holds for of_run in of_runs for holds in of_run])),
        float(low),
        float(high),
        float(np.expm1(np.median(widths))),
        {arm: float(np.mean(holds)) for arm, holds in held.items()},
    )
