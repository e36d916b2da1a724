"""The changes between two snapshots, by their meaning to a user."""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from ..reporting.numbers import count
from ..results.grouping import grouped
from ..results.machine import machine_differences
from . import record
from .installed import edited
from .record import (
    IN_FLOAT64,
    KINDS,
    PARTS_OF,
    TRACES,
    WAITS,
    Change,
    Read,
    Snapshot,
    Subject,
)
from .values import CONSTANTS, ROUNDED, Side, excess_of, how_different, noise_of

#: The share by which counts of a call have to grow; for these, any growth counts.
CALLS_SHARE, EXACT = 0.05, {TRACES: 0.0, WAITS: 0.0, "leaves": 0.0}
ANYWHERE = (TRACES, WAITS)  # which neither Python's version nor other parameters change
_ENTRY = re.compile(
    r"result\['.*?'\]|[^\]]*"
)  # the beginning of a result's name: the entry of a row of many
_OWN = re.compile(
    r"trigru/\S+\.py"
)  # which calls what warns; in another version, that may be another file
_T = TypeVar("_T")


def changes(old: Read, new: Read) -> list[Change]:
    """Every change, causes first: of one kind, those of JAX's and the frameworks' parts, of which ports are made.

    What only one of the two looked at is no change.
    """
    now = {subject.name: subject for subject in new[0].subjects}
    common = {**old[1], **new[1]}, same_python(old[0], new[0])
    pairs = [
        Pair(was, now[was.name], *common) for was in old[0].subjects if was.name in now
    ]
    found = [
        change for pair in pairs for compared in COMPARED for change in compared(pair)
    ]
    found += [*edited(old, new), *_equality(old[0], new[0])]
    kinds, parts = list(KINDS), list(PARTS_OF.values())
    return sorted(
        found,
        key=lambda change: (
            kinds.index(change.kind),
            (*parts, change.subject).index(change.subject),
        ),
    )


def reservations(old: Snapshot, new: Snapshot) -> list[str]:
    """Other differences between the snapshots, which may explain a change beside the packages."""
    other = machine_differences(old.machine, new.machine, versions=False)
    said = [
        f"{difference}: bits, programs and memory may differ for that alone."
        for difference in other
    ]
    if not same_python(old, new):
        now, was = (
            snapshot.machine.versions.get("python", "?") for snapshot in (new, old)
        )
        said.append(
            f"Python {now}, was {was}: calls are not compared, since each Python counts in its own way."
        )
    if alone := sorted(
        {subject.name for subject in old.subjects}
        ^ {subject.name for subject in new.subjects}
    ):
        said.append(f"in one of them alone, and not compared: {', '.join(alone)}.")
    if (old.equality is None) != (new.equality is None):
        said.append("equality was left out in one of them, and is not compared.")
    return said


