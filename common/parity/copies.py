"""Parameters that one model uses twice, and the other has as two copies."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

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
    options = [
        [
            way
            for n, leaf in enumerate(r.params)
            if leaf.size == c.params[a].size
            for way in whole(n, leaf.shape, c.params[a].shape)
        ]
        for a in alone
    ]
    wanted = r.forward(mine).outputs
    for chosen in list(product(*options))[:CHOICES]:
        layouts: Sequence[Any] = [dict(zip(alone, chosen, strict=True)).get(n, m.layout) for n, m in enumerate(matches)]
        params = [a if way is None else way.convert(mine.params) for a, way in zip(own.params, layouts, strict=True)]
        if largest(wanted, c.forward(replace(own, params=params)).outputs) <= TOLERANCE:
            for a, way in zip(alone, chosen, strict=True):
                matches[a] = Match(way, "function")
            return [_sentence(r, c, a, way, matches) for a, way in zip(alone, chosen, strict=True)]
    return []


def _sentence(r: Any, c: Any, copy: int, way: Layout, matches: Sequence[Match]) -> str:
    others = [
        c.params[n].path
        for n, m in enumerate(matches)
        if n != copy and m.layout is not None and m.layout.sources == way.sources
    ]
    names = " and ".join([*others, c.params[copy].path])
    return (
        f"{r.params[way.sources[0]].path} is tied in the reference: it is {names} in the candidate, which train apart "
        "unless you tie them, too."
    )
