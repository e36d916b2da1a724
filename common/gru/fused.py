"""The fused kernel: a GRU scan whose weight gradients wait until the way back is done, in plain JAX.

Autodiff of a scan adds a (D, 3H) and an (H, 3H) gradient to memory at every step. Here the derivative is stated by a
rule, `_derivative`, which takes everything that multiplies a weight's tangent out of the loop:

    u_t = x_t Ẇ_i + ẋ_t W_i + ḃ_i + h_{t-1} Ẇ_h             for all t at once
    ḣ_t = A_t ḣ_{t-1} + B_t u_t                            step by step, W_h alone in the loop

Transposed by JAX, the first line becomes one matrix product over all steps for each weight, after the loop; so do
cuDNN (https://arxiv.org/abs/1604.01946) and Haste (https://github.com/lmnt-com/haste). Since the rule is a
derivative and not a gradient (`jax.custom_jvp`, not `jax.custom_vjp`), forward mode, second derivatives, `jax.vmap`
and `jax.export` follow from it. What is not differentiated costs nothing: a frozen weight or a constant input has no
term in u.

The equations are those of `trigru.common.equality.oracle`. docs/kernel.md has the measurements behind the defaults.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Bool, Float

from .kernels import FusedKernel

__all__ = ["Weights", "fused_scan"]


class Weights(NamedTuple):
    """Parameters as the kernel multiplies them: gates in the order r, z, n, from the right."""

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
    kernel: FusedKernel,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "time *batch hidden"]]:
    """Run the cell over a sequence; all arrays are in the dtype of the computation.

    Args:
        weights: of D inputs and H units.
        carry: the state to start from (*batch, H).
        initial: what a reset starts from (*batch, H).
        x: inputs (T, *batch, D), finite where not active, too.
        resets: (T, *batch), whether to reset before a step; None for nowhere.
        active: (T, *batch), whether a step counts: elsewhere the state stays and the output is 0; None for everywhere.
        reverse: run from the last step to the first.
        unroll: steps in one iteration of the compiled loop, unless the kernel says.
        kernel: how.

    Returns:
        The final state (*batch, H) and the outputs (T, *batch, H).

    >>> from trigru.impls.pure import init
    >>> weights = Weights(*init(4, 8, key=jax.random.key(0))[:4])
    >>> start = jnp.zeros((2, 8))
    >>> carry, outputs = fused_scan(weights, start, start, jnp.ones((5, 2, 4)), kernel=FusedKernel())
    >>> carry.shape, outputs.shape
    ((2, 8), (5, 2, 8))
    """
    T = x.shape[0]
    chunk = kernel.chunk or (T if kernel.save != "none" else _root(T))
    # where chunks are computed again, each is saved in full meanwhile
    how = _How(reverse, kernel.unroll or unroll, "all" if kernel.save == "none" else kernel.save, kernel.hoist)

    def advance(h: Array, by_time: Any) -> tuple[Array, Array]:
        return _loop(how, weights, h, initial, *by_time)

    by_time = (x, resets, active)
    again = jax.checkpoint if kernel.save == "none" else lambda advance, **_: advance
    if chunk >= T:
        return again(advance)(carry, by_time)
    whole, rest = T - T % chunk, T % chunk  # the steps left over come last, on whichever end that is
    first = rest if reverse else 0
    chunks = jax.tree.map(lambda a: _cut(a, first, whole).reshape(-1, chunk, *a.shape[1:]), by_time)
    # in a loop nothing can be merged with the forward pass
    carry, outputs = jax.lax.scan(again(advance, prevent_cse=False), carry, chunks, reverse=reverse)
    outputs = outputs.reshape(whole, *outputs.shape[2:])
    if rest:
        left = jax.tree.map(lambda a: _cut(a, 0 if reverse else whole, rest), by_time)
        carry, last = again(advance)(carry, left)
        outputs = jnp.concatenate([last, outputs] if reverse else [outputs, last])
    return carry, outputs


@dataclass(frozen=True)
class _How:
    reverse: bool
    unroll: int
    save: str
    hoist: bool


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _loop(how: _How, weights: Weights, h: Array, initial: Array, x: Array, resets: Any, active: Any) -> Any:
    """All steps in one loop. Where nobody asks for a derivative, nothing is kept for it."""
    last, after = _run(how, weights, h, initial, x, resets, active, lambda before, after, gates: after)
    return last, _outputs(after, active)


@partial(_loop.defjvp, symbolic_zeros=True)
def _derivative(how: _How, primals: Any, tangents: Any) -> Any:
    """The rule at the head of this page; t_ is a tangent."""
    weights, h, initial, x, resets, active = primals
    t_weights, t_h, t_initial, t_x, *_ = tangents
    H, steps = h.shape[-1], x.shape[:-1]

    def keep(before: Array, after: Array, gates: Any) -> Any:
        return before, gates if how.save == "all" else gates[:2]

    last, (states, saved) = _run(how, weights, h, initial, x, resets, active, keep)
    after = jnp.concatenate([last[None], states[:-1]] if how.reverse else [states[1:], last[None]])
    before = states if resets is None else jnp.where(resets[..., None], initial, states)

    u_i = _sum((*steps, 3 * H), x, _times(t_x, weights.kernel_i), _times(x, t_weights.kernel_i), t_weights.bias)
    u_h = _times(before, t_weights.kernel_h)  # (T, *batch, 3H)
    u_b = _sum((*steps, H), x, t_weights.bias_n)
    u = _sum((*steps, 3 * H), x, u_h, jnp.concatenate([u_i[..., : 2 * H], u_b], axis=-1))
    u_n = u_i[..., 2 * H :]  # (T, *batch, H)
    t_h, t_initial = (jnp.zeros_like(h) if _is_zero(t) else t for t in (t_h, t_initial))

    def advance(t_h: Array, step: Any) -> tuple[Array, Array]:
        u, u_n, h, x, reset, on, saved = step
        if reset is not None:
            h, t_h = (jnp.where(reset[..., None], *pair) for pair in ((initial, h), (t_initial, t_h)))
        r, z, n, a = saved if how.save == "all" else (*saved, *_candidate(weights, h, x, saved[0]))
        t_r, t_z, t_a = jnp.split(t_h @ weights.kernel_h + u, 3, axis=-1)  # each (*batch, H)
        t_r, t_z = r * (1 - r) * t_r, z * (1 - z) * t_z
        t_n = (1 - n * n) * (u_n + t_r * a + r * t_a)
        t_next = (1 - z) * t_n + z * t_h + (h - n) * t_z
        t_next = t_next if on is None else jnp.where(on[..., None], t_next, t_h)
        return t_next, t_next

    # what is made of the gates is made again on the way back: the gates alone are residuals
    advance = jax.checkpoint(advance, prevent_cse=how.unroll >= x.shape[0])
    by_time = (u, u_n, states, x, resets, active, saved)
    t_last, t_after = jax.lax.scan(advance, t_h, by_time, reverse=how.reverse, unroll=how.unroll)
    return (last, _outputs(after, active)), (t_last, _outputs(t_after, active))


def _run(
    how: _How, weights: Weights, h: Array, initial: Array, x: Array, resets: Any, active: Any, emit: Callable[..., Any]
) -> tuple[Array, Any]:
    """The last state, and what `emit(state before, state after, (r, z, n, a))` gives at each step, stacked.

    The state before a step is that before a reset.
    """
    gi = _times(x, weights.kernel_i) if how.hoist else x

    def advance(h: Array, step: Any) -> tuple[Array, Any]:
        gi, reset, on = step
        before = h
        h = h if reset is None else jnp.where(reset[..., None], initial, h)
        gi = gi if how.hoist else gi @ weights.kernel_i
        gi_r, gi_z, gi_n = jnp.split(gi + jnp.broadcast_to(weights.bias, gi.shape), 3, axis=-1)  # each (*batch, H)
        gh_r, gh_z, gh_n = jnp.split(h @ weights.kernel_h, 3, axis=-1)  # each (*batch, H)
        r = jax.nn.sigmoid(gi_r + gh_r)
        z = jax.nn.sigmoid(gi_z + gh_z)
        a = gh_n + jnp.broadcast_to(weights.bias_n, gh_n.shape)
        n = jnp.tanh(gi_n + r * a)
        after = (1 - z) * n + z * h
        after = after if on is None else jnp.where(on[..., None], after, h)
        return after, emit(before, after, (r, z, n, a))

    return jax.lax.scan(advance, h, (gi, resets, active), reverse=how.reverse, unroll=how.unroll)


def _candidate(weights: Weights, h: Array, x: Array, r: Array) -> tuple[Array, Array]:
    """The gate n and W_hn h + b_hn, computed again."""
    H = h.shape[-1]
    gi = x @ weights.kernel_i[:, 2 * H :]
    a = h @ weights.kernel_h[:, 2 * H :]
    a = a + jnp.broadcast_to(weights.bias_n, a.shape)
    return jnp.tanh(gi + jnp.broadcast_to(weights.bias[2 * H :], gi.shape) + r * a), a


def _times(x: Any, kernel: Any) -> Any:
    """Inputs (T, *batch, D) times (D, K), all steps at once; None where one is zero by construction."""
    if _is_zero(x) or _is_zero(kernel):
        return None
    config: Any = jax.config
    return _product_p.bind(*_alike(x, kernel), precision=config.jax_default_matmul_precision)


def _alike(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Both varying over the same axes of a jax.shard_map, as JAX's own products see to: else its psum is missing."""
    one, other = (_varying(a) for a in (x, kernel))
    if one == other:  # as they are outside of it
        return x, kernel
    return (
        jax.lax.pcast(x, tuple(other - one), to="varying") if other - one else x,
        jax.lax.pcast(kernel, tuple(one - other), to="varying") if one - other else kernel,
    )


