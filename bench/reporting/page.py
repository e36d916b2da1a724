"""HTML pages of sentences, pictures and tables.

A page is one file, which opens without a network and can be read without its script:
that lets a button copy the code beside it.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from ...common.errors import for_terminal
from .advice import Written
from .console import Section
from .plots import Picture, inline

import jinja2  # isort: skip  # after what names a missing extra first

#: How a sentence begins that a reader has to heed first.
WARNINGS = ("FAILED", "INTERRUPTED", "Busy machine", "No answer can be given")
SCRIPT = """
for (const button of document.querySelectorAll("button")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
  });
}
"""


@dataclass(frozen=True)
class Paragraphs:
    """Sentences that belong together."""

    lines: Sequence[str]  # in which code stands between grave accents
    heading: str = ""
    small: str = ""  # beside the heading


@dataclass(frozen=True)
class Fold:
    """Sentences and tables that a reader folds out."""

    title: str
    hint: str  # what is in it
    sections: Sequence[Section] = ()
    lines: Sequence[str] = ()


def origin_fold(lines: Sequence[str]) -> Fold:
    """Where the numbers of a page come from."""
    hint = "what was run, where and with what"
    return Fold("Machine and versions", hint, lines=lines)


@dataclass(frozen=True)
class Page:
    """What stands on a page, from its top to its end."""

    title: str
    origin: str = ""  # the machine and versions, in a line
    warnings: Sequence[str] = ()
    lead: Sequence[Paragraphs] = ()
    #: By how they are shown: "wide" on a desktop, "narrow" on a phone, "" on both.
    pictures: Sequence[tuple[str, Picture]] = ()
    written: Sequence[Written] = ()
    sections: Sequence[Section] = ()
    folds: Sequence[Fold] = ()


def html_of(page: Page) -> str:
    """The HTML of a page.

    All of its text is escaped, and has its control characters shown.
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
    pictures = []
    for shown, picture in page.pictures:
        pictures.append({"shown": shown, "svg": Markup(inline(picture))})
    digest = hashlib.sha256(SCRIPT.encode()).digest()
    html = environment.get_template("page.html").render(
        page=page,
        pictures=pictures,
        warnings=WARNINGS,
        script=Markup(SCRIPT),
        script_hash=f"sha256-{b64encode(digest).decode()}",
    )
    return html.lstrip()


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
