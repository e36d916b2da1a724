"""Questions by name, and back."""

from collections.abc import Iterable
from functools import cache

from ...common.equality.checks import Check, get_checks
from ...common.equality.verification import Question, questions
from ...common.port.protocol import Port, WithKernel
from ...impls import get_port, get_style
from .messages import Asked, Subject


def expand(subjects: Iterable[Subject], dtypes: Iterable[str], checks: Iterable[Check]) -> list[Asked]:
    """What `trigru.common.equality.verification.verify` asks about some ports."""
    dtypes, subjects = tuple(dtypes), tuple(subjects)
    return [
        Asked(subject, check.name, question.style and question.style.name, question.dtype, question.optimized)
        for check in checks
        for subject in subjects
        for question in questions([get_subject(subject)], dtypes, [check])
    ]


def find(asked: Asked) -> Question:
    """The question of these names."""
    (check,), port = get_checks(asked.check), get_subject(asked.subject)
    return Question(port, check, None if asked.style is None else get_style(port, asked.style), asked.dtype)


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
