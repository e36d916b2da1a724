"""Contradictions in a snapshot: what it claims, and its other records do not bear out.

Each function yields a sentence for each contradiction. What another version may name otherwise is no matter of these
rules, since a snapshot is read by later versions of what it is about.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from ...common.errors import brief
from ...impls import own_ports
from ..results.lines import check_date, first_twice
from ..results.rules import of_machine, of_measurements
from .record import IN_FLOAT64, PARTS_OF, PRINT, Snapshot, Subject, When, steps_of

Arrays = Mapping[str, np.ndarray]
#: In what is kept of a program, what one fingerprint has one number of.
_COUNTED = ("dots", "fusions", "loops", "transposes")
#: The arrays of a model of ours that cross a jit boundary: at least those of the canonical record.
_LEAST_LEAVES = 5
#: Of which framework a subject is that has not the name of one.
_FRAMEWORKS = {part: framework for framework, part in PARTS_OF.items()}


def check_snapshot(snapshot: Snapshot, arrays: Arrays) -> None:
    """Raise a ValueError with what contradicts what.

    Args:
        arrays: all those that the snapshot names.
    """
    check_date(snapshot.datetime)
    for sentence in _whole(snapshot):
        raise ValueError(sentence)
    for name, source in snapshot.sources.items():
        lines = arrays[source.lines]
        if lines.dtype != np.uint8 or lines.shape != (sum(number for _, number in source.files.values()),):
            raise ValueError(f"the files of {name} have other numbers of lines than their hashes")
    for subject in snapshot.subjects:
        for sentence in _subject(subject, arrays):
            raise ValueError(f"{subject.name}: {sentence}")


def _whole(snapshot: Snapshot) -> Iterator[str]:
    """Each subject is there once, and of its framework; what was left out by the command is not there."""
    if twice := first_twice(subject.name for subject in snapshot.subjects):
        yield f"it has {twice} twice"
    if twice := first_twice(f"{part}: {what}" for part, what, _ in snapshot.departures):
        yield f"it has the departure {twice} twice"
    ports = own_ports()
    command = snapshot.command if snapshot.command[1:2] == ["snapshot"] else []
    asked = {after for word, after in pairwise(command) if word == "--port"}
    asked |= {word.removeprefix("--port=") for word in command if word.startswith("--port=")}
    for subject in snapshot.subjects:
        port = subject.name.partition(":")[0]
        framework = _FRAMEWORKS.get(subject.name, port if port in ports else subject.framework)
        if subject.framework != framework:
            yield f"{subject.name} is of {subject.framework}, expected {framework}"
        if subject.missing and _was_called(subject):
            yield f"{subject.name} was not there ({subject.missing}), and has facts"
        if asked and asked <= {*ports} and framework in ports and framework not in asked:
            yield f"it has {subject.name}, which its command did not ask for"
    if "--no-equality" in command and snapshot.equality is not None:
        yield "its command leaves out equality, and it has measurements"
    called = [subject for subject in snapshot.subjects if _was_called(subject)]
    yield from of_machine(snapshot.machine, [subject.framework for subject in called])
    yield from of_measurements(snapshot.equality or ())
    measured = {m.port for m in snapshot.equality or ()}
    if measured and (lost := {subject.name for subject in called} & {*ports} - measured):
        yield f"its proof lacks {min(lost)}"


def _was_called(subject: Subject) -> bool:
    """Whether a subject has facts that it has only if it is there."""
    return any((subject.values, subject.programs, subject.calls, subject.trails, subject.draws, subject.tree))


def _subject(subject: Subject, arrays: Arrays) -> Iterator[str]:
    """What failed has no result, what is not offered was not called, and facts agree with the arrays that they name."""
    ended = {*subject.calls, *(where for where in subject.values if where.endswith(IN_FLOAT64))}
    if both := subject.problems.keys() & ended:
        yield f"{min(both)} failed, and has results"
    absent = {name for name, missing in subject.styles.items() if missing}
    for where in (*subject.values, *subject.programs, *subject.calls):
        if {*where.split()[1:2]} & absent:
            yield f"{where} was called in a call style that is not there"
    for where in subject.warnings:
        if not where.startswith(tuple(f"at {when}, " for when in get_args(When))):
            yield f"it has warnings at {brief(where)}, which is no time and place"
    programs: dict[object, list[Any]] = {}
    for where, facts in subject.programs.items():
        counted = [facts.get(name) for name in _COUNTED]
        if facts.get(PRINT) and programs.setdefault(facts[PRINT], counted) != counted:
            yield f"the program of {where} is that of another call, with other operations"
    for where, counts in subject.calls.items() if subject.name in own_ports() else ():
        if counts.get("leaves", _LEAST_LEAVES) < _LEAST_LEAVES:
            yield f"{where} has {counts['leaves']} leaves, fewer than the model has parameters"
    drawn = {f"{model} {path}": name for model, names in subject.draws.items() for path, name in names.items()}
    for path, name in drawn.items() if subject.tree else ():
        found, expected = subject.tree.get(path, "nothing"), f"{arrays[name].dtype.name}{arrays[name].shape}"
        if found != expected:
            yield f"the tree has {found} for {path}, and {expected} was drawn"
    for name, trail in subject.trails.items():
        try:
            steps_of(trail, arrays[trail.steps], arrays[trail.signatures])
        except ValueError as error:
            yield f"the trail of {name} {error}"
