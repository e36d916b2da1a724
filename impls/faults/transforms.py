"""Faults that show only in another dtype, in another configuration, or under a transform of JAX."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from ...common.errors import InputError
from ..pure import PurePort
from .fault import Applied, Fault, edit


def _half_precision(call, model, x, carry, **options):
    if x.dtype != jnp.float32 or model.dtype is not None:
        return call(model, x, carry, **options)
    return jax.tree.map(lambda a: a.astype("float32"), call(replace(model, dtype="bfloat16"), x, carry, **options))


def _dtype_ignored(call, model, x, carry, **options):
    return call(replace(model, dtype=None), x, carry, **options)


def _computes_as_stored(call, model, x, carry, **options):
    if model.params.bias.dtype != jnp.bfloat16 or model.dtype is None:
        return call(model, x, carry, **options)
    found = call(replace(model, dtype="bfloat16"), x, carry, **options)
    return jax.tree.map(lambda a: a.astype(model.dtype), found)


def _unroll_drops_the_rest(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    whole = outputs.shape[-2] - outputs.shape[-2] % model.unroll
    return carry, outputs.at[..., whole:, :].set(0)


def _remat_detaches(call, model, x, carry, **options):
    if model.remat:
        model = edit(model, lambda p: {"bias_n": jax.lax.stop_gradient(p.bias_n)})
    return call(model, x, carry, **options)


def _other_unless_traced(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs if isinstance(x, Tracer) else outputs * (1 + 1e-9)


def _needs_a_batch_axis(call, model, x, carry, **options):
    if x.ndim == 2:
        raise ValueError("expected a batch axis")
    return call(model, x, carry, **options)


def _no_forward_mode(call, model, x, carry, **options):
    @jax.custom_vjp
    def run(model, x, carry):
        return call(model, x, carry, **options)

    def forward(*primals):
        return jax.vjp(lambda *p: call(*p, **options), *primals)

    run.defvjp(forward, lambda pull, cotangent: pull(cotangent))
    return run(model, x, carry)


def _first_order_only(call, model, x, carry, **options):
    @jax.custom_jvp
    def run(model, x, carry):
        return call(model, x, carry, **options)

    @run.defjvp
    def derivative(primals, tangents):
        fixed = jax.lax.stop_gradient(primals)
        _, tangent = jax.jvp(lambda *p: call(*p, **options), fixed, tangents)
        return run(*primals), tangent

    return run(model, x, carry)


def _other_unless_differentiated(call, model, x, carry, **options):
    @jax.custom_jvp
    def run(model, x, carry):
        carry, outputs = call(model, x, carry, **options)
        return carry, outputs * (1 + 1e-9) if options.get("lengths") is not None else outputs

    @run.defjvp
    def derivative(primals, tangents):
        return jax.jvp(lambda *p: call(*p, **options), primals, tangents)

    return run(model, x, carry)


def _calls_back(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    jax.debug.callback(lambda _: None, outputs.sum())
    return carry, outputs


def _shares_a_model(call, model, x, carry, **options):
    """The values of an ensemble's first model for all; gradients stay apart."""

    @jax.custom_batching.custom_vmap
    def first(model):
        return model

    @first.def_vmap
    def rule(size, batched, model):
        return jax.tree.map(lambda p: jnp.broadcast_to(p[:1], p.shape), model), batched[0]

    fixed = jax.lax.stop_gradient(model)
    shared = jax.tree.map(lambda p, f, s: p - f + s, model, fixed, first(fixed))
    return call(shared, x, carry, **options)


@jax.custom_vjp
def _crossed(params):
    """As they are; but under `jax.vmap` of the gradient, each example gets another one's."""
    return params


@jax.custom_batching.custom_vmap
def _as_they_are(gradient):
    return gradient


@_as_they_are.def_vmap
def _in_the_other_order(size, batched, gradient):
    (mapped,) = batched
    inner = _as_they_are(gradient)  # of a further axis, too
    return jax.tree.map(lambda a, is_mapped: a[::-1] if is_mapped else a, inner, mapped), mapped


_crossed.defvjp(lambda params: (params, None), lambda _, gradient: (_as_they_are(gradient),))


def _crosses_gradients(call, model, x, carry, **options):
    return call(replace(model, params=_crossed(model.params)), x, carry, **options)


@jax.custom_vjp
def _held_if_mapped(params):
    """As they are, and so is their gradient; but under `jax.vmap`, it counts as a constant."""
    return params


def _constant_if_mapped(gradient):
    is_mapped = any(type(a).__name__ == "BatchTracer" for a in jax.tree.leaves(gradient))
    return jax.lax.stop_gradient(gradient) if is_mapped else gradient


