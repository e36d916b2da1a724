"""The rule of each JAX primitive in NumPy. Arrays have one more axis in front: see `trigru.common.program.evaluator`.

A rule takes an equation, and a function that says in which dtype values of the trace are computed. It returns a
function of the operands, or None for what it is not about, which JAX then evaluates.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import prod
from operator import methodcaller
from typing import Any

import numpy as np
from scipy import special

from .sets import together

Array = np.ndarray
Function = Callable[..., Any]
Rule = Callable[[Any, Callable[[Any], Any]], Function | None]

#: Primitives that hand on their operands.
IDENTITIES = (
    *("copy", "copy_p", "stop_gradient", "optimization_barrier", "name", "device_put", "pvary", "reshard"),
    *("sharding_constraint", "mesh_cast", "pcast"),
)

# Of numbers, each for itself ----------------------------------------------------------------------------------------


def _elementwise(function: Function, *, cast: bool = False) -> Rule:
    """A function of numbers. A scalar operand stands beside arrays of any shape."""

    def rule(equation: Any, dtype: Any) -> Function:
        out = equation.outvars[0].aval
        scalars = [n for n, atom in enumerate(equation.invars) if atom.aval.ndim < out.ndim]

        def run(*operands: Array) -> Array:
            given = list(operands)
            for n in scalars:
                given[n] = given[n].reshape(-1, *[1] * out.ndim)
            found = function(*given)
            return found.astype(dtype(out.dtype), copy=False) if cast else found

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
    return np.where(b == 0, np.array(-1).astype(a.dtype), quotient + inexact).astype(a.dtype)


def _power(equation: Any, dtype: Any) -> Function:
    y = equation.params["y"]

    def run(a: Array) -> Array:
        found = np.ones_like(a)
        for _ in range(abs(y)):
            found = found * a
        return found if y >= 0 else np.ones((), a.dtype) / found

    return run


def _convert(equation: Any, dtype: Any) -> Function:
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


def _bitcast(equation: Any, dtype: Any) -> Function | None:
    old, new = equation.invars[0].aval.dtype, np.dtype(equation.params["new_dtype"])
    if old.itemsize != new.itemsize or dtype(old) != old or dtype(new) != new:
        return None
    return lambda a: np.ascontiguousarray(a).view(new)


def _shift_right_logical(a: Array, by: Array) -> Array:
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return np.right_shift(a.view(unsigned), by.astype(unsigned)).view(a.dtype)


# Reductions and products --------------------------------------------------------------------------------------------


def _adding(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which XLA adds up: float32 for half precision."""
    return np.dtype(np.float32) if dtype.itemsize < 4 and dtype.kind not in "iub" else dtype


def _reduce(function: np.ufunc) -> Rule:
    def rule(equation: Any, dtype: Any) -> Function | None:
        axes = tuple(axis + 1 for axis in equation.params["axes"])
        to = dtype(equation.outvars[0].aval.dtype)
        adds = function in (np.add, np.multiply)
        if 0 in equation.invars[0].aval.shape and not adds:
            return None
        inner = _adding(to) if adds else to
        return lambda a: function.reduce(a.astype(inner, copy=False), axis=axes).astype(to, copy=False)

    return rule


def _dot_general(equation: Any, dtype: Any) -> Function:
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


# What moves values and computes nothing -----------------------------------------------------------------------------


def _iota(equation: Any, dtype: Any) -> Function:
    params = equation.params
    shape, axis = params["shape"], params["dimension"]
    along = np.arange(shape[axis]).astype(dtype(params["dtype"]))
    whole = np.broadcast_to(along.reshape(-1, *[1] * (len(shape) - 1 - axis)), shape)[None]
    return lambda: whole


def _broadcast(equation: Any, dtype: Any) -> Function:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    sizes = dict(zip(axes, equation.invars[0].aval.shape, strict=True))
    inner = tuple(sizes.get(axis, 1) for axis in range(len(shape)))
    if inner == tuple(shape):  # it adds axes of length 1
        return _to_shape(equation, dtype)
    return lambda a: np.broadcast_to(a.reshape(len(a), *inner), (len(a), *shape))


