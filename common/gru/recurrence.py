"""The shared parts of the ports' models: checks and start of a call, the loop, stock or fused, resets and padding.

A model's cell and its parameters are its framework's. It begins a call by `begin` or `begin_step`, which check the
arrays and give what a scan reads, and passes its cell to `Loop.run`; linen, whose scan is its own, to `advance`.
"""

from collections.abc import Callable
from functools import reduce
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..compat import broadcast_as, vary_alike, varying_axes
from ..config import check_fields
from ..errors import InputError, listed
from .fused import Weights, cell, fused_scan, prevent_cse, restart
from .kernels import AUTO, KERNELS, is_fused

__all__ = [
    "Loop",
    "Weights",
    "advance",
    "begin",
    "begin_step",
    "cast",
    "cell",
    "check_model",
    "initial_carry",
]
__all__ += ["is_fused", "prevent_cse"]


class Loop(NamedTuple):
    """A call's arrays as a scan reads them, in the dtype of the computation."""

    dtype: Any
    h: Float[Array, "*batch hidden"]  # before the first step
    initial: Float[Array, "*batch hidden"]  # after a reset
    by_time: tuple[
        Any, Any, Any
    ]  # frames (T, *batch, D); resets (T, *batch) or None; active (T, *batch) or None
    time_axis: int  # of the outputs
    reverse: bool

    def run(
        self, cell: Callable[[Array, Array], Array], unroll: int, remat: bool
    ) -> tuple[Array, Array]:
        """The final carry (*batch, H) and the outputs by a scan of a cell, (h, x) -> the next h."""

        def step(h: Array, inputs: Any) -> tuple[Array, Array]:
            return advance(cell, h, self.initial, inputs)

        if remat:
            step = jax.checkpoint(
                step, prevent_cse=prevent_cse(unroll, self.by_time[0])
            )
        carry, outputs = jax.lax.scan(
            step, self.h, self.by_time, reverse=self.reverse, unroll=unroll
        )
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)

    def run_fused(
        self, weights: Weights, unroll: int, remat: bool
    ) -> tuple[Array, Array]:
        """The final carry (*batch, H) and the outputs by `trigru.common.gru.fused`."""
        options: Any = {"reverse": self.reverse, "unroll": unroll, "remat": remat}
        carry, outputs = fused_scan(
            weights, self.h, self.initial, *self.by_time, **options
        )
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)


def check_model(*, kernel: Any = "stock", **fields: Any) -> None:
    """Raise InputError unless a model can have this kernel, and these fields of `trigru.common.config.check_fields`."""
    check_fields(**fields)
    if not isinstance(kernel, str) or kernel not in (*KERNELS, AUTO):
        raise InputError(
            f"kernel is {kernel!r}, expected {', '.join(KERNELS)} or {AUTO}."
        )


def begin(
    x: Any,
    carry: Any,
    lengths: Any = None,
    resets: Any = None,
    reverse: bool = False,
    time_major: bool = False,
    *,
    params: Any,
    initial_carry: Any,
    dtype: Any,
    **sizes: Any,
) -> Loop:
    """Check a call on sequences by `check_call`, and arrange its arrays by time.

    Frames at or past an example's length are zeroed, so that nothing in the padding, NaN included, reaches a gradient.

    The parameters are the cell's as they are now, or their dtype where none are made yet. An initial carry (H,) that is
    None means zeros that are not learned; without a dtype, those of all arrays are promoted.
    """
    check_call(
        x,
        carry,
        lengths=lengths,
        resets=resets,
        reverse=reverse,
        time_major=time_major,
        **sizes,
    )
    dtype, initial = _initial(
        params, initial_carry, dtype, sizes["hidden_size"], x, carry
    )
    x = jnp.asarray(x, dtype)
    time_axis = 0 if time_major else x.ndim - 2
    x, active = jnp.moveaxis(x, time_axis, 0), None  # (T, *batch, D)
    if resets is not None:
        resets = jnp.moveaxis(jnp.asarray(resets), time_axis, 0)  # (T, *batch)
    if lengths is not None:
        lengths = clip_lengths(lengths, x.shape[0])
        steps = jax.lax.broadcasted_iota(jnp.int32, x.shape[:-1], 0)  # (T, *batch)
        active = steps < jnp.broadcast_to(lengths, steps.shape)
        x = jnp.where(active[..., None], x, jnp.zeros_like(x))
    initial = start(initial, x)
    h = initial if carry is None else start(jnp.asarray(carry, dtype), x)
    return Loop(dtype, h, initial, (x, resets, active), time_axis, reverse)


