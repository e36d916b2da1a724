"""Timing arms against each other, in interleaved rounds. Only the calls and the wait for their outputs are timed."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ...common.errors import TrigruError
from ...common.port.programs import watch_build

#: A sample is this many calls, or fewer that last `sample_time_s`, so that the clock's own cost and resolution do not
#: matter. Many short samples are better than few long ones: paired samples lie closer together, and a disturbance
#: spoils fewer calls.
SAMPLE_CALLS = 20
#: On an accelerator a call returns before it is done. Its samples are of at least so many calls, and so many seconds.
QUEUED_CALLS, QUEUED_SAMPLE_S = 50, 50e-3
#: So many calls are in flight at least where none is waited for, however long they take: with one there is no flight.
CALLS_IN_FLIGHT = 4
#: Rounds of more seconds report each sample: a process that is silent for minutes is taken to hang.
LONG_ROUND_S = 20.0
#: An accelerator's clock rate rises while it works, so it is warmed up for at least so long.
LEAST_WARM_UP_S = 1.0
#: Warm-up ends when a stretch of calls is at most this much faster than the best stretch before.
STEADY_WITHIN = 0.03
#: After this time one steady stretch is enough.
LONG_WARM_UP_S = 0.5
#: After this time the warm-up ends, steady or not.
MAX_WARM_UP_S = 5.0


class CompiledWhileTimingError(TrigruError):
    """XLA compiled inside a timed region, so the times would be wrong."""


@runtime_checkable
class Subject(Protocol):
    """A program that can be called and waited for."""

    def call(self) -> Any:
        """Start a call, and return its outputs, which may not be ready."""
        ...

    def wait(self, outputs: Any) -> Any:
        """Block until outputs, or a list of the outputs of several calls, are ready."""
        ...


class WarmUp(NamedTuple):
    """How an arm was brought to a steady state.

    Args:
        steady: whether the last stretches were no faster than those before.
        call_time_s: seconds per call in the fastest stretch.
    """

    calls: int
    steady: bool
    call_time_s: float


class Pace(NamedTuple):
    """How arms are called while a clock runs.

    Args:
        clock: what leads, "blocked" or "pipelined"; see `trigru.bench.results.run.Timed`.
        least_calls: of a sample, however long they take.
        most_calls: of a sample, if they last less than `sample_time_s`; None for no bound.
        least_sample_s: how long a sample lasts at least, if that is more than is asked for, in seconds.
        least_warm_up_s: how long the warm-up lasts at least, in seconds.
    """

    clock: str = "blocked"
    least_calls: int = 1
    most_calls: int | None = SAMPLE_CALLS
    least_sample_s: float = 0.0
    least_warm_up_s: float = 0.0


CPU_PACE = Pace()
ACCELERATOR_PACE = Pace("pipelined", QUEUED_CALLS, None, QUEUED_SAMPLE_S, LEAST_WARM_UP_S)


def pace_of(backend: str) -> Pace:
    """The pace of a platform, by JAX's name of it."""
    return CPU_PACE if backend == "cpu" else ACCELERATOR_PACE


class Samples(NamedTuple):
    """The times of one arm, as in `trigru.bench.results.run.Timed`; time_s is in seconds per call."""

    time_s: np.ndarray
    other_s: np.ndarray
    clock: str
    calls: int
    position: np.ndarray
    started_s: np.ndarray
    warm_up: WarmUp


