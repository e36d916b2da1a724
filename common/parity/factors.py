"""Leaves that are the reference's times a number: another sign, or a gain that is kept ten times as large."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..program.sets import together
from .arrangements import code_of
from .layouts import LeafLayout, Transform
from .matching import Match, converted
from .roles import outputs_agree
from .values import Arguments

#: Steps of Newton's method, how far a factor is moved to differentiate, and how little it moves at the end.
STEPS, MOVE, SETTLED = 12, 1e-6, 1e-10
#: Factors of a leaf to begin with; parts of a step that are tried; and what a step has to leave of a difference at most.
STARTS = [
    s * f for f in (1.0, 0.5, 2.0, 0.25, 4.0, 0.1, 10.0, 0.01, 100.0) for s in (1, -1)
]
FRACTIONS = np.array([1.0, 0.5, 0.25, 0.1])
SLOWEST = 0.9
#: A factor is a number of so many digits where one of that many digits does.
DIGITS = 4
#: How many leaves are tried, and how many numbers of parameters they have together with their tries.
MOST_LEAVES, MOST_WORK = 64, 20_000_000

Scales = dict[int, float]  # the factor of each leaf of the candidate that has one


def match_by_factors(
    reference: Any,
    candidate: Any,
    mine: Arguments,
    own: Arguments,
    matches: Sequence[Match],
) -> list[Match] | None:
    """Matches with factors for one leaf, or for several, with which the outputs agree; None if there are none.

    The arguments are those of `match_by_roles`.
    """
    leaves = [
        n
        for n, match in enumerate(matches)
        if isinstance(match.layout, LeafLayout) and match.by != "the mapping"
    ]
    size = sum(p.size for p in own.params)
    if not 0 < len(leaves) <= MOST_LEAVES or size * len(leaves) > MOST_WORK:
        return None
    params = converted(matches, mine.params, own.params)
    wanted = _flat(reference.forward(mine).outputs)

    def differences(scales: Sequence[Scales]) -> np.ndarray:
        """The difference of the outputs, (scales, numbers), with each of some scales."""
        scaled = list(params)
        for leaf in leaves:
            factors = [scale.get(leaf, 1.0) for scale in scales]
            if factors != [1.0] * len(scales):
                column = np.reshape(factors, (-1, *[1] * (params[leaf].ndim - 1)))
                scaled[leaf] = params[leaf] * column
        outputs = _flat(candidate.forward(replace(own, params=scaled)).outputs)
        return np.broadcast_to(outputs, (len(scales), outputs.shape[1])) - wanted

    if not wanted.size or differences([{}]).shape[1] != wanted.shape[1]:
        return None
    for scales in _solutions(differences, leaves):
        found = list(matches)
        for leaf, factor in scales.items():
            found[leaf] = _scaled(matches[leaf], factor, reference)
        outputs = reference.forward(mine).outputs
        if outputs_agree(outputs, candidate, (mine, own), found):
            return found
    return None


def _flat(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs of real numbers, one behind the other, with an axis of sets in front."""
    real = [a for a in outputs if a.dtype.kind == "f"]
    if not real:
        return np.zeros((1, 0))
    flat = [a.reshape(len(a), -1) for a in together(real)]
    return np.concatenate(flat, axis=1)


def _solutions(
    differences: Callable[[Sequence[Scales]], np.ndarray], leaves: Sequence[int]
) -> Iterator[Scales]:
    """Factors with which the outputs may agree: of one leaf, the simplest, then of all leaves."""
    for leaf in leaves:
        sizes = np.linalg.norm(differences([{leaf: start} for start in STARTS]), axis=1)
        nearest = np.argmin(np.where(np.isfinite(sizes), sizes, np.inf))
        yield from _solved(differences, {leaf: STARTS[nearest]})
    yield from _solved(differences, dict.fromkeys(leaves, 1.0))


def _solved(
    differences: Callable[[Sequence[Scales]], np.ndarray], start: Scales
) -> Iterator[Scales]:
    """The factors to which Newton's method leads, in few digits if these do; nothing where it leads nowhere."""
    leaves, factors = list(start), np.array(list(start.values()))
    for _ in range(STEPS):
        moved = factors + MOVE * np.eye(len(leaves))
        points = [dict(zip(leaves, p, strict=True)) for p in (factors, *moved)]
        base, *others = differences(points)
        if not np.isfinite(base).all() or not np.isfinite(others).all():
            return
        slopes = (np.array(others) - base).T / MOVE
        step = np.linalg.lstsq(slopes, base, rcond=1e-9)[0]
        tried = factors - np.outer(FRACTIONS, step)
        points = [dict(zip(leaves, p, strict=True)) for p in tried]
        sizes = np.linalg.norm(differences(points), axis=1)
        sizes = np.where(np.isfinite(sizes), sizes, np.inf)
        factors = tried[np.argmin(sizes)]
        if np.abs(step).max() <= SETTLED * np.abs(factors).max():
            yield dict(zip(leaves, _in_few_digits(factors), strict=True))
            yield dict(zip(leaves, factors.tolist(), strict=True))
            return
        if sizes.min() > SLOWEST * np.linalg.norm(base):
            return


def _in_few_digits(factors: np.ndarray) -> list[float]:
    return [float(f"{factor:.{DIGITS}g}") for factor in factors]


def _scaled(match: Match, factor: float, reference: Any) -> Match:
    layout = match.layout
    if factor == 1 or not isinstance(layout, LeafLayout):
        return match

    def times(*arrays: np.ndarray) -> np.ndarray:
        flat = np.concatenate([np.reshape(a, -1) for a in arrays])
        return factor * flat[layout.index]

    how = f"times {factor:.{DIGITS}g}"
    if layout.how != "as it is":
        how = f"{layout.how}, {how}"
    shapes = [reference.params[n].shape for n in layout.sources]
    array = code_of(layout, shapes)
    code = array and f"{factor!r} * {array}"
    scaled = Transform(layout.sources, times, how, is_plain=False, code=code)
    return Match(scaled, "function", match.options)
