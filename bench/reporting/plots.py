"""Pictures as a part of a page: the answer of a run, and the colours, markers and axes that all pictures share."""

import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.port.protocol import FUNCTIONAL
from ..analysis.answer import WAYS, Answer, Cell, Row
from .inert import for_terminal
from .naming import CALLED, PHASES, name_of
from .numbers import Interval, format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours by port, which colour-blind people can distinguish (https://jfly.uni-koeln.de/color/). Plain
#: JAX and everything that is no framework is drawn in the colour of text.
COLOURS = {"linen": "#E69F00", "nnx": "#0072B2", "equinox": "#009E73"}
#: Blue that is light enough for a dark background.
BLUE, LIGHT_BLUE = "#0072b2", "#56b4e9"
OTHERS = ("#CC79A7", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
#: The colour of text: almost black in a file, and in a page whatever its text has.
INK = "#010203"
GREY = "#888888"
#: Inches: of the picture, as wide as a phone's screen, of a line in it, of its margins and of its legend.
WIDTH, LINE, MARGINS, LEGEND = 4.4, 0.2, 1.0, 0.25
#: Lines: the heading of a row, and the gap below a row.
HEADING, GAP = 1.0, 0.4
_DRAWN_IN_INK = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


@dataclass(frozen=True)
class Picture:
    """A figure, and what it shows in words."""

    figure: "Figure"
    description: str


def answer_picture(found: Answer) -> Picture | None:
    """Each framework's time over that of plain JAX, in both ways; None where none was timed in either."""
    return Picture(answer_figure(found), answer_text(found)) if found.rows else None


def answer_text(found: Answer) -> str:
    """What the picture shows, in words."""
    texts = [
        _text(CALLED[way].capitalize(), [(row, row.cells[way]) for row in found.rows if way in row.cells])
        for way in WAYS
    ]
    kept = _text("Half filled, the fastest that keeps state", [(row, row.keeping) for row in found.rows if row.keeping])
    return " ".join(filter(None, [*texts, kept]))


def answer_figure(found: Answer) -> "Figure":
    """A line for each framework in each row, over plain JAX: hollow as documented, filled in functional style.

    Half filled is the fastest style of a framework that keeps state, where that is neither.
    """
    ports = [[port for port in found.ports if _cells(row, port)] for row in found.rows]
    height = sum(HEADING + len(of_row) + GAP for of_row in ports)
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, LINE * height + MARGINS + LEGEND), layout="constrained")
        axes = figure.subplots()
        ticks: dict[float, str] = {}
        spans: list[tuple[float, float]] = []
        y = 0.0
        for row, of_row in zip(found.rows, ports, strict=True):
            at = {"xycoords": axes.get_yaxis_transform(), "va": "center", "annotation_clip": False}
            axes.annotate(for_terminal(title_of(row)), (0.01, y), weight="bold", **at)
            y += HEADING
            shade_floor(axes, y - 0.5, row.floor, len(of_row))
            spans.append((y - 0.5, y - 0.5 + len(of_row)))
            for port in of_row:
                text = _draw(axes, y, found, port, _cells(row, port), row.keeping.get(port))
                axes.annotate(text, (1.02, y), **at)
                ticks[y] = name_of(port)
                y += 1
            y += GAP
        axes.set_ylim(height, -0.7)
        axes.set_yticks(list(ticks), list(map(for_terminal, ticks.values())))
        axes.tick_params(axis="y", length=0)
        ratio_axis(axes, "time / plain JAX's, 95 % intervals\nshaded: the noise floor", spans)
        kept = "    ◐ faster, keeps state" if any(row.keeping for row in found.rows) else ""
        figure.suptitle(f"○ as documented{kept}    ● functional style", fontsize=9)
    return figure


def title_of(row: Row) -> str:
    """What is measured in a row.

    >>> from ..results.arm import Sized
    >>> title_of(Row(Sized("question"), "B=1 T=50 D=20 H=200", "train_step", 0.01, {}, {}, {}, {}))
    'train step, B=1 T=50 D=20 H=200'
    """
    return f"{PHASES[row.phase]}, {row.shape}"


def _text(title: str, rows: list[tuple[Row, dict[str, Cell]]]) -> str:
    texts = [
        f"{title_of(row)}: " + ", ".join(f"{name_of(port)} {format_time(cell.time_s)}" for port, cell in cells.items())
        for row, cells in rows
    ]
    about = f"{title}: time of a call over plain JAX's, with 95 % intervals."
    return f"{about} {'; '.join(texts)}." if texts else ""


def _cells(row: Row, port: str) -> dict[str, Cell]:
    """What a framework takes in each way in which it was timed."""
    return {way: cells[port] for way, cells in row.cells.items() if port in cells}


