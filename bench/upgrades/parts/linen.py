"""Parts of Flax linen."""

from functools import partial
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

from ....common.program import evaluate
from ..observing import Call, Example, TraceCounter
from .catalogue import (
    CARRY,
    CAUSAL,
    FEATURES,
    FRAMES,
    HALF,
    KEY,
    LENGTHS,
    MEMORY,
    ONE_ROW_MASKED,
    SEQUENCES,
    STEPS,
    TOKENS,
    UNITS,
    Catalogue,
    filled,
)

parts = Catalogue(
    "flax.linen",
    "flax.linen.initializers",
    "flax.training.train_state",
    "flax.serialization",
    "flax.struct",
    "flax.traverse_util",
    "flax.core",
)
#: The collections that a call may change.
CHANGED = ["batch_stats", "counts", "intermediates"]


def applied(
    module: nn.Module, *inputs: Any, compiled: bool = False, **options: Any
) -> Example:
    """A module with fixed variables; those that it draws are compared, too."""
    drawn = evaluate(partial(module.init, KEY, *inputs, **options))
    apply = partial(module.apply, mutable=CHANGED, **options)
    return Example(apply, filled(drawn), inputs, drawn, compiled)


def variables_of(module: nn.Module, *inputs: Any) -> Any:
    """Fixed variables of a module."""
    return filled(module.init(KEY, *inputs))


@parts.row("GRU cell: one step")
def gru_cell_one_step():
    return applied(nn.GRUCell(UNITS), CARRY, FRAMES)


@parts.row("GRU cell: half precision")
def gru_cell_in_half_precision():
    return applied(nn.GRUCell(UNITS, dtype=jnp.bfloat16), CARRY, FRAMES)


@parts.row("LSTM cell: one step")
def lstm_cell_one_step():
    return applied(nn.LSTMCell(UNITS), (CARRY, MEMORY), FRAMES)


@parts.row("optimized LSTM cell: one step")
def optimized_lstm_cell_one_step():
    return applied(nn.OptimizedLSTMCell(UNITS), (CARRY, MEMORY), FRAMES)


@parts.row("simple cell: one step")
def simple_cell_one_step():
    return applied(nn.SimpleCell(UNITS), CARRY, FRAMES)


@parts.call("cells: initial carries")
def initial_carries():
    gru, lstm = nn.GRUCell(UNITS), nn.OptimizedLSTMCell(UNITS)
    shape = FRAMES.shape
    return gru.initialize_carry(KEY, shape), lstm.initialize_carry(KEY, shape)


@parts.row("RNN: over sequences")
def rnn_over_sequences():
    return applied(nn.RNN(nn.GRUCell(UNITS)), SEQUENCES, compiled=True)


@parts.row("RNN: from an initial carry, with the last one")
def rnn_from_an_initial_carry():
    rnn = nn.RNN(nn.GRUCell(UNITS), return_carry=True)
    return applied(rnn, SEQUENCES, initial_carry=CARRY)


