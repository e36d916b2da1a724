"""The shared parts of the ports' models: the start of a call, the loop, stock or fused, with resets and padding.

A model's cell and its parameters are its framework's. It begins a call by `begin` or `begin_step`, which check the
arrays and give what a scan reads, and passes its cell to `Loop.run`; linen, whose scan is its own, to `advance`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..config import check_fields
from ..errors import InputError
from .fused import Weights, fused_scan
from .inputs import check_batch_shape, check_call, computation_dtype, scan_inputs, start
from .kernels import AUTO, KERNELS, is_fused

__all__ = ["Loop", "Weights", "advance", "begin", "begin_step", "check_model", "initial_carry", "is_fused"]


class Loop(NamedTuple):
    """A call's arrays as a scan reads them, in the dtype of the computation."""

    dtype: Any
    h: Float[Array, "*batch hidden"]  # before the first step
    initial: Float[Array, "*batch hidden"]  # after a reset
    by_time: tuple[Any, Any, Any]  # frames (T, *batch, D); resets (T, *batch) or None; active (T, *batch) or None
    time_axis: int  # of the outputs
    reverse: bool
    unroll: int

    @property
    def prevent_cse(self) -> bool:
        """The argument of that name for a checkpoint of one step.

        It can be off inside a loop, whose body XLA does not merge with the forward pass; fully unrolled there is none.
        """
        return self.unroll >= self.by_time[0].shape[0]

    def run(self, cell: Callable[[Array, Array], Array], *, remat: bool) -> tuple[Array, Array]:
        """The final carry (*batch, H) and the outputs by a scan of a cell, (h, x) -> the next h."""

        def step(h: Array, inputs: Any) -> tuple[Array, Array]:
            return advance(cell, h, self.initial, inputs)

        if remat:
            step = jax.checkpoint(step, prevent_cse=self.prevent_cse)
        carry, outputs = jax.lax.scan(step, self.h, self.by_time, reverse=self.reverse, unroll=self.unroll)
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)

    def run_fused(self, weights: Weights, *, remat: bool) -> tuple[Array, Array]:
        """The final carry (*batch, H) and the outputs by `trigru.common.gru.fused`."""
        how: Any = {"reverse": self.reverse, "unroll": self.unroll, "remat": remat}
        carry, outputs = fused_scan(weights, self.h, self.initial, *self.by_time, **how)
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)


def check_model(*, kernel: Any = "stock", **fields: Any) -> None:
    """Raise InputError unless a model can have this kernel, and these fields of `trigru.common.config.check_fields`."""
    check_fields(**fields)
    if not isinstance(kernel, str) or kernel not in (*KERNELS, AUTO):
        raise InputError(f"kernel is {kernel!r}, expected {', '.join(KERNELS)} or {AUTO}.")


def begin(
    x: Any,
    carry: Any,
    initial_carry: Any,
    *,
    dtype: Any,
    unroll: int,
    lengths: Any = None,
    resets: Any = None,
    reverse: bool = False,
    time_major: bool = False,
    **sizes: Any,
) -> Loop:
    """Check a call on sequences, and arrange its arrays by time.

    Args:
        x, carry, lengths, resets, reverse, time_major: of the call; shapes are those of `check_call`.
        initial_carry: of the model, (H,).
        dtype: of the computation; None promotes that of initial carry, inputs and a passed carry.
        unroll: steps in one iteration of the compiled loop.
        sizes: input_size and hidden_size of the model, and `batched=False` where it takes one example.

    Raises:
        InputError: arrays that do not fit.
    """
    masks: Any = {"lengths": lengths, "resets": resets, "reverse": reverse, "time_major": time_major}
    check_call(x, carry, **masks, **sizes)
    dtype = computation_dtype(dtype, initial_carry, x, carry)
    x = jnp.asarray(x, dtype)
    by_time = scan_inputs(x, lengths, resets, time_major=time_major)
    initial = start(jnp.asarray(initial_carry, dtype), by_time[0])
    h = initial if carry is None else start(jnp.asarray(carry, dtype), by_time[0])
    return Loop(dtype, h, initial, by_time, 0 if time_major else x.ndim - 2, reverse, unroll)


def begin_step(
    x: Any, carry: Any, initial_carry: Array, reset: Bool[Array, "*batch"] | None = None, *, dtype: Any, **sizes: Any
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch features"]]:
    """Check a call on one step. Arguments are those of `begin`.

    Returns:
        The state to start from (*batch, H), after a reset, and the inputs (*batch, D), both in the dtype of the
        computation.
    """
    check_call(x, carry, reset=reset, time=False, **sizes)
    dtype = computation_dtype(dtype, initial_carry, x, carry)
    x = jnp.asarray(x, dtype)
    h = start(jnp.asarray(initial_carry if carry is None else carry, dtype), x, time=False)
    if reset is not None:
        h = jnp.where(jnp.asarray(reset)[..., None], start(jnp.asarray(initial_carry, dtype), x, time=False), h)
    return h, x


def initial_carry(h: Any, batch_shape: tuple[int, ...], dtype: Any) -> Any:
    """A model's initial carry (H,), broadcast to (*batch_shape, H), in a dtype or, for None, in its own."""
    check_batch_shape(batch_shape)
    return jnp.broadcast_to(jnp.asarray(h, dtype), (*batch_shape, h.size))


def advance(cell: Callable[[Array, Array], Array], h: Array, initial: Array, inputs: Any) -> tuple[Array, Array]:
    """One step of a scan: reset, cell, padding.

    Args:
        cell: (h, x) -> the next h.
        h: the state before the step (*batch, H).
        initial: the state after a reset (*batch, H).
        inputs: one step of `Loop.by_time`.

    Returns:
        The state after the step and the output (*batch, H): where the step does not count, the state before and 0.
    """
    x, reset, active = inputs
    if reset is not None:
        h = jnp.where(reset[..., None], initial, h)
    h_next = cell(h, x)
    if active is None:
        return h_next, h_next
    on = active[..., None]
    return jnp.where(on, h_next, h), jnp.where(on, h_next, jnp.zeros_like(h_next))
