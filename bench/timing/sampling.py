"""Timing arms against each other, in interleaved rounds. Only the calls and the wait for their outputs are timed.

The words are pyperf's: warm-up calls are made until an arm gets no faster, a calibration sets the calls of a sample
(pyperf's loops), and each sample is a value, in seconds per call.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ...common.errors import TrigruError
from ..results.arm import OTHER_CLOCK, Clock
from .watching import watch_build

#: The most calls of a sample on a CPU; see `sample_time_s` of `trigru.bench.results.arm.Plan`. Many short samples are
#: better than few long ones: paired samples lie closer together, and a disturbance spoils fewer calls.
SAMPLE_CALLS = 20
#: So many calls are in flight at least where none is waited for, however long they take: with one there is no flight.
CALLS_IN_FLIGHT = 4
#: Rounds of more seconds report each sample: a process that is silent for minutes is taken to hang.
LONG_ROUND_S = 20.0
#: Warm-up ends when a stretch of calls is at most this much faster than the best stretch before.
STEADY_WITHIN = 0.03
#: After the first time one steady stretch is enough; after the second the warm-up ends, steady or not.
LONG_WARM_UP_S, MAX_WARM_UP_S = 0.5, 5.0


#: Seconds per call of an arm's samples, by clock; the one that leads comes first.
Times = dict[Clock, list[float]]


class CompiledWhileTimingError(TrigruError):
    """XLA compiled inside a timed region, so the times would be wrong."""


@runtime_checkable  # for the type checker of the tests
class Benchmarkable(Protocol):
    """A program: `call` returns outputs that may not be ready, `wait` blocks until these, or a list of several, are."""

    def call(self) -> Any: ...
    def wait(self, outputs: Any) -> Any: ...


class WarmUp(NamedTuple):
    """How an arm was warmed up."""

    steady: bool  # its last stretches were at most 3 % faster than the fastest before
    call_time_s: float  # in the fastest stretch


class Calibration(NamedTuple):
    """How many calls a sample has, by the clock that leads; see `trigru.bench.results.run.Timed`."""

    clock: Clock = "blocked"
    least_calls: int = 1  # however long they take
    most_calls: int | None = SAMPLE_CALLS  # however short they are; None for no bound
    least_sample_s: float = 0.0  # what a sample fills at least, in seconds
    least_warm_up_s: float = 0.0  # what the warm-up takes at least, in seconds

    def calls(self, warmed: WarmUp, sample_time_s: float) -> int:
        """The calls of a sample; see `trigru.bench.results.arm.Plan`.

        >>> [CPU.calls(WarmUp(True, call_time_s), 10e-3) for call_time_s in (1e-5, 3e-3, 1.0)]
        [20, 4, 1]
        """
        filling = math.ceil(
            max(sample_time_s, self.least_sample_s) / warmed.call_time_s
        )
        least = (
            self.least_calls
            if self.clock == "blocked"
            else max(self.least_calls, CALLS_IN_FLIGHT)
        )
        return max(least, min(self.most_calls or filling, filling))


CPU = Calibration()
#: A call of an accelerator returns before it is done, and its clock rate rises while it works.
ACCELERATOR = Calibration(
    "pipelined",
    least_calls=50,
    most_calls=None,
    least_sample_s=50e-3,
    least_warm_up_s=1.0,
)


class Schedule(NamedTuple):
    """The samples of a group of arms that are warm, by clock; the one that leads comes first."""

    calls: dict[Clock, list[int]]  # of a sample of each arm
    round_s: dict[Clock, float]  # about how long a round takes, in seconds

    def rounds(self, leading: int) -> dict[Clock, int]:
        """How many rounds there are by each clock: a quarter as many by the other."""
        return dict(zip(self.calls, (leading, math.ceil(leading / 4)), strict=False))

    def whole_s(self, leading: int) -> float:
        """About how long so many rounds by the clock that leads take, with those by the other, in seconds."""
        return sum(
            number * self.round_s[clock]
            for clock, number in self.rounds(leading).items()
        )


def schedule_of(
    warmed: Sequence[WarmUp],
    sample_time_s: float,
    calibration: Calibration = CPU,
    *,
    both: bool = True,
) -> Schedule:
    """The schedule of arms that were warmed up so; with `both`, also by the clock that does not lead."""
    leading, other = calibration.clock, OTHER_CLOCK[calibration.clock]
    calls = {leading: [calibration.calls(w, sample_time_s) for w in warmed]}
    if both:
        calls[other] = [max(n, CALLS_IN_FLIGHT) for n in calls[leading]]
    times_s = {
        clock: sum(n * w.call_time_s for n, w in zip(calls[clock], warmed, strict=True))
        for clock in calls
    }
    return Schedule(calls, times_s)


def balanced_orders(arms: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """An order of the arms, at least one, for each round, balanced for position and for what ran just before.

    Over every `arms` rounds each arm takes each position once; over twice as many, each arm follows each other
    equally often (Williams, 1949, https://doi.org/10.1071/CH9490149), so that what an arm leaves in the caches, or does
    to the clock rate, does not affect one arm more than others. Arms and rounds are shuffled within that.
    """
    rng = np.random.default_rng(seed)
    zigzag = np.array(
        [(k + 1) // 2 if k % 2 else -(k // 2) for k in range(arms)]
    )  # 0, 1, -1, 2, -2, ...
    produced = 0
    while produced < rounds:
        labels = rng.permutation(arms)
        for pattern in (zigzag, zigzag[::-1]):
            for shift in rng.permutation(arms)[: rounds - produced]:
                yield labels[(pattern + shift) % arms]
                produced += 1


def sample_rounds(
    arms: Sequence[Benchmarkable],
    rounds: int,
    schedule: Schedule,
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
    entering: Callable[[int], None] = lambda index: None,
) -> list[Times | Exception]:
    """Time arms in interleaved rounds.

    Every arm runs once a round, in balanced shuffled order; garbage collection is off while the clock runs. All outputs
    of an XLA program become ready together, so blocking on one of them waits for all. The last rounds, a quarter as
    many, are by the other clock. Returns the samples of each arm, or the exception that it raised.

    Args:
        arms: warm, and so compiled.
        progress: called after each round, or each sample where rounds are long, with its share of the whole time.
        entering: called with the arm's number before each sample, outside of the timed region.
    """
    numbers = schedule.rounds(rounds)
    time_s = {clock: np.zeros((number, len(arms))) for clock, number in numbers.items()}
    orders = [
        (clock, *of)
        for clock in time_s
        for of in enumerate(balanced_orders(len(arms), numbers[clock], seed))
    ]
    failed: dict[int, Exception] = {}
    with _no_garbage_collection():
        for clock, number, order in orders:
            gc.collect()
            share = schedule.round_s[clock] / schedule.whole_s(rounds)
            is_long = schedule.round_s[clock] > LONG_ROUND_S
            for index in order.tolist():
                if index not in failed:
                    entering(index)
                    try:
                        time_s[clock][number, index] = _sample(
                            arms[index], clock, schedule.calls[clock][index]
                        )
                    except Exception as error:  # an arm loses only its own numbers
                        failed[index] = error
                if is_long:
                    progress(share / len(arms))
            if not is_long:
                progress(share)
    return [  # with few digits, for a small file
        failed.get(index)
        or {
            clock: [float(f"{s:.6g}") for s in of[:, index]]
            for clock, of in time_s.items()
        }
        for index in range(len(arms))
    ]


def _sample(arm: Benchmarkable, clock: Clock, calls: int) -> float:
    """Seconds per call. Raises a CompiledWhileTimingError if XLA compiled."""
    with watch_build() as built:
        time_s = _call_time_s(arm, clock, calls)
    if built(0.0).compile_s:
        raise CompiledWhileTimingError(
            "XLA compiled while the clock ran. The arm changes the shapes, dtypes or structure of what it passes from "
            "call to call; its figures would include compilation."
        )
    return time_s


def warm_up(
    arm: Benchmarkable, sample_time_s: float, calibration: Calibration = CPU
) -> WarmUp:
    """Call an arm until two stretches in a row are at most 3 % faster than the fastest before."""
    spent_s, best_s, unchanged = 0.0, np.inf, 0
    at_once = calibration.least_calls
    while spent_s < MAX_WARM_UP_S:
        calls, elapsed_s = 0, 0.0
        while calls == 0 or elapsed_s < sample_time_s:
            elapsed_s += _call_time_s(arm, calibration.clock, at_once) * at_once
            calls += at_once
        spent_s, time_s = spent_s + elapsed_s, elapsed_s / calls
        unchanged = unchanged + 1 if time_s > best_s * (1 - STEADY_WITHIN) else 0
        best_s = min(best_s, time_s)
        if (
            unchanged >= (1 if spent_s > LONG_WARM_UP_S else 2)
            and spent_s >= calibration.least_warm_up_s
        ):
            return WarmUp(True, best_s)
    return WarmUp(False, best_s)


def _call_time_s(arm: Benchmarkable, clock: Clock, calls: int) -> float:
    if clock == "blocked":
        start = time.perf_counter_ns()
        for _ in range(calls):
            arm.wait(arm.call())
    else:
        start = time.perf_counter_ns()
        arm.wait([arm.call() for _ in range(calls)])
    return (time.perf_counter_ns() - start) * 1e-9 / calls


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled, was_frozen = gc.isenabled(), gc.get_freeze_count() > 0
    gc.unfreeze()  # what was frozen around an earlier group may be garbage now
    gc.collect()
    gc.freeze()  # so that collections between rounds only visit objects that the rounds made
    gc.disable()
    try:
        yield
    finally:
        if (
            not was_frozen
        ):  # a measuring process freezes what it imported, and no part can be unfrozen
            gc.unfreeze()
        if was_enabled:
            gc.enable()
