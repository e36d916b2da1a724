"""A small page of tables and pictures, without scripts: of a training, of cold starts, of two runs."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from ..plots.figures import Picture, inline
from ..sections import Section
from .template import part, render


def sheet(
    title: str,
    lines: Iterable[str],
    pictures: Iterable[Picture],
    sections: Sequence[Section],
    provenance: Iterable[str],
) -> str:
    """One HTML file, which opens without a network.

    Args:
        lines: what there is to say, in sentences.
        provenance: where the numbers come from.
    """
    return render(
        "sheet.html",
        title=title,
        lines=list(lines),
        pictures=[Markup(inline(picture.figure, picture.description)) for picture in pictures],
        sections=sections,
        provenance=list(provenance),
        styles=[part("page.css")],
    )
