"""Equations for which NumPy has no rule: JAX evaluates them, one at a time."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from ..compat import enable_x64
from ..port.compilation import jit_without_optimization
from .how import How
from .sets import is_key, keys_of


def handed(equation: Any, how: How) -> Callable[..., Any]:
    """An equation that JAX evaluates, for one set of values after the other."""
    primitive = equation.primitive
    if how.wide and primitive.name.startswith("scatter"):  # whose parameters hold a function of the dtypes in the trace
        return _scatter(equation)
    params = {
        name: how.dtype(value) if isinstance(value, np.dtype) and how.wide else value
        for name, value in equation.params.items()
    }

    try:
        call = _compiled(primitive, tuple(sorted(params.items())))
    except TypeError:  # parameters that have no hash
        call = partial(primitive.bind, **params)

    def run(*operands: Any) -> Any:
        found = []
        for n in range(max(map(len, operands), default=1)):
            some = [operand[n if len(operand) > 1 else 0] for operand in operands]
            with enable_x64(True):
                given = [a if isinstance(a, jax.Array) else jax.device_put(a) for a in some]
                results = call(*given)
            found.append(results if primitive.multiple_results else [results])
        stacked = [
            keys_of(list(column)) if is_key(variable) else np.stack([np.asarray(a) for a in column])
            for variable, column in zip(equation.outvars, zip(*found, strict=True), strict=True)
        ]
        return stacked if primitive.multiple_results else stacked[0]

    return run


def _scatter(equation: Any) -> Callable[..., Any]:
    """A scatter of other dtypes than those in the trace."""
    names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
    options = {name: equation.params[name] for name in names}
    call = jit_without_optimization(partial(getattr(jax.lax, equation.primitive.name.replace("-", "_")), **options))

    def run(*operands: Any) -> Any:
        found = []
        for n in range(max(map(len, operands))):
            with enable_x64(True):
                found.append(np.asarray(call(*[operand[n if len(operand) > 1 else 0] for operand in operands])))
        return np.stack(found)

    return run


@lru_cache(maxsize=1024)
def _compiled(primitive: Any, params: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    return jit_without_optimization(partial(primitive.bind, **dict(params)))
