"""Changes of numbers between two snapshots: results, gradients, drawn parameters."""

import re
from collections.abc import Collection, Hashable, Iterator, Mapping

import ml_dtypes
import numpy as np

from .differences import (
    distribution_change,
    excess_of,
    how_different,
    is_floating,
    noise_of,
    relative_difference,
)
from .record import PARTS_OF, ArrayNames, Change, Observation
from .subject_pairs import (
    Row,
    SubjectPair,
    and_more,
    differing,
    first_of_each,
    is_gradient,
    only_in,
)

#: The share by which the constants of a program in float32 are rounded.
CONSTANTS_ROUNDED = 2.0**-24
#: The same of a program that also rounds values, as a rematerialized one does.
VALUES_ROUNDED = 2.0**-20
#: Rounding may move a result so many times as far as it did in the snapshot.
ROUNDED_AGAIN = 10.0
#: So many units in the last place of the largest number may be rounding where jaxlib is
#: the same, in a call that was not evaluated in float64.
FEW_UNITS = 32
#: What stands after the name of a program that was evaluated in float64.
IN_FLOAT64 = " in float64"
#: Arrays of two snapshots that are not alike, by their name.
Moved = Mapping[str, tuple[np.ndarray, np.ndarray]]
#: The beginning of a result's name: the entry of a row that has many.
_ENTRY = re.compile(r"result\['.*?'\]|[^\]]*")


def compare_values(pair: SubjectPair) -> Iterator[Change]:
    """What computes something else, or rounds in another way.

    One change tells of all calls that changed at one line.
    """
    keyed_changes: list[tuple[Change, Hashable]] = []
    # each part of a framework is something else
    is_parts = pair.new.name in PARTS_OF.values()
    for row in pair.rows:
        for change in _changes_of_row(pair, row):
            what = change.what if is_parts else ""
            keyed_changes.append((change, (change.kind, change.line or what)))
    yield from first_of_each(keyed_changes)


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


def _changes_of_row(pair: SubjectPair, row: Row) -> Iterator[Change]:
    exact_changes = list(_exact_changes(pair, row))
    yield from exact_changes
    if not pair.is_of_user:
        yield from _call_changes(pair, row)
        return
    is_other_function = any(change.kind == "function" for change in exact_changes)
    if not is_other_function:
        yield from _user_call_changes(pair, row)


def _exact_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of a program that was evaluated in float64, one for each line."""
    if not _was_evaluated(row.old) or not _was_evaluated(row.new):
        return
    old, new = row.old.exact_results, row.new.exact_results
    renamed = list(_name_changes(pair, row, IN_FLOAT64, old, new))
    if renamed:
        yield from renamed
        return

    moved = pair.moved_arrays(old, new)
    noise = _noise_of_gradients(pair, old)
    noise_of_all = 0.0
    if pair.is_of_user:  # moments of a gradient that is zero are noise as it is
        noise_of_all = noise_of(pair.arrays[name] for name in old.values())
    excess: dict[str, float] = {}
    for name, (before, after) in moved.items():
        own_noise = noise if is_gradient(name) else noise_of_all
        rounding = _rounding_of(row, name)
        excess[name] = excess_of(before, after, own_noise, rounding)

    others = _others_to_tell(excess)
    by_line: dict[str, list[str]] = {}
    for name in others:
        line = pair.line(row, *moved[name])
        by_line.setdefault(line, []).append(name)
    for line, names in by_line.items():
        yield _other_function(pair, row, IN_FLOAT64, names, moved, line)
    if moved and not others:
        yield _other_bits(pair, row, IN_FLOAT64, excess, moved)


def _user_call_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of a user's call that is no other function in float64.

    Rounding may move each result some times as far as it did in the snapshot.
    """
    renamed = _renamed_results(pair, row)
    yield from renamed or _text_changes(pair, row)
    if renamed:
        return
    moved = pair.moved_arrays(row.old.results, row.new.results)
    is_evaluated = _was_evaluated(row.old) and _was_evaluated(row.new)
    excess: dict[str, float] = {}
    for name, (before, after) in moved.items():
        rounding = ROUNDED_AGAIN * row.old.rounding.get(name, 0.0)
        least_excess = excess_of(before, after, rounding)
        if pair.same_kernels and not is_evaluated and is_floating(before):
            units = relative_difference(before, after, rounding)
            bound = FEW_UNITS * float(ml_dtypes.finfo(before.dtype).eps)
            least_excess = max(least_excess, units / bound)
        excess[name] = least_excess

    others = _others_to_tell(excess)
    if not others:
        if moved:
            yield _other_bits(pair, row, "", excess, moved)
        return
    if row.old.random_bits != row.new.random_bits:
        before, after = moved[others[0]]
        what = pair.what(row, others[0]) + and_more(len(others), "result")
        yield pair.change("draws", what, "", distribution_change(before, after))
        return
    yield _other_function(pair, row, "", others, moved, pair.line(row))


