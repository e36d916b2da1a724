"""Processes ask side by side what a proof has to ask; this one watches them."""

import hashlib
import os
import platform
import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import msgspec
from platformdirs import user_cache_path

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from ..processes.child import Child, ChildDiedError
from .messages import Answer, Answered, Asked, Begun, Request

WORKER = "trigru.bench.proving.worker"
#: Fewer questions than this for each process are answered sooner in this one: a process takes seconds to start.
FEW = 20
#: A process needs up to a gigabyte.
MOST_PROCESSES = 8
#: A process that says nothing for longer is ended, and its question has failed; in seconds.
LIMIT_S = 300.0


@dataclass(frozen=True)
class Proof:
    """What was measured, and how many programs were compiled for that or found compiled.

    Args:
        answers: the measurements of each question, in the order in which they were asked.
    """

    answers: list[list[Measurement]]
    compiled: int
    reused: int


class Prover:
    """Asks questions, in processes of its own where there are many. Within its context its processes live.

    Args:
        keep: whether compiled programs are kept, and taken from earlier ones.
        early: start the processes now, since there will be many questions; they import what they need while this
            process does.
    """

    def __init__(self, *, keep: bool, early: bool = False):
        self.programs = programs_folder() if keep else None
        self._processes = min(_cores(), MOST_PROCESSES)
        self._early = [Child(WORKER) for _ in range(self._processes if early and self._processes > 1 else 0)]

    def __enter__(self) -> "Prover":
        return self

    def __exit__(self, *_: object) -> None:
        while self._early:
            self._early.pop().__exit__()

    def prove(
        self, questions: Sequence[Asked], progress: Callable[[int, Asked], None], *, in_haste: bool = False
    ) -> Proof:
        """Ask questions. Those about programs as users have them come first, since they take longest.

        Args:
            questions: what to ask.
            progress: called after each answer with the number of answers, and the question.
            in_haste: compile every program in haste.
        """
        order = sorted(range(len(questions)), key=lambda number: not questions[number].optimized)
        answers: dict[int, Answered] = {}
        with tempfile.TemporaryDirectory(prefix="trigru-") as folder:
            asked = [questions[number] for number in order]
            request = Request(asked, 0, folder, None if self.programs is None else str(self.programs), in_haste)
            processes = min(self._processes, len(asked) // FEW)
            for answer in self._in_children(request, processes) if processes > 1 else _here(request):
                answers[order[answer.number]] = answer
                progress(len(answers), asked[answer.number])
        self.__exit__()  # processes that had nothing to do
        found = [answers[number] for number in range(len(questions))]
        return Proof([a.measurements for a in found], sum(a.compiled for a in found), sum(a.reused for a in found))

    def _in_children(self, request: Request, processes: int) -> Iterator[Answered]:
        """The answers of several processes, as they come. What a process was asked when it died has failed."""
        said: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        stop = Event()

        def work(number: int) -> None:
            mine = msgspec.structs.replace(request, start=number * len(request.questions) // processes)
            child = self._early.pop() if self._early else Child(WORKER)
            try:
                while _ask(child, mine, said.put, stop) and not stop.is_set():
                    child = Child(WORKER)  # the one before died, and the others may not take what is left
            finally:
                said.put(None)

        with ThreadPoolExecutor(processes) as pool:
            running = [pool.submit(work, number) for number in range(processes)]
            try:
                for _ in running:
                    while answer := said.get():
                        yield answer
            finally:
                stop.set()
        for future in running:
            future.result()


def programs_folder() -> Path | None:
    """Where the programs of this user and processor are kept; None where nothing can be written there."""
    folder = user_cache_path("trigru") / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _processor() -> str:
    """A name for the processor's instructions: a program made for one may not run on another."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.exists() else [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}) or lines[:1]
    return hashlib.sha256("\n".join([platform.machine(), *told]).encode()).hexdigest()[:16]


def _here(request: Request) -> Iterator[Answered]:
    from .worker import answer_questions

    return (answer for answer in answer_questions(request) if isinstance(answer, Answered))


def _ask(child: Child, request: Request, put: Callable[[Answered], None], stop: Event) -> bool:
    """Let a process ask, then end it. Whether it died of a question, so that another one may go on.

    Raises:
        ChildDiedError: it died of something else.
    """
    under_way: int | None = None
    with child:
        try:
            for line in child.lines_of(msgspec.json.encode(request), LIMIT_S, stop):
                answer = msgspec.json.decode(line, type=Answer)
                under_way = answer.number if isinstance(answer, Begun) else None
                if isinstance(answer, Answered):
                    put(answer)
        except ChildDiedError as error:
            if under_way is None:
                raise
            asked = request.questions[under_way]
            of = asked.subject.name, asked.check, asked.style, "call", asked.dtype
            failed = Measurement(*of, None, 0.0, str(error), asked.subject.kernel or STOCK)
            put(Answered(under_way, [failed], 0, 0))
            return True
    return False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
