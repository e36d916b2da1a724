"""Pictures as a part of a page.

The answer of a run is drawn here, with the colours, markers and axes that all pictures
share.
"""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import for_terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The colour of text: almost black in a file, and in a page whatever its text has.
INK = "#010203"
#: Okabe and Ito's colours by port, which colour-blind people can distinguish
#: (https://jfly.uni-koeln.de/color/). Plain JAX has the colour of text.
COLOURS = {"pure": INK, "linen": "#E69F00", "nnx": "#0072B2", "equinox": "#009E73"}
BLUE = "#0072b2"
OTHERS = ("#CC79A7", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"
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
