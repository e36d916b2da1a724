"""From paired samples to a verdict, and no further than the data go.

Within a round every arm runs once, so that a slow minute of the machine slows them all: what is compared is the
log-ratio of two arms *within* a round. Its median over rounds is the effect; a bootstrap over rounds gives the
interval. A second copy of the baseline, compiled on its own, goes through the same: it should be exactly 1, and how
far its interval reaches from 1 is the noise floor of that group.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

__all__ = ["MIN_FLOOR", "Comparison", "compare", "noise_floor", "verdict"]

CONFIDENCE = 0.95
RESAMPLES = 4000

#: No effect below this is called a difference, however clean its interval: two compilations of one function,
#: in other places of memory, were seen to differ by up to 0.5 %; the margin is twofold.
MIN_FLOOR = 0.01


@dataclass(frozen=True)
class Comparison:
    """How many times as long one arm takes as another, per call.

    Args:
        ratio: median over rounds of time / baseline time.
        low, high: its 95 % bootstrap interval.
    """

    ratio: float
    low: float
    high: float


def compare(time_s: np.ndarray, baseline_time_s: np.ndarray, seed: int = 0) -> Comparison:
    """The paired ratio of two arms.

    Args:
        time_s: seconds per call, one for each round.
        baseline_time_s: the same rounds of the arm it is held against.
        seed: of the bootstrap.

    >>> rng = np.random.default_rng(0)
    >>> machine = rng.lognormal(0, 0.5, 40)  # a noisy machine slows both alike
    >>> found = compare(1.1 * machine, machine)
    >>> round(found.ratio, 3), round(found.low, 3), round(found.high, 3)
    (1.1, 1.1, 1.1)
    """
    log_ratio = np.log(np.asarray(time_s)) - np.log(np.asarray(baseline_time_s))
    ratio = float(np.exp(np.median(log_ratio)))
    if np.ptp(log_ratio) == 0:
        return Comparison(ratio, ratio, ratio)
    interval = bootstrap(
        (log_ratio,),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Comparison(ratio, float(np.exp(interval.low)), float(np.exp(interval.high)))


def noise_floor(duplicate: Comparison) -> float:
    """The effect that identical code may show here, as a fraction: how far the A/A interval reaches from 1.

    >>> round(noise_floor(Comparison(1.001, 0.96, 1.02)), 4)
    0.0417
    """
    return max(MIN_FLOOR, float(np.expm1(max(abs(np.log(duplicate.low)), abs(np.log(duplicate.high))))))


def verdict(comparison: Comparison, floor: float) -> str:
    """Say "faster", "slower", or, by default, "indistinguishable".

    A difference needs both: an interval that excludes 1, and an effect above the noise floor.

    >>> verdict(Comparison(1.05, 1.04, 1.06), floor=0.02)
    'slower'
    >>> verdict(Comparison(1.05, 1.04, 1.06), floor=0.08)
    'indistinguishable'
    """
    beyond_floor = abs(np.log(comparison.ratio)) > np.log1p(floor)
    if beyond_floor and comparison.low > 1:
        return "slower"
    if beyond_floor and comparison.high < 1:
        return "faster"
    return "indistinguishable"
