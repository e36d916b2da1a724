"""Changes between two snapshots of what programs and calls need, in counts."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from .record import WARM_CALLS, Change, Cost, Observation, Program
from .subject_pairs import Row, SubjectPair, first_of_each, is_gradient


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


def compare_programs(pair: SubjectPair) -> Iterator[Change]:
    """Programs that need more memory or work, keep more, or are other ones."""
    for row in pair.rows:
        old, new = row.old.program, row.new.program
        if old is None or new is None or old == new:
            continue
        # with other parameters, it keeps and computes something else
        if _gradients(row.old) == _gradients(row.new):
            yield from _growth_changes(pair, row, old, new)
        yield from _program_changes(pair, row, old, new)


def compare_costs(pair: SubjectPair) -> Iterator[Change]:
    """Calls that cost more or less; one change for those that do in one way.

    Counts of Python depend on its version, and on parameters; traces do not.
    """
    are_comparable = pair.same_python and _has_same_leaves(pair)
    keyed_changes: list[tuple[Change, Hashable]] = []
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
                keyed_changes.append((change, (kind, *fields)))
    yield from first_of_each(keyed_changes)


def _gradients(observation: Observation) -> set[str]:
    names = observation.exact_results
    return {name for name in names if is_gradient(name)}


def _growth_changes(
    pair: SubjectPair, row: Row, old: Program, new: Program
) -> Iterator[Change]:
    for growth in GROWTHS:
        before, after = getattr(old, growth.field), getattr(new, growth.field)
        if before is None or after is None:
            continue
        if abs(after - before) <= growth.share * max(before, 1):
            continue
        if after > before or growth.tells_less:
            kind = growth.kind if after > before else "better"
            what = pair.what(row, growth.words)
            unit = growth.unit
            yield pair.change(kind, what, f"{before}{unit}", f"{after}{unit}")


def _program_changes(
    pair: SubjectPair, row: Row, old: Program, new: Program
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
        yield pair.change("program", row.name, *counts)
    elif old.fingerprint != new.fingerprint:
        yield pair.change("program", row.name, "", "the same counts of operations")


def _has_same_leaves(pair: SubjectPair) -> bool:
    """Whether all that both observed has the same leaves."""
    return all(row.old.leaves.keys() == row.new.leaves.keys() for row in pair.rows)


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
