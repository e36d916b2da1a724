"""Timing arms against each other, in interleaved rounds.

Only the calls and the wait for their outputs are timed. The words are pyperf's: warm-up
calls are made until an arm gets no faster, a calibration sets the calls of a sample
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

#: The most calls of a sample on a CPU; see `sample_time_s` of
#: `trigru.bench.results.arm.Plan`. Many short samples are better than few long ones:
#: paired samples lie closer together, and a disturbance spoils fewer calls.
SAMPLE_CALLS = 20
#: So many calls are in flight at least where none is waited for, however long they
#: take: with one there is no flight.
CALLS_IN_FLIGHT = 4
#: Rounds of more seconds report each sample: a process that is silent for minutes is
#: taken to hang.
LONG_ROUND_S = 20.0
#: Warm-up ends when a stretch of calls is at most this much faster than the best
#: before.
STEADY_WITHIN = 0.03
#: After this time one steady stretch is enough; before, two in a row are needed.
LONG_WARM_UP_S = 0.5
#: After this time the warm-up ends, steady or not.
MAX_WARM_UP_S = 5.0

#: Seconds per call of an arm's samples, by clock; the one that leads comes first.
Times = dict[Clock, list[float]]


class CompiledWhileTimingError(TrigruError):
    """XLA compiled inside a timed region, so the times would be wrong."""


@runtime_checkable  # for the type checker of the tests
class Benchmarkable(Protocol):
    """A program.

    `call` returns outputs that may not be ready; `wait` blocks until these, or a list
    of several, are.
    """

    def call(self) -> Any: ...
    def wait(self, outputs: Any) -> Any: ...


class WarmUp(NamedTuple):
    """How an arm was warmed up."""

    steady: bool  # its last stretches were at most 3 % faster than the fastest before
    call_time_s: float  # in the fastest stretch


class Calibration(NamedTuple):
    """How many calls a sample has, by the clock that leads."""

    clock: Clock = "blocked"
    least_calls: int = 1  # however long they take
    most_calls: int | None = SAMPLE_CALLS  # however short they are; None for no bound
    least_sample_s: float = 0.0  # what a sample fills at least, in seconds
    least_warm_up_s: float = 0.0  # what the warm-up takes at least, in seconds

    def calls(self, warmed: WarmUp, sample_time_s: float) -> int:
        """The calls of a sample; see `trigru.bench.results.arm.Plan`.

        >>> times_s = (1e-5, 3e-3, 1.0)
        >>> [CPU.calls(WarmUp(True, call_time_s), 10e-3) for call_time_s in times_s]
        [20, 4, 1]
        """
        filled_s = max(sample_time_s, self.least_sample_s)
        calls = math.ceil(filled_s / warmed.call_time_s)
        if self.most_calls is not None:
            calls = min(calls, self.most_calls)
        if self.clock == "pipelined":
            calls = max(calls, CALLS_IN_FLIGHT)
        return max(calls, self.least_calls)


CPU = Calibration()
#: A call of an accelerator returns before it is done, and its clock rate rises while it
#: works.
ACCELERATOR = Calibration(
    "pipelined",
    least_calls=50,
    most_calls=None,
    least_sample_s=50e-3,
    least_warm_up_s=1.0,
)


class Schedule(NamedTuple):
    """The samples of a group of arms that are warm, by clock; the leading one comes
    first.
    """

    calls: dict[Clock, list[int]]  # of a sample of each arm
    round_s: dict[Clock, float]  # about how long a round takes, in seconds

    def rounds(self, leading: int) -> dict[Clock, int]:
        """How many rounds there are by each clock: a quarter as many by the other."""
        numbers = (leading, math.ceil(leading / 4))
        return dict(zip(self.calls, numbers, strict=False))

    def whole_s(self, leading: int) -> float:
        """About how long all rounds take, in seconds.

        Args:
            leading: how many rounds there are by the clock that leads.
        """
        whole_s = 0.0
        for clock, rounds in self.rounds(leading).items():
            whole_s += rounds * self.round_s[clock]
        return whole_s


def schedule_of(
    warmed: Sequence[WarmUp],
    sample_time_s: float,
    calibration: Calibration = CPU,
    *,
    both: bool = True,
) -> Schedule:
    """The schedule of arms that were warmed up so.

    Args:
        both: whether the arms are also timed by the clock that does not lead.
    """
    leading = calibration.clock
    calls = {leading: [calibration.calls(warm, sample_time_s) for warm in warmed]}
    if both:
        in_flight = [max(number, CALLS_IN_FLIGHT) for number in calls[leading]]
        calls[OTHER_CLOCK[leading]] = in_flight
    round_s = {}
    for clock, numbers in calls.items():
        pairs = zip(numbers, warmed, strict=True)
        round_s[clock] = sum(number * warm.call_time_s for number, warm in pairs)
    return Schedule(calls, round_s)


def balanced_orders(arms: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """An order of the arms, at least one, for each round.

    Orders are balanced for position and for what ran just before. Over every `arms`
    rounds each arm takes each position once; over twice as many, each arm follows each
    other equally often (Williams, 1949, https://doi.org/10.1071/CH9490149). So what an
    arm leaves in the caches, or does to the clock rate, does not affect one arm more
    than others. Arms and rounds are shuffled within that.
    """
    rng = np.random.default_rng(seed)
    k = np.arange(arms)
    zigzag = np.where(k % 2 == 1, (k + 1) // 2, -(k // 2))  # 0, 1, -1, 2, -2, ...
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

    Every arm runs once a round, in balanced shuffled order; garbage collection is off
    while the clock runs. All outputs of an XLA program become ready together, so
    blocking on one of them waits for all. The last rounds, a quarter as many, are by
    the other clock. Returns the samples of each arm, or the exception that it raised.

    Args:
        arms: warm, and so compiled.
        rounds: how many there are by the clock that leads.
        progress: called after each round, or each sample where rounds are long, with
            its share of the whole time.
        entering: called with the arm's number before each sample, outside of the timed
            region.
    """
    times: list[Times] = [{clock: [] for clock in schedule.calls} for _ in arms]
    failures: dict[int, Exception] = {}

    def sample(index: int, clock: Clock) -> None:
        if index in failures:
            return
        entering(index)
        try:
            time_s = _sample(arms[index], clock, schedule.calls[clock][index])
        except Exception as error:  # an arm loses only its own numbers
            failures[index] = error
        else:
            times[index][clock].append(float(f"{time_s:.6g}"))  # for a small file

    with _no_garbage_collection():
        for clock, number in schedule.rounds(rounds).items():
            share = schedule.round_s[clock] / schedule.whole_s(rounds)
            is_long = schedule.round_s[clock] > LONG_ROUND_S
            for order in balanced_orders(len(arms), number, seed):
                gc.collect()
                for index in order.tolist():
                    sample(index, clock)
                    if is_long:
                        progress(share / len(arms))
                if not is_long:
                    progress(share)
    return [failures.get(index, times[index]) for index in range(len(arms))]


def _sample(arm: Benchmarkable, clock: Clock, calls: int) -> float:
    """Seconds per call. Raises a CompiledWhileTimingError if XLA compiled."""
    with watch_build() as built:
        time_s = _call_time_s(arm, clock, calls)
    if built(0.0).compile_s:
        raise CompiledWhileTimingError(
            "XLA compiled while the clock ran. The arm changes the shapes, dtypes or "
            "structure of what it passes from call to call; its figures would include "
            "compilation."
        )
    return time_s


def warm_up(
    arm: Benchmarkable, sample_time_s: float, calibration: Calibration = CPU
) -> WarmUp:
    """Call an arm until two stretches in a row are at most 3 % faster than the fastest
    before.
    """
    spent_s = 0.0
    best_s = np.inf
    steady_stretches = 0
    while spent_s < MAX_WARM_UP_S:
        calls = 0
        elapsed_s = 0.0
        while calls == 0 or elapsed_s < sample_time_s:
            at_once = calibration.least_calls
            elapsed_s += _call_time_s(arm, calibration.clock, at_once) * at_once
            calls += at_once
        spent_s += elapsed_s
        call_time_s = elapsed_s / calls

        if call_time_s > best_s * (1 - STEADY_WITHIN):
            steady_stretches += 1
        else:
            steady_stretches = 0
        best_s = min(best_s, call_time_s)
        needed = 1 if spent_s > LONG_WARM_UP_S else 2
        is_steady = steady_stretches >= needed
        if is_steady and spent_s >= calibration.least_warm_up_s:
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
    was_enabled = gc.isenabled()
    was_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()  # what was frozen around an earlier group may be garbage now
    gc.collect()
    # so that collections between rounds only visit objects that the rounds made
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        # a measuring process freezes what it imported, and no part can be unfrozen
        if not was_frozen:
            gc.unfreeze()
        if was_enabled:
            gc.enable()
