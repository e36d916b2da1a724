"""The lines of code at which two models part, the likeliest cause first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..program import CodeLine, code_lines, equations
from ..program.model import Model, is_float
from ..program.source import of_user
from ..program.tape import Step, Tape
from .departure import (
    Search,
    Trial,
    first_that_mends,
    in_another_order,
    of_operands,
    of_results,
)
from .hypotheses import changes, relation
from .pairs import Pair
from .programs import RULES, STOPS, TracedProgram
from .report import Location, Place, located, location
from .statements import argument_at, hand_overs, makers, statements, text_of

#: The most stopped gradients and rules of one's own that are left out, to see whether
#: the gradients agree.
OBSTACLES = 12
MOST_ORIGINS = 64  # the most values that are followed back to the lines that made them

IN_ANOTHER_ORDER = (
    "The reference has these numbers in another order, and with that "
    "order the outputs agree."
)
WITH_ANOTHER_VALUE = "With another value here, the outputs agree."
WITH_ITS_VALUE = "With the reference's value here, the outputs agree."
PARTS = "Its operands agree with the reference, its result does not."
IS_USED = "Its result is used where they part."
IS_SHARED = "Its result is used at several places where they part."
IS_MADE = "The module that computes it is made here."
IS_CALLED = "It is called here."
IS_MISSING = "The candidate does not compute this."


def places_of(search: Search) -> Iterator[Place]:
    """The places at which programs part, the likeliest cause first, each line once;
    none if all outputs agree.
    """
    if not search.wrong:
        return
    shown: set[tuple[str, int]] = set()
    for place in _places(search):
        if place.candidate is None:
            if place.reference is not None:
                yield place
            continue
        line = place.candidate.file, place.candidate.line
        if line not in shown:
            shown.add(line)
            yield place


def _places(search: Search) -> Iterator[Place]:
    if not search.first:
        for other in search.first_of_reference:
            yield Place(None, location(other, search.reference), IS_MISSING)
        return
    result = first_that_mends(search, of_results(search, search.first))
    mend = first_that_mends(search, changes(search, search.first, result))
    if mend is None and result is not None:
        mend = relation(search, result)
    if mend is not None:
        sentence = f"With {mend.change}, the outputs agree."
        yield _at(search, mend.step, _counterpart(search, mend.step), mend=sentence)
        yield from _makers(search, mend.step)
        yield from _shared(search)
        return
    ordered = first_that_mends(search, in_another_order(search))
    if ordered is not None:
        yield _of_trial(search, ordered, IN_ANOTHER_ORDER)
    yield from _choices(search, result)
    yield from _shared(search)
    yield from _without_mend(search, result)


def _choices(search: Search, result: Trial | None) -> Iterator[Place]:
    """The lines that may have chosen a wrong operand, if another one makes the outputs
    agree.
    """
    chosen = first_that_mends(search, of_operands(search, search.first))
    if chosen is None and result is not None:
        joins = result.step.moves and len(result.step.operands) > 1
        chosen = result if joins else None
    if chosen is not None:
        other = search.reference.made(chosen.with_value)
        there = location(other, search.reference)
        lines = _lines_of_choice(search, chosen)
        yield from _elsewhere(search, chosen.step, lines, WITH_ANOTHER_VALUE, there)


def _without_mend(search: Search, result: Trial | None) -> Iterator[Place]:
    """The steps at which the programs part, and the lines near them."""
    steps = search.first
    healed = [_of_trial(search, result, WITH_ITS_VALUE)] if result else []
    apart = []
    for step in steps:
        if result is None or step is not result.step:
            apart.append(_at(search, step, _counterpart(search, step), PARTS))
    nearby = list(_makers(search, steps[0]))
    for step in steps:
        for origin in _origins(search.candidate, step):
            nearby.append(_at(search, origin, None, IS_USED))
    callers = of_user(steps[0].lines())[1:3]
    nearby += _elsewhere(search, steps[0], callers, IS_CALLED)
    yield from apart[:1]
    # The steps of one line, as in the rounds of a loop, only heal together, which may
    # be far from where they part.
    if len(steps) > 1 and len(set(map(_line, steps))) == 1:
        yield from nearby[:1]
    yield from [*healed, *apart[1:], *nearby]


def _counterpart(search: Search, step: Step) -> Step | None:
    """The step of the reference that does what a step of the candidate ought to, as far
    as can be told.
    """
    others = search.counterparts(step) or search.first_of_reference
    return others[0] if others else None


def _at(
    search: Search, step: Step, other: Step | None, cause: str = "", mend: str = ""
) -> Place:
    here = location(step, search.candidate)
    return Place(here, location(other, search.reference), cause, mend)


def _of_trial(search: Search, trial: Trial, cause: str) -> Place:
    return _at(search, trial.step, search.reference.made(trial.with_value), cause)


def _makers(search: Search, step: Step) -> Iterator[Place]:
    """The lines where the module of a framework is made in which a step is."""
    here = location(step, search.candidate)
    if here is not None and here.library:
        lines = makers(step.lines(), step.operation)
        yield from _elsewhere(search, step, lines, IS_MADE)


def _elsewhere(
    search: Search, step: Step, lines: Iterable[CodeLine], cause: str, there: Any = None
) -> Iterator[Place]:
    """What a step computes, on other lines than its own."""
    here = location(step, search.candidate)
    if here is None:
        return
    for line in lines:
        place = here
        if here.line != line.line:
            text = text_of(line)
            place = Location(line.file, line.line, text, here.operation, here.shape)
        yield Place(place, there, cause)


def _line(step: Step) -> CodeLine | None:
    return next(iter(of_user(step.lines())), None)


def _lines_of_choice(search: Search, trial: Trial) -> list[CodeLine]:
    """The lines that may have chosen the operand of a step, the likeliest first.

    Those are: where it was moved last, if its numbers are right and stand elsewhere;
    where it is handed on, as in a `return`, between where it is made and used; where it
    is used, and made.
    """
    trial = _of_parts(search, trial)
    # the steps that moved it, the last first, and that which made it, if any did
    way = []
    step = search.candidate.made(trial.value)
    while step is not None:
        way.append(step)
        step = search.candidate.made(step.operands[0]) if step.moves else None
    own = _line(trial.step)
    has_right_numbers = search.reference.base(trial.with_value) in search.partners(
        trial.value
    )
    if has_right_numbers:
        lines = [*map(_line, way), own]
    else:
        makes = [step for step in way if not step.moves]
        moves = [step for step in way if step.moves]
        lines = []
        for step in [*makes, *moves]:
            lines += hand_overs(step.lines(), trial.step.lines())
        lines += [own, *map(_line, makes)]
    return [line for line in dict.fromkeys(lines) if line]


def _of_parts(search: Search, trial: Trial) -> Trial:
    """Where values are joined, the part that is another one than the reference has
    there.
    """
    first, second = search.reference, search.candidate
    mine = second.made(second.base(trial.value))
    other = first.made(first.base(trial.with_value))
    if mine is None or other is None or not mine.moves or not other.moves:
        return trial
    if len(mine.operands) == 1 or len(mine.operands) != len(other.operands):
        return trial
    for value, wanted in zip(mine.operands, other.operands, strict=True):
        if first.base(wanted) not in search.partners(value):
            part = replace(trial, step=mine, value=value, with_value=wanted)
            return _of_parts(search, part)
    return trial


def _shared(search: Search) -> Iterator[Place]:
    """The steps that make operands of several steps at which the programs part, or move
    them last before these.
    """
    tape = search.candidate
    counts: dict[int, int] = {}
    for step in search.first:
        bases = set(map(tape.base, step.operands))
        for maker in {tape.maker[base] for base in bases if base in tape.maker}:
            counts[maker] = counts.get(maker, 0) + 1
    for maker, count in counts.items():
        step = tape.steps[maker]
        if count > 1 and tape.constants.isdisjoint(step.results):
            last = _moved_last(tape, step, search.first)
            yield _at(search, last, None, IS_SHARED)


def _moved_last(tape: Tape, step: Step, before: Sequence[Step]) -> Step:
    """The last step that only moves what a step makes, before others take it."""
    users = tape.users(step.results[0])
    while len(users) == 1 and users[0] not in before:
        (user,) = users
        if not user.moves or len(user.operands) > 1 or len(user.results) > 1:
            break
        step = user
        users = tape.users(step.results[0])
    return step


def _origins(tape: Tape, step: Step) -> list[Step]:
    """The steps on other lines that make the operands of a step, the nearest first."""
    line, rest = _line(step), list(step.operands)
    origins: set[Step] = set()
    reached: set[int] = set()
    while rest and len(reached) < MOST_ORIGINS:
        value = rest.pop(0)
        made = tape.made(value)
        if value in reached or made is None:
            continue
        reached.add(value)
        is_on_another_line = _line(made) not in (None, line)
        if is_on_another_line:
            origins.add(made)
        if not is_on_another_line or (made.moves and made.operation != "scan"):
            rest += made.operands
    return sorted(origins, key=lambda step: step.number, reverse=True)


def rounded(program: Any) -> Iterator[Place]:
    """The lines at which a program takes numbers to a narrower dtype than those of its
    parameters.
    """
    real = filter(is_float, jax.tree.leaves(program.model.params))
    widest = max(jnp.finfo(leaf.dtype).bits for leaf in real)
    for equation, here in _placed(program, frozenset({"convert_element_type"})):
        dtype = equation.params["new_dtype"]
        is_real = jnp.issubdtype(dtype, jnp.floating)
        if is_real and jnp.finfo(dtype).bits < min(widest, 32):
            name = np.dtype(dtype).name
            here = replace(here, operation=f"convert_element_type to {name}")
            yield Place(here, None, f"Numbers are rounded to {name}.")


def places_of_optimizers(reference: Model, candidate: Model) -> Iterator[Place]:
    """The lines at which the optimizers of both are made."""
    here = _optimizer_of(candidate)
    if here is not None:
        cause = "The gradients agree, the updates that this makes of them do not."
        yield Place(here, _optimizer_of(reference), cause)


def _optimizer_of(model: Model) -> Location | None:
    if model.made_at is None:
        return None
    return located([argument_at(model.made_at, "optimizer")], "", ())


def left_out(pair: Pair, tolerance: float) -> Iterator[Place]:
    """The equations without which the gradients of a pair agree: a stopped gradient, or
    a wrong rule of one's own.
    """
    first, second = pair.gradients()

    def agree(first: Any, second: Any) -> bool:
        return max(pair.gradient_errors(first, second).values()) <= tolerance

    for here, obstacles in list(_obstacles(pair.c).items())[:OBSTACLES]:
        if agree(first, pair.c.gradient_without(obstacles, pair.given)):
            for rule in _rule(obstacles[0]):
                yield Place(rule, None, "Without this rule, the gradients agree.")
            yield Place(here, None, "Without it, the gradients agree.")
    for here, obstacles in list(_obstacles(pair.r).items())[:OBSTACLES]:
        if agree(pair.r.gradient_without(obstacles, pair.mine), second):
            cause = "If the reference did not have it, the gradients would agree."
            yield Place(None, here, cause)


def with_rules(places: Iterable[Place], program: Any) -> Iterator[Place]:
    """The places at which gradients part, each behind the lines of the derivative of
    its own that is called there.
    """
    rules = {}
    for here, obstacles in _obstacles(program).items():
        rules[here.file, here.line] = obstacles[0]
    for place in places:
        here = place.candidate
        equation = rules.pop((here.file, here.line), None) if here else None
        if equation is not None:
            cause = "It is the rule for the derivative of what is called there."
            for rule in _rule(equation):
                yield Place(rule, place.reference, cause)
        yield place


def _obstacles(program: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an
    unrolled loop has several on one.
    """
    result: dict[Location, list[Any]] = {}
    for equation, here in _placed(program, STOPS | RULES):
        result.setdefault(here, []).append(equation)
    return result


def _rule(equation: Any) -> list[Location]:
    """The first lines of the user's function that a custom derivative takes backward;
    none for a stopped gradient.
    """
    function = getattr(equation.params.get("bwd"), "f", None)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    begin = CodeLine(code.co_filename, code.co_firstlineno, code.co_name)
    shape = equation.outvars[0].aval.shape
    places = []
    for user_line in of_user([begin]):
        for line in statements(user_line):
            places.append(located([line], equation.primitive.name, shape))
    return [place for place in places if place]


def _placed(program: Any, primitives: frozenset[str]) -> Iterator[tuple[Any, Location]]:
    """The equations of some primitives in a trace, each with its line; none of a module
    of PyTorch.
    """
    if not isinstance(program, TracedProgram):
        return
    for equation, outside in equations(program.closed.jaxpr):
        name = equation.primitive.name
        if name in primitives:
            lines = code_lines(equation, outside)
            here = located(lines, name, equation.outvars[0].aval.shape)
            if here is not None:
                yield equation, here
