"""The changes between two snapshots, by their meaning to a user.

Adding a fact is adding a field to `Subject`, what collects it (`ports`, `functions` or `parts`), and a function that
compares it to `COMPARED`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from ...impls.upstream import NEW
from ..reporting.numbers import count
from ..results.grouping import grouped
from ..results.proof import passes
from ..timing.machine import machine_differences
from .counting import TRACES, WAITS
from .distance import bound_of, how_different, is_floating, noise_of, relative_difference
from .files import Read
from .kinds import FAILING, KINDS, Change
from .record import EQUATIONS, IN_FLOAT64, KEPT, MEMORY, OPERATIONS, PARTS_OF, PRINT, ArrayNames, Snapshot, Subject
from .sources import edited
from .trails import Partings

__all__ = ["COMPARED", "FAILING", "KINDS", "Change", "changes", "reservations"]

#: A program's memory has grown if it did by more than this share, Python in a call, and operations of a program.
MEMORY_SHARE, CALLS_SHARE, WORK_SHARE = 0.02, 0.05, 0.25
_T = TypeVar("_T")


def changes(old: Read, new: Read) -> list[Change]:
    """Every change, causes first. What only one of the two looked at is no change."""
    found = [*edited(old, new)]
    now = {subject.name: subject for subject in new[0].subjects}
    for was in old[0].subjects:
        if was.name in now:
            for compared in COMPARED.values():
                found += compared(Pair(was, now[was.name], old, new))
    found += _equality(old[0], new[0])
    kinds = list(KINDS)
    return sorted(found, key=lambda change: kinds.index(change.kind))


def reservations(old: Snapshot, new: Snapshot) -> list[str]:
    """Other differences between the snapshots, which may explain a change beside the packages."""
    was, now = old.machine, new.machine
    said = [
        f"{difference}: bits, programs and memory may differ for that alone."
        for difference in machine_differences(was, now, versions=False)
    ]
    if not same_python(old, new):
        said.append(
            f"Python {now.versions.get('python', '?')}, was {was.versions.get('python', '?')}: calls are not compared, "
            "since each Python counts in its own way."
        )
    names = [{subject.name for subject in snapshot.subjects} for snapshot in (old, new)]
    if alone := sorted(names[0] ^ names[1]):
        said.append(f"in one of them alone, and not compared: {', '.join(alone)}.")
    if (old.equality is None) != (new.equality is None):
        said.append("equality was left out in one of them, and is not compared.")
    return said


def same_python(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of one minor version of Python, whose counts alone compare."""
    was, now = (s.machine.versions.get("python", "").split(".")[:2] for s in (old, new))
    return was == now


