"""The verdicts of a calibration as a picture: identical arms called different, and slowed arms called slower."""

from typing import TYPE_CHECKING

from ...analysis.calibration import Row, calibration_rows
from ...results.record import Results
from ..inert import for_terminal
from .figures import COLOURS, INK, OTHERS, Picture, drawing, marker_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Between the points of one true difference: all workloads, then each of them.
STEP = 0.13


def calibration_picture(results: Results) -> Picture | None:
    """The share of verdicts that differ from "indistinguishable", with intervals; None where no arm was calibrated."""
    from matplotlib.figure import Figure

    found = calibration_rows(results)
    if not found:
        return None
    series = list(dict.fromkeys(row.workload for row in found))
    truths = sorted({row.slowed for row in found})
    colours = [INK, *COLOURS.values(), *OTHERS]
    with drawing():
        figure = Figure(figsize=(5.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for number, workload in enumerate(series):
            mine = [row for row in found if row.workload == workload]
            x = [truths.index(row.slowed) + STEP * (number - (len(series) - 1) / 2) for row in mine]
            _draw(axes, x, mine, colours[number % len(colours)], number)
        axes.axvline(0.5, color=INK, linewidth=0.8)
        axes.set_xticks(range(len(truths)), [f"{slowed:.0%} slower" if slowed else "identical" for slowed in truths])
        axes.set(ylim=(-0.02, 1.02), xlabel="what was planted: how much longer an arm takes than the baseline")
        axes.set_ylabel("called different | called slower, share of arms")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside upper center", ncols=len(series), frameon=False, fontsize=8)
    return Picture("calibration", figure, _text(found))


def _draw(axes: "Axes", x: list[float], rows: list[Row], colour: str, number: int) -> None:
    shares = [row.share for row in rows]
    reach = [[row.share - row.low for row in rows], [row.high - row.share for row in rows]]
    label = for_terminal(rows[0].workload) or "all workloads"
    axes.errorbar(
        x, shares, yerr=reach, color=colour, marker=marker_of(number), linestyle="none", capsize=2.5, label=label
    )


def _text(found: list[Row]) -> str:
    said = [
        f"{row.share:.1%} [{row.low:.1%}, {row.high:.1%}] of {row.arms} arms "
        + (
            f"slowed by {row.slowed:.0%} were called slower"
            if row.slowed
            else "that are identical were called different"
        )
        for row in found
        if not row.workload
    ]
    return f"Verdicts on arms whose truth is known, with 95 % intervals: {'; '.join(said)}."
