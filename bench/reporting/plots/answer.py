"""The answer of a run as a picture: what each framework takes, as documented and called alike, against plain JAX."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ....common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...analysis.answer import WAYS, Answer, Difference, Row
from ...analysis.statistics import Comparison
from ..naming import PHASES, name_of
from ..numbers import format_interval, format_time
from .figures import GREY, INK, Picture, colour_of, marker_of
from .forest import Band, Line, forest_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike: the parameters as one pytree"}


def answer_picture(found: Answer) -> Picture | None:
    """Each framework's time in both ways, for a file; None where none was timed."""
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    if not ways:
        return None
    return Picture("answer", answer_figure(found, ways), " ".join(answer_text(found, way) for way in ways))


def answer_figure(found: Answer, ways: Iterable[str]) -> "Figure":
    """Each framework's time over that of plain JAX with its interval, the noise floor shaded; a panel for each way."""
    return _figure(found, list(ways), _times, "time / plain JAX's")


def pairs_figure(found: Answer, ways: Iterable[str]) -> "Figure":
    """Each two frameworks against each other, with the interval, the noise floor shaded; a panel for each way."""
    return _figure(found, list(ways), _pairs, "time / time")


def answer_text(found: Answer, way: str) -> str:
    """What the picture of times shows, in words."""
    rows = [
        f"{title_of(row)}: "
        + ", ".join(f"{name_of(port)} {format_time(cell.time_s)}" for port, cell in row.cells[way].items())
        for row in found.rows
        if way in row.cells
    ]
    return f"{TITLES[way]}: time of a call over that of plain JAX, with 95 % intervals. {'; '.join(rows)}."


def pairs_text(found: Answer, way: str) -> str:
    """What the picture of pairs shows, in words."""
    rows = [
        f"{title_of(row)}: " + ", ".join(f"{_names(d)} {format_interval(_ratio(d))}" for d in row.pairs[way])
        for row in found.rows
        if row.pairs.get(way)
    ]
    return f"{TITLES[way]}: the time of one framework over that of another, with 95 % intervals. {'; '.join(rows)}."


def title_of(row: Row) -> str:
    """What is measured in a row.

    >>> from ...results.arm import Sized
    >>> title_of(Row(Sized("question"), "", "train_step", 1e-3, 0.01, {}, {}, {}, {}))
    'question, train step'
    """
    return f"{row.workload}, {PHASES.get(row.phase, row.phase)}"


def _figure(found: Answer, ways: list[str], lines_of: Callable[[Answer, Row, str], list[Line]], what: str) -> "Figure":
    panels = {
        TITLES[way]: [
            Band(title_of(row), row.floor, lines) for row in found.rows if (lines := lines_of(found, row, way))
        ]
        for way in ways
    }
    return forest_figure(panels, f"{what}, 95 % interval\nshaded: the noise floor")


def _times(found: Answer, row: Row, way: str) -> list[Line]:
    return [
        Line(
            name_of(port),
            Comparison(cell.ratio, cell.low, cell.high),
            colour_of(port, found.ports),
            marker_of(found.ports.index(port)),
            format_time(cell.time_s) + "*" * bool(cell.differs),
        )
        for port, cell in row.cells.get(way, {}).items()
    ]


def _pairs(found: Answer, row: Row, way: str) -> list[Line]:
    del found
    return [Line(_names(d), _ratio(d), INK if d.is_real else GREY, marker_of(0)) for d in row.pairs.get(way, ())]


def _names(difference: Difference) -> str:
    return " / ".join(name_of(name.partition("[")[0]) for name in (difference.one, difference.other))


def _ratio(difference: Difference) -> Comparison:
    return Comparison(difference.ratio, difference.low, difference.high)
