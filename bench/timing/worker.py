"""The process that measures: it reads one request and answers in lines of JSON.

`trigru.bench.timing.supervisor` starts several of these, one after the other: each calls `answer_request`.
"""

import gc
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from ...common.errors import TrigruError
from ...common.port.compilation import programs_kept_in
from ...common.port.programs import read_program, watch_build
from ..arms.admission import keep_in
from ..arms.arms import Ready, compiling_processes, expected_of, packages_of_plan, prepare
from ..results.arm import Arm, Plan, Untimed
from ..results.grouping import grouped
from ..results.run import GroupTimed, Machine, Started, Timed
from .machine import describe_machine
from .roofline import measure_ceilings
from .sampling import Samples, calls_in_a_sample, pace_of, sample_rounds, warm_up
from .supervisor import MARKER, NO_BASELINE, PROGRAMS, ROUNDS_S, START_S, Answer, Request, Underway

#: A round of the large workload takes seconds. A group gets no more rounds than fit this time, over all processes.
GROUP_TIME_S = 40.0
#: By default, a group gets as many rounds in each process as take this long, within these bounds. The ports of this
#: package have eleven arms, so eleven rounds put every arm once in every position.
SHORT_GROUP_TIME_S = 0.85
ROUNDS, MOST_ROUNDS = 11, 55
#: The least number of rounds of a group, over all processes.
MIN_ROUNDS = 11
#: Thresholds of the garbage collection: by default, it runs so often that it takes a tenth of the time of a trace.
GARBAGE = 200_000, 20, 20
T = TypeVar("T")


class OtherPlatformError(TrigruError):
    """A process found another platform than its parent expects."""


def measure(request: Request, answer: Callable[[Answer], None]) -> None:
    """Measure what a request asks for, group by group. Raises an OtherPlatformError on another platform."""
    groups = grouped(request.arms, lambda arm: arm.group)
    mark, whole_s = _marker(request), request.whole_s
    with keep_in(Path(request.folder)):
        answer(Underway("measure the machine's limits", START_S / whole_s))
        machine = describe_machine(packages_of_plan(request.plan))
        if request.backend not in (None, machine.backend):
            raise OtherPlatformError(
                f"it found {machine.backend}, where {request.backend} was expected. Is the device in use, or hidden?"
            )
        ceilings = {}
        for name, dtype, precision in sorted({(arm.arithmetic, arm.dtype, arm.precision) for arm in request.arms}):
            with jax.default_matmul_precision(precision):
                ceilings[name] = measure_ceilings(dtype)
        answer(Started(machine, ceilings))
        for arms in groups.values():
            with jax.default_matmul_precision(arms[0].precision):
                shares = request.arm_s(arms[0].phase) / whole_s, ROUNDS_S / whole_s
                answer(measure_group(request, arms, machine, answer, mark, shares))


def measure_group(
    request: Request,
    arms: list[Arm],
    machine: Machine,
    answer: Callable[[Answer], None],
    mark: Callable[[Arm | None], None],
    shares: tuple[float, float],
) -> GroupTimed:
    """Compile the arms of one group, compare them with the oracle, and time them.

    Args:
        answer: called with what happens meanwhile.
        mark: called with the arm that is being timed.
        shares: of the process's work: to make an arm ready, and to time a group.
    """
    group, (of_arm, of_rounds) = arms[0].group, shares

    def attempt(what: str, share: float, arm: Arm, step: Callable[[], T]) -> T | None:
        """What a step returns; if it fails, only this arm loses its number."""
        answer(Underway(f"{what} {arm.id}", share, group, arm.id))
        try:
            return step()
        except Exception as error:
            lose(arm, error)
            return None

    def lose(arm: Arm, error: Exception | str) -> None:
        text = str(error).strip().partition("\n")[0]
        is_plain = isinstance(error, TrigruError | str)
        answer(Untimed(arm, text if is_plain else f"{type(error).__name__}: {text}"))

    # an arm that always came first was seen to be 0.3 % slower
    order = np.random.default_rng(request.process).permutation(len(arms))
    shuffled = [arms[index] for index in order]
    made = [attempt("compile", of_arm, arm, partial(_prepare, request, arm, machine)) for arm in shuffled]
    pace = pace_of(machine.backend)
    warmed = [
        (ready, attempt("warm up", 0.0, ready.arm, partial(warm_up, ready, request.plan.sample_time_s, pace)))
        for ready in sorted(filter(None, made), key=lambda ready: arms.index(ready.arm))
    ]
    subjects, warm = [ready for ready, w in warmed if w], [w for _, w in warmed if w]
    if not {"baseline", "duplicate"} <= {ready.arm.role for ready in subjects}:
        for ready in subjects:
            lose(ready.arm, NO_BASELINE)
        return GroupTimed(group, request.process, [])

    answer(Underway(f"time {group}", 0.0, group))
    round_s = sum(calls_in_a_sample(w, request.plan.sample_time_s, pace) * w.call_time_s for w in warm)
    samples = sample_rounds(
        subjects,
        rounds_in(request.plan, round_s, len(warm)),
        sample_time_s=request.plan.sample_time_s,
        seed=request.process,
        pace=pace,
        warm=warm,
        progress=lambda share: answer(Underway(f"time {group}", of_rounds * share, group)),
        entering=lambda index: mark(subjects[index].arm),
    )
    mark(None)
    timed = []
    for ready, sample in zip(subjects, samples, strict=True):
        if isinstance(sample, Exception):
            lose(ready.arm, sample)
        else:
            answer(Underway(f"read the program of {ready.arm.id}", 0.0, group, ready.arm.id))
            reads = request.process == 0 or machine.backend != "cpu"  # where each process tunes its own
            timed.append(_timed(ready, sample, machine, reads))
    return GroupTimed(group, request.process, timed)


