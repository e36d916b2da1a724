"""The tables of docs/claims.md: public claims beside the published run, from the sizes that they were about."""

from pathlib import Path

from decision import SITUATIONS, Measured, in_one_piece, ratio_text, table_of  # beside this script
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import Difference, difference
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.numbers import format_bytes, format_time_range
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

#: The smallest model of the run, whose calls take as long as those that most issues timed, then the situations.
ROWS = (
    ("Smallest model, one time step", "tiny", "step"),
    ("Smallest model, forward", "tiny", "forward"),
    ("Smallest model, train step", "tiny", "train_step"),
    *SITUATIONS,
)


def claim_tables(results: Path, part: str) -> str:
    """One of the tables of the page."""
    measured = Measured(load(results / "cpu.json.gz"))
    if part == "memory":
        return _memory(measured)
    tables = {
        "nnx-equinox": lambda: _frameworks(measured, "nnx", "equinox"),
        "equinox-linen": lambda: _frameworks(measured, "equinox", "linen"),
        "nnx-styles": lambda: _styles(measured, "nnx", ("nnx.jit-tree", "cached_partial", FUNCTIONAL)),
        "equinox-styles": lambda: _styles(measured, "equinox", (FUNCTIONAL,)),
    }
    return tables[part]()


def _frameworks(measured: Measured, one: str, other: str) -> str:
    rows = []
    for text, workload, phase in ROWS:
        cells = []
        for way in (DOCUMENTED, FUNCTIONAL):
            arms = [measured.arm(workload, phase, port, way) for port in (one, other)]
            cells.append(_ratio(difference(measured.run, *arms)))
        rows.append((f"{text}: {measured.size(workload, phase)}", *cells))
    return table_of(("situation", "as documented", "called alike"), rows)


def _styles(measured: Measured, port: str, styles: tuple[str, ...]) -> str:
    names, rows = {}, []
    for text, workload, phase in ROWS:
        documented, cells = measured.arm(workload, phase, port, DOCUMENTED), []
        for style in styles:
            arm = measured.arm(workload, phase, port, style)
            if arm is None:
                cells.append("not measured")
                continue
            names[style] = arm.arm.style
            d = difference(measured.run, documented, arm)
            cells.append(_ratio(d))
            if d.verdict == "slower":
                more = format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)
                cells[-1] += f", +{in_one_piece(more)}"
        rows.append((f"{text}: {measured.size(workload, phase)}", *cells))
    columns = (f"`{documented.arm.style}` / `{names[style]}`, and the difference" for style in styles)
    return table_of(("situation", *columns), rows)


def _memory(measured: Measured) -> str:
    rows = []
    for text, workload, phase in ROWS:
        if phase == "train_step":
            arms = [measured.arm(workload, phase, "nnx", way) for way in (DOCUMENTED, FUNCTIONAL)]
            cells = [format_bytes(arm.facts.program.temp_bytes) for arm in arms]
            rows.append((f"{text}: {measured.size(workload, phase)}", *cells))
    return table_of(("train step", "`nnx.jit`", "functional"), rows)


def _ratio(found: Difference) -> str:
    return ratio_text(Comparison(found.ratio, found.low, found.high), found.verdict)
