"""The planted faults, in the order of the checks that are there for them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.nn import initializers

from ...common.errors import InputError
from ...common.parameters.record import from_leaves, leaves
from ...common.port.protocol import DONATED, CallStyle, Port
from ...common.port.styles import functional_program
from ..pure import CLASS, PORT, Classifier, Params, PurePort


@dataclass(frozen=True)
class Fault:
    """A port of plain JAX with a fault."""

    name: str  # stable
    what: str  # is wrong, in a few words
    check: str  # the one that is there for this fault; others may notice it too
    port: Port
    levels: dict[str, str] = field(default_factory=dict)  # with which it shows, where the check has rows


class Faulty(PurePort):
    """Plain JAX with some attributes changed. A method gets the right one as its first argument."""

    def __init__(self, **changed: Any):
        for name, change in changed.items():
            right = getattr(PORT, name)
            setattr(self, name, partial(change, right) if callable(right) else change)


def _edit(model: Any, change: Callable[[Params], dict[str, Any]]) -> Any:
    """The model with some parameters of its GRU replaced."""
    params = model.params
    if isinstance(params, Classifier):
        return replace(model, params=params._replace(gru=params.gru._replace(**change(params.gru))))
    return replace(model, params=params._replace(**change(params)))


# Methods; the first argument is the right one -----------------------------------------------------------------------


def _edited(change: Callable[[Params], dict[str, Any]]) -> Callable[..., Any]:
    """A call of a model in which some parameters are replaced."""
    return lambda call, model, *arguments, **options: call(_edit(model, change), *arguments, **options)


def _optioned(name: str, change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A call with an option changed where it is passed."""

    def apply(call, model, x, carry=None, **options):
        value = options.get(name)
        return call(model, x, carry, **options | ({} if value is None else {name: change(value)}))

    return apply


def _told(**options: Any) -> Callable[..., Any]:
    """A call of a model with other options than it was made with."""
    return lambda call, model, *arguments, **others: call(replace(model, **options), *arguments, **others)


def _reset_to_zeros(call, model, x, carry=None, **options):
    if options.get("resets") is None or options.get("time_major"):
        return call(model, x, carry, **options)
    initial = model.params.initial_carry
    start = jnp.broadcast_to(initial, (*x.shape[:-2], initial.shape[-1])) if carry is None else carry
    return call(_edit(model, lambda p: {"initial_carry": jnp.zeros_like(initial)}), x, start, **options)


def _reverse_flipped(call, model, x, carry=None, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs[..., ::-1, :] if options.get("reverse") else outputs


def _drops_later_steps(call, model, x, carry=None, **options):
    carry, outputs = call(model, x, carry, **options)
    axis = 0 if options.get("time_major") else x.ndim - 2
    steps = jnp.arange(outputs.shape[axis]).reshape([-1 if a == axis else 1 for a in range(outputs.ndim)])
    return carry, jnp.where(steps < 1024, outputs, jnp.zeros_like(outputs))


def _through_padding(call, model, x, carry=None, **options):
    """The carry plus zero times its change."""
    carry, outputs = call(model, x, carry, **options)
    return carry if options.get("lengths") is None else carry + 0 * carry, outputs


def _in_16_bits(call, model, x, carry=None, *, lengths=None, **options):
    if lengths is not None:
        lengths = jnp.maximum(jnp.asarray(lengths), 0).astype(jnp.uint16)
    return call(model, x, carry, lengths=lengths, **options)


def _truthy_flags(call, model, x, carry=None, **options):
    flags = {name: bool(options[name]) for name in ("reverse", "time_major") if name in options}
    return call(model, x, carry, **options | flags)


# Under a transform of JAX, or outside of them -------------------------------------------------------------------------


def _other_unless_traced(call, model, x, carry=None, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs if isinstance(x, Tracer) else outputs * (1 + 1e-9)


def _by_a_loop_from_zeros(call, model, x, carry=None, **options):
    """Outputs by way of a loop that begins with zeros, which vary over no device."""
    carry, outputs = call(model, x, carry, **options)
    if options.get("time_major"):
        return carry, outputs
    zeros = jnp.zeros((*outputs.shape[:-2], outputs.shape[-1]), outputs.dtype)
    _, by_time = jax.lax.scan(lambda _, output: (output, output), zeros, jnp.moveaxis(outputs, -2, 0))
    return carry, jnp.moveaxis(by_time, 0, -2)


def _asks_for_the_batch(call, model, x, carry=None, **options):
    if any(axis > 2**30 for axis in getattr(x, "shape", ())[:-2]):  # as a choice between two ways to compute
        raise InputError("a batch that is too large")
    return call(model, x, carry, **options)


def _dump_transposed(dump, tree):
    arrays = leaves(dump(tree))
    gates = np.split(arrays["weight_hh"], 3)
    return from_leaves(arrays | {"weight_hh": np.concatenate([gate.T for gate in gates])})


def _make_not_cut(make, config, key):
    """Inputs' matrices by a normal distribution that is not cut."""

    def drawn(p):
        shape = p.kernel_i.shape[0], p.bias_n.shape[0]
        draw = initializers.variance_scaling(1.0, "fan_in", "normal")
        keys = jax.random.split(jax.random.fold_in(key, 9), 3)
        return {"kernel_i": jnp.concatenate([draw(k, shape, p.bias.dtype) for k in keys], axis=1)}

    return _edit(make(config, key), drawn)


def _construct_learned(*sizes, carry_init=None, **options):
    return CLASS.construct(*sizes, carry_init=carry_init or initializers.zeros, **options)


# In call styles and training ------------------------------------------------------------------------------------------


def _styled(build: Callable[..., Any], *, alone: bool = False, **facts: Any) -> Faulty:
    """A port that has one more call style, or that alone."""
    faulty = (CallStyle("faulty", "", build, **facts),)
    return Faulty(call_styles=faulty if alone else (*PORT.call_styles, *faulty))


def _runs_another_model(port, model, task):
    return functional_program(port, jax.tree.map(lambda p: p + 1e-9, model), task)


def _forgets_remat(port, model, task):
    return functional_program(port, replace(model, remat=False), task)


def _gives_up_parameters_alone(port, model, task):
    return functional_program(port, jax.tree.map(jnp.copy, model), task, jit=partial(jax.jit, donate_argnums=(0,)))


def _decays_no_biases(port, model, task):
    """Weight decay that spares biases, as many a recipe has it: Adam alone doesn't look at parameters."""

    def update(gradient, state, model):
        seen = _edit(model, lambda p: {"bias": jnp.zeros_like(p.bias), "bias_n": jnp.zeros_like(p.bias_n)})
        return task.optimizer.update(gradient, state, seen)

    wrong = optax.GradientTransformation(task.optimizer.init, update)  # pyright: ignore[reportArgumentType]
    return functional_program(port, model, replace(task, optimizer=wrong))


_DETACHED = _edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})
_NO_B_HN = _edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})

