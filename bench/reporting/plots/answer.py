"""The answer of a run as a picture: what each framework takes, as documented and called alike, against plain JAX."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...analysis.answer import Answer, Difference, Row
from ...analysis.statistics import Comparison
from ..answer import PHASES, name_of
from ..inert import for_terminal
from ..numbers import format_interval, format_time
from .figures import GREY, INK, colour_of, draw_ratio, drawing, marker_of, ratio_axis, shade_floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike: the parameters as one pytree"}
#: Inches: of a picture of one way, which a phone can show, and of a line in it.
WIDTH, LINE, MARGINS = 5.4, 0.2, 1.0
#: Lines of a row: its heading, and the gap below.
HEADING, GAP = 1.0, 0.4


@dataclass(frozen=True)
class Line:
    """A ratio with its interval in a picture, what it is called, and text to the right of it."""

    label: str
    ratio: Comparison
    colour: str
    marker: str
    text: str = ""


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

    >>> from ...results.record import Sized
    >>> title_of(Row(Sized("question"), "", "train_step", 1e-3, 0.01, {}, {}, {}, {}))
    'question, train step'
    """
    return f"{row.workload}, {PHASES.get(row.phase, row.phase)}"


def _figure(found: Answer, ways: list[str], lines_of: Callable[[Answer, Row, str], list[Line]], what: str) -> "Figure":
    from matplotlib.figure import Figure

    panels = {way: [(row, lines) for row in found.rows if (lines := lines_of(found, row, way))] for way in ways}
    heights = [sum(HEADING + len(lines) + GAP for _, lines in panel) for panel in panels.values()]
    with drawing():
        figure = Figure(figsize=(WIDTH * len(ways), LINE * max(heights) + MARGINS), layout="constrained")
        for axes, (way, panel) in zip(figure.subplots(1, len(ways), squeeze=False)[0], panels.items(), strict=True):
            _draw(axes, panel)
            axes.set_ylim(max(heights), -0.5)
            axes.set_title(TITLES[way], fontsize=10, loc="left")
            ratio_axis(axes, f"{what}, 95 % interval; shaded: the noise floor")
    return figure


def _draw(axes: "Axes", panel: list[tuple[Row, list[Line]]]) -> None:
    labels: list[tuple[float, str, str]] = []
    y = 0.0
    for row, lines in panel:
        labels.append((y, title_of(row), "bold"))
        y += HEADING
        shade_floor(axes, y - 0.5, row.floor, len(lines))
        for line in lines:
            draw_ratio(axes, y, line.ratio, line.colour, line.marker)
            axes.annotate(line.text, (1.02, y), xycoords=axes.get_yaxis_transform(), va="center", annotation_clip=False)
            labels.append((y, line.label, "normal"))
            y += 1
        y += GAP
    axes.set_yticks([at for at, *_ in labels], [for_terminal(text) for _, text, _ in labels])
    for tick, (*_, weight) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight(weight)
    axes.tick_params(axis="y", length=0)


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
