"""From paired samples to a verdict.

Within a round every arm runs once, so a slow minute of the machine slows all arms. What is compared is therefore the
log-ratio of two arms *within* a round. Processes differ, for example in where memory lies and how threads are placed.
So the effect is the mean over processes of the median over rounds, and the interval takes both levels into account. A
second copy of the baseline, compiled separately, is treated the same way. Its ratio should be exactly 1; how far it
lies from 1 is the noise floor of that group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import bootstrap, t

from ..arms.arms import FEW_PROCESSES
from ..results.grouping import grouped
from .comparison import TimeComparison, Verdict

CONFIDENCE = 0.95
LEAST_ROUNDS = 6  # fewer, in a single process, bear no 95 % interval, and so no verdict
#: Of the bootstrap: in one process, and in each of several, where it only bounds the interval from below.
RESAMPLES, RESAMPLES_EACH = 4000, 1000
#: No effect below this is called a difference, however narrow its interval. Two compilations of one function, placed
#: elsewhere in memory, were seen to differ by up to 0.5 %; this is twice as much.
MIN_FLOOR = 0.01
#: The standard deviation of a log-ratio between runs, beyond what the processes of one run tell. The processes of a
#: short run share the programs that one of them compiled, and one stretch of time. Seen in forty short runs:
#: docs/measurement-method.md, "Statistics".
BETWEEN_RUNS = 0.01


@dataclass(frozen=True)
class Effect:
    """A log-ratio with its uncertainty."""

    log_ratio: float  # the mean over processes of the median over rounds
    low: float  # the 95 % interval
    high: float
    standard_error: (
        float  # of log_ratio, as far as the processes and rounds of the run tell
    )
    processes: int
    between_runs: float = 0.0  # a further standard deviation, known beforehand, which the interval contains


def compare(
    time_s: np.ndarray,
    baseline_time_s: np.ndarray,
    process: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
) -> TimeComparison:
    """The paired ratio of two arms, from seconds per call in the same rounds; `effect_of` has the rest."""
    return as_ratio(effect_of(np.log(time_s) - np.log(baseline_time_s), process, seed))


def effect_of(
    log_ratio: np.ndarray,
    process: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
) -> Effect:
    """The mean over processes of the median over rounds, with its interval, given each round's process; None: one.

    In one process the interval is the percentile bootstrap over rounds. In several processes it is Student's t over the
    processes' medians, whose spread contains both levels. These few medians may happen to lie closer together than a
    bootstrap of the rounds within the processes allows; then the interval is that of the bootstrap. Of two to four
    processes, the interval also contains how runs were seen to differ.

    Log-ratios that are exactly equal are those of an arm to itself: the interval has no width.
    """
    log_ratio = np.asarray(log_ratio, float)
    process = np.zeros(len(log_ratio), int) if process is None else np.asarray(process)
    by_process = [log_ratio[process == p] for p in np.unique(process)]
    medians = tuple(float(np.median(rounds)) for rounds in by_process)
    centre, P = float(np.mean(medians)), len(by_process)
    if np.ptp(log_ratio) == 0:
        return Effect(centre, centre, centre, 0.0, P)
    if P == 1:
        ((low, high, error),) = _bootstrap(log_ratio.tobytes(), 1, seed, RESAMPLES)
        return Effect(centre, low, high, error, 1)
    varied = [
        rounds for rounds in by_process if np.ptp(rounds)
    ]  # SciPy warns of what does not vary
    squared_errors = [
        error**2
        for alike in grouped(varied, len).values()
        for _, _, error in _bootstrap(
            np.stack(alike).tobytes(), len(alike), seed, RESAMPLES_EACH
        )
    ]
    of_rounds, of_processes = (
        sum(squared_errors) ** 0.5 / P,
        float(np.std(medians, ddof=1)) / P**0.5,
    )
    reach = max(_t(P - 1.0) * of_processes, _t(np.inf) * of_rounds)
    return _widened(centre, reach, max(of_processes, of_rounds), P, between_runs(P))


def between_runs(processes: int) -> float:
    """The standard deviation between runs that is added to what a run of so many processes shows.

    One process makes no claim about others. With more than four, two processes compile and a run takes minutes; two
    calibrations of ten processes called no identical arm different.
    """
    return BETWEEN_RUNS if 1 < processes <= FEW_PROCESSES else 0.0


def compare_effects(new: Effect, old: Effect) -> tuple[TimeComparison, float]:
    """How a ratio changed between two runs, new / old, and the probability that an unchanged one seems to rise as much.

    The rounds are not paired: squared standard errors add up, with Welch's and Satterthwaite's degrees of freedom. How
    runs of few processes differ is added for each of the two. A run of one process counts as infinitely many degrees of
    freedom, and the interval does not contain the difference between processes. The probability is one-sided, of the
    interval's own t.
    """
    counted = sum(
        e.standard_error**4 / (e.processes - 1) for e in (new, old) if e.processes > 1
    )
    squared = new.standard_error**2 + old.standard_error**2
    freedom, error = squared**2 / counted if counted else np.inf, squared**0.5
    between = float(np.hypot(new.between_runs, old.between_runs))
    change = _widened(
        new.log_ratio - old.log_ratio,
        _t(freedom) * error if error else 0.0,
        error,
        1,
        between,
    )
    reach = change.high - change.log_ratio
    if reach == 0:
        return as_ratio(change), float(np.heaviside(-change.log_ratio, 0.5))
    return as_ratio(change), float(
        t.sf(change.log_ratio / reach * _t(freedom), freedom)
    )


def beyond_chance(chances: Sequence[float]) -> list[bool]:
    """Which of many comparisons are believed together, so that in 95 of 100 runs no arm is that did not change.

    However many arms there are, whichever of them changed, and however they depend on each other (Holm, Scandinavian
    Journal of Statistics 6(2), 1979, https://www.jstor.org/stable/4615733).
    """
    ordered = np.argsort(chances)
    left = np.arange(len(chances), 0, -1)
    passes = np.asarray(chances, float)[ordered] <= (1 - CONFIDENCE) / left
    believed = {*ordered[: int(np.argmin([*passes, False]))].tolist()}
    return [number in believed for number in range(len(chances))]


def as_ratio(effect: Effect) -> TimeComparison:
    """An effect as a ratio, as tables show it."""
    return TimeComparison(
        *(float(np.exp(x)) for x in (effect.log_ratio, effect.low, effect.high))
    )


def noise_floor(duplicate: TimeComparison, processes: int = 1) -> float:
    """The effect that identical code shows here, as a fraction; at least 1 %.

    In one process, it is how far the A/A interval reaches from 1, since that interval does not contain the difference
    between processes. In several processes, the interval contains it; there it is how far the A/A ratio lies from 1.
    """
    seen = (duplicate.low, duplicate.high) if processes == 1 else (duplicate.ratio,)
    return max(MIN_FLOOR, float(np.expm1(max(abs(np.log(ratio)) for ratio in seen))))


def enough_rounds(process: Sequence[int]) -> bool:
    """Whether there are enough rounds for a verdict. Fewer than six, in a single process, give no 95 % interval."""
    return len(set(process)) > 1 or len(process) >= LEAST_ROUNDS


def verdict(
    comparison: TimeComparison, floor: float, process: Sequence[int] | None = None
) -> Verdict:
    """Say "faster", "slower", or, by default, "indistinguishable".

    A difference needs an interval that excludes 1, an effect above the noise floor, which is a fraction, and enough
    rounds, where the process of each is given.
    """
    is_certain = process is None or enough_rounds(process)
    if is_certain and abs(np.log(comparison.ratio)) > np.log1p(floor):
        if comparison.low > 1:
            return "slower"
        if comparison.high < 1:
            return "faster"
    return "indistinguishable"


def _widened(
    centre: float, reach: float, error: float, processes: int, between: float
) -> Effect:
    """An effect whose interval also contains an error between runs, which is independent: squares add up."""
    reach = float(np.hypot(reach, _t(np.inf) * between))
    return Effect(centre, centre - reach, centre + reach, error, processes, between)


@lru_cache(maxsize=512)
def _bootstrap(
    log_ratios: bytes, processes: int, seed: int, resamples: int
) -> tuple[list[float], ...]:
    """SciPy's interval, low and high, and standard error of the median over each process's rounds.

    Processes of equally many rounds are resampled at once, as each is alone: with the same draws. A page shows a ratio
    in several places; it is resampled for the first of them.
    """
    rounds, rng = (
        np.frombuffer(log_ratios).reshape(processes, -1),
        np.random.default_rng(seed),
    )
    found = bootstrap(
        (rounds,),
        np.median,
        n_resamples=resamples,
        axis=-1,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=rng,
    )
    return tuple(
        np.stack([*found.confidence_interval, found.standard_error]).T.tolist()
    )


def _t(freedom: float) -> float:
    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
