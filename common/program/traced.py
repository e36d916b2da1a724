"""Functions of pytrees that are traced by JAX and evaluated in NumPy."""

from collections.abc import Callable
from typing import Any

import jax

from .evaluator import Evaluator
from .how import Observer
from .sets import one_set


class Traced:
    """A function of pytrees, traced once.

    Args:
        function: what `jax.jit` takes; its results are a pytree of arrays.
        arguments: pytrees of arrays, or of `jax.ShapeDtypeStruct`.
        wide: compute in float64, whatever floating-point dtypes the trace has.
        observe: follows the evaluation, equation by equation.

    Attributes:
        closed: the trace.

    >>> Traced(lambda tree: {"sum": tree["a"] + tree["b"]}, {"a": 1.0, "b": 2.0}).closed.eqns[0].primitive
    add
    """

    def __init__(
        self, function: Callable[..., Any], *arguments: Any, wide: bool = False, observe: Observer | None = None
    ):
        leaves, structure = jax.tree.flatten(arguments)
        self._results: Any = None

        def flat(*leaves: Any) -> list[Any]:
            results, self._results = jax.tree.flatten(function(*jax.tree.unflatten(structure, leaves)))
            return results

        self.closed = jax.make_jaxpr(flat)(*leaves)
        self._evaluate = Evaluator(self.closed, wide=wide, observe=observe)

    def __call__(self, *arguments: Any) -> Any:
        """The results for some arguments, as a pytree of NumPy's arrays."""
        (found,) = self.of_sets(jax.tree.map(one_set, arguments), 1)
        return found

    def of_sets(self, arguments: Any, sets: int) -> list[Any]:
        """The results for each of several sets of arguments.

        Args:
            arguments: a tuple of them, each array with an axis in front: as long as there are sets, or of length 1.
            sets: their number.
        """
        found = self._evaluate(*jax.tree.leaves(arguments))
        return [jax.tree.unflatten(self._results, [a[n if len(a) > 1 else 0] for a in found]) for n in range(sets)]


def evaluate(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of `jax.jit(function)(*arguments)`, evaluated in NumPy from the function's trace.

    >>> evaluate(lambda x: x + 1, jax.numpy.zeros(2))
    array([1., 1.], dtype=float32)
    """
    return Traced(function, *arguments)(*arguments)
