"""The process that measures: it does what `trigru.bench.timing.supervisor` asks for."""

import hashlib
from bisect import bisect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.port.compilation import programs_kept_in
from ...common.port.hlo import ProgramFacts, read_program
from ..arms.arms import FEW_PROCESSES, Ready, expected_of, packages_of, prepare
from ..processes.child import Parent, collect_less_garbage
from ..results.arm import NO_BASELINE, Arm, Plan, Untimed
from ..results.grouping import grouped
from ..results.machine import Machine
from ..results.run import ArmFacts, Measured, Sample, Started
from .machine import describe_machine
from .messages import PROGRAMS, SIDE_BY_SIDE, Message, Stage, TimingRequest
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
from .watching import watch_build

#: A round of the large workload takes seconds. A group gets no more rounds than fit
#: this time by both clocks, over all processes.
GROUP_TIME_S = 40.0
#: By default, a group gets as many rounds in each process as take this long by the
#: clock that leads, within these bounds. The ports of this package have eleven arms, so
#: eleven rounds put every arm once in every position.
SHORT_GROUP_TIME_S = 0.85
ROUNDS, MOST_ROUNDS = 11, 55
MIN_ROUNDS = 11  # over all processes
#: About which share of a group's time it takes to compile its arms.
PREPARING = 0.5

Send = Callable[[Message], None]
#: Within this context, no other process of the run works.
Alone = Callable[[], AbstractContextManager[None]]
T = TypeVar("T")


class OtherPlatformError(TrigruError):
    """A process found another platform than its parent expects."""


def work(parent: Parent[TimingRequest]) -> None:
    """Measure in a process of its own."""
    collect_less_garbage()
    # no program of another run, but for those in a request's folder
    jax.config.update("jax_enable_compilation_cache", False)
    for request in parent.tasks():
        measure(request, parent.send, parent.alone)


def measure(request: TimingRequest, send: Send, alone: Alone) -> None:
    """Measure what a request asks for, group by group.

    Raises an OtherPlatformError on another platform.
    """
    plan = request.plan
    machine = describe_machine(packages_of(plan.ports))
    send(Stage("look at the machine"))
    if request.backend not in (None, machine.backend):
        raise OtherPlatformError(
            f"it found {machine.backend}, where {request.backend} was expected. "
            "Is the device in use, or hidden?"
        )
    send(Started(machine))
    with jax.default_matmul_precision(plan.precision):
        for arms in grouped(request.arms, lambda arm: arm.group).values():
            send(GroupTimer(request, arms, machine, send, alone).measure())


class GroupTimer:
    """Measures the arms of one group. An arm that fails loses only its own number.

    Args:
        send: sends what is under way, and the arms that lose their numbers.
        alone: entered while arms are timed.
    """

    def __init__(
        self,
        request: TimingRequest,
        arms: list[Arm],
        machine: Machine,
        send: Send,
        alone: Alone,
    ):
        self._request = request
        self._arms = arms
        self._group = arms[0].group
        self._machine = machine
        self._send = send
        self._alone = alone
        self._marker = np.memmap(request.marker, "<u4", "w+", shape=1)
        self._calibration = CPU if machine.backend == "cpu" else ACCELERATOR

    def measure(self) -> Measured:
        """Compile the arms, compare them with the oracle, and time them."""
        ready = self._compile()
        with self._alone():
            warmed = self._warm_up(ready)
            roles = {one.arm.role for one in ready}
            if not {"baseline", "duplicate"} <= roles:
                for one in ready:
                    self._send(Untimed(one.arm, NO_BASELINE))
                return Measured([], [])
            schedule = schedule_of(
                warmed, self._request.plan.sample_time_s, self._calibration
            )
            times = self._time(ready, schedule)
        return self._measured(ready, warmed, schedule, times)

    def _compile(self) -> list[Ready]:
        """The arms that are ready to be timed, in the order of the group."""
        # an arm that always came first was seen to be 0.3 % slower; and of two
        # processes side by side, each compiles half
        pair, second = divmod(self._request.process, SIDE_BY_SIDE)
        order = np.random.default_rng(pair).permutation(len(self._arms))
        if second:
            order = order[::-1]

        share = PREPARING / len(self._arms)
        ready_by_number = {}
        for number in order.tolist():
            arm = self._arms[number]
            one = self._attempt("compile", arm, partial(self._prepare, arm), share)
            if one is not None:
                ready_by_number[number] = one
        return [ready_by_number[number] for number in sorted(ready_by_number)]

    def _prepare(self, arm: Arm) -> Ready:
        return prepare_in_process(self._request, arm, self._machine)

    def _warm_up(self, ready: list[Ready]) -> list[WarmUp]:
        """Warm up arms.

        One that fails is removed from the list, and its arrays freed.
        """
        sample_time_s = self._request.plan.sample_time_s
        warmed = []
        for one in list(ready):
            step = partial(warm_up, one, sample_time_s, self._calibration)
            warm = self._attempt("warm up", one.arm, step)
            if warm is None:
                ready.remove(one)
            else:
                warmed.append(warm)
        return warmed

    def _time(
        self, ready: Sequence[Ready], schedule: Schedule
    ) -> list[Times | Exception]:
        """The times of arms that are warm.

        The number of each is in the marker meanwhile.
        """

        def enter(index: int) -> None:
            self._marker[0] = self._request.arms.index(ready[index].arm) + 1

        def progress(share: float) -> None:
            what = f"time {self._group}"
            self._send(Stage(what, (1 - PREPARING) * share, self._group))

        progress(0.0)
        times = sample_rounds(
            ready,
            rounds_in(self._request.plan, schedule, len(ready)),
            schedule,
            seed=self._request.process,
            progress=progress,
            entering=enter,
        )
        self._marker[0] = 0
        return times

    def _measured(
        self,
        ready: Sequence[Ready],
        warmed: Sequence[WarmUp],
        schedule: Schedule,
        times: Sequence[Times | Exception],
    ) -> Measured:
        calls = schedule.calls[self._calibration.clock]
        measured = Measured([], [])
        for number, one in enumerate(ready):
            own_times = times[number]
            step = partial(
                self._facts_of, one, warmed[number], calls[number], own_times
            )
            facts = self._attempt("read the program of", one.arm, step)
            if facts is not None and not isinstance(own_times, Exception):
                measured.facts.append(facts)
                measured.samples.extend(
                    samples_of(one.arm, self._request.process, own_times)
                )
        return measured

    def _facts_of(
        self, ready: Ready, warmed: WarmUp, calls: int, times: Times | Exception
    ) -> ArmFacts:
        """What is known of an arm that was timed.

        Raises the exception of one that failed.
        """
        if isinstance(times, Exception):
            raise times
        program = ready.program
        facts, unreadable = self._read_program(ready)
        return ArmFacts(
            arm=ready.arm.id,
            process=self._request.process,
            calls=calls,
            steady=warmed.steady,
            device=program.device or self._machine.device,
            backend=program.backend or self._machine.backend,
            gate=ready.gate,
            leaves=program.leaves,
            build=ready.build,
            program=facts,
            unreadable=unreadable,
        )

    def _read_program(self, ready: Ready) -> tuple[ProgramFacts | None, str]:
        """The facts of an arm's program, or why they could not be read."""
        # on an accelerator each process tunes its own program
        is_read_here = self._request.process == 0 or self._machine.backend != "cpu"
        if ready.program.lower is None or not is_read_here:
            return None, ""
        try:
            return read_program(ready.program.lower(*ready.arguments)), ""
        except Exception as error:  # the samples are kept
            return None, f"{type(error).__name__}: {brief(error)}"

    def _attempt(
        self, what: str, arm: Arm, step: Callable[[], T], share: float = 0.0
    ) -> T | None:
        """What a step for an arm returns.

        If it fails, the arm loses its number: None.
        """
        self._send(Stage(f"{what} {arm.id}", share, self._group, arm.id))
        try:
            return step()
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            if not isinstance(error, TrigruError):
                reason = f"{type(error).__name__}: {reason}"
            self._send(Untimed(arm, reason))
            return None


