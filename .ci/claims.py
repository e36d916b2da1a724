"""The tables of docs/claims.md: public claims beside the published run, from the sizes that they were about."""

from pathlib import Path

from decision import SITUATIONS, Measured, longer, ratio_text, table_of  # beside this script
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import difference
from trigru.bench.reporting.numbers import format_bytes
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

#: The smallest model of the run, whose calls take as long as those that most issues timed, then the situations.
ROWS = (
    ("Smallest model, one time step", "tiny", "step"),
    ("Smallest model, forward", "tiny", "forward"),
    ("Smallest model, train step", "tiny", "train_step"),
    *SITUATIONS,
)
#: The columns of each table: a heading, and the two arms that are compared, each a port and its style.
TABLES = {
    "nnx-equinox": [("as documented", *(("nnx", DOCUMENTED), ("equinox", DOCUMENTED))),
                    ("functional", *(("nnx", FUNCTIONAL), ("equinox", FUNCTIONAL)))],
    "equinox-linen": [("as documented", *(("equinox", DOCUMENTED), ("linen", DOCUMENTED))),
                      ("functional", *(("equinox", FUNCTIONAL), ("linen", FUNCTIONAL)))],
    "nnx-styles": [(f"`nnx.jit` / `{name}`, and the difference", ("nnx", DOCUMENTED), ("nnx", name))
                   for name in ("nnx.jit-tree", "cached_partial", "split-merge")],
    "equinox-styles": [("`filter_jit` / `partition`, and the difference",
                        *(("equinox", DOCUMENTED), ("equinox", FUNCTIONAL)))],
}  # fmt: skip


def claim_tables(results: Path, part: str) -> str:
    """One of the tables of the page."""
    measured = Measured(load(results / "cpu.json.gz"))
    if part == "memory":
        return _memory(measured)
    columns = TABLES[part]
    rows = [
        (f"{text}: {measured.size(*at)}", *(_cell(measured, at, *arms) for _, *arms in columns)) for text, *at in ROWS
    ]
    return table_of(("situation", *(heading for heading, *_ in columns)), rows)


def _cell(measured: Measured, at: list[str], one: tuple[str, str], other: tuple[str, str]) -> str:
    """The ratio of two arms; of two styles of one framework, also the difference."""
    arms = [measured.arm(*at, *arm) for arm in (one, other)]
    if None in arms:
        return "not measured"
    found = difference(measured.run, *arms)
    more = longer(found) if one[0] == other[0] else ""
    return ratio_text(found, found.verdict) + f", +{more}" * bool(more)


def _memory(measured: Measured) -> str:
    rows = []
    for text, workload, phase in ROWS:
        if phase == "train_step":
            arms = [measured.arm(workload, phase, "nnx", way) for way in (DOCUMENTED, FUNCTIONAL)]
            cells = [format_bytes(arm.facts.program.temp_bytes) for arm in arms]
            rows.append((f"{text}: {measured.size(workload, phase)}", *cells))
    return table_of(("train step", "`nnx.jit`", "functional"), rows)
