"""From a row that fails to the fewest levels with which it still does."""

from collections.abc import Callable
from time import monotonic

from .factors import Row, Space, whole_row

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
    "transform=per example": "vmap",
    "transform=apart": "frozen",
    "transform=compiled": "compiled",
    "transform=quick": "compiled",
    "params=faint": "faint",
    "params=closed": "closed",
    "phase=penalty": "hvp",
    "phase=step": "step",
    "time": "long",
    "wide": "promotion",
    "style": "styles",
}
#: A failure of the usual row.
PLAIN = "sequence"


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


def unusual(row: Row) -> Row:
    """Its levels that are not the usual ones."""
    usual = whole_row({})
    return {name: level for name, level in row.items() if level != usual.get(name)}


def told(levels: Row) -> str:
    """The names of the checks that a failure with these levels is told under.

    >>> told({"reverse": "yes", "entry": "chunks"})
    'chunks+reverse'
    """
    names = {TOLD.get(f"{name}={level}", TOLD.get(name, name)) for name, level in levels.items()}
    return "+".join(sorted(names)) or PLAIN
