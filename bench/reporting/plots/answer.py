"""The answer of a run as one narrow picture: how each framework moves from the documented call to the one alike."""

from typing import TYPE_CHECKING

from ....common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...analysis.answer import WAYS, Answer, Cell, Row
from ...analysis.statistics import Comparison
from ..inert import for_terminal
from ..naming import PHASES, name_of
from ..numbers import format_time
from .figures import Picture, colour_of, draw_ratio, drawing, marker_of, ratio_axis, shade_floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike: the parameters as one pytree"}
#: Inches: of the picture, as wide as a phone's screen, of a line in it, of its margins and of its legend.
WIDTH, LINE, MARGINS, LEGEND = 4.4, 0.2, 1.0, 0.25
#: Lines: the heading of a row, and the gap below a row.
HEADING, GAP = 1.0, 0.4


def answer_picture(found: Answer) -> Picture | None:
    """Each framework's time over that of plain JAX, in both ways; None where none was timed in either."""
    return Picture("answer", answer_figure(found), answer_text(found)) if found.rows else None


def answer_text(found: Answer) -> str:
    """What the picture shows, in words."""
    return " ".join(_text(found, way) for way in WAYS if any(way in row.cells for row in found.rows))


def answer_figure(found: Answer) -> "Figure":
    """A line for each framework in each row: hollow as documented, filled as called alike, both over plain JAX."""
    ports = [[port for port in found.ports if _cells(row, port)] for row in found.rows]
    height = sum(HEADING + len(of_row) + GAP for of_row in ports)
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, LINE * height + MARGINS + LEGEND), layout="constrained")
        axes = figure.subplots()
        ticks: dict[float, str] = {}
        y = 0.0
        for row, of_row in zip(found.rows, ports, strict=True):
            at = {"xycoords": axes.get_yaxis_transform(), "va": "center", "annotation_clip": False}
            axes.annotate(for_terminal(title_of(row)), (0.01, y), weight="bold", **at)
            y += HEADING
            shade_floor(axes, y - 0.5, row.floor, len(of_row))
            for port in of_row:
                text = _draw(axes, y, found, port, _cells(row, port))
                axes.annotate(text, (1.02, y), **at)
                ticks[y] = name_of(port)
                y += 1
            y += GAP
        axes.set_ylim(height, -0.7)
        axes.set_yticks(list(ticks), list(map(for_terminal, ticks.values())))
        axes.tick_params(axis="y", length=0)
        ratio_axis(axes, "time / plain JAX's, 95 % intervals\nshaded: the noise floor")
        figure.suptitle("○ as documented     ● called alike", fontsize=9)
    return figure


def title_of(row: Row) -> str:
    """What is measured in a row.

    >>> from ...results.arm import Sized
    >>> title_of(Row(Sized("question"), "B=1 T=50 D=20 H=200", "train_step", 1e-3, 0.01, {}, {}, {}, {}))
    'train step, B=1 T=50 D=20 H=200'
    """
    return f"{PHASES.get(row.phase, row.phase)}, {row.shape}"


def _text(found: Answer, way: str) -> str:
    rows = [
        f"{title_of(row)}: "
        + ", ".join(f"{name_of(port)} {format_time(cell.time_s)}" for port, cell in row.cells[way].items())
        for row in found.rows
        if way in row.cells
    ]
    return f"{TITLES[way]}: time of a call over that of plain JAX, with 95 % intervals. {'; '.join(rows)}."


def _cells(row: Row, port: str) -> dict[str, Cell]:
    """What a framework takes in each way in which it was timed."""
    return {way: cells[port] for way, cells in row.cells.items() if port in cells}


def _draw(axes: "Axes", y: float, found: Answer, port: str, cells: dict[str, Cell]) -> str:
    """Draw a framework's line; returns its times."""
    colour, marker = colour_of(port, found.ports), marker_of(found.ports.index(port))
    first, then = next(iter(cells.values())), cells.get(FUNCTIONAL)
    moves = then is not None and then.style != first.style
    draw_ratio(axes, y, _ratio(first), colour, marker, filled=not moves)
    if then is None or not moves:
        return format_time(first.time_s)
    axes.plot([first.ratio, then.ratio], [y, y], color=colour, linewidth=0.8, alpha=0.6)
    draw_ratio(axes, y, _ratio(then), colour, marker)
    return f"{format_time(first.time_s)} → {format_time(then.time_s)}"


def _ratio(cell: Cell) -> Comparison:
    return Comparison(cell.ratio, cell.low, cell.high)
