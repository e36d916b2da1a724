"""The recipes of the docs as programs."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
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
