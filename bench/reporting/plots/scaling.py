"""Arms on several devices as a picture: how efficiently each uses them."""

from typing import TYPE_CHECKING

from ...analysis.scaling import Scaling, scalings
from ...results.grouping import grouped
from ...results.record import Results
from ..provenance import short_group
from .figures import INK, Picture, colour_of, draw_ratio, drawing, marker_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What the picture shows, in words.
SCALED = "Efficiency of each arm on several devices, with 95 % intervals; the tables of scaling have the numbers."


def scaling_picture(results: Results) -> Picture | None:
    """Efficiency of each arm and way, a panel for each group; None where no arm had several devices."""
    figure = scaling_figure(results)
    return None if figure is None else Picture("scaling", figure, SCALED)


def scaling_figure(results: Results) -> "Figure | None":
    """As `scaling_picture`, as a figure."""
    panels = [
        grouped(of_group, lambda s: f"{s.alone.name}, {s.benchmark.arm.way}")
        for of_group in grouped(scalings(results), lambda s: s.benchmark.group).values()
    ]
    if not panels:
        return None
    with drawing():
        from matplotlib.figure import Figure

        heights = [0.24 * len(panel) + 0.9 for panel in panels]
        figure = Figure(figsize=(6.0, sum(heights) + 0.4), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _draw(axes, panel)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _draw(axes: "Axes", panel: dict[str, list[Scaling]]) -> None:
    """A line for each arm and way, with a marker for each number of devices."""
    found = [s for of_line in panel.values() for s in of_line]
    ports = list(dict.fromkeys(s.benchmark.arm.port for s in found))
    devices = sorted({s.benchmark.arm.devices for s in found})
    for number, over in enumerate(devices):
        axes.plot([], [], marker_of(number), color=INK, label=f"{over} devices")
    for y, of_line in enumerate(panel.values()):
        for s in of_line:
            arm = s.benchmark.arm
            real = s.verdict != "indistinguishable"
            marker = marker_of(devices.index(arm.devices))
            draw_ratio(axes, float(y), s.efficiency, colour_of(arm.port, ports), marker, filled=real)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(panel)), list(panel))
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.2, 1.1 * max(s.efficiency.ratio for s in found)))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(axis="x", alpha=0.3)
    first = found[0].benchmark.arm
    axes.set_title(f"{short_group(first)}: strong scaling, efficiency".replace("_", " "), fontsize=10, loc="left")
