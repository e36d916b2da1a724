"""The lines of code at which two models part, as they are told."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..program import CodeLine, code_lines, equations
from .causes import CALLED, MADE, departures
from .departure import Departure, Search
from .locations import callers, located, location, makers, shared_line, text_of
from .programs import Program, dtypes_of
from .record import Location, Place
from .tape import Tape


def places_of(search: Search) -> Iterator[Place]:
    """The places at which programs part, the likeliest cause first, each line once."""
    told: set[tuple[str, int]] = set()
    for departure in departures(search):
        there = location(departure.reference, search.reference) if departure.reference else None
        for here in _lines_of(departure, search):
            if here is not None and (here.file, here.line) not in told:
                told.add((here.file, here.line))
                yield Place(here, there, departure.cause, departure.mend)
            elif here is None and there is not None:
                yield Place(None, there, departure.cause, departure.mend)


def _lines_of(departure: Departure, search: Search) -> Iterator[Location | None]:
    """The line of a step, or those that make or call it, as the cause says."""
    if departure.candidate is None:
        yield None
        return
    here = location(departure.candidate, search.candidate)
    if departure.line is not None and here is not None:
        yield here if here.line == departure.line.line else _at(departure.line, here)
    elif departure.cause not in (MADE, CALLED):
        if here is not None and (line := shared_line(search.candidate, departure.candidate, search.agrees)):
            yield _at(line, here)
        yield here
    elif here is not None:
        made = makers(departure.candidate.lines(), here.operation) if here.library else ()
        for line in made if departure.cause == MADE else callers(departure.candidate)[1:3]:
            yield _at(line, here)


def _at(line: CodeLine, location: Location) -> Location:
    return Location(line.file, line.line, text_of(line), location.operation, location.shape)


def rounded(program: Any) -> Iterator[Place]:
    """The lines at which a program takes numbers to a narrower dtype than those of its parameters."""
    if not isinstance(program, Program):
        return
    widest = max((jnp.finfo(dtype).bits for dtype in dtypes_of(program.model.params)), default=32)
    for equation, outside in equations(program.closed.jaxpr):
        new = equation.params.get("new_dtype")
        if equation.primitive.name != "convert_element_type" or not jnp.issubdtype(new, jnp.floating):
            continue
        if jnp.finfo(new).bits < min(widest, 32):
            name = np.dtype(new).name
            operation, shape = f"convert_element_type to {name}", equation.outvars[0].aval.shape
            if here := located(code_lines(equation, outside), operation, shape):
                yield Place(here, None, f"Numbers are rounded to {name}.")


def paired_outputs(r: Any, c: Any, first: Tape, second: Tape, states: Sequence[Any]) -> list[tuple[int, int]]:
    """The outputs and the new states of both that ought to be the same, by the numbers of values of their tapes."""
    n = len(r.outputs)
    pairs = list(zip(first.outputs[:n], second.outputs[:n], strict=True))
    for i, match in enumerate(states):
        if match.layout is not None and len(match.layout.sources) == 1:
            pairs.append((first.outputs[n + match.layout.sources[0]], second.outputs[n + i]))
    return pairs


def paired_gradients(r: Any, c: Any, first: Tape, second: Tape, matches: Sequence[Any]) -> list[tuple[int, int]]:
    """The gradients of both that ought to be the same, by the numbers of values of their tapes."""
    n_r, n_c = len(r.outputs) + len(r.states), len(c.outputs) + len(c.states)
    pairs = [
        (first.outputs[n_r + match.layout.sources[0]], second.outputs[n_c + i])
        for i, match in enumerate(matches)
        if match.layout is not None and len(match.layout.sources) == 1
    ]
    inputs = zip(first.outputs[n_r + len(r.params) :], second.outputs[n_c + len(c.params) :], strict=False)
    return [*pairs, *inputs]
