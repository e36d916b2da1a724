"""Processes ask side by side what a proof has to ask; this one watches them."""

import hashlib
import os
import platform
import queue
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Event

import msgspec
from platformdirs import user_cache_path

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from ..processes.child import SLICE_S, Child, ChildDiedError, cores, parts_of_cpu, shared_memory
from ..processes.interrupts import check
from ..processes.scratch import private_folder, scratch
from .messages import Answer, Answered, Asked, Begun, Request

WORKER = "trigru.bench.proving.questions:answer_request"
#: Fewer questions than this for each process are answered sooner in this one: a process takes seconds to start.
FEW = 20
#: A process needs up to a gigabyte.
MOST_PROCESSES = 8
#: A process that says nothing for longer is ended, and its question has failed; in seconds.
LIMIT_S = 300.0


@dataclass(frozen=True)
class Proof:
    """The measurements, and how many programs were compiled for them or found compiled.

    Args:
        answers: the measurements of each question, in the order in which they were given.
        died: the questions that twice ended their process. Their measurement says how.
    """

    answers: list[list[Measurement]]
    compiled: int
    reused: int
    died: list[Asked]


class Prover:
    """Asks questions, in processes of its own where there are many. Within its context its processes live.

    Args:
        keep: whether compiled programs are kept, and taken from earlier ones.
        fast: only pass or fail matters: rows that fail are not made smaller.
        early: start the processes now, since there will be many questions; they import what they need while this
            process does.
        devices: so many devices of a CPU in each process; None for what there is.

    Attributes:
        programs: the folder in which compiled programs are kept; None where none is.
        processes: how many ask at most. A TPU takes one at a time, and none while this process has it.
        backend: the platform on which questions were answered, once some were.
    """

    def __init__(self, *, keep: bool, fast: bool = False, early: bool = False, devices: int | None = None):
        self.programs = programs_folder() if keep else None
        self.processes = 1 if _has_tpu() else min(cores(), MOST_PROCESSES)
        self.backend: str | None = None
        self._fast, self._devices = fast, devices
        self._early = [self._child() for _ in range(self.processes if early and self.processes > 1 else 0)]

    def __enter__(self) -> "Prover":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_early()

    def prove(self, questions: Sequence[Asked], progress: Callable[[int, Asked], None]) -> Proof:
        """Ask questions. Those about programs as users have them come first, since they take longest.

        Args:
            questions: what to ask.
            progress: called after each answer with the number of answers, and the question.
        """
        order = sorted(range(len(questions)), key=lambda number: not questions[number].compiled)
        asked = [questions[number] for number in order]
        answers: dict[int, Answered] = {}
        processes = min(self.processes, len(asked) // (1 if self._devices else FEW))
        with scratch() as folder:
            programs = None if self.programs is None else str(self.programs)
            request = Request(asked, 0, folder, programs, not self._fast)
            here = processes < 2 and self._devices is None and not _has_tpu()
            with closing(_here(request) if here else self._in_children(request, max(processes, 1))) as found:
                for answer in found:
                    answers[answer.number] = answer
                    progress(len(answers), asked[answer.number])
        self._end_early()
        lost = [number for number in range(len(asked)) if number not in answers]
        died = []
        for number in lost:  # a death may be chance
            try:
                answers[number] = _ask_alone(self._child(), request, number)
            except ChildDiedError as error:
                answers[number] = _death(request, number, error)
                died.append(asked[number])
            progress(len(answers), asked[number])
        self.backend = next((answer.backend for answer in answers.values() if answer.backend), self.backend)
        given = [answers[place] for place in sorted(answers, key=lambda place: order[place])]
        return Proof(
            [answer.measurements for answer in given],
            sum(answer.compiled for answer in given),
            sum(answer.reused for answer in given),
            died,
        )

    def _child(self) -> Child:
        return Child(WORKER, shared_memory() | parts_of_cpu(self._devices))

    def _end_early(self) -> None:
        while self._early:
            self._early.pop().__exit__()

    def _in_children(self, request: Request, processes: int) -> Generator[Answered, None, None]:
        """The answers of several processes, as they come. What a process was asked when it died is missing."""
        said: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        stop = Event()

        def work(number: int) -> None:
            try:
                # each begins at its share of the programs that are compiled, then of the others
                mine = msgspec.structs.replace(request, start=number * len(request.questions) // processes)
                child = self._early.pop() if self._early else self._child()
                while _ask(child, mine, said.put, stop) and not stop.is_set():
                    child = self._child()  # the one before died, and the others may not take what is left
            finally:
                said.put(None)

        with ThreadPoolExecutor(processes) as pool:
            running = [pool.submit(work, number) for number in range(processes)]
            try:
                for _ in running:
                    while answer := _heard(said):
                        yield answer
            finally:
                stop.set()
        for future in running:
            future.result()


def _heard(said: "queue.SimpleQueue[Answered | None]") -> Answered | None:
    """The next answer, or None at the end of one of the processes. Raises an Interrupted if there was a signal."""
    while True:
        check()
        with suppress(queue.Empty):
            return said.get(timeout=SLICE_S)


def programs_folder() -> Path | None:
    """Where the programs of this user and processor are kept; None where there is no such folder."""
    return private_folder(user_cache_path("trigru") / "programs" / processor())


def processor() -> str:
    """A name for the processor's instructions: a program made for one may not run on another."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.exists() else [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}) or lines[:1]
    return hashlib.sha256("\n".join([platform.machine(), *told]).encode()).hexdigest()[:16]


def _here(request: Request) -> Generator[Answered, None, None]:
    from .questions import answer_questions

    with closing(answer_questions(request)) as answers:
        yield from (answer for answer in answers if isinstance(answer, Answered))


def _ask(child: Child, request: Request, put: Callable[[Answered], None], stop: Event) -> bool:
    """Let a process ask, then end it. Whether it died of a question, so that another one may go on.

    Raises:
        ChildDiedError: it died before it was asked anything.
    """
    under_way, begun = False, False
    with child:
        try:
            for line in child.lines_of(msgspec.json.encode(request), LIMIT_S, stop):
                answer = msgspec.json.decode(line, type=Answer)
                under_way, begun = isinstance(answer, Begun), True
                if isinstance(answer, Answered):
                    put(answer)
        except ChildDiedError:
            if not begun:
                raise
    return under_way


def _ask_alone(child: Child, request: Request, number: int) -> Answered:
    """One question, in a process of its own. Raises a ChildDiedError if it dies without an answer."""
    with scratch() as folder, child:
        alone = msgspec.structs.replace(request, questions=[request.questions[number]], start=0, folder=folder)
        for line in child.lines_of(msgspec.json.encode(alone), LIMIT_S):
            answer = msgspec.json.decode(line, type=Answer)
            if isinstance(answer, Answered):
                return msgspec.structs.replace(answer, number=number)
    raise ChildDiedError("the process ended without an answer")


def _death(request: Request, number: int, error: ChildDiedError) -> Answered:
    from ...common.equality.contract.data import dtypes_of  # imports JAX, whose settings are checked before
    from .questions import get_subject

    asked = request.questions[number]
    dtype = "float64" if asked.row is None else dtypes_of(asked.row["dtype"])[0]
    of = get_subject(asked.subject).name, asked.check, None, "call", dtype
    return Answered(number, [Measurement(*of, None, 0.0, str(error), asked.subject.kernel or STOCK)], 0, 0)


def _has_tpu() -> bool:
    """Whether JAX would look for a TPU, without starting it."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return find_spec("libtpu") is not None and (not platforms or "tpu" in platforms)
