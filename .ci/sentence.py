"""The answer of the published runs in a few sentences, and lines of an upgrade report, for README and index."""

from pathlib import Path
from textwrap import shorten

import numpy as np
from decision import KEEPING, Measured  # beside this script
from trigru.bench.analysis.answer import Cell
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.naming import name_of
from trigru.bench.reporting.numbers import Interval, count, format_interval, format_time
from trigru.bench.upgrades.changes import FAILING
from trigru.bench.upgrades.matrix import read
from trigru.bench.upgrades.tables import change_lines
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

STEP, SHORT, COMMON = ("question", "step"), ("question", "train_step"), ("medium", "train_step")
#: The version set of the published matrix whose report is shown, how many of its lines, and their longest.
SHOWN, LINES, LONGEST = "2025-09-15", 5, 100


def answer_sentences(results: Path, docs: str = "") -> str:
    """One step as documented, what to write instead, training, what other versions change, and where it was measured.

    Args:
        docs: what leads from the page to the docs.
    """
    new, old = (Measured(load(results / f"{name}.json.gz")) for name in ("cpu", "cpu-py311"))
    step, common = new.row(*STEP), new.row(*COMMON)
    documented = sorted(step.cells[DOCUMENTED].items(), key=lambda item: item[1].ratio)
    functional = [f"{name_of(port)} {format_time(step.cells[FUNCTIONAL][port].time_s)}" for port, _ in documented[1:]]
    ratios = [Comparison(d.ratio, d.low, d.high) for d in common.pairs[DOCUMENTED]]
    most = max((ratio if ratio.ratio > 1 else ratio.inverse for ratio in ratios), key=lambda ratio: ratio.ratio)
    linen = [_ratio(m.row(*SHORT).cells[DOCUMENTED]["linen"]) for m in (new, old)]
    kept = {
        port: ", ".join(
            f"{format_time(float(np.median(arm.time_s)))} with `{name}`"
            for style, name in styles.items()
            if (arm := new.arm(*STEP, port, style))
        )
        for port, styles in KEEPING.items()
    }
    machine = new.run.trigru.machine
    first, *others = (f"{name_of(port)} {_time(cell)}" for port, cell in documented)
    return "\n".join(
        [
            f"- **One step a call, as documented** ({new.size(*STEP)}): "
            f"{'; '.join((f'{first} times plain JAX', *others))}.",
            f"- **With a line changed:** Equinox {kept['equinox']}, which its documentation shows first for models of "
            f"arrays alone; NNX {kept['nnx']}, which [keep state]({docs}call-styles.md#which-one). "
            f"Functional, NNX's state returned by hand: {'; '.join(functional)}.",
            f"- **A train step, as documented** ({new.size(*COMMON)}): the slowest takes {_ratio(most)} times as long "
            "as the fastest.",
            "- **Versions matter:** training `nn.GRUCell` (six small products) on one sequence takes "
            f"{linen[0]} times plain JAX's time with {new.libraries}; {linen[1]} with {old.libraries}.",
            f"- One GRU (in NNX, trigru's cell), {machine.device}, {count(machine.threads, 'thread')}, "
            f"{new.run.datetime[:10]}. Ratios are medians of pairs, not quotients of times.",
        ]
    )


def _time(cell: Cell) -> str:
    return f"{format_time(cell.time_s)}, {_ratio(cell)}"


def _ratio(found: Interval) -> str:
    return format_interval(found, 2)


def upgrade_lines(results: Path) -> str:
    """The first lines that `trigru diff` prints for a version set of the published matrix, cut at the right."""
    rows = read(results / "releases.json").rows
    number = next(i for i, row in enumerate(rows) if row.name == SHOWN)
    before, after = rows[number - 1], rows[number]
    moved = [f"{name} {before.versions[name]} -> {after.versions[name]}" for name in ("jax", "flax")]
    head, *lines = change_lines(after.moved, FAILING)
    lines = [head, f"Versions: {', '.join(moved)}, and others.", *lines]
    shown = [shorten(line, LONGEST, placeholder=" [...]") for line in lines[:LINES]]
    return "\n".join(["```text", *shown, f"[... {len(lines) - LINES} lines more]", "```"])
