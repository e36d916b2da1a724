"""The changes between two snapshots, by their meaning to a user.

Adding a kind is adding a row to `KINDS`, and a function to `_COMPARED`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct

from ...common.gru.kernels import STOCK
from ..results.grouping import grouped
from ..timing.machine import machine_differences
from .distance import bound_of, is_floating, relative_difference, ulps
from .folder import Arrays
from .record import Calls, Program, Snapshot, Subject, Values

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
            for compared in _COMPARED:
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

    def change(self, kind: str, what: object, old: object, new: object) -> Change:
        return Change(kind, self.new.name, str(what), str(old), str(new))


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


def _works(pair: _Pair) -> Iterator[Change]:
    if bool(pair.old.missing) != bool(pair.new.missing):
        kind = "better" if pair.old.missing else "broken"
        yield pair.change(kind, "import", pair.old.missing or "works", pair.new.missing or "works")
    before, after = ({(p.fact, p.where): p for p in s.problems} for s in (pair.old, pair.new))
    for (fact, where), problem in after.items():
        if (fact, where) not in before:
            said = f"{problem.error} in {problem.place}: {problem.message}"
            yield pair.change("broken", f"{fact} {where}".strip(), "works", said)
    for (fact, where), problem in before.items():
        if (fact, where) not in after and not pair.new.missing:
            yield pair.change("better", f"{fact} {where}".strip(), f"{problem.error}: {problem.message}", "works")
    for name in pair.old.styles if not pair.new.missing else ():
        was, now = pair.old.styles[name], pair.new.styles.get(name, "is gone")
        if bool(was) != bool(now):
            yield pair.change("broken" if now else "better", f"style {name}", was or "works", now or "works")


def _values(pair: _Pair) -> Iterator[Change]:
    """The first array that changed, for each way to compute, and the one that rounding explains least."""
    new = {values.where: values for values in pair.new.values}
    for was in pair.old.values:
        now = new.get(was.where)
        if now is None:
            continue
        if was.arrays.keys() != now.arrays.keys():
            yield pair.change("function", f"{was.where}: results", ", ".join(was.arrays), ", ".join(now.arrays))
        differing = [name for name, array in was.arrays.items() if now.arrays.get(name, array) != array]
        if differing:
            yield _moved(pair, was, now, differing)


def _moved(pair: _Pair, was: Values, now: Values, differing: list[str]) -> Change:
    pairs = {name: (pair.was[1].get(was.arrays[name]), pair.now[1].get(now.arrays[name])) for name in differing}
    first = differing[0]
    comparable = {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}
    shaped = next((name for name, (a, b) in comparable.items() if (a.shape, a.dtype) != (b.shape, b.dtype)), None)
    if shaped is not None:
        a, b = comparable[shaped]
        return pair.change("function", f"{was.where}: {shaped}", f"{a.dtype}{a.shape}", f"{b.dtype}{b.shape}")
    counted = next((name for name, (a, _) in comparable.items() if not is_floating(a)), None)
    if counted is not None:
        return pair.change("function", f"{was.where}: {counted}", *map(_numbers, comparable[counted]))
    errors = {name: relative_difference(a, b) for name, (a, b) in comparable.items()}
    bounds = {name: bound_of(a.dtype) for name, (a, _) in comparable.items()}
    worst = max(errors, key=lambda name: errors[name] / bounds[name], default=first)
    beyond = bool(errors) and errors[worst] > bounds[worst]
    said = f"first {first}, by {ulps(*comparable[first]):.0f} ulp" if first in comparable else f"first {first}"
    said += f"; worst {worst}, by {errors[worst]:.1e} of it" if errors else ""
    return pair.change("function" if beyond else "bits", was.where, "the same bits", said)


def _draws(pair: _Pair) -> Iterator[Change]:
    before, after = ({(d.model, d.key, d.path): d.array for d in s.draws} for s in (pair.old, pair.new))
    other = [place for place, array in before.items() if after.get(place, array) != array]
    for model in dict.fromkeys(model for model, _, _ in other):
        places = [place for place in other if place[0] == model]
        _, key, path = places[0]
        a, b = (read[1].get(some[places[0]]) for read, some in ((pair.was, before), (pair.now, after)))
        what = f"{model}: {len(places)} of {sum(p[0] == model for p in before)} draws"
        rounded = all(_is_rounding(pair.was[1].get(before[p]), pair.now[1].get(after[p])) for p in places)
        yield pair.change(
            "bits" if rounded else "draws", f"{what}, the first {path} of key {key}", _numbers(a), _numbers(b)
        )


def _is_rounding(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two draws are one that was rounded in another way, as an orthogonal matrix may be."""
    if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return False
    return relative_difference(a, b) <= bound_of(a.dtype)


