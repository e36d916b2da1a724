"""Parts of Equinox."""

import io
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..observing import Call, Example, TraceCounter
from . import catalogue
from .catalogue import (
    CAUSAL,
    FEATURES,
    FRAMES,
    HALF,
    KEY,
    ONE_ROW_MASKED,
    STEPS,
    UNITS,
    Catalogue,
    filled,
)

parts = Catalogue("equinox", "equinox.nn")

#: Modules of Equinox take one example, and convolutions have channels first.
SEQUENCE = catalogue.SEQUENCES[0]  # (STEPS, FEATURES)
FRAME = catalogue.FRAMES[0]
CARRY = catalogue.CARRY[0]
MEMORY = catalogue.MEMORY[0]


def call_module(module: Any, *inputs: Any) -> Any:
    return module(*inputs)


def called(
    module: Any,
    *inputs: Any,
    call: Callable[..., Any] = call_module,
    compiled: bool = False,
) -> Example:
    """A module with fixed parameters; those that it drew are compared, too."""
    drawn = eqx.filter(module, eqx.is_array)
    return Example(call, filled(module), inputs, drawn, compiled)


def gru_cell() -> eqx.nn.GRUCell:
    return eqx.nn.GRUCell(FEATURES, UNITS, key=KEY)


def squared_outputs(cell: Any, x: Any, carry: Any) -> Any:
    """A loss."""
    return jnp.sum(cell(x, carry) ** 2)


@parts.row("GRU cell: one step")
def gru_cell_one_step():
    return called(gru_cell(), FRAME, CARRY)


@parts.row("GRU cell: without biases")
def gru_cell_without_biases():
    cell = eqx.nn.GRUCell(FEATURES, UNITS, use_bias=False, key=KEY)
    return called(cell, FRAME, CARRY)


@parts.row("GRU cell: half precision")
def gru_cell_in_half_precision():
    cell = eqx.nn.GRUCell(FEATURES, UNITS, dtype=jnp.bfloat16, key=KEY)
    return called(cell, FRAME.astype("bfloat16"), CARRY.astype("bfloat16"))


@parts.row("LSTM cell: one step")
def lstm_cell_one_step():
    cell = eqx.nn.LSTMCell(FEATURES, UNITS, key=KEY)
    return called(cell, FRAME, (CARRY, MEMORY))


def over_time(cell: Any, carry: Any, sequence: Any) -> Any:
    """A cell over a sequence, by `jax.lax.scan`."""

    def step(carry, x):
        carry = cell(x, carry)
        return carry, carry

    return jax.lax.scan(step, carry, sequence)


@parts.row("GRU cell: over a sequence, by jax.lax.scan")
def gru_cell_over_a_sequence():
    return called(gru_cell(), CARRY, SEQUENCE, call=over_time, compiled=True)


@parts.row("linear layer")
def linear_layer():
    return called(eqx.nn.Linear(FEATURES, UNITS, key=KEY), FRAME)


@parts.row("embedding: look a token up")
def embedding_of_a_token():
    return called(eqx.nn.Embedding(STEPS, FEATURES, key=KEY), jnp.asarray(2))


@parts.row("convolution: padding SAME")
def convolution_with_same_padding():
    conv = eqx.nn.Conv1d(FEATURES, UNITS, 4, padding="SAME", key=KEY)
    return called(conv, SEQUENCE.T)


@parts.row("transposed convolution")
def transposed_convolution():
    conv = eqx.nn.ConvTranspose1d(FEATURES, UNITS, 4, stride=2, padding=1, key=KEY)
    return called(conv, SEQUENCE.T)


@parts.row("layer norm")
def layer_norm():
    return called(eqx.nn.LayerNorm(FEATURES), FRAME)


@parts.row("RMS norm")
def rms_norm():
    return called(eqx.nn.RMSNorm(FEATURES), FRAME)


@parts.row("group norm")
def group_norm():
    return called(eqx.nn.GroupNorm(groups=2, channels=STEPS), SEQUENCE)


def train_twice_then_infer(norm_and_state: Any, x: Any) -> Any:
    """Outputs and state of a norm with a state, in training and then in inference."""

    def over_batch(norm, x, state):
        axes = (0, None)
        mapped = jax.vmap(norm, in_axes=axes, out_axes=axes, axis_name="batch")
        return mapped(x, state)

    norm, state = norm_and_state
    first, state = over_batch(norm, x, state)
    _, state = over_batch(norm, 3 * x + 1, state)
    inferred, _ = over_batch(eqx.nn.inference_mode(norm), x, state)
    return first, inferred, jax.tree.leaves(state)


@parts.row("batch norm: mode 'batch', training and inference")
def batch_norm():
    make = eqx.nn.make_with_state(eqx.nn.BatchNorm)
    norm_and_state = make(FEATURES, "batch", mode="batch")
    return called(norm_and_state, FRAMES, call=train_twice_then_infer)


@parts.row("batch norm: mode 'ema', training and inference")
def batch_norm_by_moving_averages():
    make = eqx.nn.make_with_state(eqx.nn.BatchNorm)
    norm_and_state = make(FEATURES, "batch", mode="ema")
    return called(norm_and_state, FRAMES, call=train_twice_then_infer)


@parts.call("norms: bfloat16 inputs far from zero")
def norms_of_half_precision():
    layer_norm, rms_norm = eqx.nn.LayerNorm(FEATURES), eqx.nn.RMSNorm(FEATURES)
    frames = HALF[0]
    return jax.vmap(layer_norm)(frames), jax.vmap(rms_norm)(frames)


def attend_to_itself(attention: Any, x: Any, mask: Any) -> Any:
    return attention(x, x, x, mask=mask)


