"""Equations of a trace that change derivatives and no values: they are left out, to see what they do."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr
from jax.extend.core.primitives import closed_call_p, copy_p

from ..program import CodeLine, code_lines, equations
from .locations import is_users, located, statements
from .record import Location, Place

#: Primitives that hand on a value without its derivative, or with a rule of its own.
STOPS, RULES = frozenset({"stop_gradient"}), frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})


def obstacles(closed: Any) -> dict[Location, list[Any]]:
    """The equations that stop a gradient or have a rule for it, by their line: an unrolled loop has several on one."""
    result: dict[Location, list[Any]] = {}
    for equation, outside in equations(closed.jaxpr):
        if equation.primitive.name in STOPS | RULES:
            here = located(code_lines(equation, outside), equation.primitive.name, equation.outvars[0].aval.shape)
            if here is not None:
                result.setdefault(here, []).append(equation)
    return result


def rule_lines(equation: Any) -> list[Location]:
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
    rules = {(here.file, here.line): some[0] for here, some in obstacles(closed).items()}
    for place in places:
        equation = place.candidate and rules.pop((place.candidate.file, place.candidate.line), None)
        for rule in rule_lines(equation) if equation else ():
            yield Place(rule, place.reference, "It is the rule for the derivative of what is called there.")
        yield place


def without(closed: Any, targets: Sequence[Any]) -> Any:
    """A trace in which some equations have the derivative that their values have."""

    def changed(value: Any) -> Any:
        if type(value) is tuple:  # of the branches of a condition
            return tuple(map(changed, value))
        if getattr(value, "jaxpr", value) is not value:  # closed; from JAX 0.12 on, all are, and hold themselves
            return value.replace(jaxpr=changed(value.jaxpr))
        if hasattr(value, "eqns"):
            return value.replace(eqns=list(map(freed, value.eqns)))
        return value

    def freed(equation: Any) -> Any:
        if not any(equation is target for target in targets):
            return equation.replace(params={name: changed(value) for name, value in equation.params.items()})
        if equation.primitive.name in STOPS:
            return equation.replace(primitive=copy_p, params={})
        inner = equation.params["call_jaxpr"]
        inner = inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ())
        return equation.replace(primitive=closed_call_p, params={"call_jaxpr": inner})

    return changed(closed)
