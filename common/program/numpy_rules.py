"""The rule of each JAX primitive in NumPy.

A rule takes an equation, and a function that says in which dtype values of the trace
are computed. It returns a function of the operands, or None for what it is not about,
which JAX then evaluates. Operands and results have one more axis in front, that of
`trigru.common.program.sets`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from scipy import special

from .convolution import convolution
from .sets import Array, together

Function = Callable[..., Any]
Precision = Callable[[Any], np.dtype[Any]]
Rule = Callable[[Any, Precision], Function | None]

#: Primitives that hand on their operands.
IDENTITIES = (
    "copy",
    "copy_p",
    "stop_gradient",
    "optimization_barrier",
    "name",
    "device_put",
    "pvary",
    "reshard",
    "sharding_constraint",
    "mesh_cast",
    "pcast",
)


# Functions of each number -------------------------------------------------------------


def _elementwise(function: Function) -> Rule:
    """The rule of a function of numbers.

    A scalar operand stands beside arrays of any shape.
    """

    def rule(equation: Any, dtype: Precision) -> Function:
        ndim = equation.outvars[0].aval.ndim
        has_scalars = any(atom.aval.ndim < ndim for atom in equation.invars)
        if not has_scalars:
            return function

        def run(*operands: Array) -> Array:
            aligned = []
            for operand, atom in zip(operands, equation.invars, strict=True):
                if atom.aval.ndim < ndim:
                    operand = operand.reshape(-1, *[1] * ndim)
                aligned.append(operand)
            return function(*aligned)

        return run

    return rule


def _widened(function: Function) -> Function:
    """A function of SciPy's, which knows no bfloat16."""

    def run(a: Array) -> Array:
        wide = a.astype(np.promote_types(a.dtype, np.float32), copy=False)
        return function(wide).astype(a.dtype, copy=False)

    return run


def _divide(equation: Any, dtype: Precision) -> Function | None:
    if equation.outvars[0].aval.dtype.kind in "iu":  # XLA rounds towards zero
        return None
    return _elementwise(np.divide)(equation, dtype)


def _power(a: Array, exponent: Array) -> Array:
    return np.power(a, exponent.astype(a.dtype))


def _integer_power(equation: Any, dtype: Precision) -> Function | None:
    # In fewer than 64 bits, JAX multiplies, which overflows and rounds on the way.
    if dtype(equation.outvars[0].aval.dtype).itemsize < 8:
        return None
    exponent = equation.params["y"]
    return lambda a: np.power(a, np.asarray(exponent, a.dtype))


def _inverse_root(a: Array) -> Array:
    return np.ones((), a.dtype) / np.sqrt(a)


def _logistic(equation: Any, dtype: Precision) -> Function | None:
    if equation.outvars[0].aval.dtype.kind == "c":
        return None
    return _widened(special.expit)


def _select(which: Array, *cases: Array) -> Array:
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases, mode="clip")


def _clamp(least: Array, a: Array, most: Array) -> Array:
    return np.minimum(np.maximum(a, least), most)


def _shift_right_logical(a: Array, by: Array) -> Array:
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return np.right_shift(a.view(unsigned), by.astype(unsigned)).view(a.dtype)


def _convert(equation: Any, dtype: Precision) -> Function | None:
    source = dtype(equation.invars[0].aval.dtype)
    target = dtype(equation.params["new_dtype"])
    if target.kind in "iu" and source.kind not in "iub":  # XLA clips what is too large
        return None
    if source.kind == "c" and target.kind != "c":
        return lambda a: a.real.astype(target, copy=False)
    return lambda a: a.astype(target, copy=False)


def _bitcast(equation: Any, dtype: Precision) -> Function | None:
    source = equation.invars[0].aval.dtype
    target = np.dtype(equation.params["new_dtype"])
    is_as_traced = dtype(source) == source and dtype(target) == target
    if source.itemsize != target.itemsize or not is_as_traced:
        return None
    return lambda a: np.ascontiguousarray(a).view(target)


# Sums and products --------------------------------------------------------------------


