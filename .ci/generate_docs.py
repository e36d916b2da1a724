"""Write the generated parts of the docs; with --check, fail where one is stale instead."""

import re
import sys
import textwrap
from pathlib import Path

import catalogue  # this and what follows stand beside this script
import published
import releases

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "example_port"


def fenced(language: str, path: Path) -> str:
    """A file as a block of code."""
    return f"```{language}\n{path.read_text(encoding='utf-8')}```"


def answers() -> str:
    """The answers of the README, in a tab for each framework."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tabs = []
    for title in ("Flax linen", "Flax NNX", "Equinox"):
        (block,) = re.findall(rf"^\*\*{title}\*\*\n\n(```python\n.*?^```)$", text, re.MULTILINE | re.DOTALL)
        tabs.append(f'=== "{title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


#: The marker of each part, and the function that writes it.
PARTS = {
    **catalogue.PARTS,
    **published.PARTS,
    **releases.PARTS,
    "example": lambda: fenced("python", EXAMPLE / "gru_by_hand.py"),
    "example-project": lambda: fenced("toml", EXAMPLE / "pyproject.toml"),
    "answers": answers,
}
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Write, or check; 1 if something is stale."""
    check, stale = "--check" in sys.argv, []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = MARKED.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}", old)
        if new != old:
            stale.append(page)
            if not check:
                page.write_text(new, encoding="utf-8")
    stale += releases.draw_pictures(check=check)
    for path in stale if check else ():
        print(f"{path.relative_to(ROOT)} is stale: run .venv/bin/python .ci/generate_docs.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
