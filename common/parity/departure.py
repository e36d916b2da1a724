"""Where a program parts from another one that computes something else.

Both are evaluated in float64, value by value. A value agrees if the reference has the same numbers in some layout, or
if one that is computed of it agrees: sums in another order and fused products leave values without a partner that later
values have again. The programs part at the steps whose operands all agree, and whose results do not. Which of them is
the cause is found by trying: a value of the reference is put in place of the candidate's, and the rest played again.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from .agreement import Known, comparable
from .tape import Step, Tape

#: The most steps at which programs part that are tried, and the most values of the reference for each.
TRIED_STEPS, TRIED_VALUES = 24, 24
#: How long values are put in place of others at most.
TRYING_S = 10.0


@dataclass(frozen=True)
class Departure:
    """A step at which the candidate parts from the reference.

    Args:
        candidate: a step of the candidate; None where it lacks what the reference has.
        reference: the step of the reference that computes what should stand there; None where that is not known.
        heals: whether the outputs agree once the candidate has the reference's value there.
        cause: a sentence, where it is known what would mend it; empty otherwise.
    """

    candidate: Step | None
    reference: Step | None
    heals: bool = False
    cause: str = ""


class Search:
    """What two programs agree on.

    Args:
        reference, candidate: their tapes, for the same arguments.
        outputs: the numbers of the reference's outputs and of the candidate's that ought to be the same.
        tolerance: the largest difference that rounding explains, relative to the largest magnitude.
    """

    def __init__(self, reference: Tape, candidate: Tape, outputs: Sequence[tuple[int, int]], tolerance: float):
        self.reference, self.candidate, self.tolerance = reference, candidate, tolerance
        self._of_reference = Known(reference.values, tolerance)
        self._of_candidate = Known(candidate.values, tolerance)
        self.wrong = [pair for pair in outputs if not self._equal(*pair)]
        self.agrees = _agreeing(candidate, self._of_reference, [c for _, c in self.wrong])
        self.agrees_in_reference = _agreeing(reference, self._of_candidate, [r for r, _ in self.wrong])

    def first(self) -> list[Step]:
        """The steps whose operands all agree, and whose results do not, in the candidate's order."""
        return list(_first_without(self.candidate, self.agrees, [c for _, c in self.wrong]))

    def counts(self) -> tuple[int, int]:
        """How many values on the candidate's way to the outputs agree, and how many can be compared."""
        reached = self.candidate.ancestors([c for _, c in self.wrong])
        some = [n for n in reached if comparable(self.candidate.values[n])]
        return sum(n in self.agrees for n in some), len(some)

    def _equal(self, r: int, c: int, value: np.ndarray | None = None) -> bool:
        wanted, found = self.reference.values[r], self.candidate.values[c] if value is None else value
        if np.shape(wanted) != np.shape(found):
            return False
        slack = self.tolerance * max(np.abs(wanted).max(initial=0), 1e-300)
        return bool((np.abs(found - wanted) <= slack).all())

    def healing(self, steps: Sequence[Step]) -> tuple[Step, Step] | None:
        """A step of the candidate and one of the reference whose value makes the outputs equal in its place."""
        ends = time.monotonic() + TRYING_S
        for step in self._suspects(steps):
            for result in step.results:
                for number, value in self._in_its_place(result):
                    if time.monotonic() > ends:
                        return None
                    new = self.candidate.played({result: value})
                    if all(c in new and self._equal(r, c, new[c]) for r, c in self.wrong):
                        return step, self.reference.steps[self.reference.maker[number]]
        return None

    def _suspects(self, steps: Sequence[Step]) -> Iterator[Step]:
        """The steps at which the programs part, then those that follow from them, in their order."""
        yield from steps
        known = set(map(id, steps))
        reached = self.candidate.ancestors([c for _, c in self.wrong])
        later = [
            step
            for step in self.candidate.steps
            if id(step) not in known
            and not step.moves
            and any(v in reached and v not in self.agrees for v in step.results)
        ]
        yield from later[:TRIED_STEPS]

    def _in_its_place(self, result: int) -> Iterator[tuple[int, np.ndarray]]:
        """Values of the reference that nothing of the candidate agrees with, in the shape of one of the candidate's."""
        value = self.candidate.values[result]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fc":
            return
        tried = 0
        for number, other in enumerate(self.reference.values):
            if number in self.agrees_in_reference or number not in self.reference.maker or tried >= TRIED_VALUES:
                continue
            if not comparable(other) or other.size != value.size or other.dtype != value.dtype:
                continue
            tried += 1
            for shaped in _shaped(other, value.shape):
                yield number, shaped

    def first_of_reference(self) -> list[Step]:
        """The steps of the reference whose operands all agree, and whose results do not."""
        return list(_first_without(self.reference, self.agrees_in_reference, [r for r, _ in self.wrong]))

    def counterpart(self, step: Step) -> Step | None:
        """The step of the reference that computes the like of some of the same operands, and another result."""
        mine = [self.partners(n) for n in step.operands]
        best, most = None, 0.0
        for other in self.reference.steps:
            if any(n in self.agrees_in_reference for n in other.results) or other.operation != step.operation:
                continue
            bases = [base(self.reference, n) for n in other.operands]
            hits = [not partners.isdisjoint(bases) for partners in mine]
            same = [n in partners for n, partners in zip(bases, mine, strict=False)]
            common = sum(hits) + 0.1 * sum(same) + 0.01 * same[0]
            if any(hits) and common > most:
                best, most = other, common
        return best

    def wrong_operands(self, step: Step, other: Step | None) -> list[int]:
        """The operands of a step that its counterpart has not; without a counterpart, all that were computed."""
        values = [base(self.candidate, n) for n in step.operands]
        if other is not None:
            bases = {base(self.reference, n) for n in other.operands}
            values = [v for v, n in zip(values, step.operands, strict=True) if bases.isdisjoint(self.partners(n))]
        return [value for value in values if value in self.candidate.maker and not self.is_constant(value)]

    def partners(self, number: int) -> set[int]:
        """The values of the reference that are this one, without what only moves them."""
        value = self.candidate.values[base(self.candidate, number)]
        return {base(self.reference, n) for n in self._of_reference.same(value)} if comparable(value) else set()

    def has(self, number: int) -> bool:
        """Whether the reference has this very value of the candidate."""
        value = self.candidate.values[number]
        return comparable(value) and self._of_reference.partner(value) is not None

    def is_constant(self, number: int) -> bool:
        """Whether a value of the candidate depends on no argument."""
        return number in self._constants

    @cached_property
    def _constants(self) -> set[int]:
        tape = self.candidate
        depends = set(tape.arguments)
        for step in tape.steps:
            if not depends.isdisjoint(step.operands):
                depends.update(step.results)
        return set(range(len(tape.values))) - depends


