"""The recipes of the docs as programs, and their table."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "recipes"
_TAB = re.compile(r'^=== "([^"]+)"\n\n    ```python\n(.*?)^    ```', re.MULTILINE | re.DOTALL)
_SHARED = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Program:
    """A tab's code on a page, and what the frameworks share below it.

    Args:
        page: its file's name.
        heading: that it stands below.
        title: of its tab.
        code: without the tab's indentation.
        line: of the page, before the code.
    """

    page: str
    heading: str
    title: str
    code: str
    line: int


def programs() -> Iterator[Program]:
    """Every tab of every recipe, in the order of the site."""
    for name in re.findall(r"recipes/(.+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")):
        text = (FOLDER / name).read_text(encoding="utf-8")
        starts = [match.start() for match in re.finditer(r"^##? ", text, re.MULTILINE)]
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            heading, _, part = text[start:end].partition("\n")
            shared = "".join(_SHARED.findall(part))
            for tab in _TAB.finditer(part):
                line = text[: start + len(heading) + 1 + tab.start(2)].count("\n")
                yield Program(name, heading.lstrip("# "), tab[1], textwrap.dedent(tab[2]) + shared, line)


def recipes() -> str:
    """The table of recipes, with the length of each framework's code.

    A page with several recipes has a row for each heading that has tabs below it.
    """
    rows, titles = [], {}
    for page, those in groupby(programs(), lambda program: program.page):
        title = (FOLDER / page).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        for number, (heading, tabs) in enumerate(groupby(those, lambda program: program.heading)):
            cells = {tab.title: f"[{len(tab.code.splitlines())} lines]({page}#{_anchor(tab, number)})" for tab in tabs}
            titles |= dict.fromkeys(cells)
            name = heading[0].lower() + heading[1:]
            link = f"[{title}]({page})" if heading == title else f"[{title}: {name}]({page}#{_slug(heading)})"
            rows.append(f"| {link} | {' | '.join(cells.values())} |")
    return "\n".join([f"| recipe | {' | '.join(titles)} |", "| --- " * (1 + len(titles)) + "|", *rows])


def _anchor(tab: Program, number: int) -> str:
    """The anchor of a tab, the titles of which come back with each recipe of a page."""
    return _slug(tab.title) + (f"_{number}" if number else "")


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")
