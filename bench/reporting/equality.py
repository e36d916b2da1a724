"""The measurements of `verify` as tables, as a line, and as JSON."""

from typing import Any

from msgspec import to_builtins

from ...common.equality.checks import CHECKS
from ...common.equality.comparing import CANCELLING_FACTOR, COARSE_FACTOR
from ...common.equality.measurement import ACCURACY_FACTOR, ACCURACY_ULPS, Measurement
from ...common.gru.kernels import STOCK
from ..results.grouping import grouped
from ..results.proof import worst_of
from .console import Section
from .numbers import json_text

_OF_ERRORS = (
    "float64: the largest error, relative to the largest reference magnitude; 1e-12 is "
    "allowed. Per cent: the largest share of the allowed error that all else used, in "
    "coarser dtypes and where much cancels."
)
#: The note of a table on rows, whose bounds are others.
_OF_ROWS = (
    "contract: errors are relative to the largest magnitude of their example and step. "
    f"In float64, where much cancels, {CANCELLING_FACTOR} times NumPy's own rounding "
    "error is allowed, if that is more than 1e-12. In other dtypes, "
    f"{COARSE_FACTOR} times NumPy's own error ({CANCELLING_FACTOR} times where gates "
    f"are saturated) and {ACCURACY_FACTOR * ACCURACY_ULPS} units in the last place are "
    "allowed."
)


def label(port: str, kernel: str | None) -> str:
    """A port on a kernel, as "linen:fused"; on the stock cell, only the port's name."""
    if kernel is None or kernel == STOCK:
        return port
    return f"{port}:{kernel}"


def equality_tables(measurements: list[Measurement]) -> list[Section]:
    """A table of equality for each kernel."""
    by_kernel = grouped(measurements, lambda m: m.kernel)
    return [equality_table(of_kernel) for of_kernel in by_kernel.values()]


def equality_table(
    measurements: list[Measurement], *, failures: bool = True
) -> Section:
    """A row for each check, a column for each port, and a note for each failure.

    The cells are the largest errors, or the shares that they use of what is allowed.
    """
    ports = dict.fromkeys((m.port, m.kernel) for m in measurements)
    cells = grouped(measurements, lambda m: (m.check, m.port, m.kernel))
    rows = []
    for check in _checks_in_order(measurements):
        row = [check]
        for port, kernel in ports:
            row.append(_cell(cells.get((check, port, kernel), [])))
        rows.append(tuple(row))

    notes = [_OF_ERRORS]
    if any(m.levels is not None for m in measurements):
        notes.append(_OF_ROWS)
    if failures:
        notes += _failures(measurements)
    columns = ("check", *(label(port, kernel) for port, kernel in ports))
    return Section("Equality with the NumPy oracle", columns, rows, tuple(notes))


def _checks_in_order(measurements: list[Measurement]) -> list[str]:
    measured = list(dict.fromkeys(m.check for m in measurements))
    in_order = [check.name for check in CHECKS if check.name in measured]
    others = [check for check in measured if check not in in_order]
    return in_order + others


def _failures(measurements: list[Measurement]) -> list[str]:
    """A note for each port, check and call style that failed: its first failure."""
    failed = [m for m in measurements if not m.passed]
    notes = []
    for alike in grouped(failed, lambda m: (m.port, m.check, m.style)).values():
        first = alike[0]
        word = "FAILED" if first.offered else "NOT OFFERED"
        note = f"{word} {first}"
        if len(alike) > 1:
            note += f" (and {len(alike) - 1} more)"
        notes.append(note)
    return notes


def equality_json(
    measurements: list[Measurement],
    missing: dict[str, str],
    versions: dict[str, str],
) -> str:
    """What `trigru verify` measured, for machines; the schema is in docs/checks.md."""
    records = []
    for m in measurements:
        record = {**to_builtins(m), "offered": m.offered, "passed": m.passed}
        records.append(record)
    content: dict[str, Any] = {
        "schema": 2,
        "passed": bool(measurements) and all(m.passed for m in measurements),
        "versions": versions,
        "unavailable": missing,
        "measurements": records,
    }
    return json_text(content)


def _cell(measurements: list[Measurement]) -> str:
    if not measurements:
        return "not checked"
    failed = [m for m in measurements if not m.passed]
    if failed:
        return "FAILED" if any(m.offered for m in failed) else "not offered"
    if all(m.bound == 0 for m in measurements):
        return "bit for bit"
    error, share = worst_of(measurements)
    parts = []
    if error is not None:
        parts.append(f"{error:.0e}")
    if share is not None:
        parts.append(f"{share:.0%}")
    return " · ".join(parts)
