"""The rule of each JAX primitive in NumPy. Arrays have one more axis in front: see `trigru.common.program.evaluator`.

A rule takes an equation, and a function that says in which dtype values of the trace are computed. It returns a
function of the operands, or None for what it is not about, which JAX then evaluates.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from scipy import special

from .shapes import SHAPES

Array = np.ndarray
Rule = Callable[[Any, Callable[[Any], Any]], Callable[..., Any] | None]

#: Primitives that hand on their operands.
IDENTITIES = (
    *("copy", "copy_p", "stop_gradient", "optimization_barrier", "name", "device_put", "pvary", "reshard"),
    *("sharding_constraint", "mesh_cast", "pcast"),
)


def _elementwise(function: Callable[..., Array], *, cast: bool = False) -> Rule:
    """A function of numbers. A scalar operand stands beside arrays of any shape."""

    def rule(equation: Any, dtype: Any) -> Callable[..., Array]:
        out = equation.outvars[0].aval
        scalars = [n for n, atom in enumerate(equation.invars) if atom.aval.ndim < out.ndim]
        to = dtype(out.dtype) if cast else None

        def run(*operands: Array) -> Array:
            given = list(operands)
            for n in scalars:
                given[n] = given[n].reshape(-1, *[1] * out.ndim)
            found = function(*given)
            return found if to is None else found.astype(to, copy=False)

        return run if scalars or cast else function

    return rule


def _widened(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of SciPy's, which knows no half precision."""

    def run(a: Array) -> Array:
        if a.dtype in (np.float32, np.float64):
            return function(a)
        return function(a.astype(np.float32)).astype(a.dtype)

    return run


def _divide(a: Array, b: Array) -> Array:
    if not np.issubdtype(a.dtype, np.integer):
        return a / b
    quotient = a // np.where(b == 0, 1, b).astype(b.dtype)  # rounded down, where JAX rounds towards 0
    inexact = (quotient * b != a) & ((a < 0) != (b < 0))
    return np.where(b == 0, -1, quotient + inexact).astype(a.dtype)


def _logistic(equation: Any, dtype: Any) -> Callable[..., Array] | None:
    """Complex numbers are handed to JAX."""
    return None if dtype(equation.outvars[0].aval.dtype).kind == "c" else _widened(special.expit)


