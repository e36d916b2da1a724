"""The fused kernel: a GRU scan with its weight gradients after the backward loop.

It is written in plain JAX.

Autodiff of a scan adds a (D, 3H) and an (H, 3H) gradient to memory at every step. Here
a rule, `_derivative`, gives the derivative. It takes everything that multiplies a
weight's tangent out of the loop:

    u_t = x_t Ẇ_i + ẋ_t W_i + ḃ_i + h_{t-1} Ẇ_h     for all t at once
    ḣ_t = A_t ḣ_{t-1} + B_t u_t                     step by step, W_h alone in the loop

Transposed by JAX, the first line becomes one matrix product over all steps for each
weight, after the loop, as in cuDNN (https://arxiv.org/abs/1604.01946) and Haste
(https://github.com/lmnt-com/haste). Since the rule is a derivative and not a gradient
(`jax.custom_jvp`, not `jax.custom_vjp`), forward mode, second derivatives, `jax.vmap`
and `jax.export` follow from it. What is not differentiated costs nothing: a frozen
weight or a constant input has no term in u.

The equations are those of `trigru.common.equality.oracle`. docs/kernel.md has the
measurements behind the defaults.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..compat import linear, vary_alike
from .products import each, is_zero, times, total

__all__ = ["Weights", "fused_scan"]


class Weights(NamedTuple):
    """Parameters, each with the gates in the order r, z, n.

    `kernel_i` and `kernel_h` multiply from the right.
    """

    kernel_i: Float[Array, "D 3*H"]
    kernel_h: Float[Array, "H 3*H"]
    bias: Float[Array, " 3*H"]
    bias_n: Float[Array, " H"]


def fused_scan(
    weights: Weights,
    carry: Float[Array, "*batch hidden"],
    initial: Float[Array, "*batch hidden"],
    x: Float[Array, "time *batch features"],
    resets: Bool[Array, "time *batch"] | None = None,
    active: Bool[Array, "time *batch"] | None = None,
    *,
    reverse: bool = False,
    unroll: int = 1,
    remat: bool = False,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "time *batch hidden"]]:
    """Run the cell over a sequence; all arrays are in the dtype of the computation.

    Args:
        weights: of D inputs and H units.
        carry: the state to start from (*batch, H).
        initial: what a reset starts from (*batch, H).
        x: inputs (T, *batch, D), finite everywhere, also where not active.
        resets: (T, *batch), whether to reset before a step that counts; None for
            nowhere.
        active: (T, *batch), whether a step counts: elsewhere the state stays, also
            where there is a reset, and the output is 0; None for everywhere.
        reverse: run from the last step to the first.
        unroll: steps in one iteration of the compiled loop.
        remat: keep only the state at the start of each chunk of about sqrt(T) steps for
            the backward pass, and compute each chunk again there.

    Returns:
        The final state (*batch, H) and the outputs (T, *batch, H).

    >>> from trigru.impls.pure import init
    >>> weights = Weights(*init(4, 8, key=jax.random.key(0))[:4])
    >>> start = jnp.zeros((2, 8))
    >>> carry, outputs = fused_scan(weights, start, start, jnp.ones((5, 2, 4)))
    >>> carry.shape, outputs.shape
    ((2, 8), (5, 2, 8))
    """
    # in a jax.shard_map, each gradient is summed over the steps before devices exchange
    # it
    x, carry, initial, *varying = vary_alike(x, carry, initial, *weights)
    weights = Weights(*varying)

    def advance(h: Array, by_time: Any) -> tuple[Array, Array]:
        x, resets, active = by_time
        return _loop(reverse, unroll, weights, h, initial, x, resets, active)

    by_time = (x, resets, active)
    if not remat:
        return advance(carry, by_time)

    chunk = math.isqrt(x.shape[0] - 1) + 1
    chunks, left_over = _cut(by_time, chunk, reverse)
    advance_chunk = jax.checkpoint(advance, prevent_cse=prevent_cse(1, chunks[0]))
    carry, outputs = jax.lax.scan(advance_chunk, carry, chunks, reverse=reverse)
    outputs = outputs.reshape(-1, *outputs.shape[2:])  # (T, *batch, H)
    if left_over is None:
        return carry, outputs

    carry, last_outputs = jax.checkpoint(advance)(carry, left_over)
    parts = [last_outputs, outputs] if reverse else [outputs, last_outputs]
    return carry, jnp.concatenate(parts)


def prevent_cse(unroll: int, x: Array) -> bool:
    """Whether `jax.checkpoint` has to keep XLA from merging both passes over x.

    XLA does not merge a loop with that of the forward pass. A scan that is fully
    unrolled over x (T, ...) has no loop.
    """
    return unroll >= x.shape[0]


def restart(reset: Array | None, initial: Array, h: Array) -> Array:
    """The initial state where there is a reset; of one step or of all."""
    if reset is None:
        return h
    return jnp.where(reset[..., None], initial, h)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _loop(
    reverse: bool,
    unroll: int,
    weights: Weights,
    h: Array,
    initial: Array,
    x: Array,
    resets: Array | None,
    active: Array | None,
) -> tuple[Array, Array]:
    """Run all steps in one loop. Without a derivative, nothing is kept for one."""
    scan = partial(jax.lax.scan, reverse=reverse, unroll=unroll)
    by_time = (x, resets, active)
    last, after = _run(scan, weights, h, initial, by_time, _keep_state_after)
    return last, _outputs(after, active)


@partial(_loop.defjvp, symbolic_zeros=True)
def _derivative(reverse: bool, unroll: int, primals: Any, tangents: Any) -> Any:
    """The rule in this module's docstring; names with t_ are tangents."""
    scan = partial(jax.lax.scan, reverse=reverse, unroll=unroll)
    weights, h, initial, x, resets, active = primals
    t_weights, t_h, t_initial, t_x, *_ = tangents

    by_time = (x, resets, active)
    last, kept = _run(scan, weights, h, initial, by_time, _keep_for_derivative)
    before, residuals = kept  # before: (T, *batch, H)
    if reverse:
        after = jnp.concatenate([last[None], before[:-1]])
    else:
        after = jnp.concatenate([before[1:], last[None]])

    started = restart(resets, initial, before)  # each step from here
    u, u_n = _outside_the_loop(weights, t_weights, x, t_x, started)
    if is_zero(t_h):
        t_h = jnp.zeros_like(h)
    if is_zero(t_initial):
        t_initial = jnp.zeros_like(h)
    if resets is not None:
        t_initial = each(t_initial, x)

    def run(t_h: Array, t_initial: Array, u: Array, u_n: Array) -> tuple[Array, Array]:
        def advance(t_before: Array, step: Any) -> tuple[Array, Array]:
            u, u_n, h, reset, is_active, residuals = step
            h = restart(reset, initial, h)
            t_h = restart(reset, t_initial, t_before)
            r, z, n, a = residuals  # each (*batch, H)

            r_slope = r * (1 - r)
            z_slope = z * (1 - z)
            n_slope = 1 - n * n
            h_by_z = h - n
            t_gates = t_h @ weights.kernel_h + u  # (*batch, 3H)
            t_r, t_z, t_a = jnp.split(t_gates, 3, axis=-1)  # each (*batch, H)
            t_r = r_slope * t_r
            t_z = z_slope * t_z
            t_n = n_slope * (u_n + t_r * a + r * t_a)
            t_next = (1 - z) * t_n + z * t_h + h_by_z * t_z

            t_next = _pause(is_active, t_next, t_before)
            return t_next, t_next

        # what follows from r, z, n and a is computed again in the backward pass: only
        # these are kept
        advance = jax.checkpoint(advance, prevent_cse=prevent_cse(unroll, x))
        return scan(advance, t_h, (u, u_n, before, resets, active, residuals))

    t_last, t_after = linear(run)(t_h, t_initial, u, u_n)
    return (last, _outputs(after, active)), (t_last, _outputs(t_after, active))