def _call_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of what a call returned, as a user makes it."""
    if not _was_called(row.old) or not _was_called(row.new):
        return
    renamed = _renamed_results(pair, row)
    yield from renamed or _text_changes(pair, row)
    if renamed:
        return
    moved = pair.moved_arrays(row.old.results, row.new.results)
    noise = _noise_of_gradients(pair, row.old.results)
    excess: dict[str, float] = {}
    for name, (before, after) in moved.items():
        own_noise = noise if is_gradient(name) else 0.0
        excess[name] = excess_of(before, after, own_noise)

    others = _others_to_tell(excess)
    if others:
        yield _other_function(pair, row, "", others, moved, pair.line(row))
    elif moved:
        yield _other_bits(pair, row, "", excess, moved)


def _renamed_results(pair: SubjectPair, row: Row) -> list[Change]:
    """A change if the results of a call have other names."""
    old_names = [*row.old.results, *row.old.texts]
    new_names = [*row.new.results, *row.new.texts]
    return list(_name_changes(pair, row, "", old_names, new_names))


def _text_changes(pair: SubjectPair, row: Row) -> Iterator[Change]:
    """The changes of a call's results that are texts."""
    for name, before, after in differing(row.old.texts, row.new.texts):
        yield pair.change("function", pair.what(row, name), before, after)
    for name, before in row.old.texts.items():
        if name in row.new.results:
            yield pair.change("function", pair.what(row, name), before, "numbers")
    for name, after in row.new.texts.items():
        if name in row.old.results:
            yield pair.change("function", pair.what(row, name), "numbers", after)


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
    how: str,
    old: Collection[str],
    new: Collection[str],
) -> Iterator[Change]:
    """A change if the results have other names."""

    def counts(name: str) -> bool:
        return not is_gradient(name) and not row.has_leaf(name)

    lost = ", ".join(filter(counts, only_in(old, new)))
    added = ", ".join(filter(counts, only_in(new, old)))
    if lost or added:
        what = pair.what(row, "results", how)
        yield pair.change("function", what, lost or "none", added or "none")


def _others_to_tell(excess: dict[str, float]) -> list[str]:
    """The results that are beyond rounding, the first of each entry of a row of many.

    Gradients and parameters of a trained port follow from results: one of them is told,
    where no result is beyond rounding.
    """
    others = [name for name in excess if excess[name] > 1]
    results = [name for name in others if name.startswith("result")]
    if not results:
        return others[:1]

    first_of_entry: dict[str, str] = {}
    for name in results:
        first_of_entry.setdefault(_entry_of(name), name)
    return list(first_of_entry.values())


def _entry_of(name: str) -> str:
    match = _ENTRY.match(name)
    return match[0] if match else name


def _other_function(
    pair: SubjectPair,
    row: Row,
    how: str,
    names: list[str],
    moved: Moved,
    line: str,
) -> Change:
    """A change that tells of a single number, such as a loss, if there is one."""
    singles = [name for name in names if moved[name][0].size == 1]
    name = singles[0] if singles else names[0]
    what = pair.what(row, name, how) + and_more(len(names), "result")
    difference = how_different(*moved[name])
    if singles and pair.is_of_user:
        difference = _difference_of_users(pair, row, name) or difference
    return pair.change("function", what, "", difference, line)


def _difference_of_users(pair: SubjectPair, row: Row, name: str) -> str:
    """How a number that a user has got differs; "" if its digits do not show that."""
    as_called = pair.moved_arrays(row.old.results, row.new.results)
    if name not in as_called or excess_of(*as_called[name]) <= 1:
        return ""
    return how_different(*as_called[name])


def _other_bits(
    pair: SubjectPair,
    row: Row,
    how: str,
    excess: dict[str, float],
    moved: Moved,
) -> Change:
    worst = max(excess, key=lambda name: excess[name])
    difference = "no more than the largest gradient is rounded"
    if excess[worst]:
        difference = how_different(*moved[worst])
    what = pair.what(row, worst, how)
    return pair.change("bits", what, "", difference, pair.line(row))


def _noise_of_gradients(pair: SubjectPair, names: ArrayNames) -> float:
    """What rounding leaves of a gradient that is zero in mathematics."""
    arrays = []
    for path, name in names.items():
        if is_gradient(path):
            arrays.append(pair.arrays[name])
    return noise_of(arrays)


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