def _marker(request: Request) -> Callable[[Arm | None], None]:
    """Says which arm is being timed, in a file that outlives this process."""
    numbers = {arm.id: number for number, arm in enumerate(request.arms, start=1)}
    underway = np.memmap(Path(request.folder) / MARKER, "<u4", "w+", shape=1)

    def mark(arm: Arm | None) -> None:
        underway[0] = 0 if arm is None else numbers[arm.id]

    return mark


def _prepare(request: Request, arm: Arm, machine: Machine) -> Ready:
    """An arm, and in the first process how long it took to build, unless all programs were compiled before.

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


def _folder_of(request: Request, arm: Arm) -> Path:
    """A folder for the programs of an arm alone: no arm finds another's, so a duplicate has a program of its own."""
    programs = Path(request.programs or Path(request.folder) / PROGRAMS)
    return programs / hashlib.sha256(arm.id.encode()).hexdigest()


def _timed(ready: Ready, samples: Samples, machine: Machine, reads: bool) -> Timed:
    program, facts = ready.program, None
    with suppress(Exception):  # keep the samples even if the program cannot be read
        facts = read_program(program.lower(*ready.arguments)) if reads and program.lower else None
    time_s, other_s = ([float(f"{s:.6g}") for s in of] for of in (samples.time_s, samples.other_s))  # a small file
    return Timed(
        arm=ready.arm.id,
        device=program.device or machine.device,
        backend=program.backend or machine.backend,
        gate=ready.gate,
        leaves=program.leaves,
        build=ready.build,
        program=facts,
        calls=samples.calls,
        steady=samples.warm_up.steady,
        time_s=time_s,
        clock=samples.clock,
        other_s=other_s,
        position=samples.position.tolist(),
        started_s=[round(s, 3) for s in samples.started_s.tolist()],
    )


def rounds_in(plan: Plan, round_time_s: float, arms: int) -> int:
    """How many rounds of a group a process of a plan takes, if one lasts so long."""
    if plan.rounds is None:
        few = ROUNDS if plan.processes > 1 else 2 * ROUNDS
        wanted = int(np.clip(SHORT_GROUP_TIME_S / round_time_s, few, MOST_ROUNDS))
    else:
        wanted = plan.rounds
    least = min(-(-MIN_ROUNDS // plan.processes), wanted)
    rounds = int(np.clip(GROUP_TIME_S / plan.processes / round_time_s, least, wanted))
    if rounds == plan.rounds or rounds < arms:
        return rounds
    return max(rounds - rounds % arms, least)  # a multiple of the number of arms balances positions exactly


def answer_request(request: Request, answer: Callable[[Answer], None]) -> None:
    """Measure in a process of its own."""
    jax.config.update("jax_enable_compilation_cache", False)  # no program from another run, unless the request says so
    gc.set_threshold(*GARBAGE)
    measure(request, answer)


def compile_arms(request: Request, answer: Callable[[Underway], None]) -> None:
    """Keep the programs of arms in the request's folder of programs, in a process of its own."""
    gc.set_threshold(*GARBAGE)
    with keep_in(Path(request.folder)):
        for arm in request.arms:
            answer(Underway(f"compile {arm.id}", 0.0, arm.group, arm.id))
            with (
                suppress(Exception),
                programs_kept_in(_folder_of(request, arm)),
                jax.default_matmul_precision(arm.precision),
            ):
                prepare(arm)
