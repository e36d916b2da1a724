"""Ports with one planted fault each: what `trigru verify` must notice. `trigru verify --self-test` runs them.

Each is plain JAX (`impls/pure.py`) with a fault that somebody has made, or could make, in a port. A mutant that no
check notices means that the checks are blind there. Adding one is adding a row to `MUTANTS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..common.params import ClassifierParams
from ..common.port import CallStyle, functional_program
from .pure import PORT, Model, Params, PurePort

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A faulty port.

    Args:
        name: stable.
        fault: what is wrong, in a few words.
        check: the check that is there for this fault; others may notice it too.
        port: plain JAX with the fault.
    """

    name: str
    fault: str
    check: str
    port: PurePort


# Faults in what is computed: the parameters are edited on the way into the model ---------------------------------


class _Edited(PurePort):
    def __init__(self, change: Callable[[Params], dict[str, Any]]):
        self._change = change

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        return super().apply(_edit(model, self._change), x, carry, lengths=lengths, resets=resets)

    def step(self, model, x, carry=None):
        return super().step(_edit(model, self._change), x, carry)


def _edit(model: Any, change: Callable[[Any], dict[str, Any]]) -> Any:
    return Model(model.params._replace(**change(model.params)), model.dtype)


def _gates(order, signs=(1, 1, 1)):
    """Put the gates r, z, n of the fused matrices in another order, or negate their preactivations."""

    def rearranged(a):
        gates = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([gates[g] * s for g, s in zip(order, signs, strict=True)], axis=-1)

    return lambda p: {name: rearranged(getattr(p, name)) for name in ("kernel_i", "kernel_h", "bias")}


def _b_hn_outside_r(p):
    H = p.bias_n.shape[0]
    return {"bias": p.bias.at[2 * H :].add(p.bias_n), "bias_n": jnp.zeros_like(p.bias_n)}


def _recurrent_transposed(p):
    gates = [gate.T for gate in jnp.split(p.kernel_h, 3, axis=-1)]
    return {"kernel_h": jnp.concatenate(gates, axis=-1)}


