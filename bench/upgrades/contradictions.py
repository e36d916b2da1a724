"""Contradictions in a snapshot: what it claims, and its other records do not bear out.

Each function yields a sentence for each contradiction. What another version may name otherwise is no matter of these
rules, since a snapshot is read by later versions of what it is about.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from ...impls import own_ports
from ..results import proof
from ..results.lines import check_date, first_twice
from ..timing.machine import machine_contradictions
from .record import IN_FLOAT64, Snapshot, Subject, steps_of

Arrays = Mapping[str, np.ndarray]


def check_snapshot(snapshot: Snapshot, arrays: Arrays) -> None:
    """Raise a ValueError with what contradicts what.

    Args:
        arrays: all those that the snapshot names.
    """
    check_date(snapshot.datetime)
    for sentence in (*_whole(snapshot, arrays), *(text for s in snapshot.subjects for text in _subject(s, arrays))):
        raise ValueError(sentence)


def _whole(snapshot: Snapshot, arrays: Arrays) -> Iterator[str]:
    """Each subject is there once; a proof has the ports that were called; each line of a source has a hash."""
    for name, source in snapshot.sources.items():
        lines = arrays[source.lines]
        if lines.dtype != np.uint8 or lines.shape != (sum(number for _, number in source.files.values()),):
            yield f"the files of {name} have other numbers of lines than their hashes"
    if twice := first_twice(subject.name for subject in snapshot.subjects):
        yield f"it has {twice} twice"
    for subject in snapshot.subjects:
        if subject.missing and _was_called(subject):
            yield f"{subject.name} was not there ({subject.missing}), and has facts"
    called = [subject for subject in snapshot.subjects if _was_called(subject)]
    yield from machine_contradictions(snapshot.machine, [subject.framework for subject in called])
    yield from proof.contradictions(snapshot.equality or ())
    measured = {m.port for m in snapshot.equality or ()}
    if measured and (lost := {subject.name for subject in called} & {*own_ports()} - measured):
        yield f"its proof lacks {min(lost)}"


def _was_called(subject: Subject) -> bool:
    """Whether a subject has facts that it has only if it is there."""
    return any((subject.values, subject.programs, subject.calls, subject.trails, subject.draws, subject.tree))


def _subject(subject: Subject, arrays: Arrays) -> Iterator[str]:
    """What failed has no result, and trails are of values that are there."""
    ended = {*subject.calls, *(where for where in subject.values if where.endswith(IN_FLOAT64))}
    if both := subject.problems.keys() & ended:
        yield f"{subject.name}: {min(both)} failed, and has results"
    for name, trail in subject.trails.items():
        try:
            steps_of(trail, arrays[trail.steps], arrays[trail.signatures])
        except ValueError as error:
            yield f"{subject.name}: the trail of {name} {error}"
