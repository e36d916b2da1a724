"""Leaves of a candidate that are copies of one leaf of the reference, which is tied there."""

from dataclasses import replace
from itertools import islice, product
from typing import Any

from ..errors import listed
from .layouts import whole
from .matching import Match, converted, unmatched
from .values import Arguments, largest

TOLERANCE = 1e-9  # the largest difference of values that are the same, relative to the largest magnitude
#: The most leaves without a partner that are taken for copies, and choices that are tried.
COPIES, CHOICES = 2, 36


def copies(
    r: Any, c: Any, mine: Arguments, own: Arguments, matches: list[Match]
) -> list[str]:
    """Match leaves that are copies of the reference's, if the outputs agree with them.

    It changes the matches, and returns a sentence for each copy.
    """
    alone = [n for n, m in enumerate(matches) if m.layout is None]
    if not 0 < len(alone) <= COPIES or unmatched(r.params, matches):
        return []
    options = [
        [
            way
            for n, of in enumerate(r.params)
            if of.size == to.size
            for way in whole(n, of.shape, to.shape)
        ]
        for to in (c.params[n] for n in alone)
    ]
    wanted = r.forward(mine).outputs
    for ways in islice(product(*options), CHOICES):
        tried = list(matches)
        for n, way in zip(alone, ways, strict=True):
            tried[n] = Match(way, "function")
        params = converted(tried, mine.params, own.params)
        if largest(wanted, c.forward(replace(own, params=params)).outputs) <= TOLERANCE:
            matches[:] = tried
            pairs = list(zip(c.params, tried, strict=True))
            same = [
                [
                    leaf.path
                    for leaf, m in pairs
                    if m.layout and m.layout.sources == way.sources
                ]
                for way in ways
            ]
            return [
                f"{r.params[way.sources[0]].path} is tied in the reference: it is {listed(paths)} in the candidate, "
                "which train apart unless you tie them, too."
                for way, paths in zip(ways, same, strict=True)
            ]
    return []
