"""The process that measures: it answers one request of `trigru.bench.timing.supervisor`, which starts several."""

import hashlib
import time
from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.port.compilation import programs_kept_in
from ...common.port.hlo import read_program
from ..arms.admission import share_references
from ..arms.arms import FEW_PROCESSES, Ready, expected_of, packages_of, prepare
from ..processes.child import collect_less_garbage
from ..results.arm import NO_BASELINE, Arm, Plan, Untimed
from ..results.grouping import grouped
from ..results.machine import Ceilings, Machine
from ..results.run import GroupTimed, Started, Timed
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
#: Of the machine's limits: calls of which the fastest counts; steps of a loop, of which each needs the one before, and
#: numbers in its state; and sizes by platform, so large that neither dispatch nor the caches matter.
CALLS, STEPS, WIDTH = 8, 1000, 128
GEMM_SIZE, LARGE_GEMM_SIZE = {"cpu": 1024}, 8192
COPY_BYTES, LARGE_COPY_BYTES = {"cpu": 256 * 2**20}, 2**30
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
    share_references(Path(request.folder))
    _TURNS.append(Turns(Path(request.folder), lambda: answer(None)))
    measure(request, answer, _TURNS[0])


def measure(request: TimingRequest, answer: Answer, turns: Turns) -> None:
    """Measure what a request asks for, group by group. Raises an OtherPlatformError on another platform."""
    plan, marker = request.plan, np.memmap(request.marker, "<u4", "w+", shape=1)
    machine = describe_machine(packages_of((*plan.ports, *plan.peers)))
    answer(
        Stage("measure the machine's limits")
    )  # until then, the parent lets no other process time
    if request.backend not in (None, machine.backend):
        raise OtherPlatformError(
            f"it found {machine.backend}, where {request.backend} was expected. Is the device in use, or hidden?"
        )
    with jax.default_matmul_precision(plan.precision):
        turns.acquire_exclusive()
        ceilings = measure_ceilings(plan.dtype)
        turns.acquire_shared()
        answer(Started(machine, {plan.arithmetic: ceilings}))
        for arms in grouped(request.arms, lambda arm: arm.group).values():
            answer(measure_group(request, arms, machine, marker, answer, turns))


def measure_group(
    request: TimingRequest,
    arms: list[Arm],
    machine: Machine,
    marker: np.ndarray,
    answer: Answer,
    turns: Turns,
) -> GroupTimed:
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
        return GroupTimed(group, process, [])
    schedule = schedule_of(warmed, *how)
    rounds = rounds_in(request.plan, schedule, len(ready))
    progress(0.0)
    samples = sample_rounds(
        ready, rounds, schedule, seed=process, progress=progress, entering=enter
    )
    marker[0] = 0
    turns.acquire_shared()
    calls = next(iter(schedule.calls.values()))
    timed = [
        attempt("read the program of", one.arm, _timed, one, *facts, process, machine)
        for one, *facts in zip(ready, warmed, calls, samples, strict=True)
    ]
    return GroupTimed(group, process, [t for t in timed if t])


def _timed(
    ready: Ready,
    warmed: WarmUp,
    calls: int,
    times_s: Times | Exception,
    process: int,
    machine: Machine,
) -> Timed:
    if isinstance(times_s, Exception):
        raise times_s
    program, facts, unreadable = ready.program, None, ""
    reads = process == 0 or machine.backend != "cpu"  # where each process tunes its own
    try:
        facts = (
            read_program(program.lower(*ready.arguments))
            if reads and program.lower
            else None
        )
    except Exception as error:  # the samples are kept
        unreadable = f"{type(error).__name__}: {brief(error)}"
    return Timed(
        arm=ready.arm.id,
        calls=calls,
        steady=warmed.steady,
        clock=next(iter(times_s)),
        times_s=times_s,
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
    expected_of(arm)  # what the oracle compiles is not the arm's
    with programs_kept_in(folder if keeps else None), watch_build() as account:
        ready = prepare(arm)
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


def measure_ceilings(dtype: str = "float32") -> Ceilings:
    """The limits of the machine, each from the fastest of a few calls. Run it while nothing else runs."""
    platform = jax.devices()[0].platform
    size = GEMM_SIZE.get(platform, LARGE_GEMM_SIZE)
    numbers = (
        np.random.default_rng(0).normal(size=2**20).astype(dtype)
    )  # JAX would compile a program to draw them
    matrix = jax.device_put(np.resize(numbers, (size, size)))
    product = jax.jit(lambda a, b: a @ b)
    gemm_s = _fastest_s(lambda _: product(matrix, matrix), matrix)

    array = jnp.zeros(
        COPY_BYTES.get(platform, LARGE_COPY_BYTES) // jnp.dtype(dtype).itemsize, dtype
    )
    nbytes = array.nbytes
    copy_s = _fastest_s(
        jax.jit(lambda x: x + 1, donate_argnums=0), array
    )  # in place: no page faults
    loop = jax.jit(
        lambda h: jax.lax.scan(lambda h, _: (jnp.tanh(h), None), h, None, length=STEPS)[
            0
        ]
    )
    loop_s = _fastest_s(loop, jnp.ones(WIDTH, jnp.float32))
    return Ceilings(
        2 * size**3 / gemm_s * 1e-9, 2 * nbytes / copy_s * 1e-9, loop_s / STEPS
    )


def _fastest_s(call: Callable[[Any], Any], array: Any) -> float:
    """Seconds of the fastest call after the first. Each gets the result of the one before, and may ignore it."""
    array, times_s = jax.block_until_ready(call(array)), []
    for _ in range(CALLS):
        start = time.perf_counter()
        array = jax.block_until_ready(call(array))
        times_s.append(time.perf_counter() - start)
    return min(times_s)
