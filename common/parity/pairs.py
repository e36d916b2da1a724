"""The quantities of two models that ought to be the same, where each leaf of the one holds leaves of the other."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..program import CodeLine, code_lines, equations
from .layouts import LeafLayout
from .locations import is_users, located, statements
from .matching import Match
from .programs import RULES, STOPS, Result, TracedProgram
from .record import Location, Place
from .tape import Tape
from .values import Arguments, largest

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12


def leaf_errors(matches: Sequence[Match], reference: Any, candidate: Any, among: Any = None) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the reference's; 0 without a partner."""
    pairs = zip(matches, candidate, strict=True)
    return [0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among) for m, a in pairs]


def parameter_gradients(matches: Sequence[Match], first: Result, second: Result) -> Iterator[float]:
    """The largest difference of each leaf of the reference, where the candidate's gradient can be given back.

    Args:
        matches: one for each leaf of the candidate.
        first, second: of the reference and of the candidate, with gradients.
    """
    sets = max(map(len, first.of_params))
    totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
    for m, gradient in zip(matches, second.of_params, strict=True):
        if isinstance(m.layout, LeafLayout):
            m.layout.give_back(np.broadcast_to(gradient, (sets, *gradient.shape[1:])), totals)
    known = {n for m in matches if isinstance(m.layout, LeafLayout) for n in m.layout.sources}
    computed = {n for m in matches if m.layout and not isinstance(m.layout, LeafLayout) for n in m.layout.sources}
    for n in sorted(known - computed):
        yield largest([first.of_params[n]], [totals[n]], first.of_params)


def paired_outputs(r: Any, c: Any, first: Tape, second: Tape, states: Sequence[Match]) -> list[tuple[int, int]]:
    """The outputs and the new states of both that ought to be the same, by the numbers of values of their tapes."""
    n = len(r.outputs)
    return [*zip(first.outputs[:n], second.outputs[:n], strict=True), *_whole(states, first, n, second, n)]


def paired_gradients(r: Any, c: Any, first: Tape, second: Tape, matches: Sequence[Match]) -> list[tuple[int, int]]:
    """The gradients of both that ought to be the same, by the numbers of values of their tapes."""
    n_r, n_c = len(r.outputs) + len(r.states), len(c.outputs) + len(c.states)
    inputs = zip(first.outputs[n_r + len(r.params) :], second.outputs[n_c + len(c.params) :], strict=False)
    return [*_whole(matches, first, n_r, second, n_c), *inputs]


def _whole(matches: Sequence[Match], first: Tape, n_r: int, second: Tape, n_c: int) -> Iterator[tuple[int, int]]:
    """The outputs of two tapes, from a place of each on, that belong to leaves of which one is one of the other's."""
    for i, match in enumerate(matches):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first.outputs[n_r + match.layout.sources[0]], second.outputs[n_c + i]


# Equations that change derivatives and no values: they are left out, to see what they do ---------------------------


def left_out(
    programs: tuple[Any, Any],
    arguments: tuple[Arguments, Arguments],
    weights: Sequence[Any],
    matches: Sequence[Match],
    tolerance: float,
) -> Iterator[Place]:
    """The equations without which the gradients agree: a stopped gradient, or a wrong rule of one's own.

    Args:
        programs, arguments: of the reference and of the candidate, with one set of values.
        weights: of the outputs, whose weighted sum is differentiated.
        matches: one for each leaf of the candidate.
        tolerance: the largest difference of gradients that agree.
    """
    gradients = [program.gradient(some, weights) for program, some in zip(programs, arguments, strict=True)]
    for which in (1, 0):
        program = programs[which]
        lines = _obstacles(program.closed) if isinstance(program, TracedProgram) else {}
        for here, some in list(lines.items())[:OBSTACLES]:
            pair = gradients.copy()
            pair[which] = program.gradient_without(some, arguments[which], weights)
            first, second = pair
            inputs = zip(first.of_inputs, second.of_inputs, strict=False)
            errors = [*parameter_gradients(matches, first, second)]
            errors += [largest([a], [b], first.of_inputs) for a, b in inputs]
            if max(errors, default=0.0) > tolerance:
                continue
            if which:
                for rule in _rule_lines(some[0]):
                    yield Place(rule, None, "Without this rule, the gradients agree.")
                yield Place(here, None, "Without it, the gradients agree.")
            else:
                yield Place(None, here, "If the reference did not have it, the gradients would agree.")


def _obstacles(closed: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an unrolled loop has several on one."""
    result: dict[Location, list[Any]] = {}
    for equation, outside in equations(closed.jaxpr):
        if equation.primitive.name in STOPS | RULES:
            here = located(code_lines(equation, outside), equation.primitive.name, equation.outvars[0].aval.shape)
            if here is not None:
                result.setdefault(here, []).append(equation)
    return result


def _rule_lines(equation: Any) -> list[Location]:
    """The first lines of the user's function that a custom derivative takes backward; none for a stopped gradient."""
    code = getattr(getattr(equation.params.get("bwd"), "f", None), "__code__", None)
    if code is None:
        return []
    lines = statements(CodeLine(code.co_filename, code.co_firstlineno, code.co_name))
    places = (located([line], equation.primitive.name, equation.outvars[0].aval.shape) for line in lines)
    return [place for place in places if place is not None and is_users(lines[0])]


def with_rules(places: Iterable[Place], closed: Any) -> Iterator[Place]:
    """The places, and before a call of a function with a derivative of its own the lines of that.

    Args:
        places: where gradients part.
        closed: the trace of the candidate.
    """
    rules = {(here.file, here.line): some[0] for here, some in _obstacles(closed).items()}
    for place in places:
        equation = place.candidate and rules.pop((place.candidate.file, place.candidate.line), None)
        for rule in _rule_lines(equation) if equation else ():
            yield Place(rule, place.reference, "It is the rule for the derivative of what is called there.")
        yield place
