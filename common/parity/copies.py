"""Parameters that one model uses twice, and the other has as two copies."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product
from math import prod
from typing import Any

from ..errors import listed
from .layouts import Layout, whole
from .matching import Match, unmatched
from .refinement import TOLERANCE
from .values import Arguments, largest

#: The most leaves without a partner that are taken for copies, and the most choices that are tried.
COPIES, CHOICES = 2, 36


def copies(r: Any, c: Any, mine: Arguments, own: Arguments, matches: list[Match]) -> list[str]:
    """Match leaves of the candidate that are copies of one of the reference, if the outputs agree with these.

    Args:
        r, c: the programs of both.
        mine, own: the arguments of the reference and of the candidate, of one set.
        matches: one for each leaf of the candidate; it is changed.

    Returns:
        A sentence for each copy.
    """
    alone = [n for n, m in enumerate(matches) if m.layout is None]
    if not 0 < len(alone) <= COPIES or unmatched(r.params, matches):
        return []
    shapes = [(n, leaf.shape) for n, leaf in enumerate(r.params)]
    options = [
        [way for n, shape in shapes if prod(shape) == c.params[a].size for way in whole(n, shape, c.params[a].shape)]
        for a in alone
    ]
    wanted = r.forward(mine).outputs
    for ways in islice(product(*options), CHOICES):
        chosen = dict(zip(alone, ways, strict=True))
        layouts: list[Any] = [chosen.get(n, m.layout) for n, m in enumerate(matches)]
        params = [a if way is None else way.convert(mine.params) for a, way in zip(own.params, layouts, strict=True)]
        if largest(wanted, c.forward(replace(own, params=params)).outputs) <= TOLERANCE:
            for n, way in chosen.items():
                matches[n] = Match(way, "function")
            return [_sentence(r, c, way, matches) for way in ways]
    return []


def _sentence(r: Any, c: Any, way: Layout, matches: Sequence[Match]) -> str:
    same = [
        leaf.path for leaf, m in zip(c.params, matches, strict=True) if m.layout and m.layout.sources == way.sources
    ]
    return (
        f"{r.params[way.sources[0]].path} is tied in the reference: it is {listed(same)} in the candidate, which train "
        "apart unless you tie them, too."
    )
