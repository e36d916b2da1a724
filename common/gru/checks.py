"""The checks of a model and of a call.

They come before any tracing, so that an error names the caller's arguments.
"""

from functools import reduce
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..config import check_fields
from ..errors import InputError, listed
from .kernels import AUTO, KERNELS

__all__ = [
    "check_batch_shape",
    "check_call",
    "check_model",
    "clip_lengths",
    "computation_dtype",
]


def check_model(*, kernel: Any = "stock", **fields: Any) -> None:
    """Raise InputError unless a model can have this kernel and these fields.

    The fields are those of `trigru.common.config.check_fields`.
    """
    check_fields(**fields)
    if not isinstance(kernel, str) or kernel not in (*KERNELS, AUTO):
        names = ", ".join(KERNELS)
        raise InputError(f"kernel is {kernel!r}, expected {names} or {AUTO}.")


def check_call(
    x: Any,
    carry: Any = None,
    *,
    hidden_size: int,
    input_size: int | None = None,
    lengths: Any = None,
    resets: Any = None,
    reset: Any = None,
    reverse: Any = False,
    time_major: Any = False,
    time: bool = True,
    batched: bool = True,
) -> None:
    """Raise InputError unless the arrays of a call fit each other and the model.

    Args:
        x: floating point, shape (*batch, time, input_size), (time, *batch, input_size)
            when time_major, or (*batch, input_size) for one step.
        carry: None, or a state of shape (*batch, hidden_size), floating point.
        hidden_size: H.
        input_size: D, or None where it isn't known yet (a linen model before init).
        lengths: None, or integers of shape (*batch).
        resets: None, or booleans of the shape of x without its last axis.
        reset: None, or booleans of shape (*batch), for one step.
        reverse, time_major: the call's flags.
        time: False for one step, whose x has no time axis.
        batched: False for a model that takes one example, without batch axes.

    >>> check_call(np.ones((8, 20, 12)), np.ones((4, 32)), hidden_size=64)
    Traceback (most recent call last):
    trigru.common.errors.InputError: carry has shape (4, 32), expected (8, 64): batch 8
        from x (8, 20, 12), hidden_size 64. Pass one state per example, or carry=None
        for the learned initial state.
    """
    _check_flag("reverse", reverse)
    _check_flag("time_major", time_major)

    arrays = {"carry": carry, "lengths": lengths, "resets": resets, "reset": reset}
    passed = {name: array for name, array in arrays.items() if array is not None}
    for name, array in {"x": x, **passed}.items():
        _check_array(name, array)

    shape = np.shape(x)
    _check_axes(x, time=time, time_major=time_major, batched=batched)
    if input_size is not None and shape[-1] != input_size:
        axes = _axes(time=time, time_major=time_major, batched=batched)
        raise InputError(
            f"x has shape {shape} ({axes}), expected {input_size} features: "
            f"input_size {input_size}."
        )
    _check_floating("x", x)

    if not time:
        batch = shape[:-1]
    elif time_major:
        batch = shape[1:-1]
    else:
        batch = shape[:-2]

    if carry is not None:
        why = (
            f"hidden_size {hidden_size}. Pass one state per example, or carry=None "
            "for the learned initial state."
        )
        if batch:
            sizes = ", ".join(map(str, batch))
            why = f"batch {sizes} from x {shape}, {why}"
        _check_shape("carry has", carry, (*batch, hidden_size), why)
        _check_floating("carry", carry)
    if lengths is not None:
        _check_shape("lengths have", lengths, batch, f"one per example of x {shape}.")
        _check_kind("lengths have", lengths, np.integer, "an integer one")
    if resets is not None:
        _check_shape("resets have", resets, shape[:-1], f"one per step of x {shape}.")
        _check_kind("resets have", resets, np.bool_, "bool")
    if reset is not None:
        _check_shape("reset has", reset, batch, f"one per example of x {shape}.")
        _check_kind("reset has", reset, np.bool_, "bool")


def check_batch_shape(batch_shape: Any) -> None:
    """Raise InputError unless this is a tuple of sizes.

    >>> check_batch_shape(8)
    Traceback (most recent call last):
    trigru.common.errors.InputError: batch_shape is 8, expected a tuple of whole numbers
        from 1 on, below 2**31, as (8,) for a batch of 8.
    """
    is_shape = isinstance(batch_shape, tuple | list)
    if not is_shape or not all(_is_size(size) for size in batch_shape):
        raise InputError(
            f"batch_shape is {batch_shape!r}, expected a tuple of whole numbers from 1 "
            "on, below 2**31, as (8,) for a batch of 8."
        )


