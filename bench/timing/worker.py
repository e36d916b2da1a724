"""What measures: a fresh interpreter that takes a request on stdin, a line, and answers in lines of JSON on stdout.

It ends when stdin does, so that nothing measures on behind a parent that was killed.
`trigru.bench.timing.supervisor` starts several of these. Whatever a framework prints goes to stderr.
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import jax
import msgspec
import numpy as np

from ...common.errors import TrigruError
from ...common.port.programs import Build, ProgramFacts, read_program, watch_build
from ..arms.admission import keep_in
from ..arms.arms import Arm, Ready, expected_of, prepare
from ..arms.plan import MATMUL_PRECISION, Plan
from .machine import describe_machine
from .messages import Answer, GroupRecord, Measured, Request, Started, Underway, Untimed
from .roofline import measure_ceilings
from .sampling import Samples, WarmUp, calls_in_a_sample, sample_rounds, warm_up

__all__ = ["measure", "measure_group"]

#: A round of the large workload takes seconds; beyond this time, over all processes, a group stops adding rounds.
GROUP_TIME_S = 40.0
#: Where nothing else is asked for, a group gets as many rounds in each process as take this long, within these bounds.
#: With eleven arms, as the ports of this package have, eleven rounds put every arm once in every position.
SHORT_GROUP_TIME_S = 2.5
ROUNDS, MOST_ROUNDS = 11, 55
#: Rounds of a group, over all processes, that it gets at least.
MIN_ROUNDS = 11
#: Compiling keeps one core busy; timing never shares the machine.
COMPILE_THREADS = 2


def measure(request: Request, answer: Callable[[Answer], None]) -> None:
    """Measure what is asked for, group by group."""
    groups = request.plan.groups()
    with jax.default_matmul_precision(MATMUL_PRECISION), keep_in(Path(request.folder)):
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
    lost = {arm.id: request.lost.get(arm.id) or _excluded(plan, arm) for arm in arms}
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


def _excluded(plan: Plan, arm: Arm) -> str | None:
    return plan.excluded.get(arm.port) or plan.excluded.get(f"{arm.port}:{arm.kernel}")


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
        program=_read_if_possible(lambda: lower(*ready.arguments)) if first and lower is not None else None,
        calls=samples.calls,
        warm_up_calls=samples.warm_up.calls,
        steady=samples.warm_up.steady,
        time_s=_six_digits(samples.time_s),
        pipelined_s=_six_digits(samples.pipelined_s),
        position=samples.position.tolist(),
        started_s=[round(s, 3) for s in samples.started_s.tolist()],
    )


def _read_if_possible(lower: Callable[[], Any]) -> ProgramFacts | None:
    try:
        return read_program(lower())
    except Exception:  # samples are worth more than their explanation
        return None


def _six_digits(seconds: np.ndarray) -> list[float]:
    """What the clock can tell, and no more, for the file's sake."""
    return [float(f"{s:.6g}") for s in seconds]


def _affordable_rounds(plan: Plan, warm: list[WarmUp]) -> int:
    sample_s = [calls_in_a_sample(w, plan.sample_time_s) * w.call_time_s for w in warm]
    round_time_s = sum(sample_s)
    if plan.rounds is None:
        few = ROUNDS if plan.processes > 1 else 2 * ROUNDS
        wanted = int(np.clip(SHORT_GROUP_TIME_S / round_time_s, few, MOST_ROUNDS))
    else:
        wanted = plan.rounds
    least = min(-(-MIN_ROUNDS // plan.processes), wanted)
    rounds = int(np.clip(GROUP_TIME_S / plan.processes / round_time_s, least, wanted))
    if rounds == plan.rounds or rounds < len(warm):
        return rounds
    return max(rounds - rounds % len(warm), least)  # whole squares balance positions exactly


def _reason(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, TrigruError) else f"{type(error).__name__}: {text}"


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing more comes; not through sys.stdin, whose lock would be held when the interpreter ends
    os._exit(1)


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jax.config.update("jax_enable_compilation_cache", False)  # a cached program is not compiled again
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    Thread(target=_end_with_parent, daemon=True).start()
    encoder = msgspec.json.Encoder()

    def answer(message: Any) -> None:
        answers.write(encoder.encode(message).decode() + "\n")
        answers.flush()

    measure(request, answer)


if __name__ == "__main__":
    main()
