"""Which parameters may be others than they are taken for, in models that differ."""

from collections.abc import Sequence

from ..program.model import Leaf
from .departure import Search
from .matching import Match, is_namesake
from .pairs import Pair


def leaves_in_doubt(search: Search, pair: Pair) -> list[str]:
    """The candidate's leaves of which alone the values are computed at which the programs part.

    The reference may keep such a value as it is, and the candidate its logarithm or its inverse.
    """
    if not search.wrong:
        return []
    tape, params = search.candidate, pair.c.params
    paths = dict(zip(tape.arguments, (leaf.path for leaf in params), strict=False))
    inputs = set(tape.arguments[len(params) :])
    in_doubt: dict[str, None] = {}
    for step in search.first:
        before = set(tape.before(step.operands))
        if before & inputs:
            return []
        in_doubt |= dict.fromkeys(paths[n] for n in tape.arguments if n in before)
    return list(in_doubt)


def leaves_with_rivals(
    reference: Sequence[Leaf], candidate: Sequence[Leaf], matches: Sequence[Match]
) -> list[str]:
    """The candidate's leaves for which neither their names nor a mapping tell which leaf of the reference they are."""
    paths = []
    for leaf, match in zip(candidate, matches, strict=True):
        rivals = {option.sources for option in match.options}
        if match.layout is None or len(rivals) < 2 or match.by != "names and shapes":
            continue
        if not any(is_namesake(reference[n], leaf) for n in match.layout.sources):
            paths.append(leaf.path)
    return paths
