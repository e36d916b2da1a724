"""Timing arms against each other: interleaved rounds, outputs blocked on inside the clock, nothing else in it."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.monitoring
import numpy as np

from ..common.errors import TrigruError

__all__ = ["CompiledWhileTimingError", "Samples", "balanced_orders", "sample_rounds"]

#: A sample spans at least this, so that the clock's own cost and resolution vanish in it.
SAMPLE_TIME_S = 10e-3
WARM_UP_CALLS = 3


class CompiledWhileTimingError(TrigruError):
    """XLA compiled inside a timed region: the figures would be wrong, so there are none."""


@dataclass(frozen=True)
class Samples:
    """What the clock said of one arm.

    Args:
        time_s: seconds per call, for each round.
        calls: calls in a sample.
        position: the arm's place within each round.
    """

    time_s: np.ndarray
    calls: int
    position: np.ndarray


def balanced_orders(arms: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """An order of the arms for each round, balanced for position and for what ran just before.

    Over every `arms` rounds each arm takes each position once; over twice as many, each arm follows each other
    equally often (Williams, 1949, https://doi.org/10.1071/CH9490149), so that what an arm leaves behind in caches and
    clocks does not fall on one neighbour. Arms and rounds are shuffled within that.

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
    arms: list[Callable[[], Any]],
    rounds: int,
    *,
    sample_time_s: float = SAMPLE_TIME_S,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Samples]:
    """Time arms in interleaved rounds.

    Every arm runs once a round, in balanced shuffled order. A sample is as many calls as fill
    `sample_time_s`, each blocked on before the next; garbage collection is off while the clock runs.
    All outputs of an XLA program become ready together, so blocking on one that is returned waits for all.

    Args:
        arms: calls without arguments that return JAX arrays; compiled before, or here while warming up.
        rounds: how many; a multiple of the number of arms balances positions exactly.
        sample_time_s: least duration of a sample.
        seed: of the orders.
        progress: called with the rounds done.

    Raises:
        CompiledWhileTimingError: an arm compiled again after its warm-up.
    """
    calls = [_calls_that_fill(arm, sample_time_s) for arm in arms]
    time_s = np.empty((len(arms), rounds))
    position = np.empty((len(arms), rounds), int)
    with _no_compilation(), _no_garbage_collection():
        for number, order in enumerate(balanced_orders(len(arms), rounds, seed)):
            for place, index in enumerate(order):
                time_s[index, number] = _time_call_s(arms[index], calls[index])
                position[index, number] = place
            progress(number + 1)
    return [Samples(*arm) for arm in zip(time_s, calls, position, strict=True)]


def _time_call_s(arm: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(calls):
        jax.block_until_ready(arm())
    return (time.perf_counter_ns() - start) / calls * 1e-9


def _calls_that_fill(arm: Callable[[], Any], sample_time_s: float) -> int:
    for _ in range(WARM_UP_CALLS):
        jax.block_until_ready(arm())
    once_s = min(_time_call_s(arm, 1) for _ in range(3))
    return max(1, round(sample_time_s / once_s))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _no_compilation() -> Iterator[None]:
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    if compiled:
        raise CompiledWhileTimingError(
            f"XLA compiled {len(compiled)} programs while the clock ran. An arm changes the shapes, dtypes or "
            "structure of what it passes from call to call; its figures would include compilation."
        )
