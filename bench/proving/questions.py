"""The questions of a proof by name, and the process that answers them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from itertools import chain

import jax

from ...common.equality.checks import Check, get_checks
from ...common.equality.contract.cases import Case
from ...common.equality.contract.named import style_of
from ...common.equality.measurement import Measurement
from ...common.equality.verification import Examiner, questions, unmeasured
from ...common.port.compilation import LEAST_KEPT_S, count_programs, programs_kept_in
from ...common.port.protocol import Port, WithKernel
from ...common.port.styles import styles_called
from ...impls import get_port
from ..processes.child import Parent, collect_less_garbage
from .compiled_programs import programs_folder
from .locating import parting_from
from .messages import Answered, PortId, QuestionId, Task


def expand(
    subjects: Iterable[PortId],
    dtypes: Iterable[str],
    checks: Iterable[Check],
    styles: Mapping[str, Sequence[str] | None] | None = None,
) -> list[QuestionId]:
    """The questions of `verify` about some ports, each port once.

    Args:
        subjects: the ports.
        dtypes: of the computation.
        checks: to ask.
        styles: names or labels of call styles by phase: of cases in a call style, only
            those in one of these are asked. None stands for all.
    """
    expanded = []
    for subject, check, case in questions(
        dict.fromkeys(subjects), dtypes, checks, get_subject
    ):
        if styles is None or _is_called(case, get_subject(subject), styles):
            expanded.append(QuestionId(subject, check.name, case))
    return expanded


def _is_called(
    case: Case | None, port: Port, styles: Mapping[str, Sequence[str] | None]
) -> bool:
    """Whether a case is in one of some call styles, or in none."""
    if case is None:
        return True
    style = style_of(case, port)
    if style is None:
        return True
    return style in styles_called(port, styles.get(case.phase, ()), case.phase)


def by_subject(
    subjects: Sequence[PortId],
    questions: Sequence[QuestionId],
    measurements: Sequence[Measurement],
) -> list[Measurement]:
    """The measurements of questions, those of the first subject first.

    Those of one subject are in the order of the questions.
    """
    measured: dict[PortId, list[Measurement]] = {subject: [] for subject in subjects}
    for question, measurement in zip(questions, measurements, strict=True):
        measured[question.subject].append(measurement)
    return list(chain.from_iterable(measured.values()))


def find(question: QuestionId) -> tuple[Port, Check, Case | None]:
    """The port, the check and the case of a question."""
    (check,) = get_checks(question.check)
    return get_subject(question.subject), check, question.case


@cache
def get_subject(subject: PortId) -> Port:
    """The port of that name."""
    port = get_port(subject.name)
    return port if subject.kernel is None else WithKernel(port, subject.kernel)


def unanswered(question: QuestionId, problem: str) -> Measurement:
    """The measurement of a question that has none."""
    port = get_subject(question.subject)
    blank = unmeasured(port, question.check, question.case)
    return replace(blank, problem=problem)


def answer_tasks(parent: Parent[Task]) -> None:
    """Answer questions, in a process of its own."""
    collect_less_garbage()
    examiner = _examiner()
    with _programs_kept():
        for task in parent.tasks():
            for answer in _answers_to(task, examiner):
                parent.send(answer)


def answers_here(tasks: Iterable[Task]) -> Iterator[Answered]:
    """The answers to questions, found in this process."""
    examiner = _examiner()
    with _programs_kept():
        for task in tasks:
            yield from _answers_to(task, examiner)


def _examiner() -> Examiner:
    return Examiner(locate=partial(parting_from, get_port("pure")))


def _programs_kept() -> AbstractContextManager[None]:
    return programs_kept_in(programs_folder(), LEAST_KEPT_S)


def _answers_to(task: Task, examiner: Examiner) -> Iterator[Answered]:
    for number, question in task.items():
        with count_programs() as count:
            measurement = examiner.ask(*find(question))
        compiled, reused = count()
        yield Answered(
            number, measurement, compiled, reused, backend=jax.default_backend()
        )
