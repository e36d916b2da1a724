"""Tables of what `verify` measured."""

from collections.abc import Iterable

from ...common.equality.checks import CHECKS, STAYS
from ...common.equality.verification import Measurement
from ...impls.upstream import Finding
from .sections import Section

__all__ = ["departures_table", "equality_line", "equality_table", "self_test_table"]


def equality_table(measurements: list[Measurement], *, failures: bool = True) -> Section:
    """Port × check: the largest error in float64, and how much of the allowed error the other dtypes used.

    Args:
        measurements: of `verify`.
        failures: list each below.
    """
    ports = list(dict.fromkeys(m.port for m in measurements))
    rows = []
    for check in (c.name for c in CHECKS):
        found = [m for m in measurements if m.check == check]
        if found:
            rows.append((check, *(_equality_cell([m for m in found if m.port == port]) for port in ports)))
    failed: dict[tuple[str, str, str | None], list[Measurement]] = {}
    for m in measurements:
        if not m.passed and failures:
            failed.setdefault((m.port, m.check, m.style), []).append(m)
    return Section(
        "Equality with the NumPy oracle",
        ("check", *ports),
        rows,
        (
            "float64: largest error relative to the largest reference magnitude, 1e-12 allowed. "
            "Per cent: the share of the allowed error that float32 and bfloat16 used, 4 times NumPy's own.",
            *(_failure(found) for found in failed.values()),
        ),
    )


def equality_line(measurements: list[Measurement], missing: Iterable[str]) -> str:
    """The outcome in a line.

    Args:
        measurements: of `verify`.
        missing: ports that were not to be had.
    """
    failed = list(dict.fromkeys(m.port for m in measurements if not m.passed))
    equal = [port for port in dict.fromkeys(m.port for m in measurements) if port not in failed]
    parts = [f"FAILED: {', '.join(failed)}"] if failed else []
    parts += [f"{', '.join(equal)} proven equal"] if equal else []
    parts += [f"not checked: {', '.join(missing)}"] if missing else []
    count = sum(not m.passed for m in measurements)
    within = f"{count} of {len(measurements)} measurements failed" if count else "all within their bounds"
    return f"Equality: {'; '.join(parts)} ({within})."


def _failure(measurements: list[Measurement]) -> str:
    first, *others = measurements
    said = "FAILED" if first.offered else "NOT OFFERED"
    return f"{said} {first}" + (f" (and {len(others)} more)" if others else "")


def departures_table(findings: list[Finding]) -> Section:
    """Where the frameworks' own parts depart from the contract."""
    rows = [(f.part, f.what, f.seen, f.status) for f in findings]
    return Section("Where the frameworks' own parts depart", ("part", "departure", "seen", "status"), rows)


def self_test_table(noticed: dict[str, list[str]], *, every_check: bool = True) -> Section:
    """Which checks notice each mutant.

    Args:
        noticed: checks by the name of the mutant.
        every_check: whether all were asked, so that there is something to say of those that notice nothing alone.
    """
    from ...impls.faults import FAULTS

    rows = [(mutant.name, mutant.what, ", ".join(noticed[mutant.name]) or "NONE") for mutant in FAULTS]
    killed = sum(bool(checks) for checks in noticed.values())
    alone = {checks[0] for checks in noticed.values() if len(checks) == 1}
    others = [check for check in CHECKS if check.name not in alone and every_check]
    return Section(
        "Mutants",
        ("mutant", "fault", "noticed by"),
        rows,
        (
            f"{killed} of {len(rows)} noticed.",
            *(["Checks that notice none of these alone, and why they stay:"] if others else []),
            *(f"{check.name}: {STAYS.get(check.name, 'NO REASON GIVEN')}" for check in others),
        ),
    )


def _equality_cell(measurements: list[Measurement]) -> str:
    if not measurements:
        return "not asked"
    if any(not m.passed and m.offered for m in measurements):
        return "FAILED"
    if any(not m.passed for m in measurements):
        return "not offered"
    same = [m.error for m in measurements if m.dtype == "float64"]
    share = [m.error / m.bound for m in measurements if m.dtype != "float64" and m.bound]
    if all(m.bound == 0 for m in measurements):
        return "bit for bit"
    parts = ([f"{max(same):.0e}"] if same else []) + ([f"{max(share):.0%}"] if share else [])
    return " · ".join(parts)
