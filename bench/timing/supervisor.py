"""A run: fresh processes measure. This process watches them and stores each answer as it comes."""

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import chain, zip_longest
from pathlib import Path

import msgspec
from msgspec import Struct

from ...common.files import write_whole
from ..arms.arms import compiling_processes
from ..processes.child import Child, ChildDiedError, answers_of, cores, parts_of_cpu
from ..processes.scratch import scratch
from ..results.arm import Arm, Plan, Untimed
from ..results.run import GroupTimed, Started
from .journal import Journal
from .machine import visible_gpu

WORKER, COMPILER = "trigru.bench.timing.worker:answer_request", "trigru.bench.timing.worker:compile_arms"
#: Processes that compile side by side: each needs some hundred megabytes.
MOST_COMPILERS = 8
#: A measuring process that says nothing for longer is ended, and the arm under way has no number; in seconds.
LIMIT_S = 300.0
#: A file in the request's folder with the number of the arm that is being timed, from 1; 0 between groups. It costs no
#: system call, and it still exists after the process has died.
MARKER = "underway"
#: About how long parts of a process take on two cores, in seconds: its start, with the machine's limits; to compile an
#: arm, by phase, and which share of that if it is taken from another process; the rounds of a group.
START_S, TAKEN, ROUNDS_S = 2.5, 0.12, 1.4
COMPILED_S = {"forward": 0.15, "gradient": 0.6, "train_step": 0.9, "step": 0.07}
#: A folder in the request's folder, of programs, where the run has no other; and a file that says of which arms it has
#: them.
PROGRAMS, MADE = "programs", "made.json"
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class Request(Struct, frozen=True):
    """The request to a measuring process.

    Args:
        arms: those of the plan that are still to be measured, group by group.
        backend: the expected platform; None if any platform is accepted.
        folder: for files that the processes of a run share.
        programs: a folder with the compiled programs of all arms, made before the first process; None where the first
            processes compile, and the time that this takes is measured.
    """

    plan: Plan
    arms: list[Arm]
    process: int
    backend: str | None
    folder: str
    programs: str | None = None

    def arm_s(self, phase: str) -> float:
        """About how many seconds the process takes to make an arm ready."""
        compiles = self.programs is None and self.process < compiling_processes(self.plan.processes)
        return COMPILED_S[phase] * (1 if compiles else TAKEN)

    @property
    def whole_s(self) -> float:
        """About how many seconds the process takes."""
        groups = {arm.group for arm in self.arms}
        return START_S * bool(self.arms) + sum(self.arm_s(arm.phase) for arm in self.arms) + ROUNDS_S * len(groups)


class Underway(Struct, frozen=True, tag=True):
    """The next piece of work, and the share of the process's work that was done since the last such message."""

    what: str
    share: float
    group: str | None = None
    arm: str | None = None


#: A line from a measuring process.
Answer = Started | Underway | Untimed | GroupTimed

Ask = Callable[[Request, float], Generator[Answer, None, None]]


def ask_process(request: Request, limit_s: float) -> Generator[Answer, None, None]:
    """Measure in a fresh interpreter. Raises a ChildDiedError as `Child.answers_to` does."""
    return answers_of(WORKER, request, Answer, limit_s, _variables(request.plan))


def _variables(plan: Plan) -> dict[str, str]:
    devices = max(plan.devices)
    return visible_gpu(os.environ) if devices == 1 else parts_of_cpu(devices)


def compile_side_by_side(request: Request, software: Sequence[object], progress: Callable[[str], None]) -> None:
    """Compile the arms of a request, a part of them in each of several processes, for those that will time them.

    The programs of other arms, or of other software, are removed: those of the last run alone are kept. What fails here
    fails again where it is timed, which then says so.
    """
    folder, arms, most = Path(request.programs or ""), request.arms, min(cores(), MOST_COMPILERS)
    mark, made = folder / MADE, msgspec.json.encode([arms, software])
    with suppress(OSError):
        if mark.read_bytes() == made:
            return
    shutil.rmtree(folder, ignore_errors=True)
    parts = [part for first in range(most) if (part := arms[first::most])]
    requests = [msgspec.structs.replace(request, arms=part) for part in parts]
    with ExitStack() as stack, suppress(ChildDiedError):
        children = [stack.enter_context(Child(COMPILER, _variables(request.plan))) for _ in parts]
        answers = [child.answers_to(of, Underway, LIMIT_S) for child, of in zip(children, requests, strict=True)]
        for answer in filter(None, chain.from_iterable(zip_longest(*answers))):
            progress(answer.what)
        with suppress(OSError):  # it is compiled again next time
            write_whole(mark, made)


def run(
    journal: Journal,
    progress: Callable[[str, float], None],
    ask: Ask | None = None,
    *,
    quick: bool = False,
    programs: Path | None = None,
) -> None:
    """Measure what a journal's plan asks for and the journal does not have yet.

    Raises a ChildDiedError if a process dies before it measures anything.

    Args:
        journal: answers are added to it.
        progress: called with what is under way and the share of the work left that was done since the last call.
        ask: measures a request; by default `ask_process`.
        quick: on a CPU, compile all arms first, in as many processes as there are cores; how long each takes is then
            not measured.
        programs: the folder from which such a run takes programs, and in which it keeps them; by default a new one.
    """
    plan = journal.plan
    with scratch() as folder:
        shared = str(programs or Path(folder) / PROGRAMS) if quick and journal.begun.backend == "cpu" else None

        def request_of(process: int) -> Request:
            backend = journal.machine.backend if journal.machine else journal.begun.backend
            return Request(plan, journal.todo(process), process, backend, folder, shared)

        whole_s = sum(request_of(process).whole_s for process in range(plan.processes))
        if shared and journal.todo(0):
            software = journal.begun.versions, journal.begun.commit
            whole = msgspec.structs.replace(request_of(0), arms=list(journal.begun.arms))
            compile_side_by_side(whole, software, lambda what: progress(what, 0.0))
        for process in range(plan.processes):
            of, again = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else "", process == 0
            while todo := (request := request_of(process)).arms:
                share, underway = request.whole_s / whole_s, None
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