_held_if_mapped.defvjp(lambda params: (params, None), lambda _, gradient: (_constant_if_mapped(gradient),))


def _has_mapped_gradients_that_are_constants(call, model, x, carry, **options):
    return call(replace(model, params=_held_if_mapped(model.params)), x, carry, **options)


@jax.custom_jvp
def _beside(bias, bias_n):
    """The second, whose derivative is lost where the first one has none."""
    return bias_n


@partial(_beside.defjvp, symbolic_zeros=True)
def _only_beside(point, along):
    t_bias, t_bias_n = along
    lost = isinstance(t_bias, SymbolicZero) or isinstance(t_bias_n, SymbolicZero)
    return point[1], jnp.zeros_like(point[1]) if lost else t_bias_n


def _trains_biases_together(call, model, x, carry, **options):
    return call(edit(model, lambda p: {"bias_n": _beside(p.bias, p.bias_n)}), x, carry, **options)


def _by_a_loop_from_zeros(call, model, x, carry, **options):
    """Outputs by way of a loop that begins with zeros, which vary over no device."""
    carry, outputs = call(model, x, carry, **options)
    if options.get("time_major"):
        return carry, outputs
    zeros = jnp.zeros((*outputs.shape[:-2], outputs.shape[-1]), outputs.dtype)
    _, by_time = jax.lax.scan(lambda _, output: (output, output), zeros, jnp.moveaxis(outputs, -2, 0))
    return carry, jnp.moveaxis(by_time, 0, -2)


@jax.custom_vjp
def _summed_in_python(a, batch):
    return a


def _batch_asked(batch, gradient):
    if batch.shape[0] > 2**30:  # as a choice between two ways to add up
        raise InputError("a batch that is too large")
    return gradient, jnp.zeros_like(batch)


_summed_in_python.defvjp(lambda a, batch: (a, batch), _batch_asked)


def _asks_for_the_batch_on_the_way_back(call, model, x, carry, **options):
    if x.ndim > 2:
        model = edit(model, lambda p: {"bias": _summed_in_python(p.bias, x)})
    return call(model, x, carry, **options)


class _GradientScaled(PurePort):
    def value_and_grad(self, function, *, has_aux=False):
        differentiate = super().value_and_grad(function, has_aux=has_aux)

        def scaled(model, *arrays):
            value, (gradient, *others) = differentiate(model, *arrays)
            return value, (edit(gradient, lambda p: {"initial_carry": p.initial_carry * (1 + 1e-9)}), *others)

        return scaled


FAULTS: tuple[Fault, ...] = (
    Fault("scaled-gradient", "a gradient off by 1e-9", "sequence", _GradientScaled()),
    Fault("half-precision", "float32 computed in bfloat16", "sequence", Applied(_half_precision)),
    Fault("dtype-ignored", "dtype ignored", "dtype", Applied(_dtype_ignored)),
    Fault("computes-as-stored", "computes in param_dtype", "param-dtype", Applied(_computes_as_stored)),
    Fault("unroll-drops-rest", "unrolled, the last steps are lost", "unroll", Applied(_unroll_drops_the_rest)),
    Fault("remat-detaches", "recomputed, b_hn has no gradient", "remat", Applied(_remat_detaches)),
    Fault("eager-other", "other values outside of jit", "eager", Applied(_other_unless_traced)),
    Fault(
        "inference-other",
        "with masks, other values unless differentiated",
        "inference",
        Applied(_other_unless_differentiated),
    ),
    Fault("needs-batch", "no call without a batch axis", "vmap", Applied(_needs_a_batch_axis)),
    Fault("vmap-shares", "one model for a whole ensemble", "vmap", Applied(_shares_a_model)),
    Fault("no-forward-mode", "a gradient without a forward mode", "jvp", Applied(_no_forward_mode)),
    Fault("first-order-only", "second derivatives are zero", "hvp", Applied(_first_order_only)),
    Fault(
        "mapped-constant", "a mapped gradient is a constant", "hvp", Applied(_has_mapped_gradients_that_are_constants)
    ),
    Fault(
        "known-batch-back", "the way back asks for the batch", "symbolic", Applied(_asks_for_the_batch_on_the_way_back)
    ),
    Fault("zeros-alike", "a loop begins with what varies over no device", "mesh", Applied(_by_a_loop_from_zeros)),
    Fault("crossed-gradients", "mapped gradients change places", "per-example", Applied(_crosses_gradients)),
    Fault("biases-together", "b_hn is trained only beside other biases", "frozen", Applied(_trains_biases_together)),
    Fault("calls-back", "calls back into Python", "export", Applied(_calls_back)),
)
