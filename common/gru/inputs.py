"""The checks that a call passes before any tracing, and the start of a sequence.

A port's model calls `check_call` first, so that a mistake is reported in the caller's terms and not as
a shape mismatch from inside a scan.
"""

from functools import reduce
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compat import broadcast_as, vary_alike, varying_axes
from ..errors import InputError, listed


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
        x: inputs, floating point, shape (*batch, time, input_size), (time, *batch, input_size) when time_major, or
            (*batch, input_size) for one step.
        carry: None, or a state of shape (*batch, hidden_size), floating point.
        hidden_size: H.
        input_size: D, or None where it isn't known yet (a linen model before init).
        lengths: None, or integers of shape (*batch).
        resets: None, or booleans of the shape of the inputs without their last axis.
        reset: None, or booleans of shape (*batch), for one step.
        reverse, time_major: the call's flags.
        time: False for one step, whose inputs have no time axis.
        batched: False for a model that takes one example, without batch axes.

    >>> check_call(np.ones((8, 20, 12)), np.ones((4, 32)), hidden_size=64)
    Traceback (most recent call last):
    trigru.common.errors.InputError: carry has shape (4, 32), expected (8, 64): batch 8 from inputs (8, 20, 12),
    hidden_size 64. Pass one state per example, or carry=None for the learned initial state.
    """
    for name, flag in (("reverse", reverse), ("time_major", time_major)):
        if not isinstance(flag, bool):
            raise InputError(
                f"{name} is a {type(flag).__name__}, expected True or False: it decides which program is built. "
                "Under jax.jit, make it a static argument or bind it with functools.partial."
            )
    by_name = {"inputs": x, "carry": carry, "lengths": lengths, "resets": resets, "reset": reset}
    passed: dict[str, Any] = {name: it for name, it in by_name.items() if it is not None or name == "inputs"}
    for name, array in passed.items():
        _check_array(name, array)
    shape, trailing = np.shape(x), 2 if time else 1
    leading = ["time"] * (time and time_major) + ["*batch"] * batched + ["time"] * (time and not time_major)
    axes = ", ".join([*leading, "features"])
    problem = f"inputs have shape {shape}, expected ({axes})."
    if len(shape) < trailing:
        raise InputError(problem)
    if not batched and len(shape) > trailing:
        raise InputError(f"{problem} This model takes one example: batch it with jax.vmap.")
    if 0 in shape:
        raise InputError(f"inputs have shape {shape} ({axes}), expected at least one entry on every axis.")
    if input_size is not None and shape[-1] != input_size:
        raise InputError(
            f"inputs have shape {shape} ({axes}), expected {input_size} features: input_size {input_size}."
        )
    batch = shape[1:-1] if time and time_major else shape[:-trailing]
    examples = f"batch {', '.join(map(str, batch))} from inputs {shape}, " if batch else ""
    one_each = f"{examples}hidden_size {hidden_size}. Pass one state per example, or carry=None for the learned initial"
    expected = {
        "inputs": (shape, "", jnp.floating, "a floating-point one"),
        "carry": ((*batch, hidden_size), f"{one_each} state.", jnp.floating, "a floating-point one"),
        "lengths": (batch, f"one per example of inputs {shape}.", np.integer, "an integer one"),
        "resets": (shape[:-1], f"one per step of inputs {shape}.", np.bool_, "bool"),
        "reset": (batch, f"one per example of inputs {shape}.", np.bool_, "bool"),
    }
    for name, array in passed.items():
        verb, dtype = "has" if name in ("carry", "reset") else "have", _dtype(array)
        of_shape, why, kind, wanted = expected[name]
        if np.shape(array) != of_shape:
            raise InputError(f"{name} {verb} shape {np.shape(array)}, expected {of_shape}: {why}")
        if not jnp.issubdtype(dtype, kind) or jnp.issubdtype(dtype, np.timedelta64):
            raise InputError(f"{name} {verb} dtype {dtype}, expected {wanted}.")
        if kind is jnp.floating and (not dtype.isnative or dtype.itemsize > 8):
            convert = "Convert with .astype('float32') or another."
            raise InputError(f"{name} {verb} dtype {dtype}, which JAX lacks. {convert}")


def check_batch_shape(batch_shape: Any) -> None:
    """Raise InputError unless this is a tuple of sizes.

    >>> check_batch_shape(8)
    Traceback (most recent call last):
    trigru.common.errors.InputError: batch_shape is 8, expected a tuple of whole numbers from 1 on, below 2**31, as
    (8,) for a batch of 8.
    """
    sizes = batch_shape if isinstance(batch_shape, tuple | list) else [None]
    if not all(isinstance(size, Integral) and not isinstance(size, bool) and 0 < int(size) < 2**31 for size in sizes):
        expected = "a tuple of whole numbers from 1 on, below 2**31, as (8,) for a batch of 8"
        raise InputError(f"batch_shape is {batch_shape!r}, expected {expected}.")


def scan_inputs(x: Any, lengths: Any = None, resets: Any = None, *, time_major: bool = False) -> tuple[Any, Any, Any]:
    """The inputs of each step of a scan over time: the frame, whether to reset before it, whether it counts.

    Frames at or past an example's length are zeroed, so that nothing in the padding, NaN included,
    reaches a gradient; resets there are dropped. A scan from the last step to the first reads the same.

    Arguments are those of `check_call`.

    Returns:
        frames (time, *batch, features), resets (time, *batch) or None, active (time, *batch) or None.
    """
    if not time_major:
        axis = x.ndim - 2
        x = jnp.moveaxis(x, axis, 0)  # (T, *batch, D)
        resets = None if resets is None else jnp.moveaxis(jnp.asarray(resets), axis, 0)  # (T, *batch)
    if lengths is None:
        return x, resets, None
    lengths = clip_lengths(lengths, x.shape[0])
    steps = jax.lax.broadcasted_iota(jnp.int32, x.shape[:-1], 0)  # (T, *batch)
    active = steps < jnp.broadcast_to(lengths, steps.shape)
    x = jnp.where(active[..., None], x, jnp.zeros_like(x))
    return x, None if resets is None else resets & active, active


def start(h: Any, frames: Any, *, time: bool = True) -> Any:
    """A state for every example of a batch, spread over devices as the frames are.

    That is so in a `jax.shard_map`, and on a mesh with explicit axes: there a loop has to start with a carry of the
    type that its steps have. Elsewhere, XLA spreads it.

    Args:
        h: a state (H,), or (*batch, H).
        frames: (time, *batch, features), or (*batch, features).
        time: whether they have a time axis.

    Returns:
        The state (*batch, H).
    """
    h, frames = jnp.asarray(h), jnp.asarray(frames)  # which may be variables of NNX
    if varying_axes(frames) - varying_axes(h):
        h, _ = vary_alike(h, frames)
    first = int(time)
    return broadcast_as(h, (*frames.shape[first:-1], h.shape[-1]), frames, first)


def clip_lengths(lengths: Any, time: int) -> Any:
    """Lengths in [0, time] as int32, from any integer dtype: a narrow one can't count to `time`, a wide one wraps.

    Without jax_enable_x64, JAX keeps the lower 32 bits of a NumPy integer that it is given, at `jax.vmap` already: a
    port that maps its model over a batch clips before.

    >>> clip_lengths(np.array([-4, 2, 2**40]), 5).tolist()
    [0, 2, 5]
    """
    if hasattr(lengths, "__jax_array__"):  # an NNX variable
        lengths = jnp.asarray(lengths)
    own: Any = jnp if isinstance(lengths, jax.Array) else np
    lengths = own.asarray(lengths)
    return jnp.asarray(own.clip(lengths, 0, min(time, jnp.iinfo(lengths.dtype).max)).astype(np.int32))


def computation_dtype(dtype: Any, *arrays: Any) -> Any:
    """The dtype to compute in: the one asked for, or None for that of the arrays, promoted.

    Args:
        dtype: of a model.
        arrays: a parameter, the inputs, and a passed carry or None.

    Raises:
        InputError: JAX promotes them to no dtype.

    >>> computation_dtype(None, jnp.ones(3, "bfloat16"), np.ones(2, "float32"), None)
    dtype('float32')
    """
    if dtype is not None:
        return jnp.dtype(dtype)
    dtypes = [jnp.result_type(array) for array in arrays if array is not None]
    try:
        return reduce(jnp.promote_types, dtypes)
    except ValueError as error:
        raise InputError(
            f"there is no dtype to compute in, since JAX does not promote {listed(map(str, dict.fromkeys(dtypes)))} to "
            "one. Convert inputs and carry, as with .astype('float32'), or give the model a dtype."
        ) from error


def _dtype(array: Any) -> Any:
    return array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype


def _check_array(name: str, array: Any) -> None:
    """Raise InputError unless JAX computes with it: an array of its own or NumPy's, or what hands one out."""
    why = "expected an array. Convert it with jnp.asarray."
    if isinstance(array, np.ma.MaskedArray):
        why = "expected an array without a mask. Fill it, as with .filled(0)."
    elif isinstance(array, jax.Array | np.ndarray | np.generic) or hasattr(array, "__jax_array__"):
        return
    elif isinstance(array, jax.ShapeDtypeStruct):
        why = "which has no values, expected an array. Pass it to jax.eval_shape of the call."
    raise InputError(f"{name}: got a {type(array).__name__}, {why}")
