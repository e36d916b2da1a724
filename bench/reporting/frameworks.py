"""Tables of frameworks against plain JAX and against each other, as documented and called alike; causes in words."""

from collections.abc import Callable

from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ..analysis.answer import Answer, Cell, Row, answer
from ..analysis.pairs import Difference
from ..analysis.statistics import Comparison
from ..results.record import Results
from .naming import name_of
from .numbers import format_interval, format_ratio, format_time
from .sections import Section, Words

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike, the parameters as one pytree"}


def framework_tables(results: Results, found: Answer | None = None) -> list[Section]:
    """The two closing tables, and pairwise ratios.

    Args:
        found: the answer of the run, where it is known already.
    """
    found = found or answer(results)
    if not found.rows:
        return [] if results.benchmarks else [Section("No group was measured", ("workload",), [])]
    tables = [_against_plain(found, way) for way in TITLES]
    return [*tables, _against_each_other(found)]


def explain(found: Difference) -> str:
    """Why an arm takes longer or shorter than another.

    >>> explain(Difference("a[x]", "a[y]", 1.1, 1.1, 1.1, 3e-6, 2e-6, 4e-6, "slower", True, "boundary", ()))
    'crossing the jit boundary: +3.0 [+2.0, +4.0] µs a call over a[y], whose program it runs'
    >>> dots = (("dots", 6, 2),)
    >>> explain(Difference("a[x]", "b[x]", 1.1, 1.1, 1.1, 3e-4, 2e-4, 4e-4, "slower", False, "program", dots))
    'another program, of 6 dots where b[x] has 2: +300.0 [+200.0, +400.0] µs a call'
    """
    bounds = (f"{1e6 * s:+.1f}" for s in (found.difference_s, found.difference_low_s, found.difference_high_s))
    cost = "{} [{}, {}] µs a call".format(*bounds)
    mine = ", ".join(f"{count} {name}" for name, count, _ in found.counts)
    its = ", ".join(str(count) for _, _, count in found.counts)
    program = "another program, of " + (
        f"{mine} where {found.other} has {its}"
        if found.counts
        else f"as many products, loops, transposes and fusions as that of {found.other}"
    )
    return {
        "none": "no difference",
        "equations": "other equations",
        "unread": "no XLA program to look at",
        "boundary": f"crossing the jit boundary: {cost} over {found.other}, whose program it runs",
        "style": f"called in another way{'' if found.same_program else f', and {program}'}: {cost}",
        "program": f"{program}: {cost}",
        "unexplained": f"unexplained: {cost} over {found.other}, whose program it runs",
    }[found.cause]


def time_table(found: Answer, way: str) -> Section:
    """What each framework takes in one way, and which is the fastest, a row for each phase of each workload."""
    rows = pivot(found, way, lambda cell: format_time(cell.time_s) + "*" * bool(cell.differs))
    return Section(
        f"{TITLES[way]}: time of a call",
        ("workload", *map(name_of, found.ports), Words("fastest")),
        [(_name(row), *cells, fastest_of(row, way)) for row, cells in rows],
        ("Medians per call. Fastest: no other is faster beyond chance, round by round.", *differing(found)),
    )


def pivot(found: Answer, way: str, show: Callable[[Cell], str]) -> list[tuple[Row, list[str]]]:
    """Each row with a cell for each framework, as it is shown; "-" where it has no number."""
    rows = [(row, row.cells.get(way, {})) for row in found.rows]
    return [(row, [show(cells[port]) if port in cells else "-" for port in found.ports]) for row, cells in rows]


def fastest_of(row: Row, way: str) -> str:
    """The frameworks than which no other is faster, or why none is named."""
    fastest = row.fastest.get(way, [])
    compared = [cell for cell in row.cells.get(way, {}).values() if not cell.differs]
    if len(fastest) == len(compared) > 1:
        return "too noisy" if row.is_noisy else "not told apart"
    return ", ".join(map(name_of, fastest)) or "-"


def differing(found: Answer) -> list[str]:
    """Why cells with a star are not compared."""
    cells = [(port, cell) for row in found.rows for of_way in row.cells.values() for port, cell in of_way.items()]
    return sorted({f"*{name_of(port)} is not compared: {cell.differs}." for port, cell in cells if cell.differs})


def _against_plain(found: Answer, way: str) -> Section:
    return Section(
        f"{TITLES[way]}: time / pure[jit]",
        ("workload", *map(Words, found.ports)),
        [(_name(row), *cells) for row, cells in pivot(found, way, _cell)],
        (
            "In each cell: the call style, and its time over that of plain JAX. Below 1 is faster. ±: the farther end "
            "of the 95 % interval, as a share of the ratio. In brackets: indistinguishable. *: other equations. -: no "
            "number, or not timed.",
        ),
    )


def _against_each_other(found: Answer) -> Section:
    rows = []
    for row in found.rows:
        of_way = {way: {_ports(d): d for d in row.pairs.get(way, ())} for way in TITLES}
        for ports in dict.fromkeys(ports for pairs in of_way.values() for ports in pairs):
            cells = (_interval(pairs[ports]) if ports in pairs else "-" for pairs in of_way.values())
            rows.append((_name(row), " / ".join(ports), *cells))
    return Section(
        "Frameworks against each other",
        ("workload", Words("time / time"), "as documented", "called alike"),
        rows,
        ("Paired within rounds, with 95 % intervals. In brackets: indistinguishable. -: no number, or not timed.",),
    )


def _name(row: Row) -> str:
    return f"{row.workload} {row.phase}"


def _ports(difference: Difference) -> tuple[str, str]:
    return difference.one.partition("[")[0], difference.other.partition("[")[0]


def _cell(cell: Cell) -> str:
    found = format_ratio(Comparison(cell.ratio, cell.low, cell.high), cell.verdict)
    return f"{cell.style} {found}" + ("*" if cell.differs else "")


def _interval(difference: Difference) -> str:
    text = format_interval(Comparison(difference.ratio, difference.low, difference.high))
    return text if difference.is_real else f"({text})"