def _agreeing(tape: Tape, known: Known, outputs: Sequence[int]) -> set[int]:
    """The values that the other program has, too, or of which one is computed that it has; and all constants."""
    reached = tape.ancestors(outputs)
    agrees, wrong = set(), set(outputs)
    for number in sorted(reached, reverse=True):
        value = tape.values[number]
        if not comparable(value):
            continue
        if number not in wrong and (known.partner(value) is not None or known.composed(value)):
            agrees.add(number)
    for step in reversed(tape.steps):
        if not agrees.isdisjoint(step.results):
            agrees.update(n for n in step.operands if n in reached)
    agrees.update(n for n in reached if n not in tape.maker)
    for step in tape.steps:  # what cannot be compared agrees if all that it is computed of does
        if agrees.issuperset(n for n in step.operands if n in reached):
            agrees.update(n for n in step.results if n in reached and n not in wrong and not comparable(tape.values[n]))
    return agrees


def _first_without(tape: Tape, agrees: set[int], outputs: Sequence[int]) -> Iterator[Step]:
    """The steps on the way to some outputs whose operands agree, and whose results do not."""
    reached = tape.ancestors(outputs)
    for step in tape.steps:
        if reached.isdisjoint(step.results) or not agrees.issuperset(n for n in step.operands if n in reached):
            continue
        if any(n in reached and n not in agrees for n in step.results):
            yield step


def _shaped(value: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
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


def base(tape: Tape, number: int) -> int:
    """What a value is, before numbers were moved."""
    while (
        number in tape.maker
        and tape.steps[tape.maker[number]].moves
        and len(tape.steps[tape.maker[number]].operands) == 1
    ):
        if tape.values[tape.steps[tape.maker[number]].operands[0]].size != tape.values[number].size:
            break
        number = tape.steps[tape.maker[number]].operands[0]
    return number
