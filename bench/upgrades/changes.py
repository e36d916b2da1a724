"""The changes between two snapshots, by what they mean to a user."""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from ..reporting.numbers import count
from ..results.grouping import grouped
from ..results.machine import machine_differences
from .differences import excess_of, how_different, noise_of
from .installed import edited_files
from .record import (
    KINDS,
    PARTS_OF,
    WARM_CALLS,
    ArrayNames,
    Change,
    Cost,
    Observation,
    Program,
    Snapshot,
    Subject,
)
from .signatures import signature_changes
from .snapshot_file import Arrays, Loaded
from .trails import Parting

#: The share by which the constants of a program in float32 are rounded.
CONSTANTS_ROUNDED = 2.0**-24
#: The same of a program that also rounds values, as a rematerialized one does.
VALUES_ROUNDED = 2.0**-20
#: What stands after the name of a program that was evaluated in float64.
IN_FLOAT64 = " in float64"
_GRADIENT = "gradient of"
#: The beginning of a result's name: the entry of a row that has many.
_ENTRY = re.compile(r"result\['.*?'\]|[^\]]*")
#: A file of trigru that calls what warns; in another version, that may be another file.
_TRIGRU_FILE = re.compile(r"trigru/\S+\.py")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Growth:
    """A number of a program, and by how much it has to grow to be a change."""

    field: str  # of `Program`
    words: str
    kind: str
    share: float
    unit: str = ""
    tells_less: bool = False  # whether a smaller number is a change, too: "better"


GROWTHS = (
    Growth("temporary_bytes", "temporary memory", "memory", 0.02, " B", True),
    Growth("kept_bytes", "kept for the gradient", "kept", 0.02, " B", True),
    Growth("equations", "jaxpr equations", "work", 0.25),
    Growth("operations", "StableHLO operations", "work", 0.25),
)
#: Other numbers of a program, which show that it is another one.
PROGRAM_COUNTS = {
    "dots": "dots",
    "fusions": "fusions",
    "loops": "loops",
    "transposes": "transposes",
    "equations": "jaxpr equations",
    "operations": "StableHLO operations",
}
#: Numbers of a call, and the share by which each has to grow to be a change.
COST_SHARES = {"traces": 0.0, "leaves": 0.0, "functions": 0.05, "lines": 0.05}
COST_WORDS = {"traces": f"traces in {WARM_CALLS} calls"}


class Row:
    """One thing that both snapshots observed."""

    def __init__(self, name: str, old: Observation, new: Observation):
        self.name = name
        self.old = old
        self.new = new

    def has_leaf(self, name: str) -> bool:
        """Whether a result is a leaf of the row's tree, which is told there."""
        return name in self.old.leaves or name in self.new.leaves


