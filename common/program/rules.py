"""The rule of each JAX primitive in NumPy, and arrays with one more axis in front: see `trigru.common.program`.

A rule takes an equation, and a function that says in which dtype values of the trace are computed. It returns a
function of the operands, or None for what it is not about, which JAX then evaluates.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from operator import methodcaller
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

Array = np.ndarray
Function = Callable[..., Any]
Rule = Callable[[Any, Callable[[Any], Any]], Function | None]

#: Primitives that hand on their operands.
IDENTITIES = (
    *(
        "copy",
        "copy_p",
        "stop_gradient",
        "optimization_barrier",
        "name",
        "device_put",
        "pvary",
        "reshard",
    ),
    *("sharding_constraint", "mesh_cast", "pcast"),
)


def _elementwise(function: Function) -> Rule:
    """A function of numbers. A scalar operand stands beside arrays of any shape."""

    def rule(equation: Any, dtype: Any) -> Function:
        out = equation.outvars[0].aval
        scalars = [
            n for n, atom in enumerate(equation.invars) if atom.aval.ndim < out.ndim
        ]

        def run(*operands: Array) -> Array:
            given = list(operands)
            for n in scalars:
                given[n] = given[n].reshape(-1, *[1] * out.ndim)
            return function(*given)

        return run if scalars else function

    return rule


def _widened(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of SciPy's, which knows no bfloat16."""
    return lambda a: function(
        a.astype(np.promote_types(a.dtype, np.float32), copy=False)
    ).astype(a.dtype, copy=False)


def _convert(equation: Any, dtype: Any) -> Function | None:
    to, of = dtype(equation.params["new_dtype"]), dtype(equation.invars[0].aval.dtype)
    if to.kind in "iu" and of.kind not in "iub":  # XLA clips what is too large
        return None
    return lambda a: a.astype(to, copy=False)


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


