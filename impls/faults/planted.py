"""The planted faults, in the order of the checks that are there for them."""

from collections.abc import Callable
from dataclasses import replace
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
from ...common.port.protocol import DONATED, CallStyle
from ...common.port.styles import functional_program
from ..pure import CLASS, PORT, PurePort
from .fault import Applied, Edited, Fault, edit

# In what is computed, and in what is passed. The first argument is the right call. ----------------------------------


def _option(name: str, change: Callable[[Any], Any]) -> Applied:
    """An option of the call changed where it is passed."""

    def apply(call, model, x, carry, **options):
        value = options.get(name)
        return call(model, x, carry, **options | ({} if value is None else {name: change(value)}))

    return Applied(apply)


def _reset_to_zeros(call, model, x, carry, **options):
    if options.get("resets") is None or options.get("time_major"):
        return call(model, x, carry, **options)
    initial = model.params.initial_carry
    start = jnp.broadcast_to(initial, (*x.shape[:-2], initial.shape[-1])) if carry is None else carry
    return call(edit(model, lambda p: {"initial_carry": jnp.zeros_like(initial)}), x, start, **options)


def _reverse_flipped(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs[..., ::-1, :] if options.get("reverse") else outputs


def _drops_later_steps(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    axis = 0 if options.get("time_major") else x.ndim - 2
    steps = jnp.arange(outputs.shape[axis]).reshape([-1 if a == axis else 1 for a in range(outputs.ndim)])
    return carry, jnp.where(steps < 1024, outputs, jnp.zeros_like(outputs))


def _dtype_ignored(call, model, x, carry, **options):
    return call(replace(model, dtype=None), x, carry, **options)


def _remat_ignored(call, model, x, carry, **options):
    return call(replace(model, remat=False), x, carry, **options)


def _through_padding(call, model, x, carry, **options):
    """The carry plus zero times its change."""
    carry, outputs = call(model, x, carry, **options)
    return carry if options.get("lengths") is None else carry + 0 * carry, outputs


def _in_16_bits(call, model, x, carry, *, lengths=None, **options):
    if lengths is not None:
        lengths = jnp.maximum(jnp.asarray(lengths), 0).astype(jnp.uint16)
    return call(model, x, carry, lengths=lengths, **options)


def _truthy_flags(call, model, x, carry, **options):
    flags = {name: bool(options[name]) for name in ("reverse", "time_major") if name in options}
    return call(model, x, carry, **options | flags)


# Under a transform of JAX, or outside of them -------------------------------------------------------------------------


def _other_unless_traced(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs if isinstance(x, Tracer) else outputs * (1 + 1e-9)


def _by_a_loop_from_zeros(call, model, x, carry, **options):
    """Outputs by way of a loop that begins with zeros, which vary over no device."""
    carry, outputs = call(model, x, carry, **options)
    if options.get("time_major"):
        return carry, outputs
    zeros = jnp.zeros((*outputs.shape[:-2], outputs.shape[-1]), outputs.dtype)
    _, by_time = jax.lax.scan(lambda _, output: (output, output), zeros, jnp.moveaxis(outputs, -2, 0))
    return carry, jnp.moveaxis(by_time, 0, -2)


def _asks_for_the_batch(call, model, x, carry, **options):
    if any(axis > 2**30 for axis in getattr(x, "shape", ())[:-2]):  # as a choice between two ways to compute
        raise InputError("a batch that is too large")
    return call(model, x, carry, **options)


# In other methods of a port -------------------------------------------------------------------------------------------


class _StepForgetsBHn(PurePort):
    def step(self, model, x, carry=None, *, reset=None):
        return super().step(edit(model, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)}), x, carry, reset=reset)


class _ReadoutOfPadding(PurePort):
    def classify(self, model, x, lengths=None):
        return super().classify(model, x)


class _StartAsStored(PurePort):
    def initial_carry(self, model, batch_shape=()):
        return super().initial_carry(replace(model, dtype=None), batch_shape)


class _DumpTransposed(PurePort):
    def dump(self, tree):
        arrays = leaves(super().dump(tree))
        gates = np.split(arrays["weight_hh"], 3)
        return from_leaves(arrays | {"weight_hh": np.concatenate([gate.T for gate in gates])})


class _LoadForgets(PurePort):
    def load(self, config, params):
        return super().load(replace(config, unroll=1), params)


def _construct_learned(*sizes, carry_init=None, **options):
    return CLASS.construct(*sizes, carry_init=carry_init or initializers.zeros, **options)


class _LearnsWhatIsNotLearned(PurePort):
    model_class = replace(CLASS, construct=_construct_learned)


class _NotCut(PurePort):
    """Inputs' matrices by a normal distribution that is not cut."""

    def make(self, config, key):
        def drawn(p):
            shape = p.kernel_i.shape[0], p.bias_n.shape[0]
            draw = initializers.variance_scaling(1.0, "fan_in", "normal")
            keys = jax.random.split(jax.random.fold_in(key, 9), 3)
            return {"kernel_i": jnp.concatenate([draw(k, shape, p.bias.dtype) for k in keys], axis=1)}

        return edit(super().make(config, key), drawn)


# In call styles and training ------------------------------------------------------------------------------------------


class _Styled(PurePort):
    """Has one more call style, or that alone."""

    def __init__(self, build: Callable[..., Any], *, alone: bool = False, **facts: Any):
        faulty = (CallStyle("faulty", "", build, **facts),)
        self.call_styles = faulty if alone else (*PORT.call_styles, *faulty)


def _runs_another_model(port, model, task):
    return functional_program(port, jax.tree.map(lambda p: p + 1e-9, model), task)


def _forgets_remat(port, model, task):
    return functional_program(port, replace(model, remat=False), task)


def _gives_up_parameters_alone(port, model, task):
    return functional_program(port, jax.tree.map(jnp.copy, model), task, jit=partial(jax.jit, donate_argnums=(0,)))


def _trains_with(update: Callable[..., Any]) -> Callable[..., Any]:
    """Another optimiser: `update(optimizer, gradient, state, model) -> (updates, state)`."""

    def build(port, model, task):
        wrong = optax.GradientTransformation(task.optimizer.init, partial(update, task.optimizer))
        return functional_program(port, model, replace(task, optimizer=wrong))

    return build


def _decays_no_biases(optimizer, gradient, state, model):
    """Weight decay that spares biases, as many a recipe has it: Adam alone doesn't look at parameters."""
    seen = edit(model, lambda p: {"bias": jnp.zeros_like(p.bias), "bias_n": jnp.zeros_like(p.bias_n)})
    return optimizer.update(gradient, state, seen)


_DETACHED = Edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})
_NO_B_HN = Edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})

