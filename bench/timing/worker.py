"""The process that measures: it answers one request of `trigru.bench.timing.supervisor`, which starts several."""

import hashlib
from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import msgspec
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.port.compilation import programs_kept_in
from ...common.port.programs import read_program, watch_build
from ..arms.admission import keep_in
from ..arms.arms import Ready, compiling_processes, expected_of, packages_of_plan, prepare
from ..processes.child import collect_less_garbage
from ..results.arm import Arm, Plan, Untimed
from ..results.grouping import grouped
from ..results.run import GroupTimed, Machine, Samples, Started, Timed
from .machine import describe_machine
from .roofline import measure_ceilings
from .sampling import ACCELERATOR, CPU, Schedule, sample_rounds, schedule_of, warm_up
from .supervisor import NO_BASELINE, PROGRAMS, ROUNDS_S, SIDE_BY_SIDE, START_S, Answer, Stage, TimingRequest
from .turns import Turns

#: A round of the large workload takes seconds. A group gets no more rounds than fit this time by both clocks, over all
#: processes.
GROUP_TIME_S = 40.0
#: By default, a group gets as many rounds in each process as take this long by the clock that leads, within these
#: bounds. The ports of this package have eleven arms, so eleven rounds put every arm once in every position.
SHORT_GROUP_TIME_S = 0.85
ROUNDS, MOST_ROUNDS = 11, 55
#: The least number of rounds of a group, over all processes.
MIN_ROUNDS = 11
T = TypeVar("T")
#: Kept until the process has ended, with all that JAX does then.
_TURNS: list[Turns] = []


class OtherPlatformError(TrigruError):
    """A process found another platform than its parent expects."""


def answer_request(request: TimingRequest, answer: Callable[[Answer], None]) -> None:
    """Measure in a process of its own."""
    collect_less_garbage()
    jax.config.update("jax_enable_compilation_cache", False)  # no other run's program, but from a request's folder
    _TURNS.append(Turns(Path(request.folder), lambda: answer(None)))
    measure(request, answer, _TURNS[0])


def measure(request: TimingRequest, answer: Callable[[Answer], None], turns: Turns) -> None:
    """Measure what a request asks for, group by group. Raises an OtherPlatformError on another platform."""
    marker = np.memmap(request.marker, "<u4", "w+", shape=1)
    with keep_in(Path(request.folder)):
        machine = describe_machine(packages_of_plan(request.plan))
        answer(Stage("measure the machine's limits", START_S))  # until then, the parent lets no other process time
        if request.backend not in (None, machine.backend):
            raise OtherPlatformError(
                f"it found {machine.backend}, where {request.backend} was expected. Is the device in use, or hidden?"
            )
        ceilings = {}
        turns.acquire_exclusive()
        for name, dtype, precision in sorted({(arm.arithmetic, arm.dtype, arm.precision) for arm in request.arms}):
            with jax.default_matmul_precision(precision):
                ceilings[name] = measure_ceilings(dtype)
        turns.acquire_shared()
        answer(Started(machine, ceilings))
        for arms in grouped(request.arms, lambda arm: arm.group).values():
            with jax.default_matmul_precision(arms[0].precision):
                answer(measure_group(request, arms, machine, answer, marker, turns))