def clip_lengths(lengths: Any, time: int) -> Any:
    """Lengths in [0, time] as int32, from any integer dtype.

    A narrow dtype cannot count to `time`, and a wide one wraps. Without jax_enable_x64,
    `jax.vmap` already keeps the lower 32 bits of NumPy's 64: a port that maps its model
    over a batch clips before.

    >>> clip_lengths(np.array([-4, 2, 2**40]), 5).tolist()
    [0, 2, 5]
    """
    is_jax = isinstance(lengths, jax.Array) or hasattr(lengths, "__jax_array__")
    library: Any = jnp if is_jax else np
    lengths = library.asarray(lengths)
    longest = min(time, jnp.iinfo(lengths.dtype).max)
    return jnp.asarray(library.clip(lengths, 0, longest).astype(np.int32))


def computation_dtype(dtype: Any, *arrays: Any) -> Any:
    """The dtype to compute in.

    Args:
        dtype: of a model; None promotes those of the arrays.
        arrays: the parameters, x, and a passed carry or None.

    Raises:
        InputError: JAX promotes them to no dtype.

    >>> computation_dtype(None, jnp.ones(3, "bfloat16"), np.ones(2, "float32"), None)
    dtype('float32')
    """
    if dtype is not None:
        return jnp.dtype(dtype)
    passed = [array for array in arrays if array is not None]
    dtypes = dict.fromkeys(jnp.result_type(array) for array in passed)
    try:
        return reduce(jnp.promote_types, dtypes)
    except ValueError as error:
        raise InputError(
            "there is no dtype to compute in, since JAX does not promote "
            f"{listed(map(str, dtypes))} to one. Convert x and carry, as with "
            ".astype('float32'), or give the model a dtype."
        ) from error


def _is_size(size: Any) -> bool:
    if not isinstance(size, Integral) or isinstance(size, bool):
        return False
    return 0 < int(size) < 2**31


def _check_flag(name: str, flag: Any) -> None:
    if not isinstance(flag, bool):
        raise InputError(
            f"{name} is a {type(flag).__name__}, expected True or False: it decides "
            "which program is built. Under jax.jit, make it a static argument or bind "
            "it with functools.partial."
        )


def _check_array(name: str, array: Any) -> None:
    """Raise InputError unless JAX computes with it.

    It computes with its own arrays and NumPy's, and with what converts itself to one.
    """
    converts_itself = hasattr(array, "__jax_array__")
    if isinstance(array, jax.ShapeDtypeStruct):
        hint = (
            "an array. It has a shape and no numbers: pass it through "
            "jax.eval_shape, which traces the call."
        )
    elif isinstance(array, np.ma.MaskedArray):
        hint = "one without a mask. Fill it, as with .filled(0)."
    elif converts_itself or isinstance(array, jax.Array | np.ndarray | np.generic):
        return
    else:
        hint = "an array. Convert it with jnp.asarray."
    raise InputError(f"{name}: got a {type(array).__name__}, expected {hint}")


def _axes(*, time: bool, time_major: bool, batched: bool) -> str:
    """The names of the axes of x, as "*batch, time, features"."""
    names = ["*batch"] if batched else []
    if time and time_major:
        names.insert(0, "time")
    elif time:
        names.append("time")
    return ", ".join([*names, "features"])


def _check_axes(x: Any, *, time: bool, time_major: bool, batched: bool) -> None:
    """Raise InputError unless x has the axes that the model takes, and some entry."""
    shape = np.shape(x)
    axes = _axes(time=time, time_major=time_major, batched=batched)
    least = 2 if time else 1
    has_too_few = len(shape) < least

    if has_too_few or (len(shape) > least and not batched):
        hint = ""
        if has_too_few and "BatchTracer" in type(x).__name__:
            hint = " jax.vmap has taken an axis of it."
            if batched:
                hint += " This model takes a batch without jax.vmap."
        elif not batched:
            hint = " This model takes one example: batch it with jax.vmap."
        raise InputError(f"x has shape {shape}, expected ({axes}).{hint}")

    if 0 in shape:
        raise InputError(
            f"x has shape {shape} ({axes}), expected at least one entry on every axis."
        )


def _check_shape(subject: str, array: Any, expected: Any, why: str) -> None:
    if np.shape(array) != expected:
        raise InputError(
            f"{subject} shape {np.shape(array)}, expected {expected}: {why}"
        )


def _check_kind(subject: str, array: Any, kind: Any, name: str) -> None:
    """Raise InputError unless the dtype is of a kind.

    timedelta64 is refused, which NumPy counts among the integers.
    """
    dtype = _dtype_of(array)
    is_time = jnp.issubdtype(dtype, np.timedelta64)
    if is_time or not jnp.issubdtype(dtype, kind):
        raise InputError(f"{subject} dtype {dtype}, expected {name}.")


def _check_floating(name: str, array: Any) -> None:
    """Raise InputError unless JAX has the dtype.

    JAX has no longdouble, and no byte order but the machine's.
    """
    _check_kind(f"{name} has", array, jnp.floating, "a floating-point one")
    dtype = _dtype_of(array)
    if not dtype.isnative or dtype.itemsize > 8:
        raise InputError(
            f"{name} has dtype {dtype}, which JAX lacks. Convert with "
            ".astype('float32') or another."
        )


def _dtype_of(array: Any) -> Any:
    return array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
