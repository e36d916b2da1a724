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

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12


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
        for other in others:
            yield Place(
                None,
                location(other, search.reference),
                "The candidate does not compute this.",
            )
        return
    result = first_that_mends(search, of_results(search, steps))
    mend = first_that_mends(search, changes(search, steps, result)) or (
        result and relation(search, result)
    )
    if mend:
        other = _counterpart(search, mend.step, others)
        yield _at(
            search, mend.step, other, mend=f"With {mend.change}, the outputs agree."
        )
        yield from _makers(search, mend.step)
        yield from _shared(search, steps)
        return
    if ordered := first_that_mends(search, in_another_order(search)):
        cause = "The reference has these numbers in another order, and with that order the outputs agree."
        yield _at(
            search, ordered.step, search.reference.made(ordered.with_value), cause
        )
    chosen = first_that_mends(search, of_operands(search, steps))
    if (
        chosen is None
        and result
        and result.step.moves
        and len(result.step.operands) > 1
    ):
        chosen = result
    if chosen:
        there = location(search.reference.made(chosen.with_value), search.reference)
        cause = "With another value here, the outputs agree."
        yield from _elsewhere(
            search, chosen.step, _lines_of_choice(search, chosen), cause, there
        )
    yield from _shared(search, steps)
    cause = "With the reference's value here, the outputs agree."
    healed = (
        [_at(search, result.step, search.reference.made(result.with_value), cause)]
        if result
        else []
    )
    cause = "Its operands agree with the reference, its result does not."
    rest = [step for step in steps if not (result and step is result.step)]
    apart = [
        _at(search, step, _counterpart(search, step, others), cause) for step in rest
    ]
    origins = [origin for step in steps for origin in _origins(search.candidate, step)]
    callers = of_user(steps[0].lines())[1:3]
    nearby = [
        *_makers(search, steps[0]),
        *(
            _at(search, origin, None, "Its result is used where they part.")
            for origin in origins
        ),
        *_elsewhere(search, steps[0], callers, "It is called here."),
    ]
    # The steps of one line, as in the rounds of a loop, only heal together, which may be far from where they part.
    of_one_line = len(steps) > 1 and len(set(map(_line, steps))) == 1
    yield from [
        *apart[:1],
        *(nearby[:1] if of_one_line else []),
        *healed,
        *apart[1:],
        *nearby,
    ]


def _counterpart(search: Search, step: Step, others: Sequence[Step]) -> Step | None:
    return next(iter([*search.counterparts(step), *others]), None)


def _at(
    search: Search, step: Step, other: Step | None, cause: str = "", mend: str = ""
) -> Place:
    return Place(
        location(step, search.candidate), location(other, search.reference), cause, mend
    )


def _makers(search: Search, step: Step) -> Iterator[Place]:
    here = location(step, search.candidate)
    if here is not None and here.library:
        lines = makers(step.lines(), step.operation)
        yield from _elsewhere(
            search, step, lines, "The module that computes it is made here."
        )


def _elsewhere(
    search: Search, step: Step, lines: Iterable[CodeLine], cause: str, there: Any = None
) -> Iterator[Place]:
    """What a step computes, on other lines than its own."""
    here = location(step, search.candidate)
    if here is not None:
        for line in lines:
            moved = Location(
                line.file, line.line, text_of(line), here.operation, here.shape
            )
            yield Place(here if here.line == line.line else moved, there, cause)


def _line(step: Step) -> CodeLine | None:
    return next(iter(of_user(step.lines())), None)


def _lines_of_choice(search: Search, trial: Trial) -> Iterator[CodeLine]:
    """The lines that may have chosen the operand of a step, the likeliest first.

    Those are: where it was moved last, if its numbers are right and stand elsewhere; where it is handed on, as in a
    `return`, between where it is made and used; where it is used, and made.
    """
    trial = _of_parts(search, trial)
    way, value = (
        [],
        trial.value,
    )  # the steps that moved it last, the last first, and that which made it, if any did
    while step := search.candidate.made(value):
        way.append(step)
        value = step.operands[0] if step.moves else -1
    own = [_line(trial.step)]
    if search.reference.base(trial.with_value) in search.partners(trial.value):
        lines = [*map(_line, way), *own]
    else:
        way.sort(key=lambda step: step.moves)
        handed = (
            line
            for step in way
            for line in hand_overs(step.lines(), trial.step.lines())
        )
        lines = [*handed, *own, *(_line(step) for step in way if not step.moves)]
    return (line for line in dict.fromkeys(lines) if line)


def _of_parts(search: Search, trial: Trial) -> Trial:
    """Where values are joined, the part that is another one than the reference has there."""
    first, second = search.reference, search.candidate
    mine, other = (
        second.made(second.base(trial.value)),
        first.made(first.base(trial.with_value)),
    )
    if (
        mine
        and other
        and mine.moves
        and other.moves
        and len(mine.operands) == len(other.operands) > 1
    ):
        for v, w in zip(mine.operands, other.operands, strict=True):
            if first.base(w) not in search.partners(v):
                return _of_parts(
                    search, replace(trial, step=mine, value=v, with_value=w)
                )
    return trial


