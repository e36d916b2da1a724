"""The answer of the published runs in a few sentences, and lines of an upgrade report, for README and index."""

from pathlib import Path
from textwrap import shorten

import numpy as np
from decision import KEEPING, Measured  # beside this script
from trigru.bench.analysis.answer import Cell
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.naming import name_of
from trigru.bench.reporting.numbers import count, format_interval, format_time
from trigru.bench.upgrades.changes import FAILING
from trigru.bench.upgrades.matrix import read
from trigru.bench.upgrades.tables import change_lines
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

STEP, SHORT, COMMON = ("question", "step"), ("question", "train_step"), ("medium", "train_step")
#: The version set of the published matrix whose report is shown, how many of its lines, and their longest.
SHOWN, LINES, LONGEST = "2025-09-15", 6, 100


def answer_sentences(results: Path, docs: str = "") -> str:
    """One step as documented, what to write instead, training, what other versions change, and where it was measured.

    Args:
        docs: what leads from the page to the docs.
    """
    new, old = (Measured(load(results / f"{name}.json.gz")) for name in ("cpu", "cpu-py311"))
    step, common = new.row(*STEP), new.row(*COMMON)
    documented = sorted(step.cells[DOCUMENTED].items(), key=lambda item: item[1].ratio)
    functional = [f"{name_of(p)} {format_time(step.cells[FUNCTIONAL][p].time_s)}" for p, _ in documented[1:]]
    apart = max((d for d in common.pairs[DOCUMENTED]), key=lambda d: max(d.ratio, 1 / d.ratio))
    most = (apart.ratio, apart.low, apart.high)
    most = most if apart.ratio > 1 else (1 / apart.ratio, 1 / apart.high, 1 / apart.low)
    linen = [m.row(*SHORT).cells[DOCUMENTED]["linen"] for m in (new, old)]
    kept = [
        f"{format_time(float(np.median(arm.time_s)))} with `{name}`"
        for style, name in KEEPING.items()
        if (arm := new.arm(*STEP, "nnx", style))
    ]
    machine = new.run.trigru.machine
    first, *others = (f"{name_of(port)} {_time(cell)}" for port, cell in documented)
    return "\n".join(
        [
            f"- **One time step a call, as documented** ({new.size(*STEP)}): "
            f"{'; '.join((f'{first} times plain JAX', *others))}.",
            f"- **With a line changed:** NNX {', '.join(kept)}, which [keeps state]({docs}call-styles.md#which-one). "
            f"Functional, state returned: {'; '.join(functional)}.",
            f"- **A train step, as documented** ({new.size(*COMMON)}): the slowest takes "
            f"{format_interval(Comparison(*most), 2)} times as long as the fastest.",
            f"- **Versions matter:** training `nn.GRUCell` (six small matrix products) on one sequence takes "
            f"{_ratio(linen[0])} times plain JAX's time with {new.named}; {_ratio(linen[1])} with {old.named}.",
            f"- One GRU, {machine.device}, {count(machine.threads, 'thread')}, {new.run.datetime[:10]}.",
        ]
    )


def _time(cell: Cell) -> str:
    return f"{format_time(cell.time_s)}, {_ratio(cell)}"


def _ratio(cell: Cell) -> str:
    return format_interval(Comparison(cell.ratio, cell.low, cell.high), 2)


def upgrade_lines(results: Path) -> str:
    """The first lines that `trigru diff` prints for a version set of the published matrix, cut at the right."""
    rows = read(results / "releases.json").rows
    number = next(i for i, row in enumerate(rows) if row.name == SHOWN)
    before, after = rows[number - 1], rows[number]
    moved = [f"{name} {before.versions[name]} -> {after.versions[name]}" for name in ("jax", "flax")]
    head, *lines = change_lines(after.moved, FAILING)
    lines = [head, f"Versions: {', '.join(moved)}, and others.", *lines]
    return "\n".join(["```text", *(shorten(line, LONGEST, placeholder="...") for line in lines[:LINES]), "```"])
