"""The rows that each port is asked: found once, and kept in a file, since finding them takes ten seconds."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from ...port.protocol import Port
from .covering import combinations_of, cover, cover_pairs_with, covered
from .factors import Row, Space, named_rows, space_of, whole_row

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
    """The rows of a port: those of its design in float64, those in other dtypes, and those that are named."""
    designed = [whole_row(row) for space in _spaces(port) for row in _unpacked(space, _design(space).rows)]
    return designed + named_rows(port)


def coverage_of(port: Port, rows: Iterable[Row]) -> tuple[int, int]:
    """How many combinations of levels rows cover, of how many that can be had.

    Rows in other dtypes count for pairs with a dtype alone: their bounds would hide faults of another pair.
    """
    same, coarse = _spaces(port)
    levels = {factor.name: factor.levels for factor in same.factors}
    rows = [row for row in rows if all(row.get(name) in known for name, known in levels.items())]
    held = covered(same, [row for row in rows if row["dtype"] == "float64"])
    held_in_dtypes = covered(coarse, [row for row in rows if row["dtype"] != "float64"], "dtype")
    return len(held) + len(held_in_dtypes), _design(same).combinations + _design(coarse).combinations


def pack(ports: Iterable[Port]) -> str:
    """The text of the file for these ports. Rows of a space that the file has are taken from it."""
    packed = {_digest(space): asdict(_design(space)) for port in ports for space in _spaces(port)}
    return json.dumps(packed, indent=1, sort_keys=True) + "\n"


def is_kept(port: Port) -> bool:
    """Whether the rows of a port are in the file."""
    return all(_digest(space) in _kept() for space in _spaces(port))


def _spaces(port: Port) -> tuple[Space, Space]:
    return space_of(port), space_of(port, coarse=True)


def _design(space: Space) -> Design:
    digest = _digest(space)
    if digest not in _kept():  # a port of somebody else's, or a call style that came or went with a version
        _kept()[digest] = _found(space)
    return _kept()[digest]


def _found(space: Space) -> Design:
    in_dtypes = any(factor.name == "dtype" for factor in space.factors)
    rows = cover_pairs_with(space, "dtype") if in_dtypes else cover(space)
    count = len(combinations_of(space, "dtype") if in_dtypes else combinations_of(space))
    packed = ("".join(str(f.levels.index(row[f.name])) for f in space.factors) for row in rows)
    return Design(count, tuple(packed))


def _unpacked(space: Space, rows: Iterable[str]) -> list[Row]:
    return [{f.name: f.levels[int(n)] for f, n in zip(space.factors, row, strict=True)} for row in rows]


@cache
def _kept() -> dict[str, Design]:
    packed = json.loads(FILE.read_text()) if FILE.exists() else {}
    return {digest: Design(design["combinations"], tuple(design["rows"])) for digest, design in packed.items()}


def _digest(space: Space) -> str:
    """Of all that the rows depend on. Reasons of rules do not count."""
    factors = [(factor.name, factor.levels, factor.in_triples) for factor in space.factors]
    rules = [(sorted(rule.when.items()), sorted(rule.then.items())) for rule in space.rules]
    return hashlib.sha256(json.dumps([factors, rules]).encode()).hexdigest()[:16]
