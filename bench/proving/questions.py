"""Questions by name and back, and the process that answers them.

`trigru.bench.proving.prover` starts some of these, side by side.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import jax

from ...common.equality.checks import CHECKS, Check, get_checks
from ...common.equality.contract.factors import style_of
from ...common.equality.verification import Examiner, Question, questions
from ...common.port.compilation import LEAST_KEPT_S, count_programs, programs_kept_in
from ...common.port.protocol import Port, WithKernel
from ...common.port.styles import styles_called
from ...impls import get_port
from .messages import Answer, Answered, Asked, Begun, Request, Subject

#: Thresholds of the garbage collection: by default, it runs so often that it takes a tenth of the time of a trace.
GARBAGE = 200_000, 20, 20
#: What is asked of the frameworks' own parts: rows with one level that is not the usual one, so that what fails tells
#: why; and the checks that have no rows.
OF_PARTS = (*get_checks("singly"), *(check for check in CHECKS if check.rows is None))


def expand(
    subjects: Iterable[Subject],
    dtypes: Iterable[str],
    checks: Iterable[Check],
    styles: Mapping[str, Sequence[str] | None] | None = None,
) -> list[Asked]:
    """The questions of `trigru.common.equality.verification.verify` about some ports.

    Args:
        styles: names or labels of call styles by phase, None for all: of rows in a call style, those in one of these.
    """
    subjects = tuple(subjects)
    of_port = {id(get_subject(subject)): subject for subject in subjects}
    return [
        Asked(of_port[id(question.port)], question.check.name, question.row, question.compiled)
        for question in questions(map(get_subject, subjects), dtypes, checks)
        if styles is None or _is_in(question, styles)
    ]


def _is_in(question: Question, styles: Mapping[str, Sequence[str] | None]) -> bool:
    if question.row is None or (style := style_of(question.row, question.port)) is None:
        return True
    phase = question.row["phase"]
    return phase in styles and style in styles_called(question.port, styles[phase], phase)


def find(asked: Asked) -> Question:
    """The question of these names."""
    (check,) = get_checks(asked.check)
    return Question(get_subject(asked.subject), check, asked.row)


@cache
def get_subject(subject: Subject) -> Port:
    """The port of that name."""
    if subject.source == "fault":
        from ...impls.faults import get_fault

        return get_fault(subject.name).port
    if subject.source == "upstream":
        from ...impls.upstream import get_upstream

        return get_upstream(subject.name).PORT
    port = get_port(subject.name)
    return port if subject.kernel is None else WithKernel(port, subject.kernel)


def answer_questions(request: Request) -> Generator[Answer, None, None]:
    """Take the questions of a request that nobody else has taken, and answer them."""
    gc.freeze()  # what is imported stays: to look at it again takes a tenth of the time of a trace
    gc.set_threshold(*GARBAGE)
    examiner = Examiner(shrink=request.shrink, reference=get_port("pure") if request.shrink else None)
    with programs_kept_in(None if request.programs is None else Path(request.programs), LEAST_KEPT_S):
        for number in _taken(request):
            yield Begun(number)
            asked = request.questions[number]
            with count_programs() as programs:
                measurements = examiner.ask(find(asked))
            yield Answered(number, measurements, programs.compiled, programs.reused, jax.default_backend())


def _taken(request: Request) -> Iterator[int]:
    numbers = range(len(request.questions))
    for number in (*numbers[request.start :], *numbers[: request.start]):
        with suppress(FileExistsError):
            os.close(os.open(Path(request.folder) / str(number), os.O_CREAT | os.O_EXCL))
            yield number


def answer_request(request: Request, answer: Callable[[Answer], None]) -> None:
    """Answer questions in a process of its own."""
    for found in answer_questions(request):
        answer(found)
