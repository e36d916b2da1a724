"""Ports of plain JAX with one planted fault each: `verify` has to notice every one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import initializers
from trigru.common.equality.checks import conversion
from trigru.common.errors import InputError
from trigru.common.gru import optimizers
from trigru.common.parameters import record
from trigru.common.parameters.layouts import TORCH, Layout
from trigru.common.parameters.record import from_leaves, leaves
from trigru.common.port.protocol import CallStyle, Port
from trigru.common.port.styles import functional_program
from trigru.impls import pure
from trigru.impls.pure import CLASS, PORT, PurePort


@dataclass(frozen=True)
class Fault:
    """A port with a fault.

    Args:
        name: of the fault.
        what: is wrong, in a few words.
        check: the one that is there for this fault; others may notice it, too.
        port: the one that has it.
        replaced: a module, the name of a function there, and what is put in its place, where the fault is not in the
            port but in what it stands on.
    """

    name: str
    what: str
    check: str
    port: Port = PORT
    replaced: tuple[Any, str, Callable[..., Any]] | None = None


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


# Outside of jit, or the second time


def _is_traced(*trees):
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


class GoesOn(PurePort):
    def __init__(self):
        self.last = {}

    def apply(self, model, x, carry=None, **options):
        is_traced = _is_traced(model, x, carry)
        if carry is None and not is_traced:
            carry = self.last.get(x.shape)
        carry, outputs = super().apply(model, x, carry, **options)
        if not is_traced:
            self.last[x.shape] = carry
        return carry, outputs


class RemembersShapes(PurePort):
    def __init__(self):
        self.results = {}

    def apply(self, model, x, carry=None, **options):
        results = super().apply(model, x, carry, **options)
        if _is_traced(results):
            return results
        passed = [name for name in options if options[name] is not None]
        return self.results.setdefault((x.shape, carry is None, *passed), results)


class KeepsToItsFirstModel(PurePort):
    def __init__(self):
        self.first = {}

    def apply(self, model, x, carry=None, **options):
        if not _is_traced(model, x, carry, options):
            model = self.first.setdefault(jax.tree.structure(model), model)
        return super().apply(model, x, carry, **options)


class GivesWeakResults(PurePort):
    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        if outputs.dtype == jnp.result_type(float):
            outputs = jnp.full(outputs.shape, 0.0).at[...].set(outputs)
        return carry, outputs


class WritesOver(PurePort):
    def apply(self, model, x, carry=None, **options):
        results = super().apply(model, x, carry, **options)
        if isinstance(carry, np.ndarray) and not _is_traced(results):
            carry[...] = results[0]
        return results


class GivesUp(PurePort):
    def step(self, model, x, carry=None, **options):
        results = super().step(model, x, carry, **options)
        if isinstance(carry, jax.Array) and not _is_traced(results, carry):
            carry.delete()
        return results


class KeepsAlive(PurePort):
    def __init__(self):
        self.kept = []

    def apply(self, model, x, carry=None, **options):
        self.kept.append(x)
        return super().apply(model, x, carry, **options)


class ChangesItsModel(PurePort):
    def apply(self, model, x, carry=None, **options):
        results = super().apply(model, x, carry, **options)
        if carry is None and not _is_traced(results, model):
            (last, *_), _ = results
            params = model.params._replace(initial_carry=last)
            object.__setattr__(model, "params", params)
        return results


class DetachesWithHeldModel(PurePort):
    def apply(self, model, x, carry=None, **options):
        if _is_traced(x) and not _is_traced(model):
            x = jax.lax.stop_gradient(x)
        return super().apply(model, x, carry, **options)


def _gradient_once(port, model, task):
    """A program whose gradient gives up the model."""
    jit = partial(jax.jit, donate_argnums=0) if task.phase == "gradient" else jax.jit
    return functional_program(port, model, task, jit=jit)


def _first_length(port, model, task):
    """A program that takes each sequence to be as long as the first one."""
    program = functional_program(port, model, task)
    lengths = []

    def call(x, *others):
        lengths.append(x.shape[-2])
        late = jnp.arange(x.shape[-2]) >= lengths[0]  # (T,)
        return program.call(jnp.where(late[:, None], 0, x), *others)

    return replace(program, call=call)


class LeavesSettings(PurePort):
    def make(self, config, key):
        np.random.seed(0)
        return super().make(config, key)


# Two things together, sizes, values


class LengthsInDtype(PurePort):
    def apply(self, model, x, carry=None, *, lengths=None, **options):
        if lengths is not None and model.dtype == "float64":
            lengths = lengths - 1
        return super().apply(model, x, carry, lengths=lengths, **options)


class NoCarryWithoutStart(PurePort):
    def apply(self, model, x, carry=None, **options):
        if model.params.initial_carry is None:
            carry = None
        return super().apply(model, x, carry, **options)


class TransposesSquares(PurePort):
    def apply(self, model, x, carry=None, *, lengths=None, **options):
        if np.ndim(lengths) == 2 and lengths.shape[0] == lengths.shape[1]:
            lengths = lengths.T
        return super().apply(model, x, carry, lengths=lengths, **options)


class CarryBeginsReplicated(PurePort):
    def apply(self, model, x, carry=None, **options):
        has_types = isinstance(carry, jax.core.Tracer) and hasattr(jax, "typeof")
        if has_types and not getattr(x, "vma", None):
            spec = jax.typeof(carry).sharding.spec
            if any(jax.typeof(x).sharding.spec) and not any(spec):
                raise TypeError("scan body function carry input and output differ")
        return super().apply(model, x, carry, **options)


class TakesZerosForPadding(PurePort):
    def apply(self, model, x, carry=None, *, resets=None, **options):
        if isinstance(resets, jax.core.Tracer) and not options.get("time_major"):
            is_empty = (x == 0).all(-1)
            resets = resets & ~is_empty
        return super().apply(model, x, carry, resets=resets, **options)


class ManyUnits(PurePort):
    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        if outputs.shape[-1] > 128:
            outputs = outputs.at[..., 128].set(0)
        return carry, outputs


class LosesUnrollWithResets(PurePort):
    def apply(self, model, x, carry=None, *, resets=None, **options):
        if model.kernel == "fused" and resets is not None:
            model = replace(model, unroll=1)
        return super().apply(model, x, carry, resets=resets, **options)


class SpreadsNaN(PurePort):
    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        return carry, outputs + 0 * outputs.sum()


class CoarseStates(PurePort):
    """States in half precision lose another two bits at each step."""

    def apply(self, model, x, carry=None, **options):
        is_half = pure.checks.computation_dtype(model.dtype, x).itemsize == 2
        if not is_half:
            return super().apply(model, x, carry, **options)
        right = pure._cell
        with patch.object(pure, "_cell", partial(_coarse_cell, right)):
            return super().apply(model, x, carry, **options)


def _coarse_cell(right, weights, h, x):
    kind = jnp.finfo(h.dtype)
    h = jax.lax.reduce_precision(h, kind.nexp, kind.nmant - 2)
    return right(weights, h, x)


def _construct_fused(*sizes, kernel="stock", **options):
    if kernel == "auto" and options.get("param_dtype") == "float64":
        kernel = "fused"
    return CLASS.construct(*sizes, kernel=kernel, **options)


_AUTO_IS_FUSED = Faulty(model_class=replace(CLASS, construct=_construct_fused))


# Parameters on their way


class LosesSecondBias(Layout):
    def record(self, flat):
        bias_r, bias_z, bias_n = np.split(flat["gru.bias_hh_l0"], 3)
        second = np.concatenate([bias_r, 0 * bias_z, bias_n])
        return super().record({**flat, "gru.bias_hh_l0": second})


class InTorchsLayout(PurePort):
    layout = LosesSecondBias(**vars(TORCH) | {"name": "own"})


def _keep_state(tx, *, scale):
    return optimizers.carry_learning_rate(tx, scale=jnp.asarray(float(scale)))


def _begins_with(path, name):
    return jax.tree_util.keystr(path[-1:]).strip("[].'").startswith(name)


def _known_tensors(content):
    tensors = _TENSORS_OF(content)
    return {name: tensors[name] for name in record.GRUParams._fields}


_TENSORS_OF = record.tensors_of


def _accept_all(arrays, shapes, *_):
    pass


def _write_through(path, content):
    path.write_bytes(content)


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
    Fault("goes-on", "a second call begins where the first ended", "eager", GoesOn()),
    Fault(
        "remembers-shapes",
        "outside of jit, the results of the first inputs of a shape",
        "eager",
        RemembersShapes(),
    ),
    Fault(
        "first-model",
        "outside of jit, the first of two models of one structure is used",
        "life",
        KeepsToItsFirstModel(),
    ),
    Fault("weak-results", "outputs have a weak type", "sequence", GivesWeakResults()),
    Fault("writes-over", "a carry of NumPy's is written over", "eager", WritesOver()),
    Fault("gives-up", "a step deletes the carry that it was given", "eager", GivesUp()),
    Fault("keeps-alive", "inputs are kept alive", "eager", KeepsAlive()),
    Fault("model-changed", "a call changes the model", "eager", ChangesItsModel()),
    Fault(
        "held-detached",
        "no gradient to inputs if the model is no argument",
        "frozen",
        DetachesWithHeldModel(),
    ),
    Fault(
        "gradient-once",
        "a gradient program gives up its model",
        "styles",
        styled(_gradient_once),
    ),
    Fault(
        "first-length",
        "a program that was built with a short sequence leaves out later steps",
        "styles",
        styled(_first_length),
    ),
    Fault("settings-left", "NumPy's random state is set", "life", LeavesSettings()),
    Fault(
        "told-lengths",
        "one step too few with lengths if a dtype is passed",
        "lengths",
        LengthsInDtype(),
    ),
    Fault(
        "unlearned-alone",
        "a carry is ignored if the start is not learned",
        "class",
        NoCarryWithoutStart(),
    ),
    Fault(
        "squares-transposed",
        "lengths of two axes of one size are transposed",
        "batch-axes",
        TransposesSquares(),
    ),
    Fault(
        "carry-replicated",
        "a carry that is on all devices beside inputs that are spread is refused",
        "mesh",
        CarryBeginsReplicated(),
    ),
    Fault(
        "zeros-padding",
        "resets at frames of zeros are ignored",
        "resets",
        TakesZerosForPadding(),
    ),
    Fault("many-units", "more than 128 units", "sequence", ManyUnits()),
    Fault(
        "fused-rolled",
        "the fused kernel loses unroll with resets",
        "kernels",
        LosesUnrollWithResets(),
    ),
    Fault("nan-spreads", "a NaN reaches other examples", "held", SpreadsNaN()),
    Fault(
        "coarse-states",
        "states lose two bits in half precision",
        "dtype",
        CoarseStates(),
    ),
    Fault("auto-fused", "auto is fused in float64", "class", _AUTO_IS_FUSED),
    Fault(
        "second-bias",
        "torch's second bias of z is lost",
        "conversion",
        InTorchsLayout(),
    ),
    Fault(
        "frozen-state",
        "a frozen start keeps an optimizer's state",
        "conversion",
        replaced=(conversion, "carry_learning_rate", _keep_state),
    ),
    Fault(
        "name-in-name",
        "what has the start's name in a longer one is taken for it",
        "conversion",
        replaced=(optimizers, "_ends_in", _begins_with),
    ),
    Fault(
        "nan-saved",
        "NaN is saved",
        "conversion",
        replaced=(record, "check_arrays", _accept_all),
    ),
    Fault(
        "one-too-many",
        "a file with an array too many is read",
        "conversion",
        replaced=(record, "tensors_of", _known_tensors),
    ),
    Fault(
        "through-link",
        "a file is written through a link",
        "conversion",
        replaced=(record, "write_whole", _write_through),
    ),
)
