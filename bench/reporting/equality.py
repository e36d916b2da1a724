"""The measurements of `verify` as tables, as a line, and as JSON."""

from collections.abc import Container

import msgspec

from ...common.equality.checks import CHECKS
from ...common.equality.measurement import ACCURACY_FACTOR, ACCURACY_ULPS, Measurement
from ...common.equality.verification import CANCELLING_FACTOR, COARSE_FACTOR
from ...common.gru.kernels import STOCK
from ...impls.upstream import SeenDeparture
from ..results.grouping import grouped
from ..results.proof import worst_of
from .console import Prose, Section, Words
from .numbers import json_text

#: Of the frameworks' own parts; None where they were not asked.
Departures = list[SeenDeparture] | None
#: The note of a table on rows, whose bounds are others.
_OF_ROWS = (
    "contract: errors are relative to the largest magnitude of their example and step. In float64, "
    f"where much cancels, {CANCELLING_FACTOR} times NumPy's own rounding error is allowed, if that is more than 1e-12. "
    f"In other dtypes, {COARSE_FACTOR} times NumPy's own error ({CANCELLING_FACTOR} times where gates are saturated) "
    f"and {ACCURACY_FACTOR * ACCURACY_ULPS} units in the last place are allowed."
)


def label(port: str, kernel: str | None) -> str:
    """A port on a kernel, as "linen:fused"; on the stock cell, only the port's name."""
    return port if kernel in (None, STOCK) else f"{port}:{kernel}"


def equality_tables(measurements: list[Measurement]) -> list[Section]:
    """A table of equality for each kernel."""
    return [
        equality_table(found)
        for found in grouped(measurements, lambda m: m.kernel).values()
    ]


def equality_table(
    measurements: list[Measurement], *, failures: bool = True
) -> Section:
    """Port × check, on one kernel: the largest errors, or the shares of what is allowed that they use; and failures."""
    ports = dict.fromkeys((m.port, m.kernel) for m in measurements)
    cells = grouped(measurements, lambda m: (m.check, m.port, m.kernel))
    order = {check.name: number for number, check in enumerate(CHECKS)}
    checks = sorted(
        dict.fromkeys(m.check for m in measurements),
        key=lambda check: order.get(check, len(order)),
    )
    rows = [
        (check, *(_cell(cells.get((check, *port), [])) for port in ports))
        for check in checks
    ]
    notes = [
        "float64: the largest error, relative to the largest reference magnitude; 1e-12 is allowed. Per cent: the "
        "largest share of the allowed error that all else used, in coarser dtypes and where much cancels."
    ]
    notes += [_OF_ROWS] * any(m.levels is not None for m in measurements)
    failed = grouped(
        (m for m in measurements if failures and not m.passed),
        lambda m: (m.port, m.check, m.style),
    )
    for first, *others in failed.values():
        more = f" (and {len(others)} more)" if others else ""
        notes.append(f"{'FAILED' if first.offered else 'NOT OFFERED'} {first}{more}")
    return Section(
        "Equality with the NumPy oracle",
        ("check", *(label(*port) for port in ports)),
        rows,
        tuple(notes),
    )


def departures_table(findings: list[SeenDeparture]) -> Section:
    """Where the frameworks' own parts differ from the contract."""
    columns = ("part", Prose("departure"), Prose("seen"), Words("status"))
    rows = [(f.part, f.what, f.seen, f.status) for f in findings]
    return Section("Where the frameworks' own parts depart", columns, rows)


def self_test_table(noticed: Container[str]) -> Section:
    """The planted faults, with the check that noticed each of these names."""
    from ...impls.faults import FAULTS

    rows = [
        (fault.name, fault.what, fault.check if fault.name in noticed else "NONE")
        for fault in FAULTS
    ]
    note = f"{sum(name in noticed for name, *_ in rows)} of {len(rows)} noticed."
    return Section(
        "Planted faults", ("name", Words("fault"), Prose("noticed by")), rows, (note,)
    )


def equality_json(
    measured: list[Measurement],
    missing: dict[str, str],
    versions: dict[str, str],
    departures: Departures = None,
) -> str:
    """What `trigru verify` measured, for machines; the schema is in docs/checks.md."""
    content = {
        "schema": 2,
        "passed": bool(measured) and all(m.passed for m in measured),
    }
    content |= {"versions": versions, "unavailable": missing}
    content |= {} if departures is None else {"departures": departures}
    found = [
        msgspec.to_builtins(m) | {"offered": m.offered, "passed": m.passed}
        for m in measured
    ]
    return json_text(content | {"measurements": found})


def _cell(measurements: list[Measurement]) -> str:
    if not measurements:
        return "not checked"
    if any(not m.passed and m.offered for m in measurements):
        return "FAILED"
    if any(not m.passed for m in measurements):
        return "not offered"
    if all(m.bound == 0 for m in measurements):
        return "bit for bit"
    error, share = worst_of(measurements)
    parts = [] if error is None else [f"{error:.0e}"]
    return " · ".join(parts if share is None else [*parts, f"{share:.0%}"])
