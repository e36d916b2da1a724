"""Faults in conversion, the readout, call styles and the optimiser's path."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...common.parameters.record import from_leaves, leaves
from ...common.port.protocol import DONATED, CallStyle
from ...common.port.styles import functional_program
from ..pure import PORT, Classifier, PurePort
from .fault import Fault, edit, gru_of


class _DumpTransposed(PurePort):
    def dump(self, tree):
        arrays = leaves(super().dump(tree))
        gates = np.split(arrays["weight_hh"], 3)
        return from_leaves(arrays | {"weight_hh": np.concatenate([gate.T for gate in gates])})


class _DumpWidens(PurePort):
    def dump(self, tree):
        arrays = leaves(super().dump(tree))
        return from_leaves(arrays | {"bias_n": np.asarray(arrays["bias_n"], np.float64)})


class _LoadRounds(PurePort):
    def load(self, config, params):
        if config.param_dtype == "float64":
            params = jax.tree.map(lambda p: p.astype("float32").astype("float64"), params)
        return super().load(config, params)


class _ReadoutOfPadding(PurePort):
    def classify(self, model, x, lengths=None):
        return super().classify(model, x)


class _Styled(PurePort):
    def __init__(self, build: Callable[..., Any], *, first: bool = False, **facts: Any):
        faulty = (CallStyle("faulty", "", build, **facts),)
        self.call_styles = faulty if first else (*PORT.call_styles, *faulty)


def _runs_another_model(port, model, task):
    return functional_program(port, jax.tree.map(lambda p: p + 1e-9, model), task)


def _infers_with_another_model(port, model, task):
    moved = jax.tree.map(lambda p: p + 1e-9, model) if task.phase == "forward" else model
    return functional_program(port, moved, task)


def _detaches_initial_carry(port, model, task):
    def rebuild(tree):
        return edit(tree, lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})

    return functional_program(port, model, task, rebuild)


def _gives_up_the_model(port, model, task):
    """As a style that donates the arrays of the model that it was made of."""
    program = functional_program(port, model, task)

    def call(*arguments):
        found = program.call(*arguments)
        jax.tree.map(lambda array: array.delete(), model)
        return found

    return replace(program, call=call) if task.phase == "train_step" else program


def _gives_up_parameters_alone(port, model, task):
    own = jax.tree.map(jnp.copy, model)
    return functional_program(port, own, task, jit=partial(jax.jit, donate_argnums=(0,)))


def _trains_with(update):
    """Another optimiser: `update(optimizer, gradient, state, model) -> (updates, state)`."""

    def build(port, model, task):
        wrong = optax.GradientTransformation(task.optimizer.init, partial(update, task.optimizer))
        return functional_program(port, model, replace(task, optimizer=wrong))

    return build


def _forgets_state(optimizer, gradient, state, model):
    updates, _ = optimizer.update(gradient, optimizer.init(model), model)
    return updates, state


def _updates_twice(optimizer, gradient, state, model):
    updates, state = optimizer.update(gradient, state, model)
    return jax.tree.map(lambda u: 2 * u, updates), state


def _doubles_the_gradient(optimizer, gradient, state, model):
    return optimizer.update(jax.tree.map(lambda g: 2 * g, gradient), state, model)


def _loses_an_update(optimizer, gradient, state, model):
    updates, state = optimizer.update(gradient, state, model)
    return edit(updates, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)}), state


def _two_biases(optimizer, gradient, state, model):
    """A second bias beside the first, as in torch: the same function, but under Adam it moves twice as far."""
    updates, state = optimizer.update(gradient, state, model)
    return edit(updates, lambda p: {"bias": 2 * p.bias}), state


def _decays_no_biases(optimizer, gradient, state, model):
    """Weight decay that spares biases, as many a recipe has it: Adam alone doesn't look at parameters."""
    seen = edit(model, lambda p: {"bias": jnp.zeros_like(p.bias), "bias_n": jnp.zeros_like(p.bias_n)})
    return optimizer.update(gradient, state, seen)