def _varying(a: Array) -> frozenset[str]:
    return frozenset(getattr(getattr(jax.typeof(a), "manual_axis_type", None), "varying", ()))


def _product(x: Array, kernel: Array, *, precision: Any) -> Array:
    return jnp.matmul(x, kernel, precision=precision)


def _kernel_gradient(x: Array, t: Array, precision: Any) -> Array:
    """Σ xᵀ t over all leading axes (D, K)."""
    if jax.device_count() > 1:  # a batch spread over devices must not be gathered to be reshaped
        summed = tuple(range(x.ndim - 1))
        return jax.lax.dot_general(x, t, ((summed, summed), ((), ())), precision=precision)
    # with several axes to sum over, XLA's CPU backend copies both factors into another order
    return jnp.matmul(x.reshape(-1, x.shape[-1]).T, t.reshape(-1, t.shape[-1]), precision=precision)


def _batched_product(arguments: Any, axes: Any, *, precision: Any) -> tuple[Array, int]:
    (x, kernel), (x_axis, kernel_axis) = arguments, axes
    if kernel_axis is not None:
        return jax.vmap(partial(_product, precision=precision), (x_axis, kernel_axis))(x, kernel), 0
    if x_axis == x.ndim - 1:
        x, x_axis = jnp.moveaxis(x, x_axis, 0), 0
    return _product_p.bind(x, kernel, precision=precision), x_axis


