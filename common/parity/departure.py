"""Where a program parts from another one that computes something else, and what of its values would mend it.

Both are evaluated in float64, value by value. A value agrees if the reference has the same numbers in some layout, or
if one that is computed of it agrees: sums in another order and fused products leave values without a partner that later
values have again. The programs part at the steps whose operands all agree, and whose results do not. Which of them is
the cause is found by trying: a value of the reference is put in place of the candidate's, and the rest played again.
Where a loop has a step in each of its rounds, the operands in all of them get those of the reference in its rounds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, permutations
from typing import Any

import numpy as np

from ..program.same_values import MOST_ENTRIES, Known, comparable
from ..program.tape import Step, Tape

#: What hands a start on: to these it is no start, but what masks, pads, limits or collects other numbers.
FILLS = frozenset(
    {
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
)
TRIED_STEPS, TRIED_VALUES = (
    24,
    24,
)  # the most steps at which programs part that are tried, and values for each
TRYING_S = 8.0  # how long changes of one kind are tried at most


class Search:
    """What two programs agree on, some of whose outputs, by their numbers, ought to be the same, up to a tolerance."""

    def __init__(
        self,
        reference: Tape,
        candidate: Tape,
        outputs: Sequence[tuple[int, int]],
        tolerance: float,
    ):
        self.reference, self.candidate, self.tolerance = reference, candidate, tolerance
        self.wrong = [
            pair for pair in outputs if not self.equal(*pair)
        ]  # the outputs that differ
        if not self.wrong:
            return
        self.known, self._own = reference.known(tolerance), candidate.known(tolerance)
        theirs, own = zip(*self.wrong, strict=True)
        # of the candidate, the values on the way to these outputs, and those of them that the reference has, too
        self.reached, in_reference = (
            set(candidate.before(own)),
            set(reference.before(theirs)),
        )
        self.same, agrees, self.first = _agreeing(
            candidate, self._own, self.known, own, self.reached
        )
        of_reference = _agreeing(reference, self.known, self._own, theirs, in_reference)
        _, self.agrees_in_reference, self.first_of_reference = of_reference
        self.apart = self.reached - agrees

    def counts(self) -> tuple[int, int]:
        """How many values on the candidate's way to the outputs agree, and how many can be compared."""
        some = {n for n in self.reached if self._own.signed[n] is not None}
        return len(some - self.apart), len(some)

    def equal(self, r: int, c: int, value: np.ndarray | None = None) -> bool:
        """Whether an output of the candidate, or another value in its place, is that of the reference."""
        wanted, own = (
            self.reference.values[r],
            self.candidate.values[c] if value is None else value,
        )
        if np.shape(wanted) != np.shape(own):
            return False
        return bool(
            (
                np.abs(own - wanted)
                <= self.tolerance * max(np.abs(wanted).max(initial=0), 1e-300)
            ).all()
        )

    def counterparts(self, step: Step) -> list[Step]:
        """The steps of the reference with another result of the like of the same operands, the most alike first."""
        mine = [self.partners(n) for n in step.operands]
        scored = []
        for other in self.reference.steps:
            if (
                other.operation == step.operation
                and self.agrees_in_reference.isdisjoint(other.results)
            ):
                bases = [self.reference.base(n) for n in other.operands]
                hits = [not partners.isdisjoint(bases) for partners in mine]
                same = [n in partners for n, partners in zip(bases, mine, strict=False)]
                if any(hits):
                    scored.append((sum(hits) + 0.1 * sum(same) + 0.01 * same[0], other))
        return [other for _, other in sorted(scored, key=lambda entry: -entry[0])]

    def partners(self, number: int) -> set[int]:
        """The values of the reference that are this one, without what only moves them."""
        some = self._own.signed[self.candidate.base(number)]
        return (
            set()
            if some is None
            else {self.reference.base(n) for n in self.known.same(some)}
        )

    def has_some(self, values: Sequence[Any]) -> bool:
        """Whether the reference has one of these values; those that cannot be compared are in each program."""
        some = [value for value in values if comparable(value)]
        return not some or any(map(self.known.has, some))