def samples_of(arm: Arm, process: int, times: Times) -> list[Sample]:
    """The samples of an arm in a process, by every clock."""
    samples = []
    for clock, times_s in times.items():
        for number, time_s in enumerate(times_s):
            samples.append(Sample(arm.id, process, number, clock, time_s))
    return samples


def prepare_in_process(request: TimingRequest, arm: Arm, machine: Machine) -> Ready:
    """An arm, and in the first process how long it took to build.

    That is not known where processes share their programs. The last process that
    compiles keeps the programs of each arm, and the later ones take them from there. No
    arm finds another's, so a duplicate has a program of its own. Raises an
    OtherPlatformError if the arm is on another device.
    """
    shared = Path(request.folder)
    expected_of(arm, shared)  # what the oracle compiles is not the arm's
    kept = _folder_of_programs(request, arm, machine)
    with programs_kept_in(kept), watch_build() as build_until:
        ready = prepare(arm, shared)
    backend = ready.program.backend or machine.backend
    if backend != machine.backend:
        raise OtherPlatformError(
            f"it runs on {ready.program.device}, and the ports on {machine.device}: "
            "they do not compare."
        )
    if request.process > 0 or request.programs:
        return ready
    return replace(ready, build=build_until(ready.first_call_s))


def _folder_of_programs(
    request: TimingRequest, arm: Arm, machine: Machine
) -> Path | None:
    """Where the programs of an arm are taken from and kept; None where it is
    compiled.
    """
    processes = request.plan.processes
    compiling = 2 if processes > FEW_PROCESSES else 1
    if machine.backend != "cpu":  # a kept program holds what was tuned for it
        compiling = processes
    is_last_to_compile = request.process >= compiling - 1
    if request.programs is None and not (is_last_to_compile and compiling < processes):
        return None
    programs = Path(request.programs or Path(request.folder) / PROGRAMS)
    return programs / hashlib.sha256(arm.id.encode()).hexdigest()


def rounds_in(plan: Plan, schedule: Schedule, arms: int) -> int:
    """How many rounds by the clock that leads a group has in each process of a plan."""
    few = ROUNDS if plan.processes > 1 else 2 * ROUNDS
    leading_s = next(iter(schedule.round_s.values()))
    in_short_time = np.clip(SHORT_GROUP_TIME_S / leading_s, few, MOST_ROUNDS)
    wanted = plan.rounds or int(in_short_time)

    most_s = GROUP_TIME_S / plan.processes
    fitting = bisect(range(1, wanted + 1), most_s, key=schedule.whole_s)
    least = min(-(-MIN_ROUNDS // plan.processes), wanted)
    rounds = max(fitting, least)
    if rounds == plan.rounds or rounds < arms:
        return rounds
    # a multiple of the number of arms balances positions exactly
    return max(rounds - rounds % arms, least)
