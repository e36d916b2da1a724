"""Rows that cover a space of factors: every pair of levels that can go together, and the triples that are asked for."""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

import covertable

from .factors import Factor, Row, Rule, Space

#: Some levels of some factors, by the factor's name: what one row can cover.
Combination = frozenset[tuple[str, str]]


def cover(space: Space) -> list[Row]:
    """Rows that hold every combination of `combinations_of` that can be had. The same rows for the same space."""
    names = [factor.name for factor in space.factors if factor.in_triples]
    return _made(space, strength=2, sub_models=[{"fields": names, "strength": 3}] if len(names) > 2 else [])


def cover_triples(space: Space) -> list[Row]:
    """Rows that hold every triple of levels of any three factors that can be had. The same rows for the same space.

    Greedy, as AETG is (Cohen, Dalal, Fredman and Patton, IEEE Transactions on Software Engineering 23(7), 1997): a row
    begins with a triple that no row holds, and takes for one factor after the other the level that adds most triples.
    covertable needs more than ten minutes for these on a space that has rules, and this one at most one.
    """
    left = dict.fromkeys(
        frozenset(levels.items()) for some in combinations(space.factors, 3) for levels in _levels(some)
    )
    rows = []
    while left:
        row = dict(triple := next(iter(left)))
        if not can_be_completed(space, row):
            del left[triple]
            continue
        for factor in space.factors:
            if factor.name not in row:
                row[factor.name] = _level_that_adds_most(space, row, factor, left)
        for some in combinations(row.items(), 3):
            left.pop(frozenset(some), None)
        rows.append(row)
    return rows


def _level_that_adds_most(space: Space, row: Row, factor: Factor, left: Container[Combination]) -> str:
    def added(level: str) -> int:
        return sum(frozenset(((factor.name, level), *pair)) in left for pair in combinations(row.items(), 2))

    levels = [level for level in factor.levels if can_be_completed(space, {**row, factor.name: level})]
    return max(levels, key=added)


def triples_of(space: Space, rows: Iterable[Row]) -> tuple[int, int]:
    """How many triples of levels rows hold, of how many that can be had."""
    wanted = list(combinations(space.factors, 3))
    held = {frozenset((factor.name, row[factor.name]) for factor in some) for row in rows for some in wanted}
    possible = sum(
        frozenset(levels.items()) in held or can_be_completed(space, levels)
        for some in wanted
        for levels in _levels(some)
    )
    return len(held), possible


def cover_pairs_with(space: Space, name: str, triples: Sequence[str] = ()) -> list[Row]:
    """Rows that hold every pair of a level of one factor with one of another factor, and triples with those named."""
    others = [[name, factor.name] for factor in space.factors if factor.name != name]
    wanted = [*others, *([name, *some] for some in combinations(triples, 2))]
    return _made(space, strength=1, sub_models=[{"fields": some, "strength": len(some)} for some in wanted])


def combinations_of(space: Space, only: str | None = None, triples: Sequence[str] = ()) -> set[Combination]:
    """The pairs of levels of any two factors that some row can have, and the triples where they are asked for.

    Args:
        only: a factor; pairs with its levels alone, and triples with two of those named.
    """
    return {
        frozenset(levels.items())
        for some in _wanted(space, only, triples)
        for levels in _levels(some)
        if can_be_completed(space, levels)
    }


def covered(
    space: Space, rows: Iterable[Row], only: str | None = None, triples: Sequence[str] = ()
) -> set[Combination]:
    """Those of `combinations_of` that rows hold."""
    wanted = _wanted(space, only, triples)
    return {frozenset((factor.name, row[factor.name]) for factor in some) for row in rows for some in wanted}


def _wanted(space: Space, only: str | None, triples: Sequence[str]) -> list[tuple[Factor, ...]]:
    pairs: list[tuple[Factor, ...]] = list(combinations(space.factors, 2))
    if only is not None:
        named = [factor for factor in space.factors if factor.name in (only, *triples)]
        some = [*pairs, *combinations(named, 3)]
        return [factors for factors in some if only in (factor.name for factor in factors)]
    return pairs + list(combinations([factor for factor in space.factors if factor.in_triples], 3))


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
    rest = [factor for factor in space.factors if factor.name in space.rules_of and factor.name not in row]
    return _complete(space, row, rest)


def _complete(space: Space, row: Row, rest: Sequence[Factor]) -> bool:
    """By trying, that factor first which has the fewest levels left."""
    if not rest:
        return True
    left = [(f, [level for level in f.levels if space.allows({**row, f.name: level}, f.name)]) for f in rest]
    factor, levels = min(left, key=lambda pair: len(pair[1]))
    others = [other for other in rest if other is not factor]
    return any(_complete(space, {**row, factor.name: level}, others) for level in levels)
