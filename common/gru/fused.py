"""The fused kernel: a GRU scan in plain JAX that computes its weight gradients after the backward loop.

Autodiff of a scan adds a (D, 3H) and an (H, 3H) gradient to memory at every step. Here a rule, `_derivative`, gives the
derivative. It takes everything that multiplies a weight's tangent out of the loop:

    u_t = x_t Ẇ_i + ẋ_t W_i + ḃ_i + h_{t-1} Ẇ_h             for all t at once
    ḣ_t = A_t ḣ_{t-1} + B_t u_t                            step by step, W_h alone in the loop

Transposed by JAX, the first line becomes one matrix product over all steps for each weight, after the loop, as in
cuDNN (https://arxiv.org/abs/1604.01946) and Haste (https://github.com/lmnt-com/haste). Since the rule is a
derivative and not a gradient (`jax.custom_jvp`, not `jax.custom_vjp`), forward mode, second derivatives, `jax.vmap`
and `jax.export` follow from it. What is not differentiated costs nothing: a frozen weight or a constant input has no
term in u.

The equations are those of `trigru.common.equality.oracle`. docs/kernel.md has the measurements behind the defaults.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..compat import linear, vary_alike
from .products import each, is_zero, times, total

__all__ = ["Weights", "fused_scan"]


class Weights(NamedTuple):
    """Parameters, each of the gates in the order r, z, n; `kernel_i` and `kernel_h` multiply from the right."""

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
        resets: (T, *batch), whether to reset before a step that counts; None for nowhere.
        active: (T, *batch), whether a step counts: elsewhere the state stays, also where there is a reset, and the
            output is 0; None for everywhere.
        reverse: run from the last step to the first.
        unroll: steps in one iteration of the compiled loop.
        remat: keep only the state at the start of each chunk of about sqrt(T) steps for the backward pass, and compute
            each chunk again there.

    Returns:
        The final state (*batch, H) and the outputs (T, *batch, H).

    >>> from trigru.impls.pure import init
    >>> weights = Weights(*init(4, 8, key=jax.random.key(0))[:4])
    >>> start = jnp.zeros((2, 8))
    >>> carry, outputs = fused_scan(weights, start, start, jnp.ones((5, 2, 4)))
    >>> carry.shape, outputs.shape
    ((2, 8), (5, 2, 8))
    """
    # in a jax.shard_map, each gradient is summed over the steps before devices exchange it
    x, carry, initial, *own = vary_alike(x, carry, initial, *weights)
    weights = Weights(*own)

    def advance(h: Array, by_time: Any) -> tuple[Array, Array]:
        return _loop(reverse, unroll, weights, h, initial, *by_time)

    by_time = (x, resets, active)
    if not remat:
        return advance(carry, by_time)
    chunks, left = _cut(by_time, math.isqrt(x.shape[0] - 1) + 1, reverse)
    one_chunk = jax.checkpoint(advance, prevent_cse=prevent_cse(1, chunks[0]))
    carry, outputs = jax.lax.scan(one_chunk, carry, chunks, reverse=reverse)
    outputs = outputs.reshape(-1, *outputs.shape[2:])
    if left:
        carry, last = jax.checkpoint(advance)(carry, left)
        outputs = jnp.concatenate([last, outputs] if reverse else [outputs, last])
    return carry, outputs


def prevent_cse(unroll: int, x: Array) -> bool:
    """False in a loop over x (T, ...), which XLA keeps apart from the forward pass; fully unrolled, there is none."""
    return unroll >= x.shape[0]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _loop(
    reverse: bool,
    unroll: int,
    weights: Weights,
    h: Array,
    initial: Array,
    x: Array,
    resets: Any,
    active: Any,
) -> Any:
    """Run all steps in one loop. Without a derivative, nothing is kept for one."""
    scan = partial(jax.lax.scan, reverse=reverse, unroll=unroll)
    last, after = _run(
        scan,
        weights,
        h,
        initial,
        x,
        resets,
        active,
        lambda before, after, residuals: after,
    )
    return last, _outputs(after, active)


@partial(_loop.defjvp, symbolic_zeros=True)
def _derivative(reverse: bool, unroll: int, primals: Any, tangents: Any) -> Any:
    """The rule in this module's docstring; names with t_ are tangents."""
    scan = partial(jax.lax.scan, reverse=reverse, unroll=unroll)
    weights, h, initial, x, resets, active = primals
    t_weights, t_h, t_initial, t_x, *_ = tangents

    kept = _run(
        scan,
        weights,
        h,
        initial,
        x,
        resets,
        active,
        lambda before, after, residuals: (before, residuals),
    )
    last, (states, residuals) = kept
    after = jnp.concatenate(
        [last[None], states[:-1]] if reverse else [states[1:], last[None]]
    )  # each step
    u, u_n = _outside(weights, t_weights, x, t_x, restart(resets, initial, states))
    t_h, t_initial = (jnp.zeros_like(h) if is_zero(t) else t for t in (t_h, t_initial))
    t_initial = t_initial if resets is None else each(t_initial, x)

    def run(t_h: Array, t_initial: Array, u: Array, u_n: Array) -> tuple[Array, Array]:
        def advance(t_h: Array, step: Any) -> tuple[Array, Array]:
            u, u_n, h, reset, on, residuals = step
            t_before = t_h
            h, t_h = restart(reset, initial, h), restart(reset, t_initial, t_h)
            r, z, n, a = residuals
            r_slope, z_slope, n_slope, h_by_z = (
                r * (1 - r),
                z * (1 - z),
                1 - n * n,
                h - n,
            )  # each (*batch, H)
            t_r, t_z, t_a = jnp.split(
                t_h @ weights.kernel_h + u, 3, axis=-1
            )  # each (*batch, H)
            t_r, t_z = r_slope * t_r, z_slope * t_z
            t_n = n_slope * (u_n + t_r * a + r * t_a)
            t_next = (1 - z) * t_n + z * t_h + h_by_z * t_z
            t_next = _pause(on, t_next, t_before)
            return t_next, t_next

        # what follows from r, z, n and a is computed again in the backward pass: only these are kept
        advance = jax.checkpoint(advance, prevent_cse=prevent_cse(unroll, x))
        return scan(advance, t_h, (u, u_n, states, resets, active, residuals))

    t_last, t_after = linear(run)(t_h, t_initial, u, u_n)
    return (last, _outputs(after, active)), (t_last, _outputs(t_after, active))