@parts.row("multi-head attention: causal")
def causal_attention():
    attention = eqx.nn.MultiheadAttention(1, FEATURES, key=KEY)
    return called(attention, SEQUENCE, CAUSAL, call=attend_to_itself)


@parts.row("multi-head attention: a query that may attend to nothing")
def attention_of_a_masked_query():
    attention = eqx.nn.MultiheadAttention(1, FEATURES, key=KEY)
    return called(attention, SEQUENCE, ONE_ROW_MASKED, call=attend_to_itself)


@parts.call("dropout: with a key")
def dropout_with_a_key():
    return eqx.nn.Dropout(0.3)(SEQUENCE, key=KEY)


@parts.call("inference_mode: of dropout")
def dropout_in_inference():
    dropout = eqx.nn.inference_mode(eqx.nn.Dropout(0.3))
    return dropout(SEQUENCE), dropout(SEQUENCE, key=KEY, inference=False)


@parts.row("filter_grad: by the parameters of a cell")
def gradient_of_a_cell():
    return called(gru_cell(), FRAME, CARRY, call=eqx.filter_grad(squared_outputs))


@parts.row("filter_value_and_grad: with an auxiliary result")
def value_and_gradient():
    def loss(cell, x, carry):
        return squared_outputs(cell, x, carry), cell(x, carry)

    value_and_grad = eqx.filter_value_and_grad(loss, has_aux=True)
    return called(gru_cell(), FRAME, CARRY, call=value_and_grad)


@parts.call("filter_grad: of a NumPy array among parameters")
def gradient_of_a_numpy_array():
    parameters = {"numpy": np.asarray(FRAME), "jax": CARRY}

    def loss(parameters):
        return jnp.sum(parameters["numpy"] ** 2) + jnp.sum(parameters["jax"] ** 2)

    return eqx.filter_grad(loss)(parameters)


@parts.row("filter_vmap: over a batch")
def vmap_over_a_batch():
    over_batch = eqx.filter_vmap(call_module, in_axes=(None, 0, 0), out_axes=1)
    return called(gru_cell(), FRAMES, catalogue.CARRY, call=over_batch)


@parts.row("filter_checkpoint: of a loop over time")
def rematerialized_loop():
    return called(gru_cell(), CARRY, SEQUENCE, call=eqx.filter_checkpoint(over_time))


@parts.row("filter_jit: calls of a cell")
def jit_of_a_cell():
    traces = TraceCounter()
    cell = filled(gru_cell())
    jitted = eqx.filter_jit(traces.counted(call_module))
    return Call(lambda: jitted(cell, FRAME, CARRY), traces)


@parts.row("filter_jit: a step of training")
def step_of_training():
    traces = TraceCounter()
    cell = filled(gru_cell())

    def train(cell, x, carry):
        gradient = eqx.filter_grad(squared_outputs)(cell, x, carry)
        updates = jax.tree.map(lambda leaf: -0.1 * leaf, gradient)
        return eqx.apply_updates(cell, updates)

    jitted = eqx.filter_jit(traces.counted(train))
    return Call(lambda: eqx.filter(jitted(cell, FRAME, CARRY), eqx.is_array), traces)


@parts.call("partition and combine: a tree")
def partitioned_tree():
    tree = {"arrays": [CARRY, jnp.arange(3)], "others": (2.5, None)}
    arrays, others = eqx.partition(tree, eqx.is_inexact_array)
    return arrays, others, eqx.combine(arrays, others)


@parts.call("tree_at: other leaves in a cell")
def replaced_leaves():
    cell = filled(gru_cell())
    zero_bias = eqx.tree_at(lambda cell: cell.bias, cell, replace_fn=jnp.zeros_like)
    return zero_bias(FRAME, CARRY)


def file_of(tree: Any) -> io.BytesIO:
    """A file with the leaves of a tree, from its beginning."""
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, tree)
    file.seek(0)
    return file


@parts.call("checkpoint: the arrays in a file")
def arrays_of_a_checkpoint():
    """What the file holds, in the dtypes that it has."""
    file = file_of([filled(gru_cell()), HALF, 2, 1.5, True])
    arrays = []
    while file.tell() < len(file.getvalue()):
        arrays.append(np.load(file))
    return arrays


@parts.call("checkpoint: read back into a cell")
def checkpoint_read_back():
    cell = eqx.tree_deserialise_leaves(file_of(filled(gru_cell())), gru_cell())
    return eqx.filter(cell, eqx.is_array)


class Scaled(eqx.Module):
    """A module as users write one."""

    weight: Any = eqx.field(converter=jnp.asarray)
    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.size < 1:
            raise ValueError("a size is at least 1")

    def __call__(self, x: Any) -> Any:
        return x * self.weight * self.size


@parts.row("module with a converter, a static field and a check")
def module_of_a_user():
    return called(Scaled(CARRY, 2), CARRY)


@parts.mistake("mistake: a field of a module is set")
def field_is_set():
    setattr(Scaled(CARRY, 2), "size", 3)  # noqa: B010 (which a type checker refuses)


@parts.mistake("mistake: a module's own check fails")
def own_check_fails():
    Scaled(CARRY, 0)


@parts.mistake("mistake: a cell gets another number of features")
def cell_gets_other_features():
    gru_cell()(CARRY, CARRY)


@parts.mistake("mistake: dropout without a key")
def dropout_without_a_key():
    eqx.nn.Dropout(0.5)(FRAME)


@parts.mistake("mistake: a checkpoint of another shape")
def checkpoint_of_another_shape():
    eqx.tree_deserialise_leaves(file_of(FRAME), CARRY)


@parts.mistake("mistake: tree_at of what is no leaf")
def leaf_of_another_tree():
    eqx.tree_at(lambda _: CARRY, gru_cell(), FRAME)
