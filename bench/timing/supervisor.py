"""A run: fresh processes measure, and this one adds each answer to the journal before it takes the next.

In a first look on a CPU, two processes work side by side: they prepare their arms at the same time, and share the
compiled programs. While one of them times, the other waits: they take turns.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import partial, partialmethod
from pathlib import Path
from threading import Event

import msgspec
from msgspec import Struct

from ..arms.workloads import get_workload
from ..processes.child import (
    Child,
    ChildDiedError,
    ProcessEnded,
    SideBySide,
    cores,
    parts_of_cpu,
)
from ..processes.interrupts import shielded
from ..processes.scratch import scratch
from ..results.arm import Arm, Plan, Untimed
from ..results.files import Journal
from ..results.run import Measured, Started
from .machine import visible_gpu

WORKER = "trigru.bench.timing.worker:answer_request"
#: A measuring process that is silent for longer is ended, and its arm has no number; in seconds.
LIMIT_S = 300.0
#: How many processes work side by side, if an arm needs no more bytes than this.
SIDE_BY_SIDE, MOST_ARM_BYTES = 2, 2**26
#: A folder in the request's folder, of programs, where the run has no other.
PROGRAMS = "programs"
#: How often a process that waits for its turn says so, in seconds: its parent ends one that is silent for long.
HEARTBEAT_S = 30.0


class TimingRequest(Struct, frozen=True):
    """The request to a measuring process."""

    plan: Plan
    arms: list[Arm]  # those of the plan that are still to be measured, group by group
    process: int
    backend: str | None  # the expected platform; None if any is accepted
    folder: str  # for files that the processes of a run share
    programs: str | None = (
        None  # where programs are taken from and kept; None where compiling them is timed
    )

    @property
    def marker(self) -> Path:
        """A file with the number of the arm that is being timed, from 1; 0 between groups. It outlives the process."""
        return Path(self.folder) / f"timed_arm-{self.process}"


class Stage(Struct, frozen=True, tag=True):
    """The next piece of work, and about which share of its group's the work since the last one is."""

    what: str
    share: float = 0.0
    group: str | None = None
    arm: str | None = None


#: What a measuring process sends; None where it was started, or waits for another one.
Message = Started | Stage | Untimed | Measured | None


