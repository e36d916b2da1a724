"""Evaluates a traced program in NumPy, equation by equation, in less time than it takes to compile it.

Every array has one more axis in front, for several sets of values that are evaluated at once. Its length is their
number, or 1 where all sets have the same array. Calls (jit, custom derivatives, remat) are entered, loops run step by
step, and a primitive for which `trigru.common.program.rules` has no rule is handed to JAX, one equation at a time.
What only a compiled program shows is not seen here: what XLA does with it, memory, donation, devices.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .interpreter import How, evaluation, function_of, scan_counts, wide
from .rules import is_key, one_set

__all__ = [
    "CodeLine",
    "Evaluator",
    "Traced",
    "alternative",
    "code_lines",
    "equations",
    "evaluate",
    "is_key",
    "jax_line",
    "scan_counts",
    "wide",
]
_JAX = str(Path(jax.__file__).parent)
#: Of JAX, what passes functions on, and what wraps one operation: these lines say nothing of who wanted it.
_PASSING = re.compile(
    r"/_src/(interpreters/|lax/lax\.py|numpy/(ufuncs|array_methods)\.py|(ad_checkpoint|api|api_util|config|core"
    r"|custom_derivatives|dispatch|linear_util|pjit|profiler|stages|traceback_util|tree_util|util)\.py)"
)


class Evaluator:
    """A traced program, as `jax.make_jaxpr(function)(*arguments)` returns it, that NumPy evaluates; see `How`.

    >>> closed = jax.make_jaxpr(lambda x: jax.numpy.tanh(x).sum())(np.ones(3, "float32"))
    >>> Evaluator(closed)(np.zeros((2, 3), "float32"))
    [array([0., 0.], dtype=float32)]
    """

    def __init__(self, closed: Any, **how: Any):
        self._how, self._avals = How(**how), closed.in_avals
        self._run = function_of(closed, self._how)

    def __call__(self, *operands: np.ndarray) -> list[np.ndarray]:
        """The results, of arrays of any floating-point dtype where the evaluation is wide; each has an axis of sets."""
        given = [
            operand
            if is_key(aval)
            else np.asarray(operand, self._how.dtype(aval.dtype))
            for aval, operand in zip(self._avals, operands, strict=True)
        ]
        with np.errstate(all="ignore"):
            return list(self._run(*given))


def alternative(equation: Any, **params: Any) -> Callable[..., Any]:
    """The function of an equation's operands, in float64, if some parameters of its primitive were others."""
    return evaluation(
        equation.replace(params={**equation.params, **params}), How(wide=True)
    )


class Traced:
    """A function of pytrees, traced once on arrays or `jax.ShapeDtypeStruct`; `closed` is the trace.

    >>> Traced(lambda tree: {"sum": tree["a"] + tree["b"]}, {"a": 1.0, "b": 2.0}).closed.eqns[0].primitive
    add
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **how: Any):
        leaves, structure = jax.tree.flatten(arguments)
        self._results: Any = None

        def flat(*leaves: Any) -> list[Any]:
            results, self._results = jax.tree.flatten(
                function(*jax.tree.unflatten(structure, leaves))
            )
            return results

        self.closed = jax.make_jaxpr(flat)(*leaves)
        self._evaluate = Evaluator(self.closed, **how)

    def __call__(self, *arguments: Any) -> Any:
        """The results for some arguments, as a pytree of NumPy's arrays."""
        (found,) = self.of_sets(jax.tree.map(one_set, arguments), 1)
        return found

    def of_sets(self, arguments: Any, sets: int) -> list[Any]:
        """The results for each set of arguments: each array has an axis in front, as long as there are sets, or 1."""
        found = self._evaluate(*jax.tree.leaves(arguments))
        return [
            jax.tree.unflatten(
                self._results, [a[n if len(a) > 1 else 0] for a in found]
            )
            for n in range(sets)
        ]


def evaluate(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of `jax.jit(function)(*arguments)`, evaluated in NumPy from the function's trace.

    >>> evaluate(lambda x: x + 1, jax.numpy.zeros(2))
    array([1., 1.], dtype=float32)
    """
    return Traced(function, *arguments)(*arguments)


# The equations of a trace, and the lines of code that made them ----------------------------------------------------


class CodeLine(NamedTuple):
    """A line of a file, and the function in which it stands."""

    file: str
    line: int
    function: str


def code_lines(equation: Any, callers: Sequence[Any] = ()) -> tuple[CodeLine, ...]:
    """The lines that led to an equation, the innermost first, without JAX's own. None where JAX kept no traceback.

    Callers are the equations whose function or loop it is in, the outermost first: they know the lines outside of it.

    >>> closed = jax.make_jaxpr(lambda x: x + 1)(2.0)
    >>> code_lines(closed.eqns[0])  # nothing led here from a file
    ()
    """
    lines = _own(equation)
    for caller in reversed(callers):
        outer = _own(caller)
        if (
            lines[-len(outer) :] != outer
        ):  # JAX keeps the lines within the function alone; older versions all of them
            lines += outer
    return lines


def jax_line(equations: Sequence[Any]) -> CodeLine | None:
    """JAX's own line that made the last of equations, which are each in the function or loop of the one before.

    It is that of the function of JAX that was called; None where that says nothing.
    """
    for equation in reversed(equations):
        inside = takewhile(lambda line: line.file.startswith(_JAX), _lines(equation))
        if telling := [line for line in inside if not _passes_on(line.file)]:
            return telling[-1]
    return None


@cache
def _passes_on(file: str) -> bool:
    return bool(_PASSING.search(Path(file).as_posix()))


def _own(equation: Any) -> tuple[CodeLine, ...]:
    return tuple(
        line for line in _lines(equation) if not line.file.startswith((_JAX, "<"))
    )


def _lines(equation: Any) -> list[CodeLine]:
    traceback = getattr(getattr(equation, "source_info", None), "traceback", None)
    frames = () if traceback is None else traceback.frames
    return [
        CodeLine(frame.file_name, frame.line_num, frame.function_name)
        for frame in frames
    ]


def equations(
    jaxpr: Any, callers: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every equation of a trace, also of the functions that it calls, and the equations around it, outermost first.

    >>> closed = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: -y, x))(2.0)
    >>> {equation.primitive.name: len(callers) for equation, callers in equations(closed.jaxpr)}["neg"]
    1
    """
    for equation in jaxpr.eqns:
        yield equation, callers
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner, (*callers, equation))
