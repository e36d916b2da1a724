"""A run: fresh processes measure. This process watches them and stores each answer as it comes.

In a first look on a CPU, two processes work side by side: they prepare their arms at the same time, and share the
compiled programs. While one of them times, the other waits; see `trigru.bench.timing.turns`.
"""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import zip_longest
from pathlib import Path

import msgspec
from msgspec import Struct

from ...common.files import write_whole
from ..arms.arms import compiling_processes
from ..arms.workloads import get_workload
from ..processes.child import Child, ChildDiedError, cores, parts_of_cpu
from ..processes.scratch import scratch
from ..results.arm import Arm, Plan, Untimed
from ..results.run import GroupTimed, Started
from .journal import Journal
from .machine import visible_gpu
from .turns import Turns

WORKER = "trigru.bench.timing.worker:answer_request"
#: A measuring process that says nothing for longer is ended, and the arm under way has no number; in seconds.
LIMIT_S = 300.0
#: How many processes work side by side, if an arm needs no more bytes than this.
SIDE_BY_SIDE, MOST_BYTES = 2, 2**26
#: About how long parts of a process take on two cores, in seconds: its start, with the machine's limits; to compile an
#: arm, by phase, and which share of that if it is taken from another process; the rounds of a group.
START_S, TAKEN, ROUNDS_S = 2.5, 0.12, 1.4
COMPILED_S = {"forward": 0.15, "gradient": 0.6, "train_step": 0.9, "step": 0.07}
#: A folder in the request's folder, of programs, where the run has no other; and a file that says of which arms and of
#: which software it has them.
PROGRAMS, MADE = "programs", "made.json"
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class Request(Struct, frozen=True):
    """The request to a measuring process.

    Args:
        arms: those of the plan that are still to be measured, group by group.
        backend: the expected platform; None if any platform is accepted.
        folder: for files that the processes of a run share.
        programs: a folder of compiled programs, from which each process takes what is there and to which it adds what
            is not; None where the first processes compile, and the time that this takes is measured.
        has_programs: whether that folder has those of all arms.
    """

    plan: Plan
    arms: list[Arm]
    process: int
    backend: str | None
    folder: str
    programs: str | None = None
    has_programs: bool = False

    @property
    def marker(self) -> Path:
        """A file with the number of the arm that is being timed, from 1; 0 between groups.

        It costs no system call, and it still exists after the process has died.
        """
        return Path(self.folder) / f"underway-{self.process}"

    def arm_s(self, phase: str) -> float:
        """About how many seconds the process takes to make an arm ready."""
        if self.programs is not None:
            compiles = 0 if self.has_programs or self.process >= SIDE_BY_SIDE else 1 / SIDE_BY_SIDE
        else:
            compiles = self.process < compiling_processes(self.plan.processes)
        return COMPILED_S[phase] * max(compiles, TAKEN)

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

Ask = Callable[[Request, float], Generator[Answer | None, None, None]]


def ask_process(request: Request, limit_s: float) -> Generator[Answer | None, None, None]:
    """Measure in a fresh interpreter. Yields None once it has been started. Raises a ChildDiedError as `Child` does."""
    with Turns(Path(request.folder)) as turns:
        turns.prepare()  # no other process times while this one starts
        with Child(WORKER, _variables(request.plan)) as child:
            yield None
            for line in child.lines_of(msgspec.json.encode(request), limit_s):
                turns.close()  # from now on the process takes turns itself
                yield msgspec.json.decode(line, type=Answer)


def _is_small(plan: Plan) -> bool:
    return all(get_workload(workload).bytes <= MOST_BYTES for workload in plan.workloads)


def _variables(plan: Plan) -> dict[str, str]:
    devices = max(plan.devices)
    return visible_gpu(os.environ) if devices == 1 else parts_of_cpu(devices)


def keep_only(programs: Path, made: bytes) -> bool:
    """Remove a folder of programs, unless they are what is described. Whether it has them."""
    with suppress(OSError):
        if (programs / MADE).read_bytes() == made:
            return True
    shutil.rmtree(programs, ignore_errors=True)
    return False


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
        quick: on a CPU with two cores, prepare arms in two processes at a time; how long that takes is not measured.
        programs: the folder from which such a run takes programs, and in which it keeps them; by default a new one.
            Those of the last run alone are kept.
    """
    plan, begun = journal.plan, journal.begun
    with scratch() as folder:
        shared = (programs or Path(folder) / PROGRAMS) if quick and begun.backend == "cpu" else None
        made = msgspec.json.encode([begun.arms, begun.versions, begun.commit])
        has_programs = shared is not None and keep_only(shared, made)

        def request_of(process: int) -> Request:
            backend = journal.machine.backend if journal.machine else begun.backend
            kept = shared and str(shared)
            return Request(plan, journal.todo(process), process, backend, folder, kept, has_programs)

        whole_s = sum(request_of(process).whole_s for process in range(plan.processes))

        def measure(process: int) -> Iterator[None]:
            """Measure what one process has to, and yield after each answer."""
            of, again = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else "", process == 0
            while todo := (request := request_of(process)).arms:
                share, underway = request.whole_s / whole_s, None
                try:
                    with closing((ask or ask_process)(request, LIMIT_S)) as answers:
                        for answer in answers:
                            if isinstance(answer, Underway):
                                underway = answer
                                progress(answer.what + of, answer.share * share)
                            elif answer is not None:
                                underway = None if isinstance(answer, GroupTimed) else underway
                                journal.add(answer)
                            yield
                    if journal.todo(process) == todo:
                        raise ChildDiedError("the measuring process ended without a word")
                except ChildDiedError as error:
                    if underway is None and journal.todo(process) != todo:
                        continue  # it died between two pieces of work
                    if again:  # else a death may be chance: the process is repeated
                        _lose(journal, underway, request, error)
                    again = True

        beside = min(SIDE_BY_SIDE, cores()) if shared and _is_small(plan) else 1
        for first in range(0, plan.processes, beside):
            with ExitStack() as stack:
                numbers = range(first, min(first + beside, plan.processes))
                side = [stack.enter_context(closing(measure(process))) for process in numbers]
                for _ in zip_longest(*side):  # an answer of each in turn
                    pass
            if shared and not first:
                with suppress(OSError):  # they are compiled again next time
                    write_whole(shared / MADE, made)


def _lose(journal: Journal, underway: Underway | None, request: Request, error: ChildDiedError) -> None:
    """Take the number from the arm that was under way, or from its group. Without either, the run cannot continue."""
    if underway is None or underway.group is None:
        raise error
    number = int.from_bytes(request.marker.read_bytes(), "little") if request.marker.exists() else 0
    lost, what = [arm for arm in journal.groups()[underway.group] if underway.arm in (None, arm.id)], underway.what
    if number:
        lost = [request.arms[number - 1]]
        what = f"time {lost[0].id}"
    for arm in lost:
        if arm.id not in journal.untimed:
            journal.add(Untimed(arm, f"{error} while trying to {what}"))