def same_python(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of one minor version of Python, whose counts alone compare."""
    was, now = (s.machine.versions.get("python", "").split(".")[:2] for s in (old, new))
    return was == now


def _equality(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """One change for the checks of a port that passed and fail now, and for the reverse."""
    was, now = (grouped(snapshot.equality or (), _check_of) for snapshot in (old, new))
    moved: list[tuple[Change, Hashable]] = []
    for port, check in sorted(was.keys() & now.keys()):
        offered = [[m for m in some[port, check] if m.offered] for some in (was, now)]
        failed = [[m for m in some if not m.passed] for some in offered]
        if all(offered) and bool(failed[0]) != bool(failed[1]):
            kind = "broken" if failed[1] else "better"
            ends = (str(some[0]) if some else "equal" for some in failed)
            moved.append((Change(kind, port, f"check {check}", *ends), (kind, port)))
    yield from _once(moved, "check")


def _check_of(m: Measurement) -> tuple[str, str]:
    """The port and the check; a row that fails is told under the names of its levels, and not under its check's."""
    what = (
        (m.check, m.style, m.quantity, m.dtype) if m.levels is None else ("contract",)
    )
    return m.port + f":{m.kernel}" * (m.kernel != STOCK), " ".join(
        part for part in what if part
    )


@dataclass(frozen=True)
class Pair:
    """One subject in two snapshots."""

    old: Subject
    new: Subject
    arrays: record.Arrays  # of both
    same_python: bool
    #: Of programs that were asked for, both trails, and the steps at which each parts from the other.
    partings: dict[str, tuple[Side, Side, list[int], list[int]]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def change(
        self, kind: str, what: str, old: str, new: str, line: str = ""
    ) -> Change:
        return Change(kind, self.new.name, what, old, new, line)

    def line(
        self, where: str, was: np.ndarray | None = None, now: np.ndarray | None = None
    ) -> str:
        """The line at which a program that has a trail, or is of a phase that has one, parts from the older one.

        It is the first of the new trail that computes something else, and that of the old one which it stands for. Only
        lines that lead to a result count, `was` in the old trail and `now` in the new one; None for any.
        """
        names = self.old.trails.keys() & self.new.trails.keys()
        name = max(
            (name for name in names if where.startswith(name)),
            key=len,
            default="forward",
        )
        if name not in names:
            return ""
        if name not in self.partings:
            old, new = (
                Side(name, subject, self.arrays) for subject in (self.old, self.new)
            )
            self.partings[name] = old, new, old.without(new), new.without(old)
        old, new, lost, added = self.partings[name]
        before, after = old.place(lost, was, new), new.place(added, now, old)
        return "; ".join(
            line
            for line in (
                after,
                f"before: {before}" if before not in ("", after) else "",
            )
            if line
        )

    def moved(
        self, was: dict[str, str], now: dict[str, str]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The arrays that both have under a name, and that are not alike."""
        return {
            name: (self.arrays[a], self.arrays[b]) for name, a, b in _alike(was, now)
        }


def _alike(old: dict[str, _T], new: dict[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    """What both looked at and is not as it was: where, what it was, and what it is."""
    return (
        (where, was, new[where])
        for where, was in old.items()
        if where in new and new[where] != was
    )


def _more(some: Sequence[object], what: str) -> str:
    return f" and {count(len(some) - 1, f'more {what}')}" if some[1:] else ""


def _once(
    found: Iterable[tuple[Change, Hashable]], what: str = "call"
) -> Iterator[Change]:
    """The first of the changes that have the same key, which says how many more there are."""
    for some in grouped(found, lambda entry: entry[1]).values():
        yield replace(some[0][0], what=some[0][0].what + _more(some, what))


def _only(some: Iterable[_T], others: Collection[_T]) -> list[_T]:
    return [item for item in some if item not in others]


def _ends(
    old: Collection[str], new: Collection[str], counts: Callable[[str], bool]
) -> list[str]:
    """The names that are gone, and those that are new, of those that count."""
    return [
        ", ".join(filter(counts, some)) for some in (_only(old, new), _only(new, old))
    ]


def _works(pair: Pair) -> Iterator[Change]:
    """What does not work any more, or works again: one reason for several things is one change."""
    before, after = (
        _reasons(subject, pair.old.styles) for subject in (pair.old, pair.new)
    )
    yield from _once(
        (pair.change("broken", what, "works", after[what]), after[what])
        for what in _only(after, before)
    )
    for what in _only(before, after) if not pair.new.missing else ():
        yield pair.change("better", what, before[what], "works")


def _reasons(subject: Subject, styles: Iterable[str]) -> dict[str, str]:
    """Why each thing does not work, of those that do not; a call style may be gone."""
    if subject.missing:
        return {"import": subject.missing}
    of_styles = {
        f"style {name}": subject.styles.get(name, "is gone") for name in styles
    }
    return {what: why for what, why in {**of_styles, **subject.problems}.items() if why}


def _values(pair: Pair) -> Iterator[Change]:
    """One change for the calls that changed in one way, of parts at one line: the first array beyond rounding."""
    found = [
        change
        for row in _alike(pair.old.values, pair.new.values)
        for change in _moved(pair, *row)
    ]
    alone = pair.new.name in PARTS_OF.values()  # each part is something else
    yield from _once(
        (change, (change.kind, change.line or (change.what if alone else "")))
        for change in found
    )


def _moved(
    pair: Pair, where: str, was: dict[str, str], now: dict[str, str]
) -> Iterator[Change]:
    """One change for the results of a call that changed at one line, or one for all that are rounded in another way."""
    row, leaves = (
        where.removesuffix(IN_FLOAT64),
        pair.old.tree.keys() | pair.new.tree.keys(),
    )
    # what is a leaf of the tree is told there
    ends = _ends(
        was,
        now,
        lambda name: (
            not name.startswith("gradient of") and f"{row} {name}" not in leaves
        ),
    )
    if any(ends):
        yield pair.change(
            "function", f"{where}: results", *(end or "none" for end in ends)
        )
        return
    differing = pair.moved(was, now)
    if not differing:
        return  # gradients of parameters that are new or gone
    noise = noise_of(
        pair.arrays[array]
        for name, array in was.items()
        if name.startswith("gradient of")
    )
    wide = where != row  # and so among the values of the trail
    excess = {
        name: excess_of(
            *both,
            noise * name.startswith("gradient of"),
            _rounded(pair, row, name) if wide else 0.0,
        )
        for name, both in differing.items()
    }
    beyond = [name for name in excess if excess[name] > 1]
    if not beyond:
        worst = max(excess, key=lambda name: excess[name])
        how = (
            how_different(*differing[worst])
            if excess[worst]
            else "no more than the largest gradient is rounded"
        )
        yield pair.change("bits", f"{where}: {worst}", "", how, pair.line(where))
        return
    results = [name for name in beyond if name.startswith("result")] or beyond[
        :1
    ]  # gradients follow from results
    entries = grouped(results, lambda name: _ENTRY.match(name)[0]).values()  # pyright: ignore[reportOptionalSubscript]
    lines = grouped(
        (names[0] for names in entries),
        lambda name: pair.line(where, *(differing[name] if wide else ())),
    )
    for line, names in lines.items():
        how = how_different(*differing[names[0]])
        yield pair.change(
            "function", f"{where}: {names[0]}{_more(names, 'result')}", "", how, line
        )


def _rounded(pair: Pair, row: str, result: str) -> float:
    """The share by which rounding in float32 moves a result of a program that is evaluated in float64."""
    found = pair.new.tree.items()
    own = [
        dtype for path, dtype in found if path == f"{row} {result}"
    ]  # a gradient's is that of any
    dtypes = own or [dtype for path, dtype in found if path.startswith(f"{row} result")]
    if any(dtype.startswith(("float64", "complex128")) for dtype in dtypes):
        return 0.0
    trails = [
        subject.trails[row] for subject in (pair.old, pair.new) if row in subject.trails
    ]
    return (
        ROUNDED
        if any("(reduce_precision " in line for trail in trails for line in trail.lines)
        else CONSTANTS
    )


def _draws(pair: Pair) -> Iterator[Change]:
    """One change for the draws of a model that changed in one way."""

    def way(moved: tuple[str, tuple[np.ndarray, np.ndarray]]) -> tuple[str, str]:
        if excess_of(*moved[1]) <= 1:  # rounded, as an orthogonal matrix may be
            return "bits", ""
        how = how_different(*moved[1])
        return "draws", how if how.endswith(("large", "order")) else ""

    for model, was, now in _alike(pair.old.draws, pair.new.draws):
        ways = grouped(pair.moved(was, now).items(), way)
        for (kind, _), ((path, both), *others) in ways.items():
            what = f"{model}: {1 + len(others)} of {len(was)} draws, the first {path}"
            yield pair.change(kind, what, "", how_different(*both))


def _tree(pair: Pair) -> Iterator[Change]:
    before, after = pair.old.tree, pair.new.tree
    if not before or not after:
        return
    rows = (
        subject.draws.keys() | subject.trails.keys() for subject in (pair.old, pair.new)
    )
    failing = {*pair.old.problems, *pair.new.problems}.union(
        set.symmetric_difference(*map(set, rows))
    )
    left_out = tuple(
        f"{row} " for row in failing
    )  # which have no leaves, or are in one of them alone
    ends = _ends(before, after, lambda path: not path.startswith(left_out))
    if any(ends):
        yield pair.change("tree", "leaves", *(end or "none" for end in ends))
    elif before.keys() == after.keys() and list(before) != list(after):
        yield pair.change(
            "tree", "order of the leaves", ", ".join(before), ", ".join(after)
        )
    for path, was, now in _alike(before, after):
        yield pair.change("tree", f"leaf {path}", was, now)


def _programs(pair: Pair) -> Iterator[Change]:
    for where, was, now in _alike(pair.old.programs, pair.new.programs):
        for fact, kind, share in (
            record.GROWTH
            if _gradients(pair.old, where) == _gradients(pair.new, where)
            else ()
        ):
            a, b = was.get(fact), now.get(fact)
            if (
                not isinstance(a, int)
                or not isinstance(b, int)
                or abs(b - a) <= share * max(a, 1)
            ):
                continue
            if b > a or kind != "work":
                unit = "" if kind == "work" else " B"
                yield pair.change(
                    kind if b > a else "better",
                    f"{where}: {fact}",
                    f"{a}{unit}",
                    f"{b}{unit}",
                )
        other = _only(
            (name for name, _, _ in _alike(was, now)),
            (record.MEMORY, record.KEPT, record.PRINT),
        )
        old, new = (
            ", ".join(f"{name} {some[name]}" for name in other) for some in (was, now)
        )
        if other or was.get(record.PRINT) != now.get(record.PRINT):
            yield pair.change(
                "program", where, old, new or "the same counts of operations"
            )


def _gradients(subject: Subject, where: str) -> set[str]:
    """The gradients that a program has: with other parameters, it keeps and computes something else."""
    return {
        name
        for name in subject.values.get(where + IN_FLOAT64, ())
        if name.startswith("gradient of")
    }


def _calls(pair: Pair) -> Iterator[Change]:
    """One change for the calls that cost more in one way. Most counts depend on parameters, and on Python's version."""
    alike = pair.same_python and pair.old.tree.keys() == pair.new.tree.keys()
    found: list[tuple[Change, Hashable]] = []
    for where, was, now in _alike(pair.old.calls, pair.new.calls):
        for kind, a, b in (("calls", was, now), ("better", now, was)):
            dearer = [
                name
                for name, x, y in _alike(a, b)
                if y > x * (1 + EXACT.get(name, CALLS_SHARE))
            ]
            other = tuple(name for name in dearer if alike or name in ANYWHERE)
            if TRACES in other:  # what else it costs is that of tracing
                other = (TRACES,)
            if other:
                old, new = (
                    ", ".join(f"{some[name]} {name}" for name in other)
                    for some in (was, now)
                )
                line = (
                    pair.new.lines.get(where, "")
                    if kind == "calls" and WAITS in other
                    else ""
                )
                found.append(
                    (pair.change(kind, where, old, new, line), (kind, other, line))
                )
    yield from _once(found)


def _signatures(pair: Pair) -> Iterator[Change]:
    """What is gone of the arguments of something, has another default or must be passed; and others that are new."""
    before, after = pair.old.signatures, pair.new.signatures
    if not before or not after:
        return
    if gone := _only(before, after):
        yield pair.change("arguments", "names", ", ".join(gone), "gone")
    if added := _only(after, before):
        yield pair.change("better", "names", "", ", ".join(added))
    for name, was in before.items():
        now = after.get(name, was)
        other, new = (
            [argument for argument in was if now.get(argument) != was[argument]],
            _only(now, was),
        )
        needed = [
            argument
            for argument in new
            if not now[argument] and not argument.startswith("*")
        ]
        if other or needed:
            sides = (
                _said(was, other),
                _said(now, [*(a for a in other if a in now), *needed]),
            )
            yield pair.change("arguments", name, sides[0] or "none", sides[1] or "gone")
        elif new:
            yield pair.change("better", name, "", f"also takes {_said(now, new)}")
        elif list(was) != list(now):
            yield pair.change(
                "arguments", f"{name}: order", ", ".join(was), ", ".join(now)
            )


def _said(arguments: dict[str, str], names: Iterable[str]) -> str:
    return ", ".join(
        f"{name}={arguments[name]}" if arguments[name] else name for name in names
    )


def _warnings(pair: Pair) -> Iterator[Change]:
    known = {
        (_OWN.sub("trigru", where), text)
        for where, texts in pair.old.warnings.items()
        for text in texts
    }
    for where, texts in pair.new.warnings.items():
        for text in (
            text for text in texts if (_OWN.sub("trigru", where), text) not in known
        ):
            yield pair.change(
                "warnings", where, "", text, pair.new.lines.get(f"{where}: {text}", "")
            )


#: Each compares a fact of two subjects. A file is compared where it is read: `ports.unread`.
COMPARED = (_works, _values, _draws, _tree, _signatures, _programs, _calls, _warnings)
