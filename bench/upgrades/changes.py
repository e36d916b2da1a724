"""The changes between two snapshots, by their meaning to a user.

Adding a fact is adding a field to `Subject`, a function that collects it to `trigru.bench.upgrades.facts.FACTS`, and
one that compares it to `COMPARED`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from msgspec import Struct

from ...common.gru.kernels import STOCK
from ..results.grouping import grouped
from ..timing.machine import machine_differences
from .distance import bound_of, is_floating, relative_difference, ulps
from .folder import Arrays
from .record import MEMORY, PRINT, ArrayNames, Snapshot, Subject

#: What a change can be, the worst first, and what it means.
KINDS = {
    "broken": "no longer works, or is no longer equal to the oracle",
    "function": "computes something else, beyond rounding",
    "draws": "draws other parameters from the same key",
    "tree": "has other leaves",
    "checkpoints": "writes other files, or no longer reads old ones",
    "slower": "takes longer, by the clock",
    "memory": "its program needs more memory",
    "calls": "runs more Python in a call",
    "warnings": "warns anew",
    "bits": "rounds in another way",
    "program": "is another program",
    "better": "works now, or costs less",
}
#: Those that fail unless somebody says otherwise.
FAILING = ("broken", "function", "draws", "tree", "checkpoints", "slower")
#: A program's memory has grown if it did by more than this share.
MEMORY_SHARE = 0.02


Read = tuple[Snapshot, Arrays]
_T = TypeVar("_T")


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was.

    Args:
        kind: of KINDS.
        subject: a name of `Subject`.
        what: the fact, in words.
        old, new: what it was, and is.
    """

    kind: str
    subject: str
    what: str
    old: str
    new: str


def changes(old: Read, new: Read) -> list[Change]:
    """Every change, those of the worst kind first. What only one of the two looked at is no change."""
    found: list[Change] = list(_equality(old[0], new[0]))
    now = {subject.name: subject for subject in new[0].subjects}
    for was in old[0].subjects:
        if was.name in now:
            for compared in COMPARED.values():
                found += compared(_Pair(was, now[was.name], old, new))
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


