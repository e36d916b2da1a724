"""Which number of the candidate's parameters is which of the reference's, told by what
the programs do with it.

Two programs that are one function, but for where their parameters stand, have the same
derivative by the same number. So all numbers of both models get one value, and the
gradients sort them into roles: numbers with one derivative have one role. Each role
gets a value of its own, and so on, until all numbers are told apart, as in the colour
refinement of graphs. Where roles are symmetric, as the units of a hidden layer, any
choice is right: names and shapes choose if they can, and else one number of each side
is singled out.

Numbers of one model that have the same derivative whatever the values are added up, as
two biases: the first of them stands for all. What has no derivative has no effect, and
no role.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..program.model import is_float
from .arrangements import Wanted, arranged
from .derivatives import SETS, Numbers, refined
from .matching import Match, converted
from .values import Arguments, largest

#: The largest difference of outputs that are the same.
SAME_OUTPUTS = 1e-9
#: How many numbers may be told apart, how many gradients of a program are computed, and
#: of how many numbers in all.
MOST_NUMBERS, MOST_GRADIENTS, MOST_WORK = 2_000_000, 400, 20_000_000
DRAWS = 3  # how often values are drawn until roles tell both models apart alike
#: How many options of a leaf are tried as a hint.
MOST_OPTIONS = 24


def match_by_roles(
    reference: Any,
    candidate: Any,
    mine: Arguments,
    own: Arguments,
    matches: Sequence[Match],
) -> list[Match] | None:
    """Matches with which the outputs of both programs agree; None if none are found.

    Args:
        reference, candidate: the programs.
        mine, own: a set of arguments of each.
        matches: of the candidate's leaves, by names and shapes: their options are tried
            first, and mappings bind.
    """
    of_reference = any(leaf.is_complex for leaf in reference.params)
    of_candidate = any(leaf.is_complex for leaf in candidate.params)
    if of_reference != of_candidate:  # a complex number is two real ones, not one
        return None
    bound = [n for n, m in enumerate(matches) if m.by == "the mapping"]
    sources: set[int] = set()
    for layout in (matches[n].layout for n in bound):
        sources.update(layout.sources if layout else ())
    params = converted(matches, mine.params, own.params)
    first = Numbers(reference, mine, sources)
    second = Numbers(candidate, replace(own, params=params), set(bound))
    has_gradient = any(is_float(a) for a in reference.outputs)
    if (
        not first.size
        or not has_gradient
        or max(first.size, second.size) > MOST_NUMBERS
    ):
        return None
    try:
        partners = _Roles(first, second, matches).partners()
    except InputError:  # a program without derivatives, as of a while loop
        return None
    if partners is None:
        return None
    result = _arrangements(first, second, partners, matches)
    wanted = reference.forward(mine).outputs
    return result if outputs_agree(wanted, candidate, (mine, own), result) else None


def outputs_agree(
    wanted: Sequence[np.ndarray],
    candidate: Any,
    both: tuple[Arguments, Arguments],
    matches: Sequence[Match],
) -> bool:
    """Whether the candidate returns the reference's outputs, with the parameters that
    matches make of the reference's.
    """
    mine, own = both
    params = converted(matches, mine.params, own.params)
    outputs = candidate.forward(replace(own, params=params)).outputs
    return largest(wanted, outputs) <= SAME_OUTPUTS


class _Roles:
    """Tells the numbers of two programs apart: the classes of both, one behind the
    other, are refined together.
    """

    def __init__(self, first: Numbers, second: Numbers, matches: Sequence[Match]):
        self._first, self._second, self._matches = first, second, matches
        self._random = np.random.default_rng(1)
        work = max(first.size, second.size)
        self._gradients_left = max(20, min(MOST_GRADIENTS, MOST_WORK // work))

    def partners(self) -> dict[int, int] | None:
        """For each chosen number of the candidate, that of the reference; None if the
        programs differ.
        """
        count = len(self._first.chosen)
        if count != len(self._second.chosen):
            return None
        classes = self._settled(np.zeros(2 * count, int))
        hints = self._hints()
        if classes is not None:
            together = self._told_by(hints, classes)
            classes = classes if together is None else together
        while classes is not None and classes.max() + 1 < count:
            if self._gradients_left <= 0:
                return None
            finer = None
            while hints and finer is None:
                finer = self._told_by(hints[:1], classes)
                if finer is None:
                    hints.pop(0)
            if finer is None:
                finer = self._settled(_singled_out(classes))
            classes = finer
        if classes is None:
            return None
        # Each class has one number of each model.
        of_reference = self._first.chosen[np.argsort(classes[:count])]
        partners = of_reference[classes[count:]].tolist()
        return dict(zip(self._second.chosen.tolist(), partners, strict=True))

    def _settled(self, classes: np.ndarray) -> np.ndarray | None:
        """The classes refined until gradients tell no more apart; None where one class
        has more of one model.
        """
        while True:
            refined = self._refined_once(classes)
            if refined is None or refined.max() == classes.max():
                return refined
            classes = refined

    def _refined_once(self, classes: np.ndarray) -> np.ndarray | None:
        count = len(self._first.chosen)
        for _ in range(DRAWS):
            self._gradients_left -= 1
            values = self._random.normal(0.25, 0.2, (SETS, classes.max() + 1))
            derivatives = [
                self._derivatives(self._first, values[:, classes[:count]]),
                self._derivatives(self._second, values[:, classes[count:]]),
            ]
            both = np.concatenate(derivatives)
            if not np.isfinite(both).all():
                continue
            finer = refined(classes, both)
            of_first, of_second = (
                np.bincount(part, minlength=2 * count) for part in np.split(finer, 2)
            )
            if np.array_equal(of_first, of_second):
                return finer
        return None

    def _derivatives(self, side: Numbers, chosen: np.ndarray) -> np.ndarray:
        """The derivatives by the chosen numbers, with these values; the others of a
        group are 0.
        """
        values = np.zeros((len(chosen), side.size))
        values[:, side.chosen] = chosen
        return side.derivatives(values)[side.chosen]

    def _hints(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each leaf, and each of its options, pairs of places among the chosen
        numbers of both.
        """
        place_r, place_c = self._first.places, self._second.places
        hints = []
        for leaf, begin in self._second.starts.items():
            for option in self._matches[leaf].options[:MOST_OPTIONS]:
                if not self._first.starts.keys() >= set(option.sources):
                    continue
                numbers = option.numbers_of(self._first.starts, self._first.sizes)
                r = place_r[numbers.reshape(-1)]
                c = place_c[begin : begin + numbers.size]
                both = (r >= 0) & (c >= 0)
                if both.any():
                    hints.append((r[both], c[both]))
        return hints

    def _told_by(
        self, hints: Sequence[tuple[np.ndarray, np.ndarray]], classes: np.ndarray
    ) -> np.ndarray | None:
        """The classes in which pairs of hints are told apart; None if they tell nothing
        new, or are wrong.
        """
        sizes = np.bincount(classes)
        told = classes.copy()
        following = len(sizes)
        for first, second in hints:
            r, c = first, second + len(self._first.chosen)
            is_tied = sizes[classes[c]] > 2
            r, c = r[is_tied], c[is_tied]
            is_new = (told[r] < len(sizes)) & (told[c] < len(sizes))
            if not is_new.any() or (classes[r] != classes[c]).any():
                continue
            r, c = r[is_new], c[is_new]
            told[r] = told[c] = following + np.arange(len(r))
            following += len(r)
        if following == len(sizes):
            return None
        return self._settled(np.unique(told, return_inverse=True)[1])


