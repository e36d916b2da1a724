"""Pictures as a part of a page.

The answer of a run is drawn here, with the colours, markers and axes that all pictures
share.
"""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ...common.errors import for_terminal
from ..analysis.answer import COMPARED, Answer, AnswerRow
from ..analysis.benchmarks import Benchmark
from .naming import CALLED, PHASES, measured_on, name_of
from .numbers import format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colour of text: almost black in a file, and in a page whatever its text has.
INK = "#010203"
#: Okabe and Ito's colours by port, which colour-blind people can distinguish
#: (https://jfly.uni-koeln.de/color/). Plain JAX has the colour of text.
COLOURS = {"pure": INK, "linen": "#E69F00", "nnx": "#0072B2", "equinox": "#009E73"}
BLUE = "#0072b2"
OTHERS = ("#CC79A7", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
GREY = "#888888"
#: In lines: the heading of a row, and the gap below a row.
HEADING = 1.0
GAP = 0.4
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trigru",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Picture:
    """A figure, and what it shows in words."""

    figure: "Figure"
    description: str


def answer_picture(answer: Answer) -> Picture:
    """The picture of an answer, with its times in words."""
    texts = []
    for label in COMPARED:
        cells = [row.cells.get(label, {}) for row in answer.rows]
        texts += _description(CALLED[label].capitalize(), answer.rows, cells)
    keeping = [row.keeping for row in answer.rows]
    title = "Half filled, the fastest that keeps state"
    texts += _description(title, answer.rows, keeping)
    return Picture(answer_figure(answer), " ".join(texts))


def _description(
    title: str, rows: Sequence[AnswerRow], cells: Sequence[Mapping[str, Benchmark]]
) -> list[str]:
    """The times of a call style in words: of each row the arms by port; none of
    none.
    """
    texts = []
    for row, arms in zip(rows, cells, strict=True):
        times = [f"{name_of(p)} {format_time(b.median_s)}" for p, b in arms.items()]
        if times:
            phase = f"{PHASES[row.phase]}, {row.baseline.shape}"
            texts.append(f"{phase}: {', '.join(times)}")
    if not texts:
        return []
    return [
        f"{title}: time of a call over plain JAX's, with 95 % intervals. "
        f"{'; '.join(texts)}."
    ]


def answer_figure(answer: Answer) -> "Figure":
    """A line for each framework in each row, over plain JAX.

    A mark is hollow as documented, and filled in functional style. Half filled is the
    fastest style of a framework that keeps state, where that is neither.
    """
    ports_of_rows = [_timed_ports(answer, row) for row in answer.rows]
    height = sum(HEADING + len(ports) + GAP for ports in ports_of_rows)
    with drawing():
        from matplotlib.figure import Figure

        # inches: as wide as a phone's screen; lines, and margins with the legend
        figure = Figure(figsize=(4.4, 0.2 * height + 1.3 + 0.25), layout="constrained")
        axes = figure.subplots()
        beside: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "va": "center",
            "annotation_clip": False,
        }
        names: dict[float, str] = {}
        spans: list[tuple[float, float]] = []
        y = 0.0
        for row, ports in zip(answer.rows, ports_of_rows, strict=True):
            heading = for_terminal(f"{PHASES[row.phase]}, {row.baseline.shape}")
            axes.annotate(heading, (0.01, y), weight="bold", **beside)
            y += HEADING
            spans.append((y - 0.5, y - 0.5 + len(ports)))
            _draw_floor(axes, spans[-1], row.baseline.floor)
            for port in ports:
                times = _draw_port(axes, y, answer, row, port)
                axes.annotate(times, (1.02, y), **beside)
                names[y] = for_terminal(name_of(port))
                y += 1
            y += GAP
        axes.set_ylim(height, -0.7)
        axes.set_yticks(list(names), list(names.values()))
        axes.tick_params(axis="y", length=0)
        _ratio_axis(axes, spans)
        origin = wrap(for_terminal(measured_on(answer.run)), 50)
        axes.set_xlabel("\n".join([axes.get_xlabel(), *origin]))
        legend = ["○ as documented", "● functional style"]
        if any(row.keeping for row in answer.rows):
            legend.insert(1, "◐ faster, keeps state")
        figure.suptitle("    ".join(legend), fontsize=9)
    return figure


def _timed_ports(answer: Answer, row: AnswerRow) -> list[str]:
    timed = set()
    for cells in row.cells.values():
        timed |= cells.keys()
    return [port for port in answer.ports if port in timed]


