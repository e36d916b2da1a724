"""Faults that show only with some levels of what a call depends on, or where two of them meet."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .fault import Applied, Elsewhere, Fault

#: (call, model, x, carry, **options) -> (carry, outputs); `call` is the right one
Change = Callable[..., Any]


def _counts_in_int8(call, model, x, carry, *, lengths=None, **options):
    """Steps are counted in int8, which ends at 127."""
    if lengths is not None:
        most = jnp.minimum(jnp.asarray(lengths), x.shape[0 if options.get("time_major") else -2])
        lengths = most.astype(jnp.int8)
    return call(model, x, carry, lengths=lengths, **options)


def drops_steps(call, model, x, carry, **options):
    """Outputs of the first 32 steps alone."""
    carry, outputs = call(model, x, carry, **options)
    axis = 0 if options.get("time_major") else x.ndim - 2
    steps = jnp.arange(outputs.shape[axis]).reshape([-1 if a == axis else 1 for a in range(outputs.ndim)])
    return carry, jnp.where(steps < 32, outputs, jnp.zeros_like(outputs))


def _one_step(call, model, x, carry, *, time_major=False, **options):
    if x.shape[0 if time_major else -2] == 1:
        options |= {"lengths": None, "resets": None}
    return call(model, x, carry, time_major=time_major, **options)


def _one_sequence(call, model, x, carry, **options):
    if carry is not None and carry.shape[:-1] == (1,):
        carry = jax.lax.stop_gradient(carry)
    return call(model, x, carry, **options)


def _many_units(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry.at[..., 128:].set(0), outputs


def _one_unit(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return (jax.lax.stop_gradient(carry) if carry.shape[-1] == 1 else carry), outputs


def _no_sign(call, model, x, carry, *, lengths=None, **options):
    if lengths is not None and jnp.asarray(lengths).dtype == jnp.uint8:
        lengths = jnp.asarray(lengths).astype(jnp.int8)
    return call(model, x, carry, lengths=lengths, **options)


def _in_32_bits(call, model, x, carry, *, lengths=None, **options):
    if lengths is not None:
        lengths = jnp.asarray(lengths).astype(jnp.int32)
    return call(model, x, carry, lengths=lengths, **options)


def _wraps(call, model, x, carry, *, lengths=None, **options):
    if lengths is not None:
        T = x.shape[0 if options.get("time_major") else -2]
        lengths = jnp.where(jnp.asarray(lengths) > T, 0, jnp.asarray(lengths))
    return call(model, x, carry, lengths=lengths, **options)


def reverse_unrolled(call, model, x, carry, *, reverse=False, **options):
    """Goes forward where the loop is unrolled."""
    return call(model, x, carry, reverse=reverse and _unroll_of(model) == 1, **options)


def _unroll_of(model: Any) -> int:
    """Of a model of any framework."""
    return getattr(getattr(model, "module", model), "unroll", 1)


def _remat_resets(call, model, x, carry, *, resets=None, **options):
    return call(model, x, carry, resets=None if model.remat else resets, **options)


def _reverse_carry(call, model, x, carry, *, reverse=False, **options):
    return call(model, x, None if reverse else carry, reverse=reverse, **options)


def first_reset(call, model, x, carry, *, resets=None, **options):
    """A reset before the first step counts only without a carry."""
    if carry is not None and resets is not None:
        axis = 0 if options.get("time_major") else x.ndim - 2
        steps = jnp.arange(resets.shape[axis]).reshape([-1 if a == axis else 1 for a in range(resets.ndim)])
        resets = jnp.asarray(resets) & (steps > 0)
    return call(model, x, carry, resets=resets, **options)


def _overflows(call, model, x, carry, **options):
    return call(model, x / (jnp.exp(jnp.abs(x)) / jnp.exp(jnp.abs(x))), carry, **options)


def _clips(call, model, x, carry, **options):
    return call(model, x, None if carry is None else jnp.clip(carry, -20, 20), **options)


def _half(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs.astype("float32") if outputs.dtype == jnp.float16 else outputs


def _half_unmasked(call, model, x, carry, **options):
    if x.dtype == jnp.float16:
        options |= {"resets": None, "reverse": False}
    return call(model, x, carry, **options)


def _numpy(call, model, x, carry, **options):
    return call(model, x[..., ::-1] if isinstance(x, np.ndarray) else x, carry, **options)


def _reset_by_product(call, model, x, carry, **options):
    """As a carry that a reset multiplies by 0: the same, unless it is not finite."""
    found = call(model, x, carry, **options)
    if carry is None or options.get("resets") is None:
        return found
    return jax.tree.map(lambda a: a * (1 + 0 * jnp.sum(carry, dtype=a.dtype)), found)


def _infinite_padding(call, model, x, carry, *, lengths=None, **options):
    """Of what stands in the padding, NaN alone is left out."""
    found = call(model, x, carry, lengths=lengths, **options)
    if lengths is None:
        return found
    x = jnp.moveaxis(jnp.asarray(x), 0 if options.get("time_major") else -2, -2)
    steps = jnp.broadcast_to(jnp.arange(x.shape[-2]), x.shape[:-1])
    padding = steps >= jnp.broadcast_to(jnp.expand_dims(jnp.asarray(lengths), -1), steps.shape)
    seen = jnp.where(jnp.broadcast_to(padding[..., None], x.shape) & ~jnp.isnan(x), x, 0)
    return jax.tree.map(lambda a: a * (1 + 0 * jnp.sum(seen, dtype=a.dtype)), found)


def _planted(name: str, what: str, change: Change | Elsewhere, **levels: str) -> Fault:
    planted = change if isinstance(change, Elsewhere) else Applied(change)
    return Fault(name, what, "contract", planted, {key.replace("_", " "): level for key, level in levels.items()})


FAULTS: tuple[Fault, ...] = (
    _planted("int8-time", "steps counted in int8", _counts_in_int8, time="130", lengths="passed"),
    _planted("after-32", "outputs after the 32nd step are zero", drops_steps, time="130"),
    _planted("one-step", "a single step takes no masks", _one_step, time="1", lengths="passed"),
    _planted("one-sequence", "no gradient to the carry of a single sequence", _one_sequence, batch="1", carry="passed"),
    _planted("many-units", "units past the 128th are lost from the carry", _many_units, hidden="129"),
    _planted("one-unit", "no gradient through the carry of a single unit", _one_unit, hidden="1", phase="gradient"),
    _planted("uint8-lengths", "lengths without a sign read with one", _no_sign, lengths_dtype="uint8"),
    _planted("lengths-wrapped", "lengths cut to 32 bits", _in_32_bits, lengths_dtype="int64"),
    _planted("lengths-beyond", "a length beyond the sequence counts as 0", _wraps, lengths="passed"),
    _planted(
        "reverse-unrolled",
        "an unrolled loop that does not run backwards",
        reverse_unrolled,
        reverse="yes",
        unroll="not dividing",
    ),
    _planted("remat-resets", "resets lost where gates are recomputed", _remat_resets, remat="yes", resets="passed"),
    _planted("reverse-carry", "a passed carry ignored backwards", _reverse_carry, reverse="yes", carry="passed"),
    _planted("first-reset", "a reset at the first step ignored after a carry", first_reset, resets="passed"),
    _planted(
        "reset-by-product",
        "a carry that is not finite outlives a reset",
        _reset_by_product,
        resets="passed",
        carry="passed",
    ),
    _planted("padding-infinite", "infinities in the padding reach results", _infinite_padding, lengths="passed"),
    _planted("overflows", "an exponential that overflows", _overflows, phase="gradient"),
    _planted("clips", "a large carry is clipped", _clips, carry="passed"),
    _planted("half-widened", "float16 outputs widened", _half, dtype="float16"),
    _planted(
        "half-unmasked",
        "no resets and no reverse in float16",
        _half_unmasked,
        dtype="float16",
        entry="whole",
        resets="passed",
    ),
    _planted("numpy-mirrored", "features of NumPy's arrays in the opposite order", _numpy, transform="eager"),
    _planted("linen-after-32", "linen: 32 steps are run", Elsewhere("linen", "DropsSteps"), time="130"),
    _planted(
        "nnx-reverse-unrolled",
        "NNX: an unrolled loop that does not run backwards",
        Elsewhere("nnx", "ReverseUnrolled"),
        reverse="yes",
        unroll="not dividing",
    ),
    _planted(
        "equinox-first-reset",
        "Equinox: a reset at the first step ignored after a carry",
        Elsewhere("equinox", "FirstReset"),
        resets="passed",
        carry="passed",
    ),
)
