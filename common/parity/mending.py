"""Making the outputs of a candidate equal: values of the reference are put in the place of its own.

What follows from a value is played again. Where a loop has a step in each of its rounds, all of them get the values
that the reference has in its rounds.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from .agreement import comparable
from .departure import Search
from .tape import Step

#: The most steps at which programs part that are tried, and the most values of the reference for each.
TRIED_STEPS, TRIED_VALUES = 24, 24
#: How long values are put in place of others at most.
TRYING_S = 10.0


@dataclass(frozen=True)
class Mended:
    """A step of the candidate with which its outputs are equal, once it has a value of the reference.

    Args:
        step: it.
        other: the step of the reference that makes the value; None for an argument or a constant.
        value: the number of the candidate's value in whose place the reference's is put.
        with_value: the number of the reference's.
        everywhere: whether it is put in its place on several lines that use it, and not on one alone.
    """

    step: Step
    other: Step | None
    value: int
    with_value: int
    everywhere: bool = False


class Mending:
    """Tries values of the reference in the place of the candidate's.

    Args:
        search: what both agree on.
    """

    def __init__(self, search: Search):
        self._search, self._ends = search, time.monotonic() + TRYING_S
        self.reference, self.candidate = search.reference, search.candidate
        self._reached = self.candidate.ancestors([c for _, c in search.wrong])

    def heals(self, changed: Mapping[int, Any], runs: Mapping[int, Callable[..., Any]] | None = None) -> bool:
        """Whether the outputs are equal with other values, or other functions of some steps. It is played again."""
        if self.late:
            return False
        try:
            new = self.candidate.played(changed, runs, self._goes_on)
        except (ValueError, IndexError, TypeError):  # what follows does not take values of this shape
            return False
        kept = all(np.shape(value) == np.shape(self.candidate.values[number]) for number, value in new.items())
        return kept and all(c in new and self._search.equal(r, c, new[c]) for r, c in self._search.wrong)

    def _goes_on(self, values: Sequence[Any]) -> bool:
        """Whether there is time, and one of these values of the candidate is the reference's."""
        return not self.late and self._search.has_some(values)

    def again(self) -> "Mending":
        """The same, with as much time."""
        return Mending(self._search)

    @property
    def late(self) -> bool:
        """Whether time is up."""
        return time.monotonic() > self._ends

    def of_results(self, steps: Sequence[Step]) -> Mended | None:
        """A step that mends the candidate if its result is a value of the reference.

        Args:
            steps: at which the programs part; those that follow from them are tried, too.
        """
        for step in self._suspects(steps):
            rounds = self.candidate.sites[self.candidate.site(step)]
            for place, result in enumerate(step.results):
                every = [self.candidate.steps[n].results[place] for n in rounds]
                for numbers in self._in_their_place(every) if len(rounds) > 1 else ():
                    shaped = [self._as(n, v) for n, v in zip(numbers, every, strict=True)]
                    if all(value is not None for value in shaped) and self.heals(dict(zip(every, shaped, strict=True))):
                        return self._mended(step, result, numbers[0])
                for number, value in self._in_its_place(result):
                    if self.heals({result: value}):
                        return self._mended(step, result, number)
        return None

    def of_operands(self, steps: Sequence[Step]) -> Mended | None:
        """A step that mends the candidate if one of its operands is another value, wherever else that is used.

        Args:
            steps: at which the programs part.
        """
        tried = set()
        for step in steps[:TRIED_STEPS]:
            for value in step.operands:
                if value in tried or self._search.is_constant(value):
                    continue
                tried.add(value)
                users = [other for other in steps if value in other.operands]
                for some in [users[:1], users] if len(users) > 1 else [users]:
                    if found := self._of_operand(some, value):
                        return found
        return None

    def _of_operand(self, users: Sequence[Step], value: int) -> Mended | None:
        """The users of a value, if another one in its place mends the candidate."""
        step = users[0]
        rounds = [self.candidate.sites[self.candidate.site(user)] for user in users]
        if len(set(map(len, rounds))) > 1:
            return None
        place = step.operands.index(value)
        for numbers in self._for_operand(step, place, len(rounds[0])):
            runs: dict[int, Any] = {}
            for user, some in zip(users, rounds, strict=True):
                at = user.operands.index(value)
                for n, number in zip(some, numbers, strict=True):
                    other = self.candidate.steps[n]
                    shaped = self._as(number, other.operands[at])
                    if shaped is not None:
                        runs[n] = _with_operand(other.run, at, shaped)
            if len(runs) == sum(map(len, rounds)) and self.heals({}, runs):
                lines = {user.lines() for user in users}
                return replace(self._mended(step, value, numbers[0]), everywhere=len(lines) > 1)
        return None

    def _for_operand(self, step: Step, place: int, rounds: int) -> Iterator[list[int]]:
        """Values of the reference for an operand, for all rounds of a loop: those of its counterparts first."""
        size = np.size(self.candidate.values[step.operands[place]])
        for other in self._search.counterparts(step):
            some = self.reference.sites[self.reference.site(other)]
            if len(some) == rounds:
                each = [[self.reference.steps[n].operands[at] for n in some] for at in range(len(other.operands))]
                yield from (numbers for numbers in each if np.size(self.reference.values[numbers[0]]) == size)
        if rounds == 1:
            for number, _ in self._in_its_place(step.operands[place]):
                yield [number]

    def _mended(self, step: Step, value: int, number: int) -> Mended:
        maker = self.reference.maker.get(number)
        return Mended(step, None if maker is None else self.reference.steps[maker], value, number)

    def _suspects(self, steps: Sequence[Step]) -> Iterator[Step]:
        """The steps at which the programs part, then those that follow from them, in their order."""
        yield from steps
        known = set(map(id, steps))
        later = [
            step
            for step in self.candidate.steps
            if id(step) not in known
            and not step.moves
            and any(v in self._reached and v not in self._search.agrees for v in step.results)
        ]
        yield from later[:TRIED_STEPS]

    def _in_its_place(self, result: int) -> Iterator[tuple[int, np.ndarray]]:
        """Values of the reference that nothing of the candidate agrees with, in the shape of one of the candidate's."""
        value = self.candidate.values[result]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fc":
            return
        tried = 0
        for number, other in enumerate(self.reference.values):
            if number in self._search.agrees_in_reference or number not in self.reference.maker:
                continue
            if tried >= TRIED_VALUES:
                return
            if not comparable(other) or other.size != value.size or other.dtype != value.dtype:
                continue
            tried += 1
            for shaped in in_shape(other, value.shape):
                yield number, shaped

    def _in_their_place(self, results: Sequence[int]) -> Iterator[list[int]]:
        """Values that the reference has in the rounds of a loop, of as many rounds and of one size."""
        value = self.candidate.values[results[0]]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fc":
            return
        tried = 0
        for some in self.reference.sites.values():
            if len(some) != len(results) or tried >= TRIED_VALUES:
                continue
            for place in range(len(self.reference.steps[some[0]].results)):
                numbers = [self.reference.steps[n].results[place] for n in some]
                other = self.reference.values[numbers[0]]
                if np.size(other) == value.size and other.dtype == value.dtype:
                    tried += 1
                    yield numbers

    def _as(self, number: int, like: int) -> np.ndarray | None:
        """A value of the reference in the shape of one of the candidate; None if there is none."""
        value = self.reference.values[number]
        return next(in_shape(value, self.candidate.values[like].shape), None) if isinstance(value, np.ndarray) else None


def _with_operand(run: Callable[..., Any], place: int, value: Any) -> Callable[..., Any]:
    return lambda *operands: run(*operands[:place], value, *operands[place + 1 :])


def in_shape(value: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """A value in the layouts of this shape: as it is, else with axes exchanged."""
    if value.shape == shape:
        yield value
        return
    squeezed = value.reshape([n for n in value.shape if n > 1])
    wanted = [n for n in shape if n > 1]
    if sorted(squeezed.shape) == sorted(wanted) and len(wanted) <= 4:
        for order in permutations(range(squeezed.ndim)):
            moved = squeezed.transpose(order)
            if list(moved.shape) == wanted:
                yield moved.reshape(shape)
    elif value.size == np.prod(shape):
        yield value.reshape(shape)