def _numbers(array: np.ndarray | None) -> str:
    return (
        "?"
        if array is None
        else ", ".join(f"{number:.4g}" for number in np.ravel(array)[:3]) + (", ..." if np.size(array) > 3 else "")
    )


def _tree(pair: _Pair) -> Iterator[Change]:
    if not pair.old.tree or not pair.new.tree:
        return
    before, after = ({leaf.path: leaf for leaf in s.tree} for s in (pair.old, pair.new))
    gone, added = ([path for path in a if path not in b] for a, b in ((before, after), (after, before)))
    if gone or added:
        yield pair.change("tree", "leaves", ", ".join(gone) or "none", ", ".join(added) or "none")
    for path in (path for path in before if path in after and before[path] != after[path]):
        was, now = before[path], after[path]
        yield pair.change("tree", f"leaf {path}", f"{was.dtype}{was.shape}", f"{now.dtype}{now.shape}")
    if not gone and not added and list(before) != list(after):
        yield pair.change("tree", "order of the leaves", ", ".join(before), ", ".join(after))


def _checkpoints(pair: _Pair) -> Iterator[Change]:
    before, after = ({c.file: c for c in s.checkpoints} for s in (pair.old, pair.new))
    for file, was in before.items():
        now = after.get(file)
        if now is None or was.names == now.names:  # one that is not written any more is a problem
            continue
        lost, new = ([n for n in a if n not in b] for a, b in ((was.names, now.names), (now.names, was.names)))
        same = "none" if lost or new else "another order"
        yield pair.change("checkpoints", file, ", ".join(lost) or same, ", ".join(new) or same)


def _programs(pair: _Pair) -> Iterator[Change]:
    new = {program.where: program for program in pair.new.programs}
    for was in pair.old.programs:
        now = new.get(was.where)
        if now is None or was == now:
            continue
        a, b = was.xla.temp_bytes, now.xla.temp_bytes
        if a is not None and b is not None and abs(b - a) > MEMORY_SHARE * max(a, 1):
            yield pair.change("memory" if b > a else "better", f"{was.where}: temporary memory", f"{a} B", f"{b} B")
        before, after = _counted(was), _counted(now)
        other = [name for name in before if before[name] != after[name]]
        old, new_ = (", ".join(f"{name} {some[name]}" for name in other) for some in (before, after))
        if other or was.xla.fingerprint != now.xla.fingerprint:
            yield pair.change("program", was.where, old or was.xla.fingerprint, new_ or now.xla.fingerprint)


def _counted(program: Program) -> dict[str, int | str | None]:
    xla = program.xla
    return {
        "dots": xla.dots,
        "fusions": xla.fusions,
        "loops": xla.whiles,
        "transposes": xla.transposes,
        "StableHLO operations": program.stablehlo_operations,
        "jaxpr equations": program.jaxpr_equations,
        "exchange": "; ".join(map(str, xla.collectives)) or "nothing",
    }


def _calls(pair: _Pair) -> Iterator[Change]:
    if not same_python(pair.was[0], pair.now[0]):
        return
    new = {calls.where: calls for calls in pair.new.calls}
    for was in pair.old.calls:
        now = new.get(was.where)
        if now is None or was == now:
            continue
        before, after = _costs(was), _costs(now)
        other = [name for name in before if before[name] != after[name]]
        dearer = any(after[name] > before[name] for name in other)
        old, new_ = (", ".join(f"{some[name]} {name}" for name in other) for some in (before, after))
        yield pair.change("calls" if dearer else "better", was.where, old, new_)


def _costs(calls: Calls) -> dict[str, int]:
    return {
        "traces in three calls": calls.traces,
        "leaves": calls.leaves,
        "functions": calls.functions,
        "builtins": calls.builtins,
        "lines": calls.lines,
    }


def _warnings(pair: _Pair) -> Iterator[Change]:
    known = set(pair.old.warnings)
    for warned in pair.new.warnings:
        if warned not in known:
            yield pair.change("warnings", f"at {warned.when}, {warned.place}", "", f"{warned.category}: {warned.text}")


_COMPARED: tuple[Callable[[_Pair], Iterable[Change]], ...] = (
    _works,
    _values,
    _draws,
    _tree,
    _checkpoints,
    _programs,
    _calls,
    _warnings,
)


def by_kind(found: Iterable[Change]) -> Mapping[str, list[Change]]:
    """Changes of each kind, the worst first."""
    of_kind = grouped(found, lambda change: change.kind)
    return {kind: of_kind[kind] for kind in sorted(of_kind, key=list(KINDS).index)}
