"""The tables of docs/claims.md: public claims beside the published run, from the sizes that they were about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from decision import KEEPING, SITUATIONS, Measured, in_one_piece, ratio_text, table_of  # beside this script
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import Difference, difference, other_clock
from trigru.bench.analysis.statistics import Comparison, as_ratio, effect_of, verdict
from trigru.bench.reporting.numbers import format_bytes, format_time_range
from trigru.bench.results.record import Benchmark, Results
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
        "nnx-equinox": lambda: _frameworks(measured, "nnx", "equinox", KEEPING),
        "equinox-linen": lambda: _frameworks(measured, "equinox", "linen"),
        "nnx-styles": lambda: _styles(measured, "nnx", (*KEEPING, "cached_partial", FUNCTIONAL)),
        "equinox-styles": lambda: _styles(measured, "equinox", (FUNCTIONAL,)),
    }
    return tables[part]()


def _frameworks(measured: Measured, one: str, other: str, own: Mapping[str, str] = MappingProxyType({})) -> str:
    """The time of one framework over another's, in each way; and in styles of its own over the other as documented."""
    kept = {f"`{name}` / as documented": (style, DOCUMENTED) for style, name in own.items()}
    ways = {"as documented": (DOCUMENTED, DOCUMENTED), **kept, "functional": (FUNCTIONAL, FUNCTIONAL)}
    columns = {heading: (styles, difference) for heading, styles in ways.items()}
    columns |= {f"{heading}, not waited for": (styles, _in_flight) for heading, styles in kept.items()}
    situations = [f"{text}: {measured.size(workload, phase)}" for text, workload, phase in ROWS]
    table = {"situation": situations}
    for heading, (styles, compared) in columns.items():
        cells = []
        for _, workload, phase in ROWS:
            mine, its = (measured.arm(workload, phase, *arm) for arm in zip((one, other), styles, strict=True))
            found = mine and its and compared(measured.run, mine, its)
            cells.append(_ratio(found) if found else "not measured")
        if {*cells} != {"not measured"}:
            table[heading] = cells
    return table_of([*table], list(zip(*table.values(), strict=True)))


@dataclass(frozen=True)
class _InFlight:
    """Two arms where calls are not waited for: see `Difference`."""

    ratio: float
    low: float
    high: float
    verdict: str


def _in_flight(run: Results, one: Benchmark, other: Benchmark) -> _InFlight | None:
    """One arm against another in calls that are not waited for; None where these were not measured in one round."""
    clock = other_clock(run, one)
    if clock is None or other_clock(run, other) is None:
        return None
    ratio = as_ratio(effect_of(np.log(one.other_s) - np.log(other.other_s), one.other_process))
    return _InFlight(ratio.ratio, ratio.low, ratio.high, verdict(ratio, clock.floor, one.other_process))


def _styles(measured: Measured, port: str, styles: Sequence[str]) -> str:
    names, rows = {}, []
    styles = [style for style in styles if any(measured.arm(*at, port, style) for _, *at in ROWS)]
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


def _ratio(found: Difference | _InFlight) -> str:
    return ratio_text(Comparison(found.ratio, found.low, found.high), found.verdict)
