"""Ratios with their intervals as a picture, under headings, the noise floor shaded: a forest plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...analysis.statistics import Comparison
from ..inert import for_terminal
from .figures import draw_ratio, drawing, ratio_axis, shade_floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: of a panel, which a phone can show, and of a line in it.
WIDTH, LINE, MARGINS = 4.6, 0.2, 1.0
#: Lines: a band's heading, and the gap below a band.
HEADING, GAP = 1.0, 0.4
#: A picture of more lines has its axis at the top as well.
TALL = 40


@dataclass(frozen=True)
class Line:
    """A ratio with its interval in a picture, what it is called, and text to the right of it."""

    label: str
    ratio: Comparison
    colour: str
    marker: str
    text: str = ""


@dataclass(frozen=True)
class Band:
    """Lines under one heading, with one noise floor."""

    title: str
    floor: float
    lines: Sequence[Line]


def forest_figure(panels: Mapping[str, Sequence[Band]], label: str) -> "Figure":
    """A panel for each title, beside each other.

    Args:
        label: of the axis of ratios.
    """
    from matplotlib.figure import Figure

    heights = [sum(HEADING + len(band.lines) + GAP for band in panel) for panel in panels.values()]
    with drawing():
        figure = Figure(figsize=(WIDTH * len(panels), LINE * max(heights) + MARGINS), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, panel) in zip(grid, panels.items(), strict=True):
            _draw(axes, panel)
            axes.set_ylim(max(heights), -0.7)
            axes.set_title("\n".join(map(for_terminal, title.splitlines())), fontsize=10, loc="left")
            ratio_axis(axes, label)
            if max(heights) > TALL:
                axes.tick_params(axis="x", top=True, labeltop=True)
    return figure


def _draw(axes: "Axes", panel: Sequence[Band]) -> None:
    labels: dict[float, str] = {}
    y = 0.0
    for band in panel:
        draw_heading(axes, y, band.title)
        y += HEADING
        shade_floor(axes, y - 0.5, band.floor, len(band.lines))
        for line in band.lines:
            draw_ratio(axes, y, line.ratio, line.colour, line.marker)
            draw_beside(axes, y, line.text)
            labels[y] = line.label
            y += 1
        y += GAP
    label_lines(axes, labels)


def draw_heading(axes: "Axes", y: float, title: str) -> None:
    """A heading above the lines of a band."""
    at = axes.get_yaxis_transform()
    axes.annotate(for_terminal(title), (0.01, y), xycoords=at, va="center", weight="bold", annotation_clip=False)


def draw_beside(axes: "Axes", y: float, text: str) -> None:
    """Text to the right of a line."""
    at = axes.get_yaxis_transform()
    axes.annotate(for_terminal(text), (1.02, y), xycoords=at, va="center", annotation_clip=False)


def label_lines(axes: "Axes", labels: Mapping[float, str]) -> None:
    """What lines are called, to the left of each."""
    axes.set_yticks(list(labels), list(map(for_terminal, labels.values())))
    axes.tick_params(axis="y", length=0)
