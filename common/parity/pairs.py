"""Both programs of a comparison, and what ought to be the same in them: outputs, gradients, and steps of training."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from ..program import CodeLine, code_lines, equations
from .departure import moved_starts
from .layouts import LeafLayout
from .locations import is_users, located, statements
from .matching import Match
from .model import is_float
from .programs import RULES, STOPS, Result, TracedProgram
from .record import Location, Place
from .tape import Tape
from .values import Arguments, largest

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12
#: How many steps; how far the first of SGD moves the largest parameter; and Adam's learning rate.
STEPS, SGD_MOVES, ADAM_RATE = 10, 0.01, 1e-3
LARGE, STEPS_IF_LARGE = 2_000_000, 3  # a model of more numbers than these is trained for a few steps alone
OWN_STEPS = 3  # how many steps are compared that each model makes with an optimizer of its own
DIFFERENT = 1e-4  # beyond it updates differ for certain, and no further step is made


@dataclass(frozen=True)
class Pair:
    """The programs of both models in one mode, of the reference and of the candidate, and what each is called with."""

    r: Any
    c: Any
    mine: Arguments
    given: Arguments
    matches: list[Match]  # one for each leaf of the candidate's parameters, and of its state
    state_matches: list[Match]

    def sets(self, some: slice) -> "Pair":
        return replace(self, mine=self.mine.sets(some), given=self.given.sets(some))

    @property
    def sides(self) -> tuple[tuple[Any, Arguments], tuple[Any, Arguments]]:
        return (self.r, self.mine), (self.c, self.given)

    def gradients(self) -> list[Result]:
        return [program.gradient(arguments) for program, arguments in self.sides]

    def gradient_errors(self, first: Result, second: Result) -> dict[str, float]:
        """The largest difference of the gradient of each input, and of the parameters, by the name of the quantity.

        A gradient of the candidate that cannot be given back to the reference's leaves is not compared.
        """
        errors = {
            f"gradient of input{f' {n}' if len(first.of_inputs) > 1 else ''}": largest([a], [b], first.of_inputs)
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
        a, b = Result(self.r, first.outputs), Result(self.c, second.outputs)
        states = _paired(self.state_matches, a.state, b.state)
        return first, second, [*zip(a.outputs, b.outputs, strict=True), *states]

    def gradient_tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        first, second = (program.gradient_tape(arguments) for program, arguments in self.sides)
        a, b = Result(self.r, first.outputs), Result(self.c, second.outputs)
        params = _paired(self.matches, a.of_params, b.of_params)
        return first, second, [*params, *zip(a.of_inputs, b.of_inputs, strict=False)]

    def left_out(self, tolerance: float) -> Iterator[Place]:
        """The equations without which the gradients agree: a stopped gradient, or a wrong rule of one's own."""
        gradients = self.gradients()
        for which in (1, 0):
            program, arguments = self.sides[which]
            for here, some in list(_obstacles(program).items())[:OBSTACLES]:
                both = gradients.copy()
                both[which] = program.gradient_without(some, arguments)
                if max(self.gradient_errors(*both).values()) > tolerance:
                    continue
                if which:
                    yield from (Place(rule, None, "Without this rule, the gradients agree.") for rule in _rule(some[0]))
                    yield Place(here, None, "Without it, the gradients agree.")
                else:
                    yield Place(None, here, "If the reference did not have it, the gradients would agree.")


def leaf_errors(matches: Sequence[Match], reference: Any, candidate: Any, among: Any = ()) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the reference's; 0 without a partner."""
    pairs = zip(matches, candidate, strict=True)
    return [0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among) for m, a in pairs]


def _paired(matches: Sequence[Match], first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The values of leaves of the candidate that are one leaf of the reference."""
    for match, value in zip(matches, second, strict=True):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first[match.layout.sources[0]], value


def errors_of_training(pair: Pair) -> Iterator[tuple[str, float]]:
    """How many steps of which optimizer, and the largest difference of the parameters after them."""
    params = pair.mine.params

    def together(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.asarray(a).reshape(-1) for a in arrays])

    def apart(like: Sequence[np.ndarray], vector: Any) -> list[np.ndarray]:
        arrays = np.split(np.asarray(vector), np.cumsum([p.size for p in like])[:-1])
        return [a.reshape(p.shape) for a, p in zip(arrays, like, strict=True)]

    # SGD is so slow that nothing diverges. Optimizers see the parameters as one vector: JAX compiles them once.
    steps = STEPS_IF_LARGE if sum(p.size for p in params) > LARGE else STEPS
    steepest = max(np.abs(g).max(initial=0) for g in pair.r.gradient(pair.mine).of_params)
    rate = SGD_MOVES * max(np.abs(p).max(initial=0) for p in params) / steepest if steepest else 0.0
    for name, optimizer in {"SGD": optax.sgd(float(rate)), "Adam": optax.adam(ADAM_RATE)}.items():
        ways = (_steps(p, optimizer, some, together, partial(apart, some.params)) for p, some in pair.sides)
        first, second = (list(islice(way, steps))[-1] for way in ways)
        yield f"{steps} steps of {name}", max(leaf_errors(pair.matches, first, second, first), default=0.0)


def difference_of_steps(pair: Pair) -> tuple[float, str]:
    """The largest difference of an update by the models' own optimizers, in the first step with any, and its name."""

    def leaves(tree: Any) -> list[np.ndarray]:
        return [np.asarray(leaf)[None] for leaf in jax.tree.leaves(tree) if is_float(leaf)]

    both = (_steps(p, p.model.optimizer, some, p.tree, leaves) for p, some in pair.sides)
    worst, where = 0.0, ""
    for step, (first, second) in enumerate(islice(zip(*both, strict=True), OWN_STEPS), 1):
        mine = [after - before for after, before in zip(first, pair.mine.params, strict=True)]
        given = [after - before for after, before in zip(second, pair.given.params, strict=True)]
        for leaf, error in zip(pair.c.params, leaf_errors(pair.matches, mine, given, first), strict=True):
            if error > worst:
                worst, where = error, f"update of {leaf.path} after step {step}"
        if worst > DIFFERENT:
            break
    return worst, where


def _steps(
    program: Any,
    optimizer: Any,
    arguments: Arguments,
    together: Callable[[Any], Any],
    apart: Callable[[Any], list[np.ndarray]],
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step; `together` makes of leaves what the optimizer sees, `apart` leaves of it."""
    params = arguments.params
    with enable_x64(True):
        state = optimizer.init(together(params))
    while True:
        with enable_x64(True):  # not around the yield: whoever goes on would compute in 64 bits, too
            gradient = program.gradient(replace(arguments, params=params)).of_params
            updates, state = optimizer.update(together(gradient), state, together(params))
            params = apart(optax.apply_updates(together(params), updates))
        yield params


def _obstacles(program: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an unrolled loop has several on one."""
    result: dict[Location, list[Any]] = {}
    for equation, outside in equations(program.closed.jaxpr) if isinstance(program, TracedProgram) else ():
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


def with_rules(places: Iterable[Place], program: Any) -> Iterator[Place]:
    """The places at which gradients part, each behind the lines of the derivative of its own that is called there."""
    rules = {(here.file, here.line): some[0] for here, some in _obstacles(program).items()}
    for place in places:
        equation = place.candidate and rules.pop((place.candidate.file, place.candidate.line), None)
        for rule in _rule(equation) if equation else ():
            yield Place(rule, place.reference, "It is the rule for the derivative of what is called there.")
        yield place
