"""The frameworks' own parts, unchanged, for the same checks; and where they depart from the contract.

They are what a user has without trigru. Each departure is on record with code
that shows it, so that an upstream fix is noticed on the day on which it is installed, and a new fault where the check
did not fail before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from ...common.equality.measurement import Measurement
from .departure import Departure

__all__ = ["NAMES", "ON_RECORD", "Departure", "Finding", "find_departures", "get_upstream"]

#: By the names of trigru's own ports.
NAMES = ("linen", "nnx", "equinox")
ON_RECORD, GONE, NEW = "on record", "GONE", "NEW"


def get_upstream(name: str) -> ModuleType:
    """The module of a framework's own parts: its `PORT`, and its `DEPARTURES` from the contract."""
    return import_module(f".{name}", __name__)


@dataclass(frozen=True)
class Finding:
    """A departure, looked at with what is installed."""

    part: str  # the framework's name for it
    what: str  # it does
    seen: str  # the evidence, or why there is none
    status: str  # ON_RECORD, GONE where the record says that it departs and it does not, NEW for the reverse


def find_departures(name: str, measurements: Iterable[Measurement]) -> list[Finding]:
    """Every departure on record, looked at again, then every failed check that none of them explains."""
    module = get_upstream(name)
    part = module.PORT.name
    findings, explained = [], set()
    for departure in module.DEPARTURES:
        try:
            seen = departure.evidence()
        except Exception as error:
            first_line, *_ = str(error).splitlines() or [""]
            said = f"its evidence fails: {type(error).__name__}: {first_line}"
            findings.append(Finding(part, departure.what, said, NEW))
            continue
        if seen is not None:
            explained |= set(departure.checks)
        if seen is not None or departure.expected:
            status = GONE if seen is None else ON_RECORD if departure.expected else NEW
            findings.append(Finding(part, departure.what, seen or "not seen any more", status))
    failed = dict.fromkeys(m.check for m in measurements if m.port == part and not m.passed)
    unexplained = [check for check in failed if check not in explained]
    return findings + [Finding(part, f"fails {check}", "explained by no departure", NEW) for check in unexplained]
