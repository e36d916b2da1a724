"""Checks of one row of the contract."""

from trigru.common.equality.checks import Check
from trigru.common.equality.contract.factors import whole_row


def row_check(**levels):
    """A check of the row with these levels; an underscore stands for what no Python name has."""
    row = whole_row({name.replace("_", "-"): level for name, level in levels.items()})
    return Check("row", "", rows=lambda port: [row])
