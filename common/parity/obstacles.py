"""Equations of a trace that change derivatives and no values: they can be left out, to see what they do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from ..program import CodeLine, code_lines, equations
from .locations import is_users, located, statements
from .record import Location, Place

#: Primitives that hand on a value without its derivative, or with a rule of its own.
STOPS, RULES = frozenset({"stop_gradient"}), frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})


def obstacles(closed: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The equations that stop a gradient or have a rule of their own for it, each with those around it."""
    return (found for found in equations(closed.jaxpr) if found[0].primitive.name in STOPS | RULES)


def by_line(closed: Any) -> dict[Location, list[Any]]:
    """These equations by the line of code that they stand on: a loop that is unrolled has several on one."""
    found: dict[Location, list[Any]] = {}
    for equation, outside in obstacles(closed):
        here = located(code_lines(equation, outside), equation.primitive.name, equation.outvars[0].aval.shape)
        if here is not None:
            found.setdefault(here, []).append(equation)
    return found


def rule_lines(equation: Any) -> list[Location]:
    """The first lines of the user's function that a custom derivative takes backward; none for a stopped gradient."""
    function = getattr(equation.params.get("bwd"), "f", None)
    code = getattr(function, "__code__", None)
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
    rules = {(here.file, here.line): some[0] for here, some in by_line(closed).items()}
    for place in places:
        equation = place.candidate and rules.pop((place.candidate.file, place.candidate.line), None)
        for rule in rule_lines(equation) if equation else ():
            yield Place(rule, place.reference, "It is the rule for the derivative of what is called there.")
        yield place


def without(closed: Any, targets: Sequence[Any]) -> Callable[..., list[Any]]:
    """A trace as a function of its arguments, in which some equations have the derivative that their values have."""

    def run(*arguments: Any) -> list[Any]:
        jaxpr, values = closed.jaxpr, {}
        values.update(zip(jaxpr.constvars, closed.consts, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))
        for equation in jaxpr.eqns:
            ins = [atom.val if isinstance(atom, Literal) else values[atom] for atom in equation.invars]
            values.update(zip(equation.outvars, _result(equation, ins, targets), strict=True))
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in jaxpr.outvars]

    return run


def _result(equation: Any, ins: list[Any], targets: Sequence[Any]) -> list[Any]:
    if any(equation is target for target in targets):
        return ins if equation.primitive.name in STOPS else jaxpr_as_fun(_inner(equation)["call_jaxpr"])(*ins)
    params = dict(equation.params)
    for name, inner in _inner(equation).items():
        if any(found is target for found, _ in obstacles(inner) for target in targets):
            made = jax.make_jaxpr(without(inner, targets))(*inner.in_avals)
            params[name] = made if hasattr(params[name], "consts") else made.jaxpr
    bound = equation.primitive.get_bind_params(params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # JAX before 0.10 gives functions apart
    found = equation.primitive.bind(*functions, *ins, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _inner(equation: Any) -> dict[str, Any]:
    """The traces that an equation calls, closed, by the names of its parameters."""
    found = {}
    for name, value in equation.params.items():
        if hasattr(value, "jaxpr") and hasattr(value, "consts"):
            found[name] = value
        elif hasattr(value, "eqns") and not getattr(value, "constvars", ()):
            found[name] = ClosedJaxpr(value, ())
    return found
