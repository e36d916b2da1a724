"""Where a program parts from another one that computes something else, and what of its
values would mend it.

Both are evaluated in float64, value by value. A value agrees if the reference has the
same numbers in some layout, or if one that is computed of it agrees: sums in another
order and fused products leave values without a partner that later values have again.
The programs part at the steps whose operands all agree, and whose results do not. Which
of them is the cause is found by trying: a value of the reference is put in place of the
candidate's, and the rest played again. Where a loop has a step in each of its rounds,
the operands in all of them get those of the reference in its rounds.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from ..program.same_values import MOST_ENTRIES, Known, comparable
from ..program.tape import Step, Tape

#: What hands a start on: to these it is no start, but what masks, pads, limits or
#: collects other numbers.
FILLS = {
    "max",
    "min",
    "select_n",
    "pad",
    "scatter",
    "scatter-add",
    "scatter_add",
    "dynamic_update_slice",
    "reduce_max",
}
TRIED_STEPS = 24  # the most steps at which programs part that are tried
TRIED_VALUES = 24  # the most values of the reference that are tried for each
MOST_AXES = 4  # the most axes that are exchanged to bring a value into a shape
#: So much is computed at most to try the changes of one kind: numbers, each counted as
#: often as a product multiplies for it, and as many more for each value.
MOST_WORK = 1_000_000_000
WORK_OF_A_VALUE = 4_000  # to compute a value of one number takes as long as so many


class Search:
    """What two programs agree on, some of whose outputs ought to be the same.

    Args:
        reference, candidate: all values of both.
        outputs: pairs of numbers of values: of the reference, and of the candidate.
        tolerance: the largest difference, relative to the largest magnitude, of values
            that are the same.
    """

    def __init__(
        self,
        reference: Tape,
        candidate: Tape,
        outputs: Sequence[tuple[int, int]],
        tolerance: float,
    ):
        self.reference, self.candidate = reference, candidate
        self.tolerance = tolerance
        #: The outputs that differ.
        self.wrong = [pair for pair in outputs if not self.equal(*pair)]
        if not self.wrong:
            return
        self.known = reference.known(tolerance)
        self._own = candidate.known(tolerance)
        of_reference, of_candidate = zip(*self.wrong, strict=True)
        mine = _Agreement(candidate, self._own, self.known, of_candidate)
        its = _Agreement(reference, self.known, self._own, of_reference)
        #: Of the candidate: the values on the way to these outputs, those of them that
        #: the reference has, too, and those that do not agree; and the steps at which
        #: both part.
        self.reached, self.same = mine.reached, mine.same
        self.apart = mine.reached - mine.agrees
        self.first = mine.parting()
        #: Of the reference: the values that agree, and the steps at which both part.
        self.agrees_in_reference = its.agrees
        self.first_of_reference = its.parting()

    def counts(self) -> tuple[int, int]:
        """How many values on the candidate's way to the outputs agree, and how many can
        be compared.
        """
        can_be_compared = {n for n in self.reached if self._own.signed[n] is not None}
        return len(can_be_compared - self.apart), len(can_be_compared)

    def equal(self, r: int, c: int, value: Any = None) -> bool:
        """Whether an output of the candidate, or another value in its place, is that of
        the reference.
        """
        wanted = self.reference.values[r]
        if value is None:
            value = self.candidate.values[c]
        if np.shape(wanted) != np.shape(value):
            return False
        slack = self.tolerance * max(np.abs(wanted).max(initial=0), 1e-300)
        return bool((np.abs(value - wanted) <= slack).all())

    def counterparts(self, step: Step) -> list[Step]:
        """The steps of the reference with another result of the like of the same
        operands, the most alike first.
        """
        mine = [self.partners(n) for n in step.operands]
        scores: dict[int, float] = {}
        for other in self.reference.steps:
            if other.operation != step.operation:
                continue
            if not self.agrees_in_reference.isdisjoint(other.results):
                continue
            bases = [self.reference.base(n) for n in other.operands]
            shared = sum(not partners.isdisjoint(bases) for partners in mine)
            in_place = [n in partners for n, partners in zip(bases, mine, strict=False)]
            if shared:
                score = shared + 0.1 * sum(in_place) + 0.01 * in_place[0]
                scores[other.number] = score
        numbers = sorted(scores, key=lambda number: -scores[number])
        return [self.reference.steps[number] for number in numbers]

    def partners(self, number: int) -> set[int]:
        """The values of the reference that are this one, without what only moves
        them.
        """
        signed = self._own.signed[self.candidate.base(number)]
        if signed is None:
            return set()
        return {self.reference.base(n) for n in self.known.same(signed)}

    def has_some(self, values: Sequence[Any]) -> bool:
        """Whether the reference has one of these values; those that cannot be compared
        are in each program.
        """
        can_be_compared = list(filter(comparable, values))
        return not can_be_compared or any(map(self.known.has, can_be_compared))


class _Agreement:
    """Which values on the way to some outputs of a program agree with another program.

    What such a value is computed of agrees, and each constant. So does what the other
    program has in parts; a large value is taken apart only where all that it is
    computed of agrees. What cannot be compared agrees there, too.
    """

    def __init__(self, tape: Tape, own: Known, other: Known, outputs: Sequence[int]):
        self._tape = tape
        self.reached = set(tape.before(outputs))
        inner = self.reached.difference(outputs)
        #: The values that the other program has, too.
        self.same: set[int] = set()
        self.agrees: set[int] = set()
        for n in inner:
            signed = own.signed[n]
            if signed is None:
                continue
            if other.has(signed):
                self.same.add(n)
            elif signed.value.size <= MOST_ENTRIES and other.composed(tape.values[n]):
                self.agrees.add(n)
        self.agrees |= self.same
        for step in reversed(tape.steps):
            if not self.agrees.isdisjoint(step.results):
                self.agrees |= self.reached.intersection(step.operands)
        self.agrees |= self.reached.difference(tape.maker)
        for step in tape.steps:
            if not self.agrees.issuperset(self.reached.intersection(step.operands)):
                continue
            for n in inner.intersection(step.results) - self.agrees:
                signed = own.signed[n]
                if signed is None or other.composed(signed.value):
                    self.agrees.add(n)

    def parting(self) -> list[Step]:
        """The steps whose operands all agree, and whose results do not."""
        apart = self.reached - self.agrees
        steps = []
        for step in self._tape.steps:
            if apart.isdisjoint(step.operands) and not apart.isdisjoint(step.results):
                steps.append(step)
        return steps


@dataclass(frozen=True)
class Trial:
    """A change of a candidate: other values, or other functions of the operands of some
    steps, by their numbers.

    Args:
        step: of the candidate, on the line of the change.
        values, runs: the other values, and functions.
        change: what stands in a sentence after "with"; empty where a value of the
        reference is put in its place. value, with_value: the candidate's value that is
        replaced, and the reference's; -1 for none.
    """

    step: Step
    values: Mapping[int, Any] = field(default_factory=dict)
    runs: Mapping[int, Callable[..., Any]] = field(default_factory=dict)
    change: str = ""
    value: int = -1
    with_value: int = -1


@np.errstate(all="ignore")
def first_that_mends(
    search: Search, trials: Iterable[Trial], most_work: int = MOST_WORK
) -> Trial | None:
    """The first change with which the outputs are equal; None if there is none among
    those that can be tried with so much work.
    """
    tape = search.candidate
    work = 0
    for trial in trials:
        if work > most_work:
            return None
        try:
            new = tape.played(trial.values, trial.runs, search.has_some)
        except (ValueError, IndexError, TypeError):  # what follows takes no such shape
            work += WORK_OF_A_VALUE
            continue
        work += sum(_work(tape, number) for number in new)
        if _is_mended(search, new):
            return trial
    return None


def _work(tape: Tape, number: int) -> int:
    """How much it takes to compute a value, counted as in `MOST_WORK`."""
    terms = 1
    step = tape.made(number)
    if step is not None and step.summed:
        shape = np.shape(tape.values[step.operands[1]])
        for axes in step.summed[1]:
            terms *= math.prod(shape[axis + 1] for axis in axes)
    return WORK_OF_A_VALUE + terms * int(np.size(tape.values[number]))


def _is_mended(search: Search, new: Mapping[int, Any]) -> bool:
    """Whether new values of a candidate have the shapes of before, and its outputs are
    the reference's.
    """
    before = search.candidate.values
    for number, value in new.items():
        if np.shape(value) != np.shape(before[number]):
            return False
    for wanted, own in search.wrong:
        if own not in new or not search.equal(wanted, own, new[own]):
            return False
    return True


def of_results(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps whose result is a value of the reference: those at which the programs part,
    then those that follow.
    """
    later = []
    for step in search.candidate.steps:
        is_apart = not search.apart.isdisjoint(step.results)
        if is_apart and not step.moves and step not in steps:
            later.append(step)
    for step in [*steps, *later[:TRIED_STEPS]]:
        for result in step.results:
            for number, value in _in_its_place(search, result):
                yield Trial(step, {result: value}, value=result, with_value=number)


