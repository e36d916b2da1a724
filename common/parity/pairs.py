"""Both programs of a comparison, and the quantities that ought to be the same in them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..program import CodeLine, code_lines, equations
from .departure import moved_starts
from .layouts import LeafLayout
from .locations import is_users, located, statements
from .matching import Match
from .programs import RULES, STOPS, Result, TracedProgram
from .record import Location, Place
from .tape import Tape
from .values import Arguments, largest

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12


@dataclass(frozen=True)
class Pair:
    """The programs of both models in one mode.

    Args:
        r, c: of the reference and of the candidate.
        mine, given: what each is called with.
        matches, state_matches: one for each leaf of the candidate's parameters, and of its state.
    """

    r: Any
    c: Any
    mine: Arguments
    given: Arguments
    matches: list[Match]
    state_matches: list[Match]

    def one(self, which: int) -> "Pair":
        return replace(self, mine=self.mine.one(which), given=self.given.one(which))

    @property
    def sides(self) -> tuple[tuple[Any, Arguments], tuple[Any, Arguments]]:
        return (self.r, self.mine), (self.c, self.given)

    def gradients(self) -> list[Result]:
        return [program.gradient(arguments) for program, arguments in self.sides]

    def gradient_errors(self, first: Result, second: Result) -> dict[str, float]:
        """The largest difference of the gradient of each input, and of the parameters, by the name of the quantity.

        A gradient of the candidate that cannot be given back to the reference's leaves is not compared.
        """
        several = len(first.of_inputs) > 1
        errors = {
            f"gradient of input{f' {n}' if several else ''}": largest([a], [b], first.of_inputs)
            for n, (a, b) in enumerate(zip(first.of_inputs, second.of_inputs, strict=False), 1)
        }
        sets = max(map(len, first.of_params))
        totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
        known, computed = set(), set()
        for m, gradient in zip(self.matches, second.of_params, strict=True):
            if isinstance(m.layout, LeafLayout):
                m.layout.give_back(np.broadcast_to(gradient, (sets, *gradient.shape[1:])), totals)
                known.update(m.layout.sources)
            elif m.layout:
                computed.update(m.layout.sources)
        some = (largest([first.of_params[n]], [totals[n]], first.of_params) for n in known - computed)
        return errors | {"gradients of parameters": max(some, default=0.0)}

    def tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """All values of both, and the numbers of those outputs and new states that ought to be the same."""
        first, second = moved_starts(self.r.tape(self.mine), self.c.tape(self.given))
        n = len(self.r.outputs)
        outputs = zip(first.outputs[:n], second.outputs[:n], strict=True)
        return first, second, [*outputs, *_paired(self.state_matches, first.outputs[n:], second.outputs[n:])]

    def gradient_tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """As `tapes`, on the way to the gradients."""
        first, second = (program.gradient_tape(arguments) for program, arguments in self.sides)
        of_r = first.outputs[len(self.r.outputs) + len(self.r.states) :]
        of_c = second.outputs[len(self.c.outputs) + len(self.c.states) :]
        inputs = zip(of_r[len(self.r.params) :], of_c[len(self.c.params) :], strict=False)
        return first, second, [*_paired(self.matches, of_r, of_c), *inputs]

    def left_out(self, tolerance: float) -> Iterator[Place]:
        """The equations without which the gradients agree: a stopped gradient, or a wrong rule of one's own."""
        gradients = self.gradients()
        for which in (1, 0):
            program, arguments = self.sides[which]
            lines = obstacles(program.closed) if isinstance(program, TracedProgram) else {}
            for here, some in list(lines.items())[:OBSTACLES]:
                both = gradients.copy()
                both[which] = program.gradient_without(some, arguments)
                if max(self.gradient_errors(*both).values()) > tolerance:
                    continue
                if which:
                    yield from (Place(rule, None, "Without this rule, the gradients agree.") for rule in _rule(some[0]))
                    yield Place(here, None, "Without it, the gradients agree.")
                else:
                    yield Place(None, here, "If the reference did not have it, the gradients would agree.")


def leaf_errors(matches: Sequence[Match], reference: Any, candidate: Any, among: Any = None) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the reference's; 0 without a partner."""
    pairs = zip(matches, candidate, strict=True)
    return [0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among) for m, a in pairs]


def _paired(matches: Sequence[Match], first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The values of leaves of the candidate that are one leaf of the reference."""
    for match, value in zip(matches, second, strict=False):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first[match.layout.sources[0]], value


def obstacles(closed: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an unrolled loop has several on one."""
    result: dict[Location, list[Any]] = {}
    for equation, outside in equations(closed.jaxpr):
        if equation.primitive.name in STOPS | RULES:
            here = located(code_lines(equation, outside), equation.primitive.name, equation.outvars[0].aval.shape)
            if here is not None:
                result.setdefault(here, []).append(equation)
    return result


def _rule(equation: Any) -> list[Location]:
    """The first lines of the user's function that a custom derivative takes backward; none for a stopped gradient."""
    code = getattr(getattr(equation.params.get("bwd"), "f", None), "__code__", None)
    if code is None:
        return []
    lines = statements(CodeLine(code.co_filename, code.co_firstlineno, code.co_name))
    places = (located([line], equation.primitive.name, equation.outvars[0].aval.shape) for line in lines)
    return [place for place in places if place is not None and is_users(lines[0])]


def with_rules(places: Iterable[Place], closed: Any) -> Iterator[Place]:
    """The places at which gradients part, each behind the lines of the derivative of its own that is called there."""
    rules = {(here.file, here.line): some[0] for here, some in obstacles(closed).items()}
    for place in places:
        equation = place.candidate and rules.pop((place.candidate.file, place.candidate.line), None)
        for rule in _rule(equation) if equation else ():
            yield Place(rule, place.reference, "It is the rule for the derivative of what is called there.")
        yield place