@parts.row("RNN: sequences of unequal lengths")
def rnn_over_unequal_lengths():
    rnn = nn.RNN(nn.GRUCell(UNITS), return_carry=True)
    return applied(rnn, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("RNN: unequal lengths in reverse")
def rnn_in_reverse():
    rnn = nn.RNN(nn.GRUCell(UNITS), reverse=True, return_carry=True)
    return applied(rnn, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("RNN: time as the first axis")
def rnn_over_time_as_first_axis():
    return applied(nn.RNN(nn.GRUCell(UNITS), time_major=True), SEQUENCES)


@parts.row("RNN: of a rematerialized cell")
def rnn_of_a_rematerialized_cell():
    return applied(nn.RNN(nn.remat(nn.GRUCell)(UNITS)), SEQUENCES)


@parts.row("bidirectional RNN: unequal lengths")
def bidirectional_rnn():
    forward = nn.RNN(nn.GRUCell(UNITS))
    backward = nn.RNN(nn.GRUCell(UNITS))
    both = nn.Bidirectional(forward, backward, return_carry=True)
    return applied(both, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("dense layer")
def dense_layer():
    return applied(nn.Dense(UNITS), FRAMES)


@parts.row("embedding: look tokens up")
def embedding_of_tokens():
    return applied(nn.Embed(STEPS, FEATURES), TOKENS)


@parts.row("convolution: causal padding and dilation")
def causal_convolution():
    conv = nn.Conv(UNITS, (2,), padding="CAUSAL", kernel_dilation=2)
    return applied(conv, SEQUENCES)


@parts.row("transposed convolution")
def transposed_convolution():
    return applied(nn.ConvTranspose(UNITS, (4,), strides=(2,)), SEQUENCES)


@parts.row("layer norm")
def layer_norm():
    return applied(nn.LayerNorm(), SEQUENCES)


@parts.row("RMS norm")
def rms_norm():
    return applied(nn.RMSNorm(), SEQUENCES)


@parts.row("group norm")
def group_norm():
    return applied(nn.GroupNorm(num_groups=FEATURES), SEQUENCES)


@parts.row("batch norm: training")
def batch_norm_in_training():
    return applied(nn.BatchNorm(use_running_average=False), SEQUENCES)


@parts.row("batch norm: inference")
def batch_norm_in_inference():
    return applied(nn.BatchNorm(use_running_average=True), SEQUENCES)


@parts.call("norms: bfloat16 inputs far from zero")
def norms_of_half_precision():
    results = []
    for norm in (nn.LayerNorm(), nn.RMSNorm(), nn.BatchNorm(use_running_average=False)):
        output, _ = norm.init_with_output(KEY, HALF)
        results.append(output)
    return results


@parts.row("multi-head attention: causal")
def causal_attention():
    attention = nn.MultiHeadDotProductAttention(num_heads=1)
    return applied(attention, SEQUENCES, mask=CAUSAL[None, None])


@parts.function("attention: a query that may attend to nothing", SEQUENCES[:, :, None])
def attention_of_a_masked_query(x):
    return nn.dot_product_attention(x, x, x, mask=ONE_ROW_MASKED[None, None])


@parts.call("dropout: with a key")
def dropout_with_a_key():
    dropout = nn.Dropout(0.3, deterministic=False)
    return dropout.apply({}, SEQUENCES, rngs={"dropout": KEY})


class Compact(nn.Module):
    """A module as users write one, with parameters, statistics and a counter."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.BatchNorm(use_running_average=False, momentum=0.8)(x)
        x = nn.Dense(UNITS)(x)
        self.sow("intermediates", "hidden", x)
        calls = self.variable("counts", "calls", lambda: jnp.zeros(()))
        calls.value += 1
        return x * self.param("scale", nn.initializers.ones, (UNITS,))


class SameNameTwice(nn.Module):
    """A mistake: two layers of one name."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Dense(FEATURES, name="layer")(x)
        return nn.Dense(FEATURES, name="layer")(x)


@parts.row("module with @nn.compact: parameters, statistics, a sown value, a counter")
def compact_module():
    return applied(Compact(), FRAMES)


@parts.row("nn.scan: one cell over time")
def scan_of_one_cell():
    loop = nn.scan(
        nn.GRUCell,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=1,
    )
    return applied(loop(UNITS), CARRY, SEQUENCES)


@parts.row("nn.vmap: a layer for each example")
def vmap_of_layers():
    layers = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
    return applied(layers(UNITS), FRAMES)


@parts.row("nn.jit: calls of a cell")
def jit_of_a_cell():
    traces = TraceCounter()
    cell = nn.jit(nn.GRUCell)(UNITS, activation_fn=traces.counted(jnp.tanh))
    variables = variables_of(nn.GRUCell(UNITS), CARRY, FRAMES)
    return Call(lambda: cell.apply(variables, CARRY, FRAMES), traces)


def train_state() -> TrainState:
    """A state of training with one parameter."""
    return TrainState.create(apply_fn=jnp.sin, params={"w": CARRY}, tx=optax.adam(1e-2))


@parts.call("TrainState: two steps of training")
def train_state_after_two_steps():
    state = train_state().apply_gradients(grads={"w": CARRY})
    return state.apply_gradients(grads={"w": 2 * CARRY})


@parts.call("checkpoint: the arrays in a file")
def arrays_of_a_checkpoint():
    """What the file holds, in the dtypes that it has."""
    content = flax.serialization.to_bytes(train_state())
    return flax.serialization.msgpack_restore(content)


@parts.call("checkpoint: read back into a state")
def checkpoint_read_back():
    zeros = jax.tree.map(jnp.zeros_like, train_state())
    return flax.serialization.from_bytes(
        zeros, flax.serialization.to_bytes(train_state())
    )


@parts.mistake("mistake: a dense layer gets another number of features")
def dense_layer_gets_other_features():
    layer = nn.Dense(UNITS)
    layer.apply(layer.init(KEY, FRAMES), CARRY)


@parts.mistake("mistake: a cell gets a carry of another size")
def cell_gets_another_carry():
    cell = nn.GRUCell(UNITS)
    cell.apply(cell.init(KEY, CARRY, FRAMES), FRAMES, FRAMES)


@parts.mistake("mistake: a parameter is missing")
def parameter_is_missing():
    nn.Dense(UNITS).apply({"params": {"bias": CARRY[0]}}, FRAMES)


@parts.mistake("mistake: dropout without a key")
def dropout_without_a_key():
    nn.Dropout(0.5, deterministic=False).apply({}, FRAMES)


@parts.mistake("mistake: batch norm may not change its statistics")
def batch_norm_without_mutable():
    norm = nn.BatchNorm(use_running_average=False)
    norm.apply(norm.init(KEY, FRAMES), FRAMES)


@parts.mistake("mistake: two layers of one name")
def two_layers_of_one_name():
    SameNameTwice().init(KEY, FRAMES)


@parts.mistake("mistake: a checkpoint lacks a parameter")
def checkpoint_lacks_a_parameter():
    flax.serialization.from_state_dict({"a": CARRY, "b": CARRY}, {"a": CARRY})
