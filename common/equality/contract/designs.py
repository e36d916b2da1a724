"""The rows that each port is checked by: found once and stored in a file, since finding them takes ten seconds."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from ...port.protocol import Port
from .covering import combinations_of, cover, cover_pairs_with, covered
from .factors import COARSE_SPACE, SPACE, Row, Space, named_rows, whole_row

#: Designs by the digest of their space.
FILE = Path(__file__).with_name("rows.json")


@dataclass(frozen=True)
class Design:
    """Rows that cover a space.

    Args:
        combinations: how many pairs and triples of levels some row can have.
        rows: each a string: for each factor, the number of its level.
    """

    combinations: int
    rows: tuple[str, ...]


def design_of(port: Port) -> list[Row]:
    """The rows of a port: those of the designs in float64 and in other dtypes, and those that are named."""
    designed = [
        whole_row({f.name: f.levels[int(n)] for f, n in zip(space.factors, row, strict=True)})
        for space in (SPACE, COARSE_SPACE)
        for row in design(space).rows
    ]
    return designed + named_rows(port)


def coverage_of(rows: Iterable[Row]) -> tuple[int, int]:
    """How many combinations of levels rows cover, of how many that can be had.

    Rows in other dtypes count for pairs with a dtype alone: their bounds would hide faults of another pair.
    """
    levels = {factor.name: factor.levels for factor in SPACE.factors}
    rows = [row for row in rows if all(row.get(name) in known for name, known in levels.items())]
    checked = covered(SPACE, [row for row in rows if row["dtype"] == "float64"])
    in_dtypes = covered(COARSE_SPACE, [row for row in rows if row["dtype"] != "float64"], "dtype")
    return len(checked) + len(in_dtypes), design(SPACE).combinations + design(COARSE_SPACE).combinations


@cache
def design(space: Space) -> Design:
    """The design of a space: the file's, or found if the file has none."""
    stored = json.loads(FILE.read_text()).get(digest(space)) if FILE.exists() else None
    if stored:
        return Design(stored["combinations"], tuple(stored["rows"]))
    in_dtypes = any(factor.name == "dtype" for factor in space.factors)
    rows = cover_pairs_with(space, "dtype") if in_dtypes else cover(space)
    count = len(combinations_of(space, "dtype") if in_dtypes else combinations_of(space))
    return Design(count, tuple("".join(str(f.levels.index(row[f.name])) for f in space.factors) for row in rows))


def write_designs() -> None:
    """Write the file anew."""
    designs = {digest(space): asdict(design(space)) for space in (SPACE, COARSE_SPACE)}
    FILE.write_text(json.dumps(designs, indent=1, sort_keys=True) + "\n")


def digest(space: Space) -> str:
    """The digest of all that the rows depend on. Reasons of rules do not count."""
    factors = [(factor.name, factor.levels, factor.in_triples) for factor in space.factors]
    rules = [(sorted(rule.when.items()), sorted(rule.then.items())) for rule in space.rules]
    return hashlib.sha256(json.dumps([factors, rules]).encode()).hexdigest()[:16]
