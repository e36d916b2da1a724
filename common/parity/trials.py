"""Changes of a candidate that are tried out: what follows from them is played again, and the outputs are compared.

In most of them a value of the reference takes the place of one of the candidate's. Where a loop has a step in each of
its rounds, the operands in all of them get the values that the reference has in its rounds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, permutations
from typing import Any

import numpy as np

from .agreement import comparable
from .departure import Search
from .tape import Step

#: The most steps at which programs part that are tried, and the most values of the reference for each.
TRIED_STEPS, TRIED_VALUES = 24, 24
#: How long changes of one kind are tried at most.
TRYING_S = 8.0


@dataclass(frozen=True)
class Trial:
    """A change of a candidate.

    Args:
        step: of the candidate; the line of the change.
        values: other values, by their numbers.
        runs: other functions of their operands for some steps, by the numbers of these.
        change: what stands in a sentence after "with"; empty where a value of the reference is put in its place.
        value, with_value: the numbers of the candidate's value that is replaced, and of the reference's; -1 for none.
    """

    step: Step
    values: Mapping[int, Any] = field(default_factory=dict)
    runs: Mapping[int, Callable[..., Any]] = field(default_factory=dict)
    change: str = ""
    value: int = -1
    with_value: int = -1


@np.errstate(all="ignore")
def first_that_mends(search: Search, trials: Iterable[Trial]) -> Trial | None:
    """The first change with which the outputs are equal; None if there is none, or time is up."""
    ends, tape = time.monotonic() + TRYING_S, search.candidate
    for trial in trials:
        if time.monotonic() > ends:
            return None
        try:
            new = tape.played(trial.values, trial.runs, lambda some: time.monotonic() < ends and search.has_some(some))
        except (ValueError, IndexError, TypeError):  # what follows does not take values of this shape
            continue
        kept = all(np.shape(value) == np.shape(tape.values[number]) for number, value in new.items())
        if kept and all(c in new and search.equal(r, c, new[c]) for r, c in search.wrong):
            return trial
    return None


def of_results(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps whose result is a value of the reference: those at which the programs part, then those that follow."""
    apart = (step for step in search.candidate.steps if not search.apart.isdisjoint(step.results))
    later = (step for step in apart if not step.moves and step not in steps)
    for step in [*steps, *islice(later, TRIED_STEPS)]:
        for result in step.results:
            for number, value in _in_its_place(search, result):
                yield Trial(step, {result: value}, value=result, with_value=number)


def of_operands(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Steps of which an operand is another value in all rounds, for one of them, and for all that use it."""
    tape, tried = search.candidate, set()
    for step in steps[:TRIED_STEPS]:
        for place, value in enumerate(step.operands):
            if value in tried or value in tape.constants:
                continue
            tried.add(value)
            users = [other for other in steps if value in other.operands]
            for some in (users[:1], users) if len(users) > 1 else (users,):
                rounds = [tape.rounds(user) for user in some]
                for numbers in _for_operand(search, step, place, len(rounds[0])):
                    runs = _with_operands(search, some, value, rounds, numbers)
                    if len(runs) == sum(map(len, rounds)):
                        yield Trial(step, runs=runs, value=value, with_value=numbers[0])


def _with_operands(
    search: Search, users: Sequence[Step], value: int, rounds: Sequence[Sequence[int]], numbers: Sequence[int]
) -> dict[int, Callable[..., Any]]:
    """The steps that use a value, in their rounds, with values of the reference in its place, as far as these fit."""
    tape, runs = search.candidate, {}
    for user, some in zip(users, rounds, strict=True):
        at = user.operands.index(value)
        for n, number in zip(some, numbers, strict=False):
            shape, other = np.shape(tape.values[tape.steps[n].operands[at]]), search.reference.values[number]
            for new in islice(in_shape(other, shape), 1) if isinstance(other, np.ndarray) else ():
                runs[n] = with_operand(tape.steps[n].run, at, lambda _, new=new: new)
    return runs


def in_another_order(search: Search) -> Iterator[Trial]:
    """Steps that move numbers, with the order of the reference; those first whose result it lacks."""
    tape = search.candidate
    moves = [step for step in tape.steps if step.moves and step.results[0] in search.reached]
    moves = [step for step in moves if comparable(tape.values[step.results[0]])]
    for step in sorted(moves, key=lambda step: step.results[0] in search.same):
        number = step.results[0]
        for other in search.known.shuffled(tape.values[number]):
            for way in in_shape(search.reference.values[other], tape.values[number].shape):
                if not np.array_equal(way, tape.values[number]):
                    yield Trial(step, {number: way}, value=number, with_value=other)


def _for_operand(search: Search, step: Step, place: int, rounds: int) -> Iterator[list[int]]:
    """Values of the reference for an operand, for all rounds of a loop: those of its counterparts first."""
    reference, value = search.reference, step.operands[place]
    for other in search.counterparts(step):
        some = reference.rounds(other)
        for at in range(len(other.operands) if len(some) == rounds else 0):
            numbers = [reference.steps[n].operands[at] for n in some]
            if np.size(reference.values[numbers[0]]) == np.size(search.candidate.values[value]):
                yield numbers
    if rounds == 1:
        yield from ([number] for number, _ in _in_its_place(search, value))


def _in_its_place(search: Search, result: int) -> Iterator[tuple[int, np.ndarray]]:
    """Values of the reference that nothing of the candidate agrees with, in the shape of one of the candidate's."""
    value, values = search.candidate.values[result], search.reference.values
    if isinstance(value, np.ndarray):
        others = (n for n in sorted(search.reference.maker) if n not in search.agrees_in_reference)
        alike = (n for n in others if comparable(a := values[n]) and (a.size, a.dtype) == (value.size, value.dtype))
        for number in islice(alike, TRIED_VALUES):
            yield from ((number, shaped) for shaped in in_shape(values[number], value.shape))


def with_operand(run: Callable[..., Any], place: int, change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of operands in which one of them is changed first."""
    return lambda *operands: run(*operands[:place], change(operands[place]), *operands[place + 1 :])


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
