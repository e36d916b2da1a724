"""A matrix as a picture: what one call costs in Python, and in time, over the version sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..reporting.plots.figures import Picture, colour_of, drawing, marker_of
from .matrix import Matrix, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What is drawn, by the name of a fact: the title and the unit.
DRAWN = {
    "lines": ("Lines of Python in one train step, as documented", "lines"),
    "step_time_us": ("One time step of the smallest model, as documented", "µs"),
}


def matrix_picture(matrix: Matrix) -> Picture | None:
    """A panel for each fact that some set has; None where no set has one."""
    figure = _figure(matrix)
    return None if figure is None else Picture("matrix", figure, _in_words(matrix))


def _figure(matrix: Matrix) -> "Figure | None":
    rows = [row for row in matrix.rows if not row.reason]
    drawn = [
        name for name in DRAWN if any(name in facts and facts[name] for row in rows for facts in row.facts.values())
    ]
    if len(rows) < 2 or not drawn:
        return None
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6 * len(drawn) + 0.6), layout="constrained")
        grid = figure.subplots(len(drawn), 1, squeeze=False)
        for (axes,), name in zip(grid, drawn, strict=True):
            _panel(axes, rows, name)
        grid[-1][0].set_xticks(
            range(len(rows)), [_label(row) for row in rows], rotation=45, ha="right", rotation_mode="anchor"
        )
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _panel(axes: "Axes", rows: Sequence[Row], name: str) -> None:
    subjects = [s for s in dict.fromkeys(s for row in rows for s in row.facts) if ":" not in s]
    own = [s for s in subjects if any(row.facts.get(s, {}).get(name) for row in rows)]
    for number, subject in enumerate(own):
        points = [(x, row.facts[subject][name]) for x, row in enumerate(rows) if row.facts.get(subject, {}).get(name)]
        axes.plot(*zip(*points, strict=True), color=colour_of(subject, own), marker=marker_of(number), label=subject)
    title, unit = DRAWN[name]
    axes.set(title=title, ylabel=unit, yscale="log")
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
    axes.set_xticks(range(len(rows)), [""] * len(rows))
    axes.grid(alpha=0.3)


def _label(row: Row) -> str:
    return f"{row.name}, jax {row.versions.get('jax', '?')}" if row.day else row.name.replace(" ", "\n")


def _in_words(matrix: Matrix) -> str:
    rows = [row for row in matrix.rows if not row.reason]
    ends = [
        f"{subject} from {first} to {last}"
        for subject in (rows[0].facts if rows else {})
        if ":" not in subject
        and (first := rows[0].facts[subject].get("lines")) is not None
        and (last := rows[-1].facts.get(subject, {}).get("lines")) is not None
    ]
    return f"Lines of Python in one train step, over {len(rows)} version sets: {'; '.join(ends)}."