def _agreeing(
    tape: Tape, own: Known, other: Known, outputs: Any, reached: set[int]
) -> tuple[set[int], set[int], list[Step]]:
    """The values that the other program has, too; all that agree; the steps whose operands all do, and results do not.

    What one of these values is computed of agrees, and each constant. So does what the other program has in parts; a
    large value is taken apart only where all that it is computed of agrees. What cannot be compared agrees there, too.
    """
    signed = {
        n: some
        for n in reached.difference(outputs)
        if (some := own.signed[n]) is not None
    }
    same = {n for n, some in signed.items() if other.has(some)}
    small = (
        n
        for n, some in signed.items()
        if n not in same and some.value.size <= MOST_ENTRIES
    )
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
    apart = reached - agrees
    return (
        same,
        agrees,
        [
            s
            for s in tape.steps
            if apart.isdisjoint(s.operands) and not apart.isdisjoint(s.results)
        ],
    )


@dataclass(frozen=True)
class Trial:
    """A change of a candidate: other values, or other functions of the operands of some steps, by their numbers."""

    step: Step  # of the candidate, on the line of the change
    values: Mapping[int, Any] = field(default_factory=dict)
    runs: Mapping[int, Callable[..., Any]] = field(default_factory=dict)
    change: str = ""  # what stands in a sentence after "with"; empty where a value of the reference is put in its place
    value: int = -1  # the number of the candidate's value that is replaced, and of the reference's; -1 for none
    with_value: int = -1


@np.errstate(all="ignore")
def first_that_mends(search: Search, trials: Iterable[Trial]) -> Trial | None:
    """The first change with which the outputs are equal; None if there is none, or time is up."""
    ends, tape = time.monotonic() + TRYING_S, search.candidate
    for trial in trials:
        if time.monotonic() > ends:
            return None
        try:
            new = tape.played(
                trial.values,
                trial.runs,
                lambda some: time.monotonic() < ends and search.has_some(some),
            )
        except (
            ValueError,
            IndexError,
            TypeError,
        ):  # what follows does not take values of this shape
            continue
        kept = all(
            np.shape(value) == np.shape(tape.values[number])
            for number, value in new.items()
        )
        if kept and all(
            c in new and search.equal(r, c, new[c]) for r, c in search.wrong
        ):
            return trial
    return None


