"""Ports with one planted fault each: what `trigru verify` must notice. `trigru verify --self-test` runs them.

There is one for each check, or two, for whoever wants to see a check fail. How much `verify` notices is measured by
mutation testing (docs/equality-method.md). Adding a fault is adding a row to the table in
`trigru.impls.faults.planted`.
"""

from .planted import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "get_fault"]


def get_fault(name: str) -> Fault:
    """The fault of that name."""
    return next(fault for fault in FAULTS if fault.name == name)