def _power(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    y = equation.params["y"]
    one = np.ones((), dtype(equation.invars[0].aval.dtype))

    def run(a: Array) -> Array:
        found = a
        for _ in range(abs(y) - 1):
            found = found * a
        if y == 0:
            return np.ones_like(a)
        return found if y > 0 else one / found

    return run


def _convert(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    to, of = dtype(equation.params["new_dtype"]), dtype(equation.invars[0].aval.dtype)
    if to.kind not in "iu" or of.kind in "iub":
        return lambda a: a.astype(to, copy=False)
    least, most = np.iinfo(to).min, np.iinfo(to).max

    def run(a: Array) -> Array:
        """Convert like XLA: a number that is too large becomes the largest integer, and NaN becomes 0."""
        wide = np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        found = np.where((wide > least) & (wide < most), wide, 0).astype(to)
        return np.where(wide >= most, to.type(most), np.where(wide <= least, to.type(least), found))

    return run


def _select(which: Array, *cases: Array) -> Array:
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases, mode="clip")


def _iota(equation: Any, dtype: Any) -> Callable[..., Array] | None:
    params = equation.params
    if equation.invars:  # a shape that is not known
        return None
    shape, axis = params["shape"], params["dimension"]
    along = (
        np.arange(shape[axis])
        .astype(dtype(params["dtype"]))
        .reshape([-1 if n == axis else 1 for n in range(len(shape))])
    )
    whole = np.broadcast_to(along, shape)[None]
    return lambda: whole


# Reductions and products ------------------------------------------------------------------------------------------


def _adding(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which XLA adds up: float32 for half precision."""
    return np.dtype(np.float32) if dtype.itemsize < 4 and dtype.kind not in "iub" else dtype


def _reduce(function: np.ufunc) -> Rule:
    def rule(equation: Any, dtype: Any) -> Callable[[Array], Array] | None:
        axes = tuple(axis + 1 for axis in equation.params["axes"])
        to = dtype(equation.outvars[0].aval.dtype)
        if 0 in equation.invars[0].aval.shape and function not in (np.add, np.multiply):
            return None
        inner = _adding(to) if function in (np.add, np.multiply) else to
        return lambda a: function.reduce(a.astype(inner, copy=False), axis=axes).astype(to, copy=False)

    return rule


def _dot_general(equation: Any, dtype: Any) -> Callable[..., Array]:
    ((summed_a, summed_b), (batch_a, batch_b)) = equation.params["dimension_numbers"]
    shape_a, shape_b = (atom.aval.shape for atom in equation.invars)
    free_a = [n for n in range(len(shape_a)) if n not in (*summed_a, *batch_a)]
    free_b = [n for n in range(len(shape_b)) if n not in (*summed_b, *batch_b)]
    order_a = (0, *(n + 1 for n in (*batch_a, *free_a, *summed_a)))
    order_b = (0, *(n + 1 for n in (*batch_b, *summed_b, *free_b)))
    B, K = prod(shape_a[n] for n in batch_a), prod(shape_a[n] for n in summed_a)
    M, N = prod(shape_a[n] for n in free_a), prod(shape_b[n] for n in free_b)
    out = equation.outvars[0].aval
    to = dtype(out.dtype)
    inner = _adding(to)

    def run(a: Array, b: Array) -> Array:
        a = a.transpose(order_a).reshape(len(a), B, M, K).astype(inner, copy=False)
        b = b.transpose(order_b).reshape(len(b), B, K, N).astype(inner, copy=False)
        found = np.matmul(a, b)
        return found.reshape(len(found), *out.shape).astype(to, copy=False)

    return run


def _bitcast(equation: Any, dtype: Any) -> Callable[[Array], Array] | None:
    old, new = equation.invars[0].aval.dtype, np.dtype(equation.params["new_dtype"])
    if old.itemsize != new.itemsize or dtype(old) != old or dtype(new) != new:
        return None
    return lambda a: np.ascontiguousarray(a).view(new)


def _shift_right_logical(a: Array, by: Array) -> Array:
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return np.right_shift(a.view(unsigned), by.astype(unsigned)).view(a.dtype)


RULES: dict[str, Rule] = {
    **{name: _elementwise(getattr(np, function)) for name, function in {
        "add": "add", "add_any": "add", "sub": "subtract", "mul": "multiply", "neg": "negative", "exp": "exp",
        "exp2": "exp2", "log": "log", "log1p": "log1p", "expm1": "expm1", "tanh": "tanh", "sinh": "sinh",
        "cosh": "cosh", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos",
        "atan": "arctan", "atan2": "arctan2", "sign": "sign", "abs": "absolute", "sqrt": "sqrt", "cbrt": "cbrt",
        "max": "maximum", "min": "minimum", "floor": "floor", "ceil": "ceil", "is_finite": "isfinite",
        "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
        "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "invert", "rem": "fmod",
        "real": "real", "imag": "imag", "conj": "conjugate", "nextafter": "nextafter",
        "shift_left": "left_shift", "shift_right_arithmetic": "right_shift",
    }.items()},
    "div": _elementwise(_divide),
    "pow": _elementwise(np.power, cast=True),
    "square": _elementwise(lambda a: a * a),
    "rsqrt": _elementwise(lambda a: np.ones((), a.dtype) / np.sqrt(a)),
    "logistic": _logistic,
    "erf": _elementwise(_widened(special.erf)),
    "erf_inv": _elementwise(_widened(special.erfinv)),
    "select_n": _elementwise(_select),
    "shift_right_logical": _elementwise(_shift_right_logical),
    "bitcast_convert_type": _bitcast,
    "integer_pow": _power,
    "convert_element_type": _convert,
    "iota": _iota,
    **SHAPES,
    "reduce_sum": _reduce(np.add),
    "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(np.maximum),
    "reduce_min": _reduce(np.minimum),
    "reduce_or": _reduce(np.bitwise_or),
    "reduce_and": _reduce(np.bitwise_and),
    "dot_general": _dot_general,
}  # fmt: skip
