"""HTML pages of sentences, pictures and tables.

A page is one file, which opens without a network and runs no script.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup, escape

from ...common.errors import for_terminal
from .console import Section
from .plots import Picture, inline

import jinja2  # isort: skip  # after what names a missing extra first


def sheet(
    title: str,
    lines: Sequence[str],
    pictures: Iterable[Picture],
    sections: Iterable[Section],
    origin: Sequence[str],
    more: Sequence[str] = (),
) -> str:
    """A page of sentences, pictures, more sentences, tables, and where they come from.

    All of its text is escaped, and has its control characters shown. Of the tables,
    only details fold out.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    page = environment.get_template("page.html").render(
        title=title,
        lines=lines,
        more=more,
        sections=sections,
        provenance=origin,
        pictures=[Markup(inline(picture)) for picture in pictures],
    )
    return page.lstrip()


def _finalize(value: object) -> str:
    return value if isinstance(value, Markup) else for_terminal(str(value))


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    html = Markup("")
    for number, part in enumerate(line.split("`")):
        text = escape(for_terminal(part))
        is_code = number % 2 == 1
        html += Markup("<code>{}</code>").format(text) if is_code else text
    return html
