"""The changes between two snapshots, by what they mean to a user."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator

from ..reporting.numbers import count
from ..results.machine import machine_differences
from .differences import how_different
from .installed import edited_files
from .program_changes import compare_costs, compare_programs
from .record import ARGUMENTS, KINDS, PARTS_OF, Change, Snapshot, Subject, Warned
from .signatures import signature_changes
from .snapshot_file import Loaded
from .subject_pairs import Row, SubjectPair, differing, first_of_each, only_in
from .value_changes import compare_draws, compare_values

#: A file of trigru that calls what warns; in another version, that may be another file.
_TRIGRU_FILE = re.compile(r"trigru/\S+\.py")


def compare_snapshots(old: Loaded, new: Loaded) -> list[Change]:
    """Every change, causes first.

    Of one kind, those of JAX's and the frameworks' parts come first, of which ports are
    made. What only one of the two looked at is no change. A user's call with other
    arguments is one change.
    """
    new_subjects = {subject.name: subject for subject in new.snapshot.subjects}
    arrays = {**old.arrays, **new.arrays}
    same_python = _same_python(old.snapshot, new.snapshot)
    same_kernels = _same_kernels(old.snapshot, new.snapshot)
    changes: list[Change] = []
    for subject in old.snapshot.subjects:
        if subject.name in new_subjects:
            later = new_subjects[subject.name]
            pair = SubjectPair(subject, later, arrays, same_python, same_kernels)
            other_arguments = _other_arguments(pair)
            if other_arguments is not None:
                changes.append(other_arguments)
                continue
            for compare in COMPARISONS:
                changes.extend(compare(pair))
    changes.extend(edited_files(old.snapshot, new.snapshot))

    kinds, parts = list(KINDS), list(PARTS_OF.values())

    def rank(change: Change) -> tuple[int, int]:
        is_of_parts = change.subject in parts
        place = parts.index(change.subject) if is_of_parts else len(parts)
        return kinds.index(change.kind), place

    return sorted(changes, key=rank)


def _other_arguments(pair: SubjectPair) -> Change | None:
    """A change if a user's call has got other arguments, such as other parameters that
    a library drew for them.
    """
    old = pair.old.observations.get(ARGUMENTS)
    new = pair.new.observations.get(ARGUMENTS)
    if old is None or new is None or old == new:
        return None
    how = "others than in the snapshot"
    for name, (before, after) in pair.moved_arrays(old.results, new.results).items():
        how = f"{name} is another one, {how_different(before, after)}"
        break
    text = f"{how}; so nothing is compared"
    return pair.change("function", ARGUMENTS, "", text)


def reservations(old: Snapshot, new: Snapshot) -> list[str]:
    """Differences that may explain a change beside the packages, in sentences."""
    sentences: list[str] = []
    for difference in machine_differences(old.machine, new.machine, versions=False):
        sentences.append(
            f"{difference}: bits, programs and memory may differ for that alone."
        )
    if not _same_python(old, new):
        before, after = _python_of(old), _python_of(new)
        sentences.append(
            f"Python {after}, was {before}: calls are not compared, since each Python "
            "counts in its own way."
        )
    old_names = {subject.name for subject in old.subjects}
    new_names = {subject.name for subject in new.subjects}
    if old_names != new_names:
        names = ", ".join(sorted(old_names ^ new_names))
        sentences.append(f"in one of them alone, and not compared: {names}.")
    parts_number = _number_of_parts_in_one_alone(old, new)
    if parts_number:
        parts = count(parts_number, "part")
        sentences.append(
            f"another trigru took one of them: {parts} of the frameworks in one of "
            "them alone, and not compared."
        )
    return sentences


def compare_working(pair: SubjectPair) -> Iterator[Change]:
    """What does not work any more, or works again.

    One reason for several things is one change.
    """
    styles = pair.old.styles
    before = _reasons(pair.old, styles)
    after = _reasons(pair.new, styles)
    broken: list[tuple[Change, Hashable]] = []
    for what, reason in after.items():
        if what not in before:
            broken.append((pair.change("broken", what, "works", reason), reason))
    yield from first_of_each(broken)

    if not pair.new.missing:
        for what, reason in before.items():
            if what not in after:
                yield pair.change("better", what, reason, "works")


def compare_lacking(pair: SubjectPair) -> Iterator[Change]:
    """What a user's call lacks now, such as a gradient, or has again."""
    for row in pair.rows:
        for lacking, reason in row.new.lacks.items():
            if lacking not in row.old.lacks and lacking != "evaluation":
                what = pair.what(row, lacking)
                yield pair.change("broken", what, "", reason)