class SubjectPair:
    """One subject in two snapshots."""

    def __init__(self, old: Subject, new: Subject, arrays: Arrays, same_python: bool):
        self.old = old
        self.new = new
        self.arrays = arrays  # of both
        self.same_python = same_python
        self.rows: list[Row] = []
        for name, observation in old.observations.items():
            if name in new.observations:
                self.rows.append(Row(name, observation, new.observations[name]))
        self._partings: dict[str, Parting | None] = {}

    def change(
        self, kind: str, what: str, old: str, new: str, line: str = ""
    ) -> Change:
        """A change of this subject."""
        return Change(kind, self.new.name, what, old, new, line)

    def line(
        self, row: Row, old: np.ndarray | None = None, new: np.ndarray | None = None
    ) -> str:
        """The line where the program of a row parts from the older one; "" for none.

        With a result in both snapshots, only lines that lead to it count.
        """
        name = row.new.explained_by or row.name
        if name not in self._partings:
            self._partings[name] = self._parting(name)
        parting = self._partings[name]
        return "" if parting is None else parting.line(old, new)

    def moved_arrays(
        self, old: ArrayNames, new: ArrayNames
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The arrays that both have by one name, and that are not alike."""
        moved: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for path, old_name, new_name in _differing(old, new):
            moved[path] = (self.arrays[old_name], self.arrays[new_name])
        return moved

    def _parting(self, name: str) -> Parting | None:
        old = self.old.observations.get(name)
        new = self.new.observations.get(name)
        if old is None or new is None or old.trail is None or new.trail is None:
            return None
        return Parting(old, new, self.arrays)


def compare_snapshots(old: Loaded, new: Loaded) -> list[Change]:
    """Every change, causes first.

    Of one kind, those of JAX's and the frameworks' parts come first, of which ports are
    made. What only one of the two looked at is no change.
    """
    new_subjects = {subject.name: subject for subject in new.snapshot.subjects}
    arrays = {**old.arrays, **new.arrays}
    same_python = _same_python(old.snapshot, new.snapshot)
    changes: list[Change] = []
    for subject in old.snapshot.subjects:
        if subject.name in new_subjects:
            later = new_subjects[subject.name]
            pair = SubjectPair(subject, later, arrays, same_python)
            for compare in COMPARISONS:
                changes.extend(compare(pair))
    changes.extend(edited_files(old.snapshot, new.snapshot))

    kinds, parts = list(KINDS), list(PARTS_OF.values())

    def rank(change: Change) -> tuple[int, int]:
        is_of_parts = change.subject in parts
        place = parts.index(change.subject) if is_of_parts else len(parts)
        return kinds.index(change.kind), place

    return sorted(changes, key=rank)


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
    yield from _first_of_each(broken)

    if not pair.new.missing:
        for what, reason in before.items():
            if what not in after:
                yield pair.change("better", what, reason, "works")


def compare_values(pair: SubjectPair) -> Iterator[Change]:
    """What computes something else, or rounds in another way.

    One change tells of all calls that changed at one line.
    """
    found: list[tuple[Change, Hashable]] = []
    # each part of a framework is something else
    is_parts = pair.new.name in PARTS_OF.values()
    for row in pair.rows:
        for change in chain(_exact_changes(pair, row), _call_changes(pair, row)):
            what = change.what if is_parts else ""
            found.append((change, (change.kind, change.line or what)))
    yield from _first_of_each(found)


def compare_draws(pair: SubjectPair) -> Iterator[Change]:
    """What draws other parameters; one change for what changed in one way."""
    for row in pair.rows:
        moved = pair.moved_arrays(row.old.draws, row.new.draws)
        by_way: dict[Hashable, list[str]] = {}
        for path, (old, new) in moved.items():
            by_way.setdefault(_way_of_drawing(old, new), []).append(path)
        for paths in by_way.values():
            old, new = moved[paths[0]]
            # an orthogonal matrix may be rounded in another way
            kind = "draws" if excess_of(old, new) > 1 else "bits"
            some = f"{len(paths)} of {len(row.old.draws)} draws"
            what = f"{row.name}: {some}, the first {paths[0]}"
            yield pair.change(kind, what, "", how_different(old, new))


def compare_trees(pair: SubjectPair) -> Iterator[Change]:
    """Leaves that are gone, new, of another shape, or in another order."""
    found: list[tuple[Change, Hashable]] = []
    for row in pair.rows:
        if row.name in pair.old.problems or row.name in pair.new.problems:
            continue
        for change in _leaf_changes(pair, row):
            found.append((change, (change.old, change.new)))
    yield from _first_of_each(found, "such tree")


def compare_signatures(pair: SubjectPair) -> Iterator[Change]:
    """Names and arguments that are gone, new or needed, and other defaults."""
    changes = signature_changes(pair.old.signatures, pair.new.signatures)
    for kind, what, old, new in changes:
        yield pair.change(kind, what, old, new)


def compare_programs(pair: SubjectPair) -> Iterator[Change]:
    """Programs that need more memory or work, keep more, or are other ones."""
    for row in pair.rows:
        old, new = row.old.program, row.new.program
        if old is None or new is None or old == new:
            continue
        # with other parameters, it keeps and computes something else
        if _gradients(row.old) == _gradients(row.new):
            yield from _growth_changes(pair, row.name, old, new)
        yield from _program_changes(pair, row.name, old, new)


def compare_costs(pair: SubjectPair) -> Iterator[Change]:
    """Calls that cost more or less; one change for those that do in one way.

    Counts of Python depend on its version, and on parameters; traces do not.
    """
    are_comparable = pair.same_python and _has_same_leaves(pair)
    found: list[tuple[Change, Hashable]] = []
    for row in pair.rows:
        old, new = row.old.cost, row.new.cost
        if old is None or new is None:
            continue
        for kind, cheap, dear in (("calls", old, new), ("better", new, old)):
            fields = _dearer(cheap, dear)
            if not are_comparable:
                fields = [field for field in fields if field == "traces"]
            if "traces" in fields:  # what else it costs is the cost of tracing
                fields = ["traces"]
            if fields:
                old_words = _cost_in_words(old, fields)
                new_words = _cost_in_words(new, fields)
                change = pair.change(kind, row.name, old_words, new_words)
                found.append((change, (kind, *fields)))
    yield from _first_of_each(found)


def compare_warnings(pair: SubjectPair) -> Iterator[Change]:
    """Warnings that were not given before."""
    known: set[tuple[str, str]] = set()
    for warned in pair.old.warnings:
        known.add((_TRIGRU_FILE.sub("trigru", warned.where), warned.text))
    for warned in pair.new.warnings:
        where = _TRIGRU_FILE.sub("trigru", warned.where)
        if (where, warned.text) not in known:
            yield pair.change("warnings", warned.where, "", warned.text, warned.line)


#: Each compares one fact of a subject in two snapshots.
COMPARISONS: tuple[Callable[[SubjectPair], Iterator[Change]], ...] = (
    compare_working,
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


def _python_of(snapshot: Snapshot) -> str:
    return snapshot.machine.versions.get("python", "?")


def _differing(
    old: dict[str, Value], new: dict[str, Value]
) -> Iterator[tuple[str, Value, Value]]:
    """What both have and is not as it was: its name, what it was, and what it is."""
    for name, before in old.items():
        if name in new and new[name] != before:
            yield name, before, new[name]


def _only_in(names: Iterable[str], others: Collection[str]) -> list[str]:
    return [name for name in names if name not in others]


def _first_of_each(
    found: Iterable[tuple[Change, Hashable]], what: str = "call"
) -> Iterator[Change]:
    """The first of the changes with one key, which says how many more there are."""
    for alike in grouped(found, lambda entry: entry[1]).values():
        first, _ = alike[0]
        yield replace(first, what=first.what + _and_more(len(alike), what))


def _and_more(number: int, what: str) -> str:
    """What is said after the first of so many things."""
    if number == 1:
        return ""
    return f" and {count(number - 1, f'more {what}')}"


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


def _call_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of what a call returned, as a user makes it."""
    if not _was_called(row.old) or not _was_called(row.new):
        return
    old_names = [*row.old.results, *row.old.texts]
    new_names = [*row.new.results, *row.new.texts]
    renamed = list(_name_changes(pair, row, row.name, old_names, new_names))
    if renamed:
        yield from renamed
        return
    for name, before, after in _differing(row.old.texts, row.new.texts):
        yield pair.change("function", f"{row.name}: {name}", before, after)
    for name, before in row.old.texts.items():
        if name in row.new.results:
            yield pair.change("function", f"{row.name}: {name}", before, "numbers")
    for name, after in row.new.texts.items():
        if name in row.old.results:
            yield pair.change("function", f"{row.name}: {name}", "numbers", after)

    moved = pair.moved_arrays(row.old.results, row.new.results)
    noise = _noise_of_gradients(pair, row.old.results)
    excess: dict[str, float] = {}
    for name, (before, after) in moved.items():
        own_noise = noise if name.startswith(_GRADIENT) else 0.0
        excess[name] = excess_of(before, after, own_noise)
    other = _first_of_entries(excess)
    if other:
        yield _other_function(pair, row.name, other, moved, pair.line(row))
    elif moved:
        yield _other_bits(pair, row, row.name, excess, moved)


def _exact_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of a program that was evaluated in float64, one for each line."""
    if not _was_evaluated(row.old) or not _was_evaluated(row.new):
        return
    old, new = row.old.exact_results, row.new.exact_results
    where = f"{row.name}{IN_FLOAT64}"
    renamed = list(_name_changes(pair, row, where, old, new))
    if renamed:
        yield from renamed
        return

    moved = pair.moved_arrays(old, new)
    noise = _noise_of_gradients(pair, old)
    excess: dict[str, float] = {}
    for name, (before, after) in moved.items():
        own_noise = noise if name.startswith(_GRADIENT) else 0.0
        excess[name] = excess_of(before, after, own_noise, _rounding_of(row, name))
    other = _first_of_entries(excess)
    by_line: dict[str, list[str]] = {}
    for name in other:
        by_line.setdefault(pair.line(row, *moved[name]), []).append(name)
    for line, names in by_line.items():
        yield _other_function(pair, where, names, moved, line)
    if moved and not other:
        yield _other_bits(pair, row, where, excess, moved)


def _was_called(observation: Observation) -> bool:
    """Whether a call was made: one that failed has no results, and no cost either."""
    has_results = bool(observation.results or observation.texts)
    return has_results or observation.cost is not None


def _was_evaluated(observation: Observation) -> bool:
    """Whether a program was evaluated in float64; it may have no results."""
    return bool(observation.exact_results) or observation.trail is not None


def _name_changes(
    pair: SubjectPair,
    row: Row,
    where: str,
    old: Collection[str],
    new: Collection[str],
) -> Iterator[Change]:
    """A change if the results have other names."""

    def counts(name: str) -> bool:
        return not name.startswith(_GRADIENT) and not row.has_leaf(name)

    lost = ", ".join(filter(counts, _only_in(old, new)))
    added = ", ".join(filter(counts, _only_in(new, old)))
    if lost or added:
        what = f"{where}: results"
        yield pair.change("function", what, lost or "none", added or "none")


def _first_of_entries(excess: dict[str, float]) -> list[str]:
    """The results that are beyond rounding, the first of each entry of a row of many.

    Gradients follow from results, and count only where no result is among them.
    """
    other = [name for name in excess if excess[name] > 1]
    results = [name for name in other if name.startswith("result")]
    entries = grouped(results or other[:1], _entry_of)
    return [names[0] for names in entries.values()]


def _other_function(
    pair: SubjectPair,
    where: str,
    names: list[str],
    moved: dict[str, tuple[np.ndarray, np.ndarray]],
    line: str,
) -> Change:
    what = f"{where}: {names[0]}{_and_more(len(names), 'result')}"
    how = how_different(*moved[names[0]])
    return pair.change("function", what, "", how, line)


def _other_bits(
    pair: SubjectPair,
    row: Row,
    where: str,
    excess: dict[str, float],
    moved: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Change:
    worst = max(excess, key=lambda name: excess[name])
    how = "no more than the largest gradient is rounded"
    if excess[worst]:
        how = how_different(*moved[worst])
    return pair.change("bits", f"{where}: {worst}", "", how, pair.line(row))


def _noise_of_gradients(pair: SubjectPair, names: ArrayNames) -> float:
    """What rounding leaves of a gradient that is zero in mathematics."""
    arrays = []
    for path, name in names.items():
        if path.startswith(_GRADIENT):
            arrays.append(pair.arrays[name])
    return noise_of(arrays)


def _entry_of(name: str) -> str:
    match = _ENTRY.match(name)
    return match[0] if match else name


def _rounding_of(row: Row, result: str) -> float:
    """The share by which rounding in float32 moves a result of a float64 evaluation."""
    leaves = row.new.leaves
    dtypes = [leaves[result]] if result in leaves else []
    if not dtypes:  # a gradient's is that of any result
        for path, dtype in leaves.items():
            if path.startswith("result"):
                dtypes.append(dtype)
    if any(dtype.startswith(("float64", "complex128")) for dtype in dtypes):
        return 0.0
    for observation in (row.old, row.new):
        trail = observation.trail
        if trail and any("(reduce_precision " in line for line in trail.lines):
            return VALUES_ROUNDED
    return CONSTANTS_ROUNDED


def _way_of_drawing(old: np.ndarray, new: np.ndarray) -> tuple[bool, str]:
    """What arrays have in common that changed in one way."""
    is_other = excess_of(old, new) > 1
    how = how_different(old, new)
    if is_other and how.endswith(("large", "order")):
        return is_other, how
    return is_other, ""


def _leaf_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    old, new = row.old.leaves, row.new.leaves
    lost = ", ".join(_only_in(old, new))
    added = ", ".join(_only_in(new, old))
    if lost or added:
        what = f"{row.name}: leaves"
        yield pair.change("tree", what, lost or "none", added or "none")
    elif list(old) != list(new):
        what = f"{row.name}: order of the leaves"
        yield pair.change("tree", what, ", ".join(old), ", ".join(new))
    for path, before, after in _differing(old, new):
        yield pair.change("tree", f"{row.name}: leaf {path}", before, after)


def _has_same_leaves(pair: SubjectPair) -> bool:
    """Whether all that both observed has the same leaves."""
    return all(row.old.leaves.keys() == row.new.leaves.keys() for row in pair.rows)


def _gradients(observation: Observation) -> set[str]:
    names = observation.exact_results
    return {name for name in names if name.startswith(_GRADIENT)}


def _growth_changes(
    pair: SubjectPair, where: str, old: Program, new: Program
) -> Iterator[Change]:
    for growth in GROWTHS:
        before, after = getattr(old, growth.field), getattr(new, growth.field)
        if before is None or after is None:
            continue
        if abs(after - before) <= growth.share * max(before, 1):
            continue
        if after > before or growth.tells_less:
            kind = growth.kind if after > before else "better"
            what = f"{where}: {growth.words}"
            unit = growth.unit
            yield pair.change(kind, what, f"{before}{unit}", f"{after}{unit}")


def _program_changes(
    pair: SubjectPair, where: str, old: Program, new: Program
) -> Iterator[Change]:
    old_counts: list[str] = []
    new_counts: list[str] = []
    for field, words in PROGRAM_COUNTS.items():
        before, after = getattr(old, field), getattr(new, field)
        if before is not None and after is not None and before != after:
            old_counts.append(f"{words} {before}")
            new_counts.append(f"{words} {after}")
    if old_counts:
        counts = ", ".join(old_counts), ", ".join(new_counts)
        yield pair.change("program", where, *counts)
    elif old.fingerprint != new.fingerprint:
        yield pair.change("program", where, "", "the same counts of operations")


def _dearer(cheap: Cost, dear: Cost) -> list[str]:
    """The fields in which one cost exceeds another by more than its share."""
    fields: list[str] = []
    for field, share in COST_SHARES.items():
        if getattr(dear, field) > getattr(cheap, field) * (1 + share):
            fields.append(field)
    return fields


def _cost_in_words(cost: Cost, fields: Iterable[str]) -> str:
    words = [
        f"{getattr(cost, field)} {COST_WORDS.get(field, field)}" for field in fields
    ]
    return ", ".join(words)