def _summing(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which XLA adds up: float32 for half precision."""
    is_half = dtype.itemsize < 4 and dtype.kind not in "iub"
    return np.dtype(np.float32) if is_half else dtype


def _reduce(function: np.ufunc) -> Rule:
    def rule(equation: Any, dtype: Precision) -> Function | None:
        has_start = function in (np.add, np.multiply)
        if 0 in equation.invars[0].aval.shape and not has_start:
            return None
        axes = tuple(axis + 1 for axis in equation.params["axes"])
        target = dtype(equation.outvars[0].aval.dtype)
        inner = _summing(target)

        def run(a: Array) -> Array:
            reduced = function.reduce(a.astype(inner, copy=False), axis=axes)
            return reduced.astype(target, copy=False)

        return run

    return rule


def _dot_general(equation: Any, dtype: Precision) -> Function:
    (summed_a, summed_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    shape_a, shape_b = (atom.aval.shape for atom in equation.invars)
    free_a = _others(shape_a, (*summed_a, *batch_a))
    free_b = _others(shape_b, (*summed_b, *batch_b))
    order_a = _behind_sets((*batch_a, *free_a, *summed_a))
    order_b = _behind_sets((*batch_b, *summed_b, *free_b))
    B = _size(shape_a, batch_a)
    K = _size(shape_a, summed_a)
    M = _size(shape_a, free_a)
    N = _size(shape_b, free_b)
    out = equation.outvars[0].aval
    target = dtype(out.dtype)
    inner = _summing(target)

    def run(a: Array, b: Array) -> Array:
        a = a.transpose(order_a).reshape(len(a), B, M, K)
        b = b.transpose(order_b).reshape(len(b), B, K, N)
        a = a.astype(inner, copy=False)
        b = b.astype(inner, copy=False)
        product = np.matmul(a, b)  # (sets, B, M, N)
        product = product.reshape(len(product), *out.shape)
        return product.astype(target, copy=False)

    return run


def _others(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    """The axes of a shape that are not among these."""
    return [axis for axis in range(len(shape)) if axis not in axes]


def _size(shape: Sequence[int], axes: Sequence[int]) -> int:
    return prod(shape[axis] for axis in axes)


# What moves values --------------------------------------------------------------------


def _behind_sets(axes: Any) -> tuple[int, ...]:
    """An order of axes, behind the axis of sets, which stays first."""
    return (0, *(axis + 1 for axis in axes))


def _iota(equation: Any, dtype: Precision) -> Function:
    shape = equation.params["shape"]
    axis = equation.params["dimension"]
    target = dtype(equation.params["dtype"])
    numbers = np.indices(shape, sparse=True)[axis].astype(target)
    return lambda: np.broadcast_to(numbers, (1, *shape))


def _broadcast(equation: Any, dtype: Precision) -> Function:
    shape = tuple(equation.params["shape"])
    aligned = [1] * len(shape)
    axes = equation.params["broadcast_dimensions"]
    for axis, size in zip(axes, equation.invars[0].aval.shape, strict=True):
        aligned[axis] = size
    if tuple(aligned) == shape:  # it adds axes of length 1
        return _to_shape(equation, dtype)
    return lambda a: np.broadcast_to(a.reshape(len(a), *aligned), (len(a), *shape))


def _to_shape(equation: Any, dtype: Precision) -> Function:
    shape = equation.outvars[0].aval.shape
    return lambda a: a.reshape(len(a), *shape)


def _reshape(equation: Any, dtype: Precision) -> Function | None:
    if equation.params.get("dimensions"):  # axes in another order
        return None
    return _to_shape(equation, dtype)


def _reverse(equation: Any, dtype: Precision) -> Function:
    axes = tuple(axis + 1 for axis in equation.params["dimensions"])
    return partial(np.flip, axis=axes)


def _transpose(equation: Any, dtype: Precision) -> Function:
    order = _behind_sets(equation.params["permutation"])
    return lambda a: a.transpose(order)


def _slice(equation: Any, dtype: Precision) -> Function:
    starts = equation.params["start_indices"]
    ends = equation.params["limit_indices"]
    strides = equation.params["strides"] or [1] * len(starts)
    index = (slice(None), *map(slice, starts, ends, strides))
    return lambda a: a[index]


def _pad(equation: Any, dtype: Precision) -> Function | None:
    shape = equation.outvars[0].aval.shape
    index = [slice(None)]
    config = equation.params["padding_config"]
    for (low, high, between), size in zip(config, shape, strict=True):
        if low < 0 or high < 0 or between:
            return None
        index.append(slice(low, size - high))

    def run(a: Array, value: Array) -> Array:
        a, value = together([a, value])
        aligned = value.reshape(-1, *[1] * len(shape))
        padded = np.broadcast_to(aligned, (len(a), *shape)).copy()
        padded[tuple(index)] = a
        return padded

    return run


def _split(equation: Any, dtype: Precision) -> Function:
    ends = np.cumsum(equation.params["sizes"][:-1])
    axis = equation.params["axis"] + 1
    return lambda a: np.split(a, ends, axis)


def _concatenate(equation: Any, dtype: Precision) -> Function:
    axis = equation.params["dimension"] + 1
    return lambda *arrays: np.concatenate(together(arrays), axis)


def _stack(equation: Any, dtype: Precision) -> Function:
    axis = equation.params["axis"] + 1
    return lambda *arrays: np.stack(together(arrays), axis)


def _unstack(equation: Any, dtype: Precision) -> Function:
    axis = equation.params["axis"] + 1
    return lambda a: list(np.moveaxis(a, axis, 0))


#: The primitives that are one function of each number.
_ELEMENTWISE: dict[str, Function] = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sign": np.sign,
    "abs": np.absolute,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "rsqrt": _inverse_root,
    "square": np.square,
    "pow": _power,
    "rem": np.fmod,
    "max": np.maximum,
    "min": np.minimum,
    "clamp": _clamp,
    "floor": np.floor,
    "ceil": np.ceil,
    "is_finite": np.isfinite,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "select_n": _select,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shift_left": np.left_shift,
    "shift_right_arithmetic": np.right_shift,
    "shift_right_logical": _shift_right_logical,
    "real": np.real,
    "imag": np.imag,
    "conj": np.conjugate,
    "nextafter": np.nextafter,
    "erf": _widened(special.erf),
    "erf_inv": _widened(special.erfinv),
}

RULES: dict[str, Rule] = {
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
    "div": _divide,
    "integer_pow": _integer_power,
    "logistic": _logistic,
    "bitcast_convert_type": _bitcast,
    "convert_element_type": _convert,
    "reduce_sum": _reduce(np.add),
    "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(np.maximum),
    "reduce_min": _reduce(np.minimum),
    "reduce_or": _reduce(np.bitwise_or),
    "reduce_and": _reduce(np.bitwise_and),
    "dot_general": _dot_general,
    "conv_general_dilated": convolution,
    "iota": _iota,
    "broadcast_in_dim": _broadcast,
    "squeeze": _to_shape,
    "expand_dims": _to_shape,
    "reshape": _reshape,
    "rev": _reverse,
    "transpose": _transpose,
    "slice": _slice,
    "pad": _pad,
    "split": _split,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
}
