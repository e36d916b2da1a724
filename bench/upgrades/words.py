"""The changes between two snapshots in words, and in tables."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..reporting.console import Prose, Section, Words
from ..reporting.findings import Finding
from ..reporting.numbers import count
from ..results.grouping import grouped
from .record import KINDS, Change, Snapshot
from .subject_pairs import and_more
from .version_sets import SUBJECTS

#: The most lines about changes on a screen, which has twenty with what stands around.
MOST_LINES = 15
LONGEST = 160  # characters of the text of one thing in a line
MOST_NAMES = 4  # ports and parts that a line names
#: The most causes that the message of a test tells, and their order.
MOST_CAUSES = 3
ORDER_IN_TEST = ("broken", "function", "draws", *KINDS)
#: What stands before a line of code that is no longer run.
BEFORE = "before: "
#: The most files that a line names of a package, and of one that has more of them.
MOST_FILES, OF_MANY = 5, 2


def change_lines(
    changes: Sequence[Change], fail_on: Collection[str], *, other_code: bool = False
) -> list[str]:
    """The verdict, then a line for each cause, and a line of code below it.

    What several parts have in common is told once. Where there is too much, each kind
    is shown before a second change of one, and each port or part before a second of its
    own; the rest is counted where its kind is shown.

    Args:
        changes: all changes, in any order.
        fail_on: the kinds that fail.
        other_code: whether code is another of which no change tells.
    """
    if not changes:
        if other_code:
            return ["Nothing that is checked changed."]
        return ["Nothing changed."]

    groups = _groups(changes, fail_on)
    shown = _shown(groups)
    left = Counter(group[0].kind for group in groups)
    left.subtract(group[0].kind for group in shown)
    room = MOST_LINES - len(shown)

    lines = [_verdict(changes, fail_on), ""]
    for number, group in enumerate(shown):
        kind, place = group[0].kind, group[0].line
        text = _group_in_words(group)
        is_told = place in text
        has_own_line = room > 0 and not is_told
        if not has_own_line and not is_told:
            text += f", {place.partition(' (')[0]}"
        is_last_of_kind = all(after[0].kind != kind for after in shown[number + 1 :])
        if left[kind] and is_last_of_kind:
            text += f" (and {left[kind]} more like this: --details)"
        lines.append(text)
        if has_own_line:
            at = "" if place.startswith("before") else "at "
            lines.append(f"    {at}{place}")
            room -= 1
    return lines


def failure_lines(changes: Sequence[Change], fail_on: Collection[str]) -> list[str]:
    """What changed for the user of one test: the first line is the message.

    What raises comes first, then results, then what follows from them.
    """
    failing = [change for change in changes if change.kind in fail_on]
    failing.sort(key=lambda change: ORDER_IN_TEST.index(change.kind))

    def cause(change: Change) -> tuple[str, str]:
        line = _line_now(change)
        return change.kind, line or f"{change.what} {change.line}"

    groups = list(grouped(failing, cause).values())
    lines: list[str] = []
    for group in groups[:MOST_CAUSES]:
        first = group[0]
        lines.append(f"{_in_words(first)}  [{first.kind}]")
        line = _line_now(first)
        if line:
            others = and_more(len(group), "change")
            lines.append(f"    at {line}{others}")
        elif first.line:
            lines.append(f"    no longer at {first.line.removeprefix(BEFORE)}")
    if len(groups) > MOST_CAUSES:
        left = Counter(group[0].kind for group in groups[MOST_CAUSES:])
        lines.append(f"and {counts_in_words(left)} more")
    return lines


def _line_now(change: Change) -> str:
    """The line of code that makes a change, where there still is one."""
    if change.line.startswith(BEFORE):
        return ""
    return change.line.partition(f"; {BEFORE}")[0]


def moved_versions(old: Snapshot, new: Snapshot) -> str:
    """The versions of both snapshots that differ; where none does, those of both."""
    before, after = old.machine.versions, new.machine.versions
    moved = [name for name in sorted(after) if before.get(name) != after[name]]
    moved = [name for name in moved if name != "trigru"] or moved
    if not moved:
        return f"The versions have not changed: {versions_in_words(new)}."
    then = ", ".join(f"{name} {before.get(name, 'none')}" for name in moved)
    now = ", ".join(f"{name} {after[name]}" for name in moved)
    return f"Recorded with {then}. Now: {now}."


def versions_in_words(snapshot: Snapshot) -> str:
    """The versions of Python and of the frameworks."""
    words: list[str] = []
    versions = snapshot.machine.versions
    for name in ("python", *SUBJECTS):
        if name in versions:
            words.append(f"{name} {versions[name]}")
    return ", ".join(words)


def counts_in_words(counts: Mapping[str, int]) -> str:
    """How many there are of each kind, as "function 2, bits 1"."""
    words = [f"{kind} {counts[kind]}" for kind in KINDS if counts.get(kind)]
    return ", ".join(words) or "nothing"


def finding_of(change: Change, *, before: str = "", failed: bool = False) -> Finding:
    """A change for machines, with some words before its subject."""
    subject = f"{before}{change.subject}"
    return Finding(change.kind, subject, _in_words(change), failed, change.line)


def change_table(title: str, changes: Iterable[Change]) -> Section:
    """As details, every change with what it was and is."""
    columns = (
        Words("kind"),
        Words("port or part"),
        Prose("what"),
        Prose("old"),
        Prose("new"),
        Prose("line"),
    )
    rows: list[tuple[str, ...]] = []
    for change in changes:
        what = _short(change.what)
        old, new = _short(change.old or "none"), _short(change.new or "none")
        line = change.line or "-"
        rows.append((change.kind, change.subject, what, old, new, line))
    return Section(title, columns, rows, detail=True)


def files_line(files_of: Mapping[str, Sequence[str]]) -> str:
    """A line on the files of each package that have other code; "" if there are
    none.
    """
    packages: list[str] = []
    for package, files in files_of.items():
        shown = list(files)
        if len(files) > MOST_FILES:
            shown = [*files[:OF_MANY], f"and {len(files) - OF_MANY} more"]
        packages.append(
            f"{count(len(files), 'file')} of {package} ({', '.join(shown)})"
        )
    if not packages:
        return ""
    return f"Other code that no change leads to: {'; '.join(packages)}."


def files_table(files_of: Mapping[str, Sequence[str]]) -> Section:
    """As details, all of these files."""
    rows: list[tuple[str, ...]] = []
    for package, files in files_of.items():
        for file in files:
            rows.append((package, file))
    title = "Other code that no change leads to"
    return Section(title, (Words("package"), Prose("file")), rows, detail=True)


def _verdict(changes: Sequence[Change], fail_on: Collection[str]) -> str:
    failing = [change for change in changes if change.kind in fail_on]
    counts = counts_in_words(Counter(change.kind for change in failing or changes))
    if not failing:
        return f"Nothing that fails changed: {counts}."
    if len(failing) < len(changes):
        return f"FAILED: {counts} of {len(changes)}."
    return f"FAILED: {counts}."


def _groups(changes: Sequence[Change], fail_on: Collection[str]) -> list[list[Change]]:
    """Changes that are told as one, first those that fail, by kind."""
    kinds = list(KINDS)

    def rank(change: Change) -> tuple[bool, int, bool]:
        fails = change.kind in fail_on
        return not fails, kinds.index(change.kind), not change.line

    def sameness(change: Change) -> tuple[str, ...]:
        if change.kind not in fail_on:
            return (change.kind,)
        if change.line:
            return (change.kind, change.line.partition(" (")[0])
        return (change.kind, change.old, change.new)

    ordered = sorted(changes, key=rank)
    return list(grouped(ordered, sameness).values())


def _shown(groups: Sequence[list[Change]]) -> list[list[Change]]:
    """The groups for which there are lines, in their order."""
    kinds: set[str] = set()
    of_kind_and_subject: Counter[tuple[str, str]] = Counter()
    ranks: list[tuple[bool, int, int]] = []
    for number, group in enumerate(groups):
        first = group[0]
        key = (first.kind, first.subject)
        ranks.append((first.kind in kinds, of_kind_and_subject[key], number))
        kinds.add(first.kind)
        of_kind_and_subject[key] += 1

    chosen = sorted(ranks)[:MOST_LINES]
    numbers = sorted(number for _, _, number in chosen)
    return [groups[number] for number in numbers]


def _group_in_words(group: Sequence[Change]) -> str:
    """What changes that are told as one have in common, with those that it is of."""
    names = list(dict.fromkeys(change.subject for change in group))
    shown: list[str] = []
    for name in names:
        port = name.partition(":")[0]
        is_kernel_of_shown = ":" in name and port in names
        if not is_kernel_of_shown:
            shown.append(name)
    subjects = ", ".join(shown[:MOST_NAMES])
    if len(shown) > MOST_NAMES:
        subjects += f" and {len(shown) - MOST_NAMES} more"

    text = f"{group[0].kind}: {subjects}: {_in_words(group[0])}"
    if len(group) > len(names):
        text += f" ({len(group)} such changes)"
    return text


def _in_words(change: Change) -> str:
    """A change in words, without its kind and subject."""
    text = f"{_short(change.what)}: {_short(change.new or 'none')}"
    if change.old:
        text += f", was {_short(change.old)}"
    return text


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}…"
