"""Questions by name, and back."""

from collections.abc import Iterable, Sequence
from functools import cache

from ...common.equality.checks import Check, get_checks
from ...common.equality.verification import Question, questions
from ...common.port.protocol import Port, WithKernel
from ...common.port.styles import styles_called
from ...impls import get_port, get_style
from .messages import Asked, Subject


def expand(
    subjects: Iterable[Subject], dtypes: Iterable[str], checks: Iterable[Check], styles: Sequence[str] | None = None
) -> list[Asked]:
    """What `trigru.common.equality.verification.verify` asks about some ports.

    Args:
        styles: names or labels of the call styles that are asked about; None for all.
    """
    dtypes, subjects = tuple(dtypes), tuple(subjects)
    return [
        Asked(
            subject,
            check.name,
            question.style and question.style.name,
            question.dtype,
            question.optimized,
            question.row,
        )
        for check in checks
        for subject in subjects
        for question in questions([get_subject(subject)], dtypes, [check])
        if question.style is None
        or question.style.name in styles_called(question.port, styles, check.styles_of or question.style.phases[0])
    ]


def find(asked: Asked) -> Question:
    """The question of these names."""
    (check,), port = get_checks(asked.check), get_subject(asked.subject)
    return Question(port, check, None if asked.style is None else get_style(port, asked.style), asked.dtype, asked.row)


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