def _singled_out(classes: np.ndarray) -> np.ndarray:
    """The classes with one number of each model taken out of the smallest class that
    has several.
    """
    first, second = np.split(classes, 2)
    sizes = np.bincount(first)
    smallest = np.argmin(np.where(sizes > 1, sizes, len(classes)))
    classes = classes.copy()
    for offset, part in ((0, first), (len(first), second)):
        classes[offset + np.flatnonzero(part == smallest)[0]] = len(sizes)
    return classes


def _arrangements(
    first: Numbers,
    second: Numbers,
    partners: dict[int, int],
    matches: Sequence[Match],
) -> list[Match]:
    """For each leaf of the candidate, where its numbers stand among the reference's."""
    terms: list[list[int]] = [[] for _ in range(second.size)]
    has_role = np.zeros(second.size, bool)
    for chosen, group in second.groups.items():
        parts = first.groups[partners[chosen]]
        has_role[group] = True
        if len(parts) == len(group):
            for number, part in zip(group, parts, strict=True):
                terms[number] = [int(part)]
        else:
            terms[chosen] = parts.tolist()
    result = list(matches)
    for leaf, begin in second.starts.items():
        numbers = slice(begin, begin + second.sizes[leaf])
        if has_role[numbers].any():
            wanted = Wanted(terms[numbers], has_role[numbers], second.shapes[leaf])
            result[leaf] = arranged(wanted, first, matches[leaf])
    return result
