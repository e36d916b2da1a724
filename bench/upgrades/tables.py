"""Tables of the changes between two snapshots, and of a matrix, and its picture."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...common.errors import for_terminal
from ..reporting.console import Prose, Section, Words
from ..reporting.findings import Finding
from ..reporting.numbers import count
from ..results.grouping import grouped
from ..results.machine import version_differences
from .matrix import Matrix, MatrixRow
from .record import KINDS, Change

if TYPE_CHECKING:
    from ..reporting.plots import Picture

#: The most lines about changes on a screen, which has twenty with what stands around them; and the longest text of one
#: thing in them.
MOST_LINES, LONGEST = 15, 160
#: The most files that a line names of a package, and of one that has more of them.
MOST_FILES, OF_MANY = 5, 2
#: The most ports and parts that a line names.
MOST_NAMES = 4


def change_lines(found: Sequence[Change], fail_on: Collection[str], *, other_code: bool = False) -> list[str]:
    """The verdict, then a line for each cause, and one below it for the line of code where there is room for it.

    What several parts have in common is told once. Where there is too much, each kind is shown before a second change
    of one, and each port or part before a second of its own; the rest is counted where its kind is shown.
    """
    if not found:
        return ["Nothing that is checked changed." if other_code else "Nothing changed."]
    failing = [change for change in found if change.kind in fail_on]
    counts = _said(Counter(change.kind for change in failing or found))
    of = f" of {len(found)}" if failing and len(failing) < len(found) else ""
    lines = [f"FAILED: {counts}{of}." if failing else f"Nothing that fails changed: {counts}.", ""]
    kinds = list(KINDS)
    ordered = sorted(found, key=lambda c: (c.kind not in fail_on, kinds.index(c.kind), not c.line))
    groups = list(grouped(ordered, lambda change: _sameness(change, fail_on)).values())
    seen: Counter[object] = Counter()
    ranks: list[tuple[int, int, int]] = []
    for number, (first, *_) in enumerate(groups):
        ranks.append((min(seen[first.kind], 1), seen[first.kind, first.subject], number))
        seen.update((first.kind, (first.kind, first.subject)))
    shown = [groups[number] for number in sorted(number for *_, number in sorted(ranks)[:MOST_LINES])]
    left = Counter(group[0].kind for group in groups) - Counter(group[0].kind for group in shown)
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
    return (change.kind, change.line.partition(" (")[0]) if change.line else (change.kind, change.old, change.new)


def _line_of(alike: Sequence[Change]) -> str:
    names = dict.fromkeys(change.subject for change in alike)
    ports = [name for name in names if name.partition(":")[0] not in names or ":" not in name]
    subjects = ", ".join(ports[:MOST_NAMES]) + (f" and {len(ports) - MOST_NAMES} more" if ports[MOST_NAMES:] else "")
    more = f" ({len(alike)} such changes)" if len(alike) > len(names) else ""
    return f"{alike[0].kind}: {subjects}: {_said_of(alike[0])}{more}"


def finding_of(change: Change, *, of: str = "", failed: bool = False) -> Finding:
    """A change for machines, of a version set."""
    return Finding(change.kind, f"{of}{change.subject}", _said_of(change), failed, change.line)


def _said_of(change: Change) -> str:
    """A change in words, without its kind and subject."""
    was = f", was {_short(change.old)}" if change.old else ""
    return f"{_short(change.what)}: {_short(change.new or 'none')}{was}"


def files_line(places: Mapping[str, Sequence[str]]) -> list[str]:
    """A line on the files of each package, if there are any, that have other code and that no change names."""
    said = []
    for package, some in places.items():
        shown = some if len(some) <= MOST_FILES else [*some[:OF_MANY], f"and {len(some) - OF_MANY} more"]
        said.append(f"{count(len(some), 'file')} of {package} ({', '.join(shown)})")
    return [f"Other code that no change leads to: {'; '.join(said)}."] * bool(said)


def files_table(places: Mapping[str, Sequence[str]]) -> list[Section]:
    """As details, all of these files, each with the first line that differs."""
    rows = [(package, place) for package, some in places.items() for place in some]
    columns = (Words("package"), Prose("first line that differs"))
    return [Section("Other code that no change leads to", columns, rows, detail=True)] * bool(rows)


def change_table(title: str, found: Iterable[Change]) -> Section:
    """As details, every change with what it was and is."""
    columns = (Words("kind"), Words("port or part"), Prose("what"), Prose("old"), Prose("new"), Prose("line"))
    rows = [(c.kind, c.subject, *map(_short, (c.what, c.old or "none", c.new or "none")), c.line or "-") for c in found]
    return Section(title, columns, rows, detail=True)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def matrix_tables(matrix: Matrix) -> list[Section]:
    """A row for each set: versions, whether each port works and is equal, and what changed since the row before."""
    rows, details, notes, before = [], [], [], None
    for row in matrix.rows:
        if row.reason:
            rows.append((row.name, "", "", "", "no snapshot"))
            notes.append(f"No snapshot of {row.name}: {row.reason}")
            continue
        first = [f"{name} {version}" for name, version in row.versions.items()]
        new = version_differences(before.versions, row.versions) if before else first
        moved = _said(sum(map(Counter, row.counts.values()), Counter())) if before else "the first"
        rows.append((row.name, ", ".join(new) or "nothing new", _ports(row, "works"), _ports(row, "equal"), moved))
        details.append(change_table(f"Changed with {row.name}", row.moved))
        before = row
    columns = (Prose("version set"), Prose("versions, then new ones"), Prose("works"), Prose("equal"), Prose("changed"))
    note = (
        "Works: in full, or what fails in some way. Equal: each check of the port passed, in float64 and in coarser "
        "dtypes; in part: some ask for what these versions do not offer. Changed: since the row before, by kind."
    )
    return [Section("Version sets", columns, rows, (note, *notes)), *details]


def _ports(row: MatrixRow, fact: str) -> str:
    """All ports alike, or those that are not as they should be."""
    said = {name: facts[fact] for name, facts in row.facts.items() if facts[fact]}
    part = [name for name, text in said.items() if text.endswith("not offered") and "failed" not in text]
    bad = [name for name, text in said.items() if text != "yes" and name not in part]
    if not said:
        return "not asked"
    found = [f"not {', '.join(bad)}"] * bool(bad) + [f"in part {', '.join(part)}"] * bool(part)
    return "; ".join(found) or "all"


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts.get(kind)) or "nothing"


def matrix_picture(matrix: Matrix) -> "Picture | None":
    """The lines of Python that one train step of each port runs, over the version sets; None of fewer than two."""
    rows = [row for row in matrix.rows if not row.reason]
    lines: dict[str, list[tuple[int, int]]] = {}
    for at, row in enumerate(rows):
        for port, facts in row.facts.items():
            if ":" not in port and facts["lines"]:
                lines.setdefault(port, []).append((at, facts["lines"]))
    if len(rows) < 2 or not lines:
        return None
    from ..reporting.plots import Picture, colour_of, drawing, marker_of  # half a second

    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (port, known) in enumerate(lines.items()):
            colour, marker = colour_of(port, list(lines)), marker_of(number)
            axes.plot(*zip(*known, strict=True), label=for_terminal(port), color=colour, marker=marker)
        axes.set(title="Lines of Python in one train step, as documented", ylabel="lines", yscale="log")
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.grid(alpha=0.3)
        names = [(for_terminal(row.name), f", jax {row.versions.get('jax', '?')}" if row.day else "") for row in rows]
        labels = [f"{name}{jax}" if jax else name.replace(" ", "\n") for name, jax in names]
        axes.set_xticks(range(len(rows)), labels, rotation=45, ha="right", rotation_mode="anchor")
        figure.legend(loc="outside right upper", frameon=False)
    whole = {port: known for port, known in lines.items() if (known[0][0], known[-1][0]) == (0, len(rows) - 1)}
    ends = "; ".join(f"{for_terminal(name)} from {known[0][1]} to {known[-1][1]}" for name, known in whole.items())
    return Picture(figure, f"Lines of Python in one train step, over {len(rows)} version sets: {ends}.")
