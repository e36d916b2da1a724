"""Questions by name and back, and the process that answers them.

`trigru.bench.proving.prover` starts some of these, side by side.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax

from ...common.equality.checks import CHECKS, Check, get_checks
from ...common.equality.contract.examination import unmeasured
from ...common.equality.contract.factors import is_compiled, style_of
from ...common.equality.measurement import Measurement
from ...common.equality.verification import Examiner, Question, questions
from ...common.port.compilation import LEAST_KEPT_S, count_programs, programs_kept_in
from ...common.port.protocol import Port, WithKernel
from ...common.port.styles import styles_called
from ...impls import get_port
from ..processes.child import collect_less_garbage
from .prover import Answered, PortId, ProofRequest, QuestionId

#: The checks of the frameworks' own parts: rows with one level that is not the usual one, so that what fails tells why;
#: and the checks that have no rows.
OF_PARTS = (*get_checks("singly"), *(check for check in CHECKS if check.rows is None))


def expand(
    subjects: Iterable[PortId],
    dtypes: Iterable[str],
    checks: Iterable[Check],
    styles: Mapping[str, Sequence[str] | None] | None = None,
) -> list[QuestionId]:
    """The questions of `trigru.common.equality.verification.verify` about some ports.

    Args:
        styles: names or labels of call styles by phase, None for all: of rows in a call style, those in one of these.
    """
    by_port = {id(get_subject(subject)): subject for subject in subjects}

    def is_in(q: Question) -> bool:
        if styles is None or q.row is None or (style := style_of(q.row, q.port)) is None:
            return True
        phase = q.row["phase"]
        return phase in styles and style in styles_called(q.port, styles[phase], phase)

    found = questions(map(get_subject, by_port.values()), dtypes, checks)
    return [QuestionId(by_port[id(q.port)], q.check.name, q.row) for q in found if is_in(q)]


def find(question: QuestionId) -> Question:
    """The question of these names."""
    (check,) = get_checks(question.check)
    return Question(get_subject(question.subject), check, question.row)


@cache
def get_subject(subject: PortId) -> Port:
    """The port of that name."""
    if subject.source == "fault":
        from ...impls.faults import FAULTS

        return next(fault.port for fault in FAULTS if fault.name == subject.name)
    if subject.source == "upstream":
        from ...impls.upstream import get_upstream

        return get_upstream(subject.name).PORT
    port = get_port(subject.name)
    return port if subject.kernel is None else WithKernel(port, subject.kernel)


def unanswered(question: QuestionId, problem: str) -> Measurement:
    """The measurement of a question that has none."""
    blank = unmeasured(get_subject(question.subject), question.check, question.row)
    return replace(blank, style=None, problem=problem, levels=None)


def is_answer(m: Measurement, question: QuestionId) -> bool:
    """Whether a measurement is of the check or the row of a question, and not of a smaller row."""
    blank = unmeasured(get_subject(question.subject), question.check, question.row)
    same = all(getattr(m, name) == getattr(blank, name) for name in ("port", "kernel", "dtype", "style", "levels"))
    return same and (question.row is not None or m.check == question.check)


def answer_request(request: ProofRequest, answer: Callable[[int | Answered], None]) -> None:
    """Answer questions in a process of its own."""
    collect_less_garbage()
    for message in answers_to(request):
        answer(message)


def answers_to(request: ProofRequest) -> Iterator[int | Answered]:
    """Take the questions of a request that no process has taken: the number of each, and its answer."""
    examiner = Examiner(shrink=request.shrink, reference=get_port("pure") if request.shrink else None)
    with programs_kept_in(None if request.programs is None else Path(request.programs), LEAST_KEPT_S):
        for number in _taken(request):
            yield number
            with count_programs() as count:
                measurement = examiner.ask(find(request.questions[number]))
            yield Answered(number, measurement, *count(), jax.default_backend())


def _taken(request: ProofRequest) -> Iterator[int]:
    """The numbers of the questions that this process takes: first those about programs as users have them."""
    for compiled in (True, False):
        numbers = [n for n, question in enumerate(request.questions) if is_compiled(question.row) == compiled]
        first = int(request.start * len(numbers))
        for number in (*numbers[first:], *numbers[:first]):
            with suppress(FileExistsError):
                os.close(os.open(Path(request.folder) / str(number), os.O_CREAT | os.O_EXCL))
                yield number
