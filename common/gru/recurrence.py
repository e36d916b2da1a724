"""The loop of the ports' models, over a cell or by the fused kernel.

It knows the start, resets and padding. A model's cell and its parameters are its
framework's. A model checks a call by `trigru.common.gru.checks.check_call`, begins it
by `begin` or `begin_step`, which arrange the arrays as a scan reads them, and passes
its cell to `Loop.run`. Linen, whose scan is its own, passes it to `Loop.advance`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from ..compat import broadcast_as, vary_alike, varying_axes
from .checks import clip_lengths, computation_dtype
from .fused import Weights, fused_scan, prevent_cse, restart
from .kernels import is_fused

__all__ = [
    "Loop",
    "Weights",
    "begin",
    "begin_step",
    "cast",
    "is_fused",
    "prevent_cse",
]


class Loop(NamedTuple):
    """A call's arrays as a scan reads them, in the dtype of the computation."""

    h: Float[Array, "*batch hidden"]  # before the first step
    initial: Float[Array, "*batch hidden"]  # after a reset
    x: Float[Array, "time *batch features"]
    resets: Bool[Array, "time *batch"] | None
    active: Bool[Array, "time *batch"] | None  # whether a step counts
    time_axis: int  # of the outputs
    reverse: bool

    @property
    def dtype(self) -> Any:
        """That of the computation."""
        return self.x.dtype

    @property
    def by_time(self) -> tuple[Any, Any, Any]:
        """What a scan takes a step of at a time."""
        return self.x, self.resets, self.active

    def run(
        self, cell: Callable[[Array, Array], Array], *, unroll: int, remat: bool
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "..."]]:
        """The final carry (*batch, H) and the outputs, by a scan of a cell.

        The cell is a function (h, x) -> the next h.
        """

        def step(h: Array, inputs: Any) -> tuple[Array, Array]:
            return self.advance(cell, h, inputs)

        if remat:
            step = jax.checkpoint(step, prevent_cse=prevent_cse(unroll, self.x))
        carry, outputs = jax.lax.scan(
            step, self.h, self.by_time, reverse=self.reverse, unroll=unroll
        )
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)

    def run_fused(
        self, weights: Weights, *, unroll: int, remat: bool
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "..."]]:
        """The final carry (*batch, H) and the outputs by `trigru.common.gru.fused`."""
        carry, outputs = fused_scan(
            weights,
            self.h,
            self.initial,
            self.x,
            self.resets,
            self.active,
            reverse=self.reverse,
            unroll=unroll,
            remat=remat,
        )
        return carry, jnp.moveaxis(outputs, 0, self.time_axis)

    def advance(
        self, cell: Callable[[Array, Array], Array], h: Array, inputs: Any
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch hidden"]]:
        """One step of a scan of a cell: reset, cell, padding.

        The cell is a function (h, x) -> the next h; inputs are one step of `by_time`.
        Returns the state after the step and the output. Where the step does not count,
        they are the state before, which no reset changes, and 0.
        """
        x, reset, is_active = inputs
        h_next = cell(restart(reset, self.initial, h), x)  # (*batch, H)
        if is_active is None:
            return h_next, h_next
        is_active = is_active[..., None]  # (*batch, 1)
        output = jnp.where(is_active, h_next, jnp.zeros_like(h_next))
        return jnp.where(is_active, h_next, h), output


def begin(
    x: Float[Array, "..."],
    carry: Float[Array, "..."] | None,
    initial: Float[Array, " hidden"],
    *,
    lengths: Integer[Array, "..."] | None = None,
    resets: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    time_major: bool = False,
    dtype: Any = None,
) -> Loop:
    """Arrange the arrays of a call on sequences by time, in one dtype.

    Frames at or past an example's length are zeroed, so that nothing in the padding,
    NaN included, reaches a gradient.

    Args:
        x: inputs (*batch, T, D), or (T, *batch, D) when time_major.
        carry: starting state (*batch, H); None starts from `initial`.
        initial: the state (H,) after a reset, in the dtype of the parameters, promoted.
        lengths: valid steps (*batch).
        resets: (*batch, T), or (T, *batch) when time_major.
        reverse: whether to run from the last step to the first.
        time_major: whether time is the first axis.
        dtype: of the computation; None promotes those of `initial`, x and carry.
    """
    dtype = computation_dtype(dtype, initial, x, carry)
    x = jnp.asarray(x, dtype)
    time_axis = 0 if time_major else x.ndim - 2
    x = jnp.moveaxis(x, time_axis, 0)  # (T, *batch, D)
    if resets is not None:
        resets = jnp.moveaxis(jnp.asarray(resets), time_axis, 0)  # (T, *batch)

    active = None
    if lengths is not None:
        valid_steps = clip_lengths(lengths, x.shape[0])  # (*batch)
        steps = jax.lax.broadcasted_iota(jnp.int32, x.shape[:-1], 0)  # (T, *batch)
        active = steps < jnp.broadcast_to(valid_steps, steps.shape)
        x = jnp.where(active[..., None], x, jnp.zeros_like(x))

    initial = _of_each_example(jnp.asarray(initial, dtype), x, first=1)  # (*batch, H)
    h = initial
    if carry is not None:
        h = _of_each_example(jnp.asarray(carry, dtype), x, first=1)
    return Loop(h, initial, x, resets, active, time_axis, reverse)


def begin_step(
    x: Float[Array, "*batch features"],
    carry: Float[Array, "*batch hidden"] | None,
    initial: Float[Array, " hidden"],
    *,
    reset: Bool[Array, "*batch"] | None = None,
    dtype: Any = None,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch features"]]:
    """Begin a call on one step, with arguments as of `begin`.

    It starts from the initial carry where reset (*batch) is true. Returns the state
    (*batch, H) and the inputs (*batch, D), in the dtype of the computation.
    """
    dtype = computation_dtype(dtype, initial, x, carry)
    x = jnp.asarray(x, dtype)
    initial = _of_each_example(jnp.asarray(initial, dtype), x, first=0)  # (*batch, H)
    if carry is None:
        return initial, x

    h = _of_each_example(jnp.asarray(carry, dtype), x, first=0)
    if reset is not None:
        h = jnp.where(jnp.asarray(reset)[..., None], initial, h)
    return h, x


def cast(tree: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the computation."""
    return jax.tree.map(lambda p: jnp.asarray(p, dtype), tree)


def _of_each_example(h: Array, frames: Array, *, first: int) -> Array:
    """A state (H,) or (*batch, H) as one of each example, (*batch, H).

    It is spread over devices as frames (..., *batch, D) are. In a `jax.shard_map`, and
    on a mesh with explicit axes, a loop has to start with a carry of the type that its
    steps have. Elsewhere, XLA spreads it. `first` is the axis of the frames at which
    their batch begins.
    """
    if varying_axes(frames) - varying_axes(h):
        h, _ = vary_alike(h, frames)
    return broadcast_as(h, (*frames.shape[first:-1], h.shape[-1]), frames, first)