def _shared(search: Search, steps: Sequence[Step]) -> Iterator[Place]:
    """The steps that make operands of several steps at which the programs part, or move them last before these."""
    tape = search.candidate
    makers: list[int] = []
    for step in steps:
        makers += {
            tape.maker[value]
            for value in map(tape.base, step.operands)
            if value in tape.maker
        }
    for last in (tape.steps[n] for n in dict.fromkeys(makers) if makers.count(n) > 1):
        if tape.constants.isdisjoint(last.results):
            while (
                len(users := tape.users(last.results[0])) == 1 and users[0] not in steps
            ):
                if (
                    not users[0].moves
                    or len(users[0].operands) != 1
                    or len(users[0].results) != 1
                ):
                    break
                last = users[0]
            yield _at(
                search,
                last,
                None,
                "Its result is used at several places where they part.",
            )


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
            rest.extend(
                made.operands if made.moves and made.operation != "scan" else ()
            )
    return sorted(origins, key=lambda step: step.number, reverse=True)


def rounded(program: Any) -> Iterator[Place]:
    """The lines at which a program takes numbers to a narrower dtype than those of its parameters."""
    widest = max(
        jnp.finfo(leaf.dtype).bits
        for leaf in filter(is_float, jax.tree.leaves(program.model.params))
    )
    for equation, here in _placed(program, frozenset({"convert_element_type"})):
        new = equation.params["new_dtype"]
        if jnp.issubdtype(new, jnp.floating) and jnp.finfo(new).bits < min(widest, 32):
            name = np.dtype(new).name
            here = replace(here, operation=f"convert_element_type to {name}")
            yield Place(here, None, f"Numbers are rounded to {name}.")


def places_of_optimizers(reference: Model, candidate: Model) -> Iterator[Place]:
    """The lines at which the optimizers of both are made."""
    lines = (
        model.made_at and argument_at(model.made_at, "optimizer")
        for model in (reference, candidate)
    )
    there, here = (line and located([line], "", ()) for line in lines)
    if here:
        yield Place(
            here,
            there,
            "The gradients agree, the updates that this makes of them do not.",
        )


def left_out(pair: Pair, tolerance: float) -> Iterator[Place]:
    """The equations without which the gradients of a pair agree: a stopped gradient, or a wrong rule of one's own."""
    gradients = pair.gradients()
    for which in (1, 0):
        program, arguments = pair.sides[which]
        for here, some in list(_obstacles(program).items())[:OBSTACLES]:
            both = gradients.copy()
            both[which] = program.gradient_without(some, arguments)
            if max(pair.gradient_errors(*both).values()) > tolerance:
                continue
            if which:
                yield from (
                    Place(rule, None, "Without this rule, the gradients agree.")
                    for rule in _rule(some[0])
                )
                yield Place(here, None, "Without it, the gradients agree.")
            else:
                yield Place(
                    None,
                    here,
                    "If the reference did not have it, the gradients would agree.",
                )


def with_rules(places: Iterable[Place], program: Any) -> Iterator[Place]:
    """The places at which gradients part, each behind the lines of the derivative of its own that is called there."""
    rules = {
        (here.file, here.line): some[0] for here, some in _obstacles(program).items()
    }
    for place in places:
        equation = place.candidate and rules.pop(
            (place.candidate.file, place.candidate.line), None
        )
        for rule in _rule(equation) if equation else ():
            yield Place(
                rule,
                place.reference,
                "It is the rule for the derivative of what is called there.",
            )
        yield place


def _obstacles(program: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an unrolled loop has several on one."""
    result: dict[Location, list[Any]] = {}
    for equation, here in _placed(program, STOPS | RULES):
        result.setdefault(here, []).append(equation)
    return result


def _rule(equation: Any) -> list[Location]:
    """The first lines of the user's function that a custom derivative takes backward; none for a stopped gradient."""
    code = getattr(getattr(equation.params.get("bwd"), "f", None), "__code__", None)
    begins = (
        [CodeLine(code.co_filename, code.co_firstlineno, code.co_name)] if code else []
    )
    lines = [line for begin in of_user(begins) for line in statements(begin)]
    places = (
        located([line], equation.primitive.name, equation.outvars[0].aval.shape)
        for line in lines
    )
    return [place for place in places if place]


def _placed(program: Any, primitives: frozenset[str]) -> Iterator[tuple[Any, Location]]:
    """The equations of some primitives in a trace, each with its line; none of a module of PyTorch."""
    for equation, outside in (
        equations(program.closed.jaxpr) if isinstance(program, TracedProgram) else ()
    ):
        if equation.primitive.name in primitives:
            here = located(
                code_lines(equation, outside),
                equation.primitive.name,
                equation.outvars[0].aval.shape,
            )
            if here is not None:
                yield equation, here
