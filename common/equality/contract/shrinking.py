"""From a row that fails to the fewest levels with which it still does."""

from collections.abc import Callable
from time import monotonic

from .factors import CHOICES, FACTORS, NO_STYLE, Row, Space

#: How many rows are asked at most to make one smaller, and for how long, in seconds, one may begin.
MOST, LONGEST_S = 60, 90.0
#: Under which names failures are told: those of the checks that ask about one thing at a time.
TOLD = {
    "entry=chunks": "chunks",
    "entry=steps": "step",
    "entry=classifier": "classifier",
    "phase=forward": "inference",
    "phase=train_step": "training",
    "phase=jvp": "jvp",
    "phase=hvp": "hvp",
    "batch": "batch-axes",
    "lengths dtype": "lengths",
    "seed": "values",
    "transform=eager": "eager",
    "transform=vmap": "vmap",
    "transform=ensemble": "vmap",
    "transform=export": "export",
    "style": "call style",
}
#: A failure of the usual row.
PLAIN = "sequence"


def smallest(row: Row, space: Space, fails: Callable[[Row], bool]) -> Row:
    """The row with as many usual levels as it can have and still fail."""
    asked, begun = 0, monotonic()
    usual = {**space.usual, "dtype": "float64"}
    while True:
        before = dict(row)
        for name in ("dtype", *(factor.name for factor in reversed(space.factors))):
            simpler = {**row, name: usual[name]}
            left = asked < MOST and monotonic() - begun < LONGEST_S
            if left and simpler != row and space.allows(simpler):
                asked += 1
                row = simpler if fails(simpler) else row
        if row == before:
            return row


def unusual(row: Row) -> Row:
    """Its levels that are not the usual ones."""
    usual = {**whole_row({}), "choices": CHOICES[0]}
    return {name: level for name, level in row.items() if level != usual.get(name)}


def whole_row(levels: Row) -> Row:
    """The row with these levels, all else as usual."""
    return {**{factor.name: factor.usual for factor in FACTORS}, "style": NO_STYLE, "dtype": "float64", **levels}


def told(levels: Row) -> str:
    """The names of the checks that a failure with these levels is told under.

    >>> told({"reverse": "yes", "entry": "chunks"})
    'chunks+reverse'
    """
    names = {TOLD.get(f"{name}={level}", TOLD.get(name, name)) for name, level in levels.items()}
    return "+".join(sorted(names)) or PLAIN
