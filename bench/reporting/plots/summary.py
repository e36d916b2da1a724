"""The answer of a run as one narrow picture: how each framework moves from the documented call to the one alike."""

from typing import TYPE_CHECKING

from ....common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...analysis.answer import Answer, Cell, Row
from ...analysis.statistics import Comparison
from ..naming import name_of
from ..numbers import format_time
from .answer import title_of
from .figures import colour_of, draw_ratio, drawing, marker_of, ratio_axis, shade_floor
from .forest import GAP, HEADING, LINE, MARGINS, draw_beside, draw_heading, label_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches, as wide as a phone's screen.
WIDTH = 4.4
LEGEND = 0.25


def summary_figure(found: Answer) -> "Figure":
    """A line for each framework in each row: hollow as documented, filled as called alike, both over plain JAX."""
    from matplotlib.figure import Figure

    rows = [row for row in found.rows if row.cells.get(DOCUMENTED)]
    height = sum(HEADING + len(row.cells[DOCUMENTED]) + GAP for row in rows)
    with drawing():
        figure = Figure(figsize=(WIDTH, LINE * height + MARGINS + LEGEND), layout="constrained")
        axes = figure.subplots()
        ticks: dict[float, str] = {}
        y = 0.0
        for row in rows:
            draw_heading(axes, y, title_of(row))
            y += HEADING
            shade_floor(axes, y - 0.5, row.floor, len(row.cells[DOCUMENTED]))
            for port in row.cells[DOCUMENTED]:
                _draw(axes, y, found, row, port)
                ticks[y] = name_of(port)
                y += 1
            y += GAP
        axes.set_ylim(height, -0.7)
        label_lines(axes, ticks)
        ratio_axis(axes, "time / plain JAX's, 95 % intervals\nshaded: the noise floor")
        figure.suptitle("○ as documented     ● called alike", fontsize=9)
    return figure


def _draw(axes: "Axes", y: float, found: Answer, row: Row, port: str) -> None:
    colour, marker = colour_of(port, found.ports), marker_of(found.ports.index(port))
    first, then = row.cells[DOCUMENTED][port], row.cells.get(FUNCTIONAL, {}).get(port)
    text = format_time(first.time_s)
    draw_ratio(axes, y, _ratio(first), colour, marker, filled=then is None or then.style == first.style)
    if then is not None and then.style != first.style:
        axes.plot([first.ratio, then.ratio], [y, y], color=colour, linewidth=0.8, alpha=0.6)
        draw_ratio(axes, y, _ratio(then), colour, marker)
        text += f" → {format_time(then.time_s)}"
    draw_beside(axes, y, text)


def _ratio(cell: Cell) -> Comparison:
    return Comparison(cell.ratio, cell.low, cell.high)