def _norm_of_some(optimizer, gradient, state, model):
    """A leaf that is hidden from the optimiser's global norm by a mask, and moved by a step of its own."""
    one, _ = optimizer.update(edit(gradient, lambda p: {"initial_carry": 0 * p.initial_carry}), state, model)
    whole, state = optimizer.update(gradient, state, model)
    return edit(one, lambda p: {"initial_carry": gru_of(whole).initial_carry}), state


def _names_swapped(optimizer, gradient, state, model):
    """The optimiser sees b_hn under the initial carry's name, and the other way round."""

    def swapped(tree):
        return edit(tree, lambda p: {"bias_n": p.initial_carry, "initial_carry": p.bias_n})

    updates, state = optimizer.update(swapped(gradient), state, swapped(model))
    return swapped(updates), state


def _length_on_the_update(optimizer, gradient, state, model):
    """What is to multiply the start's gradient multiplies its update: the same under SGD, and not under Adam."""
    T = 17

    def times(tree, factor):
        return edit(tree, lambda p: {"initial_carry": factor * p.initial_carry})

    updates, state = optimizer.update(times(gradient, 1 / T), state, model)
    return times(updates, T), state


def _freezes_the_readout(optimizer, gradient, state, model):
    updates, state = optimizer.update(gradient, state, model)
    if isinstance(updates.params, Classifier):
        updates = replace(updates, params=updates.params._replace(bias=jnp.zeros_like(updates.params.bias)))
    return updates, state


FAULTS: tuple[Fault, ...] = (
    Fault("dump-transposed", "dumped matrices transposed", "conversion", _DumpTransposed()),
    Fault("dump-widens", "one dumped array is wider than the others", "exchange", _DumpWidens()),
    Fault("load-rounds", "loading rounds to float32", "conversion", _LoadRounds()),
    Fault("readout-of-padding", "readout after the padding", "classifier", _ReadoutOfPadding()),
    Fault(
        "readout-frozen",
        "the readout's bias never updated",
        "classifier",
        _Styled(_trains_with(_freezes_the_readout), first=True),
    ),
    Fault("two-biases", "a second bias, trained too", "training", _Styled(_trains_with(_two_biases), first=True)),
    Fault("style-other-model", "a style runs another model", "forward", _Styled(_runs_another_model)),
    Fault("style-inference", "it infers with another model", "forward", _Styled(_infers_with_another_model)),
    Fault("style-detached", "a style detaches the start", "training", _Styled(_detaches_initial_carry)),
    Fault("style-gives-up", "the model is gone after a train step", "training", _Styled(_gives_up_the_model)),
    Fault(
        "half-donated",
        "a donated step keeps the optimiser's state",
        "memory",
        _Styled(_gives_up_parameters_alone, labels=(DONATED,), phases=("train_step",)),
    ),
    Fault("style-no-state", "optimiser state forgotten", "training", _Styled(_trains_with(_forgets_state))),
    Fault("style-twice", "updates applied twice", "training", _Styled(_trains_with(_updates_twice))),
    Fault("style-lost-update", "b_hn never updated", "training", _Styled(_trains_with(_loses_an_update))),
    Fault("double-gradient", "gradients doubled", "sgd", _Styled(_trains_with(_doubles_the_gradient), first=True)),
    Fault("no-bias-decay", "biases not decayed", "adamw", _Styled(_trains_with(_decays_no_biases), first=True)),
    Fault(
        "rate-of-another", "b_hn at the start's rate", "carry-rate", _Styled(_trains_with(_names_swapped), first=True)
    ),
    Fault(
        "length-on-update",
        "length multiplies the update",
        "carry-rate",
        _Styled(_trains_with(_length_on_the_update), first=True),
    ),
    Fault("partial-norm", "a norm without the start", "adamw", _Styled(_trains_with(_norm_of_some), first=True)),
)
