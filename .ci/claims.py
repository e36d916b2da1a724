"""The tables of docs/claims.md: public claims beside the published run, from the sizes that they were about."""

from pathlib import Path

from decision import KEEPING, NOT_MEASURED, SITUATIONS, Measured, longer, ratio_text, table_of  # beside this script
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import difference, other_clock
from trigru.bench.analysis.statistics import compare, verdict
from trigru.bench.reporting.numbers import format_bytes
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
    """One of the tables of the page: a row for each situation, and those columns of its part that have a number."""
    measured = Measured(load(results / "cpu.json.gz"))
    if part == "memory":
        return _memory(measured)
    columns = {"situation": [f"{text}: {measured.size(*at)}" for text, *at in ROWS]}
    for heading, ratio, *arms in TABLES[part]:
        cells = []
        for _, *at in ROWS:
            one, other = (measured.arm(*at, *arm) for arm in arms)
            cells.append(ratio(measured.run, one, other) if one and other else NOT_MEASURED)
        if {*cells} != {NOT_MEASURED}:
            columns[heading] = cells
    return table_of([*columns], list(zip(*columns.values(), strict=True)))


def _waited(run: Results, one: Benchmark, other: Benchmark) -> str:
    """The ratio of two arms, each call waited for; of two styles of one framework, also the difference."""
    found = difference(run, one, other)
    more = longer(found) if one.arm.port == other.arm.port else ""
    return ratio_text(found, found.verdict) + f", +{more}" * bool(more)


def _in_flight(run: Results, one: Benchmark, other: Benchmark) -> str:
    """The ratio in calls that are not waited for, where both arms were measured in the same rounds of those."""
    clock = other_clock(run, one)
    if clock is None or other_clock(run, other) is None:
        return NOT_MEASURED
    ratio = compare(one.other_s, other.other_s, one.other_process)
    return ratio_text(ratio, verdict(ratio, clock.floor, one.other_process))


def _memory(measured: Measured) -> str:
    rows = []
    for text, workload, phase in ROWS:
        if phase == "train_step":
            arms = [measured.arm(workload, phase, "nnx", way) for way in (DOCUMENTED, FUNCTIONAL)]
            cells = [format_bytes(arm.facts.program.temp_bytes) for arm in arms]
            rows.append((f"{text}: {measured.size(workload, phase)}", *cells))
    return table_of(("train step", "`nnx.jit`", "functional"), rows)


_NNX, _EQUINOX, _LINEN = (("nnx", DOCUMENTED), ("equinox", DOCUMENTED), ("linen", DOCUMENTED))
_NNX_FUNCTIONAL, _EQUINOX_FUNCTIONAL = ("nnx", FUNCTIONAL), ("equinox", FUNCTIONAL)
#: Equinox with one line changed, as NNX in the styles that keep state.
_EQUINOX_JIT = ("equinox", "jit")
#: The columns of each table: a heading, the loop, and the two arms that are compared, each a port and its style.
TABLES = {
    "nnx-equinox": [
        ("as documented", _waited, _NNX, _EQUINOX),
        *((f"`{name}` / `jax.jit`", _waited, ("nnx", style), _EQUINOX_JIT) for style, name in KEEPING["nnx"].items()),
        ("functional", _waited, _NNX_FUNCTIONAL, _EQUINOX_FUNCTIONAL),
        *(
            (f"`{name}` / `jax.jit`, not waited for", _in_flight, ("nnx", style), _EQUINOX_JIT)
            for style, name in KEEPING["nnx"].items()
        ),
    ],
    "equinox-linen": [
        ("as documented", _waited, _EQUINOX, _LINEN),
        ("`jax.jit` / as documented", _waited, _EQUINOX_JIT, _LINEN),
        ("functional", _waited, _EQUINOX_FUNCTIONAL, ("linen", FUNCTIONAL)),
    ],
    "nnx-styles": [
        (f"`nnx.jit` / `{style}`, and the difference", _waited, _NNX, ("nnx", style))
        for style in (*KEEPING["nnx"], "cached_partial", "split-merge")
    ],
    "equinox-styles": [
        ("`filter_jit` / `jax.jit`, and the difference", _waited, _EQUINOX, _EQUINOX_JIT),
        ("`filter_jit` / `partition`, and the difference", _waited, _EQUINOX, _EQUINOX_FUNCTIONAL),
        ("`filter_jit` / `jax.jit`, not waited for", _in_flight, _EQUINOX, _EQUINOX_JIT),
    ],
}
