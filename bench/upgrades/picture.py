"""The picture of a matrix. Apart from the tables, since the modules that draw take half a second to import."""

from ..reporting.inert import for_terminal
from ..reporting.plots import Picture, colour_of, drawing, marker_of
from .matrix import Matrix, Row


def matrix_picture(matrix: Matrix) -> Picture | None:
    """The lines of Python that one train step of each port runs, over the version sets; None of fewer than two."""
    rows = [row for row in matrix.rows if not row.reason]
    names = dict.fromkeys(name for row in rows for name in row.facts if ":" not in name)
    lines = {
        port: [(at, n) for at, row in enumerate(rows) if (n := row.facts.get(port, {}).get("lines"))] for port in names
    }
    lines = {port: known for port, known in lines.items() if known}
    if len(rows) < 2 or not lines:
        return None
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (port, known) in enumerate(lines.items()):
            colour, marker = colour_of(port, list(lines)), marker_of(number)
            axes.plot(*zip(*known, strict=True), label=for_terminal(port), color=colour, marker=marker)
        axes.set(title="Lines of Python in one train step, as documented", ylabel="lines", yscale="log")
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.grid(alpha=0.3)
        axes.set_xticks(range(len(rows)), map(_label, rows), rotation=45, ha="right", rotation_mode="anchor")
        figure.legend(loc="outside right upper", frameon=False)
    ends = [
        f"{for_terminal(port)} from {known[0][1]} to {known[-1][1]}"
        for port, known in lines.items()
        if (known[0][0], known[-1][0]) == (0, len(rows) - 1)
    ]
    text = f"Lines of Python in one train step, over {len(rows)} version sets: {'; '.join(ends)}."
    return Picture(figure, text)


def _label(row: Row) -> str:
    name = for_terminal(row.name)
    return f"{name}, jax {row.versions.get('jax', '?')}" if row.day else name.replace(" ", "\n")