def measure_group(
    request: TimingRequest,
    arms: list[Arm],
    machine: Machine,
    answer: Callable[[Answer], None],
    marker: np.ndarray,
    turns: Turns,
) -> GroupTimed:
    """Compile the arms of one group, compare them with the oracle, and time them.

    Args:
        answer: called with what happens meanwhile.
        marker: gets the number of the arm that is being timed; see `trigru.bench.timing.supervisor.TimingRequest`.
        turns: of the processes side by side. Between groups this one has the shared lock.
    """
    group, sample_time_s = arms[0].group, request.plan.sample_time_s

    def attempt(what: str, expected_s: float, arm: Arm, step: Callable[[], T]) -> T | None:
        """Call a step of an arm; if it fails, only this arm has no number."""
        answer(Stage(f"{what} {arm.id}", expected_s, group, arm.id))
        try:
            return step()
        except Exception as error:
            fail(arm, error)
            return None

    def fail(arm: Arm, error: Exception) -> None:
        text = str(error).strip().partition("\n")[0]
        answer(Untimed(arm, text if isinstance(error, TrigruError) else f"{type(error).__name__}: {text}"))

    # an arm that always came first was seen to be 0.3 % slower; of two processes side by side, each compiles one half
    pair, second = divmod(request.process, SIDE_BY_SIDE)
    order = np.random.default_rng(pair).permutation(len(arms))[:: -1 if second else 1]
    ready_s = request.arm_s(arms[0].phase)
    shuffled = [arms[index] for index in order]
    made = [attempt("compile", ready_s, arm, partial(_prepare, request, arm, machine)) for arm in shuffled]
    calibration = CPU if machine.backend == "cpu" else ACCELERATOR
    ready, warmed = [], []
    turns.acquire_exclusive()
    for one in sorted(filter(None, made), key=lambda ready: arms.index(ready.arm)):
        if warm := attempt("warm up", 0.0, one.arm, partial(warm_up, one, sample_time_s, calibration)):
            ready.append(one)
            warmed.append(warm)
    if not {"baseline", "duplicate"} <= {one.arm.role for one in ready}:
        turns.acquire_shared()
        for one in ready:
            answer(Untimed(one.arm, NO_BASELINE))
        return GroupTimed(group, request.process, [])

    answer(Stage(f"time {group}", 0.0, group))
    schedule = schedule_of(warmed, sample_time_s, calibration, both=True)
    numbers = [request.arms.index(one.arm) + 1 for one in ready]

    def enter(index: int) -> None:
        marker[0] = numbers[index]

    samples = sample_rounds(
        ready,
        rounds_in(request.plan, schedule, len(ready)),
        sample_time_s=sample_time_s,
        seed=request.process,
        calibration=calibration,
        warmed=warmed,
        progress=lambda share: answer(Stage(f"time {group}", ROUNDS_S * share, group)),
        entering=enter,
    )
    marker[0] = 0
    turns.acquire_shared()
    timed = []
    for one, sample in zip(ready, samples, strict=True):
        if isinstance(sample, Exception):
            fail(one.arm, sample)
        else:
            answer(Stage(f"read the program of {one.arm.id}", 0.0, group, one.arm.id))
            reads = request.process == 0 or machine.backend != "cpu"  # where each process tunes its own
            timed.append(_timed(one, sample, machine, reads))
    return GroupTimed(group, request.process, timed)


def _prepare(request: TimingRequest, arm: Arm, machine: Machine) -> Ready:
    """An arm, and in the first process how long it took to build, unless processes share their programs.

    The last process that compiles keeps the programs of each arm, and the later ones take them from there.

    Raises:
        OtherPlatformError: it is on another device.
    """
    processes = request.plan.processes
    tunes = machine.backend != "cpu"  # a kept program holds what was tuned for it
    compiling = processes if tunes else compiling_processes(processes)
    keeps = request.programs is not None or (compiling - 1 <= request.process and compiling < processes)
    expected_of(arm)  # what the oracle compiles is not the arm's
    with programs_kept_in(_folder_of(request, arm) if keeps else None), watch_build() as account:
        ready = prepare(arm)
    if (ready.program.backend or machine.backend) != machine.backend:
        raise OtherPlatformError(
            f"it runs on {ready.program.device}, and the ports on {machine.device}: they do not compare."
        )
    return ready if request.process or request.programs else replace(ready, build=account(ready.first_call_s))


def _folder_of(request: TimingRequest, arm: Arm) -> Path:
    """A folder for the programs of an arm alone: no arm finds another's, so a duplicate has a program of its own."""
    programs = Path(request.programs or Path(request.folder) / PROGRAMS)
    return programs / hashlib.sha256(arm.id.encode()).hexdigest()


def _timed(ready: Ready, samples: Samples, machine: Machine, reads: bool) -> Timed:
    program, facts, unreadable = ready.program, None, ""
    try:
        facts = read_program(program.lower(*ready.arguments)) if reads and program.lower else None
    except Exception as error:  # the samples are kept
        unreadable = f"{type(error).__name__}: {brief(error)}"
    return Timed(
        **msgspec.structs.asdict(samples),
        arm=ready.arm.id,
        device=program.device or machine.device,
        backend=program.backend or machine.backend,
        gate=ready.gate,
        leaves=program.leaves,
        build=ready.build,
        program=facts,
        unreadable=unreadable,
    )


def rounds_in(plan: Plan, schedule: Schedule, arms: int) -> int:
    """How many rounds by the clock that leads a group takes in each process of a plan."""
    few, leading_s = ROUNDS if plan.processes > 1 else 2 * ROUNDS, next(iter(schedule.round_s.values()))
    wanted = plan.rounds or int(np.clip(SHORT_GROUP_TIME_S / leading_s, few, MOST_ROUNDS))
    least = min(-(-MIN_ROUNDS // plan.processes), wanted)
    rounds = max(bisect(range(1, wanted + 1), GROUP_TIME_S / plan.processes, key=schedule.whole_s), least)
    if rounds == plan.rounds or rounds < arms:
        return rounds
    return max(rounds - rounds % arms, least)  # a multiple of the number of arms balances positions exactly
