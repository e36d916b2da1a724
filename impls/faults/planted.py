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
from jax.custom_derivatives import SymbolicZero
from jax.nn import initializers

from ...common.errors import InputError
from ...common.parameters.record import from_leaves, leaves
from ...common.port.protocol import DONATED, CallStyle
from ...common.port.styles import functional_program
from ..pure import PORT, PurePort
from .fault import Applied, Edited, Elsewhere, Fault, edit

# In what is computed, and in what is passed. The first argument is the right call. ----------------------------------


def _gates_swapped(p):
    def swapped(a):
        r, z, n = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([z, r, n], axis=-1)

    return {name: swapped(getattr(p, name)) for name in ("kernel_i", "kernel_h", "bias")}


def _option(name: str, change: Callable[[Any], Any]) -> Applied:
    """An option of the call changed where it is passed."""

    def apply(call, model, x, carry, **options):
        value = options.get(name)
        return call(model, x, carry, **options | ({} if value is None else {name: change(value)}))

    return Applied(apply)


def _carry_ignored(call, model, x, carry, **options):
    return call(model, x, None, **options)


def _carry_detached(call, model, x, carry, **options):
    return call(model, x, None if carry is None else jax.lax.stop_gradient(carry), **options)


def _padding_times_zero(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs + 0 * jnp.sum(x)


def _reset_to_zeros(call, model, x, carry, **options):
    if options.get("resets") is None or options.get("time_major"):
        return call(model, x, carry, **options)
    initial = model.params.initial_carry
    start = jnp.broadcast_to(initial, (*x.shape[:-2], initial.shape[-1])) if carry is None else carry
    return call(edit(model, lambda p: {"initial_carry": jnp.zeros_like(initial)}), x, start, **options)


def _reverse_flipped(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs[..., ::-1, :] if options.get("reverse") else outputs


def _first_row_of_lengths(lengths):
    return jnp.broadcast_to(lengths[0], lengths.shape) if jnp.ndim(lengths) > 1 else lengths


def _no_resets_by_time(call, model, x, carry, *, time_major=False, resets=None, **options):
    return call(model, x, carry, time_major=time_major, resets=None if time_major else resets, **options)


def _in_a_sum_with_one(call, model, x, carry, **options):
    """Outputs rounded to multiples of what is the last place of 1."""
    carry, outputs = call(model, x, carry, **options)
    place = float(jnp.finfo(outputs.dtype).eps)
    return carry, outputs + jax.lax.stop_gradient(jnp.round(outputs / place) * place - outputs)


def _gates_by_tanh(call, model, x, carry, **options):
    """The sigmoid as (1 + tanh(a / 2)) / 2, which is the same but for rounding where it is near 0."""
    p = model.params
    if options or x.ndim != 3:
        return call(model, x, carry, **options)

    def advance(h, x):
        i_r, i_z, i_n = jnp.split(x @ p.kernel_i + jnp.broadcast_to(p.bias, (len(x), p.bias.size)), 3, axis=-1)
        h_r, h_z, h_n = jnp.split(h @ p.kernel_h, 3, axis=-1)
        r, z = ((1 + jnp.tanh(a / 2)) / 2 for a in (i_r + h_r, i_z + h_z))
        h = (1 - z) * jnp.tanh(i_n + r * (h_n + jnp.broadcast_to(p.bias_n, h.shape))) + z * h
        return h, h

    start = p.initial_carry if carry is None else carry
    carry, outputs = jax.lax.scan(advance, jnp.broadcast_to(start, (len(x), p.bias_n.size)), jnp.moveaxis(x, 1, 0))
    return carry, jnp.moveaxis(outputs, 0, 1)


def _drops_later_steps(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    axis = 0 if options.get("time_major") else x.ndim - 2
    steps = jnp.arange(outputs.shape[axis]).reshape([-1 if a == axis else 1 for a in range(outputs.ndim)])
    return carry, jnp.where(steps < 1024, outputs, jnp.zeros_like(outputs))


def _rounds_to_the_inputs(call, model, x, carry, **options):
    last, outputs = call(model, x, carry, **options)
    return last, outputs.astype(x.dtype).astype(outputs.dtype)


def _dtype_ignored(call, model, x, carry, **options):
    return call(replace(model, dtype=None), x, carry, **options)


def _forward_if_unrolled(call, model, x, carry, *, reverse=False, **options):
    return call(model, x, carry, reverse=reverse and model.unroll == 1, **options)


def _remat_detaches(call, model, x, carry, **options):
    if model.remat:
        model = edit(model, lambda p: {"bias_n": jax.lax.stop_gradient(p.bias_n)})
    return call(model, x, carry, **options)


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


def _one_carry_for_all(call, model, x, carry, **options):
    if getattr(carry, "ndim", 0) == 1:
        carry = jnp.broadcast_to(carry, (*x.shape[:-2], carry.shape[-1]))
    return call(model, x, carry, **options)


# Under a transform of JAX, or outside of them -------------------------------------------------------------------------


def _other_unless_traced(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, outputs if isinstance(x, Tracer) else outputs * (1 + 1e-9)


def _no_forward_mode(call, model, x, carry, **options):
    @jax.custom_vjp
    def run(model, x, carry):
        return call(model, x, carry, **options)

    run.defvjp(
        lambda *primals: jax.vjp(lambda *p: call(*p, **options), *primals), lambda pull, cotangent: pull(cotangent)
    )
    return run(model, x, carry)


def _first_order_only(call, model, x, carry, **options):
    @jax.custom_jvp
    def run(model, x, carry):
        return call(model, x, carry, **options)

    @run.defjvp
    def derivative(primals, tangents):
        fixed = jax.lax.stop_gradient(primals)
        return run(*primals), jax.jvp(lambda *p: call(*p, **options), fixed, tangents)[1]

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


def _shares_a_model(call, model, x, carry, **options):
    """The values of an ensemble's first model for all; gradients stay apart."""

    @jax.custom_batching.custom_vmap
    def first(model):
        return model

    @first.def_vmap
    def rule(size, batched, model):
        return jax.tree.map(lambda p: jnp.broadcast_to(p[:1], p.shape), model), batched[0]

    fixed = jax.lax.stop_gradient(model)
    return call(jax.tree.map(lambda p, f, s: p - f + s, model, fixed, first(fixed)), x, carry, **options)


@jax.custom_jvp
def _beside(bias, bias_n):
    """The second, whose derivative is lost where the first one has none."""
    return bias_n


@partial(_beside.defjvp, symbolic_zeros=True)
def _only_beside(point, along):
    lost = any(isinstance(tangent, SymbolicZero) for tangent in along)
    return point[1], jnp.zeros_like(point[1]) if lost else along[1]


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


class _LoadCasts(PurePort):
    def load(self, config, params):
        if isinstance(params, tuple) and all(hasattr(p, "dtype") for p in params):
            params = jax.tree.map(lambda p: p.astype(config.param_dtype), params)
        return super().load(config, params)


class _NotCut(PurePort):
    """Inputs' matrices by a normal distribution that is not cut."""

    def make(self, config, key):
        def drawn(p):
            shape = p.kernel_i.shape[0], p.bias_n.shape[0]
            draw = initializers.variance_scaling(1.0, "fan_in", "normal")
            keys = jax.random.split(jax.random.fold_in(key, 9), 3)
            return {"kernel_i": jnp.concatenate([draw(k, shape, p.bias.dtype) for k in keys], axis=1)}

        return edit(super().make(config, key), drawn)


class _CarryTwice(PurePort):
    """Draws the initial carry once too often, and takes the second."""

    def make(self, config, key):
        made = super().make(config, key)
        if config.carry_init is None:
            return made
        again = config.carry_init(jax.random.fold_in(key, 2), (config.hidden_size,), jnp.dtype(config.param_dtype))
        return edit(made, lambda p: {"initial_carry": again})


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


def _gives_up_the_model(port, model, task):
    """As a style that donates the arrays of the model that it was made of."""
    program = functional_program(port, model, task)

    def call(*arguments):
        found = program.call(*arguments)
        jax.tree.map(lambda array: None if isinstance(array, Tracer) else array.delete(), model)
        return found

    return replace(program, call=call)


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


def _names_swapped(optimizer, gradient, state, model):
    """The optimiser sees b_hn under the initial carry's name, and the other way round."""

    def swapped(tree):
        return edit(tree, lambda p: {"bias_n": p.initial_carry, "initial_carry": p.bias_n})

    updates, state = optimizer.update(swapped(gradient), state, swapped(model))
    return swapped(updates), state


_NO_B_HN = Edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})
_DETACHED = Edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})