@dataclass(frozen=True)
class _Pair:
    """One subject in two snapshots."""

    old: Subject
    new: Subject
    was: Read
    now: Read

    def change(self, kind: str, what: str, old: str, new: str) -> Change:
        return Change(kind, self.new.name, what, old, new)

    def arrays(self, was: str, now: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The arrays of these names, the first in the older snapshot; None where one is not kept."""
        return self.was[1].get(was), self.now[1].get(now)


def _equality(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Checks that passed and fail now, and the reverse."""
    if old.equality is None or new.equality is None:
        return

    def by_check(snapshot: Snapshot) -> dict[tuple[str, str], list[Any]]:
        found: dict[tuple[str, str], list[Any]] = {}
        for m in snapshot.equality or ():
            # a row that fails is told under the names of its levels, and not under that of its check
            what = (m.check, m.style, m.quantity, m.dtype) if m.levels is None else ("contract",)
            port = m.port + f":{m.kernel}" * (m.kernel != STOCK)
            found.setdefault((port, " ".join(part for part in what if part)), []).append(m)
        return found

    was, now = by_check(old), by_check(new)
    for port, check in sorted(was.keys() & now.keys()):
        before, after = ([m for m in some[port, check] if m.offered and not m.passed] for some in (was, now))
        if after and not before:
            yield Change("broken", port, f"check {check}", "equal", str(after[0]))
        elif before and not after:
            yield Change("better", port, f"check {check}", str(before[0]), "equal")
    before, after = ({(part, what): status for part, what, status in s.departures} for s in (old, new))
    for part, what in sorted(before.keys() | after.keys()):
        was_said, is_said = (some.get((part, what), "not on record") for some in (before, after))
        if was_said != is_said:
            yield Change("function", part, f"departure: {what}", was_said, is_said)


def _alike(old: dict[str, _T], new: dict[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    """What both looked at and is not as it was: where, what it was, and what it is."""
    return ((where, was, new[where]) for where, was in old.items() if where in new and new[where] != was)


def _missing(pair: _Pair) -> Iterator[Change]:
    if bool(pair.old.missing) != bool(pair.new.missing):
        kind = "better" if pair.old.missing else "broken"
        yield pair.change(kind, "import", pair.old.missing or "works", pair.new.missing or "works")


def _problems(pair: _Pair) -> Iterator[Change]:
    before, after = pair.old.problems, pair.new.problems
    for what, said in after.items():
        if what not in before:
            yield pair.change("broken", what, "works", said)
    for what, said in before.items():
        if what not in after and not pair.new.missing:
            yield pair.change("better", what, said, "works")


def _styles(pair: _Pair) -> Iterator[Change]:
    for name, was in pair.old.styles.items() if not pair.new.missing else ():
        now = pair.new.styles.get(name, "is gone")
        if bool(was) != bool(now):
            yield pair.change("broken" if now else "better", f"style {name}", was or "works", now or "works")


def _values(pair: _Pair) -> Iterator[Change]:
    """The first array that changed, for each way to compute, and the one that rounding explains least."""
    for where, was, now in _alike(pair.old.values, pair.new.values):
        if was.keys() != now.keys():
            yield pair.change("function", f"{where}: results", ", ".join(was), ", ".join(now))
        differing = [name for name, _, _ in _alike(was, now)]
        if differing:
            yield _moved(pair, where, was, now, differing)


def _moved(pair: _Pair, where: str, was: ArrayNames, now: ArrayNames, differing: list[str]) -> Change:
    pairs = {name: pair.arrays(was[name], now[name]) for name in differing}
    first = differing[0]
    comparable = {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}
    shaped = next((name for name, (a, b) in comparable.items() if (a.shape, a.dtype) != (b.shape, b.dtype)), None)
    if shaped is not None:
        a, b = comparable[shaped]
        return pair.change("function", f"{where}: {shaped}", f"{a.dtype}{a.shape}", f"{b.dtype}{b.shape}")
    counted = next((name for name, (a, _) in comparable.items() if not is_floating(a)), None)
    if counted is not None:
        return pair.change("function", f"{where}: {counted}", *map(_numbers, comparable[counted]))
    errors = {name: relative_difference(a, b) for name, (a, b) in comparable.items()}
    bounds = {name: bound_of(a.dtype) for name, (a, _) in comparable.items()}
    worst = max(errors, key=lambda name: errors[name] / bounds[name], default=first)
    beyond = bool(errors) and errors[worst] > bounds[worst]
    said = f"first {first}, by {ulps(*comparable[first]):.0f} ulp" if first in comparable else f"first {first}"
    said += f"; worst {worst}, by {errors[worst]:.1e} of it" if errors else ""
    return pair.change("function" if beyond else "bits", where, "the same bits", said)


def _draws(pair: _Pair) -> Iterator[Change]:
    for model, was, now in _alike(pair.old.draws, pair.new.draws):
        other = {path: pair.arrays(array, now.get(path, "")) for path, array in was.items() if now.get(path) != array}
        if not other:
            continue
        first = next(iter(other))
        kind = "bits" if all(_is_rounding(*two) for two in other.values()) else "draws"
        what = f"{model}: {len(other)} of {len(was)} draws, the first {first}"
        yield pair.change(kind, what, *map(_numbers, other[first]))


def _is_rounding(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two draws are one that was rounded in another way, as an orthogonal matrix may be."""
    if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return False
    return relative_difference(a, b) <= bound_of(a.dtype)


def _numbers(array: np.ndarray | None) -> str:
    if array is None:
        return "?"
    return ", ".join(f"{number:.4g}" for number in np.ravel(array)[:3]) + (", ..." if np.size(array) > 3 else "")


def _tree(pair: _Pair) -> Iterator[Change]:
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


def _files(pair: _Pair) -> Iterator[Change]:
    """The names in files of parameters. A file that is not written any more is a problem."""
    for file, was in pair.old.files.items():
        before, after = (
            [f"{name} {shape}" for name, shape in some.items()] for some in (was, pair.new.files.get(file, was))
        )
        if before != after:
            lost, new = ([name for name in a if name not in b] for a, b in ((before, after), (after, before)))
            same = "none" if lost or new else "another order"
            yield pair.change("checkpoints", file, ", ".join(lost) or same, ", ".join(new) or same)


def _programs(pair: _Pair) -> Iterator[Change]:
    for where, was, now in _alike(pair.old.programs, pair.new.programs):
        a, b = was.get(MEMORY), now.get(MEMORY)
        if isinstance(a, int) and isinstance(b, int) and abs(b - a) > MEMORY_SHARE * max(a, 1):
            yield pair.change("memory" if b > a else "better", f"{where}: temporary memory", f"{a} B", f"{b} B")
        other = [name for name, _, _ in _alike(was, now) if name not in (MEMORY, PRINT)]
        old, new = (", ".join(f"{name} {some[name]}" for name in other) for some in (was, now))
        if other or was.get(PRINT) != now.get(PRINT):
            yield pair.change("program", where, old or str(was.get(PRINT)), new or str(now.get(PRINT)))


def _calls(pair: _Pair) -> Iterator[Change]:
    if not same_python(pair.was[0], pair.now[0]):
        return
    for where, was, now in _alike(pair.old.calls, pair.new.calls):
        other = list(_alike(was, now))
        old, new = (", ".join(f"{some[name]} {name}" for name, _, _ in other) for some in (was, now))
        yield pair.change("calls" if any(after > before for _, before, after in other) else "better", where, old, new)


def _warnings(pair: _Pair) -> Iterator[Change]:
    for where, texts in pair.new.warnings.items():
        for text in texts:
            if text not in pair.old.warnings.get(where, ()):
                yield pair.change("warnings", where, "", text)


#: By the fields of `Subject`. What was written into a file is compared where it is read: `reading`.
COMPARED: dict[str, Callable[[_Pair], Iterable[Change]]] = {
    "missing": _missing,
    "problems": _problems,
    "styles": _styles,
    "values": _values,
    "draws": _draws,
    "tree": _tree,
    "files": _files,
    "programs": _programs,
    "calls": _calls,
    "warnings": _warnings,
}


def by_kind(found: Iterable[Change]) -> Mapping[str, list[Change]]:
    """Changes of each kind, the worst first."""
    of_kind = grouped(found, lambda change: change.kind)
    return {kind: of_kind[kind] for kind in sorted(of_kind, key=list(KINDS).index)}
