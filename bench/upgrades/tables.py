"""The changes between two snapshots in words, and in tables."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..reporting.console import Prose, Section, Words
from ..reporting.findings import Finding
from ..reporting.numbers import count
from ..results.grouping import grouped
from .record import KINDS, Change

#: The most lines about changes on a screen, which has twenty with what stands around them; the longest text of one
#: thing in them; and the most ports and parts that one names.
MOST_LINES, LONGEST, MOST_NAMES = 15, 160, 4
#: The most files that a line names of a package, and of one that has more of them.
MOST_FILES, OF_MANY = 5, 2


def change_lines(
    found: Sequence[Change], fail_on: Collection[str], *, other_code: bool = False
) -> list[str]:
    """The verdict, then a line for each cause, and one below it for the line of code where there is room for it.

    What several parts have in common is told once. Where there is too much, each kind is shown before a second change
    of one, and each port or part before a second of its own; the rest is counted where its kind is shown.
    """
    if not found:
        return [
            "Nothing that is checked changed." if other_code else "Nothing changed."
        ]
    failing = [change for change in found if change.kind in fail_on]
    counts = counts_of(Counter(change.kind for change in failing or found))
    of = f" of {len(found)}" if failing and len(failing) < len(found) else ""
    lines = [
        f"FAILED: {counts}{of}."
        if failing
        else f"Nothing that fails changed: {counts}.",
        "",
    ]
    kinds = list(KINDS)
    ordered = sorted(
        found, key=lambda c: (c.kind not in fail_on, kinds.index(c.kind), not c.line)
    )
    groups = list(grouped(ordered, lambda change: _sameness(change, fail_on)).values())
    seen: Counter[object] = Counter()
    ranks: list[tuple[int, int, int]] = []
    for number, (first, *_) in enumerate(groups):
        ranks.append(
            (min(seen[first.kind], 1), seen[first.kind, first.subject], number)
        )
        seen.update((first.kind, (first.kind, first.subject)))
    shown = [
        groups[number]
        for number in sorted(number for *_, number in sorted(ranks)[:MOST_LINES])
    ]
    left = Counter(group[0].kind for group in groups) - Counter(
        group[0].kind for group in shown
    )
    room = MOST_LINES - len(shown)
    for number, group in enumerate(shown):
        kind, place, said = group[0].kind, group[0].line, _line_of(group)
        has_own_line = room > 0 and place not in said
        if not has_own_line and place not in said:
            said += f", {place.partition(' (')[0]}"
        if left[kind] and kind not in {after[0].kind for after in shown[number + 1 :]}:
            said += f" (and {left[kind]} more like this: --details)"
        lines.append(said)
        if has_own_line:
            lines.append(f"    {'' if place.startswith('before') else 'at '}{place}")
            room -= 1
    return lines


def _sameness(change: Change, fail_on: Collection[str]) -> tuple[str, ...]:
    """What the changes have in common that are told as one: the kind where it does not fail, else the line or words."""
    if change.kind not in fail_on:
        return (change.kind,)
    return (
        (change.kind, change.line.partition(" (")[0])
        if change.line
        else (change.kind, change.old, change.new)
    )


def _line_of(alike: Sequence[Change]) -> str:
    names = dict.fromkeys(change.subject for change in alike)
    ports = [
        name for name in names if name.partition(":")[0] not in names or ":" not in name
    ]
    subjects = ", ".join(ports[:MOST_NAMES]) + (
        f" and {len(ports) - MOST_NAMES} more" if ports[MOST_NAMES:] else ""
    )
    more = f" ({len(alike)} such changes)" if len(alike) > len(names) else ""
    return f"{alike[0].kind}: {subjects}: {_said_of(alike[0])}{more}"


def finding_of(change: Change, *, of: str = "", failed: bool = False) -> Finding:
    """A change for machines, of a version set."""
    return Finding(
        change.kind, f"{of}{change.subject}", _said_of(change), failed, change.line
    )


def _said_of(change: Change) -> str:
    """A change in words, without its kind and subject."""
    was = f", was {_short(change.old)}" if change.old else ""
    return f"{_short(change.what)}: {_short(change.new or 'none')}{was}"


def files_line(places: Mapping[str, Sequence[str]]) -> list[str]:
    """A line on the files of each package, if there are any, that have other code and that no change names."""
    said = []
    for package, some in places.items():
        shown = (
            some
            if len(some) <= MOST_FILES
            else [*some[:OF_MANY], f"and {len(some) - OF_MANY} more"]
        )
        said.append(f"{count(len(some), 'file')} of {package} ({', '.join(shown)})")
    return [f"Other code that no change leads to: {'; '.join(said)}."] * bool(said)


def files_table(places: Mapping[str, Sequence[str]]) -> list[Section]:
    """As details, all of these files, each with the first line that differs."""
    rows = [(package, place) for package, some in places.items() for place in some]
    columns = (Words("package"), Prose("first line that differs"))
    return [
        Section("Other code that no change leads to", columns, rows, detail=True)
    ] * bool(rows)


def change_table(title: str, found: Iterable[Change]) -> Section:
    """As details, every change with what it was and is."""
    columns = (
        Words("kind"),
        Words("port or part"),
        Prose("what"),
        Prose("old"),
        Prose("new"),
        Prose("line"),
    )
    rows = [
        (
            c.kind,
            c.subject,
            *map(_short, (c.what, c.old or "none", c.new or "none")),
            c.line or "-",
        )
        for c in found
    ]
    return Section(title, columns, rows, detail=True)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def counts_of(counts: Mapping[str, int]) -> str:
    """How many there are of each kind, as "function 2, bits 1"."""
    return (
        ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts.get(kind))
        or "nothing"
    )
