"""Write the generated parts of the docs; with --check, fail where one is stale instead."""

import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import catalogue  # this and what follows stand beside this script
import published
from claims import claim_tables
from commands import commands
from decision import decision_tables
from pictures import draw
from releases import release_tables
from sentence import answer_sentences, upgrade_lines
from versions import version_tables

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
EXAMPLE = DOCS.parent / "tests" / "example_port"


def _fenced(language: str, path: Path) -> str:
    return f"```{language}\n{path.read_text(encoding='utf-8')}```"


def recipes() -> str:
    """The table of recipes, in the order of the site, with the length of each framework's code.

    A page with several recipes has a row for each heading that has tabs below it.
    """
    rows, titles = [], {}
    for name in re.findall(r"recipes/(.+\.md)", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")):
        text = (DOCS / "recipes" / name).read_text(encoding="utf-8")
        page, found = text.splitlines()[0].removeprefix("# "), {}
        for part in re.split(r"^## ", text, flags=re.MULTILINE):
            tabs = re.findall(r'^=== "([^"]+)"\n\n    ```python\n(.*?)^    ```', part, re.MULTILINE | re.DOTALL)
            shared = "".join(re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL))
            tabs = [(title, code + shared) for title, code in tabs]
            titles |= dict.fromkeys(title for title, _ in tabs)
            found |= {part.splitlines()[0].removeprefix("# "): tabs} if tabs else {}
        for number, (heading, tabs) in enumerate(found.items()):
            cells = [f"[{len(code.splitlines())} lines]({name}#{_tab(title, number)})" for title, code in tabs]
            link = f"[{page}]({name})" if heading == page else f"[{page}: {_lower(heading)}]({name}#{_slug(heading)})"
            rows.append(f"| {link} | {' | '.join(cells)} |")
    return "\n".join([f"| recipe | {' | '.join(titles)} |", "| --- " * (1 + len(titles)) + "|", *rows])


def _tab(title: str, number: int) -> str:
    """The anchor of a tab, the titles of which come back with each recipe of a page."""
    return _slug(title) + (f"_{number}" if number else "")


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _lower(heading: str) -> str:
    return heading[0].lower() + heading[1:]


def answers() -> str:
    """The answers of the README, in a tab for each framework."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    tabs = []
    for title in ("Flax linen", "Flax NNX", "Equinox"):
        (block,) = re.findall(rf"^\*\*{title}\*\*\n\n(```python\n.*?^```)$", text, re.MULTILINE | re.DOTALL)
        tabs.append(f'=== "{title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


#: The marker of each part, and what writes it.
PARTS: dict[str, Callable[[], str]] = {
    **catalogue.PARTS,
    **published.PARTS,
    "example": lambda: _fenced("python", EXAMPLE / "gru_by_hand.py"),
    "example-project": lambda: _fenced("toml", EXAMPLE / "pyproject.toml"),
    "answer": lambda: answer_sentences(RESULTS, "docs/"),
    "answer-index": lambda: answer_sentences(RESULTS),
    "upgrade": lambda: upgrade_lines(RESULTS),
    **{
        f"claim-{part}": partial(claim_tables, RESULTS, part)
        for part in ("nnx-equinox", "equinox-linen", "nnx-styles", "equinox-styles", "memory")
    },
    "decision": lambda: decision_tables(RESULTS),
    "versions": lambda: version_tables(RESULTS),
    **{f"releases-{part}": partial(release_tables, RESULTS, part) for part in ("sets", "picture", "met")},
    "kernel-sizes": lambda: (RESULTS / "kernel-sizes.md").read_text(encoding="utf-8").strip(),
    "commands": commands,
    "answers": answers,
    "recipes": recipes,
}


def pages() -> dict[Path, str]:
    """Every page with generated parts, as it should be."""
    whole = {DOCS / "results.md": published.results()}
    found = dict(whole)
    for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name, make in PARTS.items():
            block = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            text = block.sub(lambda m, make=make: f"{m[1]}\n{make()}\n\n{m[2]}", text)
        if page not in whole:
            found[page] = text
    return found


def main() -> int:
    """Write, or check."""
    stale = {
        page: text for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text
    }
    pictures = draw(DOCS, check="--check" in sys.argv)
    if "--check" in sys.argv:
        for page in (*stale, *pictures):
            print(
                f"{page.relative_to(DOCS.parent)} is stale: run .venv/bin/python .ci/generate_docs.py", file=sys.stderr
            )
        return bool(stale or pictures)
    for page, text in stale.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