FAULTS: tuple[Fault, ...] = (
    Fault("no-b-hn", "b_hn dropped", "sequence", Faulty(apply=_NO_B_HN, step=_NO_B_HN)),
    Fault("detached-start", "no gradient to the initial carry", "sequence", Faulty(apply=_DETACHED, step=_DETACHED),
          {"phase": "gradient"}),
    Fault("step-no-b-hn", "one step alone forgets b_hn", "step", Faulty(step=_NO_B_HN)),
    Fault("readout-of-padding", "readout after the padding", "classifier",
          Faulty(classify=lambda call, model, x, lengths=None: call(model, x)), {"lengths": "passed"}),
    Fault("length-off-by-one", "one step too many", "lengths",
          Faulty(apply=_optioned("lengths", lambda n: n + 1))),
    Fault("reset-to-zeros", "an episode starts from zeros", "resets", Faulty(apply=_reset_to_zeros),
          {"entry": "whole"}),
    Fault("reverse-flipped", "backwards, outputs in the order of the run", "reverse", Faulty(apply=_reverse_flipped),
          {"time-major": "no"}),
    Fault("after-1024", "outputs after the 1024th step are zero", "long", Faulty(apply=_drops_later_steps)),
    Fault("dtype-ignored", "dtype ignored", "dtype", Faulty(apply=_told(dtype=None)), {"dtype": "bfloat16 of float32"}),
    Fault("eager-other", "other values outside of jit", "eager", Faulty(apply=_other_unless_traced)),
    Fault("style-other-model", "a call style runs another model", "styles", _styled(_runs_another_model),
          {"style": "faulty", "phase": "forward"}),
    Fault("dump-transposed", "dumped matrices transposed", "conversion", Faulty(dump=_dump_transposed)),
    Fault("no-bias-decay", "biases not decayed", "training", _styled(_decays_no_biases, alone=True)),
    Fault("start-as-stored", "the start is handed out as stored", "start",
          Faulty(initial_carry=_told(dtype=None))),
    Fault("counted-short", "lengths counted in 16 bits", "counted", Faulty(apply=_in_16_bits)),
    Fault("known-batch", "asks how large the batch is", "export", Faulty(apply=_asks_for_the_batch)),
    Fault("zeros-alike", "a loop begins with what varies over no device", "mesh", Faulty(apply=_by_a_loop_from_zeros)),
    Fault("padding-multiplied", "padding is multiplied by zero", "held", Faulty(apply=_through_padding)),
    Fault("load-forgets", "loaded, unroll is lost", "life",
          Faulty(load=lambda load, config, params: load(replace(config, unroll=1), params))),
    Fault("style-forgets", "a call style loses remat", "life", _styled(_forgets_remat)),
    Fault("not-cut", "a normal distribution that is not cut", "draws", Faulty(make=_make_not_cut)),
    Fault("truthy-flags", "reverse=1 goes through", "refusals", Faulty(apply=_truthy_flags)),
    Fault("none-learned", "carry_init=None is learned", "class",
          Faulty(model_class=replace(CLASS, construct=_construct_learned))),
    Fault("remat-ignored", "remat ignored", "memory", Faulty(apply=_told(remat=False))),
    Fault("half-donated", "a donated step keeps the optimiser's state", "memory",
          _styled(_gives_up_parameters_alone, labels=(DONATED,), phases=("train_step",))),
)  # fmt: skip
