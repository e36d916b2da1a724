"""Processes ask side by side what a proof has to ask; this one watches them."""

import hashlib
import os
import platform
import queue
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event

import msgspec
from platformdirs import user_cache_path

from ...common.equality.measurement import Measurement
from ..processes.child import SLICE_S, Child, ChildDiedError, cores, parts_of_cpu, shared_memory
from ..processes.interrupts import check
from ..processes.scratch import private_folder, scratch
from .messages import Answer, Answered, Asked, Request

WORKER = "trigru.bench.proving.questions:answer_request"
#: Fewer questions than this for each process are answered sooner in this one: a process takes seconds to start.
FEW = 20
#: A process needs up to a gigabyte.
MOST_PROCESSES = 8
#: A process that says nothing for longer is ended, and its question has failed; in seconds.
LIMIT_S = 300.0
NO_ANSWER = "the process ended without an answer"


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
        while self._early:
            self._early.pop().__exit__()

    def prove(self, questions: Sequence[Asked], progress: Callable[[int, Asked], None]) -> Proof:
        """Ask questions. Those about programs as users have them come first, since they take longest.

        Args:
            questions: what to ask.
            progress: called after each answer with the number of answers, and the question.
        """
        questions, answers = list(questions), dict[int, Answered]()
        processes = min(self.processes, len(questions) // (1 if self._devices else FEW))
        here = processes < 2 and self._devices is None and not _has_tpu()
        with closing(self._answers(questions, 0 if here else max(processes, 1))) as found:
            for answer in found:
                answers[answer.number] = answer
                progress(len(answers), questions[answer.number])
        self.__exit__()
        for number, question in enumerate(questions):
            first = answers.get(number)  # None where a process died between questions
            if first is None or first.death:  # which may be chance
                answers[number] = self._again(question)
            if first is None:
                progress(len(answers), question)
        given = [answers[number] for number in range(len(questions))]
        self.backend = next((answer.backend for answer in given if answer.backend), self.backend)
        return Proof(
            [[_of_death(q, a.death)] if a.death else a.measurements for q, a in zip(questions, given, strict=True)],
            sum(answer.compiled for answer in given),
            sum(answer.reused for answer in given),
            [question for question, answer in zip(questions, given, strict=True) if answer.death],
        )

    def _again(self, question: Asked) -> Answered:
        """The answer of a process of its own, or how that died."""
        try:
            return [*self._answers([question], 1), Answered(0, [], death=NO_ANSWER)][0]
        except ChildDiedError as error:  # before it was asked
            return Answered(0, [], death=str(error))

    def _answers(self, questions: list[Asked], processes: int) -> Generator[Answered, None, None]:
        """The answers of several processes, as they come; or of this one, for 0."""
        with scratch() as folder:
            programs = None if self.programs is None else str(self.programs)
            request = Request(questions, 0.0, folder, programs, not self._fast)
            if processes:
                yield from self._of_children(request, processes)
                return
            from .questions import answers_of

            yield from (answer for answer in answers_of(request) if isinstance(answer, Answered))

    def _child(self) -> Child:
        return Child(WORKER, shared_memory() | parts_of_cpu(self._devices))

    def _of_children(self, request: Request, processes: int) -> Generator[Answered, None, None]:
        answers: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()  # None where a process has ended
        stop = Event()

        def work(start: float) -> None:
            child = self._early.pop() if self._early else self._child()
            while _ask(child, msgspec.structs.replace(request, start=start), answers.put, stop):
                child = self._child()  # the one before died, and the others may not take what is left

        with ThreadPoolExecutor(processes) as pool:
            running = [pool.submit(work, number / processes) for number in range(processes)]
            for future in running:
                future.add_done_callback(lambda _: answers.put(None))
            try:
                while not (all(future.done() for future in running) and answers.empty()):
                    check()
                    with suppress(queue.Empty):
                        if (answer := answers.get(timeout=SLICE_S)) is not None:
                            yield answer
            finally:
                stop.set()
        for future in running:
            future.result()


def _ask(child: Child, request: Request, put: Callable[[Answered], None], stop: Event) -> bool:
    """Let a process ask, then end it. Whether it died of a question, so that another one may go on.

    Raises:
        ChildDiedError: it died before it was asked anything.
    """
    begun, under_way, death = False, None, NO_ANSWER
    with child:
        try:
            for answer in child.answers_to(request, Answer, LIMIT_S, stop):
                begun = True
                under_way = answer if isinstance(answer, int) else None
                if isinstance(answer, Answered):
                    put(answer)
        except ChildDiedError as error:
            if not begun:
                raise
            death = str(error)
    if under_way is not None:
        put(Answered(under_way, [], death=death))
    return under_way is not None and not stop.is_set()


def _of_death(asked: Asked, death: str) -> Measurement:
    from ...common.equality.contract.examination import unmeasured  # imports JAX, whose settings are checked before
    from .questions import get_subject

    return replace(
        unmeasured(get_subject(asked.subject), asked.check, asked.row), style=None, problem=death, levels=None
    )


def programs_folder() -> Path | None:
    """Where the programs of this user and processor are kept; None where there is no such folder."""
    return private_folder(user_cache_path("trigru") / "programs" / processor())


def processor() -> str:
    """A name for the processor's instructions: a program made for one may not run on another."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.exists() else [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}) or lines[:1]
    return hashlib.sha256("\n".join([platform.machine(), *told]).encode()).hexdigest()[:16]


def _has_tpu() -> bool:
    """Whether JAX would look for a TPU, without starting it."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return find_spec("libtpu") is not None and (not platforms or "tpu" in platforms)