def _to_shape(equation: Any, dtype: Any) -> Function:
    shape = equation.outvars[0].aval.shape
    return lambda a: a.reshape(len(a), *shape)


def _slice(equation: Any, dtype: Any) -> Function:
    starts, ends = equation.params["start_indices"], equation.params["limit_indices"]
    index = (slice(None), *map(slice, starts, ends, equation.params["strides"] or [1] * len(starts)))
    return lambda a: a[index]


def _split(equation: Any, dtype: Any) -> Function:
    before, ends = (slice(None),) * (equation.params["axis"] + 1), np.cumsum([0, *equation.params["sizes"]]).tolist()
    parts = [(*before, slice(*pair)) for pair in pairwise(ends)]
    return lambda a: [a[part] for part in parts]


def _pad(equation: Any, dtype: Any) -> Function:
    config, shape = equation.params["padding_config"], equation.outvars[0].aval.shape
    source, index = [slice(None)], [slice(None)]
    for (low, _, inner), length, size in zip(config, equation.invars[0].aval.shape, shape, strict=True):
        step = inner + 1
        first = max(0, -(low // step))  # the number of the first that stays, where padding is negative
        kept = max(0, min(length - first, len(range(low + first * step, size, step))))
        source.append(slice(first, first + kept))
        index.append(slice(low + first * step, low + (first + kept) * step - inner, step) if kept else slice(0))

    def run(a: Array, value: Array) -> Array:
        a, value = together([a, value])
        found = np.broadcast_to(value.reshape(-1, *[1] * len(shape)), (len(a), *shape)).copy()
        found[tuple(index)] = a[tuple(source)]
        return found

    return run


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
        "shift_left": "left_shift", "shift_right_arithmetic": "right_shift", "square": "square",
    }.items()},
    **{f"reduce_{name}": _reduce(function) for name, function in {
        "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum, "or": np.bitwise_or,
        "and": np.bitwise_and,
    }.items()},
    "div": _elementwise(_divide), "pow": _elementwise(np.power, cast=True), "integer_pow": _power,
    "rsqrt": _elementwise(lambda a: np.ones((), a.dtype) / np.sqrt(a)),
    "logistic": lambda e, dtype: None if e.outvars[0].aval.dtype.kind == "c" else _widened(special.expit),
    "erf": _elementwise(_widened(special.erf)), "erf_inv": _elementwise(_widened(special.erfinv)),
    "select_n": _elementwise(_select), "shift_right_logical": _elementwise(_shift_right_logical),
    "clamp": _elementwise(lambda least, a, most: np.minimum(np.maximum(a, least), most)),
    "bitcast_convert_type": _bitcast, "convert_element_type": _convert, "dot_general": _dot_general,
    # what moves values; reshaped with axes in another order, they are handed to JAX
    "iota": _iota, "broadcast_in_dim": _broadcast, "squeeze": _to_shape, "expand_dims": _to_shape,
    "reshape": lambda e, dtype: None if e.params.get("dimensions") else _to_shape(e, dtype),
    "rev": lambda e, dtype: partial(np.flip, axis=tuple(n + 1 for n in e.params["dimensions"])),
    "transpose": lambda e, dtype: methodcaller("transpose", (0, *(n + 1 for n in e.params["permutation"]))),
    "slice": _slice, "pad": _pad, "split": _split,
    "concatenate": lambda e, dtype: lambda *arrays: np.concatenate(together(arrays), e.params["dimension"] + 1),
    "stack": lambda e, dtype: lambda *arrays: np.stack(together(arrays), e.params["axis"] + 1),
    "unstack": lambda e, dtype: lambda a: list(np.moveaxis(a, e.params["axis"] + 1, 0)),
}  # fmt: skip
