"""A page: one HTML file of sentences, pictures and tables. It opens without a network and runs no script."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from .inert import for_terminal
from .plots import Picture, inline
from .sections import Section


def sheet(
    title: str,
    lines: Sequence[str],
    pictures: Iterable[Picture],
    sections: Sequence[Section],
    provenance: Sequence[str],
    more: Sequence[str] = (),
) -> str:
    """A page of sentences, pictures, more sentences and tables, which fold out, and where the numbers come from.

    All of its text is escaped, and has its control characters shown. Of the tables, only details fold out.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else for_terminal(str(value)),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["coded"] = _coded
    page = environment.get_template("page.html").render(
        title=title, lines=lines, more=more, sections=sections, provenance=provenance,
        pictures=[Markup(inline(picture.figure, picture.description)) for picture in pictures],
    )  # fmt: skip
    return page.lstrip()


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    parts = (escape(for_terminal(part)) for part in line.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))
