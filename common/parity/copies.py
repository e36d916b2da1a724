"""Leaves of a candidate that are copies of one leaf of the reference, which is tied
there.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any

from ..errors import listed
from .layouts import LeafLayout, whole
from .matching import Match, converted, unmatched
from .values import Arguments, largest

#: the largest difference of values that are the same, relative to the largest magnitude
TOLERANCE = 1e-9
#: The most leaves without a partner that are taken for copies, and choices that are
#: tried.
COPIES, CHOICES = 2, 36


def with_copies(
    reference: Any,
    candidate: Any,
    mine: Arguments,
    own: Arguments,
    matches: Sequence[Match],
) -> list[Match]:
    """Matches in which leaves without a partner are copies of the reference's, if the
    outputs agree so.

    The arguments are those of `match_by_roles`.
    """
    result = list(matches)
    alone = [n for n, m in enumerate(matches) if m.layout is None]
    if not 0 < len(alone) <= COPIES or unmatched(reference.params, matches):
        return result
    options = [_options(reference, candidate.params[n]) for n in alone]
    wanted = reference.forward(mine).outputs
    for layouts in islice(product(*options), CHOICES):
        for n, layout in zip(alone, layouts, strict=True):
            result[n] = Match(layout, "function")
        params = converted(result, mine.params, own.params)
        outputs = candidate.forward(replace(own, params=params)).outputs
        if largest(wanted, outputs) <= TOLERANCE:
            return result
    return list(matches)


def _options(reference: Any, leaf: Any) -> list[LeafLayout]:
    """The layouts of each leaf of the reference as another one."""
    options = []
    for n, source in enumerate(reference.params):
        if source.size == leaf.size and source.is_complex == leaf.is_complex:
            options += whole(n, source.shape, leaf.shape)
    return options


def tied(reference: Any, candidate: Any, matches: Sequence[Match]) -> list[str]:
    """A sentence for each leaf of the reference that several leaves of the candidate
    hold whole.
    """
    copies: dict[int, list[str]] = {}
    for leaf, m in zip(candidate.params, matches, strict=True):
        if isinstance(m.layout, LeafLayout) and len(m.layout.sources) == 1:
            (source,) = m.layout.sources
            if reference.params[source].size == leaf.size:
                copies.setdefault(source, []).append(leaf.path)
    sentences = []
    for source, paths in copies.items():
        if len(paths) > 1:
            sentences.append(
                f"{reference.params[source].path} is tied in the reference: it is "
                f"{listed(paths)} in the candidate, which train apart unless you tie "
                "them, too."
            )
    return sentences