def _keep_state_after(before: Array, after: Array, residuals: Any) -> Array:
    return after


def _keep_for_derivative(before: Array, after: Array, residuals: Any) -> Any:
    return before, residuals


def _run(
    scan: Callable[..., Any],
    weights: Weights,
    h: Array,
    initial: Array,
    by_time: tuple[Array, Array | None, Array | None],
    keep: Callable[[Array, Array, Any], Any],
) -> tuple[Array, Any]:
    """The last state, and what `keep` gives at each step, stacked.

    It is called as `keep(state before, state after, (r, z, n, a))`. The state before a
    step is that before a reset.
    """
    x, resets, active = by_time
    multiplies_first = _multiplies_first(x)
    if multiplies_first:
        x = x @ weights.kernel_i  # (T, *batch, 3H)

    def advance(before: Array, step: Any) -> tuple[Array, Any]:
        x, reset, is_active = step
        gi = x if multiplies_first else x @ weights.kernel_i  # (*batch, 3H)
        after, residuals = _cell(weights, restart(reset, initial, before), gi)
        # to the state before the reset: where a step does not count, nor does its reset
        after = _pause(is_active, after, before)
        return after, keep(before, after, residuals)

    return scan(advance, h, (x, resets, active))


def _multiplies_first(x: Array) -> bool:
    """Whether inputs are multiplied before the loop.

    They are if reading W_i at each step costs more than keeping x W_i. Measured on CPUs
    (docs/kernel.md). Without an axis of a batch, there may be one that `jax.vmap` maps.
    """
    *batch, D = x.shape[1:]
    sizes = [*batch, D]
    if not all(isinstance(size, int) for size in sizes):
        return False  # symbolic sizes
    examples = math.prod(batch) if batch else 64
    return max(64, 16 * examples) <= D


