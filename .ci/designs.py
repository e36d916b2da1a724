"""Write the rows of the contract anew, after a change of its factors or rules. Takes half a minute.

The rows hold every pair of levels that can go together, and the triples that are asked for. They are found by simulated
annealing, as Garvin, Cohen and Dwyer (2011) do, https://doi.org/10.1007/s10664-010-9135-7.
"""

import json
import math
import random
from collections import Counter
from itertools import chain, product

from trigru.common.equality.contract.designs import FILE, Combination, combined, covered, digest
from trigru.common.equality.contract.factors import COARSE_SPACE, SPACE, Row, Space

#: The spaces, and how many rows each gets: fewer were not found.
DESIGNS = ((SPACE, 35), (COARSE_SPACE, 16))
#: How many changes are tried, and the temperatures at the first and the last of them.
STEPS, HOT, COLD = 30_000, 0.9, 0.12
#: How often a change is one that a missing combination needs.
NEEDED = 0.7


def cover(space: Space, size: int, wanted: list[Combination]) -> list[Row]:
    """Rows that hold every combination.

    A row takes the levels of a combination that no row holds, or another level of one factor, and the levels that the
    rules then ask for. The change stays if no fewer combinations are held than before, or by chance.
    """
    rng = random.Random(0)
    rows = [space.usual | {"style": "none"}] * size
    held = [covered(space, [row]) for row in rows]
    count = Counter(chain(*held))
    for step in range(STEPS):
        missing = [levels for levels in wanted if not count[levels]] if step % 20 == 0 else missing
        if not missing:
            return rows
        place, factor = rng.randrange(size), rng.choice(space.factors)
        is_needed = rng.random() < NEEDED
        levels = dict(rng.choice(missing)) if is_needed else {factor.name: rng.choice(factor.levels)}
        row = completed(rows[place] | levels, set(levels), space, rng)
        if row is None or row == rows[place]:
            continue
        now = covered(space, [row])
        lost, gained = held[place] - now, now - held[place]
        worse = sum(count[levels] == 1 for levels in lost) - sum(count[levels] == 0 for levels in gained)
        if worse <= 0 or rng.random() < math.exp(-worse / max(COLD, HOT * (1 - step / STEPS))):
            rows[place], held[place] = row, now
            count.subtract(lost)
            count.update(gained)
    raise RuntimeError(f"{len(missing)} combinations are in none of {size} rows.")


def completed(row: Row, fixed: set[str], space: Space, rng: random.Random) -> Row | None:
    """The row with other levels of some factors that are not fixed, so that it keeps every rule; None if none does."""
    broken = [rule for rule in space.rules if not rule.allows(row)]
    if not broken:
        return row
    rule = rng.choice(broken)
    free = {factor.name: factor.levels for factor in space.factors if factor.name not in fixed}
    others = [(n, level) for n, levels in rule.then.items() for level in free.get(n, ()) if level in levels]
    others += [(n, level) for n, levels in rule.when.items() for level in free.get(n, ()) if level not in levels]
    rows = (completed(row | {n: level}, fixed | {n}, space, rng) for n, level in rng.sample(others, len(others)))
    return next(filter(None, rows), None)


def main() -> None:
    """Find and write the designs of both spaces."""
    designs, rng = {}, random.Random(0)
    for space, size in DESIGNS:
        each = ([[(f.name, level) for level in f.levels] for f in factors] for factors in combined(space))
        parts = [dict(levels) for factors in each for levels in product(*factors)]
        wanted = [frozenset(part.items()) for part in parts if completed(space.usual | part, {*part}, space, rng)]
        rows = cover(space, size, sorted(wanted, key=sorted))
        stored = ["".join(str(f.levels.index(row[f.name])) for f in space.factors) for row in rows]
        designs[digest(space)] = {"combinations": len(wanted), "rows": stored}
    FILE.write_text(json.dumps(designs, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
