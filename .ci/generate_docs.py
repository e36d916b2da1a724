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
from recipes import recipes
from releases import release_tables
from sentence import answer_sentences, upgrade_lines
from versions import version_tables

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
EXAMPLE = DOCS.parent / "tests" / "example_port"


def _fenced(language: str, path: Path) -> str:
    return f"```{language}\n{path.read_text(encoding='utf-8')}```"


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