def begin_step(
    x: Any,
    carry: Any,
    reset: Any,
    *,
    params: Any,
    initial_carry: Any,
    dtype: Any,
    **sizes: Any,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch features"]]:
    """Check a call on one step, with arguments as of `begin`.

    Returns:
        The state after a reset (*batch, H) and the inputs (*batch, D), in the dtype of the computation.
    """
    check_call(x, carry, reset=reset, time=False, **sizes)
    dtype, initial = _initial(
        params, initial_carry, dtype, sizes["hidden_size"], x, carry
    )
    x = jnp.asarray(x, dtype)
    h = start(initial if carry is None else jnp.asarray(carry, dtype), x, time=False)
    if reset is not None:
        h = jnp.where(jnp.asarray(reset)[..., None], start(initial, x, time=False), h)
    return h, x


def initial_carry(
    batch_shape: tuple[int, ...],
    *,
    params: Any,
    initial_carry: Any,
    dtype: Any,
    hidden_size: int,
    **_: Any,
) -> Float[Array, "*batch hidden"]:
    """The state from which a call without a carry starts, broadcast to (*batch_shape, H), with arguments of `begin`."""
    check_batch_shape(batch_shape)
    return jnp.broadcast_to(
        _initial(params, initial_carry, dtype, hidden_size)[1],
        (*batch_shape, hidden_size),
    )


def _initial(
    params: Any, initial_carry: Any, dtype: Any, hidden_size: int, *arrays: Any
) -> tuple[Any, Array]:
    """The dtype of a computation with these arrays, and the initial carry (H,) in it."""
    dtype = computation_dtype(dtype, *jax.tree.leaves((params, initial_carry)), *arrays)
    return dtype, jnp.zeros(
        (hidden_size,), dtype
    ) if initial_carry is None else jnp.asarray(initial_carry, dtype)


def cast(tree: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the computation."""
    return jax.tree.map(lambda p: jnp.asarray(p, dtype), tree)


def advance(
    cell: Callable[[Array, Array], Array], h: Array, initial: Array, inputs: Any
) -> tuple[Array, Array]:
    """One step of a scan of a cell, (h, x) -> the next h, with one step of `Loop.by_time`: reset, cell, padding.

    Returns:
        The state after the step and the output (*batch, H): where the step does not count, the state before, which no
        reset changes, and 0.
    """
    x, reset, active = inputs
    h_next = cell(restart(reset, initial, h), x)
    if active is None:
        return h_next, h_next
    on = active[..., None]
    return jnp.where(on, h_next, h), jnp.where(on, h_next, jnp.zeros_like(h_next))


# The checks of a call before any tracing, so that an error names the caller's arguments -------------------------------


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
        x: floating point, shape (*batch, time, input_size), (time, *batch, input_size) when time_major, or
            (*batch, input_size) for one step.
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
    trigru.common.errors.InputError: carry has shape (4, 32), expected (8, 64): batch 8 from x (8, 20, 12),
    hidden_size 64. Pass one state per example, or carry=None for the learned initial state.
    """
    for name, flag in (("reverse", reverse), ("time_major", time_major)):
        if not isinstance(flag, bool):
            raise InputError(
                f"{name} is a {type(flag).__name__}, expected True or False: it decides which program is built. "
                "Under jax.jit, make it a static argument or bind it with functools.partial."
            )
    arrays = {
        "x": x,
        "carry": carry,
        "lengths": lengths,
        "resets": resets,
        "reset": reset,
    }
    passed: dict[str, Any] = {
        name: it for name, it in arrays.items() if it is not None or name == "x"
    }
    for name, array in passed.items():
        _check_array(name, array)
    shape, trailing = np.shape(x), 2 if time else 1
    names = ["*batch", "features"] if batched else ["features"]
    if time:
        names.insert(0 if time_major else -1, "time")
    axes = ", ".join(names)
    if len(shape) < trailing or (len(shape) > trailing and not batched):
        hint = (
            "" if batched else " This model takes one example: batch it with jax.vmap."
        )
        if len(shape) < trailing and "BatchTracer" in type(x).__name__:
            hint = (
                " jax.vmap has taken an axis of it."
                + " This model takes a batch without jax.vmap." * batched
            )
        raise InputError(f"x has shape {shape}, expected ({axes}).{hint}")
    if 0 in shape:
        raise InputError(
            f"x has shape {shape} ({axes}), expected at least one entry on every axis."
        )
    if input_size not in (None, shape[-1]):
        raise InputError(
            f"x has shape {shape} ({axes}), expected {input_size} features: input_size {input_size}."
        )
    batch = shape[1:-1] if time and time_major else shape[:-trailing]
    examples = f"batch {', '.join(map(str, batch))} from x {shape}, " if batch else ""
    one_each = f"{examples}hidden_size {hidden_size}. Pass one state per example, or carry=None for the learned initial"
    of_each = f"one per example of x {shape}."
    expected = {
        "x": (shape, "", jnp.floating, "a floating-point one"),
        "carry": (
            (*batch, hidden_size),
            f"{one_each} state.",
            jnp.floating,
            "a floating-point one",
        ),
        "lengths": (batch, of_each, np.integer, "an integer one"),
        "resets": (shape[:-1], f"one per step of x {shape}.", np.bool_, "bool"),
        "reset": (batch, of_each, np.bool_, "bool"),
    }
    for name, array in passed.items():
        subject = f"{name} {'have' if name in ('lengths', 'resets') else 'has'}"
        dtype = array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
        of_shape, why, kind, wanted = expected[name]
        if np.shape(array) != of_shape:
            raise InputError(
                f"{subject} shape {np.shape(array)}, expected {of_shape}: {why}"
            )
        if not jnp.issubdtype(dtype, kind) or jnp.issubdtype(dtype, np.timedelta64):
            raise InputError(f"{subject} dtype {dtype}, expected {wanted}.")
        if kind is jnp.floating and (not dtype.isnative or dtype.itemsize > 8):
            raise InputError(
                f"{subject} dtype {dtype}, which JAX lacks. Convert with .astype('float32') or another."
            )


def check_batch_shape(batch_shape: Any) -> None:
    """Raise InputError unless this is a tuple of sizes.

    >>> check_batch_shape(8)
    Traceback (most recent call last):
    trigru.common.errors.InputError: batch_shape is 8, expected a tuple of whole numbers from 1 on, below 2**31, as
    (8,) for a batch of 8.
    """
    sizes = batch_shape if isinstance(batch_shape, tuple | list) else [None]
    if not all(
        isinstance(size, Integral)
        and not isinstance(size, bool)
        and 0 < int(size) < 2**31
        for size in sizes
    ):
        expected = (
            "a tuple of whole numbers from 1 on, below 2**31, as (8,) for a batch of 8"
        )
        raise InputError(f"batch_shape is {batch_shape!r}, expected {expected}.")


def start(h: Any, frames: Any, *, time: bool = True) -> Any:
    """A state for every example of a batch, spread over devices as the frames are.

    In a `jax.shard_map`, and on a mesh with explicit axes, a loop has to start with a carry of the type that its steps
    have. Elsewhere, XLA spreads it. The state is (H,) or (*batch, H); frames have a first axis of time unless that is
    False.
    """
    h, frames = jnp.asarray(h), jnp.asarray(frames)  # which may be variables of NNX
    if varying_axes(frames) - varying_axes(h):
        h, _ = vary_alike(h, frames)
    first = int(time)
    return broadcast_as(h, (*frames.shape[first:-1], h.shape[-1]), frames, first)


def clip_lengths(lengths: Any, time: int) -> Any:
    """Lengths in [0, time] as int32, from any integer dtype: a narrow one can't count to `time`, a wide one wraps.

    Without jax_enable_x64, `jax.vmap` already keeps the lower 32 bits of NumPy's 64: a port that maps its model over a
    batch clips before.

    >>> clip_lengths(np.array([-4, 2, 2**40]), 5).tolist()
    [0, 2, 5]
    """
    own: Any = (
        jnp
        if isinstance(lengths, jax.Array) or hasattr(lengths, "__jax_array__")
        else np
    )
    lengths = own.asarray(lengths)
    return jnp.asarray(
        own.clip(lengths, 0, min(time, jnp.iinfo(lengths.dtype).max)).astype(np.int32)
    )


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
    dtypes = dict.fromkeys(
        jnp.result_type(array) for array in arrays if array is not None
    )
    try:
        return reduce(jnp.promote_types, dtypes)
    except ValueError as error:
        raise InputError(
            f"there is no dtype to compute in, since JAX does not promote {listed(map(str, dtypes))} to one. "
            "Convert x and carry, as with .astype('float32'), or give the model a dtype."
        ) from error


def _check_array(name: str, array: Any) -> None:
    """Raise InputError unless JAX computes with it: an array of its own or NumPy's, or what converts itself to one."""
    known = isinstance(array, jax.Array | np.ndarray | np.generic) or hasattr(
        array, "__jax_array__"
    )
    if not known or isinstance(array, np.ma.MaskedArray):
        hint = (
            "one without a mask. Fill it, as with .filled(0)."
            if known
            else "an array. Convert it with jnp.asarray."
        )
        if isinstance(array, jax.ShapeDtypeStruct):
            hint = "an array. It has a shape and no numbers: pass it through jax.eval_shape, which traces the call."
        raise InputError(f"{name}: got a {type(array).__name__}, expected {hint}")
