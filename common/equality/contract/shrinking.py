"""From a row that fails to the fewest levels with which it still does."""

from collections.abc import Callable
from time import monotonic

from .factors import Row, Space, whole_row

#: How many rows are asked at most to make one smaller, and for how long, in seconds, one may begin.
MOST, LONGEST_S = 60, 90.0


def smallest(row: Row, space: Space, fails: Callable[[Row], bool]) -> Row:
    """The row with as many usual levels as it can have and still fail."""
    asked, begun = 0, monotonic()
    usual = whole_row(space.usual)
    while True:
        before = dict(row)
        for name in reversed(usual):
            simpler = {**row, name: usual[name]}
            left = asked < MOST and monotonic() - begun < LONGEST_S
            if left and simpler != row and space.allows(simpler):
                asked += 1
                row = simpler if fails(simpler) else row
        if row == before:
            return row