def _equality(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """One change for the checks of a port that passed and fail now, and for the reverse; then the departures."""
    if old.equality is None or new.equality is None:
        return
    was, now = (grouped(snapshot.equality or (), _check_of) for snapshot in (old, new))
    moved: list[tuple[str, str, str, Measurement]] = []
    for port, check in sorted(was.keys() & now.keys()):
        before, after = ([m for m in some[port, check] if m.offered and not passes(m)] for some in (was, now))
        if bool(before) != bool(after):
            moved.append(("broken" if after else "better", port, check, (after or before)[0]))
    for (kind, port), some in grouped(moved, lambda found: found[:2]).items():
        what, said = f"check {some[0][2]}{_more(some, 'more check')}", str(some[0][3])
        yield Change(kind, port, what, *(("equal", said) if kind == "broken" else (said, "equal")))
    before, after = ({(part, what): status for part, what, status in s.departures} for s in (old, new))
    other = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    statuses = {key: (before.get(key, "not on record"), after.get(key, "not on record")) for key in other}
    for (part, (status, is_now)), some in grouped(other, lambda key: (key[0], statuses[key])).items():
        kind = "broken" if is_now == NEW else "function"
        yield Change(kind, part, f"departure: {some[0][1]}{_more(some, 'more departure')}", status, is_now)


def _check_of(m: Measurement) -> tuple[str, str]:
    """The port and the check; a row that fails is told under the names of its levels, and not under its check's."""
    what = (m.check, m.style, m.quantity, m.dtype) if m.levels is None else ("contract",)
    return m.port + f":{m.kernel}" * (m.kernel != STOCK), " ".join(part for part in what if part)


@dataclass(frozen=True)
class Pair:
    """One subject in two snapshots."""

    old: Subject
    new: Subject
    was: Read
    now: Read

    def change(self, kind: str, what: str, old: str, new: str, line: str = "") -> Change:
        return Change(kind, self.new.name, what, old, new, line)

    def line(self, where: str, was: np.ndarray | None = None, now: np.ndarray | None = None) -> str:
        """The line at which a program that has a trail, or is of a phase that has one, parts from the older one.

        Args:
            where: the program.
            was, now: one of its results, where the trail has it.
        """
        names = self.old.trails.keys() & self.new.trails.keys()
        name = max((name for name in names if where.startswith(name)), key=len, default="forward")
        if name not in names:
            return ""
        if name not in self._partings:
            arrays = self.was[1], self.now[1]
            self._partings[name] = Partings(self.old.trails[name], self.new.trails[name], arrays)
        return self._partings[name].line(was, now)

    @cached_property
    def _partings(self) -> dict[str, Partings]:
        return {}

    def moved(self, was: ArrayNames, now: ArrayNames) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The arrays that both have under a name, and that are not alike."""
        return {name: (self.was[1][a], self.now[1][b]) for name, a, b in _alike(was, now)}


def _alike(old: dict[str, _T], new: dict[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    """What both looked at and is not as it was: where, what it was, and what it is."""
    return ((where, was, new[where]) for where, was in old.items() if where in new and new[where] != was)


def _more(some: Sequence[object], what: str) -> str:
    return f" and {count(len(some) - 1, what)}" if some[1:] else ""


def _missing(pair: Pair) -> Iterator[Change]:
    if bool(pair.old.missing) != bool(pair.new.missing):
        kind = "better" if pair.old.missing else "broken"
        yield pair.change(kind, "import", pair.old.missing or "works", pair.new.missing or "works")


def _problems(pair: Pair) -> Iterator[Change]:
    """What does not work any more: one error in several calls is one change."""
    before, after = pair.old.problems, pair.new.problems
    anew = grouped([what for what in after if what not in before], lambda what: after[what])
    for said, calls in anew.items():
        yield pair.change("broken", f"{calls[0]}{_more(calls, 'more call')}", "works", said)
    for what, said in before.items():
        if what not in after and not pair.new.missing:
            yield pair.change("better", what, said, "works")


def _styles(pair: Pair) -> Iterator[Change]:
    for name, was in pair.old.styles.items() if not pair.new.missing else ():
        now = pair.new.styles.get(name, "is gone")
        if bool(was) != bool(now):
            yield pair.change("broken" if now else "better", f"style {name}", was or "works", now or "works")


def _values(pair: Pair) -> Iterator[Change]:
    """One change for the calls that changed in one way, of parts at one line: the first array beyond rounding."""
    rows = _alike(pair.old.values, pair.new.values)
    found = [change for where, was, now in rows for change in _moved(pair, where, was, now)]
    alone = pair.new.name in PARTS_OF.values()  # each part is something else
    for some in grouped(found, lambda change: (change.kind, change.line or (change.what if alone else ""))).values():
        worst = some[0]
        what = f"{worst.what}{_more(some, 'more call')}"
        yield pair.change(worst.kind, what, worst.old, worst.new, worst.line)


def _moved(pair: Pair, where: str, was: ArrayNames, now: ArrayNames) -> Iterator[Change]:
    """One change for the results of a call that changed at one line, or one for all that are rounded in another way."""
    row, leaves = where.removesuffix(IN_FLOAT64), pair.old.tree.keys() | pair.new.tree.keys()
    gone, added = (
        [name for name in a if name not in b and not name.startswith("gradient of") and f"{row} {name}" not in leaves]
        for a, b in ((was, now), (now, was))
    )  # what is a leaf of the tree is told there
    if gone or added:
        yield pair.change("function", f"{where}: results", ", ".join(gone) or "none", ", ".join(added) or "none")
        return
    differing = pair.moved(was, now)
    if not differing:
        return  # gradients of parameters that are new or gone
    noise = noise_of(pair.was[1][array] for name, array in was.items() if name.startswith("gradient of"))
    excess = {name: _excess(*both, noise * name.startswith("gradient of")) for name, both in differing.items()}
    beyond = [name for name in excess if excess[name] > 1]
    if not beyond:
        worst = max(excess, key=lambda name: excess[name])
        how = how_different(*differing[worst]) if excess[worst] else "no more than the largest gradient is rounded"
        yield pair.change("bits", f"{where}: {worst}", "", how, pair.line(where))
        return
    results = [name for name in beyond if name.startswith("result")] or beyond[:1]  # gradients follow from results
    first = {name.partition("]")[0]: name for name in reversed(results)}  # of each entry of a row of many
    wide = where != row  # and so among the values of the trail
    lines = {
        name: pair.line(where, *differing[name]) if wide else pair.line(where)
        for name in sorted(first.values(), key=results.index)
    }
    for line, names in grouped(lines, lambda name: lines[name]).items():
        how = how_different(*differing[names[0]])
        yield pair.change("function", f"{where}: {names[0]}{_more(names, 'more result')}", "", how, line)


def _excess(a: np.ndarray, b: np.ndarray, noise: float = 0.0) -> float:
    """How many times the difference is what rounding explains; up to `noise`, it does."""
    if (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return np.inf
    return relative_difference(a, b, noise) / bound_of(a.dtype)


def _draws(pair: Pair) -> Iterator[Change]:
    """One change for the draws of a model that changed in one way."""
    for model, was, now in _alike(pair.old.draws, pair.new.draws):
        ways = [(path, _way(*both), how_different(*both)) for path, both in pair.moved(was, now).items()]
        for (kind, _), some in grouped(ways, lambda draw: draw[1]).items():
            path, _, how = some[0]
            yield pair.change(kind, f"{model}: {len(some)} of {len(was)} draws, the first {path}", "", how)


def _way(a: np.ndarray, b: np.ndarray) -> tuple[str, str]:
    """The kind of a change of draws, and in which way they differ: scaled, in another order, rounded or others."""
    if _excess(a, b) <= 1:  # rounded, as an orthogonal matrix may be
        return "bits", ""
    how = how_different(a, b)
    return "draws", how if how.endswith(("large", "order")) else ""


def _tree(pair: Pair) -> Iterator[Change]:
    before, after = pair.old.tree, pair.new.tree
    if not before or not after:
        return
    failing = tuple(f"{row} " for row in {**pair.old.problems, **pair.new.problems})  # which have no leaves
    gone, added = (
        [path for path in a if path not in b and not path.startswith(failing)]
        for a, b in ((before, after), (after, before))
    )
    if gone or added:
        yield pair.change("tree", "leaves", ", ".join(gone) or "none", ", ".join(added) or "none")
    elif before.keys() == after.keys() and list(before) != list(after):
        yield pair.change("tree", "order of the leaves", ", ".join(before), ", ".join(after))
    for path, was, now in _alike(before, after):
        yield pair.change("tree", f"leaf {path}", was, now)


def _programs(pair: Pair) -> Iterator[Change]:
    for where, was, now in _alike(pair.old.programs, pair.new.programs):
        for fact, kind in ((MEMORY, "memory"), (KEPT, "kept")):
            a, b = was.get(fact), now.get(fact)
            if isinstance(a, int) and isinstance(b, int) and abs(b - a) > MEMORY_SHARE * max(a, 1):
                yield pair.change(kind if b > a else "better", f"{where}: {fact}", f"{a} B", f"{b} B")
        other = [name for name, _, _ in _alike(was, now) if name not in (MEMORY, KEPT, PRINT)]
        for name in (EQUATIONS, OPERATIONS):
            a, b = was.get(name), now.get(name)
            if isinstance(a, int) and isinstance(b, int) and b > a * (1 + WORK_SHARE):
                yield pair.change("work", f"{where}: {name}", str(a), str(b))
        old, new = (", ".join(f"{name} {some[name]}" for name in other) for some in (was, now))
        if other or was.get(PRINT) != now.get(PRINT):
            yield pair.change("program", where, old or "", new or "the same counts of operations")


def _calls(pair: Pair) -> Iterator[Change]:
    """One change for the calls that cost more in one way. Counts of Python compare within one version of it."""
    found: list[tuple[Change, tuple[str, ...]]] = []
    for where, was, now in _alike(pair.old.calls, pair.new.calls):
        for kind, a, b in (("calls", was, now), ("better", now, was)):
            other = tuple(name for name, x, y in _alike(a, b) if _dearer(name, x, y) and _is_compared(pair, name))
            if TRACES in other:  # what else it costs is that of tracing
                other = (TRACES,)
            if other:
                old, new = (", ".join(f"{some[name]} {name}" for name in other) for some in (was, now))
                found.append((pair.change(kind, where, old, new), other))
    for some in grouped(found, lambda entry: (entry[0].kind, entry[1])).values():
        first = some[0][0]
        yield pair.change(first.kind, f"{first.what}{_more(some, 'more call')}", first.old, first.new)


def _is_compared(pair: Pair, name: str) -> bool:
    """Whether a count says something: those of Python depend on its version, and all but two on the parameters."""
    alike = same_python(pair.was[0], pair.now[0]) and pair.old.tree.keys() == pair.new.tree.keys()
    return alike or name in (TRACES, WAITS)


def _dearer(name: str, was: int, now: int) -> bool:
    """Whether a count grew by so much that a user may notice."""
    return now > was if name in (TRACES, WAITS, "leaves") else now > was * (1 + CALLS_SHARE)


def _signatures(pair: Pair) -> Iterator[Change]:
    """What is gone of the arguments of something, has another default or must be passed; and others that are new."""
    before, after = pair.old.signatures, pair.new.signatures
    if not before or not after:
        return
    if gone := [name for name in before if name not in after]:
        yield pair.change("arguments", "names", ", ".join(gone), "gone")
    if added := [name for name in after if name not in before]:
        yield pair.change("better", "names", "", ", ".join(added))
    for name, was, now in ((name, was, after[name]) for name, was in before.items() if name in after):
        other = [argument for argument in was if now.get(argument) != was[argument]]
        new = [argument for argument in now if argument not in was]
        needed = [argument for argument in new if not now[argument] and not argument.startswith("*")]
        if other or needed:
            sides = (_said(was, other), _said(now, [*(a for a in other if a in now), *needed]))
            yield pair.change("arguments", name, sides[0] or "none", sides[1] or "gone")
        elif new:
            yield pair.change("better", name, "", f"also takes {_said(now, new)}")
        elif list(was) != list(now):
            yield pair.change("arguments", f"{name}: order", ", ".join(was), ", ".join(now))


def _said(arguments: dict[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name}={arguments[name]}" if arguments[name] else name for name in names)


def _warnings(pair: Pair) -> Iterator[Change]:
    for where, texts in pair.new.warnings.items():
        for text in texts:
            if text not in pair.old.warnings.get(where, ()):
                yield pair.change("warnings", where, "", text)


#: By the fields of `Subject`. A file is compared where it is read: `reading`.
COMPARED: dict[str, Callable[[Pair], Iterable[Change]]] = {
    "missing": _missing,
    "problems": _problems,
    "styles": _styles,
    "values": _values,
    "draws": _draws,
    "tree": _tree,
    "signatures": _signatures,
    "programs": _programs,
    "calls": _calls,
    "warnings": _warnings,
}