# A primitive of its own, since the product's transpose is what this module is about. Under jax.vmap the examples
# become a further leading axis of it, so that the gradient still is one product of matrices.
_product_p = Primitive("all_steps_product")
_product_p.def_impl(_product)
_product_p.def_abstract_eval(lambda x, kernel, precision: x.update(shape=(*x.shape[:-1], kernel.shape[-1])))
mlir.register_lowering(_product_p, mlir.lower_fun(_product, multiple_results=False))
batching.primitive_batchers[_product_p] = _batched_product
ad.defbilinear(
    _product_p,
    lambda t, x, kernel, precision: _product_p.bind(t, kernel.T, precision=precision),
    lambda t, x, kernel, precision: _kernel_gradient(x, t, precision),
)


def _sum(shape: tuple[int, ...], like: Array, *terms: Any) -> Array:
    """The sum of the terms that are not zero by construction, broadcast to a shape."""
    there = [jnp.broadcast_to(term, shape) for term in terms if not _is_zero(term)]
    return functools.reduce(jnp.add, there) if there else jnp.zeros(shape, like.dtype)


def _is_zero(term: Any) -> bool:
    return term is None or isinstance(term, SymbolicZero)


def _outputs(after: Array, active: Any) -> Array:
    """Zero where not active.

    Under jax.vmap, `_loop` and its derivative must have the mapped axis in one place (JAX does not see to it, where the
    two are traced apart, as in a loop over chunks): a new axis, come and gone, puts it first in both.
    """
    outputs = after if active is None else jnp.where(active[..., None], after, jnp.zeros_like(after))
    return jnp.squeeze(jnp.expand_dims(outputs, -1), -1)


def _cut(a: Array, start: int, steps: int) -> Array:
    return jax.lax.slice_in_dim(a, start, start + steps)


def _root(steps: int) -> int:
    return math.isqrt(steps - 1) + 1