def compare_trees(pair: SubjectPair) -> Iterator[Change]:
    """Leaves that are gone, new, of another shape, or in another order."""
    keyed_changes: list[tuple[Change, Hashable]] = []
    for row in pair.rows:
        if row.name in pair.old.problems or row.name in pair.new.problems:
            continue
        for change in _leaf_changes(pair, row):
            keyed_changes.append((change, (change.old, change.new)))
    yield from first_of_each(keyed_changes, "such tree")


def compare_signatures(pair: SubjectPair) -> Iterator[Change]:
    """Names and arguments that are gone, new or needed, and other defaults."""
    changes = signature_changes(pair.old.signatures, pair.new.signatures)
    for kind, what, old, new in changes:
        yield pair.change(kind, what, old, new)


def compare_warnings(pair: SubjectPair) -> Iterator[Change]:
    """Warnings that were not given before."""
    known = {_warning_key(warned) for warned in pair.old.warnings}
    for warned in pair.new.warnings:
        if _warning_key(warned) not in known:
            yield pair.change("warnings", warned.where, "", warned.text, warned.line)


def _warning_key(warned: Warned) -> tuple[str, str]:
    """What two records of one warning have in common."""
    return _TRIGRU_FILE.sub("trigru", warned.where), warned.text


#: Each compares one fact of a subject in two snapshots.
COMPARISONS: tuple[Callable[[SubjectPair], Iterator[Change]], ...] = (
    compare_working,
    compare_lacking,
    compare_values,
    compare_draws,
    compare_trees,
    compare_signatures,
    compare_programs,
    compare_costs,
    compare_warnings,
)


def _same_python(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of one minor version of Python, within which counts compare."""
    return _python_of(old).split(".")[:2] == _python_of(new).split(".")[:2]


def _same_kernels(old: Snapshot, new: Snapshot) -> bool:
    """Whether both ran on the same device by the same jaxlib."""
    before, after = old.machine, new.machine
    same_jaxlib = before.versions.get("jaxlib") == after.versions.get("jaxlib")
    return same_jaxlib and before.device == after.device


def _python_of(snapshot: Snapshot) -> str:
    return snapshot.machine.versions.get("python", "?")


def _number_of_parts_in_one_alone(old: Snapshot, new: Snapshot) -> int:
    """How many parts only one of two snapshots looked at.

    A part that failed was looked at, too.
    """
    new_subjects = {subject.name: subject for subject in new.subjects}
    number = 0
    for before in old.subjects:
        after = new_subjects.get(before.name)
        if after is None or before.name not in PARTS_OF.values():
            continue
        number += _number_of_parts_only_in(before, after)
        number += _number_of_parts_only_in(after, before)
    return number


def _number_of_parts_only_in(subject: Subject, other: Subject) -> int:
    if other.missing or "import" in other.problems:
        return 0
    looked_at = other.observations.keys() | other.problems.keys()
    return len(subject.observations.keys() - looked_at)


def _reasons(subject: Subject, styles: Iterable[str]) -> dict[str, str]:
    """Why each thing does not work, of those that do not; a style may be gone."""
    if subject.missing:
        return {"import": subject.missing}
    reasons: dict[str, str] = {}
    for name in styles:
        reason = subject.styles.get(name, "is gone")
        if reason:
            reasons[f"style {name}"] = reason
    return reasons | subject.problems


def _leaf_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    old, new = row.old.leaves, row.new.leaves
    lost = ", ".join(only_in(old, new))
    added = ", ".join(only_in(new, old))
    if not old and added:  # it had no tree before, as modules of NNX once had none
        yield pair.change("better", pair.what(row, "leaves"), "", added)
    elif lost or added:
        what = pair.what(row, "leaves")
        yield pair.change("tree", what, lost or "none", added or "none")
    elif list(old) != list(new):
        what = pair.what(row, "order of the leaves")
        yield pair.change("tree", what, ", ".join(old), ", ".join(new))
    for path, before, after in differing(old, new):
        yield pair.change("tree", pair.what(row, f"leaf {path}"), before, after)
