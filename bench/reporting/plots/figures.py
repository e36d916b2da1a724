"""Pictures as files, and as a part of a page: colours and markers of the frameworks, and how a figure is written."""

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

from ....common.files import write_whole
from ...analysis.statistics import Comparison
from ..inert import for_terminal

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
#: Of each picture, one for documents and one for pages.
SUFFIXES = (".png", ".svg")
_DRAWN_IN_INK = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its files without a suffix, and what it shows in words."""

    name: str
    figure: "Figure"
    description: str

    def write(self, folder: Path) -> list[Path]:
        """Write it into a folder, once for each suffix; returns the files."""
        paths = [folder / f"{self.name}{suffix}" for suffix in SUFFIXES]
        for path in paths:
            write_figure(self.figure, path, self.description)
        return paths


def remove_picture(name: str, folder: Path) -> None:
    """Remove the files of an earlier picture of that name."""
    for suffix in SUFFIXES:
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


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


def draw_ratio(
    axes: "Axes", y: float, ratio: Comparison, colour: str, marker: str = "o", *, filled: bool = True
) -> None:
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


def ratio_axis(axes: "Axes", label: str) -> None:
    """A logarithmic axis of ratios, with plain numbers, and a line at 1."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    marks = (1.0, 2.0, 5.0) if high / low > 10 else (1.0, 1.5, 2.0, 3.0, 5.0)
    if high / low < 2.5:
        marks = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=marks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(label)


def write_figure(figure: "Figure", path: Path, description: str = "") -> None:
    """Write a picture, whole or not at all. The suffix of its path gives the format.

    Args:
        description: its text alternative, where the format has one.
    """
    with drawing():
        content = _saved(figure, path.suffix[1:])
    write_whole(path, described(content.decode(), description).encode() if path.suffix == ".svg" else content)


def themed(figure: "Figure", description: str, ink: str, *, dark: bool = False) -> str:
    """A picture as SVG without a background, drawn in this ink: for pages of one theme."""
    with drawing():
        text = _saved(figure, "svg", transparent=True).decode()
    text = text.replace(BLUE, LIGHT_BLUE) if dark else text
    return described(text.replace(INK, ink), description)


def inline(figure: "Figure", description: str) -> str:
    """A picture as a part of a page, in the colour of its text and in the page's blue, with a text alternative."""
    with drawing():
        text = _saved(figure, "svg", transparent=True).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg ") :], flags=re.DOTALL)
    text = text.replace(INK, "currentColor").replace(BLUE, f"var(--blue, {BLUE})")
    return described(text, description)


def described(svg: str, description: str) -> str:
    """A picture with its text alternative."""
    return svg.replace("<svg ", f"<svg {label_of(description)} ", 1) if description else svg


def label_of(description: str) -> str:
    """The attributes of a picture that say what it shows."""
    return f'role="img" aria-label="{escape(for_terminal(description), quote=True)}"'


def _saved(figure: "Figure", kind: str, *, transparent: bool = False) -> bytes:
    engine = figure.get_layout_engine()
    if engine is not None:  # once, and not again for each file: it takes longer than to draw
        engine.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(buffer, format=kind, dpi=110, transparent=transparent, metadata=metadata)
    return buffer.getvalue()
