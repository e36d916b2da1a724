"""The process that measures: it answers one request of `trigru.bench.timing.supervisor`, which starts several."""

import hashlib
from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.port.compilation import programs_kept_in
from ...common.port.hlo import read_program
from ..arms.arms import FEW_PROCESSES, Ready, expected_of, packages_of, prepare
from ..processes.child import collect_less_garbage
from ..results.arm import NO_BASELINE, Arm, Plan, Untimed
from ..results.grouping import grouped
from ..results.machine import Machine
from ..results.run import ArmFacts, Measured, Sample, Started
from .machine import describe_machine
from .sampling import (
    ACCELERATOR,
    CPU,
    Schedule,
    Times,
    WarmUp,
    sample_rounds,
    schedule_of,
    warm_up,
)
from .supervisor import PROGRAMS, SIDE_BY_SIDE, Message, Stage, TimingRequest, Turns
from .watching import watch_build

#: A round of the large workload takes seconds. A group gets no more rounds than fit this time by both clocks, over all
#: processes.
GROUP_TIME_S = 40.0
#: By default, a group gets as many rounds in each process as take this long by the clock that leads, within these
#: bounds. The ports of this package have eleven arms, so eleven rounds put every arm once in every position.
SHORT_GROUP_TIME_S = 0.85
ROUNDS, MOST_ROUNDS = 11, 55
MIN_ROUNDS = 11  # over all processes
#: About which share of a group's time it takes to compile its arms.
PREPARING = 0.5
T = TypeVar("T")
Answer = Callable[[Message], None]
#: Kept until the process has ended, with all that JAX does then.
_TURNS: list[Turns] = []


class OtherPlatformError(TrigruError):
    """A process found another platform than its parent expects."""


def answer_request(request: TimingRequest, answer: Answer) -> None:
    """Measure in a process of its own."""
    collect_less_garbage()
    jax.config.update(
        "jax_enable_compilation_cache", False
    )  # no other run's program, but from a request's folder
    _TURNS.append(Turns(Path(request.folder), lambda: answer(None)))
    measure(request, answer, _TURNS[0])


def measure(request: TimingRequest, answer: Answer, turns: Turns) -> None:
    """Measure what a request asks for, group by group. Raises an OtherPlatformError on another platform."""
    plan, marker = request.plan, np.memmap(request.marker, "<u4", "w+", shape=1)
    machine = describe_machine(packages_of(plan.ports))
    answer(
        Stage("look at the machine")
    )  # until then, the parent lets no other process time
    if request.backend not in (None, machine.backend):
        raise OtherPlatformError(
            f"it found {machine.backend}, where {request.backend} was expected. Is the device in use, or hidden?"
        )
    with jax.default_matmul_precision(plan.precision):
        answer(Started(machine))
        turns.acquire_shared()
        for arms in grouped(request.arms, lambda arm: arm.group).values():
            answer(measure_group(request, arms, machine, marker, answer, turns))


def measure_group(
    request: TimingRequest,
    arms: list[Arm],
    machine: Machine,
    marker: np.ndarray,
    answer: Answer,
    turns: Turns,
) -> Measured:
    """Compile the arms of a group, compare them with the oracle, and time them, each with its number in the marker.

    An arm that fails loses only its own number. Between groups, the lock of turns is shared.
    """
    group, process = arms[0].group, request.process
    how = request.plan.sample_time_s, CPU if machine.backend == "cpu" else ACCELERATOR

    def attempt(
        what: str, arm: Arm, step: Callable[..., T], *of: Any, share: float = 0.0
    ) -> T | None:
        answer(Stage(f"{what} {arm.id}", share, group, arm.id))
        try:
            return step(*of)
        except Exception as error:
            text = str(error).strip().partition("\n")[0]
            answer(
                Untimed(
                    arm,
                    text
                    if isinstance(error, TrigruError)
                    else f"{type(error).__name__}: {text}",
                )
            )
            return None

    def progress(share: float) -> None:
        answer(Stage(f"time {group}", (1 - PREPARING) * share, group))

    def enter(index: int) -> None:
        marker[0] = request.arms.index(ready[index].arm) + 1

    # an arm that always came first was seen to be 0.3 % slower; of two processes side by side, each compiles half
    pair, second = divmod(process, SIDE_BY_SIDE)
    order = np.random.default_rng(pair).permutation(len(arms))[:: -1 if second else 1]
    share = PREPARING / len(arms)
    compiled = (
        attempt("compile", arms[n], _prepare, request, arms[n], machine, share=share)
        for n in order
    )
    ready = sorted(filter(None, compiled), key=lambda one: arms.index(one.arm))
    turns.acquire_exclusive()
    warmed = [attempt("warm up", one.arm, warm_up, one, *how) for one in ready]
    ready = [
        one for one, warm in zip(ready, warmed, strict=True) if warm
    ]  # the others' arrays are freed
    warmed = [warm for warm in warmed if warm]
    if not {"baseline", "duplicate"} <= {one.arm.role for one in ready}:
        turns.acquire_shared()
        for one in ready:
            answer(Untimed(one.arm, NO_BASELINE))
        return Measured([], [])
    schedule = schedule_of(warmed, *how)
    rounds = rounds_in(request.plan, schedule, len(ready))
    progress(0.0)
    times = sample_rounds(
        ready, rounds, schedule, seed=process, progress=progress, entering=enter
    )
    marker[0] = 0
    turns.acquire_shared()
    samples, facts = [], []
    for one, warm, calls, times_s in zip(
        ready, warmed, schedule.calls[how[1].clock], times, strict=True
    ):
        known = attempt(
            "read the program of",
            one.arm,
            _facts_of,
            one,
            warm,
            calls,
            times_s,
            process,
            machine,
        )
        if known is not None and not isinstance(times_s, Exception):
            facts.append(known)
            samples += _samples_of(one.arm, process, times_s)
    return Measured(samples, facts)


