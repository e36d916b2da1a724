"""What changed between two snapshots, and what a snapshot holds: tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..reporting.numbers import count
from ..reporting.sections import Prose, Section, Words
from .changes import KINDS, Change, by_kind
from .matrix import Matrix, Row
from .record import Snapshot
from .versions import changed

#: Rows of one kind for each subject; more are counted.
MOST_ROWS = 3
#: The longest text of a cell.
LONGEST = 160


def change_tables(found: Sequence[Change], fail_on: Iterable[str]) -> list[Section]:
    """A table for each kind of change, the worst first; as details, every change."""
    fail_on = set(fail_on)
    sections = []
    for kind, some in by_kind(found).items():
        status = "FAILED" if kind in fail_on else "no failure"
        title = f"{kind}: {KINDS[kind]} ({count(len(some), 'change')}, {status})"
        columns = (Words("port or part"), Prose("what"), Prose("old"), Prose("new"))
        shown, left_out = _first_of_each(some)
        notes = (f"{left_out} more; --details lists them.",) if left_out else ()
        sections.append(Section(title, columns, [_row(change) for change in shown], notes))
        if left_out:
            sections.append(Section(f"{title}, each", columns, [_row(change) for change in some], detail=True))
    return sections


def _first_of_each(changes: Sequence[Change]) -> tuple[list[Change], int]:
    shown: dict[str, list[Change]] = {}
    for change in changes:
        shown.setdefault(change.subject, []).append(change)
    first = [change for some in shown.values() for change in some[:MOST_ROWS]]
    return first, len(changes) - len(first)


def _row(change: Change) -> tuple[str, ...]:
    return change.subject, *(_short(text) for text in (change.what, change.old or "none", change.new or "none"))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def snapshot_table(snapshot: Snapshot) -> Section:
    """How much a snapshot holds of each port and part."""
    rows = [
        (
            subject.name,
            str(len(subject.values)),
            str(len(subject.draws)),
            str(len(subject.tree)),
            str(len(subject.checkpoints)),
            str(len(subject.programs)),
            str(len(subject.calls)),
            str(len(subject.warnings)),
            subject.missing or str(len(subject.problems)),
        )
        for subject in snapshot.subjects
    ]
    columns = ("port or part", "values", "draws", "leaves", "files", "programs", "calls", "warnings", Prose("problems"))
    return Section("What the snapshot holds", columns, rows)


def matrix_tables(matrix: Matrix) -> list[Section]:
    """A row for each set: versions, whether each port works and is equal, and what changed since the row before."""
    rows, details, notes, before = [], [], [], None
    for row in matrix.rows:
        if row.reason:
            rows.append((row.name, "", "", "", "no snapshot"))
            notes.append(f"No snapshot of {row.name}: {row.reason}")
            continue
        new = changed(before.versions, row.versions) if before else [f"{n} {v}" for n, v in row.versions.items()]
        moved = _moved(row) if before else "the first"
        rows.append((row.name, ", ".join(new) or "nothing new", _ports(row, "works"), _ports(row, "equal"), moved))
        details.append(_details(row))
        if row.untimed:
            notes.append(f"No times of {row.name}: {row.untimed}")
        before = row
    columns = (Prose("version set"), Prose("versions, then new ones"), Prose("works"), Prose("equal"), Prose("changed"))
    note = (
        "Works: in full, or what fails in some way. Equal: each check of the port passed, in float64 and in coarser "
        "dtypes; in part: some ask for what these versions do not offer. Changed: since the row before, by kind."
    )
    return [Section("Version sets", columns, rows, (note, *notes)), *subject_tables(matrix), *details]


def _ports(row: Row, fact: str) -> str:
    """All ports alike, or those that are not as they should be."""
    said = {name: facts[fact] for name, facts in row.facts.items() if facts[fact]}
    part = [name for name, text in said.items() if text.endswith("not offered") and "failed" not in text]
    bad = [name for name, text in said.items() if text != "yes" and name not in part]
    if not said:
        return "not asked"
    found = [f"not {', '.join(bad)}"] * bool(bad) + [f"in part {', '.join(part)}"] * bool(part)
    return "; ".join(found) or "all"


def _moved(row: Row) -> str:
    return _said(sum((Counter(counts) for counts in row.counts.values()), Counter()))


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts.get(kind)) or "nothing"


#: Of a table that shows each set: what was counted, and what was timed.
_COUNTED = ("version set", Prose("works"), Words("equal"), Prose("changed"), "functions / lines")
_TIMED = ("time step", "cost")


def subject_tables(matrix: Matrix) -> list[Section]:
    """A table for each port, kernel and part: by set, whether it works, what changed, and what a call costs."""
    done = [row for row in matrix.rows if not row.reason]
    names = list(dict.fromkeys(name for row in done for name in row.facts))
    timed = any("step_time_us" in facts for row in done for facts in row.facts.values())
    note = "Functions / lines: of Python, in one train step as documented."
    if timed:
        note += " Time step: of the smallest model, as documented. Cost: that time over plain JAX's of the same set."
    return [
        Section(
            name,
            _COUNTED + (_TIMED if timed else ()),
            [_set_of(row, name, first=row is done[0]) + (_times_of(row, name) if timed else ()) for row in done],
            (note,),
            detail=True,
        )
        for name in names
    ]


def _set_of(row: Row, name: str, *, first: bool) -> tuple[str, ...]:
    facts = row.facts.get(name)
    if facts is None:
        return row.name, "not looked at", "", "", ""
    changed_now = "the first" if first else _said(row.counts.get(name, {}))
    cost = "-" if facts["functions"] is None else f"{facts['functions']} / {facts['lines']}"
    return row.name, facts["works"], facts["equal"] or "not asked", changed_now, cost


def _times_of(row: Row, name: str) -> tuple[str, ...]:
    time_us, plain_us = (row.facts.get(subject, {}).get("step_time_us") for subject in (name, "pure"))
    return (
        "-" if time_us is None else f"{time_us:.1f} µs",
        "-" if time_us is None or plain_us is None else f"{time_us / plain_us:.2f}",
    )


def _details(row: Row) -> Section:
    moved = [(m.kind, m.subject, _short(m.what), _short(m.old or "none"), _short(m.new or "none")) for m in row.moved]
    columns = (Words("kind"), Words("port or part"), Prose("what"), Prose("old"), Prose("new"))
    return Section(f"Changed with {row.name}", columns, moved, detail=True)