FAULTS: tuple[Fault, ...] = (
    Fault("swapped-gates", "r and z swapped", "sequence", Edited(_gates_swapped)),
    Fault("no-b-hn", "b_hn dropped", "sequence", _NO_B_HN),
    Fault("detached-start", "no gradient to the initial carry", "sequence", _DETACHED, {"phase": "gradient"}),
    Fault("carry-ignored", "a passed carry ignored", "carry", Applied(_carry_ignored), {"entry": "whole"}),
    Fault("carry-detached", "no gradient through a passed carry", "chunks", Applied(_carry_detached)),
    Fault("step-no-b-hn", "one step alone forgets b_hn", "step", _StepForgetsBHn()),
    Fault("readout-of-padding", "readout after the padding", "classifier", _ReadoutOfPadding(), {"lengths": "passed"}),
    Fault("length-off-by-one", "one step too many", "lengths", _option("lengths", lambda n: n + 1)),
    Fault("nan-padding", "padding multiplied by 0", "lengths", Applied(_padding_times_zero), {"entry": "whole"}),
    Fault("reset-to-zeros", "an episode starts from zeros", "resets", Applied(_reset_to_zeros), {"entry": "whole"}),
    Fault("equinox-first-reset", "Equinox: a carry outlives a reset at the first step", "resets",
          Elsewhere("equinox", "FirstReset"), {"carry": "passed", "entry": "whole"}),
    Fault("reverse-flipped", "backwards, outputs in the order of the run", "reverse", Applied(_reverse_flipped),
          {"time-major": "no"}),
    Fault("first-row", "lengths of the first batch axis for all", "batch-axes",
          _option("lengths", _first_row_of_lengths), {"lengths": "passed"}),
    Fault("time-major-no-resets", "time-major, resets ignored", "time-major", Applied(_no_resets_by_time),
          {"resets": "passed"}),
    Fault("unroll-forward", "unrolled, it never runs backwards", "unroll", Applied(_forward_if_unrolled),
          {"reverse": "yes"}),
    Fault("remat-detaches", "recomputed, b_hn has no gradient", "remat", Applied(_remat_detaches),
          {"phase": "gradient"}),
    Fault("faint-lost", "what is near 0 is lost in a sum with 1", "faint", Applied(_in_a_sum_with_one)),
    Fault("gates-by-tanh", "gates by way of tanh", "closed", Applied(_gates_by_tanh)),
    Fault("after-1024", "outputs after the 1024th step are zero", "long", Applied(_drops_later_steps)),
    Fault("promotion-rounded", "outputs rounded to the inputs' dtype", "promotion", Applied(_rounds_to_the_inputs),
          {"wide": "carry"}),
    Fault("dtype-ignored", "dtype ignored", "dtype", Applied(_dtype_ignored), {"dtype": "bfloat16 of float32"}),
    Fault("inference-other", "with lengths, other values unless differentiated", "inference",
          Applied(_other_unless_differentiated), {"lengths": "passed"}),
    Fault("eager-other", "other values outside of jit", "eager", Applied(_other_unless_traced)),
    Fault("vmap-shares", "one model for a whole ensemble", "vmap", Applied(_shares_a_model),
          {"transform": "ensemble", "entry": "whole"}),
    Fault("no-forward-mode", "a gradient without a forward mode", "jvp", Applied(_no_forward_mode),
          {"entry": "whole"}),
    Fault("first-order-only", "second derivatives are zero", "hvp", Applied(_first_order_only), {"entry": "whole"}),
    Fault("biases-together", "b_hn is trained only beside other biases", "frozen", Applied(_trains_biases_together)),
    Fault("style-other-model", "a call style runs another model", "styles", _Styled(_runs_another_model),
          {"style": "faulty", "phase": "forward"}),
    Fault("style-gives-up", "a call style donates the model", "compiled", _Styled(_gives_up_the_model),
          {"style": "faulty"}),
    Fault("dump-transposed", "dumped matrices transposed", "conversion", _DumpTransposed()),
    Fault("no-bias-decay", "biases not decayed", "training", _Styled(_trains_with(_decays_no_biases), alone=True)),
    Fault("rate-of-another", "b_hn at the start's rate", "training", _Styled(_trains_with(_names_swapped), alone=True)),
    Fault("start-as-stored", "the start is handed out as stored", "start", _StartAsStored()),
    Fault("counted-short", "lengths counted in 16 bits", "counted", Applied(_in_16_bits)),
    Fault("known-batch", "asks how large the batch is", "export", Applied(_asks_for_the_batch)),
    Fault("zeros-alike", "a loop begins with what varies over no device", "mesh", Applied(_by_a_loop_from_zeros)),
    Fault("padding-multiplied", "padding is multiplied by zero", "held", Applied(_through_padding)),
    Fault("load-forgets", "loaded, unroll is lost", "life", _LoadForgets()),
    Fault("style-forgets", "a call style loses remat", "life", _Styled(_forgets_remat)),
    Fault("nnx-in-place", "NNX: loading changes the models before", "life", Elsewhere("nnx", "InPlace")),
    Fault("not-cut", "a normal distribution that is not cut", "draws", _NotCut()),
    Fault("carry-twice", "the initial carry is drawn twice", "draws", _CarryTwice()),
    Fault("linen-one-key", "linen: one key for every carry_init", "draws", Elsewhere("linen", "OneKey")),
    Fault("truthy-flags", "reverse=1 goes through", "refusals", Applied(_truthy_flags)),
    Fault("bare-carry", "one carry for a batch goes through", "refusals", Applied(_one_carry_for_all)),
    Fault("load-casts", "parameters of another dtype are loaded", "refusals", _LoadCasts()),
    Fault("remat-ignored", "remat ignored", "memory", Applied(_remat_ignored)),
    Fault("half-donated", "a donated step keeps the optimiser's state", "memory",
          _Styled(_gives_up_parameters_alone, labels=(DONATED,), phases=("train_step",))),
)  # fmt: skip
