"""Where a program parts from another one that computes something else.

Both are evaluated in float64, value by value. A value agrees if the reference has the same numbers in some layout, or
if one that is computed of it agrees: sums in another order and fused products leave values without a partner that later
values have again. The programs part at the steps whose operands all agree, and whose results do not. Which of them is
the cause is found by trying: a value of the reference is put in place of the candidate's, and the rest played again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .agreement import MOST_ENTRIES, Known, comparable
from .tape import Step, Tape

#: What hands a start on: to these it is no start, but what masks, pads, limits or collects other numbers.
FILLS = frozenset(
    {"max", "min", "select_n", "pad", "scatter", "scatter-add", "scatter_add", "dynamic_update_slice", "reduce_max"}
)


class Search:
    """What two programs agree on.

    Args:
        reference, candidate: their tapes, for the same arguments.
        outputs: the numbers of the reference's outputs and of the candidate's that ought to be the same.
        tolerance: the largest difference that rounding explains, relative to the largest magnitude.

    Attributes:
        wrong: the outputs that differ.
        known: the values of the reference.
        reached: the values of the candidate on the way to these outputs, and these.
        same: those of them that the reference has, too.
        apart: those of them that do not agree.
        agrees_in_reference: the values of the reference that agree.
        first, first_of_reference: the steps of each whose operands all agree, and whose results do not.
    """

    def __init__(self, reference: Tape, candidate: Tape, outputs: Sequence[tuple[int, int]], tolerance: float):
        self.reference, self.candidate, self.tolerance = reference, candidate, tolerance
        self.wrong = [pair for pair in outputs if not self.equal(*pair)]
        if not self.wrong:
            return
        self.known, self._own = reference.known(tolerance), candidate.known(tolerance)
        theirs, own = zip(*self.wrong, strict=True)
        self.reached, in_reference = set(candidate.before(own)), set(reference.before(theirs))
        self.same, agrees = _agreeing(candidate, self._own, self.known, own, self.reached)
        _, self.agrees_in_reference = _agreeing(reference, self.known, self._own, theirs, in_reference)
        self.apart = self.reached - agrees
        self.first = _first(candidate, self.apart)
        self.first_of_reference = _first(reference, in_reference - self.agrees_in_reference)

    def counts(self) -> tuple[int, int]:
        """How many values on the candidate's way to the outputs agree, and how many can be compared."""
        some = {n for n in self.reached if self._own.signed[n] is not None}
        return len(some - self.apart), len(some)

    def equal(self, r: int, c: int, value: np.ndarray | None = None) -> bool:
        """Whether an output of the candidate, or another value in its place, is that of the reference."""
        wanted, own = self.reference.values[r], self.candidate.values[c] if value is None else value
        if np.shape(wanted) != np.shape(own):
            return False
        slack = self.tolerance * max(np.abs(wanted).max(initial=0), 1e-300)
        return bool((np.abs(own - wanted) <= slack).all())

    def counterparts(self, step: Step) -> list[Step]:
        """The steps of the reference that compute the like of some of the same operands, and another result.

        Those are first that have most in common with the step of the candidate.
        """
        mine = [self.partners(n) for n in step.operands]
        scored = []
        for other in self.reference.steps:
            if other.operation != step.operation or not self.agrees_in_reference.isdisjoint(other.results):
                continue
            bases = [self.reference.base(n) for n in other.operands]
            hits = [not partners.isdisjoint(bases) for partners in mine]
            same = [n in partners for n, partners in zip(bases, mine, strict=False)]
            if any(hits):
                scored.append((sum(hits) + 0.1 * sum(same) + 0.01 * same[0], other))
        return [other for _, other in sorted(scored, key=lambda entry: -entry[0])]

    def partners(self, number: int) -> set[int]:
        """The values of the reference that are this one, without what only moves them."""
        some = self._own.signed[self.candidate.base(number)]
        return set() if some is None else {self.reference.base(n) for n in self.known.same(some)}

    def has_some(self, values: Sequence[Any]) -> bool:
        """Whether the reference has one of these values; those that cannot be compared are in each program."""
        some = [value for value in values if comparable(value)]
        return not some or any(self.known.partner(value) is not None for value in some)


def _agreeing(
    tape: Tape, own: Known, other: Known, outputs: Sequence[int], reached: set[int]
) -> tuple[set[int], set[int]]:
    """The values that the other program has, too; and these with all of which one is computed, and all constants.

    So does what the other program has in parts; a large value is taken apart only where all that it is computed of
    agrees. What cannot be compared agrees there, too.
    """
    signed = {n: some for n in reached.difference(outputs) if (some := own.signed[n]) is not None}
    same = {n for n, some in signed.items() if other.partner(some) is not None}
    small = (n for n, some in signed.items() if n not in same and some.value.size <= MOST_ENTRIES)
    agrees = same | {n for n in small if other.composed(tape.values[n])}
    for step in reversed(tape.steps):
        if not agrees.isdisjoint(step.results):
            agrees.update(reached.intersection(step.operands))
    agrees.update(reached.difference(tape.maker))
    for step in tape.steps:
        if agrees.issuperset(reached.intersection(step.operands)):
            for n in reached.intersection(step.results).difference(outputs, agrees):
                if own.signed[n] is None or other.composed(signed[n].value):
                    agrees.add(n)
    return same, agrees


def _first(tape: Tape, apart: set[int]) -> list[Step]:
    return [s for s in tape.steps if apart.isdisjoint(s.operands) and not apart.isdisjoint(s.results)]


# Loops that start at zero: a carry of zeros hides what is computed of it in the first round ----------------------


def moved_starts(first: Tape, second: Tape) -> tuple[Tape, Tape]:
    """Both tapes, with the same random numbers where loops start at zero; as they are if only one of them has such."""
    starts = [_starts(tape) for tape in (first, second)]
    return (first.changed(starts[0]), second.changed(starts[1])) if all(starts) else (first, second)


def _starts(tape: Tape) -> dict[int, np.ndarray]:
    """Arrays for the zeros that a program makes and multiplies, and for those of their length beside them."""
    zeros = {n: value.shape for n, value in enumerate(tape.values) if _is_start(tape, n, value)}
    uses = {n: _uses(tape, n) for n in zeros}
    lengths = {zeros[n][-1] for n, operations in uses.items() if "dot_general" in operations}
    return {
        n: np.broadcast_to(0.5 * np.random.default_rng(shape[-1]).standard_normal(shape[-1]), shape)
        for n, shape in zeros.items()
        if shape[-1] in lengths and not uses[n] <= FILLS
    }


def _is_start(tape: Tape, number: int, value: Any) -> bool:
    """Whether a value is an array of zeros that the program makes of one number."""
    if number in tape.arguments or not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.any():
        return False
    made = tape.made(number)
    of_one_number = made is None or all(np.size(tape.values[n]) == 1 for n in made.operands)
    return value.ndim > 1 and value.shape[-1] > 1 and of_one_number


def _uses(tape: Tape, number: int) -> set[str]:
    """The operations that compute with a value, also after it was moved; joined beside others, it pads them."""
    operations: set[str] = set()
    for step in tape.users(number):
        same_length = tape.values[step.results[0]].shape[-1:] == tape.values[number].shape[-1:]
        if step.operation == "concatenate" and same_length:
            operations.add("pad")
        elif step.moves and step.operation not in FILLS and len(step.results) == 1:
            operations |= _uses(tape, step.results[0])
        else:
            operations.add(step.operation)
    return operations