def _adding(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which XLA adds up: float32 for half precision."""
    return (
        np.dtype(np.float32)
        if dtype.itemsize < 4 and dtype.kind not in "iub"
        else dtype
    )


def _reduce(function: np.ufunc) -> Rule:
    def rule(equation: Any, dtype: Any) -> Function | None:
        axes = tuple(axis + 1 for axis in equation.params["axes"])
        to = dtype(equation.outvars[0].aval.dtype)
        if 0 in equation.invars[0].aval.shape and function not in (np.add, np.multiply):
            return None
        inner = _adding(to)
        return lambda a: function.reduce(a.astype(inner, copy=False), axis=axes).astype(
            to, copy=False
        )

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


def _iota(equation: Any, dtype: Any) -> Function:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    along = np.indices(shape, sparse=True)[axis].astype(dtype(equation.params["dtype"]))
    return lambda: np.broadcast_to(along, (1, *shape))


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
    index = (
        slice(None),
        *map(slice, starts, ends, equation.params["strides"] or [1] * len(starts)),
    )
    return lambda a: a[index]


def _pad(equation: Any, dtype: Any) -> Function | None:
    config, shape = equation.params["padding_config"], equation.outvars[0].aval.shape
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        return None
    index = (
        slice(None),
        *(
            slice(low, size - high)
            for (low, high, _), size in zip(config, shape, strict=True)
        ),
    )

    def run(a: Array, value: Array) -> Array:
        a, value = together([a, value])
        found = np.broadcast_to(
            value.reshape(-1, *[1] * len(shape)), (len(a), *shape)
        ).copy()
        found[index] = a
        return found

    return run


RULES: dict[str, Rule] = {
    **{
        name: _elementwise(getattr(np, function))
        for name, function in {
            "add": "add",
            "add_any": "add",
            "sub": "subtract",
            "mul": "multiply",
            "neg": "negative",
            "exp": "exp",
            "exp2": "exp2",
            "log": "log",
            "log1p": "log1p",
            "expm1": "expm1",
            "tanh": "tanh",
            "sinh": "sinh",
            "cosh": "cosh",
            "sin": "sin",
            "cos": "cos",
            "tan": "tan",
            "asin": "arcsin",
            "acos": "arccos",
            "atan": "arctan",
            "atan2": "arctan2",
            "sign": "sign",
            "abs": "absolute",
            "sqrt": "sqrt",
            "cbrt": "cbrt",
            "max": "maximum",
            "min": "minimum",
            "floor": "floor",
            "ceil": "ceil",
            "is_finite": "isfinite",
            "eq": "equal",
            "ne": "not_equal",
            "lt": "less",
            "le": "less_equal",
            "gt": "greater",
            "ge": "greater_equal",
            "and": "bitwise_and",
            "or": "bitwise_or",
            "xor": "bitwise_xor",
            "not": "invert",
            "rem": "fmod",
            "real": "real",
            "imag": "imag",
            "conj": "conjugate",
            "nextafter": "nextafter",
            "shift_left": "left_shift",
            "shift_right_arithmetic": "right_shift",
            "square": "square",
        }.items()
    },
    **{
        f"reduce_{name}": _reduce(function)
        for name, function in {
            "sum": np.add,
            "prod": np.multiply,
            "max": np.maximum,
            "min": np.minimum,
            "or": np.bitwise_or,
            "and": np.bitwise_and,
        }.items()
    },
    "div": lambda e, dtype: (
        None
        if e.outvars[0].aval.dtype.kind in "iu"
        else _elementwise(np.divide)(e, dtype)
    ),
    "pow": _elementwise(lambda a, b: np.power(a, b.astype(a.dtype))),
    # in fewer than 64 bits, JAX multiplies, which overflows and rounds on the way
    "integer_pow": lambda e, dtype: (
        None
        if dtype(e.outvars[0].aval.dtype).itemsize < 8
        else (lambda a: np.power(a, np.asarray(e.params["y"], a.dtype)))
    ),
    "rsqrt": _elementwise(lambda a: np.ones((), a.dtype) / np.sqrt(a)),
    "logistic": lambda e, dtype: (
        None if e.outvars[0].aval.dtype.kind == "c" else _widened(special.expit)
    ),
    "erf": _elementwise(_widened(special.erf)),
    "erf_inv": _elementwise(_widened(special.erfinv)),
    "select_n": _elementwise(_select),
    "shift_right_logical": _elementwise(_shift_right_logical),
    "clamp": _elementwise(
        lambda least, a, most: np.minimum(np.maximum(a, least), most)
    ),
    "bitcast_convert_type": _bitcast,
    "convert_element_type": _convert,
    "dot_general": _dot_general,
    # what moves values; reshaped with axes in another order, they are handed to JAX
    "iota": _iota,
    "broadcast_in_dim": _broadcast,
    "squeeze": _to_shape,
    "expand_dims": _to_shape,
    "reshape": lambda e, dtype: (
        None if e.params.get("dimensions") else _to_shape(e, dtype)
    ),
    "rev": lambda e, dtype: partial(
        np.flip, axis=tuple(n + 1 for n in e.params["dimensions"])
    ),
    "transpose": lambda e, dtype: methodcaller(
        "transpose", (0, *(n + 1 for n in e.params["permutation"]))
    ),
    "slice": _slice,
    "pad": _pad,
    "split": lambda e, dtype: (
        lambda a: np.split(a, np.cumsum(e.params["sizes"][:-1]), e.params["axis"] + 1)
    ),
    "concatenate": lambda e, dtype: (
        lambda *arrays: np.concatenate(together(arrays), e.params["dimension"] + 1)
    ),
    "stack": lambda e, dtype: (
        lambda *arrays: np.stack(together(arrays), e.params["axis"] + 1)
    ),
    "unstack": lambda e, dtype: lambda a: list(np.moveaxis(a, e.params["axis"] + 1, 0)),
}


def one_set(array: Any) -> Array:
    """An array, with an axis of sets in front that has length 1."""
    return (
        keys_of([array])
        if isinstance(array, jax.Array) and is_key(array)
        else np.asarray(array)[None]
    )


def together(arrays: Sequence[Array]) -> Sequence[Array]:
    """The arrays, each with as many sets of values as the one that has most."""
    most = max(map(len, arrays))
    return [
        a if len(a) == most else np.broadcast_to(a, (most, *a.shape[1:]))
        for a in arrays
    ]


def chosen(which: Array, one: Array, other: Array) -> Array:
    """For each set, one of two arrays; which (sets,) says."""
    return (
        one
        if which.all()
        else np.where(which.reshape(-1, *[1] * (one.ndim - 1)), one, other)
    )


def at_step(a: Array, t: int) -> Array:
    """The arrays of one step."""
    return keys_of([key[t] for key in a]) if a.dtype == object else a[:, t]


def of_steps(*column: Array) -> Array:
    """The results of all steps, with the axis of steps behind that of sets."""
    if column[0].dtype == object:
        return keys_of(
            [jnp.stack(keys) for keys in zip(*together(column), strict=True)]
        )
    return np.stack(together(column), axis=1)


def is_key(thing: Any) -> bool:
    """Whether an atom, or its type, is of random keys, of which NumPy has no arrays."""
    return jnp.issubdtype(getattr(thing, "aval", thing).dtype, jax.dtypes.extended)


def keys_of(keys: Sequence[Any]) -> Array:
    """Arrays of random keys, one for each set, in an array of objects."""
    found = np.empty(len(keys), object)
    for n, key in enumerate(keys):  # an assignment of all would ask for their entries
        found[n] = key
    return found
