"""What a run can see: the least difference from the baseline that it finds four times in five."""

import numpy as np
from scipy.stats import t

from ..results.record import Benchmark, Results
from .statistics import CONFIDENCE, between_runs

#: A difference counts as seen if a run finds it with this probability.
POWER = 0.8


def least_seen(b: Benchmark) -> float:
    """The least difference that would have been found in an arm, given its interval and its noise floor; a fraction."""
    processes, reach = len(set(b.process)), np.log(b.ratio_high / b.ratio_low) / 2
    widening = _quantile((1 + CONFIDENCE) / 2, 1) * between_runs(processes)
    own = max(reach**2 - widening**2, 0.0) ** 0.5
    return _least(own / _quantile((1 + CONFIDENCE) / 2, processes), b.floor, processes)


def sight(results: Results) -> dict[str, float]:
    """For each group, the median over its arms of the least difference that would have been found."""
    arms = {
        group: [b for b in found if not (b.arm.is_baseline or b.arm.way)] for group, found in results.groups().items()
    }
    return {group: float(np.median([*map(least_seen, found)])) for group, found in arms.items() if found}


def _least(error: float, floor: float, processes: int) -> float:
    """A verdict needs an effect beyond the reach of its interval, and beyond the floor.

    The effect that is found varies by its standard error and by how runs differ, so the true one has to be larger than
    that.
    """

    def reach(share: float) -> float:
        return float(np.hypot(_quantile(share, processes) * error, _quantile(share, 1) * between_runs(processes)))

    return float(np.expm1(max(reach((1 + CONFIDENCE) / 2), np.log1p(floor)) + reach(POWER)))


def _quantile(share: float, processes: int) -> float:
    """Of Student's t over processes; of one process, the normal distribution's."""
    return float(t.ppf(share, processes - 1 if processes > 1 else np.inf))
