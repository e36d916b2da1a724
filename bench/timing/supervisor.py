"""A run: processes measure, and what each says is in the journal before the next is
heard.

In a first look on a CPU, two processes work side by side: they prepare their arms at
the same time, and share the compiled programs. While one of them times, the other
waits.
"""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from ..arms.workloads import get_workload
from ..processes.environment import cores, parts_of_cpu
from ..processes.interrupts import shielded
from ..processes.pool import ChildDiedError, Pool, TaskEnded
from ..processes.scratch import scratch
from ..results.arm import Plan, Untimed
from ..results.files import Journal
from ..results.run import Begun, Measured
from .machine import visible_gpu
from .messages import PROGRAMS, SIDE_BY_SIDE, Message, Stage, TimingRequest

WORKER = "trigru.bench.timing.worker:work"
#: A process that is silent for longer is ended, and its arm has no number; in seconds.
LIMIT_S = 300.0
#: Processes work side by side if no arm needs more bytes than this.
MOST_ARM_BYTES = 2**26

#: Called with what is under way, and the share of the run that was done since the last
#: call.
Progress = Callable[[str, float], None]


@runtime_checkable  # for the type checker of the tests
class TimingPool(Protocol):
    """The processes of a run; see `trigru.bench.processes.pool.Pool`."""

    def __enter__(self) -> "TimingPool": ...
    def __exit__(self, *_: object) -> None: ...
    def submit(self, task: TimingRequest) -> None: ...
    def messages(self) -> Iterator[tuple[TimingRequest, Message | TaskEnded]]: ...


def make_pool(plan: Plan, processes: int) -> TimingPool:
    """A pool of so many processes, each a fresh interpreter for one request."""
    return Pool(
        WORKER,
        Message,
        limit_s=LIMIT_S,
        processes=processes,
        variables=variables_of(plan, os.environ),
    )


def variables_of(plan: Plan, environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment of a process has instead, so that it has the plan's
    devices.
    """
    return parts_of_cpu(max(plan.devices)) or visible_gpu(environment)


def run(
    journal: Journal,
    progress: Progress,
    pool_of: Callable[[Plan, int], TimingPool] | None = None,
    *,
    quick: bool = False,
    programs: Path | None = None,
) -> None:
    """Measure what a journal's plan asks for and the journal does not have yet.

    Raises a ChildDiedError if a process dies before it measures anything.

    Args:
        pool_of: makes the pool for a plan and a number of processes; by default
            `make_pool`.
        quick: on a CPU with two cores, prepare arms in two processes at a time; how
            long that takes is not measured.
        programs: where such a run keeps its programs for the next of the same arms and
            software, and removes others.
    """
    plan = journal.run.plan
    begun = journal.run.begun
    with scratch() as folder:
        shared = None
        if quick and begun.backend == "cpu":
            shared = _own_folder(programs or Path(folder) / PROGRAMS, begun)
        at_once = 1
        if shared and _is_small(plan):
            at_once = min(SIDE_BY_SIDE, cores())
        with (pool_of or make_pool)(plan, at_once) as pool:
            _Supervisor(journal, pool, progress, folder, shared).supervise(at_once)


def _own_folder(programs: Path, begun: Begun) -> Path:
    """The folder for programs of these arms and this software; others are removed."""
    subject = msgspec.json.encode([begun.arms, begun.versions, begun.commit])
    own = programs / hashlib.sha256(subject).hexdigest()
    for other in set(programs.glob("*")) - {own}:
        shutil.rmtree(other, ignore_errors=True)
    return own


def _is_small(plan: Plan) -> bool:
    sizes = [get_workload(workload).bytes for workload in plan.workloads]
    return max(sizes) <= MOST_ARM_BYTES


class _Supervisor:
    """Asks the processes of a run, one after the other, for what is not measured
    yet.
    """

    def __init__(
        self,
        journal: Journal,
        pool: TimingPool,
        progress: Progress,
        folder: str,
        programs: Path | None,
    ):
        self._journal = journal
        self._pool = pool
        self._progress = progress
        self._folder = folder
        self._programs = programs
        processes = range(journal.run.plan.processes)
        self._not_begun = deque(processes)
        #: The work that each process does.
        self._stages: dict[int, Stage] = {}
        #: Processes whose next death takes the number from an arm. The first death of a
        #: later process may be chance, so what it did is tried again.
        self._blamed = {0}
        self._parts = 0  # groups that are to be measured, in each process
        for process in processes:
            self._parts += len({arm.group for arm in journal.run.todo(process)})

    def supervise(self, at_once: int) -> None:
        for _ in range(at_once):
            self._begin_next()
        for request, message in self._pool.messages():
            if isinstance(message, TaskEnded):
                self._end(request, message.error)
            elif isinstance(message, Stage):
                self._stages[request.process] = message
                self._show(request, message)
            else:
                if isinstance(message, Measured):
                    self._stages.pop(request.process, None)
                with shielded():
                    self._journal.add(message)

    def _begin_next(self) -> None:
        """Begin the next process that has something to measure."""
        is_begun = False
        while self._not_begun and not is_begun:
            is_begun = self._begin(self._not_begun.popleft())

    def _begin(self, process: int) -> bool:
        """Begin a process; whether there is something to measure."""
        run = self._journal.run
        request = TimingRequest(
            run.plan,
            run.todo(process),
            process,
            backend=run.machine.backend if run.started else run.begun.backend,
            folder=self._folder,
            programs=str(self._programs) if self._programs else None,
        )
        if not request.arms:
            return False
        self._pool.submit(request)
        return True

    def _show(self, request: TimingRequest, stage: Stage) -> None:
        processes = request.plan.processes
        which = f" ({request.process + 1} of {processes})" if processes > 1 else ""
        self._progress(stage.what + which, stage.share / self._parts)

    def _end(self, request: TimingRequest, error: ChildDiedError | None) -> None:
        """A process has ended. What it left is measured by another one."""
        process = request.process
        stage = self._stages.pop(process, None)
        is_untouched = self._journal.run.todo(process) == request.arms
        if error is None and is_untouched:
            error = ChildDiedError("the process ended without a word")
        # a death between two groups, when something was measured, is nobody's fault
        if error is not None and (stage is not None or is_untouched):
            if process in self._blamed:
                self._blame(request, stage, error)
            self._blamed.add(process)
        if not self._begin(process):
            self._begin_next()

    def _blame(
        self, request: TimingRequest, stage: Stage | None, error: ChildDiedError
    ) -> None:
        """Take the number from the arm of a stage, or from the arms of its group.

        Raises the error if there is neither, since the run cannot go on.
        """
        if stage is None or stage.group is None:
            raise error
        run = self._journal.run
        number = 0
        if request.marker.exists():
            number = int.from_bytes(request.marker.read_bytes(), "little")
        if number:
            arms = [request.arms[number - 1]]
            what = f"time {arms[0].id}"
        else:
            group = run.groups()[stage.group]
            arms = [arm for arm in group if stage.arm in (None, arm.id)]
            what = stage.what
        with shielded():
            for arm in arms:
                if arm.id not in run.reasons:
                    self._journal.add(Untimed(arm, f"{error} while trying to {what}"))
