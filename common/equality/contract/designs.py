"""The rows that each port is checked by, and what they are about.

Most are a covering design that was found once, by simulated annealing, as Garvin, Cohen and Dwyer (2011) do,
https://doi.org/10.1007/s10664-010-9135-7. Tests say whether a combination of levels is in none of them.
"""

import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from ...port.protocol import Port
from .factors import (
    COARSE,
    COARSE_SPACE,
    COMPILED,
    SPACE,
    Factor,
    Row,
    Space,
    named_rows,
    unusual,
    whole_row,
)

#: Of `SPACE`, and of `COARSE_SPACE`, which is in other dtypes: rows, as strings of the numbers of their levels, and how
#: many combinations of levels some row can have.
_STORED = json.loads(Path(__file__).with_name("rows.json").read_text())


def design_of(port: Port) -> list[Row]:
    """The rows of a port: those of the designs in float64 and in other dtypes, and those that are named."""
    return [
        row for space in (SPACE, COARSE_SPACE) for row in designed_rows(space)
    ] + named_rows(port)


def designed_rows(space: Space) -> list[Row]:
    """The rows of a space that cover it."""
    rows = _stored(space)["rows"]
    return [
        whole_row(
            {f.name: f.levels[int(n)] for f, n in zip(space.factors, row, strict=True)}
        )
        for row in rows
    ]


def _stored(space: Space) -> dict[str, Any]:
    for name, known in (("float64", SPACE), ("others", COARSE_SPACE)):
        if space == known:
            return _STORED[name]
    raise InputError("rows are stored for SPACE and COARSE_SPACE alone.")


def coverage_of(rows: Iterable[Row]) -> tuple[int, int]:
    """How many combinations of levels rows cover, of how many that can be had.

    Rows in other dtypes count for pairs with a dtype alone: their bounds would hide faults of another pair.
    """
    rows, count = list(rows), 0
    for space in (SPACE, COARSE_SPACE):
        usable = [
            row
            for row in rows
            if all(row[factor.name] in factor.levels for factor in space.factors)
        ]
        count += len(
            covered(
                space,
                [
                    row
                    for row in usable
                    if space is COARSE_SPACE or row["dtype"] == "float64"
                ],
            )
        )
    return count, sum(_stored(space)["combinations"] for space in (SPACE, COARSE_SPACE))


def covered(space: Space, rows: Iterable[Row]) -> set[frozenset[tuple[str, str]]]:
    """The pairs and triples of levels that rows hold."""
    some = combined(space)
    return {
        frozenset((factor.name, row[factor.name]) for factor in factors)
        for row in rows
        for factors in some
    }


def combined(space: Space) -> list[tuple[Factor, ...]]:
    """The factors whose levels are to meet: each two, and three where that is asked for; or pairs with one alone."""
    pairs: list[tuple[Factor, ...]] = list(combinations(space.factors, 2))
    if space.only is not None:
        return [
            pair for pair in pairs if space.only in (factor.name for factor in pair)
        ]
    return pairs + list(
        combinations([factor for factor in space.factors if factor.in_triples], 3)
    )


class Selection(NamedTuple):
    """The rows that have one of some levels of a factor: the name of a check, and of what failures are told under."""

    name: str  # stable, lower case
    what: str  # such rows are, after "rows of the contract"
    factor: str
    levels: tuple[str, ...] = ()  # none for all but the usual one

    def has(self, row: Row) -> bool:
        """Whether a row has one of them."""
        level = row[self.factor]
        return (
            level in self.levels if self.levels else level != whole_row({})[self.factor]
        )

    def rows(self, port: Port) -> list[Row]:
        """The rows of a port that have one of them."""
        return [row for row in design_of(port) if self.has(row)]


SELECTIONS = (
    Selection(
        "sequence",
        "with a sequence, or one step in a call style, in one call",
        "entry",
        ("whole",),
    ),
    Selection("chunks", "with a sequence in two calls", "entry", ("chunks",)),
    Selection("step", "with a sequence step by step", "entry", ("steps",)),
    Selection(
        "classifier", "with a readout of the last valid state", "entry", ("classifier",)
    ),
    Selection("inference", "of forward passes alone", "phase", ("forward",)),
    Selection("jvp", "in forward mode", "phase", ("jvp",)),
    Selection("hvp", "with second derivatives", "phase", ("hvp", "penalty")),
    Selection("training", "that train for some steps", "phase", ("train_step",)),
    Selection(
        "batch-axes",
        "with no batch axis, or several",
        "batch",
        ("none", "2x3", "2x1x3"),
    ),
    Selection("long", "of more than a thousand steps", "time", ("1100", "1280")),
    Selection("carry", "with a passed carry", "carry"),
    Selection("lengths", "with lengths", "lengths"),
    Selection("resets", "with resets", "resets"),
    Selection("reverse", "that run backwards", "reverse"),
    Selection("time-major", "in which time comes first", "time-major"),
    Selection("unroll", "with an unrolled loop", "unroll"),
    Selection("remat", "that recompute the gates", "remat"),
    Selection(
        "vmap", "under `jax.vmap`", "transform", ("vmap", "ensemble", "per example")
    ),
    Selection(
        "frozen",
        "with the derivative of some arguments while all others are held",
        "transform",
        ("apart",),
    ),
    Selection("eager", "that run outside of jit", "transform", ("eager",)),
    Selection("compiled", "that XLA compiles", "transform", COMPILED),
    Selection("faint", "with results near 0", "params", ("faint",)),
    Selection("closed", "with gates near 0", "params", ("closed",)),
    Selection("promotion", "with one array that is wider than the others", "wide"),
    Selection("dtype", "in other dtypes than float64", "dtype", COARSE),
    Selection("kernels", "in another kernel than the stock one", "kernel"),
    Selection("styles", "in a call style", "style"),
)
#: What failures of other levels are told under, by level or factor.
OTHERS = {
    "lengths dtype": "lengths",
    "batch": "batch-axes",
    "time": "long",
    "step": "step",
    "optimizer": "training",
}


def told(row: Row) -> str:
    """The names of the selections that a failure of a row is told under; "sequence" for the usual row.

    >>> told({"reverse": "yes", "entry": "chunks"})
    'chunks+reverse'
    """
    names = set[str]()
    for factor, level in unusual(row).items():
        known = (
            selection.name
            for selection in SELECTIONS
            if selection.factor == factor and selection.has(row)
        )
        names.add(next(known, OTHERS.get(level, OTHERS.get(factor, factor))))
    return "+".join(sorted(names)) or "sequence"
