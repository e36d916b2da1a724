"""The parts of the docs that show the published matrix of releases, and the pictures of published results."""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from textwrap import shorten

from published import quick  # which stands beside this script
from trigru.bench.analysis.answer import Answer, answer
from trigru.bench.analysis.merge import load
from trigru.bench.reporting.plots import Picture, answer_figure, answer_text, label_of, themed
from trigru.bench.reporting.sections import markdown_table
from trigru.bench.upgrades.matrix import Matrix, read
from trigru.bench.upgrades.tables import change_lines, matrix_picture, matrix_tables

DOCS = Path(__file__).parents[1] / "docs"
#: The version set whose report is shown, the kind of change that fails there, how many lines, and their longest.
SHOWN, FAIL_ON, LINES, LONGEST = "2026-05-15", "function", 5, 100
#: The colour of text on a page of each theme, by the suffix of a picture's name. There is no background.
INKS = {"": "#1f2328", "-dark": "#e3e6ea"}


@cache
def matrix() -> Matrix:
    """The published matrix."""
    return read(DOCS / "results" / "releases.json")


def sets() -> str:
    """The version sets."""
    of, (section, *_) = matrix(), matrix_tables(matrix())
    origin = f"{of.datetime[:10]}, {of.device}, Python {of.rows[0].python}: `{' '.join(of.command)}`."
    return "\n\n".join([markdown_table(section), *section.notes, origin])


def picture() -> str:
    """The lines of Python in a train step, for a light page and for a dark one."""
    drawn = matrix_picture(matrix())
    assert drawn is not None
    return f"![{drawn.description}](releases.svg#only-light)\n![{drawn.description}](releases-dark.svg#only-dark)"


def upgrade() -> str:
    """The first lines that `trigru diff` prints for a version set of the published matrix, cut at the right."""
    rows = matrix().rows
    number = next(i for i, row in enumerate(rows) if row.name == SHOWN)
    before, after = rows[number - 1].versions, rows[number]
    moved = [f"{name} {before[name]} -> {after.versions[name]}" for name in ("jax", "flax")]
    head, *rest = change_lines(after.moved, [FAIL_ON])
    total = sum(sum(kinds.values()) for kinds in after.counts.values())  # of which few are in the file
    head = head.replace(f"of {len(after.moved)}.", f"of {total}.")
    lines = [head, f"Versions: {', '.join(moved)}, and others.", *rest]
    cut = [shorten(line, LONGEST, placeholder=" [...]") for line in lines[:LINES]]
    return "\n".join(["```text", *cut, "[...]", "```"])


def draw_pictures(*, check: bool) -> list[Path]:
    """Draw the pictures that show other results than the files have, unless this is a check; return their paths."""
    stale = []
    for name, (file, picture_of) in PICTURES.items():
        source = DOCS / "results" / file
        picture = picture_of(source)
        assert picture is not None, f"{file} has nothing to draw"
        origin = f"<!-- {file} {hashlib.sha256(source.read_bytes()).hexdigest()[:12]} -->"
        for suffix, ink in INKS.items():
            path = DOCS / f"{name}{suffix}.svg"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if origin in text and label_of(picture.description) in text:
                continue
            stale.append(path)
            if not check:
                drawn = themed(picture.figure, picture.description, ink, dark=bool(suffix))
                path.write_text(f"{drawn}{origin}\n", encoding="utf-8")
    return stale


def _answer_picture(path: Path, of: Callable[[Answer], Answer] = lambda whole: whole) -> Picture:
    some = of(answer(load(path)))
    return Picture(answer_figure(some), answer_text(some))


#: Each picture with its results and the function that draws it.
PICTURES: dict[str, tuple[str, Callable[[Path], Picture | None]]] = {
    "answer": ("cpu.json.gz", partial(_answer_picture, of=quick)),
    "answer-all": ("cpu.json.gz", _answer_picture),
    "releases": ("releases.json", lambda path: matrix_picture(read(path))),
}
PARTS: dict[str, Callable[[], str]] = {"releases-sets": sets, "releases-picture": picture, "upgrade": upgrade}
