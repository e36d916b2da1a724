"""Leaves that are the reference's times a number: another sign, or a gain that is kept
ten times as large.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..program.sets import together
from .arrangements import code_of
from .layouts import LeafLayout, Transform
from .matching import Match, converted
from .roles import outputs_agree
from .values import Arguments

#: Steps of Newton's method, how far a factor is moved to differentiate, and how little
#: it moves at the end.
STEPS, MOVE, SETTLED = 12, 1e-6, 1e-10
#: Factors of a leaf to begin with, the likeliest first.
SIZES = (1.0, 0.5, 2.0, 0.25, 4.0, 0.1, 10.0, 0.01, 100.0)
FRACTIONS = np.array([1.0, 0.5, 0.25, 0.1])  # of a step, that are tried
SLOWEST = 0.9  # what a step has to leave of a difference at most
IS_ONE = 1e-4  # a factor that differs from 1 by less is none
DIGITS = 4  # a factor is a number of so many digits where that does
#: How many leaves are tried, and how many numbers of parameters they have together with
#: their tries.
MOST_LEAVES, MOST_WORK = 64, 20_000_000

Scales = dict[int, float]  # the factor of each leaf of the candidate that has one


def match_by_factors(
    reference: Any,
    candidate: Any,
    mine: Arguments,
    own: Arguments,
    matches: Sequence[Match],
) -> list[Match] | None:
    """Matches with factors for one leaf, or for several, with which the outputs agree;
    None if there are none.

    The arguments are those of `match_by_roles`.
    """
    leaves = []
    for n, m in enumerate(matches):
        if isinstance(m.layout, LeafLayout) and m.by != "the mapping":
            leaves.append(n)
    size = sum(p.size for p in own.params)
    if not 0 < len(leaves) <= MOST_LEAVES or size * len(leaves) > MOST_WORK:
        return None
    params = converted(matches, mine.params, own.params)
    wanted = reference.forward(mine).outputs
    difference = _Difference(candidate, replace(own, params=params), _flat(wanted))
    if not difference.is_defined():
        return None
    for scales in _solutions(difference, leaves):
        if all(abs(factor - 1) < IS_ONE for factor in scales.values()):
            continue  # the outputs differ by rounding alone
        scaled = list(matches)
        for leaf, factor in scales.items():
            scaled[leaf] = _scaled(matches[leaf], factor, reference)
        if outputs_agree(wanted, candidate, (mine, own), scaled):
            return scaled
    return None


class _Difference:
    """The difference of a candidate's outputs from others, as a function of factors of
    its parameters.
    """

    def __init__(self, candidate: Any, arguments: Arguments, wanted: np.ndarray):
        self._candidate, self._arguments, self._wanted = candidate, arguments, wanted

    def is_defined(self) -> bool:
        """Whether there are outputs of real numbers, as many in both models."""
        outputs = _flat(self._candidate.forward(self._arguments).outputs)
        return outputs.shape[1] == self._wanted.shape[1] > 0

    def __call__(self, leaves: Sequence[int], factors: np.ndarray) -> np.ndarray:
        """The differences, (sets, numbers), with some sets of factors, (sets,
        leaves).
        """
        params = list(self._arguments.params)
        for leaf, column in zip(leaves, factors.T, strict=True):
            axes = [1] * (params[leaf].ndim - 1)
            params[leaf] = params[leaf] * column.reshape(-1, *axes)
        arguments = replace(self._arguments, params=params)
        outputs = _flat(self._candidate.forward(arguments).outputs)
        numbers = self._wanted.shape[1]
        return np.broadcast_to(outputs, (len(factors), numbers)) - self._wanted

    def sizes(self, leaves: Sequence[int], factors: np.ndarray) -> np.ndarray:
        """The size of each difference; infinity where one is not finite."""
        sizes = np.linalg.norm(self(leaves, factors), axis=1)
        return np.where(np.isfinite(sizes), sizes, np.inf)


def _flat(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs of real numbers, one behind the other, with an axis of sets in front."""
    real = [a for a in outputs if a.dtype.kind == "f"]
    if not real:
        return np.zeros((1, 0))
    flat = [a.reshape(len(a), -1) for a in together(real)]
    return np.concatenate(flat, axis=1)


def _solutions(difference: _Difference, leaves: Sequence[int]) -> Iterator[Scales]:
    """Factors with which the outputs may agree: of one leaf, the simplest, then of all
    leaves.
    """
    starts = np.array([[sign * size] for size in SIZES for sign in (1, -1)])
    for leaf in leaves:
        nearest = np.argmin(difference.sizes([leaf], starts))
        yield from _solved(difference, [leaf], starts[nearest])
    yield from _solved(difference, leaves, np.ones(len(leaves)))


def _solved(
    difference: _Difference, leaves: Sequence[int], factors: np.ndarray
) -> Iterator[Scales]:
    """The factors to which Newton's method leads, in few digits if these do; nothing
    where it leads nowhere.
    """
    for _ in range(STEPS):
        moved = factors + MOVE * np.eye(len(leaves))
        base, *others = difference(leaves, np.vstack([factors, moved]))
        if not np.isfinite(base).all() or not np.isfinite(others).all():
            return
        slopes = (np.array(others) - base).T / MOVE
        step = np.linalg.lstsq(slopes, base, rcond=1e-9)[0]
        tried = factors - np.outer(FRACTIONS, step)
        sizes = difference.sizes(leaves, tried)
        factors = tried[np.argmin(sizes)]
        if np.abs(step).max() <= SETTLED * np.abs(factors).max():
            in_few_digits = [float(f"{factor:.{DIGITS}g}") for factor in factors]
            yield dict(zip(leaves, in_few_digits, strict=True))
            yield dict(zip(leaves, factors.tolist(), strict=True))
            return
        if sizes.min() > SLOWEST * np.linalg.norm(base):
            return


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
