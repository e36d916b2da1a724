"""Faults in the carry, the masks, the order and the layout of a call."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from ...common.errors import InputError
from ...common.parameters.record import ClassifierParams
from ..pure import PurePort
from .fault import Applied, Elsewhere, Fault, edit, gru_of


def _changed(name, change):
    """An option of the call changed where it is passed: `change(value, options) -> value`."""

    def apply(call, model, x, carry, **options):
        value = options.get(name)
        if value is not None and value is not False:
            options[name] = change(value, options)
        return call(model, x, carry, **options)

    return Applied(apply)


def _cleared(change):
    """As `_changed` of lengths, with inputs that are zero in the padding, so that no NaN tells of it."""

    def apply(call, model, x, carry, **options):
        lengths = options.get("lengths")
        if lengths is not None:
            axis = 0 if options.get("time_major") else x.ndim - 2
            steps = jax.lax.broadcasted_iota(jnp.int32, x.shape[:-1], axis)
            inside = steps < jnp.broadcast_to(jnp.expand_dims(lengths, axis), steps.shape)
            x = jnp.where(inside[..., None], x, jnp.zeros_like(x))
            options["lengths"] = change(lengths, options)
        return call(model, x, carry, **options)

    return Applied(apply)


def _dropped(name, when):
    return _changed(name, lambda value, options: None if options.get(when) else value)


def _carry_ignored(call, model, x, carry, **options):
    return call(model, x, None, **options)


def _carry_detached(call, model, x, carry, **options):
    return call(model, x, None if carry is None else jax.lax.stop_gradient(carry), **options)


def _carry_one_step_early(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return (outputs[..., -2, :] if outputs.shape[-2] > 1 else carry), outputs


def _padding_leaks(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, jnp.where(outputs == 0, jnp.broadcast_to(carry[..., None, :], outputs.shape), outputs)


def _padding_times_zero(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs + 0 * jnp.sum(x)


def _reset_to_zeros(call, model, x, carry, **options):
    if options.get("resets") is None:
        return call(model, x, carry, **options)
    initial = model.params.initial_carry
    start = jnp.broadcast_to(initial, (*x.shape[:-2], initial.shape[-1])) if carry is None else carry
    return call(edit(model, lambda p: {"initial_carry": jnp.zeros_like(initial)}), x, start, **options)


def _lengths_need_no_carry(call, model, x, carry, **options):
    return call(model, x, carry, **(options if carry is None else options | {"lengths": None}))


def _reset_in_padding(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    lengths, resets = options.get("lengths"), options.get("resets")
    if lengths is None or resets is None or options.get("time_major"):
        return carry, outputs
    steps = jnp.broadcast_to(jnp.arange(resets.shape[-1]), resets.shape)
    late = (resets & (steps >= jnp.broadcast_to(lengths[..., None], resets.shape))).any(-1)
    return jnp.where(late[..., None], jnp.broadcast_to(model.params.initial_carry, carry.shape), carry), outputs


def _reverse_flipped(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs[..., ::-1, :] if options.get("reverse") else outputs


def _reverse_detached(call, model, x, carry, **options):
    if options.get("reverse"):
        model = edit(model, lambda p: {"bias_n": jax.lax.stop_gradient(p.bias_n)})
    return call(model, x, carry, **options)


def _reverse_from_padding(call, model, x, carry, **options):
    if not options.pop("reverse", False):
        return call(model, x, carry, **options)
    if options.get("resets") is not None:
        options["resets"] = options["resets"][..., ::-1]
    carry, outputs = call(model, x[..., ::-1, :], carry, **options)
    return carry, outputs[..., ::-1, :]


def _first_row_of_lengths(lengths, options):
    if lengths.ndim < 2 or options.get("time_major"):
        return lengths
    return jnp.broadcast_to(lengths[0], lengths.shape)


def _later(resets, options):
    return jnp.roll(resets, 1, axis=-1)


class _StepForgetsBHn(PurePort):
    def step(self, model, x, carry=None, *, reset=None):
        return super().step(edit(model, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)}), x, carry, reset=reset)


class _StepResetsToZeros(PurePort):
    def step(self, model, x, carry=None, *, reset=None):
        if reset is not None and carry is not None:
            carry = jnp.where(reset[..., None], jnp.zeros_like(carry), carry)
        return super().step(model, x, carry)


class _StepKeepsACarry(PurePort):
    def step(self, model, x, carry=None, *, reset=None):
        return super().step(model, x, carry, reset=reset if carry is None else None)


class _StepRounds(PurePort):
    """What a step gives is rounded to the dtype of its inputs."""

    def step(self, model, x, carry=None, *, reset=None):
        carry, output = super().step(model, x, carry, reset=reset)
        rounded = output.astype(jnp.asarray(x).dtype).astype(output.dtype)
        return rounded, rounded


class _StartDetached(PurePort):
    def initial_carry(self, model, batch_shape=()):
        return jax.lax.stop_gradient(super().initial_carry(model, batch_shape))


class _StartWithoutTangent(PurePort):
    """Hands out the start by a rule of its own for the way back, beside which JAX knows no forward mode."""

    def initial_carry(self, model, batch_shape=()):
        hand_out = partial(super().initial_carry, batch_shape=batch_shape)
        spread = jax.custom_vjp(hand_out)
        spread.defvjp(partial(jax.vjp, hand_out), lambda back, cotangent: back(cotangent))
        return spread(model)


class _StartOfOneAxis(PurePort):
    def initial_carry(self, model, batch_shape=()):
        handed_out = super().initial_carry(model, batch_shape)
        return handed_out if len(batch_shape) < 2 else handed_out.at[:, 1:].set(0)


class _StartOfNoBatch(PurePort):
    def initial_carry(self, model, batch_shape=()):
        return super().initial_carry(model)


class _StartAsStored(PurePort):
    def initial_carry(self, model, batch_shape=()):
        return super().initial_carry(replace(model, dtype=None), batch_shape)


def _drops_later_steps(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    axis = 0 if options.get("time_major") else x.ndim - 2
    steps = jnp.arange(outputs.shape[axis]).reshape([-1 if a == axis else 1 for a in range(outputs.ndim)])
    return carry, jnp.where(steps < 1024, outputs, jnp.zeros_like(outputs))


class _LosesTheSignOfZero(PurePort):
    def dump(self, tree):
        return jax.tree.map(lambda p: p + 0.0, super().dump(tree))


class _LosesTheReadoutsBias(PurePort):
    def dump(self, tree):
        params = super().dump(tree)
        if not isinstance(params, ClassifierParams):
            return params
        return params._replace(readout=params.readout._replace(bias=0 * params.readout.bias))


def _in_a_sum_with_one(call, model, x, carry, **options):
    """Outputs rounded to multiples of what is the last place of 1."""
    carry, outputs = call(model, x, carry, **options)
    place = float(jnp.finfo(outputs.dtype).eps)
    return carry, outputs + jax.lax.stop_gradient(jnp.round(outputs / place) * place - outputs)


def _rounds_to_the_inputs(call, model, x, carry, **options):
    last, outputs = call(model, x, carry, **options)
    return last, outputs.astype(x.dtype).astype(outputs.dtype)


def _rounds_inputs_beside_narrow_parameters(call, model, x, carry, **options):
    return call(model, x.astype(gru_of(model).bias.dtype).astype(x.dtype), carry, **options)


def _rounds_parameters_beside_narrow_inputs(call, model, x, carry, **options):
    def rounded(p):
        return {name: array.astype(x.dtype).astype(array.dtype) for name, array in p._asdict().items()}

    return call(edit(model, rounded), x, carry, **options)


def _through_padding(call, model, x, carry, **options):
    """The carry plus zero times its change."""
    carry, outputs = call(model, x, carry, **options)
    return carry if options.get("lengths") is None else carry + 0 * carry, outputs


def _pieces_in_the_order_of_time(call, model, x, carry, *, reverse=False, resets=None, **options):
    whole, (T, piece) = {"reverse": reverse, "resets": resets} | options, (x.shape[-2], 256)
    if not (reverse and model.remat) or T % piece or piece == T or options.get("lengths") is not None:
        return call(model, x, carry, **whole)
    outputs = []
    for first in range(0, T, piece):
        here = slice(first, first + piece)
        of_piece = {"reverse": True, "resets": None if resets is None else resets[..., here]} | options
        carry, output = call(model, x[..., here, :], carry, **of_piece)
        outputs.append(output)
    return carry, jnp.concatenate(outputs, axis=-2)


def _in_16_bits(call, model, x, carry, *, lengths=None, **options):
    if lengths is not None:
        lengths = jnp.maximum(jnp.asarray(lengths), 0).astype(jnp.uint16)
    return call(model, x, carry, lengths=lengths, **options)


def _in_the_dtype_of_outputs(call, model, x, carry, *, lengths=None, time_major=False, **options):
    carry, outputs = call(model, x, carry, lengths=lengths, time_major=time_major, **options)
    if lengths is None or time_major:
        return carry, outputs
    steps = jnp.broadcast_to(jnp.arange(outputs.shape[-2], dtype=outputs.dtype), outputs.shape[:-1])
    on = steps < jnp.asarray(lengths)[..., None].astype(outputs.dtype)
    return carry, jnp.where(on[..., None], outputs, jnp.zeros_like(outputs))


def _asks_for_the_batch(call, model, x, carry, **options):
    if any(axis > 2**30 for axis in getattr(x, "shape", ())[:-2]):  # as a choice between two ways to compute
        raise InputError("a batch that is too large")
    return call(model, x, carry, **options)


FAULTS: tuple[Fault, ...] = (
    Fault("early-carry", "returns the carry one step early", "sequence", Applied(_carry_one_step_early)),
    Fault("carry-ignored", "a passed carry ignored", "carry", Applied(_carry_ignored)),
    Fault("carry-detached", "no gradient through a passed carry", "chunks", Applied(_carry_detached)),
    Fault("step-no-b-hn", "one step alone forgets b_hn", "step", _StepForgetsBHn()),
    Fault("length-off-by-one", "one step too many", "lengths", _changed("lengths", lambda n, *_: n + 1)),
    Fault("length-zero-runs", "length 0 runs one step", "lengths", _changed("lengths", lambda n, *_: n.clip(1))),
    Fault("cleared-one-more", "padding cleared, one step too many", "lengths", _cleared(lambda n, *_: n + 1)),
    Fault("cleared-zero-runs", "padding cleared, length 0 runs one step", "lengths", _cleared(lambda n, *_: n.clip(1))),
    Fault("cleared-no-lengths", "padding cleared, lengths ignored", "masks", _cleared(lambda *_: None)),
    Fault("padding-leaks", "padding outputs the carry", "lengths", Applied(_padding_leaks)),
    Fault("nan-padding", "padding multiplied by 0 instead of masked", "lengths", Applied(_padding_times_zero)),
    Fault("reset-to-zeros", "an episode starts from zeros", "resets", Applied(_reset_to_zeros)),
    Fault("resets-ignored", "resets ignored", "resets", _changed("resets", lambda *_: None)),
    Fault("reset-late", "a reset takes effect a step late", "resets", _changed("resets", _later)),
    Fault(
        "resets-need-lengths",
        "resets ignored without lengths",
        "resets",
        _changed("resets", lambda resets, options: None if options.get("lengths") is None else resets),
    ),
    Fault(
        "lengths-need-resets",
        "lengths ignored without resets",
        "lengths",
        _changed("lengths", lambda lengths, options: None if options.get("resets") is None else lengths),
    ),
    Fault("lengths-need-no-carry", "lengths ignored with a carry", "masks", Applied(_lengths_need_no_carry)),
    Fault("reset-in-padding", "a reset in padding counts", "masks", Applied(_reset_in_padding)),
    Fault("reverse-ignored", "reverse ignored", "reverse", _changed("reverse", lambda *_: False)),
    Fault("reverse-flipped", "outputs in the order of the run", "reverse", Applied(_reverse_flipped)),
    Fault("reverse-from-padding", "a backward run begins in the padding", "reverse", Applied(_reverse_from_padding)),
    Fault("reverse-detached", "backwards, b_hn has no gradient", "reverse", Applied(_reverse_detached)),
    Fault("reverse-no-resets", "a backward run ignores resets", "reverse", _dropped("resets", when="reverse")),
    Fault("first-row", "lengths of the first row for all", "batch-axes", _changed("lengths", _first_row_of_lengths)),
    Fault(
        "cleared-first-row",
        "padding cleared, lengths of the first row for all",
        "batch-axes",
        _cleared(_first_row_of_lengths),
    ),
    Fault("time-major-no-resets", "resets ignored time-major", "time-major", _dropped("resets", when="time_major")),
    Fault("time-major-no-lengths", "lengths ignored time-major", "time-major", _dropped("lengths", when="time_major")),
    Fault("step-reset-to-zeros", "one step resets to zeros", "step-reset", _StepResetsToZeros()),
    Fault("step-keeps-carry", "one step ignores a reset where a carry is passed", "step-reset", _StepKeepsACarry()),
    Fault("start-detached", "the start that is handed out has no gradient", "start", _StartDetached()),
    Fault("start-without-tangent", "the start that is handed out has no jvp", "start", _StartWithoutTangent()),
    Fault("start-of-one-axis", "the start of two batch axes is that of the first entry", "start", _StartOfOneAxis()),
    Fault("start-of-no-batch", "the start that is handed out has no batch axes", "start", _StartOfNoBatch()),
    Fault("start-as-stored", "the start that is handed out ignores dtype", "start", _StartAsStored()),
    Fault("after-1024", "outputs of 1024 steps alone", "long", Applied(_drops_later_steps)),
    Fault("known-batch", "Python asks for the batch size", "symbolic", Applied(_asks_for_the_batch)),
    Fault(
        "pieces-in-order",
        "pieces of a long run backwards in the order of time",
        "long-reverse",
        Applied(_pieces_in_the_order_of_time),
    ),
    Fault("counted-short", "lengths counted in 16 bits", "counted", Applied(_in_16_bits)),
    Fault("counted-coarse", "lengths counted in half precision", "counted", Applied(_in_the_dtype_of_outputs)),
    Fault("faint-lost", "what is near 0 is rounded as beside 1", "faint", Applied(_in_a_sum_with_one)),
    Fault("promotion-rounded", "rounded to the inputs' dtype", "promotion", Applied(_rounds_to_the_inputs)),
    Fault(
        "inputs-rounded",
        "inputs rounded to the parameters' dtype",
        "promotion",
        Applied(_rounds_inputs_beside_narrow_parameters),
    ),
    Fault(
        "parameters-rounded",
        "parameters rounded to the inputs' dtype",
        "promotion",
        Applied(_rounds_parameters_beside_narrow_inputs),
    ),
    Fault("promotion-of-a-step", "a step rounded to its inputs' dtype", "promotion", _StepRounds()),
    Fault("padding-multiplied", "padding is multiplied by zero", "held", Applied(_through_padding)),
    Fault("no-negative-zero", "-0.0 is dumped as 0.0", "conversion", _LosesTheSignOfZero()),
    Fault("no-readout-bias", "a classifier is handed out without its bias", "exchange", _LosesTheReadoutsBias()),
    Fault("misstated-shapes", "linen: shapes not transposed", "exchange", Elsewhere("linen", "MisstatesShapes")),
)
