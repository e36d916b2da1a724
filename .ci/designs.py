"""Write the rows of the contract anew, after a change of its factors or rules. Takes ten seconds.

The rows hold every pair of levels that can go together, and the triples that are asked for.
"""

import json
from itertools import product
from typing import Any

import covertable
from trigru.common.equality.contract.designs import FILE, Combination, combined, digest
from trigru.common.equality.contract.factors import COARSE_SPACE, SPACE, Row, Rule, Space


def cover(space: Space, only: str | None = None) -> list[Row]:
    """Rows that hold every combination of `combinations_of` that can be had. The same rows for the same space.

    Args:
        only: a factor; pairs with its levels alone.
    """
    if only is None:
        names = [factor.name for factor in space.factors if factor.in_triples]
        strength, parts = 2, [{"fields": names, "strength": 3}] if len(names) > 2 else []
    else:
        others = [factor.name for factor in space.factors if factor.name != only]
        strength, parts = 1, [{"fields": [only, name], "strength": 2} for name in others]
    factors = {factor.name: list(factor.levels) for factor in space.factors}
    conditions = [_condition(rule) for rule in space.rules]
    return [dict(row) for row in covertable.make(factors, constraints=conditions, strength=strength, sub_models=parts)]


def combinations_of(space: Space, only: str | None = None) -> set[Combination]:
    """The pairs of levels of any two factors that some row can have, and the triples where they are asked for.

    Args:
        only: a factor; pairs with its levels alone.
    """
    rows = (
        dict(zip([factor.name for factor in some], levels, strict=True))
        for some in combined(space, only)
        for levels in product(*(factor.levels for factor in some))
    )
    return {frozenset(row.items()) for row in rows if can_be_completed(space, row)}


def _condition(rule: Rule) -> dict[str, Any]:
    def all_in(levels: Any) -> dict[str, Any]:
        some = [{"operator": "in", "left": name, "values": list(values)} for name, values in levels.items()]
        return {"operator": "and", "conditions": some}

    return {"operator": "or", "conditions": [{"operator": "not", "condition": all_in(rule.when)}, all_in(rule.then)]}


def can_be_completed(space: Space, row: Row) -> bool:
    """Whether some row that keeps every rule has these levels."""
    if not space.allows(row):
        return False
    if space.allows({**space.usual, **row}):
        return True
    ruled = {name for rule in space.rules for name in (*rule.when, *rule.then)}
    rest = [factor for factor in space.factors if factor.name in ruled - row.keys()]
    if not rest:
        return True
    left = {f.name: [level for level in f.levels if space.allows({**row, f.name: level})] for f in rest}
    name = min(left, key=lambda name: len(left[name]))  # that factor first which has the fewest levels left
    return any(can_be_completed(space, {**row, name: level}) for level in left[name])


def main() -> None:
    """Find and write the designs of both spaces."""
    designs = {
        digest(space): {
            "combinations": len(combinations_of(space, only)),
            "rows": ["".join(str(f.levels.index(row[f.name])) for f in space.factors) for row in cover(space, only)],
        }
        for space, only in ((SPACE, None), (COARSE_SPACE, "dtype"))
    }
    FILE.write_text(json.dumps(designs, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