def of_results(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps whose result is a value of the reference: those at which the programs part, then those that follow."""
    apart = (
        step
        for step in search.candidate.steps
        if not search.apart.isdisjoint(step.results)
    )
    later = (step for step in apart if not step.moves and step not in steps)
    for step in [*steps, *islice(later, TRIED_STEPS)]:
        for result in step.results:
            for number, value in _in_its_place(search, result):
                yield Trial(step, {result: value}, value=result, with_value=number)


def of_operands(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps of which an operand is another value in all rounds, for one of them, and for all that use it."""
    tape = search.candidate
    values = dict.fromkeys(
        value for step in steps[:TRIED_STEPS] for value in step.operands
    )
    for value in (value for value in values if value not in tape.constants):
        users = [step for step in steps if value in step.operands]
        for some in (users[:1], users) if len(users) > 1 else (users,):
            for numbers in _for_operand(search, users[0], value):
                runs = _with_operands(search, some, value, numbers)
                if len(runs) == sum(len(tape.rounds[user.number]) for user in some):
                    yield Trial(users[0], runs=runs, value=value, with_value=numbers[0])


def _with_operands(
    search: Search, users: Sequence[Step], value: int, numbers: Sequence[int]
) -> dict[int, Any]:
    """The steps that use a value, in their rounds, with values of the reference in its place, as far as these fit."""
    tape, runs = search.candidate, {}
    for user in users:
        at = user.operands.index(value)
        for n, number in zip(tape.rounds[user.number], numbers, strict=False):
            shape, other = (
                np.shape(tape.values[tape.steps[n].operands[at]]),
                search.reference.values[number],
            )
            for new in (
                islice(in_shape(other, shape), 1)
                if isinstance(other, np.ndarray)
                else ()
            ):
                runs[n] = with_operand(tape.steps[n].run, at, lambda _, new=new: new)
    return runs


def in_another_order(search: Search) -> Iterator[Trial]:
    """Steps that move numbers, with the order of the reference; those first whose result it lacks."""
    tape = search.candidate
    moves = [
        step for step in tape.steps if step.moves and step.results[0] in search.reached
    ]
    for step in sorted(moves, key=lambda step: step.results[0] in search.same):
        number = step.results[0]
        value = tape.values[number]
        for other in search.known.same(value, _shuffled) if comparable(value) else ():
            for way in in_shape(search.reference.values[other], value.shape):
                if not np.array_equal(way, value):
                    yield Trial(step, {number: way}, value=number, with_value=other)


def _shuffled(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size have the same entries, in whatever order."""
    differences = np.abs(np.sort(a, axis=None) - np.sort(b, axis=None))
    return bool((differences <= tolerance * np.abs(b).max()).all())


def _for_operand(search: Search, step: Step, value: int) -> Iterator[list[int]]:
    """Values of the reference for an operand, for all rounds of a loop: those of its counterparts first."""
    reference, rounds = search.reference, len(search.candidate.rounds[step.number])
    for other in search.counterparts(step):
        some = reference.rounds[other.number]
        for at in range(len(other.operands) if len(some) == rounds else 0):
            numbers = [reference.steps[n].operands[at] for n in some]
            if np.size(reference.values[numbers[0]]) == np.size(
                search.candidate.values[value]
            ):
                yield numbers
    if rounds == 1:
        yield from ([number] for number, _ in _in_its_place(search, value))


def _in_its_place(search: Search, result: int) -> Iterator[tuple[int, np.ndarray]]:
    """Values of the reference that nothing of the candidate agrees with, in the shape of one of the candidate's."""
    value, values = search.candidate.values[result], search.reference.values
    if isinstance(value, np.ndarray):
        others = (
            n
            for n in sorted(search.reference.maker)
            if n not in search.agrees_in_reference
        )
        alike = (
            n
            for n in others
            if comparable(a := values[n])
            and (a.size, a.dtype) == (value.size, value.dtype)
        )
        for number in islice(alike, TRIED_VALUES):
            yield from (
                (number, shaped) for shaped in in_shape(values[number], value.shape)
            )


def with_operand(
    run: Callable[..., Any], place: int, change: Callable[[Any], Any]
) -> Callable[..., Any]:
    """A function of operands in which one of them is changed first."""
    return lambda *operands: run(
        *operands[:place], change(operands[place]), *operands[place + 1 :]
    )


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


def moved_starts(first: Tape, second: Tape) -> tuple[Tape, Tape]:
    """Both tapes, where both have loops that start at zero, which hides what is computed of it, with random starts."""
    starts = [_starts(tape) for tape in (first, second)]
    return (
        (first.changed(starts[0]), second.changed(starts[1]))
        if all(starts)
        else (first, second)
    )


def _starts(tape: Tape) -> dict[int, np.ndarray]:
    """Arrays for the zeros that a program makes of one number and multiplies, and for those of their length beside."""
    zeros: dict[int, tuple[int, ...]] = {}
    for number, value in enumerate(tape.values):
        is_made = (
            isinstance(value, np.ndarray)
            and value.dtype.kind == "f"
            and number not in tape.arguments
        )
        if is_made and value.ndim > 1 and value.shape[-1] > 1 and not value.any():
            made = tape.made(number)
            if made is None or all(np.size(tape.values[n]) == 1 for n in made.operands):
                zeros[number] = value.shape
    uses = {n: _uses(tape, n) for n in zeros}
    lengths = {
        zeros[n][-1] for n, operations in uses.items() if "dot_general" in operations
    }
    return {
        n: np.broadcast_to(
            0.5 * np.random.default_rng(shape[-1]).standard_normal(shape[-1]), shape
        )
        for n, shape in zeros.items()
        if shape[-1] in lengths and not uses[n] <= FILLS
    }


def _uses(tape: Tape, number: int) -> set[str]:
    """The operations that compute with a value, also after it was moved; joined beside others, it pads them."""
    operations: set[str] = set()
    for step in tape.users(number):
        same_length = (
            tape.values[step.results[0]].shape[-1:] == tape.values[number].shape[-1:]
        )
        if step.operation == "concatenate" and same_length:
            operations.add("pad")
        elif step.moves and step.operation not in FILLS and len(step.results) == 1:
            operations |= _uses(tape, step.results[0])
        else:
            operations.add(step.operation)
    return operations
