"""Which frameworks are the fastest, in a sentence for each situation."""

import re
from collections.abc import Iterable, Iterator
from math import ceil

from ...common.errors import listed
from ..analysis.answer import WAYS, Answer, Row
from ..results.grouping import grouped
from .naming import CALLED, describe, name_of
from .numbers import from_to

#: What sentences call phases, in their order. Where one step and train steps were timed, no others have a sentence.
SUBJECTS = {"step": "One step", "train_step": "Training", "forward": "Forward pass", "gradient": "Gradient"}
MAIN = ("step", "train_step")
#: Frameworks whose times differ by less, as a ratio, are not ranked in a sentence.
NEAR = 1.05
#: The first framework in brackets that has a ratio.
RATIO = re.compile(r"[(](\w+) (?=[0-9])")
#: What a loop of calls does, by the clock.
WAITING = {"blocked": "waited", "pipelined": "queued"}


def fastest_lines(found: Answer) -> list[str]:
    """Which framework is the fastest, as documented and in functional style, in one step and in training.

    Steps are waited for, and train steps are not, where the run has both. Where others are the fastest if train steps
    are waited for, that is a sentence of its own.
    """
    lines = []
    for phase in shown_phases(found):
        rows = [row for row in found.rows if row.phase == phase]
        others = [row.other for row in rows if row.other]
        situation, waited = (others, rows) if len(others) == len(rows) else (rows, [])
        judged, by_other = _judged(situation), _judged(waited, brief=True)
        lines += _sentence(phase, situation, judged)
        if phase == "train_step" and any(judged.get(called, of)[0] != of[0] for called, of in by_other.items()):
            lines += _sentence(phase, waited, by_other)
    first = next((n for n, line in enumerate(lines) if RATIO.search(line)), 0)  # in which it is said what a ratio is
    return [RATIO.sub(r"(\1 takes ", line, count=1) if n == first else line for n, line in enumerate(lines)]


def shown_phases(found: Answer) -> list[str]:
    """The phases on the screen: where one step and train steps were timed, no others."""
    phases = [phase for phase in SUBJECTS if any(row.phase == phase for row in found.rows)]
    return [phase for phase in phases if phase in MAIN] if {*MAIN} <= {*phases} else phases


def _judged(rows: list[Row], *, brief: bool = False) -> dict[str, tuple[object, str]]:
    """By way, which frameworks are the fastest, in each row where they differ, and the text that says so.

    Args:
        brief: without the times of the others.
    """
    return {CALLED[way]: of_way for way in WAYS if (of_way := _fastest(rows, way, brief))}


def _sentence(phase: str, rows: list[Row], judged: dict[str, tuple[object, str]]) -> list[str]:
    """A sentence, or none."""
    subject = f"{SUBJECTS[phase]} ({WAITING[rows[0].clock]})" if phase in MAIN else SUBJECTS[phase]
    text = "; ".join(f"{called}, {text}" for called, (_, text) in judged.items())
    return [f"{subject}, fastest: {text}."] * bool(judged)


def _fastest(rows: list[Row], way: str, brief: bool) -> tuple[object, str] | None:
    """Of one way, what `_judged` returns; None where that cannot be judged."""
    rows = [row for row in rows if len(row.cells.get(way, {})) > 1]
    if not rows or not all(row.fastest.get(way) for row in rows):
        return None
    ratios = [ratio for row in rows for _, ratio in _slower(row, way, row.fastest[way])]
    if not ratios or max(ratios) < NEAR:
        return (), _none(ratios)
    first = {*rows[0].fastest[way]}.intersection(*(row.fastest[way] for row in rows))
    if first and any(True for row in rows for _ in _slower(row, way, first)):
        return first, _first_of(rows, way, first, brief)
    groups = grouped(rows, lambda row: frozenset(row.fastest[way]))
    texts = []
    for ports, of in groups.items():
        at, ratios = f" at {_sizes(of, rows)}", [ratio for row in of for _, ratio in _slower(row, way, ports)]
        is_near = not ratios or max(ratios) < NEAR
        texts.append(_none(ratios, at) if is_near else _first_of(of, way, ports, brief, at))
    return [*groups], ", ".join(texts)


def _none(ratios: list[float], where: str = "") -> str:
    """That no framework is the fastest."""
    why = f"all are within {ceil((max(ratios) - 1) * 100)}%" if ratios else "no difference was shown"
    return f"none{where} ({why})"


def _slower(row: Row, way: str, first: Iterable[str]) -> Iterator[tuple[str, float]]:
    """The frameworks that are slower than one of the fastest: the ratio of the shown times to the least of these."""
    least_s, slower = min(row.cells[way][port].median_s for port in first), dict[str, None]()
    for d in row.pairs[way]:
        two = [name.partition("[")[0] for name in (d.one, d.other)]
        slow, fast = two if d.ratio > 1 else two[::-1]
        if d.is_real and fast in first:
            slower[slow] = None
    yield from ((port, max(row.cells[way][port].median_s / least_s, 1.0)) for port in slower)


def _first_of(rows: list[Row], way: str, first: Iterable[str], brief: bool, where: str = "") -> str:
    """The fastest frameworks of some rows, and in brackets in which rows others take how many times as long."""
    over = grouped(((row, *of) for row in rows for of in _slower(row, way, first)), lambda of: of[1])
    texts: list[tuple[str, str]] = []
    for port, of in over.items() if not brief else ():
        slower, tied = [row for row, *_ in of], [row for row in rows if port in row.fastest[way]]
        at = f"{_sizes(slower, rows)}: " if len(slower) < len(rows) else ""
        texts.append((at, f"{name_of(port)} {_times_text(ratio for *_, ratio in of)}"))
        if tied:
            texts.append((f"{_sizes(tied, rows)}: ", f"{name_of(port)} tied"))
    by_rows = sorted(grouped(texts, lambda of: of[0]).items(), key=lambda of: bool(of[0]))  # what is of all rows first
    by_sizes = [at + ", ".join(text for _, text in of) for at, of in by_rows]
    in_order = sorted(first, key=lambda port: (rows[0].cells[way][port].median_s, port))
    return listed(map(name_of, in_order)) + where + f" ({'; '.join(by_sizes)})" * bool(by_sizes)


def _times_text(ratios: Iterable[float]) -> str:
    """How many times as long something takes, in all of some rows.

    >>> _times_text([1.064, 2.31]), _times_text([1.151])
    ('1.06-2.3x', '1.15x')
    """
    return from_to(ratios, lambda ratio: f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}").replace(" to ", "-") + "x"


def _sizes(some: list[Row], rows: list[Row]) -> str:
    """What tells some of the rows apart: the first of B, T, D and H that does, or all."""
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    letters = zip(*(shape.split() for shape in shapes), strict=False)
    sizes = next((of for of in letters if len({*of}) == len(of)), shapes)
    return listed(size for size, row in zip(sizes, rows, strict=True) if row in some)
