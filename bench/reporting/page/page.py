"""A page: one HTML file of sentences, pictures and tables. It opens without a network and runs no script."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..inert import for_terminal
from ..plots.figures import Picture, inline
from ..sections import Section


@dataclass(frozen=True)
class Part:
    """What a page has of one run, or of all that it is about.

    Args:
        name: its heading; empty where the page has one part.
        lines: sentences.
        provenance: where the numbers come from.
    """

    name: str
    lines: Sequence[str]
    pictures: Iterable[Picture]
    sections: Sequence[Section]
    provenance: Sequence[str]


def page(title: str, parts: Iterable[Part]) -> str:
    """The page with these parts side by side. All of their text is escaped, and has its control characters shown."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    drawn = [
        {
            "name": part.name,
            "lines": list(part.lines),
            "pictures": [Markup(inline(picture.figure, picture.description)) for picture in part.pictures],
            "sections": list(part.sections),
            "provenance": list(part.provenance),
        }
        for part in parts
    ]
    text = environment.get_template("page.html").render(title=title, parts=drawn, style=Markup(_text("page.css")))
    return text.lstrip()


def sheet(
    title: str,
    lines: Sequence[str],
    pictures: Iterable[Picture],
    sections: Sequence[Section],
    provenance: Sequence[str],
) -> str:
    """A page with a single part."""
    return page(title, [Part("", lines, pictures, sections, provenance)])


def _inert(value: Any) -> Any:
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    parts = (escape(for_terminal(part)) for part in line.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _text(name: str) -> str:
    return (files("trigru.bench.reporting.page") / name).read_text("utf-8")
