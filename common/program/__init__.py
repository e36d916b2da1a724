"""Evaluates a traced program in NumPy, equation by equation, in less time than it takes to compile it.

Every array has one more axis in front, for several sets of values that are evaluated at once. Its length is their
number, or 1 where all sets have the same array. Calls (jit, custom derivatives, remat) are entered, loops run step by
step, and a primitive for which `trigru.common.program.rules` has no rule is handed to JAX, one equation at a time.
What only a compiled program shows is not seen here: what XLA does with it, memory, donation, devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .interpreter import How, evaluation, function_of, scan_counts, wide
from .rules import is_key, one_set
from .source import CodeLine, code_lines, equations, jax_line

__all__ = [
    "CodeLine", "Evaluator", "Traced", "alternative", "code_lines", "equations", "evaluate", "is_key", "jax_line",
    "scan_counts", "wide",
]  # fmt: skip


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
            operand if is_key(aval) else np.asarray(operand, self._how.dtype(aval.dtype))
            for aval, operand in zip(self._avals, operands, strict=True)
        ]
        with np.errstate(all="ignore"):
            return list(self._run(*given))


def alternative(equation: Any, **params: Any) -> Callable[..., Any]:
    """The function of an equation's operands, in float64, if some parameters of its primitive were others."""
    return evaluation(equation.replace(params={**equation.params, **params}), How(wide=True))


class Traced:
    """A function of pytrees, traced once on arrays or `jax.ShapeDtypeStruct`; `closed` is the trace.

    >>> Traced(lambda tree: {"sum": tree["a"] + tree["b"]}, {"a": 1.0, "b": 2.0}).closed.eqns[0].primitive
    add
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **how: Any):
        leaves, structure = jax.tree.flatten(arguments)
        self._results: Any = None

        def flat(*leaves: Any) -> list[Any]:
            results, self._results = jax.tree.flatten(function(*jax.tree.unflatten(structure, leaves)))
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
        return [jax.tree.unflatten(self._results, [a[n if len(a) > 1 else 0] for a in found]) for n in range(sets)]


def evaluate(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of `jax.jit(function)(*arguments)`, evaluated in NumPy from the function's trace.

    >>> evaluate(lambda x: x + 1, jax.numpy.zeros(2))
    array([1., 1.], dtype=float32)
    """
    return Traced(function, *arguments)(*arguments)
