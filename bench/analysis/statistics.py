"""From paired samples to a verdict.

Within a round every arm runs once, so a slow minute of the machine slows all arms. What
is compared is therefore the log-ratio of two arms *within* a round. Processes differ,
for example in where memory lies and how threads are placed. So the effect is the mean
over processes of the median over rounds, and the interval takes both levels into
account. A second copy of the baseline, compiled separately, is treated the same way.
Its ratio should be exactly 1; how far it lies from 1 is the noise floor of that group.
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
#: Fewer, in a single process, bear no 95 % interval, and so no verdict.
LEAST_ROUNDS = 6
#: Of the bootstrap in one process.
RESAMPLES = 4000
#: In each of several processes, where it only bounds the interval from below.
RESAMPLES_EACH = 1000
#: No effect below this is called a difference, however narrow its interval. Two
#: compilations of one function, placed elsewhere in memory, were seen to differ by up
#: to 0.5 %; this is twice as much.
MIN_FLOOR = 0.01
#: The standard deviation of a log-ratio between runs, beyond what the processes of one
#: run tell. The processes of a short run share the programs that one of them compiled,
#: and one stretch of time. Seen in forty short runs: docs/measurement-method.md,
#: "Statistics".
BETWEEN_RUNS = 0.01


@dataclass(frozen=True)
class Effect:
    """A log-ratio with its uncertainty."""

    log_ratio: float  # the mean over processes of the median over rounds
    low: float  # the 95 % interval
    high: float
    standard_error: float  # as far as the processes and rounds of the run tell
    processes: int
    #: A further standard deviation, known beforehand, which the interval contains.
    between_runs: float = 0.0


def compare(
    time_s: np.ndarray,
    baseline_time_s: np.ndarray,
    process: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
) -> TimeComparison:
    """The paired ratio of two arms, from seconds per call in the same rounds.

    See `effect_of`, which says how.
    """
    return as_ratio(effect_of(np.log(time_s) - np.log(baseline_time_s), process, seed))


def effect_of(
    log_ratio: np.ndarray,
    process: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
) -> Effect:
    """The mean over processes of the median over rounds, with its interval.

    In one process the interval is the percentile bootstrap over rounds. In several
    processes it is Student's t over the processes' medians, whose spread contains both
    levels. These few medians may happen to lie closer together than a bootstrap of the
    rounds within the processes allows; then the interval is that of the bootstrap. Of
    two to four processes, the interval also contains how runs were seen to differ.

    Log-ratios that are exactly equal are those of an arm to itself: the interval has no
    width.

    Args:
        log_ratio: of each round.
        process: that of each round; None if all are of one.
        seed: of the bootstrap.
    """
    log_ratio = np.asarray(log_ratio, float)
    by_process = _by_process(log_ratio, process)
    medians = [float(np.median(rounds)) for rounds in by_process]
    centre = float(np.mean(medians))
    processes = len(by_process)

    if np.ptp(log_ratio) == 0:
        return Effect(centre, centre, centre, 0.0, processes)
    if processes == 1:
        ((low, high, error),) = _bootstrap(log_ratio.tobytes(), 1, seed, RESAMPLES)
        return Effect(centre, low, high, error, 1)

    process_error = float(np.std(medians, ddof=1)) / processes**0.5
    round_error = _round_error(by_process, seed)
    reach = max(_t(processes - 1.0) * process_error, _t(np.inf) * round_error)
    error = max(process_error, round_error)
    return _widened(centre, reach, error, processes, between_runs(processes))


def typical_time(time_s: np.ndarray, process: Sequence[int] | np.ndarray) -> float:
    """The seconds of a call: the geometric mean over processes of the median over
    rounds.

    Args:
        time_s: seconds per call, one for each round.
        process: that of each round.
    """
    medians = [np.median(rounds) for rounds in _by_process(np.log(time_s), process)]
    return float(np.exp(np.mean(medians)))


def _by_process(
    rounds: np.ndarray, process: Sequence[int] | np.ndarray | None
) -> list[np.ndarray]:
    """What was measured in each process; all in one where `process` is None."""
    if process is None:
        return [rounds]
    numbers = np.asarray(process)
    return [rounds[numbers == number] for number in np.unique(numbers)]


def _round_error(by_process: Sequence[np.ndarray], seed: int) -> float:
    """The standard error of the mean of medians, by the rounds within the processes."""
    # SciPy warns of what does not vary
    varied = [rounds for rounds in by_process if np.ptp(rounds)]
    squared_errors = []
    for alike in grouped(varied, len).values():
        rounds = np.stack(alike).tobytes()
        for _, _, error in _bootstrap(rounds, len(alike), seed, RESAMPLES_EACH):
            squared_errors.append(error**2)
    return sum(squared_errors) ** 0.5 / len(by_process)


def between_runs(processes: int) -> float:
    """The standard deviation between runs that a run of so many processes does not
    show.

    One process makes no claim about others. With more than four, two processes compile
    and a run takes minutes; two calibrations of ten processes called no identical arm
    different.
    """
    return BETWEEN_RUNS if 1 < processes <= FEW_PROCESSES else 0.0


def compare_effects(new: Effect, old: Effect) -> tuple[TimeComparison, float]:
    """How a ratio changed between two runs, new / old; and the probability that one
    that did not change seems to rise as much.

    The rounds are not paired: squared standard errors add up, with Welch's and
    Satterthwaite's degrees of freedom. How runs of few processes differ is added for
    each of the two. A run of one process counts as infinitely many degrees of freedom,
    and the interval does not contain the difference between processes. The probability
    is one-sided, of the interval's own t.
    """
    squared_error = 0.0
    squared_by_freedom = 0.0
    for effect in (new, old):
        squared_error += effect.standard_error**2
        if effect.processes > 1:
            squared_by_freedom += effect.standard_error**4 / (effect.processes - 1)
    freedom = np.inf
    if squared_by_freedom:
        freedom = squared_error**2 / squared_by_freedom
    error = squared_error**0.5
    reach = _t(freedom) * error if error else 0.0

    between = float(np.hypot(new.between_runs, old.between_runs))
    change = _widened(new.log_ratio - old.log_ratio, reach, error, 1, between)
    widened_reach = change.high - change.log_ratio
    if widened_reach == 0:
        chance = float(np.heaviside(-change.log_ratio, 0.5))
    else:
        t_of_change = change.log_ratio / widened_reach * _t(freedom)
        chance = float(t.sf(t_of_change, freedom))
    return as_ratio(change), chance


def beyond_chance(chances: Sequence[float]) -> list[bool]:
    """Which of many comparisons are believed together.

    They are chosen so that in 95 of 100 runs no arm is believed that did not change,
    however many arms there are, whichever of them changed, and however they depend on
    each other (Holm, Scandinavian Journal of Statistics 6(2), 1979,
    https://www.jstor.org/stable/4615733).

    Args:
        chances: how often an arm that did not change seems to change by as much.
    """
    believed = set()
    for rank, number in enumerate(np.argsort(chances).tolist()):
        left = len(chances) - rank
        if chances[number] > (1 - CONFIDENCE) / left:
            break
        believed.add(number)
    return [number in believed for number in range(len(chances))]


def as_ratio(effect: Effect) -> TimeComparison:
    """An effect as a ratio, as tables show it."""
    ratio, low, high = np.exp([effect.log_ratio, effect.low, effect.high]).tolist()
    return TimeComparison(ratio, low, high)


def noise_floor(duplicate: TimeComparison, processes: int = 1) -> float:
    """The effect that identical code shows here, as a fraction; at least 1 %.

    In one process, it is how far the interval of the duplicate's ratio reaches from 1,
    since that interval does not contain the difference between processes. In several
    processes, the interval contains it; there it is how far the ratio lies from 1.
    """
    ratios = [duplicate.ratio]
    if processes == 1:
        ratios = [duplicate.low, duplicate.high]
    effect = float(np.expm1(np.abs(np.log(ratios)).max()))
    return max(MIN_FLOOR, effect)


def enough_rounds(process: Sequence[int]) -> bool:
    """Whether there are enough rounds for a verdict, given the process of each.

    Fewer than six, in a single process, give no 95 % interval.
    """
    return len(set(process)) > 1 or len(process) >= LEAST_ROUNDS


def verdict(
    comparison: TimeComparison, floor: float, process: Sequence[int] | None = None
) -> Verdict:
    """Say "faster", "slower", or, by default, "indistinguishable".

    A difference needs an interval that excludes 1, an effect above the noise floor,
    which is a fraction, and enough rounds, where the process of each is given.
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
    """An effect whose interval also contains an error between runs.

    That is independent of the others, so squares add up.
    """
    reach = float(np.hypot(reach, _t(np.inf) * between))
    return Effect(centre, centre - reach, centre + reach, error, processes, between)


@lru_cache(maxsize=512)
def _bootstrap(
    log_ratios: bytes, processes: int, seed: int, resamples: int
) -> list[list[float]]:
    """Of each process, the interval, low and high, and standard error of the median.

    Processes of equally many rounds are resampled at once, as each is alone: with the
    same draws. A page shows a ratio in several places; it is resampled for the first.
    """
    rounds = np.frombuffer(log_ratios).reshape(processes, -1)
    result = bootstrap(
        (rounds,),
        np.median,
        n_resamples=resamples,
        axis=-1,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return np.stack([low, high, result.standard_error], axis=-1).tolist()


def _t(freedom: float) -> float:
    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