def _draw(axes: "Axes", y: float, found: Answer, port: str, cells: dict[str, Cell], kept: Cell | None) -> str:
    """Draw a framework's line; returns its times."""
    colour, marker = colour_of(port, found.ports), marker_of(found.ports.index(port))
    first, then = next(iter(cells.values())), cells.get(FUNCTIONAL)
    moves = then is not None and then.style != first.style
    draw_ratio(axes, y, first, colour, marker, filled=not moves)
    if kept is not None:
        look: dict[str, Any] = {"fillstyle": "left", "markerfacecoloralt": "none", "markersize": 4.5, "color": colour}
        axes.plot([kept.ratio], [y], marker=marker, **look)
    if then is None or not moves:
        return format_time(first.time_s)
    axes.plot([first.ratio, then.ratio], [y, y], color=colour, linewidth=0.8, alpha=0.6)
    draw_ratio(axes, y, then, colour, marker)
    return f"{format_time(first.time_s)} → {format_time(then.time_s)}"


def colour_of(port: str, ports: Sequence[str]) -> str:
    """The colour of a port among those of a picture."""
    if port == "pure":
        return INK
    others = [name for name in ports if name not in COLOURS and name != "pure"]
    return COLOURS.get(port) or OTHERS[others.index(port) % len(OTHERS)]


def marker_of(number: int) -> str:
    """The marker of the first, second, ... of several series."""
    return MARKERS[number % len(MARKERS)]


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are made and written: with text that stays text, and the same bytes for the same figure."""
    _import_without_settings()
    from matplotlib import style

    own: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "trigru", "font.size": 9, "text.parse_math": False}
    own |= {"axes.spines.top": False, "axes.spines.right": False} | dict.fromkeys(_DRAWN_IN_INK, INK)
    with style.context(["default", own]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names may have letters that the font lacks
        yield


def _import_without_settings() -> None:
    """Import matplotlib from a folder whose settings are empty: those of the user may not even be readable."""
    if "matplotlib" in sys.modules:
        return
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    before = {name: os.environ.get(name) for name in own}
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        Path("matplotlibrc").touch()
        os.environ.update(own)
        try:
            import matplotlib  # noqa: F401
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def draw_ratio(axes: "Axes", y: float, ratio: Interval, colour: str, marker: str = "o", *, filled: bool = True) -> None:
    """A ratio with its interval, as a marker with whiskers."""
    reach = [[ratio.ratio - ratio.low], [ratio.high - ratio.ratio]]
    fill = colour if filled else "none"
    axes.errorbar(
        [ratio.ratio], [y], xerr=reach,
        color=colour, marker=marker, markersize=4.5, markerfacecolor=fill, linewidth=1.4, capsize=2.5,
    )  # fmt: skip


def shade_floor(axes: "Axes", y: float, floor: float, lines: int) -> None:
    """The noise floor about a ratio of 1, over some lines."""
    from matplotlib.patches import Rectangle

    low = 1 / (1 + floor)
    axes.add_patch(Rectangle((low, y), 1 + floor - low, lines, color=GREY, alpha=0.35, linewidth=0))


def ratio_axis(axes: "Axes", label: str, spans: Sequence[tuple[float, float]]) -> None:
    """A logarithmic axis of ratios, with plain numbers, and a grid in some spans: it does not cross what is between."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    marks = (1.0, 2.0, 5.0) if high / low > 10 else (1.0, 1.5, 2.0, 3.0, 5.0)
    if high / low < 2.5:
        marks = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=marks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    for mark in axes.get_xticks():
        if low <= mark <= high:
            looks: dict[str, Any] = {"color": INK} if mark == 1 else {"color": GREY, "alpha": 0.3}
            axes.vlines([mark] * len(spans), *zip(*spans, strict=True), linewidth=0.8, zorder=0.5, **looks)
    axes.set_xlim(low, high)
    axes.set_xlabel(label)


def themed(figure: "Figure", description: str, ink: str, *, dark: bool = False) -> str:
    """A picture as SVG without a background, drawn in this ink: for pages of one theme."""
    with drawing():
        text = _saved(figure)
    text = text.replace(BLUE, LIGHT_BLUE) if dark else text
    return described(text.replace(INK, ink), description)


def inline(figure: "Figure", description: str) -> str:
    """A picture as a part of a page, in the colour of its text and in the page's blue, with a text alternative."""
    with drawing():
        text = _saved(figure)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg ") :], flags=re.DOTALL)
    text = text.replace(INK, "currentColor").replace(BLUE, f"var(--blue, {BLUE})")
    return described(text, description)


def described(svg: str, description: str) -> str:
    """A picture with its text alternative."""
    return svg.replace("<svg ", f"<svg {label_of(description)} ", 1) if description else svg


def label_of(description: str) -> str:
    """The attributes of a picture that say what it shows."""
    return f'role="img" aria-label="{escape(for_terminal(description), quote=True)}"'


def _saved(figure: "Figure") -> str:
    """As SVG without a background."""
    engine = figure.get_layout_engine()
    if engine is not None:  # once, and not again for each theme: it takes longer than to draw
        engine.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue().decode()