def of_operands(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps of which an operand is another value in all rounds, for one of them, and
    for all that use it.
    """
    tape = search.candidate
    operands = [n for step in steps[:TRIED_STEPS] for n in step.operands]
    for value in dict.fromkeys(operands):
        if value in tape.constants:
            continue
        users = [step for step in steps if value in step.operands]
        choices = [users[:1], users] if len(users) > 1 else [users]
        for chosen in choices:
            rounds = sum(len(tape.rounds[user.number]) for user in chosen)
            for numbers in _for_operand(search, users[0], value):
                runs = _with_operands(search, chosen, value, numbers)
                if len(runs) == rounds:
                    with_value = numbers[0]
                    yield Trial(users[0], {}, runs, value=value, with_value=with_value)


def _with_operands(
    search: Search, users: Sequence[Step], value: int, numbers: Sequence[int]
) -> dict[int, Any]:
    """The steps that use a value, in their rounds, with values of the reference in its
    place, as far as these fit.
    """
    tape, runs = search.candidate, {}
    for user in users:
        place = user.operands.index(value)
        rounds = tape.rounds[user.number]
        for n, number in zip(rounds, numbers, strict=False):
            step, other = tape.steps[n], search.reference.values[number]
            if not isinstance(other, np.ndarray):
                continue
            shape = np.shape(tape.values[step.operands[place]])
            new = next(in_shape(other, shape), None)
            if new is not None:
                runs[n] = with_operand(step.run, place, _always(new))
    return runs


def _always(value: Any) -> Callable[[Any], Any]:
    def always(_: Any) -> Any:
        return value

    return always


def in_another_order(search: Search) -> Iterator[Trial]:
    """Steps that move numbers, with the order of the reference; those first whose
    result it lacks.
    """
    moves = []
    for step in search.candidate.steps:
        if step.moves and step.results[0] in search.reached:
            moves.append(step)
    for step in sorted(moves, key=lambda step: step.results[0] in search.same):
        number = step.results[0]
        value = search.candidate.values[number]
        if not comparable(value):
            continue
        for other in search.known.same(value, _shuffled):
            for new in in_shape(search.reference.values[other], value.shape):
                if not np.array_equal(new, value):
                    yield Trial(step, {number: new}, value=number, with_value=other)


def _shuffled(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size have the same entries, in whatever order."""
    differences = np.abs(np.sort(a, axis=None) - np.sort(b, axis=None))
    return bool((differences <= tolerance * np.abs(b).max()).all())


def _for_operand(search: Search, step: Step, value: int) -> Iterator[list[int]]:
    """Values of the reference for an operand, for all rounds of a loop: those of its
    counterparts first.
    """
    reference = search.reference
    size = np.size(search.candidate.values[value])
    rounds = len(search.candidate.rounds[step.number])
    for other in search.counterparts(step):
        others = [reference.steps[n] for n in reference.rounds[other.number]]
        if len(others) != rounds:
            continue
        for place in range(len(other.operands)):
            numbers = [o.operands[place] for o in others]
            if np.size(reference.values[numbers[0]]) == size:
                yield numbers
    if rounds == 1:
        for number, _ in _in_its_place(search, value):
            yield [number]


def _in_its_place(search: Search, result: int) -> Iterator[tuple[int, np.ndarray]]:
    """Values of the reference that nothing of the candidate agrees with, in the shape
    of one of the candidate's.
    """
    value = search.candidate.values[result]
    if not isinstance(value, np.ndarray):
        return
    alike = []
    for number in sorted(search.reference.maker.keys() - search.agrees_in_reference):
        other = search.reference.values[number]
        if comparable(other) and (other.size, other.dtype) == (value.size, value.dtype):
            alike.append(number)
    for number in alike[:TRIED_VALUES]:
        for shaped in in_shape(search.reference.values[number], value.shape):
            yield number, shaped


def with_operand(
    run: Callable[..., Any], place: int, change: Callable[[Any], Any]
) -> Callable[..., Any]:
    """A function of operands in which one of them is changed first."""

    def changed(*operands: Any) -> Any:
        new = change(operands[place])
        return run(*operands[:place], new, *operands[place + 1 :])

    return changed


def in_shape(value: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """A value in the layouts of this shape: as it is, else with axes exchanged."""
    if value.shape == shape:
        yield value
        return
    squeezed = value.squeeze()
    wanted = [n for n in shape if n > 1]
    if sorted(squeezed.shape) == sorted(wanted) and len(wanted) <= MOST_AXES:
        for order in permutations(range(squeezed.ndim)):
            moved = squeezed.transpose(order)
            if list(moved.shape) == wanted:
                yield moved.reshape(shape)
    elif value.size == np.prod(shape):
        yield value.reshape(shape)


def moved_starts(first: Tape, second: Tape) -> tuple[Tape, Tape]:
    """Both tapes, where both have loops that start at zero, which hides what is
    computed of it, with random starts.
    """
    of_first, of_second = _starts(first), _starts(second)
    if of_first and of_second:
        return first.changed(of_first), second.changed(of_second)
    return first, second


def _starts(tape: Tape) -> dict[int, np.ndarray]:
    """Arrays for the zeros that a program makes of one number and multiplies, and for
    those of their length beside.
    """
    uses = {n: _uses(tape, n) for n in range(len(tape.values)) if _is_zeros(tape, n)}
    lengths = set()
    for number, operations in uses.items():
        if "dot_general" in operations:
            lengths.add(tape.values[number].shape[-1])
    starts = {}
    for number, operations in uses.items():
        shape = tape.values[number].shape
        if shape[-1] in lengths and not operations <= FILLS:
            random = np.random.default_rng(shape[-1])
            row = 0.5 * random.standard_normal(shape[-1])
            starts[number] = np.broadcast_to(row, shape)
    return starts


def _is_zeros(tape: Tape, number: int) -> bool:
    """Whether a value is an array of zeros that a program makes of single numbers."""
    value = tape.values[number]
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return False
    if number in tape.arguments or value.ndim < 2 or value.shape[-1] < 2:
        return False
    step = tape.made(number)
    operands = step.operands if step else ()
    return not value.any() and all(np.size(tape.values[n]) == 1 for n in operands)


def _uses(tape: Tape, number: int) -> set[str]:
    """The operations that compute with a value, also after it was moved; joined beside
    others, it pads them.
    """
    operations: set[str] = set()
    length = tape.values[number].shape[-1:]
    for step in tape.users(number):
        has_length = tape.values[step.results[0]].shape[-1:] == length
        if step.operation == "concatenate" and has_length:
            operations.add("pad")
        elif step.moves and step.operation not in FILLS and len(step.results) == 1:
            operations |= _uses(tape, step.results[0])
        else:
            operations.add(step.operation)
    return operations
