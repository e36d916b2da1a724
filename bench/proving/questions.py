"""The questions of a proof by name, and the process that answers them, of which `prover` starts some side by side."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import jax

from ...common.equality.checks import CHECKS, Check, get_checks
from ...common.equality.contract.factors import COMPILED, Row, style_of
from ...common.equality.measurement import Measurement
from ...common.equality.verification import Examiner, questions, unmeasured
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
    """The questions of `verify` about some ports: of rows in a call style, those in one of `styles`, by phase.

    These are names or labels; None stands for all. A port that is named twice is asked once.
    """
    found = []
    for subject, check, row in questions(
        dict.fromkeys(subjects), dtypes, checks, get_subject
    ):
        if styles is not None and row is not None:
            port, phase = get_subject(subject), row["phase"]
            style = style_of(row, port)
            if style is not None and style not in styles_called(
                port, styles.get(phase, ()), phase
            ):
                continue
        found.append(QuestionId(subject, check.name, row))
    return found


def by_subject(
    subjects: Sequence[PortId],
    questions: Sequence[QuestionId],
    measurements: Sequence[Measurement],
) -> list[Measurement]:
    """The measurements of questions, those of the first subject first; of one subject in the order of the questions."""
    measured: dict[PortId, list[Measurement]] = {subject: [] for subject in subjects}
    for question, measurement in zip(questions, measurements, strict=True):
        measured[question.subject].append(measurement)
    return list(chain.from_iterable(measured.values()))


def find(question: QuestionId) -> tuple[Port, Check, Row | None]:
    """The port, the check and the row of a question."""
    (check,) = get_checks(question.check)
    return get_subject(question.subject), check, question.row


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
    return replace(
        unmeasured(get_subject(question.subject), question.check, question.row),
        problem=problem,
    )


def answer_request(
    request: ProofRequest, answer: Callable[[int | Answered], None]
) -> None:
    """Answer questions in a process of its own."""
    collect_less_garbage()
    for message in answers_to(request):
        answer(message)


def answers_to(request: ProofRequest) -> Iterator[int | Answered]:
    """Take the questions of a request that no process has taken: the number of each, and its answer.

    Those about programs as users have them, which XLA compiles, come first: they take longest.
    """
    examiner = Examiner(
        shrink=request.shrink, reference=get_port("pure") if request.shrink else None
    )
    compiled = [
        q.row is not None and q.row["transform"] in COMPILED for q in request.questions
    ]
    numbers = []
    for kind in (True, False):
        some = [
            number for number, is_compiled in enumerate(compiled) if is_compiled == kind
        ]
        first = int(request.start * len(some))
        numbers += some[first:] + some[:first]
    with programs_kept_in(
        None if request.programs is None else Path(request.programs), LEAST_KEPT_S
    ):
        for number in numbers:
            try:
                os.close(
                    os.open(Path(request.folder) / str(number), os.O_CREAT | os.O_EXCL)
                )
            except FileExistsError:  # another process has taken it
                continue
            yield number
            with count_programs() as count:
                measurement = examiner.ask(*find(request.questions[number]))
            yield Answered(number, measurement, *count(), jax.default_backend())
