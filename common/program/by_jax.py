"""Equations for which NumPy has no rule, evaluated by JAX.

JAX evaluates one equation and one set of values at a time.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from ..compat import enable_x64
from ..port.compilation import jit_without_optimization
from .how import How, wide
from .sets import Array, is_key, keys_of

Function = Callable[..., Any]


def run_by_jax(equation: Any, how: How) -> Function:
    """A function of an equation's operands that JAX evaluates.

    Each operand has an axis of sets in front. What JAX cannot evaluate in float64, such
    as a change of the type of bits, is evaluated in the dtypes of the trace.
    """
    several = equation.primitive.multiple_results
    call = _wide_call(equation) if how.wide else None
    if call is None:
        call = _call_as_traced(equation)

    def run(*operands: Array) -> Any:
        results_by_set = []
        for n in range(max(map(len, operands), default=1)):
            arrays = [operand[n if len(operand) > 1 else 0] for operand in operands]
            with enable_x64(True):
                results = call(*map(_of_jax, arrays))
            results_by_set.append(results if several else [results])

        stacked = []
        sets_by_result = zip(*results_by_set, strict=True)
        for variable, sets in zip(equation.outvars, sets_by_result, strict=True):
            stacked.append(_stack(sets, variable, how))
        return stacked if several else stacked[0]

    return run


def _stack(sets: Sequence[Any], variable: Any, how: How) -> Array:
    if is_key(variable):
        return keys_of(sets)
    dtype = how.dtype(variable.aval.dtype)
    return np.stack([np.asarray(array, dtype) for array in sets])


def _of_jax(array: Any) -> Any:
    return array if isinstance(array, jax.Array) else jax.device_put(array)


def _call_as_traced(equation: Any) -> Function:
    """The equation in the dtypes that its trace has."""
    call = _bound(equation.primitive, equation.params)
    dtypes = [None if is_key(v) else v.aval.dtype for v in equation.invars]

    def run(*operands: Any) -> Any:
        narrow = []
        for operand, dtype in zip(operands, dtypes, strict=True):
            narrow.append(operand if dtype is None else operand.astype(dtype))
        return call(*narrow)

    return run


def _wide_call(equation: Any) -> Function | None:
    """A call of the equation in float64.

    It is None if JAX does not take the equation so, or gives results of another kind.
    """
    primitive = equation.primitive
    params = {}
    for name, value in equation.params.items():
        params[name] = wide(value) if isinstance(value, np.dtype) else value

    if primitive.name.startswith("scatter"):
        # Its parameters hold a function of the dtypes in the trace.
        names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
        scatter = getattr(jax.lax, primitive.name.replace("-", "_"))
        options = {name: params[name] for name in names}
        call = jit_without_optimization(partial(scatter, **options))
    else:
        call = _bound(primitive, params)

    try:
        with enable_x64(True):
            results = jax.eval_shape(call, *map(_wide_spec, equation.invars))
    except Exception:  # each primitive refuses in its own way
        return None
    expected = list(map(_wide_spec, equation.outvars))
    results = jax.tree.leaves(results)
    kinds = [(spec.shape, spec.dtype) for spec in results]
    return call if kinds == [(spec.shape, spec.dtype) for spec in expected] else None


def _wide_spec(atom: Any) -> jax.ShapeDtypeStruct:
    aval = atom.aval
    dtype = aval.dtype if is_key(aval) else wide(aval.dtype)
    return jax.ShapeDtypeStruct(aval.shape, dtype)


def _bound(primitive: Any, params: dict[str, Any]) -> Function:
    """A primitive with its parameters, compiled once.

    All equations with the same primitive and parameters share it.
    """
    try:
        return _compiled(primitive, frozenset(params.items()))
    except TypeError:  # parameters that have no hash
        return partial(primitive.bind, **params)


@lru_cache(maxsize=1024)
def _compiled(primitive: Any, params: frozenset[tuple[str, Any]]) -> Function:
    return jit_without_optimization(partial(primitive.bind, **dict(params)))
