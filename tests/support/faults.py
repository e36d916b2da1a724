"""Ports of plain JAX with one planted fault each: `verify` has to notice every one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import initializers
from trigru.common.errors import InputError
from trigru.common.parameters.record import from_leaves, leaves
from trigru.common.port.protocol import CallStyle, Port
from trigru.common.port.styles import functional_program
from trigru.impls.pure import CLASS, PORT, PurePort


@dataclass(frozen=True)
class Fault:
    """A port with a fault.

    Args:
        name: of the fault.
        what: is wrong, in a few words.
        check: the one that is there for this fault; others may notice it, too.
        port: the one that has it.
    """

    name: str
    what: str
    check: str
    port: Port


class Faulty(PurePort):
    """Plain JAX with some attributes changed. A method gets the right one as its first argument."""

    def __init__(self, **changed: Any):
        for name, change in changed.items():
            right = getattr(PORT, name)
            setattr(self, name, partial(change, right) if callable(right) else change)


def styled(build: Callable[..., Any]) -> Faulty:
    """Plain JAX with one call style, whose program is built so."""
    return Faulty(call_styles=(CallStyle("faulty", "", build),))


class WithoutBn(PurePort):
    def apply(self, model, x, carry=None, **options):
        return super().apply(_without_bn(model), x, carry, **options)

    def step(self, model, x, carry=None, **options):
        return super().step(_without_bn(model), x, carry, **options)


def _without_bn(model):
    zeros = jnp.zeros_like(model.params.bias_n)
    return replace(model, params=model.params._replace(bias_n=zeros))


class Detached(PurePort):
    def apply(self, model, x, carry=None, **options):
        return super().apply(_detached(model), x, carry, **options)

    def step(self, model, x, carry=None, **options):
        return super().step(_detached(model), x, carry, **options)


def _detached(model):
    start = jax.lax.stop_gradient(model.params.initial_carry)
    return replace(model, params=model.params._replace(initial_carry=start))


class OneStepTooMany(PurePort):
    def apply(self, model, x, carry=None, *, lengths=None, **options):
        if lengths is not None:
            lengths = lengths + 1
        return super().apply(model, x, carry, lengths=lengths, **options)


class CountsIn16Bits(PurePort):
    def apply(self, model, x, carry=None, *, lengths=None, **options):
        if lengths is not None:
            lengths = jnp.maximum(lengths, 0).astype(jnp.uint16)
        return super().apply(model, x, carry, lengths=lengths, **options)


class IgnoresResets(PurePort):
    def apply(self, model, x, carry=None, *, resets=None, **options):
        return super().apply(model, x, carry, **options)


class OutputsInOrderOfRun(PurePort):
    def apply(self, model, x, carry=None, *, reverse=False, **options):
        carry, outputs = super().apply(model, x, carry, reverse=reverse, **options)
        if reverse and not options.get("time_major"):
            outputs = outputs[..., ::-1, :]
        return carry, outputs


class IgnoresDtype(PurePort):
    def apply(self, model, x, carry=None, **options):
        return super().apply(replace(model, dtype=None), x, carry, **options)


class StartAsStored(PurePort):
    def initial_carry(self, model, batch_shape=()):
        return super().initial_carry(replace(model, dtype=None), batch_shape)


class DumpsTransposed(PurePort):
    def dump(self, tree):
        arrays = leaves(super().dump(tree))
        gates = [gate.T for gate in np.split(arrays["weight_hh"], 3)]
        return from_leaves(arrays | {"weight_hh": np.concatenate(gates)})


class AsksForTheBatch(PurePort):
    def apply(self, model, x, carry=None, **options):
        # as a choice between two ways to compute
        for size in getattr(x, "shape", ())[:-2]:
            if size > 2**30:
                raise InputError("a batch that is too large")
        return super().apply(model, x, carry, **options)


class BeginsWithZeros(PurePort):
    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)

        def keep(_, output):
            return output, output

        _, outputs = jax.lax.scan(keep, jnp.zeros_like(outputs[0]), outputs)
        return carry, outputs


class MultipliesPadding(PurePort):
    def apply(self, model, x, carry=None, *, lengths=None, **options):
        carry, outputs = super().apply(model, x, carry, lengths=lengths, **options)
        if lengths is not None:
            carry = carry + 0 * carry
        return carry, outputs


class ForgetsUnroll(PurePort):
    def load(self, config, params):
        return super().load(replace(config, unroll=1), params)


class DrawsTooWide(PurePort):
    def make(self, config, key):
        return jax.tree.map(lambda p: 1.1 * p, super().make(config, key))


class DrawsTwoGatesAlike(PurePort):
    def make(self, config, key):
        model = super().make(config, key)
        hidden_size = config.hidden_size
        of_r = model.params.kernel_i[:, :hidden_size]
        kernel_i = model.params.kernel_i.at[:, hidden_size : 2 * hidden_size].set(of_r)
        return replace(model, params=model.params._replace(kernel_i=kernel_i))


class TakesNumbersAsFlags(PurePort):
    def apply(self, model, x, carry=None, **options):
        for name in ("reverse", "time_major"):
            if name in options:
                options[name] = bool(options[name])
        return super().apply(model, x, carry, **options)


class IgnoresRemat(PurePort):
    def apply(self, model, x, carry=None, **options):
        return super().apply(replace(model, remat=False), x, carry, **options)


def _other_model(port, model, task):
    other = jax.tree.map(lambda p: p + 1e-9, model)
    return functional_program(port, other, task)


def _steps_too_long(port, model, task):
    optimizer = optax.chain(task.optimizer, optax.scale(1.001))
    return functional_program(port, model, replace(task, optimizer=optimizer))


def _construct_learned(*sizes, carry_init=None, **options):
    if carry_init is None:
        carry_init = initializers.zeros
    return CLASS.construct(*sizes, carry_init=carry_init, **options)


_NONE_LEARNED = Faulty(model_class=replace(CLASS, construct=_construct_learned))

#: In the order of the checks.
FAULTS = (
    Fault("no-b-hn", "b_hn dropped", "sequence", WithoutBn()),
    Fault("detached-start", "no gradient to the initial carry", "sequence", Detached()),
    Fault("length-off-by-one", "one step too many", "lengths", OneStepTooMany()),
    Fault("no-resets", "resets ignored", "resets", IgnoresResets()),
    Fault(
        "reverse-flipped",
        "backwards, outputs in the order of the run",
        "reverse",
        OutputsInOrderOfRun(),
    ),
    Fault("dtype-ignored", "dtype ignored", "dtype", IgnoresDtype()),
    Fault(
        "style-other-model",
        "a call style runs another model",
        "styles",
        styled(_other_model),
    ),
    Fault(
        "dump-transposed",
        "dumped matrices transposed",
        "conversion",
        DumpsTransposed(),
    ),
    Fault(
        "too-far", "steps a thousandth too long", "training", styled(_steps_too_long)
    ),
    Fault(
        "start-as-stored", "the start is handed out as stored", "start", StartAsStored()
    ),
    Fault("counted-short", "lengths counted in 16 bits", "counted", CountsIn16Bits()),
    Fault("known-batch", "asks how large the batch is", "export", AsksForTheBatch()),
    Fault(
        "zeros-alike",
        "a loop begins with what varies over no device",
        "mesh",
        BeginsWithZeros(),
    ),
    Fault(
        "padding-multiplied",
        "padding is multiplied by zero",
        "held",
        MultipliesPadding(),
    ),
    Fault("load-forgets", "loaded, unroll is lost", "life", ForgetsUnroll()),
    Fault("too-wide", "parameters drawn a tenth too wide", "draws", DrawsTooWide()),
    Fault("alike-gates", "two gates drawn by one key", "draws", DrawsTwoGatesAlike()),
    Fault("truthy-flags", "reverse=1 goes through", "refusals", TakesNumbersAsFlags()),
    Fault("none-learned", "carry_init=None is learned", "class", _NONE_LEARNED),
    Fault("remat-ignored", "remat ignored", "memory", IgnoresRemat()),
)
