"""The changes between two snapshots, by their meaning to a user."""

from collections.abc import Iterator
from typing import Any

from ...common.gru.kernels import STOCK
from ..timing.machine import machine_differences
from .compared import COMPARED, Pair, Read, same_python
from .kinds import FAILING, KINDS, Change, by_kind
from .record import Snapshot

__all__ = ["FAILING", "KINDS", "Change", "by_kind", "changes", "reservations"]


def changes(old: Read, new: Read) -> list[Change]:
    """Every change, causes first. What only one of the two looked at is no change."""
    found: list[Change] = list(_equality(old[0], new[0]))
    now = {subject.name: subject for subject in new[0].subjects}
    for was in old[0].subjects:
        if was.name in now:
            for compared in COMPARED.values():
                found += compared(Pair(was, now[was.name], old, new))
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