FAULTS: tuple[Fault, ...] = (
    Fault("no-b-hn", "b_hn dropped", "sequence", _NO_B_HN),
    Fault("detached-start", "no gradient to the initial carry", "sequence", _DETACHED, {"phase": "gradient"}),
    Fault("step-no-b-hn", "one step alone forgets b_hn", "step", _StepForgetsBHn()),
    Fault("readout-of-padding", "readout after the padding", "classifier", _ReadoutOfPadding(), {"lengths": "passed"}),
    Fault("length-off-by-one", "one step too many", "lengths", _option("lengths", lambda n: n + 1)),
    Fault("reset-to-zeros", "an episode starts from zeros", "resets", Applied(_reset_to_zeros), {"entry": "whole"}),
    Fault("reverse-flipped", "backwards, outputs in the order of the run", "reverse", Applied(_reverse_flipped),
          {"time-major": "no"}),
    Fault("after-1024", "outputs after the 1024th step are zero", "long", Applied(_drops_later_steps)),
    Fault("dtype-ignored", "dtype ignored", "dtype", Applied(_dtype_ignored), {"dtype": "bfloat16 of float32"}),
    Fault("eager-other", "other values outside of jit", "eager", Applied(_other_unless_traced)),
    Fault("style-other-model", "a call style runs another model", "styles", _Styled(_runs_another_model),
          {"style": "faulty", "phase": "forward"}),
    Fault("dump-transposed", "dumped matrices transposed", "conversion", _DumpTransposed()),
    Fault("no-bias-decay", "biases not decayed", "training", _Styled(_trains_with(_decays_no_biases), alone=True)),
    Fault("start-as-stored", "the start is handed out as stored", "start", _StartAsStored()),
    Fault("counted-short", "lengths counted in 16 bits", "counted", Applied(_in_16_bits)),
    Fault("known-batch", "asks how large the batch is", "export", Applied(_asks_for_the_batch)),
    Fault("zeros-alike", "a loop begins with what varies over no device", "mesh", Applied(_by_a_loop_from_zeros)),
    Fault("padding-multiplied", "padding is multiplied by zero", "held", Applied(_through_padding)),
    Fault("load-forgets", "loaded, unroll is lost", "life", _LoadForgets()),
    Fault("style-forgets", "a call style loses remat", "life", _Styled(_forgets_remat)),
    Fault("not-cut", "a normal distribution that is not cut", "draws", _NotCut()),
    Fault("truthy-flags", "reverse=1 goes through", "refusals", Applied(_truthy_flags)),
    Fault("none-learned", "carry_init=None is learned", "class", _LearnsWhatIsNotLearned()),
    Fault("remat-ignored", "remat ignored", "memory", Applied(_remat_ignored)),
    Fault("half-donated", "a donated step keeps the optimiser's state", "memory",
          _Styled(_gives_up_parameters_alone, labels=(DONATED,), phases=("train_step",))),
)  # fmt: skip
