"""Pictures of the published answer, and whether they still show it."""

from pathlib import Path
from typing import Any


def draw(docs: Path, *, check: bool) -> list[Path]:
    """Draw what shows other numbers than the results have, unless this is a check, and name it."""
    from trigru.bench.reporting.plots.figures import label_of, write_figure

    drawn = _answers(docs)
    stale = [path for path, (_, said) in drawn.items() if not path.exists() or label_of(said) not in path.read_text()]
    for path in () if check else stale:
        write_figure(drawn[path][0], path, drawn[path][1])
    return stale


def _answers(docs: Path) -> dict[Path, tuple[Any, str]]:
    """The whole answer, and that of the workloads that --quick has; each with what it shows in words."""
    import msgspec
    from trigru.bench.analysis.answer import WAYS, answer
    from trigru.bench.arms.workloads import QUICK
    from trigru.bench.reporting.plots.answer import answer_figure, answer_text
    from trigru.bench.results.files import load

    whole = answer(load(docs / "results" / "cpu.json"))
    first = msgspec.structs.replace(whole, rows=[row for row in whole.rows if str(row.workload) in QUICK])
    return {
        docs / name: (answer_figure(found, WAYS), " ".join(answer_text(found, way) for way in WAYS))
        for name, found in (("answer.svg", first), ("answer-all.svg", whole))
    }
