"""A traced program, evaluated in NumPy."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .how import How
from .interpreter import evaluation, function_of
from .sets import is_key, one_set


class Evaluator:
    """A traced program that NumPy evaluates, as `How` says.

    `jax.make_jaxpr(function)(*arguments)` returns one.

    >>> trace = jax.make_jaxpr(lambda x: jax.numpy.tanh(x).sum())
    >>> closed = trace(np.ones(3, "float32"))
    >>> Evaluator(closed)(np.zeros((2, 3), "float32"))
    [array([0., 0.], dtype=float32)]
    """

    def __init__(self, closed: Any, **how: Any):
        self._how = How(**how)
        self._avals = closed.in_avals
        self._run = function_of(closed, self._how)

    def __call__(self, *operands: np.ndarray) -> list[np.ndarray]:
        """The results; each array, as each operand, has an axis of sets in front.

        Where the evaluation is wide, the operands may have any floating-point dtype.
        """
        arrays = []
        for aval, operand in zip(self._avals, operands, strict=True):
            if not is_key(aval):
                operand = np.asarray(operand, self._how.dtype(aval.dtype))
            arrays.append(operand)
        with np.errstate(all="ignore"):
            return list(self._run(*arrays))


class Traced:
    """A function of pytrees, traced once on arrays or `jax.ShapeDtypeStruct`.

    `closed` is the trace.

    >>> traced = Traced(lambda tree: tree["a"] + tree["b"], {"a": 1.0, "b": 2.0})
    >>> traced.closed.eqns[0].primitive
    add
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **how: Any):
        leaves, structure = jax.tree.flatten(arguments)
        self._results: Any = None

        def flat(*leaves: Any) -> list[Any]:
            results = function(*jax.tree.unflatten(structure, leaves))
            arrays, self._results = jax.tree.flatten(results)
            return arrays

        self.closed = jax.make_jaxpr(flat)(*leaves)
        self._evaluate = Evaluator(self.closed, **how)

    def __call__(self, *arguments: Any) -> Any:
        """The results for some arguments, as a pytree of NumPy's arrays."""
        (results,) = self.of_sets(jax.tree.map(one_set, arguments), 1)
        return results

    def of_sets(self, arguments: Any, sets: int) -> list[Any]:
        """The results for each set of arguments.

        Each array has an axis in front, whose length is the number of sets, or 1.
        """
        arrays = self._evaluate(*jax.tree.leaves(arguments))
        results = []
        for n in range(sets):
            leaves = [a[n if len(a) > 1 else 0] for a in arrays]
            results.append(jax.tree.unflatten(self._results, leaves))
        return results


def evaluate(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of `jax.jit(function)(*arguments)`, evaluated in NumPy.

    >>> evaluate(lambda x: x + 1, jax.numpy.zeros(2))
    array([1., 1.], dtype=float32)
    """
    return Traced(function, *arguments)(*arguments)


def alternative(equation: Any, **params: Any) -> Callable[..., Any]:
    """An equation as a function of its operands, with other parameters.

    Some parameters of its primitive are replaced. The function computes in float64.
    """
    changed = equation.replace(params={**equation.params, **params})
    return evaluation(changed, How(wide=True))
