"""The picture of an answer: a bar for the time of each framework, at each size and in
each call style.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...common.errors import for_terminal
from ...common.port.names import DOCUMENTED, FUNCTIONAL
from ..analysis.answer import COMPARED, Answer, AnswerRow, Situation
from ..analysis.ranking import Ranking
from .answer_table import factor_text
from .naming import CALLED, name_of
from .numbers import format_time
from .plots import INK, Picture, colour_of, drawing
from .sentences import LOOPS, SUBJECTS
from .sizes import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What stands above the bars of a call style.
HEADINGS = {
    DOCUMENTED: "as each framework documents it",
    FUNCTIONAL: "in functional style: jax.jit(f)(params, x)",
}
Width = Literal["wide", "narrow"]
#: The opacity of text and lines that stand back, and of what bars stand on.
QUIET = 0.65
TRACK = 0.07


@dataclass(frozen=True)
class Layout:
    """Where things stand, in inches from the left and in inches of height."""

    width: float
    bars: tuple[float, ...]  # where the bars of each column begin
    bar_width: float
    value: float  # from the beginning of a bar to its time
    factor: float  # from the beginning of a bar to the factor
    text_size: float  # in points
    line: float = 0.25  # the height of a framework's line
    size_heading: float = 0.36
    heading: float = 0.62
    margin: float = 0.1

    @property
    def is_beside(self) -> bool:
        """Whether the call styles stand beside each other."""
        return len(self.bars) > 1


LAYOUTS: dict[Width, Layout] = {
    "wide": Layout(10.0, (0.95, 5.6), 2.75, 2.85, 3.6, 10.0),
    "narrow": Layout(4.3, (0.8,), 1.75, 1.85, 2.6, 9.0),
}


def answer_picture(answer: Answer, width: Width = "wide") -> Picture:
    """The picture of an answer, with its times in words.

    The wide one has the call styles beside each other. The narrow one is for phones,
    and has one below the other.
    """
    layout = LAYOUTS[width]
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        y = layout.margin
        for situation in answer.situations:
            y = _draw_heading(axes, layout, y, situation)
            for row in situation.rows:
                y = _draw_row(axes, layout, y, answer, row)
        y = _draw_key(axes, layout, y, answer)
        axes.set_xlim(0, layout.width)
        axes.set_ylim(y, 0)
        figure.set_size_inches(layout.width, y)
    return Picture(figure, _description(answer))


def _description(answer: Answer) -> str:
    """The times of the picture in words."""
    texts = []
    for situation in answer.situations:
        for row in situation.rows:
            for label, ranking in row.rankings.items():
                times = []
                for port in ranking.benchmarks:
                    fastest = " (fastest)" if port in ranking.best else ""
                    time = format_time(ranking.time_s(port))
                    times.append(f"{name_of(port)} {time}{fastest}")
                texts.append(
                    f"{SUBJECTS[row.phase]}, {in_words(row)}, {LOOPS[row.clock]}, "
                    f"{CALLED[label]}: {', '.join(times)}."
                )
    return " ".join(texts)


def _write(axes: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    """Write a line of text; `y` is its middle."""
    axes.text(x, y, for_terminal(text), verticalalignment="center", **style)


def _draw_heading(
    axes: "Axes", layout: Layout, y: float, situation: Situation
) -> float:
    """The heading of a situation, and where what follows begins.

    Call styles that stand beside each other are named once, below the heading.
    """
    y += layout.heading / 2
    text = f"{SUBJECTS[situation.phase]}: {LOOPS[situation.clock]}"
    _write(axes, 0.0, y, text, weight="bold", size=layout.text_size + 2)
    y += layout.heading / 2
    if not layout.is_beside:
        return y
    for left, label in zip(layout.bars, COMPARED, strict=True):
        _write_style(axes, layout, left, y, label)
    return y + layout.line / 2


def _write_style(
    axes: "Axes", layout: Layout, left: float, y: float, label: str
) -> None:
    size = layout.text_size
    _write(axes, left, y, HEADINGS[label], size=size, alpha=QUIET)


def _draw_row(
    axes: "Axes", layout: Layout, y: float, answer: Answer, row: AnswerRow
) -> float:
    """The bars of a size, and where what follows begins."""
    y += layout.size_heading / 2
    _write(axes, 0.0, y, in_words(row), size=layout.text_size, weight="bold")
    y += layout.size_heading / 2

    longest_s = _longest(row)
    end = y
    for number, label in enumerate(COMPARED):
        ranking = row.rankings.get(label)
        if ranking is None:
            continue
        if layout.is_beside:
            column = layout.bars[number], y
        else:
            left = layout.bars[0]
            _write_style(axes, layout, left, end + layout.line / 2, label)
            column = left, end + layout.line
        if not layout.is_beside or end == y:
            _write_names(axes, layout, column[1], answer, ranking)
        column_end = _draw_column(axes, layout, column, answer, ranking, longest_s)
        span = column[1], column_end
        _draw_plain(axes, layout, column[0], span, row, longest_s)
        end = max(end, column_end)
    return end + layout.margin


def _write_names(
    axes: "Axes", layout: Layout, y: float, answer: Answer, ranking: Ranking
) -> None:
    for port in answer.ports:
        if port in ranking.benchmarks:
            middle = y + layout.line / 2
            _write(axes, 0.0, middle, name_of(port), size=layout.text_size)
            y += layout.line


def _draw_column(
    axes: "Axes",
    layout: Layout,
    place: tuple[float, float],
    answer: Answer,
    ranking: Ranking,
    longest_s: float,
) -> float:
    """The bars of a call style, a line each, and where they end."""
    left, y = place
    for port in answer.ports:
        if port not in ranking.benchmarks:
            continue
        middle = y + layout.line / 2
        colour = colour_of(port, answer.ports)
        _draw_bar(axes, layout, (left, middle), ranking, port, longest_s, colour)
        y += layout.line
    return y


def _longest(row: AnswerRow) -> float:
    """The time, in seconds, that the longest bar of a row stands for."""
    ends_s = [row.baseline.call_s]
    for ranking in row.rankings.values():
        for port in ranking.benchmarks:
            ends_s += _interval_s(ranking, port)
    return max(ends_s)


def _interval_s(ranking: Ranking, port: str) -> tuple[float, float]:
    """The 95 % interval of a time beside the fastest's, in seconds.

    The fastest, and what is not compared with it, have none: both ends are the time.
    """
    time_s = ranking.time_s(port)
    if port not in ranking.over_leader:
        return time_s, time_s
    over = ranking.over_leader[port].comparison
    return time_s * over.low / over.ratio, time_s * over.high / over.ratio


def _draw_bar(
    axes: "Axes",
    layout: Layout,
    place: tuple[float, float],
    ranking: Ranking,
    port: str,
    longest_s: float,
    colour: str,
) -> None:
    """A bar with its interval, its time and its factor to the fastest."""
    left, middle = place
    time_s = ranking.time_s(port)
    scale = layout.bar_width / longest_s
    thickness = 0.62 * layout.line
    axes.barh(
        middle, layout.bar_width, thickness, left, color=INK, alpha=TRACK, linewidth=0
    )
    axes.barh(middle, time_s * scale, thickness, left, color=colour, linewidth=0)
    low_s, high_s = _interval_s(ranking, port)
    ends = [left + low_s * scale, left + high_s * scale]
    axes.plot(ends, [middle, middle], color=INK, linewidth=1.2, alpha=QUIET)

    is_best = port in ranking.best
    time = format_time(time_s)
    if port in ranking.not_compared:
        time = f"({time})"
    weight = "bold" if is_best else "normal"
    size = layout.text_size
    _write(axes, left + layout.value, middle, time, size=size, weight=weight)
    if port in ranking.slower:
        factor = factor_text(ranking.slower[port].comparison).replace("x", "×")
        _write(axes, left + layout.factor, middle, factor, size=size, alpha=QUIET)


def _draw_plain(
    axes: "Axes",
    layout: Layout,
    left: float,
    span: tuple[float, float],
    row: AnswerRow,
    longest_s: float,
) -> None:
    """The line of plain JAX's time over the bars of a column."""
    x = left + row.baseline.call_s * layout.bar_width / longest_s
    axes.plot([x, x], span, color=INK, linewidth=1.2, linestyle=(0, (2, 2)))


def _draw_key(axes: "Axes", layout: Layout, y: float, answer: Answer) -> float:
    """What marks mean, and where the picture ends."""
    y += layout.line / 2
    for line in key_lines(answer):
        y += 0.8 * layout.line
        _write(axes, 0.0, y, line, size=layout.text_size - 1, alpha=QUIET)
    return y + layout.line / 2 + layout.margin


def key_lines(answer: Answer) -> Iterable[str]:
    """What the marks of the picture mean, a line each."""
    processes = "1 process"
    if answer.processes != 1:
        processes = f"{answer.processes} processes"
    return (
        f"The time of a call, from {processes}. Shorter is faster; each size has its "
        "own scale.",
        "Bold: the fastest, and all that cannot be told apart from it. "
        "2×: times as long as the fastest.",
        "Thin line at the end of a bar: 95 % interval, beside the fastest.",
        "Dashed line: the same GRU in plain JAX, without a framework.",
    )
