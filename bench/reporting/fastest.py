"""Which frameworks are the fastest, in a sentence for each situation."""

import re
from collections.abc import Iterable, Iterator
from math import ceil

from ...common.errors import listed
from ..analysis.answer import WAYS, Answer, AnswerRow
from ..results.grouping import grouped
from .naming import CALLED, describe, name_of
from .numbers import from_to

#: What sentences call phases, in their order. Where one step and train steps were timed, no others have a sentence.
SUBJECTS = {
    "step": "One GRU time step",
    "train_step": "Training updates",
    "forward": "Forward pass",
    "gradient": "Gradient",
}
MAIN = ("step", "train_step")
#: Where all times differ by less, as a ratio, a sentence says so.
NEAR = 1.05
#: Of a line of the screen, and of the words that say once what a ratio is.
WIDTH, TAKES = 80, len("takes " + " its time")
#: The first framework in brackets that has a ratio, and that.
RATIO = re.compile(r"[(](\w+) ([0-9.-]+x)")
#: What a loop of calls does, by the clock: in a word, and as sentences explain it.
WAITING = {"blocked": "waited", "pipelined": "queued"}
LOOPS = {"blocked": "each call waited for", "pipelined": "queued, none waited for"}


def fastest_lines(found: Answer, *, waited: bool = True, brief: bool = False) -> list[str]:
    """Which framework is the fastest by style: in one step, which is waited for, and in training, which is not.

    Args:
        waited: where one of the fastest frameworks is slower if train steps are waited for, name the fastest then.
        brief: leave out the ratios of slower frameworks where they do not fit one line.
    """
    lines = []
    for phase in shown_phases(found):
        rows = [row for row in found.rows if row.phase == phase]
        others = [row.other for row in rows if row.other]
        situation, blocked = (others, rows) if len(others) == len(rows) else (rows, [])
        styles = []
        for way in WAYS:
            line = _line(situation, way)
            if brief and len(line) > WIDTH - TAKES:
                line = _line(situation, way, brief=True)
            styles += [line] if line else []
        loop = f" ({LOOPS[situation[0].clock]})" * (phase in MAIN)
        lines += [f"{SUBJECTS[phase]}{loop}, fastest framework by style:", *styles] if styles else []
        if phase == "train_step" and waited and (texts := [*_turned(situation, blocked)]):
            lines.append(f"If waited for, fastest: {', '.join(texts)}.")
    first = next((n for n, line in enumerate(lines) if RATIO.search(line)), 0)  # in which it is said what a ratio is
    return [RATIO.sub(r"(\1 takes \2 its time", line, count=1) if n == first else line for n, line in enumerate(lines)]


def shown_phases(found: Answer) -> list[str]:
    """The phases on the screen: where one step and train steps were timed, no others."""
    phases = [phase for phase in SUBJECTS if any(row.phase == phase for row in found.rows)]
    return [phase for phase in phases if phase in MAIN] if {*MAIN} <= {*phases} else phases


def _turned(situation: list[AnswerRow], waited: list[AnswerRow]) -> Iterator[str]:
    """The fastest where calls are waited for, in rows in which one of the fastest of the situation is slower then."""
    for way in WAYS:
        turned = [
            other
            for row, other in zip(situation, waited, strict=False)
            for over in [dict(_slower(other, way, other.fastest[way])) if other.fastest.get(way) else {}]
            if any(over.get(port, 1.0) >= NEAR for port in row.fastest.get(way, ()))
        ]
        for ports, of in grouped(turned, lambda row, way=way: tuple(row.fastest[way])).items():
            at = f" at {sizes_of(of, waited)}" if len(waited) > 1 else ""
            yield f"{listed(map(name_of, ports))}{' tied' * (len(ports) > 1)} {CALLED[way]}{at}"


def _line(rows: list[AnswerRow], way: str, *, brief: bool = False) -> str:
    """Which frameworks are the fastest in one style, in each row where they differ; "" where that is unknown."""
    rows = [row for row in rows if len(row.cells.get(way, {})) > 1]
    if not all(row.fastest.get(way) for row in rows):
        return ""
    groups = grouped(rows, lambda row: frozenset(row.fastest[way]))
    everybody = {port for row in rows for cells in row.cells.values() for port in cells}
    where = {ports: f" at {sizes_of(of, rows)}" if len(groups) > 1 else "" for ports, of in groups.items()}
    texts = [_first_of(of, way, ports, everybody, where[ports], brief) for ports, of in groups.items()]
    return f"  {CALLED[way]}: {', '.join(texts)}." if texts else ""


def _slower(row: AnswerRow, way: str, first: Iterable[str]) -> Iterator[tuple[str, float]]:
    """The frameworks that are slower than one of the fastest: the ratio of the shown times to the least of these."""
    # with the digits that tables show, so that readers find the same ratios
    times_s, slower = {port: float(f"{b.median_s:.3g}") for port, b in row.cells[way].items()}, dict[str, None]()
    for d in row.pairs[way]:
        two = [name.partition("[")[0] for name in (d.one, d.other)]
        slow, fast = two if d.ratio > 1 else two[::-1]
        if d.is_real and fast in first:
            slower[slow] = None
    yield from ((port, max(times_s[port] / min(times_s[port] for port in first), 1.0)) for port in slower)


def _first_of(rows: list[AnswerRow], way: str, first: Iterable[str], ports: set[str], where: str, brief: bool) -> str:
    """The fastest frameworks of some rows, and in brackets how many times as long the others take."""
    in_order = [port for port in rows[0].cells[way] if port in first]
    over = grouped(((row, *of) for row in rows for of in _slower(row, way, first)), lambda of: of[1])
    times = [[b.median_s for b in row.cells[way].values()] for row in rows]
    most = max(max(of) / min(of) for of in times)
    is_all = all(row.cells[way].keys() == ports for row in rows)
    is_all = is_all and not any(row.apart(b) for row in rows for b in row.cells[way].values())
    if not over and is_all:
        return f"all tied{where}"
    texts = []
    for port, of in over.items():
        at = f" at {sizes_of([row for row, *_ in of], rows)}" if len(of) < len(rows) else ""
        times = from_to((ratio for *_, ratio in of), lambda ratio: f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}")
        texts.append(f"{name_of(port)} {times.replace(' to ', '-')}x{at}")
    if is_all and most < NEAR:
        texts = [f"{'there ' * bool(where)}all within {ceil((most - 1) * 100)}%"]
    tied = " tied" * (len(in_order) > 1)
    return listed(map(name_of, in_order)) + tied + where + f" ({', '.join(texts)})" * (not brief and bool(texts))


def sizes_of(some: list[AnswerRow], rows: list[AnswerRow]) -> str:
    """What tells some of the rows apart: the first of B, T, D and H that does, or all."""
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    letters = zip(*(shape.split() for shape in shapes), strict=False)
    sizes = next((of for of in letters if len({*of}) == len(of)), shapes)
    return listed(size for size, row in zip(sizes, rows, strict=True) if row in some)
