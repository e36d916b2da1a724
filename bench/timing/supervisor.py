"""A run: fresh processes measure. This process watches them and stores each answer as it comes."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from ..arms.arms import compiling_processes
from ..processes.child import ChildDiedError, lines_of, parts_of_cpu
from ..processes.scratch import scratch
from ..results.arm import Arm, Plan, Untimed
from ..results.run import GroupTimed, Started
from .journal import Journal
from .machine import visible_gpu

WORKER = "trigru.bench.timing.worker:answer_request"
#: A measuring process that says nothing for longer is ended, and the arm under way has no number; in seconds.
LIMIT_S = 300.0
#: A file in the request's folder with the number of the arm that is being timed, from 1; 0 between groups. It costs no
#: system call, and it still exists after the process has died.
MARKER = "underway"
#: About how long parts of a process take on two cores, in seconds: its start, with the machine's limits; to compile an
#: arm, by phase, and which share of that if it is taken from another process; the rounds of a group.
START_S, TAKEN, ROUNDS_S = 2.5, 0.12, 1.4
COMPILED_S = {"forward": 0.15, "gradient": 0.6, "train_step": 0.9, "step": 0.07}
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class Request(Struct, frozen=True):
    """The request to a measuring process.

    Args:
        arms: those of the plan that are still to be measured, group by group.
        backend: the expected platform; None if any platform is accepted.
        folder: for files that the processes of a run share.
    """

    plan: Plan
    arms: list[Arm]
    process: int
    backend: str | None
    folder: str


class Underway(Struct, frozen=True, tag=True):
    """The next piece of work, and the share of the process's work that was done since the last such message."""

    what: str
    share: float
    group: str | None = None
    arm: str | None = None


#: A line from a measuring process.
Answer = Started | Underway | Untimed | GroupTimed

Ask = Callable[[Request, float], Generator[Answer, None, None]]


def arm_s(plan: Plan, process: int, phase: str) -> float:
    """About how many seconds a process takes to make an arm ready."""
    return COMPILED_S[phase] * (1 if process < compiling_processes(plan.processes) else TAKEN)


def process_s(plan: Plan, process: int, arms: Sequence[Arm]) -> float:
    """About how many seconds a process takes to measure some arms."""
    groups = {arm.group for arm in arms}
    return START_S * bool(arms) + sum(arm_s(plan, process, arm.phase) for arm in arms) + ROUNDS_S * len(groups)


def ask_process(request: Request, limit_s: float) -> Generator[Answer, None, None]:
    """Measure in a fresh interpreter. Raises a ChildDiedError as `lines_of` does."""
    devices = max(request.plan.devices)
    variables = visible_gpu(os.environ) if devices == 1 else parts_of_cpu(devices)
    with closing(lines_of(WORKER, msgspec.json.encode(request), limit_s, variables)) as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Answer)


def run(journal: Journal, progress: Callable[[str, float], None], ask: Ask | None = None) -> None:
    """Measure what a journal's plan asks for and the journal does not have yet.

    Raises a ChildDiedError if a process dies before it measures anything.

    Args:
        journal: answers are added to it.
        progress: called with what is under way and the share of the work left that was done since the last call.
        ask: measures a request; by default `ask_process`.
    """
    plan = journal.plan
    whole_s = sum(process_s(plan, process, journal.todo(process)) for process in range(plan.processes))
    with scratch() as folder:
        for process in range(plan.processes):
            of, again = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else "", process == 0
            while todo := journal.todo(process):
                backend = journal.machine.backend if journal.machine else journal.begun.backend
                request = Request(plan, todo, process, backend, folder)
                share, underway = process_s(plan, process, todo) / whole_s, None
                try:
                    with closing((ask or ask_process)(request, LIMIT_S)) as answers:
                        for answer in answers:
                            if isinstance(answer, Underway):
                                underway = answer
                                progress(answer.what + of, answer.share * share)
                            else:
                                underway = None if isinstance(answer, GroupTimed) else underway
                                journal.add(answer)
                    if journal.todo(process) == todo:
                        raise ChildDiedError("the measuring process ended without a word")
                except ChildDiedError as error:
                    if underway is None and journal.todo(process) != todo:
                        continue  # it died between two pieces of work
                    if again:  # else a death may be chance: the process is repeated
                        _lose(journal, underway, request, error)
                    again = True


def _lose(journal: Journal, underway: Underway | None, request: Request, error: ChildDiedError) -> None:
    """Take the number from the arm that was under way, or from its group. Without either, the run cannot continue."""
    if underway is None or underway.group is None:
        raise error
    marker = Path(request.folder) / MARKER
    number = int.from_bytes(marker.read_bytes(), "little") if marker.exists() else 0
    lost, what = [arm for arm in journal.groups()[underway.group] if underway.arm in (None, arm.id)], underway.what
    if number:
        lost = [request.arms[number - 1]]
        what = f"time {lost[0].id}"
    for arm in lost:
        if arm.id not in journal.untimed:
            journal.add(Untimed(arm, f"{error} while trying to {what}"))