def _cell(weights: Weights, h: Array, gi: Array) -> tuple[Array, Any]:
    """The next state (*batch, H), and (r, z, n, a).

    gi is x W_i (*batch, 3H), and a = W_hn h + b_hn.
    """
    gi = gi + jnp.broadcast_to(weights.bias, gi.shape)
    gi_r, gi_z, gi_n = jnp.split(gi, 3, axis=-1)  # each (*batch, H)
    gh_r, gh_z, gh_n = jnp.split(h @ weights.kernel_h, 3, axis=-1)  # each (*batch, H)
    r = jax.nn.sigmoid(gi_r + gh_r)
    z = jax.nn.sigmoid(gi_z + gh_z)
    a = gh_n + jnp.broadcast_to(weights.bias_n, gh_n.shape)
    n = jnp.tanh(gi_n + r * a)
    return (1 - z) * n + z * h, (r, z, n, a)


def _pause(is_active: Array | None, after: Array, before: Array) -> Array:
    """The state after a step where it counts, that before it elsewhere."""
    if is_active is None:
        return after
    return jnp.where(is_active[..., None], after, before)


def _outside_the_loop(
    weights: Weights, t_weights: Any, x: Array, t_x: Any, started: Array
) -> tuple[Array, Array]:
    """The sum u (T, *batch, 3H), and what belongs to n alone (T, *batch, H).

    The last third of u belongs to a.
    """
    *steps, H = started.shape
    from_x = times(t_x, weights.kernel_i)  # (T, *batch, 3H)
    from_kernel_i = times(x, t_weights.kernel_i)  # (T, *batch, 3H)
    from_kernel_h = times(started, t_weights.kernel_h)  # (T, *batch, 3H)

    u_i = total((*steps, 3 * H), x, from_x, from_kernel_i, t_weights.bias)
    u_rz = u_i[..., : 2 * H]
    u_n = u_i[..., 2 * H :]
    u_a = total((*steps, H), x, t_weights.bias_n)
    u_rza = jnp.concatenate([u_rz, u_a], axis=-1)  # (T, *batch, 3H)
    return total((*steps, 3 * H), x, from_kernel_h, u_rza), u_n


def _outputs(after: Array, active: Array | None) -> Array:
    """Zero where not active.

    Under jax.vmap, `_loop` and its derivative must have the mapped axis in the same
    place. JAX does not ensure this where the two are traced apart, as in a loop over
    chunks. Adding and removing an axis puts it first in both.
    """
    outputs = after
    if active is not None:
        outputs = jnp.where(active[..., None], after, jnp.zeros_like(after))
    return jnp.squeeze(jnp.expand_dims(outputs, -1), -1)


def _cut(by_time: Any, chunk: int, reverse: bool) -> tuple[Any, Any]:
    """The arrays in whole chunks (chunks, steps, *batch, ...), and the steps left over.

    Those run last. Without any, this is None in their place.
    """
    T = by_time[0].shape[0]
    left_over = T % chunk
    first_whole = left_over if reverse else 0
    first_left_over = 0 if reverse else T - left_over

    def steps(start: int, number: int) -> Any:
        def slice_steps(array: Array) -> Array:
            return jax.lax.slice_in_dim(array, start, start + number)

        return jax.tree.map(slice_steps, by_time)

    def in_chunks(array: Array) -> Array:
        return array.reshape(-1, chunk, *array.shape[1:])

    chunks = jax.tree.map(in_chunks, steps(first_whole, T - left_over))
    if not left_over:
        return chunks, None
    return chunks, steps(first_left_over, left_over)
