"""The equations of a trace, and the lines of code that made them."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import jax

_JAX = str(Path(jax.__file__).parent)
#: Of JAX, what passes functions on, and what wraps one operation: these lines say
#: nothing of who wanted it.
_PASSING = re.compile(
    r"/_src/(interpreters/|lax/lax\.py|numpy/(ufuncs|array_methods)\.py|(ad_checkpoint|api|api_util|config|core"
    r"|custom_derivatives|dispatch|linear_util|pjit|profiler|stages|traceback_util|tree_util|util)\.py)"
)


class CodeLine(NamedTuple):
    """A line of a file, and the function in which it stands."""

    file: str
    line: int
    function: str


def code_lines(equation: Any, callers: Sequence[Any] = ()) -> tuple[CodeLine, ...]:
    """The lines that led to an equation, the innermost first, without JAX's own.

    None stands for an equation of which JAX kept no traceback. Callers are the
    equations whose function or loop it is in, the outermost first: they know the lines
    outside of it.

    >>> closed = jax.make_jaxpr(lambda x: x + 1)(2.0)
    >>> code_lines(closed.eqns[0])  # nothing led here from a file
    ()
    """
    lines = _outside_of_jax(equation)
    for caller in reversed(callers):
        outer = _outside_of_jax(caller)
        # JAX keeps the lines within the function alone; older versions all of them.
        if lines[-len(outer) :] != outer:
            lines += outer
    return lines


def jax_line(equations: Sequence[Any]) -> CodeLine | None:
    """JAX's own line that made the last of these equations.

    Each equation is in the function or loop of the one before. The line is that of the
    function of JAX that was called; None where that says nothing.
    """
    for equation in reversed(equations):
        inside = takewhile(lambda line: line.file.startswith(_JAX), _lines(equation))
        telling = [line for line in inside if not _passes_on(line.file)]
        if telling:
            return telling[-1]
    return None


def equations(
    jaxpr: Any, callers: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every equation of a trace, with the equations around it, the outermost first.

    The equations of the functions that it calls are among them.

    >>> def negate_thrice(x):
    ...     return jax.lax.fori_loop(0, 3, lambda _, y: -y, x)
    >>> closed = jax.make_jaxpr(negate_thrice)(2.0)
    >>> for equation, callers in equations(closed.jaxpr):
    ...     if equation.primitive.name == "neg":
    ...         print(len(callers))
    1
    """
    for equation in jaxpr.eqns:
        yield equation, callers
        params = list(equation.params.values())
        for param in jax.tree.leaves(params, is_leaf=_has_equations):
            inner = getattr(param, "jaxpr", param)
            if _has_equations(inner):
                yield from equations(inner, (*callers, equation))


def _has_equations(param: Any) -> bool:
    return hasattr(param, "eqns")


@cache
def _passes_on(file: str) -> bool:
    return bool(_PASSING.search(Path(file).as_posix()))


def _outside_of_jax(equation: Any) -> tuple[CodeLine, ...]:
    inside = (_JAX, "<")
    return tuple(line for line in _lines(equation) if not line.file.startswith(inside))


def _lines(equation: Any) -> list[CodeLine]:
    traceback = getattr(getattr(equation, "source_info", None), "traceback", None)
    if traceback is None:
        return []
    return [
        CodeLine(frame.file_name, frame.line_num, frame.function_name)
        for frame in traceback.frames
    ]
