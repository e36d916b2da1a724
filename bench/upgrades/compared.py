"""The changes of each fact of one port or part.

Adding a fact is adding a field to `Subject`, a function that collects it to `trigru.bench.upgrades.facts.FACTS`, and
one that compares it to `COMPARED`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from ..reporting.numbers import count
from ..results.grouping import grouped
from .counting import TRACES, WAITS
from .distance import bound_of, how_different, is_floating, relative_difference
from .folder import Arrays
from .kinds import Change
from .record import KEPT, MEMORY, PRINT, ArrayNames, Snapshot, Subject
from .trails import parting

#: A program's memory has grown if it did by more than this share, and Python in a call by more than that.
MEMORY_SHARE, CALLS_SHARE = 0.02, 0.05


Read = tuple[Snapshot, Arrays]
_T = TypeVar("_T")


def same_python(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of one minor version of Python, whose counts alone compare."""
    was, now = (s.machine.versions.get("python", "").split(".")[:2] for s in (old, new))
    return was == now


@dataclass(frozen=True)
class Pair:
    """One subject in two snapshots."""

    old: Subject
    new: Subject
    was: Read
    now: Read

    def change(self, kind: str, what: str, old: str, new: str, line: str = "") -> Change:
        return Change(kind, self.new.name, what, old, new, line)

    def line(self, where: str) -> str:
        """The line at which a program that has a trail, or is of a phase that has one, parts from the older one."""
        names = self.old.trails.keys() & self.new.trails.keys()
        name = max((name for name in names if where.startswith(name)), key=len, default="gradient")
        return self._partings.setdefault(name, self._parting(name)) if name in names else ""

    @cached_property
    def _partings(self) -> dict[str, str]:
        return {}

    def _parting(self, name: str) -> str:
        now, was = parting(self.old.trails[name], self.new.trails[name], (self.was[1], self.now[1]))
        return f"{now or 'no line'}; before: {was or 'no line'}" if now or was else ""

    def arrays(self, was: str, now: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The arrays of these names, the first in the older snapshot; None where one is not kept."""
        return self.was[1].get(was), self.now[1].get(now)


def _alike(old: dict[str, _T], new: dict[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    """What both looked at and is not as it was: where, what it was, and what it is."""
    return ((where, was, new[where]) for where, was in old.items() if where in new and new[where] != was)


def _missing(pair: Pair) -> Iterator[Change]:
    if bool(pair.old.missing) != bool(pair.new.missing):
        kind = "better" if pair.old.missing else "broken"
        yield pair.change(kind, "import", pair.old.missing or "works", pair.new.missing or "works")


def _problems(pair: Pair) -> Iterator[Change]:
    """What does not work any more: one error in several calls is one change."""
    before, after = pair.old.problems, pair.new.problems
    anew = grouped([what for what in after if what not in before], lambda what: after[what])
    for said, calls in anew.items():
        yield pair.change("broken", calls[0] + (f" and {len(calls) - 1} more" if calls[1:] else ""), "works", said)
    for what, said in before.items():
        if what not in after and not pair.new.missing:
            yield pair.change("better", what, said, "works")


def _styles(pair: Pair) -> Iterator[Change]:
    for name, was in pair.old.styles.items() if not pair.new.missing else ():
        now = pair.new.styles.get(name, "is gone")
        if bool(was) != bool(now):
            yield pair.change("broken" if now else "better", f"style {name}", was or "works", now or "works")


def _values(pair: Pair) -> Iterator[Change]:
    """One change for the calls that changed in one way: the first array that rounding does not explain."""
    moved = (_moved(pair, where, was, now) for where, was, now in _alike(pair.old.values, pair.new.values))
    found = [change for change in moved if change is not None]
    for (kind, line), some in grouped(found, lambda change: (change.kind, change.line)).items():
        worst = some[0]
        more = _more(some)
        yield pair.change(kind, worst.what + more, worst.old, worst.new, line)


def _more(some: Sequence[object]) -> str:
    return f" and {count(len(some) - 1, 'more call')}" if some[1:] else ""


def _moved(pair: Pair, where: str, was: ArrayNames, now: ArrayNames) -> Change | None:
    results = [[name for name in names if not name.startswith("gradient of")] for names in (was, now)]
    if results[0] != results[1]:
        return pair.change("function", f"{where}: results", *map(", ".join, results))
    differing = [name for name, _, _ in _alike(was, now)]
    if not differing:
        return None  # gradients of parameters that are new or gone
    pairs = {name: pair.arrays(was[name], now[name]) for name in differing}
    comparable = {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}
    if not comparable:
        return pair.change("function", f"{where}: {differing[0]}", "", "is another")
    excess = {name: _excess(a, b) for name, (a, b) in comparable.items()}
    beyond = [name for name in excess if excess[name] > 1]
    worst = beyond[0] if beyond else max(excess, key=lambda name: excess[name])
    kind = "function" if excess[worst] > 1 else "bits"
    return pair.change(kind, f"{where}: {worst}", "", how_different(*comparable[worst]), pair.line(where))


def _excess(a: np.ndarray, b: np.ndarray) -> float:
    """How many times the difference is what rounding explains."""
    if (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return np.inf
    return relative_difference(a, b) / bound_of(a.dtype)


def _draws(pair: Pair) -> Iterator[Change]:
    """One change for the draws of a model that changed in one way."""
    for model, was, now in _alike(pair.old.draws, pair.new.draws):
        both = {path: pair.arrays(array, now[path]) for path, array in was.items() if now.get(path, array) != array}
        known = {path: (a, b) for path, (a, b) in both.items() if a is not None and b is not None}
        ways = {path: how_different(*two) for path, two in known.items()}
        alike = {path: _way(*two, ways[path]) for path, two in known.items()}
        for (kind, way), some in grouped(alike.items(), lambda item: item[1]).items():
            paths = [path for path, _ in some]
            new = ways[paths[0]] if way == OTHERS else way
            yield pair.change(kind, f"{model}: {len(paths)} of {len(was)} draws, the first {paths[0]}", "", new)


#: Draws that are not one another scaled, in another order or rounded.
OTHERS = "other numbers"


def _way(a: np.ndarray, b: np.ndarray, how: str) -> tuple[str, str]:
    """The kind of a change of draws, and in which way they differ."""
    if _is_rounding(a, b):
        return "bits", OTHERS
    return "draws", how if how.endswith(("large", "order")) else OTHERS


def _is_rounding(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two draws are one that was rounded in another way, as an orthogonal matrix may be."""
    if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return False
    return relative_difference(a, b) <= bound_of(a.dtype)


def _tree(pair: Pair) -> Iterator[Change]:
    before, after = pair.old.tree, pair.new.tree
    if not before or not after:
        return
    gone, added = ([path for path in a if path not in b] for a, b in ((before, after), (after, before)))
    if gone or added:
        yield pair.change("tree", "leaves", ", ".join(gone) or "none", ", ".join(added) or "none")
    elif list(before) != list(after):
        yield pair.change("tree", "order of the leaves", ", ".join(before), ", ".join(after))
    for path, was, now in _alike(before, after):
        yield pair.change("tree", f"leaf {path}", was, now)


def _files(pair: Pair) -> Iterator[Change]:
    """The names in files of parameters. A file that is not written any more is a problem."""
    for file, was in pair.old.files.items():
        before, after = (
            [f"{name} {shape}" for name, shape in some.items()] for some in (was, pair.new.files.get(file, was))
        )
        if before != after:
            lost, new = ([name for name in a if name not in b] for a, b in ((before, after), (after, before)))
            same = "none" if lost or new else "another order"
            yield pair.change("checkpoints", file, ", ".join(lost) or same, ", ".join(new) or same)


def _programs(pair: Pair) -> Iterator[Change]:
    for where, was, now in _alike(pair.old.programs, pair.new.programs):
        for fact, kind in ((MEMORY, "memory"), (KEPT, "kept")):
            a, b = was.get(fact), now.get(fact)
            if isinstance(a, int) and isinstance(b, int) and abs(b - a) > MEMORY_SHARE * max(a, 1):
                yield pair.change(kind if b > a else "better", f"{where}: {fact}", f"{a} B", f"{b} B")
        other = [name for name, _, _ in _alike(was, now) if name not in (MEMORY, KEPT, PRINT)]
        old, new = (", ".join(f"{name} {some[name]}" for name in other) for some in (was, now))
        if other or was.get(PRINT) != now.get(PRINT):
            yield pair.change("program", where, old or "", new or "the same counts of operations")


def _calls(pair: Pair) -> Iterator[Change]:
    """One change for the calls that cost more in one way. Counts of Python compare within one version of it."""
    found = []
    for where, was, now in _alike(pair.old.calls, pair.new.calls):
        for better, kind in ((False, "calls"), (True, "better")):
            a, b = (now, was) if better else (was, now)
            other = [name for name, x, y in _alike(a, b) if _dearer(name, x, y) and _is_compared(pair, name)]
            if other:
                old, new = (", ".join(f"{some[name]} {name}" for name in other) for some in (was, now))
                found.append((pair.change(kind, where, old, new), (kind, tuple(other))))
    for some in grouped(found, lambda entry: entry[1]).values():
        first = some[0][0]
        more = _more(some)
        yield pair.change(first.kind, first.what + more, first.old, first.new)


def _is_compared(pair: Pair, name: str) -> bool:
    """Whether a count says something: those of Python depend on its version, and all but two on the parameters."""
    alike = same_python(pair.was[0], pair.now[0]) and pair.old.tree.keys() == pair.new.tree.keys()
    return alike or name in (TRACES, WAITS)


def _dearer(name: str, was: int, now: int) -> bool:
    """Whether a count grew by so much that a user may notice."""
    return now > was if name in (TRACES, WAITS, "leaves") else now > was * (1 + CALLS_SHARE)


def _signatures(pair: Pair) -> Iterator[Change]:
    """What is gone of the arguments of something, has another default or must be passed; and others that are new."""
    for name, was, now in _alike(pair.old.signatures, pair.new.signatures):
        other = [argument for argument in was if now.get(argument) != was[argument]]
        new = [argument for argument in now if argument not in was]
        needed = [argument for argument in new if not now[argument] and not argument.startswith("*")]
        if other or needed:
            sides = (_said(was, other), _said(now, [*(a for a in other if a in now), *needed]))
            yield pair.change("arguments", name, sides[0] or "none", sides[1] or "gone")
        elif new:
            yield pair.change("better", name, "", f"also takes {_said(now, new)}")


def _said(arguments: dict[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name}={arguments[name]}" if arguments[name] else name for name in names)


def _warnings(pair: Pair) -> Iterator[Change]:
    for where, texts in pair.new.warnings.items():
        for text in texts:
            if text not in pair.old.warnings.get(where, ()):
                yield pair.change("warnings", where, "", text)


#: By the fields of `Subject`. What was written into a file is compared where it is read: `reading`.
COMPARED: dict[str, Callable[[Pair], Iterable[Change]]] = {
    "missing": _missing,
    "problems": _problems,
    "styles": _styles,
    "values": _values,
    "draws": _draws,
    "tree": _tree,
    "files": _files,
    "signatures": _signatures,
    "programs": _programs,
    "calls": _calls,
    "warnings": _warnings,
}
