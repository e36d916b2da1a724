"""Pictures as a part of a page: the answer of a run, and the colours, markers and axes that all pictures share."""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ...common.errors import for_terminal
from ..analysis.answer import COMPARED, Answer, AnswerRow
from .naming import CALLED, PHASES, measured_on, name_of
from .numbers import format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colour of text: almost black in a file, and in a page whatever its text has.
INK = "#010203"
#: Okabe and Ito's colours by port, which colour-blind people can distinguish (https://jfly.uni-koeln.de/color/). Plain
#: JAX and everything that is no framework is drawn in the colour of text.
COLOURS = {"pure": INK, "linen": "#E69F00", "nnx": "#0072B2", "equinox": "#009E73"}
BLUE = "#0072b2"
OTHERS = ("#CC79A7", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
GREY = "#888888"
#: Lines: the heading of a row, and the gap below a row.
HEADING, GAP = 1.0, 0.4
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trigru",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
} | dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
    INK,
)


@dataclass(frozen=True)
class Picture:
    """A figure, and what it shows in words."""

    figure: "Figure"
    description: str


def answer_picture(found: Answer) -> Picture:
    """The picture of an answer, with its times in words."""
    shown = {
        CALLED[label].capitalize(): [row.cells.get(label, {}) for row in found.rows]
        for label in COMPARED
    }
    shown["Half filled, the fastest that keeps state"] = [
        row.keeping for row in found.rows
    ]
    texts = []
    for title, of_rows in shown.items():
        times = [
            f"{PHASES[row.phase]}, {row.baseline.shape}: "
            + ", ".join(
                f"{name_of(port)} {format_time(b.median_s)}"
                for port, b in cells.items()
            )
            for row, cells in zip(found.rows, of_rows, strict=True)
            if cells
        ]
        if times:
            texts.append(
                f"{title}: time of a call over plain JAX's, with 95 % intervals. {'; '.join(times)}."
            )
    return Picture(answer_figure(found), " ".join(texts))


def answer_figure(found: Answer) -> "Figure":
    """A line for each framework in each row, over plain JAX: hollow as documented, filled in functional style.

    Half filled is the fastest style of a framework that keeps state, where that is neither.
    """
    timed = [
        [
            port
            for port in found.ports
            if any(port in cells for cells in row.cells.values())
        ]
        for row in found.rows
    ]
    height = sum(HEADING + len(ports) + GAP for ports in timed)
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        # inches: as wide as a phone's screen; lines, and margins with the legend
        figure = Figure(figsize=(4.4, 0.2 * height + 1.3 + 0.25), layout="constrained")
        axes = figure.subplots()
        ticks: dict[float, str] = {}
        spans: list[tuple[float, float]] = []
        at: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "va": "center",
            "annotation_clip": False,
        }
        y = 0.0
        for row, ports in zip(found.rows, timed, strict=True):
            axes.annotate(
                for_terminal(f"{PHASES[row.phase]}, {row.baseline.shape}"),
                (0.01, y),
                weight="bold",
                **at,
            )
            y += HEADING
            spans.append((y - 0.5, y - 0.5 + len(ports)))
            low, high = 1 / (1 + row.baseline.floor), 1 + row.baseline.floor
            axes.add_patch(
                Rectangle(
                    (low, y - 0.5),
                    high - low,
                    len(ports),
                    color=GREY,
                    alpha=0.35,
                    linewidth=0,
                )
            )
            for port in ports:
                axes.annotate(_draw(axes, y, found, row, port), (1.02, y), **at)
                ticks[y] = for_terminal(name_of(port))
                y += 1
            y += GAP
        axes.set_ylim(height, -0.7)
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.tick_params(axis="y", length=0)
        _ratio_axis(axes, spans)
        axes.set_xlabel(
            "\n".join(
                [axes.get_xlabel(), *wrap(for_terminal(measured_on(found.run)), 50)]
            )
        )
        kept = (
            "    ◐ faster, keeps state"
            if any(row.keeping for row in found.rows)
            else ""
        )
        figure.suptitle(f"○ as documented{kept}    ● functional style", fontsize=9)
    return figure


def _draw(axes: "Axes", y: float, found: Answer, row: AnswerRow, port: str) -> str:
    """Draw a framework's line, from the documented call to the functional one; returns its times."""
    shown = list(
        {
            cells[port].name: cells[port]
            for cells in row.cells.values()
            if port in cells
        }.values()
    )
    colour = colour_of(port, found.ports)
    look: dict[str, Any] = {
        "marker": marker_of(found.ports.index(port)),
        "markersize": 4.5,
        "color": colour,
    }
    axes.plot(
        [b.comparison.ratio for b in shown],
        [y] * len(shown),
        color=colour,
        linewidth=0.8,
        alpha=0.6,
    )
    for b in shown:
        fill = colour if b is shown[-1] else "none"
        c = b.comparison
        whiskers = [[c.ratio - c.low], [c.high - c.ratio]]
        axes.errorbar(
            [c.ratio],
            [y],
            xerr=whiskers,
            markerfacecolor=fill,
            linewidth=1.4,
            capsize=2.5,
            **look,
        )
    if kept := row.keeping.get(port):
        axes.plot(
            [kept.comparison.ratio],
            [y],
            fillstyle="left",
            markerfacecoloralt="none",
            **look,
        )
    return " → ".join(format_time(b.median_s) for b in shown)


def _ratio_axis(axes: "Axes", spans: Sequence[tuple[float, float]]) -> None:
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
            looks: dict[str, Any] = (
                {"color": INK} if mark == 1 else {"color": GREY, "alpha": 0.3}
            )
            axes.vlines(
                [mark] * len(spans),
                *zip(*spans, strict=True),
                linewidth=0.8,
                zorder=0.5,
                **looks,
            )
    axes.set_xlim(low, high)
    axes.set_xlabel("time / plain JAX's, 95 % intervals\nshaded: the noise floor")


def colour_of(port: str, ports: Sequence[str]) -> str:
    """The colour of a port among those of a picture."""
    others = [name for name in ports if name not in COLOURS]
    return COLOURS.get(port) or OTHERS[others.index(port) % len(OTHERS)]


def marker_of(number: int) -> str:
    """The marker of the first, second, ... of several series."""
    return MARKERS[number % len(MARKERS)]


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are made and written: with text that stays text, and the same bytes for the same figure."""
    os.environ["MPLBACKEND"] = "agg"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path(
            "matplotlibrc"
        ).touch()  # instead of a user's settings, which may not even be readable
        from matplotlib import style
    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph"
        )  # names may have letters that the font lacks
        yield


def themed(figure: "Figure", description: str, ink: str, *, dark: bool = False) -> str:
    """A picture as SVG without a background, drawn in this ink, with a text alternative: for pages of one theme."""
    buffer = io.BytesIO()
    with drawing():
        if (
            engine := figure.get_layout_engine()
        ) is not None:  # once, and not again for each theme: it takes long
            engine.execute(figure)
            figure.set_layout_engine(None)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue().decode().replace(INK, ink)
    text = text.replace(BLUE, "#56b4e9") if dark else text  # a light one
    return text.replace("<svg ", f"<svg {label_of(description)} ", 1)


def inline(picture: Picture) -> str:
    """A picture as a part of a page, in the colour of its text and in the page's blue."""
    text = themed(picture.figure, picture.description, "currentColor").replace(
        BLUE, f"var(--blue, {BLUE})"
    )
    return text[text.index("<svg ") :]


def label_of(description: str) -> str:
    """The attributes of a picture that say what it shows."""
    return f'role="img" aria-label="{escape(for_terminal(description), quote=True)}"'