class Turns(AbstractContextManager["Turns"]):
    """A lock that processes of one folder share while they prepare, and that one has for itself while it times.

    A process that waits to time comes before one that would prepare again: each passes a turnstile, in which it waits,
    and calls `waits` every `HEARTBEAT_S` seconds. The kernel releases the lock of a process that ends.
    """

    def __init__(self, folder: Path, waits: Callable[[], None] = lambda: None):
        self._turnstile, self._lock = (
            (folder / name).open("wb") for name in ("turnstile.lock", "work.lock")
        )
        self._waits = waits

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more turns: nobody waits for this process."""
        self._lock.close()
        self._turnstile.close()

    def _acquire(self, kind: int) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        with ThreadPoolExecutor(1) as pool:
            locked = pool.submit(
                lambda: [
                    fcntl.flock(file, kind) for file in (self._turnstile, self._lock)
                ]
            )
            while wait([locked], HEARTBEAT_S).not_done:
                self._waits()
            locked.result()
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    #: Wait until no process times, and let none begin before this one's next turn.
    acquire_shared = partialmethod(_acquire, fcntl.LOCK_SH)
    #: Wait until every other process waits, and let them wait until this one's next turn.
    acquire_exclusive = partialmethod(_acquire, fcntl.LOCK_EX)


def ask_process(
    request: TimingRequest, limit_s: float, stop: Event
) -> Iterator[Message]:
    """Measure in a fresh interpreter: None once it was started, then its answers. Raises as `Child.answers_to` does."""
    with Turns(Path(request.folder)) as turns:
        turns.acquire_shared()  # no other process times while this one starts
        with Child(
            WORKER, parts_of_cpu(max(request.plan.devices)) or visible_gpu(os.environ)
        ) as child:
            yield None
            for answer in child.answers_to(request, Message, limit_s, stop):
                turns.close()  # from now on the process takes turns itself
                yield answer


def run(
    journal: Journal,
    progress: Callable[[str, float], None],
    ask: Callable[[TimingRequest, float, Event], Iterator[Message]] | None = None,
    *,
    quick: bool = False,
    programs: Path | None = None,
) -> None:
    """Measure what a journal's plan asks for and the journal does not have yet, and add the answers to it.

    Raises a ChildDiedError if a process dies before it measures anything.

    Args:
        progress: called with what is under way and the share of the work left that was done since the last call.
        ask: measures a request; by default `ask_process`.
        quick: on a CPU with two cores, prepare arms in two processes at a time; how long that takes is not measured.
        programs: where such a run keeps its programs for the next of the same arms and software, and removes others.
    """
    plan, begun = journal.run.plan, journal.run.begun
    requests, stages = dict[int, TimingRequest](), dict[int, Stage]()  # by process
    blamed = {
        0
    }  # the first death in a later process may be chance, so that is repeated

    def begin(process: int, answers: SideBySide) -> None:
        backend = journal.run.machine.backend if journal.run.started else begun.backend
        request = TimingRequest(
            plan,
            journal.run.todo(process),
            process,
            backend,
            folder,
            shared and str(shared),
        )
        if request.arms:
            requests[process] = request
            answers.read(process, partial(ask or ask_process, request, LIMIT_S))

    def end(process: int, error: ChildDiedError | None) -> None:
        request, stage = requests[process], stages.pop(process, None)
        is_untouched = journal.run.todo(process) == request.arms
        if error is None and is_untouched:
            error = ChildDiedError("the process ended without a word")
        if error is not None and (
            stage is not None or is_untouched
        ):  # else between two pieces of work
            if process in blamed:
                _blame(journal, stage, request, error)
            blamed.add(process)

    with scratch() as folder:
        shared = None
        if quick and begun.backend == "cpu":
            names, kept = (
                [begun.arms, begun.versions, begun.commit],
                programs or Path(folder) / PROGRAMS,
            )
            shared = kept / hashlib.sha256(msgspec.json.encode(names)).hexdigest()
            for other in {*kept.glob("*")} - {shared}:
                shutil.rmtree(other, ignore_errors=True)
        parts = sum(
            len({arm.group for arm in journal.run.todo(process)})
            for process in range(plan.processes)
        )
        is_small = all(
            get_workload(workload).bytes <= MOST_ARM_BYTES
            for workload in plan.workloads
        )
        at_once = min(SIDE_BY_SIDE, cores()) if shared and is_small else 1
        for first in range(0, plan.processes, at_once):
            with SideBySide() as answers:
                for process in range(first, min(first + at_once, plan.processes)):
                    begin(process, answers)
                for process, answer in answers:
                    if isinstance(answer, Stage):
                        stages[process] = answer
                        of = (
                            f" ({process + 1} of {plan.processes})"
                            if plan.processes > 1
                            else ""
                        )
                        progress(answer.what + of, answer.share / parts)
                    elif isinstance(answer, ProcessEnded):
                        end(process, answer.error)
                        begin(process, answers)
                    elif answer is not None:
                        if isinstance(answer, Measured):
                            stages.pop(process, None)
                        with shielded():
                            journal.add(answer)


def _blame(
    journal: Journal, stage: Stage | None, request: TimingRequest, error: ChildDiedError
) -> None:
    """Take the number from the arm of a stage, or from its group. Without either, the run cannot continue."""
    if stage is None or stage.group is None:
        raise error
    number = (
        int.from_bytes(request.marker.read_bytes(), "little")
        if request.marker.exists()
        else 0
    )
    blamed, what = (
        [
            arm
            for arm in journal.run.groups()[stage.group]
            if stage.arm in (None, arm.id)
        ],
        stage.what,
    )
    if number:
        blamed = [request.arms[number - 1]]
        what = f"time {blamed[0].id}"
    with shielded():
        for arm in blamed:
            if arm.id not in journal.run.reasons:
                journal.add(Untimed(arm, f"{error} while trying to {what}"))
