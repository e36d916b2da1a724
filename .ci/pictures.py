"""Pictures of the published results, for a light page and for a dark one, and whether they still show them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The colour of text on a page of each theme, by the suffix of a picture's name. There is no background.
INKS = {"": "#1f2328", "-dark": "#e3e6ea"}


def draw(docs: Path, *, check: bool) -> list[Path]:
    """Draw what was drawn of other results, or says other numbers than these have, unless this is a check; name it."""
    from trigru.bench.reporting.plots import label_of, themed

    stale = []
    for name, (results, picture_of) in _pictures().items():
        source = docs / "results" / results
        figure, said = picture_of(source)
        drawn_of = f"<!-- {source.name} {hashlib.sha256(source.read_bytes()).hexdigest()[:12]} -->"
        for suffix, ink in INKS.items():
            path = docs / f"{name}{suffix}.svg"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if drawn_of in text and label_of(said) in text:
                continue
            stale.append(path)
            if not check:
                path.write_text(f"{themed(figure, said, ink, dark=bool(suffix))}{drawn_of}\n", encoding="utf-8")
    return stale


def themed_picture(name: str, text: str) -> str:
    """A picture that there is for a light page and for a dark one."""
    return f"![{text}]({name}.svg#only-light)\n![{text}]({name}-dark.svg#only-dark)"


def _pictures() -> dict[str, tuple[str, Callable[[Path], tuple[Any, str]]]]:
    """For each picture: its results, and the function that draws it and describes it in words."""
    from trigru.bench.upgrades.matrix import read
    from trigru.bench.upgrades.tables import matrix_picture

    def releases(path: Path) -> tuple[Any, str]:
        picture = matrix_picture(read(path))
        return picture.figure, picture.description

    return {
        "answer": ("cpu.json.gz", lambda path: _summary(path, quick=True)),
        "answer-all": ("cpu.json.gz", lambda path: _summary(path, quick=False)),
        "releases": ("releases.json", releases),
    }


def _summary(path: Path, *, quick: bool) -> tuple[Any, str]:
    """The whole answer, or that of the workloads that --quick has."""
    import msgspec
    from trigru.bench.analysis.answer import answer
    from trigru.bench.analysis.merge import load
    from trigru.bench.arms.workloads import QUICK
    from trigru.bench.reporting.plots import answer_figure, answer_text

    found = answer(load(path))
    if quick:
        found = msgspec.structs.replace(found, rows=[row for row in found.rows if str(row.workload) in QUICK])
    return answer_figure(found), answer_text(found)