def _run(
    scan: Any,
    weights: Weights,
    h: Array,
    initial: Array,
    x: Array,
    resets: Any,
    active: Any,
    keep: Any,
) -> tuple[Array, Any]:
    """The last state, and what `keep(state before, state after, (r, z, n, a))` gives at each step, stacked.

    The state before a step is that before a reset.
    """
    first = _multiplies_first(x)

    def advance(h: Array, step: Any) -> tuple[Array, Any]:
        x, reset, on = step
        before, h = h, restart(reset, initial, h)
        after, residuals = cell(weights, h, x if first else x @ weights.kernel_i)
        after = _pause(
            on, after, before
        )  # and not h: where a step does not count, nor does its reset
        return after, keep(before, after, residuals)

    return scan(advance, h, (x @ weights.kernel_i if first else x, resets, active))


def _multiplies_first(x: Array) -> bool:
    """Whether inputs are multiplied before the loop: reading W_i at each step costs more than keeping x W_i.

    Measured on CPUs (docs/kernel.md). Without an axis of a batch, there may be one that `jax.vmap` maps.
    """
    *batch, D = x.shape[1:]
    if not all(isinstance(size, int) for size in (*batch, D)):
        return False  # symbolic sizes
    needed = max(64, 16 * math.prod(batch or [64]))
    return needed <= D


def cell(weights: Weights, h: Array, gi: Array) -> tuple[Array, Any]:
    """The next state (*batch, H), and (r, z, n, a), where a = W_hn h + b_hn; gi = x W_i (*batch, 3H)."""
    gi_r, gi_z, gi_n = jnp.split(
        gi + jnp.broadcast_to(weights.bias, gi.shape), 3, axis=-1
    )  # each (*batch, H)
    gh_r, gh_z, gh_n = jnp.split(h @ weights.kernel_h, 3, axis=-1)  # each (*batch, H)
    r = jax.nn.sigmoid(gi_r + gh_r)
    z = jax.nn.sigmoid(gi_z + gh_z)
    a = gh_n + jnp.broadcast_to(weights.bias_n, gh_n.shape)
    n = jnp.tanh(gi_n + r * a)
    return (1 - z) * n + z * h, (r, z, n, a)


def restart(reset: Any, initial: Array, h: Array) -> Array:
    """The initial state where there is a reset; of one step or of all."""
    return h if reset is None else jnp.where(reset[..., None], initial, h)


def _pause(on: Any, after: Array, before: Array) -> Array:
    """The state after a step where it counts, that before it elsewhere."""
    return after if on is None else jnp.where(on[..., None], after, before)


def _outside(
    weights: Weights, t_weights: Any, x: Array, t_x: Any, before: Array
) -> tuple[Array, Array]:
    """The sum u (T, *batch, 3H), whose last part belongs to a, and what belongs to n instead (T, *batch, H)."""
    steps, H = before.shape[:-1], before.shape[-1]
    from_x = times(t_x, weights.kernel_i), times(x, t_weights.kernel_i)
    u_i = total((*steps, 3 * H), x, *from_x, t_weights.bias)  # (T, *batch, 3H)
    u_h = times(before, t_weights.kernel_h)  # (T, *batch, 3H)
    u_b = total((*steps, H), x, t_weights.bias_n)
    u = total(
        (*steps, 3 * H), x, u_h, jnp.concatenate([u_i[..., : 2 * H], u_b], axis=-1)
    )
    return u, u_i[..., 2 * H :]


def _outputs(after: Array, active: Any) -> Array:
    """Zero where not active.

    Under jax.vmap, `_loop` and its derivative must have the mapped axis in the same place. JAX does not ensure this
    where the two are traced apart, as in a loop over chunks. Adding and removing an axis puts it first in both.
    """
    outputs = (
        after
        if active is None
        else jnp.where(active[..., None], after, jnp.zeros_like(after))
    )
    return jnp.squeeze(jnp.expand_dims(outputs, -1), -1)


def _cut(by_time: Any, chunk: int, reverse: bool) -> tuple[Any, Any]:
    """The arrays in whole chunks (chunks, steps, *batch, ...), and the steps left over, which run last; or None."""
    T = by_time[0].shape[0]
    rest = T % chunk

    def steps(start: int, number: int) -> Any:
        return jax.tree.map(
            lambda a: jax.lax.slice_in_dim(a, start, start + number), by_time
        )

    whole = steps(rest if reverse else 0, T - rest)
    chunks = jax.tree.map(lambda a: a.reshape(-1, chunk, *a.shape[1:]), whole)
    return chunks, steps(0 if reverse else T - rest, rest) if rest else None
