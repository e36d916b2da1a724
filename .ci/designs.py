"""Write the rows of the contract anew, after a change of its factors or rules. Takes ten seconds.

The rows hold every pair of levels that can go together, and the triples that are asked for.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import covertable
from trigru.common.equality.contract.designs import FILE, Combination, combined, digest
from trigru.common.equality.contract.factors import COARSE_SPACE, SPACE, Factor, Row, Rule, Space


def cover(space: Space) -> list[Row]:
    """Rows that hold every combination of `combinations_of` that can be had. The same rows for the same space."""
    names = [factor.name for factor in space.factors if factor.in_triples]
    return _made(space, strength=2, sub_models=[{"fields": names, "strength": 3}] if len(names) > 2 else [])


def cover_pairs_with(space: Space, name: str) -> list[Row]:
    """Rows that hold every pair of a level of one factor with one of another factor."""
    pairs = [[name, factor.name] for factor in space.factors if factor.name != name]
    return _made(space, strength=1, sub_models=[{"fields": pair, "strength": 2} for pair in pairs])


def combinations_of(space: Space, only: str | None = None) -> set[Combination]:
    """The pairs of levels of any two factors that some row can have, and the triples where they are asked for.

    Args:
        only: a factor; pairs with its levels alone.
    """
    return {
        frozenset(levels.items())
        for some in combined(space, only)
        for levels in _levels(some)
        if can_be_completed(space, levels)
    }


def _made(space: Space, **options: Any) -> list[Row]:
    factors = {factor.name: list(factor.levels) for factor in space.factors}
    return [dict(row) for row in covertable.make(factors, constraints=[_condition(r) for r in space.rules], **options)]


def _condition(rule: Rule) -> dict[str, Any]:
    def all_in(levels: Any) -> dict[str, Any]:
        some = [{"operator": "in", "left": name, "values": list(values)} for name, values in levels.items()]
        return {"operator": "and", "conditions": some}

    return {"operator": "or", "conditions": [{"operator": "not", "condition": all_in(rule.when)}, all_in(rule.then)]}


def _levels(factors: Sequence[Factor]) -> Iterator[Row]:
    names = [factor.name for factor in factors]
    for levels in product(*(factor.levels for factor in factors)):
        yield dict(zip(names, levels, strict=True))


def can_be_completed(space: Space, row: Row) -> bool:
    """Whether some row that keeps every rule has these levels."""
    if not space.allows(row):
        return False
    if space.allows({**space.usual, **row}):
        return True
    ruled = {name for rule in space.rules for name in (*rule.when, *rule.then)}
    return _complete(space, row, [factor for factor in space.factors if factor.name in ruled - row.keys()])


def _complete(space: Space, row: Row, rest: Sequence[Factor]) -> bool:
    """By trying, that factor first which has the fewest levels left."""
    if not rest:
        return True
    left = [(f, [level for level in f.levels if space.allows({**row, f.name: level})]) for f in rest]
    factor, levels = min(left, key=lambda pair: len(pair[1]))
    others = [other for other in rest if other is not factor]
    return any(_complete(space, {**row, factor.name: level}, others) for level in levels)


def main() -> None:
    """Find and write the designs of both spaces."""
    designs = {}
    for space, only in ((SPACE, None), (COARSE_SPACE, "dtype")):
        rows = cover_pairs_with(space, only) if only else cover(space)
        designs[digest(space)] = {
            "combinations": len(combinations_of(space, only)),
            "rows": ["".join(str(f.levels.index(row[f.name])) for f in space.factors) for row in rows],
        }
    FILE.write_text(json.dumps(designs, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
