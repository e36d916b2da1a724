"""The lines of code at which two models part, the likeliest cause first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..program import CodeLine, code_lines, equations
from .departure import Search
from .hypotheses import changes, relation
from .locations import argument_at, hand_overs, located, location, makers, of_user, text_of
from .model import Model, is_float
from .programs import TracedProgram
from .record import Location, Place
from .tape import Step, Tape
from .trials import Trial, first_that_mends, in_another_order, of_operands, of_results

APART = "Its operands agree with the reference, its result does not."
HEALS = "With the reference's value here, the outputs agree."
LACKS = "The candidate does not compute this."
MADE = "The module that computes it is made here."
CALLED = "It is called here."
CHOICE = "With another value here, the outputs agree."
REORDERED = "The reference has these numbers in another order, and with that order the outputs agree."
SHARED = "Its result is used at several places where they part."
OPERAND = "Its result is used where they part."


def places_of(search: Search) -> Iterator[Place]:
    """The places at which programs part, the likeliest cause first, each line once; none if all outputs agree."""
    shown: set[tuple[str, int]] = set()
    for place in _places(search) if search.wrong else ():
        here = place.candidate and (place.candidate.file, place.candidate.line)
        if here not in shown and (here or place.reference):
            shown.update([here] if here else [])
            yield place


def _places(search: Search) -> Iterator[Place]:
    steps, others = search.first, search.first_of_reference
    if not steps:
        yield from (Place(None, location(other, search.reference), LACKS) for other in others)
        return
    result = first_that_mends(search, of_results(search, steps))
    mend = first_that_mends(search, changes(search, steps, result)) or (result and relation(search, result))
    if mend:
        other = _counterpart(search, mend.step, others)
        yield _at(search, mend.step, other, mend=f"With {mend.change}, the outputs agree.")
        yield from _makers(search, mend.step)
        yield from _shared(search, steps)
        return
    if ordered := first_that_mends(search, in_another_order(search)):
        yield _at(search, ordered.step, search.reference.made(ordered.with_value), REORDERED)
    yield from _choices(search, steps, result)
    yield from _of_function(search, steps, result, others)


def _of_function(
    search: Search, steps: Sequence[Step], result: Trial | None, others: Sequence[Step]
) -> Iterator[Place]:
    """The lines that compute, make or call the steps at which the programs part."""
    healed = [_at(search, result.step, search.reference.made(result.with_value), HEALS)] if result else []
    apart = [
        _at(search, step, _counterpart(search, step, others), APART)
        for step in steps
        if not (result and step is result.step)
    ]
    origins = (_at(search, origin, None, OPERAND) for step in steps for origin in _origins(search.candidate, step))
    callers = of_user(steps[0].lines())[1:3]
    nearby = [*_makers(search, steps[0]), *origins, *_elsewhere(search, steps[0], callers, CALLED)]
    # The steps of one line, as in the rounds of a loop, only heal together, which may be far from where they part.
    of_one_line = len(steps) > 1 and len(set(map(_line, steps))) == 1
    yield from _shared(search, steps)
    yield from [*apart[:1], *(nearby[:1] if of_one_line else []), *healed, *apart[1:], *nearby]


# The lines of a step ----------------------------------------------------------------------------------------------


def _counterpart(search: Search, step: Step, others: Sequence[Step]) -> Step | None:
    return next(iter([*search.counterparts(step), *others]), None)


def _at(search: Search, step: Step, other: Step | None, cause: str = "", mend: str = "") -> Place:
    return Place(location(step, search.candidate), location(other, search.reference), cause, mend)


def _makers(search: Search, step: Step) -> Iterator[Place]:
    here = location(step, search.candidate)
    if here is not None and here.library:
        yield from _elsewhere(search, step, makers(step.lines(), step.operation), MADE)


def _elsewhere(
    search: Search, step: Step, lines: Iterable[CodeLine], cause: str, there: Location | None = None
) -> Iterator[Place]:
    """What a step computes, on other lines than its own."""
    here = location(step, search.candidate)
    if here is not None:
        for line in lines:
            moved = Location(line.file, line.line, text_of(line), here.operation, here.shape)
            yield Place(here if here.line == line.line else moved, there, cause)


def _line(step: Step) -> CodeLine | None:
    return next(iter(of_user(step.lines())), None)


# Operands of the right operation that are others ------------------------------------------------------------------


def _choices(search: Search, steps: Sequence[Step], result: Trial | None) -> Iterator[Place]:
    """The lines that chose a wrong operand, if another one mends the candidate."""
    chosen = first_that_mends(search, of_operands(search, steps))
    if chosen is None and result and result.step.moves and len(result.step.operands) > 1:
        chosen = result
    if chosen:
        there = location(search.reference.made(chosen.with_value), search.reference)
        yield from _elsewhere(search, chosen.step, _lines_of_choice(search, chosen), CHOICE, there)


def _lines_of_choice(search: Search, trial: Trial) -> Iterator[CodeLine]:
    """The lines that may have chosen the operand of a step, the likeliest first.

    Those are: where it was moved last, if its numbers are right and stand elsewhere; where it is handed on, as in a
    `return`, between where it is made and used; where it is used, and made.
    """
    trial = _of_parts(search, trial)
    moved, made = _way(search.candidate, trial.value)
    own = [_line(trial.step)]
    if search.reference.base(trial.with_value) in search.partners(trial.value):
        lines = [*map(_line, [*moved, *made]), *own]
    else:
        handed = (line for step in [*made, *moved] for line in hand_overs(step.lines(), trial.step.lines()))
        lines = [*handed, *own, *map(_line, made)]
    return (line for line in dict.fromkeys(lines) if line)


def _of_parts(search: Search, trial: Trial) -> Trial:
    """Where values are joined, the part that is another one than the reference has there."""
    first, second = search.reference, search.candidate
    mine, other = second.made(second.base(trial.value)), first.made(first.base(trial.with_value))
    if mine and other and mine.moves and other.moves and len(mine.operands) == len(other.operands) > 1:
        for v, w in zip(mine.operands, other.operands, strict=True):
            if first.base(w) not in search.partners(v):
                return _of_parts(search, replace(trial, step=mine, value=v, with_value=w))
    return trial


def _way(tape: Tape, value: int) -> tuple[list[Step], list[Step]]:
    """The steps that moved a value last, the last first, and that which made it, if any did."""
    moved: list[Step] = []
    while step := tape.made(value):
        if not step.moves:
            return moved, [step]
        moved.append(step)
        value = step.operands[0]
    return moved, []


# Steps before those at which the programs part --------------------------------------------------------------------


def _shared(search: Search, steps: Sequence[Step]) -> Iterator[Place]:
    """The steps that make operands of several steps at which the programs part."""
    tape = search.candidate
    makers: list[int] = []
    for step in steps:
        makers += {tape.maker[value] for value in map(tape.base, step.operands) if value in tape.maker}
    for made in (tape.steps[n] for n in dict.fromkeys(makers) if makers.count(n) > 1):
        if tape.constants.isdisjoint(made.results):
            yield _at(search, _last_common(tape, made, steps), None, SHARED)


def _last_common(tape: Tape, made: Step, steps: Sequence[Step]) -> Step:
    """The last step that moves what a step made, before several others take it."""
    last = made
    while True:
        users = tape.users(last.results[0])
        alone = len(users) == 1 and users[0].moves and len(users[0].operands) == len(users[0].results) == 1
        if not alone or users[0] in steps:
            return last
        last = users[0]


def _origins(tape: Tape, step: Step) -> list[Step]:
    """The steps on other lines that make the operands of a step, the nearest first."""
    line, rest = _line(step), list(step.operands)
    origins: set[Step] = set()
    reached: set[int] = set()
    while rest and len(reached) < 64:
        value = rest.pop(0)
        made = tape.made(value)
        if value in reached or made is None:
            continue
        reached.add(value)
        if _line(made) in (None, line):
            rest.extend(made.operands)
        else:
            origins.add(made)
            rest.extend(made.operands if made.moves and made.operation != "scan" else ())
    return sorted(origins, key=lambda step: step.number, reverse=True)


# Of quantities that no search compares: accuracy, and the updates of optimizers -----------------------------------


def rounded(program: Any) -> Iterator[Place]:
    """The lines at which a program takes numbers to a narrower dtype than those of its parameters."""
    if not isinstance(program, TracedProgram):
        return
    widest = max(jnp.finfo(leaf.dtype).bits for leaf in filter(is_float, jax.tree.leaves(program.model.params)))
    for equation, outside in equations(program.closed.jaxpr):
        new = equation.params.get("new_dtype")
        if equation.primitive.name != "convert_element_type" or not jnp.issubdtype(new, jnp.floating):
            continue
        if jnp.finfo(new).bits < min(widest, 32):
            name = np.dtype(new).name
            operation, shape = f"convert_element_type to {name}", equation.outvars[0].aval.shape
            if here := located(code_lines(equation, outside), operation, shape):
                yield Place(here, None, f"Numbers are rounded to {name}.")


def places_of_optimizers(reference: Model, candidate: Model) -> Iterator[Place]:
    """The lines at which the optimizers of both are made."""
    lines = (model.made_at and argument_at(model.made_at, "optimizer") for model in (reference, candidate))
    there, here = (line and Location(line.file, line.line, text_of(line), "", ()) for line in lines)
    if here:
        yield Place(here, there, "The gradients agree, the updates that this makes of them do not.")
