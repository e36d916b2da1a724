"""What measures: a fresh interpreter that takes a request on stdin and answers in lines of JSON on stdout.

The parent, `trigru.bench.run`, merges the answers of several of these. Whatever a framework prints goes to stderr.
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import jax
import msgspec
import numpy as np

from ..common.errors import TrigruError
from .arms import Arm, Ready, expected_of, prepare
from .ceilings import measure_ceilings
from .machine import describe_machine
from .plan import MATMUL_PRECISION, Plan
from .programs import Build, read_program, watch_build
from .records import Answer, GroupRecord, Measured, Request, Started, Underway, Untimed
from .references import keep_in
from .sampling import Samples, WarmUp, sample_rounds, warm_up

__all__ = ["measure", "measure_group"]

#: A round of the large workload takes seconds; beyond this time, over all processes, a group stops adding rounds.
GROUP_TIME_S = 40.0
#: Rounds of a group, over all processes, that it gets at least.
MIN_ROUNDS = 11
#: Compiling keeps one core busy; timing never shares the machine.
COMPILE_THREADS = 2


def measure(request: Request, answer: Callable[[Answer], None]) -> None:
    """Measure what is asked for, group by group."""
    keep_in(Path(request.folder))
    groups = request.plan.groups()
    with jax.default_matmul_precision(MATMUL_PRECISION):
        dtypes = {arm.dtype for arms in groups.values() for arm in arms}
        answer(Underway("measure the machine's limits", 0.0))
        answer(
            Started(
                describe_machine(request.plan.packages()), {dtype: measure_ceilings(dtype) for dtype in sorted(dtypes)}
            )
        )
        for name in request.groups:
            answer(measure_group(request, groups[name], answer))


def measure_group(request: Request, arms: list[Arm], answer: Callable[[Answer], None]) -> GroupRecord:
    """Compile, hold to the oracle and time the arms of one group."""
    plan, group = request.plan, arms[0].group
    part = 1 / len(request.groups)
    untimed: list[Untimed] = []

    def lose(arm: Arm, error: Exception | str) -> None:
        reason = error if isinstance(error, str) else _reason(error)
        untimed.append(Untimed(arm.id, arm.group, arm.name, reason))

    ready: list[tuple[Ready, Build | None]] = []
    lost = {arm.id: request.lost.get(arm.id) or plan.excluded.get(arm.port) for arm in arms}
    answer(Underway(f"ask the oracle about {group}", 0.0, group))
    for arm in arms:  # before the threads ask at once
        if lost[arm.id] is None:
            with suppress(TrigruError):
                expected_of(arm)
    with ThreadPoolExecutor(COMPILE_THREADS) as pool:
        asked = [arm for arm in arms if lost[arm.id] is None]
        pending = [] if request.alone else [pool.submit(_prepare, arm) for arm in asked]
        for number, arm in enumerate(asked):
            answer(Underway(f"compile {arm.id}", part * 0.5 / len(arms), group, arm.id))
            try:
                ready.append(_prepare_watched(arm) if request.alone else (pending[number].result(), None))
            except Exception as error:  # an arm loses its own cell, and nothing else
                lose(arm, error)
    for arm in arms:
        if reason := lost[arm.id]:
            lose(arm, reason)

    warm: list[WarmUp] = []
    for found in list(ready):
        arm = found[0].arm
        answer(Underway(f"warm up {arm.id}", 0.0, group, arm.id))
        try:
            warm.append(warm_up(found[0], plan.sample_time_s))
        except Exception as error:
            ready.remove(found)
            lose(arm, error)
    if not any(found.arm.is_baseline for found, _ in ready) or not any(found.arm.copy == 2 for found, _ in ready):
        for found, _ in ready:
            lose(found.arm, "the baseline or its duplicate has no number, so there is nothing to compare with")
        return GroupRecord(group, request.process, [], untimed)

    answer(Underway(f"time {group}", 0.0, group))
    rounds = _affordable_rounds(plan, warm)
    samples = sample_rounds(
        [found for found, _ in ready],
        rounds,
        sample_time_s=plan.sample_time_s,
        seed=plan.seed + request.process,
        warm=warm,
        progress=lambda _: answer(Underway(f"time {group}", part * 0.5 / rounds, group)),
    )
    measured = []
    for (found, build), sample in zip(ready, samples, strict=True):
        if isinstance(sample, Exception):
            lose(found.arm, sample)
        else:
            measured.append(_measured(found, build, sample, request.process == 0))
    return GroupRecord(group, request.process, measured, untimed)


def _prepare(arm: Arm) -> Ready:
    with jax.default_matmul_precision(MATMUL_PRECISION):  # a thread has a context of its own
        return prepare(arm)


def _prepare_watched(arm: Arm) -> tuple[Ready, Build]:
    with watch_build() as account:
        ready = _prepare(arm)
    return ready, account(ready.first_call_s)


def _measured(ready: Ready, build: Build | None, samples: Samples, first: bool) -> Measured:
    lower = ready.program.lower
    return Measured(
        id=ready.arm.id,
        gate=ready.gate,
        leaves=ready.program.leaves,
        build=build,
        program=read_program(lower(*ready.arguments)) if first and lower is not None else None,
        calls=samples.calls,
        warm_up_calls=samples.warm_up.calls,
        steady=samples.warm_up.steady,
        time_s=samples.time_s.tolist(),
        pipelined_s=samples.pipelined_s.tolist(),
        position=samples.position.tolist(),
        started_s=[round(s, 4) for s in samples.started_s.tolist()],
    )


def _affordable_rounds(plan: Plan, warm: list[WarmUp]) -> int:
    round_time_s = sum(max(plan.sample_time_s, w.call_time_s) for w in warm)
    least = min(-(-MIN_ROUNDS // plan.processes), plan.rounds)
    rounds = int(np.clip(GROUP_TIME_S / plan.processes / round_time_s, least, plan.rounds))
    # whole multiples of the number of arms balance positions exactly
    return max(rounds - rounds % len(warm), least) if rounds > len(warm) else rounds


def _reason(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, TrigruError) else f"{type(error).__name__}: {text}"


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jax.config.update("jax_enable_compilation_cache", False)  # a cached program is not compiled again
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    encoder = msgspec.json.Encoder()

    def answer(message: Any) -> None:
        answers.write(encoder.encode(message).decode() + "\n")
        answers.flush()

    measure(request, answer)


if __name__ == "__main__":
    main()