def _samples_of(arm: Arm, process: int, times: Times) -> list[Sample]:
    """The samples of an arm in a process, by every clock."""
    samples = []
    for clock, times_s in times.items():
        for number, time_s in enumerate(times_s):
            samples.append(Sample(arm.id, process, number, clock, time_s))
    return samples


def _facts_of(
    ready: Ready,
    warmed: WarmUp,
    calls: int,
    times: Times | Exception,
    process: int,
    machine: Machine,
) -> ArmFacts:
    """What is known of an arm that was timed. Raises the exception of one that failed."""
    if isinstance(times, Exception):
        raise times
    facts, unreadable = None, ""
    # on an accelerator each process tunes its own program
    is_read_here = process == 0 or machine.backend != "cpu"
    program = ready.program
    if is_read_here and program.lower is not None:
        try:
            facts = read_program(program.lower(*ready.arguments))
        except Exception as error:  # the samples are kept
            unreadable = f"{type(error).__name__}: {brief(error)}"
    return ArmFacts(
        arm=ready.arm.id,
        process=process,
        calls=calls,
        steady=warmed.steady,
        device=program.device or machine.device,
        backend=program.backend or machine.backend,
        gate=ready.gate,
        leaves=program.leaves,
        build=ready.build,
        program=facts,
        unreadable=unreadable,
    )


def _prepare(request: TimingRequest, arm: Arm, machine: Machine) -> Ready:
    """An arm, and in the first process how long it took to build, unless processes share their programs.

    The last process that compiles keeps the programs of each arm, and the later ones take them from there. No arm finds
    another's, so a duplicate has a program of its own. Raises an OtherPlatformError if it is on another device.
    """
    processes = request.plan.processes
    compiling = 2 if processes > FEW_PROCESSES else 1
    if machine.backend != "cpu":  # a kept program holds what was tuned for it
        compiling = processes
    keeps = request.programs is not None or (
        compiling - 1 <= request.process and compiling < processes
    )
    programs = Path(request.programs or Path(request.folder) / PROGRAMS)
    folder = programs / hashlib.sha256(arm.id.encode()).hexdigest()
    shared = Path(request.folder)
    expected_of(arm, shared)  # what the oracle compiles is not the arm's
    with programs_kept_in(folder if keeps else None), watch_build() as account:
        ready = prepare(arm, shared)
    if (ready.program.backend or machine.backend) != machine.backend:
        raise OtherPlatformError(
            f"it runs on {ready.program.device}, and the ports on {machine.device}: they do not compare."
        )
    return (
        ready
        if request.process or request.programs
        else replace(ready, build=account(ready.first_call_s))
    )


def rounds_in(plan: Plan, schedule: Schedule, arms: int) -> int:
    """How many rounds by the clock that leads a group takes in each process of a plan."""
    few, leading_s = (
        ROUNDS if plan.processes > 1 else 2 * ROUNDS,
        next(iter(schedule.round_s.values())),
    )
    wanted = plan.rounds or int(
        np.clip(SHORT_GROUP_TIME_S / leading_s, few, MOST_ROUNDS)
    )
    least = min(-(-MIN_ROUNDS // plan.processes), wanted)
    rounds = max(
        bisect(
            range(1, wanted + 1), GROUP_TIME_S / plan.processes, key=schedule.whole_s
        ),
        least,
    )
    if rounds == plan.rounds or rounds < arms:
        return rounds
    return max(
        rounds - rounds % arms, least
    )  # a multiple of the number of arms balances positions exactly