def balanced_orders(arms: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """An order of the arms for each round, balanced for position and for what ran just before.

    Over every `arms` rounds each arm takes each position once; over twice as many, each arm follows each other
    equally often (Williams, 1949, https://doi.org/10.1071/CH9490149), so that what an arm leaves in the caches, or does
    to the clock rate, does not affect one arm more than others. Arms and rounds are shuffled within that.

    >>> orders = np.stack(list(balanced_orders(4, 8, seed=0)))
    >>> [sorted(orders[:4, position].tolist()) for position in range(4)]
    [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    """
    rng = np.random.default_rng(seed)
    zigzag = np.array([(k + 1) // 2 if k % 2 else -(k // 2) for k in range(arms)])  # 0, 1, -1, 2, -2, ...
    produced = 0
    while produced < rounds:
        labels = rng.permutation(arms)
        for pattern in (zigzag, zigzag[::-1]):
            for shift in rng.permutation(arms)[: rounds - produced]:
                yield labels[(pattern + shift) % arms]
                produced += 1


def sample_rounds(
    arms: Sequence[Subject],
    rounds: int,
    *,
    sample_time_s: float,
    seed: int = 0,
    pace: Pace = CPU_PACE,
    warm: Sequence[WarmUp] | None = None,
    progress: Callable[[float], None] = lambda share: None,
    entering: Callable[[int], None] = lambda index: None,
    both: bool = True,
) -> list[Samples | Exception]:
    """Time arms in interleaved rounds.

    Every arm runs once a round, in balanced shuffled order. A sample is as many calls as fill `sample_time_s`, or
    twenty, by the clock that leads; garbage collection is off while it runs. All outputs of an XLA program become ready
    together, so blocking on one of them waits for all. After that, a quarter as many rounds are by the other clock.
    Without waiting, a sample has four calls at least.

    Args:
        arms: compiled already, or compiled by the warm-up.
        rounds: how many. A multiple of the number of arms balances positions exactly.
        pace: of the platform.
        warm: how each arm was warmed up; None to warm up here.
        progress: called after each round, or each sample where rounds are long, with its share of the whole time.
        both: take a quarter as many rounds by the other clock, too.
        entering: called with the arm's number before each sample, outside of the timed region.

    Returns:
        The samples of each arm, or the exception that it raised: CompiledWhileTimingError if it compiled again.
    """
    warm = [warm_up(arm, sample_time_s, pace) for arm in arms] if warm is None else warm
    leading, other = _clocks(pace)
    calls = [calls_in_a_sample(w, sample_time_s, pace) for w in warm]
    others = [max(n, CALLS_IN_FLIGHT) for n in calls]
    passes = [(leading, rounds, calls), (other, math.ceil(rounds / 4) if both else 0, others)]
    round_s = [sum(n * w.call_time_s for n, w in zip(of_calls, warm, strict=True)) for _, _, of_calls in passes]
    whole_s = sum(of_rounds * time_s for (_, of_rounds, _), time_s in zip(passes, round_s, strict=True))
    failed: dict[int, Exception] = {}
    found = []
    with watch_build() as built, _no_garbage_collection():
        for (clock, of_rounds, of_calls), expected_s in zip(passes, round_s, strict=True):
            time_s, started_s = np.full((2, len(arms), of_rounds), np.nan)
            position = np.empty((len(arms), of_rounds), int)
            steps = len(arms) if expected_s > LONG_ROUND_S else 1
            for number, order in enumerate(balanced_orders(len(arms), of_rounds, seed)):
                gc.collect()
                position[order, number] = range(len(arms))
                for place, index in enumerate(order.tolist(), 1):
                    if index not in failed:
                        entering(index)
                        compiled_s = built(0.0).compile_s
                        started_s[index, number] = time.time()
                        try:
                            time_s[index, number] = clock(arms[index], of_calls[index])
                            if built(0.0).compile_s > compiled_s:
                                raise CompiledWhileTimingError(
                                    "XLA compiled while the clock ran. The arm changes the shapes, dtypes or structure "
                                    "of what it passes from call to call; its figures would include compilation."
                                )
                        except Exception as error:  # an arm loses only its own numbers
                            failed[index] = error
                    if steps > 1 or place == len(arms):
                        progress(expected_s / whole_s / steps)
            found.append((time_s, position, started_s))
    (time_s, position, started_s), (other_s, _, _) = found
    rows = zip(time_s, other_s, [pace.clock] * len(arms), calls, position, started_s, warm, strict=True)
    return [failed.get(index) or Samples(*row) for index, row in enumerate(rows)]


def calls_in_a_sample(warm: WarmUp, sample_time_s: float, pace: Pace = CPU_PACE) -> int:
    """How many calls a sample of the clock that leads has.

    Enough to last that long, or twenty; without waiting at least four, on an accelerator fifty.

    >>> [calls_in_a_sample(WarmUp(9, True, call_time_s), 10e-3) for call_time_s in (1e-5, 3e-3, 1.0)]
    [20, 4, 1]
    >>> [calls_in_a_sample(WarmUp(9, True, call_time_s), 10e-3, ACCELERATOR_PACE) for call_time_s in (1e-5, 3e-3)]
    [5000, 50]
    """
    filling = math.ceil(max(sample_time_s, pace.least_sample_s) / warm.call_time_s)
    least = pace.least_calls if pace.clock == "blocked" else max(pace.least_calls, CALLS_IN_FLIGHT)
    return max(least, min(pace.most_calls or filling, filling))


def warm_up(arm: Subject, sample_time_s: float, pace: Pace = CPU_PACE) -> WarmUp:
    """Call an arm until it is steady.

    Stretches of calls, each as long as a sample, are timed until two in a row are at most 3 % faster than the fastest
    stretch before.
    """
    calls, spent_s, best_s, unchanged, (clock, _) = 0, 0.0, np.inf, 0, _clocks(pace)
    while spent_s < MAX_WARM_UP_S:
        n, elapsed_s = 0, 0.0
        while n == 0 or elapsed_s < sample_time_s:
            elapsed_s += clock(arm, pace.least_calls) * pace.least_calls
            n += pace.least_calls
        calls, spent_s, time_s = calls + n, spent_s + elapsed_s, elapsed_s / n
        unchanged = unchanged + 1 if time_s > best_s * (1 - STEADY_WITHIN) else 0
        best_s = min(best_s, time_s)
        if unchanged >= (1 if spent_s > LONG_WARM_UP_S else 2) and spent_s >= pace.least_warm_up_s:
            return WarmUp(calls, True, best_s)
    return WarmUp(calls, False, best_s)


def _clocks(pace: Pace) -> tuple[Callable[[Subject, int], float], Callable[[Subject, int], float]]:
    """The clock that leads, and the other one."""
    return (_blocked, _pipelined) if pace.clock == "blocked" else (_pipelined, _blocked)


def _blocked(arm: Subject, calls: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(calls):
        arm.wait(arm.call())
    return (time.perf_counter_ns() - start) * 1e-9 / calls


def _pipelined(arm: Subject, calls: int) -> float:
    start = time.perf_counter_ns()
    arm.wait([arm.call() for _ in range(calls)])
    return (time.perf_counter_ns() - start) * 1e-9 / calls


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # so that collections between rounds only visit objects that the rounds made
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