def _draw_floor(axes: "Axes", span: tuple[float, float], floor: float) -> None:
    """Shade the noise floor about 1, over the lines of a row."""
    from matplotlib.patches import Rectangle

    top, bottom = span
    low = 1 / (1 + floor)
    width = 1 + floor - low
    shade = Rectangle(
        (low, top), width, bottom - top, color=GREY, alpha=0.35, linewidth=0
    )
    axes.add_patch(shade)


def _draw_port(
    axes: "Axes", y: float, answer: Answer, row: AnswerRow, port: str
) -> str:
    """Draw a framework's line, from the documented call to the functional one.

    Returns its times.
    """
    by_name = {}
    for cells in row.cells.values():
        if port in cells:
            by_name[cells[port].name] = cells[port]
    shown = list(by_name.values())

    colour = colour_of(port, answer.ports)
    ratios = [b.comparison.ratio for b in shown]
    level = [y] * len(shown)
    axes.plot(ratios, level, color=colour, linewidth=0.8, alpha=0.6)
    mark: dict[str, Any] = {
        "marker": marker_of(answer.ports.index(port)),
        "markersize": 4.5,
        "color": colour,
    }
    for b in shown:
        c = b.comparison
        axes.errorbar(
            [c.ratio],
            [y],
            xerr=[[c.ratio - c.low], [c.high - c.ratio]],
            markerfacecolor=colour if b is shown[-1] else "none",
            linewidth=1.4,
            capsize=2.5,
            **mark,
        )
    keeping = row.keeping.get(port)
    if keeping:
        axes.plot(
            [keeping.comparison.ratio],
            [y],
            fillstyle="left",
            markerfacecoloralt="none",
            **mark,
        )
    return " → ".join(format_time(b.median_s) for b in shown)


def _ratio_axis(axes: "Axes", spans: Sequence[tuple[float, float]]) -> None:
    """A logarithmic axis of ratios, with plain numbers.

    Its grid is drawn in some spans, and does not cross what is between them.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=_marks(high / low)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    tops, bottoms = zip(*spans, strict=True)
    for mark in axes.get_xticks():
        if not low <= mark <= high:
            continue
        colour, alpha = (INK, 1.0) if mark == 1 else (GREY, 0.3)
        at = [mark] * len(spans)
        axes.vlines(
            at, tops, bottoms, color=colour, alpha=alpha, linewidth=0.8, zorder=0.5
        )
    axes.set_xlim(low, high)
    axes.set_xlabel("time / plain JAX's, 95 % intervals\nshaded: the noise floor")


def _marks(reach: float) -> tuple[float, ...]:
    """The numbers at an axis from 1 to 10, where it reaches from 1 to so much."""
    if reach < 2.5:
        return (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7)
    if reach > 10:
        return (1.0, 2.0, 5.0)
    return (1.0, 1.5, 2.0, 3.0, 5.0)


def colour_of(port: str, ports: Sequence[str]) -> str:
    """The colour of a port among those of a picture."""
    if port in COLOURS:
        return COLOURS[port]
    others = [name for name in ports if name not in COLOURS]
    return OTHERS[others.index(port) % len(OTHERS)]


def marker_of(number: int) -> str:
    """The marker of the first, second, ... of several series."""
    return MARKERS[number % len(MARKERS)]


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are made and written, with text that stays text.

    The same figure gives the same bytes.
    """
    os.environ["MPLBACKEND"] = "agg"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        # instead of a user's settings, which may not even be readable
        Path("matplotlibrc").touch()
        from matplotlib import style
    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        # names may have letters that the font lacks
        warnings.filterwarnings("ignore", "Glyph")
        yield


def themed(figure: "Figure", description: str, ink: str, *, dark: bool = False) -> str:
    """A picture as SVG without a background, for pages of one theme.

    It is drawn in this ink, and has a text alternative.
    """
    buffer = io.BytesIO()
    with drawing():
        # laid out once, and not again for each theme: it takes long
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue().decode().replace(INK, ink)
    if dark:
        text = text.replace(BLUE, "#56b4e9")  # a light one
    return text.replace("<svg ", f"<svg {label_of(description)} ", 1)


def inline(picture: Picture) -> str:
    """A picture as a part of a page, in the colour of its text and in the page's
    blue.
    """
    text = themed(picture.figure, picture.description, "currentColor")
    text = text.replace(BLUE, f"var(--blue, {BLUE})")
    return text[text.index("<svg ") :]


def label_of(description: str) -> str:
    """The attributes of a picture that say what it shows."""
    text = escape(for_terminal(description), quote=True)
    return f'role="img" aria-label="{text}"'
