"""The rows that each port is checked by: found once by `.ci/designs.py`, and stored in a file."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path

from ...port.protocol import Port
from .factors import COARSE_SPACE, SPACE, Factor, Row, Space, named_rows, whole_row

#: By the digest of a space: its rows, each a string of the numbers of its levels, and how many combinations of levels
#: some row can have.
FILE = Path(__file__).with_name("rows.json")
#: Some levels of some factors, by the factor's name: what one row can cover.
Combination = frozenset[tuple[str, str]]


def design_of(port: Port) -> list[Row]:
    """The rows of a port: those of the designs in float64 and in other dtypes, and those that are named."""
    return [row for space in (SPACE, COARSE_SPACE) for row in designed_rows(space)] + named_rows(port)


def designed_rows(space: Space) -> list[Row]:
    """The rows of a space that cover it."""
    return [
        whole_row({factor.name: factor.levels[int(n)] for factor, n in zip(space.factors, row, strict=True)})
        for row in stored()[digest(space)]["rows"]
    ]


def coverage_of(rows: Iterable[Row]) -> tuple[int, int]:
    """How many combinations of levels rows cover, of how many that can be had.

    Rows in other dtypes count for pairs with a dtype alone: their bounds would hide faults of another pair.
    """
    rows, count = list(rows), 0
    for space, only in ((SPACE, None), (COARSE_SPACE, "dtype")):
        usable = [row for row in rows if all(row[factor.name] in factor.levels for factor in space.factors)]
        count += len(covered(space, [row for row in usable if only or row["dtype"] == "float64"], only))
    return count, sum(stored()[digest(space)]["combinations"] for space in (SPACE, COARSE_SPACE))


def covered(space: Space, rows: Iterable[Row], only: str | None = None) -> set[Combination]:
    """The pairs and triples of levels that rows hold; arguments are those of `combined`."""
    some = combined(space, only)
    return {frozenset((factor.name, row[factor.name]) for factor in factors) for row in rows for factors in some}


def combined(space: Space, only: str | None = None) -> list[tuple[Factor, ...]]:
    """The factors whose levels are to meet: each two, and three where that is asked for; or pairs with one alone."""
    pairs: list[tuple[Factor, ...]] = list(combinations(space.factors, 2))
    if only is not None:
        return [pair for pair in pairs if only in (factor.name for factor in pair)]
    return pairs + list(combinations([factor for factor in space.factors if factor.in_triples], 3))


@cache
def stored() -> dict[str, dict]:
    """The designs of the file."""
    return json.loads(FILE.read_text())


def digest(space: Space) -> str:
    """The digest of all that the rows depend on. Reasons of rules do not count."""
    factors = [(factor.name, factor.levels, factor.in_triples) for factor in space.factors]
    rules = [(sorted(rule.when.items()), sorted(rule.then.items())) for rule in space.rules]
    return hashlib.sha256(json.dumps([factors, rules]).encode()).hexdigest()[:16]
