"""Sentences on which framework is the fastest, for each phase and call style."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ...common.errors import listed
from ..analysis.answer import COMPARED, Answer, AnswerRow
from ..results.grouping import grouped
from .naming import CALLED, name_of
from .numbers import from_to
from .shown import MAIN, SUBJECTS, shown_phases, sizes_of

#: The columns of a screen.
WIDTH = 80
#: What a loop of calls does, by the clock.
LOOPS = {"blocked": "each call waited for", "pipelined": "queued, none waited for"}
#: Where all times differ by less, as a ratio, a sentence says so.
NEAR = 1.05


@dataclass(frozen=True)
class _Slower:
    """A framework that is slower than the fastest, in some of their rows."""

    name: str
    times: str  # how many times as long it takes, as "1.15x" or "1.2-1.5x"
    where: str  # " at B=32"; "" in all rows


@dataclass(frozen=True)
class _Fastest:
    """The frameworks that are the fastest in the same rows, and what the others
    take.
    """

    text: str  # "NNX and Equinox tied at B=1"
    slower: tuple[_Slower, ...] = ()
    spread: str = ""  # "all within 3%", in place of the slower ones


def fastest_lines(
    answer: Answer, *, waited: bool = True, brief: bool = False
) -> list[str]:
    """Which framework is the fastest in each phase, by call style.

    One step is waited for, as by an agent, and training is not.

    Args:
        waited: also name the fastest if train steps are waited for, where one of the
            frameworks that are the fastest if they are not is slower then.
        brief: leave out the ratios of slower frameworks where they do not fit a line.
    """
    lines = []
    explain = True  # the first ratio says what it is
    for phase in shown_phases(answer):
        rows = [row for row in answer.rows if row.phase == phase]
        others = [row.other for row in rows if row.other]
        is_by_other_clock = len(others) == len(rows)
        situation = others if is_by_other_clock else rows

        styles = []
        for label in COMPARED:
            fastest = _fastest_of(situation, label)
            if not fastest:
                continue
            line = _line(label, fastest, explain=explain)
            if brief and len(line) > WIDTH:
                styles.append(_brief_line(label, fastest))
                continue
            styles.append(line)
            if any(group.slower for group in fastest):
                explain = False

        if styles:
            loop = f" ({LOOPS[situation[0].clock]})" if phase in MAIN else ""
            lines.append(f"{SUBJECTS[phase]}{loop}, fastest framework by style:")
            lines += styles
        if phase == "train_step" and is_by_other_clock and waited:
            turned = _turned_if_waited_for(others, rows)
            if turned:
                lines.append(f"If waited for, fastest: {', '.join(turned)}.")
    return lines


def _line(label: str, fastest: Sequence[_Fastest], *, explain: bool) -> str:
    """The fastest in a call style; `explain` says of the first ratio what it is."""
    texts = []
    for group in fastest:
        in_brackets = []
        if group.spread:
            in_brackets.append(group.spread)
        for slower in group.slower:
            times = slower.times
            if explain:
                times = f"takes {times} its time"
                explain = False
            in_brackets.append(f"{slower.name} {times}{slower.where}")
        text = group.text
        if in_brackets:
            text = f"{text} ({', '.join(in_brackets)})"
        texts.append(text)
    return f"  {CALLED[label]}: {', '.join(texts)}."


def _brief_line(label: str, fastest: Sequence[_Fastest]) -> str:
    texts = [group.text for group in fastest]
    return f"  {CALLED[label]}: {', '.join(texts)}."


def _fastest_of(rows: Sequence[AnswerRow], label: str) -> list[_Fastest]:
    """The fastest in one call style, those of rows alike together; none where
    unknown.
    """
    rows = [row for row in rows if len(row.cells.get(label, {})) > 1]
    if not all(row.fastest.get(label) for row in rows):
        return []
    frameworks = set()
    for row in rows:
        for cells in row.cells.values():
            frameworks |= cells.keys()

    by_ports = grouped(rows, lambda row: frozenset(row.fastest[label]))
    fastest = []
    for alike in by_ports.values():
        where = f" at {sizes_of(alike, rows)}" if len(by_ports) > 1 else ""
        is_whole = all(_compares_all(row, label, frameworks) for row in alike)
        fastest.append(_fastest_in(alike, label, where, is_whole=is_whole))
    return fastest


def _compares_all(row: AnswerRow, label: str, frameworks: set[str]) -> bool:
    cells = row.cells[label]
    return cells.keys() == frameworks and not any(map(row.apart, cells.values()))


def _fastest_in(
    rows: Sequence[AnswerRow], label: str, where: str, *, is_whole: bool
) -> _Fastest:
    """The fastest of rows in which they are the same frameworks."""
    slower = _slower_in(rows, label)
    if is_whole and not slower:
        return _Fastest(f"all tied{where}")

    fastest = rows[0].fastest[label]
    names = [name_of(port) for port in rows[0].cells[label] if port in fastest]
    tied = " tied" if len(names) > 1 else ""
    text = f"{listed(names)}{tied}{where}"
    spread = max(_spread(row, label) for row in rows)
    if is_whole and spread < NEAR:
        there = "there " if where else ""
        percent = ceil((spread - 1) * 100)
        return _Fastest(text, spread=f"{there}all within {percent}%")
    return _Fastest(text, slower=tuple(slower))


def _spread(row: AnswerRow, label: str) -> float:
    """The longest time of a row over the shortest."""
    times_s = [b.median_s for b in row.cells[label].values()]
    return max(times_s) / min(times_s)


def _slower_in(rows: Sequence[AnswerRow], label: str) -> list[_Slower]:
    """The frameworks that are slower than the fastest in any of the rows."""
    slower_rows: dict[str, list[AnswerRow]] = {}
    ratios: dict[str, list[float]] = {}
    for row in rows:
        for port, ratio in slower_ports(row, label).items():
            slower_rows.setdefault(port, []).append(row)
            ratios.setdefault(port, []).append(ratio)
    slower = []
    for port, in_rows in slower_rows.items():
        times = from_to(ratios[port], _ratio_text).replace(" to ", "-")
        where = ""
        if len(in_rows) < len(rows):
            where = f" at {sizes_of(in_rows, rows)}"
        slower.append(_Slower(name_of(port), f"{times}x", where))
    return slower


def _ratio_text(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}"


def slower_ports(row: AnswerRow, label: str) -> dict[str, float]:
    """By framework that is slower than one of the fastest, its time over theirs.

    It is the ratio of the times that tables show, with their digits: so readers find
    the same ratios.
    """
    fastest = row.fastest.get(label, ())
    slower = {}
    for (first, second), d in row.pairs.get(label, {}).items():
        slow, fast = (first, second) if d.comparison.ratio > 1 else (second, first)
        if d.is_real and fast in fastest:
            least_s = min(_shown_time(row, label, port) for port in fastest)
            slower[slow] = max(_shown_time(row, label, slow) / least_s, 1.0)
    return slower


def _shown_time(row: AnswerRow, label: str, port: str) -> float:
    return float(f"{row.cells[label][port].median_s:.3g}")


def _turned_if_waited_for(
    queued: Sequence[AnswerRow], waited: Sequence[AnswerRow]
) -> list[str]:
    """The fastest where calls are waited for, of rows where that is another framework.

    That is where one of the fastest of those that are queued is slower.
    """
    texts = []
    for label in COMPARED:
        turned = []
        for row, waited_row in zip(queued, waited, strict=True):
            slower = slower_ports(waited_row, label)
            fastest = row.fastest.get(label, ())
            if any(slower.get(port, 1.0) >= NEAR for port in fastest):
                turned.append(waited_row)
        by_ports = grouped(turned, lambda row, label=label: tuple(row.fastest[label]))
        for ports, alike in by_ports.items():
            tied = " tied" if len(ports) > 1 else ""
            where = f" at {sizes_of(alike, waited)}" if len(waited) > 1 else ""
            names = listed(map(name_of, ports))
            texts.append(f"{names}{tied} {CALLED[label]}{where}")
    return texts
