"""Processes answer the questions of a proof side by side; this one watches them.

Questions go to them by names, since ports hold functions and cannot be sent. It imports no JAX, so that processes can
start before that is imported.
"""

import hashlib
import os
import platform
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ..processes.child import (
    Child,
    ChildDiedError,
    ProcessEnded,
    SideBySide,
    cores,
    parts_of_cpu,
    shared_memory,
)
from ..processes.scratch import cache_folder, scratch

WORKER = "trigru.bench.proving.questions:answer_request"
#: Fewer questions than this for each process are answered sooner in this one: a process takes seconds to start.
FEW = 20
#: A process needs up to a gigabyte.
MOST_PROCESSES = 8
#: A process that is silent for longer is ended, and its question has failed; in seconds.
LIMIT_S = 300.0
NO_ANSWER = "the process ended without an answer"


class PortId(Struct, frozen=True):
    """A port by name, among the ports for use, the frameworks' own parts, or the planted faults."""

    source: Literal["port", "upstream", "fault"]
    name: str
    kernel: str | None = (
        None  # of its models, as users write it; None leaves the port as it is
    )


class QuestionId(Struct, frozen=True):
    """A check of one port, or one row of it, by names: the least piece of work."""

    subject: PortId
    check: str
    row: dict[str, str] | None = None


class ProofRequest(Struct, frozen=True):
    """The request to the processes of a proof: each question is answered by the process that takes it first.

    Questions of one row stand together, and processes start apart, so that few need the oracle's answers to it.
    """

    questions: list[QuestionId]
    start: float  # which share of the questions this process begins with, from 0 to 1
    folder: str  # in which a process leaves a mark for each question that it takes
    programs: str | None  # in which compiled programs are kept; None keeps none
    shrink: bool = True  # whether a row that fails is made smaller


class Answered(Struct, frozen=True):
    """The measurement, its platform, and how many programs were compiled for it or found compiled."""

    number: int  # that of the question
    measurement: Measurement | None = (
        None  # None where the process died of the question
    )
    compiled: int = 0
    reused: int = 0
    backend: str | None = None
    death: str = NO_ANSWER  # how it did


class Prover(AbstractContextManager["Prover"]):
    """Finds the answers to questions, in several processes where there are many. They live within its context.

    Args:
        fast: only pass or fail matters: rows that fail are not made smaller.
        early: start the processes now, since there will be many questions; they import what they need while this
            process does.
        devices: so many devices of a CPU in each process; None for what there is.
    """

    def __init__(
        self, *, fast: bool = False, early: bool = False, devices: int | None = None
    ):
        self.programs = programs_folder()
        self.processes = (
            1 if _has_tpu() else min(cores(), MOST_PROCESSES)
        )  # a TPU takes one at a time
        self.backend: str | None = (
            None  # on which questions were answered, once some were
        )
        self.compiled = self.reused = 0  # programs for the last answers
        self.died: list[
            QuestionId
        ] = []  # that twice ended their process; their measurement says how
        self._fast, self._devices = fast, devices
        self._early = [
            self._child()
            for _ in range(self.processes if early and self.processes > 1 else 0)
        ]

    def __exit__(self, *_: object) -> None:
        while self._early:
            self._early.pop().__exit__()

    def prove(
        self,
        questions: Sequence[QuestionId],
        progress: Callable[[int, QuestionId], None],
    ) -> list[Measurement]:
        """The measurement of each question; `progress` is called after each with the number of answers so far."""
        questions, answers = list(questions), dict[int, Answered]()
        processes = min(self.processes, len(questions) // (1 if self._devices else FEW))
        here = processes < 2 and self._devices is None and not _has_tpu()
        with closing(
            self._answers(questions, 0 if here else max(processes, 1))
        ) as found:
            for answer in found:
                answers[answer.number] = answer
                progress(len(answers), questions[answer.number])
        self.__exit__()
        for number, question in enumerate(questions):
            first = answers.get(number)  # None where a process died between questions
            if first is None or first.measurement is None:  # which may be chance
                try:
                    answers[number] = [*self._answers([question], 1), Answered(0)][0]
                except ChildDiedError as error:  # before it took the question
                    answers[number] = Answered(0, death=str(error))
            if first is None:
                progress(len(answers), question)
        given = [answers[number] for number in range(len(questions))]
        self.backend = next(
            (answer.backend for answer in given if answer.backend), self.backend
        )
        self.compiled, self.reused = (
            sum(a.compiled for a in given),
            sum(a.reused for a in given),
        )
        self.died = [
            question
            for question, answer in zip(questions, given, strict=True)
            if answer.measurement is None
        ]
        from .questions import (
            unanswered,
        )  # imports JAX, whose settings are checked before

        return [
            a.measurement or unanswered(q, a.death)
            for q, a in zip(questions, given, strict=True)
        ]

    def _child(self) -> Child:
        return Child(WORKER, shared_memory() | parts_of_cpu(self._devices))

    def _answers(
        self, questions: list[QuestionId], processes: int
    ) -> Generator[Answered, None, None]:
        """The answers of several processes, as they come; or of this one, for 0."""
        programs = None if self.programs is None else str(self.programs)
        with scratch() as folder, SideBySide() as answers:
            request = ProofRequest(questions, 0.0, folder, programs, not self._fast)
            if not processes:
                from .questions import answers_to

                yield from (
                    answer
                    for answer in answers_to(request)
                    if isinstance(answer, Answered)
                )
                return
            taken: dict[
                int, int | None
            ] = {}  # by process that has begun: the question that it has not answered yet

            def begin(process: int) -> None:
                child = self._early.pop() if self._early else self._child()
                part = replace(request, start=process / processes)

                def read(stop: Event) -> Iterator[int | Answered]:
                    with child:
                        yield from child.answers_to(part, int | Answered, LIMIT_S, stop)

                answers.read(process, read)

            for process in range(processes):
                begin(process)
            for process, answer in answers:
                if isinstance(answer, ProcessEnded):
                    if answer.error and process not in taken:
                        raise answer.error
                    if (number := taken.pop(process, None)) is not None:
                        yield Answered(number, death=str(answer.error or NO_ANSWER))
                        begin(process)  # the others may not take what is left
                    continue
                taken[process] = answer if isinstance(answer, int) else None
                if isinstance(answer, Answered):
                    yield answer


def programs_folder() -> Path | None:
    """Where the programs of this user and processor are kept; None where none are."""
    return cache_folder("programs", processor())


def processor() -> str:
    """A name for the processor's instructions: a program made for one may not run on another."""
    known = Path("/proc/cpuinfo")
    lines = (
        known.read_text(errors="replace").splitlines()
        if known.exists()
        else [platform.processor()]
    )
    known_by = (
        sorted(
            {
                line
                for line in lines
                if line.startswith(("flags", "Features", "model name"))
            }
        )
        or lines[:1]
    )
    return hashlib.sha256(
        "\n".join([platform.machine(), *known_by]).encode()
    ).hexdigest()[:16]


def _has_tpu() -> bool:
    """Whether JAX would look for a TPU, without starting it."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return find_spec("libtpu") is not None and (not platforms or "tpu" in platforms)
