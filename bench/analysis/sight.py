"""The least difference from the baseline that a run finds four times in five."""

import numpy as np
from scipy.stats import t

from ..results.record import Benchmark, Results
from .statistics import CONFIDENCE, between_runs

#: A difference counts as seen if a run finds it with this probability.
POWER = 0.8


def least_seen(b: Benchmark) -> float:
    """The least difference that would have been found in an arm, given its interval and its noise floor; a fraction.

    A verdict needs an effect beyond the reach of its interval, and beyond the floor. The effect that is found varies by
    its standard error and by how runs differ, so the true one has to be larger than that.
    """
    processes = len({*b.process})
    freedom, between = processes - 1 if processes > 1 else np.inf, between_runs(processes)
    half, normal = np.log(b.ratio_high / b.ratio_low) / 2, t.ppf((1 + CONFIDENCE) / 2, np.inf)
    error = max(half**2 - (normal * between) ** 2, 0.0) ** 0.5 / t.ppf((1 + CONFIDENCE) / 2, freedom)

    def reach(share: float) -> float:
        return float(np.hypot(t.ppf(share, freedom) * error, t.ppf(share, np.inf) * between))

    return float(np.expm1(max(reach((1 + CONFIDENCE) / 2), np.log1p(b.floor)) + reach(POWER)))


def sight(results: Results) -> dict[str, float]:
    """For each group, the median over its arms of the least difference that would have been found."""
    arms = {
        group: [least_seen(b) for b in found if not (b.arm.is_baseline or b.arm.way)]
        for group, found in results.groups().items()
    }
    return {group: float(np.median(least)) for group, least in arms.items() if least}