class _ResetBeforeProduct(PurePort):
    """The older cell of Cho et al., which Haiku has: W_hn (r * h) instead of r * (W_hn h)."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        p = model.params
        if lengths is not None or resets is not None:
            return super().apply(model, x, carry, lengths=lengths, resets=resets)

        def advance(h, x):
            H = h.shape[-1]
            i_r, i_z, i_n = jnp.split(x @ p.kernel_i + jnp.broadcast_to(p.bias, (x.shape[0], 3 * H)), 3, axis=-1)
            h_r, h_z = jnp.split(h @ p.kernel_h[:, : 2 * H], 2, axis=-1)
            r, z = jax.nn.sigmoid(i_r + h_r), jax.nn.sigmoid(i_z + h_z)
            b_n = jnp.broadcast_to(p.bias_n, h.shape)
            h = (1 - z) * jnp.tanh(i_n + (r * h) @ p.kernel_h[:, 2 * H :] + r * b_n) + z * h
            return h, h

        start = p.initial_carry if carry is None else carry
        carry, outputs = jax.lax.scan(
            advance, jnp.broadcast_to(start, (x.shape[0], start.shape[-1])), jnp.moveaxis(x, 1, 0)
        )
        return carry, jnp.moveaxis(outputs, 0, 1)


# Faults in the carry, the masks and the results ------------------------------------------------------------------


class _Applied(PurePort):
    """`change(call, model, x, carry, lengths, resets)` stands for apply; `call` is the right one."""

    def __init__(self, change: Callable[..., Any]):
        self._change = change

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        def call(model, x, carry, lengths=lengths, resets=resets):
            return PORT.apply(model, x, carry, lengths=lengths, resets=resets)

        return self._change(call, model, x, carry, lengths, resets)


def _carry_ignored(call, model, x, carry, lengths, resets):
    return call(model, x, None)


def _carry_detached(call, model, x, carry, lengths, resets):
    return call(model, x, None if carry is None else jax.lax.stop_gradient(carry))


def _carry_one_step_early(call, model, x, carry, lengths, resets):
    carry, outputs = call(model, x, carry)
    return (outputs[..., -2, :] if outputs.shape[-2] > 1 else carry), outputs


def _time_first(call, model, x, carry, lengths, resets):
    carry, outputs = call(model, x, carry)
    return carry, jnp.swapaxes(outputs, 0, 1)


def _time_reversed(call, model, x, carry, lengths, resets):
    return call(model, x[..., ::-1, :], carry) if lengths is None else call(model, x, carry)


def _length_off_by_one(call, model, x, carry, lengths, resets):
    return call(model, x, carry, lengths=None if lengths is None else lengths + 1)


def _length_zero_runs(call, model, x, carry, lengths, resets):
    return call(model, x, carry, lengths=None if lengths is None else jnp.maximum(lengths, 1))


def _padding_leaks(call, model, x, carry, lengths, resets):
    carry, outputs = call(model, x, carry)
    return carry, jnp.where(outputs == 0, carry[..., None, :], outputs)


def _reset_to_zeros(call, model, x, carry, lengths, resets):
    if resets is None:
        return call(model, x, carry)
    initial = model.params.initial_carry
    start = jnp.broadcast_to(initial, (x.shape[0], initial.shape[-1])) if carry is None else carry
    return call(_edit(model, lambda p: {"initial_carry": jnp.zeros_like(initial)}), x, start)


def _resets_ignored(call, model, x, carry, lengths, resets):
    return call(model, x, carry, resets=None)


def _resets_need_lengths(call, model, x, carry, lengths, resets):
    return call(model, x, carry, resets=None if lengths is None else resets)


def _lengths_need_no_carry(call, model, x, carry, lengths, resets):
    return call(model, x, carry, lengths=lengths if carry is None else None)


def _padding_times_zero(call, model, x, carry, lengths, resets):
    carry, outputs = call(model, x, carry)
    return carry, outputs + 0 * jnp.sum(x)


def _reset_in_padding(call, model, x, carry, lengths, resets):
    carry, outputs = call(model, x, carry)
    if lengths is None or resets is None:
        return carry, outputs
    late = (resets & (jnp.arange(x.shape[1]) >= lengths[:, None])).any(axis=1, keepdims=True)
    return jnp.where(late, jnp.broadcast_to(model.params.initial_carry, carry.shape), carry), outputs


def _half_precision(call, model, x, carry, lengths, resets):
    if x.dtype != jnp.float32:
        return call(model, x, carry)
    return jax.tree.map(lambda a: a.astype("float32"), call(Model(model.params, "bfloat16"), x, carry))


# Faults elsewhere: one step, conversion, gradients, readout ------------------------------------------------------


class _StepForgetsBHn(PurePort):
    def step(self, model, x, carry=None):
        return super().step(_edit(model, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)}), x, carry)


class _DumpTransposed(PurePort):
    def dump(self, tree):
        params = super().dump(tree)
        gru = params.gru if isinstance(params, ClassifierParams) else params
        gru = gru._replace(weight_hh=np.concatenate([gate.T for gate in np.split(gru.weight_hh, 3)]))
        return params._replace(gru=gru) if isinstance(params, ClassifierParams) else gru


class _LoadRounds(PurePort):
    def load(self, config, params):
        if config.param_dtype == "float64":
            params = jax.tree.map(lambda p: p.astype("float32").astype("float64"), params)
        return super().load(config, params)


class _GradientScaled(PurePort):
    def value_and_grad(self, function):
        differentiate = super().value_and_grad(function)

        def scaled(model, *arrays):
            value, (gradient, *others) = differentiate(model, *arrays)
            return value, (_edit(gradient, lambda p: {"initial_carry": p.initial_carry * (1 + 1e-9)}), *others)

        return scaled


class _ReadoutOfPadding(PurePort):
    def classify(self, model, x, lengths=None):
        return super().classify(model, x)


# Faults in call styles and the optimiser's path ------------------------------------------------------------------


class _Styled(PurePort):
    def __init__(self, build: Callable[..., Any], *, first: bool = False):
        faulty = (CallStyle("faulty", "", build),)
        self.call_styles = faulty if first else (*PORT.call_styles, *faulty)


def _runs_another_model(port, model, task):
    return functional_program(port, jax.tree.map(lambda p: p + 1e-9, model), task)


def _detaches_initial_carry(port, model, task):
    def rebuild(tree):
        return _edit(tree, lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})

    return functional_program(port, model, task, rebuild)


def _trains_with(update):
    """A train step of its own: `update(optimizer, gradient, state, model) -> (model, state)`."""

    def build(port, model, task):
        program = functional_program(port, model, task)
        if task.phase != "train_step":
            return program
        differentiate = jax.jit(jax.value_and_grad(task.objective))
        state = task.optimizer.init(model)

        def call(*arrays):
            nonlocal model, state
            loss, gradient = differentiate(model, *arrays)
            model, state = update(task.optimizer, gradient, state, model)
            return loss

        program.call, program.params = call, lambda: port.dump(model)
        return program

    return build


def _forgets_state(optimizer, gradient, state, model):
    updates, _ = optimizer.update(gradient, optimizer.init(model), model)
    return optax.apply_updates(model, updates), state


def _updates_twice(optimizer, gradient, state, model):
    updates, state = optimizer.update(gradient, state, model)
    return optax.apply_updates(optax.apply_updates(model, updates), updates), state


def _loses_an_update(optimizer, gradient, state, model):
    updates, state = optimizer.update(gradient, state, model)
    return optax.apply_updates(model, _edit(updates, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})), state


def _two_biases(optimizer, gradient, state, model):
    """A second bias beside the first, as in torch: the same function, but under Adam it moves twice as far."""
    updates, state = optimizer.update(gradient, state, model)
    return optax.apply_updates(model, _edit(updates, lambda p: {"bias": 2 * p.bias})), state


MUTANTS: tuple[Mutant, ...] = (
    Mutant("swapped-gates", "r and z swapped", "sequence", _Edited(_gates((1, 0, 2)))),
    Mutant("inverted-z", "h' = z * n + (1 - z) * h", "sequence", _Edited(_gates((0, 1, 2), (1, -1, 1)))),
    Mutant("no-b-hn", "b_hn dropped", "sequence", _Edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})),
    Mutant("b-hn-outside-r", "b_hn added outside r", "sequence", _Edited(_b_hn_outside_r)),
    Mutant("reset-first", "r applied before the product", "sequence", _ResetBeforeProduct()),
    Mutant("double-bias", "b_i counted twice", "sequence", _Edited(lambda p: {"bias": 2 * p.bias})),
    Mutant("transposed", "recurrent matrices transposed", "sequence", _Edited(_recurrent_transposed)),
    Mutant("zero-start", "starts from zeros", "sequence", _Edited(lambda p: {"initial_carry": p.initial_carry * 0})),
    Mutant(
        "detached-start",
        "no gradient to the initial carry",
        "sequence",
        _Edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)}),
    ),
    Mutant("scaled-gradient", "its gradient off by 1e-9", "sequence", _GradientScaled()),
    Mutant("early-carry", "returns the carry one step early", "sequence", _Applied(_carry_one_step_early)),
    Mutant("time-first", "outputs time-major", "sequence", _Applied(_time_first)),
    Mutant("time-reversed", "runs backwards", "sequence", _Applied(_time_reversed)),
    Mutant("half-precision", "float32 computed in bfloat16", "sequence", _Applied(_half_precision)),
    Mutant("carry-ignored", "a passed carry ignored", "carry", _Applied(_carry_ignored)),
    Mutant("carry-detached", "no gradient through a passed carry", "chunks", _Applied(_carry_detached)),
    Mutant("step-no-b-hn", "one step alone forgets b_hn", "step", _StepForgetsBHn()),
    Mutant("length-off-by-one", "one step too many", "lengths", _Applied(_length_off_by_one)),
    Mutant("length-zero-runs", "length 0 runs one step", "lengths", _Applied(_length_zero_runs)),
    Mutant("padding-leaks", "padding outputs the carry", "lengths", _Applied(_padding_leaks)),
    Mutant("reset-to-zeros", "an episode starts from zeros", "resets", _Applied(_reset_to_zeros)),
    Mutant("resets-ignored", "resets ignored", "resets", _Applied(_resets_ignored)),
    Mutant("resets-need-lengths", "resets ignored without lengths", "resets", _Applied(_resets_need_lengths)),
    Mutant("lengths-need-no-carry", "lengths ignored with a carry", "masks", _Applied(_lengths_need_no_carry)),
    Mutant("nan-padding", "padding multiplied by 0 instead of masked", "lengths", _Applied(_padding_times_zero)),
    Mutant("reset-in-padding", "a reset in padding counts", "masks", _Applied(_reset_in_padding)),
    Mutant("dump-transposed", "dumped matrices transposed", "conversion", _DumpTransposed()),
    Mutant("load-rounds", "loading rounds to float32", "conversion", _LoadRounds()),
    Mutant("readout-of-padding", "readout after the padding", "classifier", _ReadoutOfPadding()),
    Mutant("two-biases", "a second bias, trained too", "training", _Styled(_trains_with(_two_biases), first=True)),
    Mutant("style-other-model", "a style runs another model", "forward", _Styled(_runs_another_model)),
    Mutant("style-detached", "a style detaches the start", "training", _Styled(_detaches_initial_carry)),
    Mutant("style-no-state", "optimiser state forgotten", "training", _Styled(_trains_with(_forgets_state))),
    Mutant("style-twice", "updates applied twice", "training", _Styled(_trains_with(_updates_twice))),
    Mutant("style-lost-update", "b_hn never updated", "training", _Styled(_trains_with(_loses_an_update))),
)
