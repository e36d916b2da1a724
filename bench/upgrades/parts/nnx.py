"""Parts of Flax NNX."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from ..observing import Call, Example, TraceCounter
from .catalogue import (
    CARRY,
    CAUSAL,
    FEATURES,
    FRAMES,
    HALF,
    LENGTHS,
    MEMORY,
    ONE_ROW_MASKED,
    SEQUENCES,
    STEPS,
    TOKENS,
    UNITS,
    Catalogue,
    filled,
    paths_in,
)

parts = Catalogue("flax.nnx", "flax.nnx.nn.initializers")


def call_module(module: Any, *inputs: Any, **options: Any) -> Any:
    """The results of a module, and the statistics that it changes."""
    results = module(*inputs, **options)
    return results, jax.tree.leaves(nnx.state(module, nnx.BatchStat))


def called(
    module: Any,
    *inputs: Any,
    call: Callable[..., Any] = call_module,
    compiled: bool = False,
    **options: Any,
) -> Example:
    """A module with fixed parameters; those that it drew are compared, too."""
    graph, drawn, remaining = nnx.split(module, nnx.Param, ...)

    def function(params, *inputs):
        # random streams are among the remaining ones, and a call moves them on
        own_remaining = jax.tree.map(lambda leaf: leaf, remaining)
        merged = nnx.merge(graph, params, own_remaining)
        return call(merged, *inputs, **options)

    return Example(function, filled(drawn), inputs, drawn, compiled)


def seeded() -> nnx.Rngs:
    """Random streams with a fixed seed."""
    return nnx.Rngs(0)


def gru_cell(**options: Any) -> nnx.GRUCell:
    return nnx.GRUCell(FEATURES, UNITS, rngs=seeded(), **options)


def fixed_layer() -> nnx.Linear:
    """A layer with fixed parameters."""
    layer = nnx.Linear(FEATURES, UNITS, rngs=seeded())
    nnx.update(layer, filled(nnx.state(layer, nnx.Param)))
    return layer


def squared_outputs(layer: Any, x: Any) -> Any:
    """A loss."""
    return jnp.sum(layer(x) ** 2)


@parts.row("GRU cell: one step")
def gru_cell_one_step():
    return called(gru_cell(), CARRY, FRAMES)


@parts.row("GRU cell: half precision")
def gru_cell_in_half_precision():
    return called(gru_cell(dtype=jnp.bfloat16), CARRY, FRAMES)


@parts.row("LSTM cell: one step")
def lstm_cell_one_step():
    cell = nnx.LSTMCell(FEATURES, UNITS, rngs=seeded())
    return called(cell, (CARRY, MEMORY), FRAMES)


@parts.row("optimized LSTM cell: one step")
def optimized_lstm_cell_one_step():
    cell = nnx.OptimizedLSTMCell(FEATURES, UNITS, rngs=seeded())
    return called(cell, (CARRY, MEMORY), FRAMES)


@parts.row("simple cell: one step")
def simple_cell_one_step():
    return called(nnx.SimpleCell(FEATURES, UNITS, rngs=seeded()), CARRY, FRAMES)


@parts.call("cells: initial carries")
def initial_carries():
    lstm = nnx.OptimizedLSTMCell(FEATURES, UNITS, rngs=seeded())
    shape = FRAMES.shape
    return [cell.initialize_carry(shape, seeded()) for cell in (gru_cell(), lstm)]


@parts.row("RNN: over sequences")
def rnn_over_sequences():
    return called(nnx.RNN(gru_cell()), SEQUENCES, compiled=True)


@parts.row("RNN: from an initial carry, with the last one")
def rnn_from_an_initial_carry():
    rnn = nnx.RNN(gru_cell(), return_carry=True)
    return called(rnn, SEQUENCES, initial_carry=CARRY)


@parts.row("RNN: sequences of unequal lengths")
def rnn_over_unequal_lengths():
    rnn = nnx.RNN(gru_cell(), return_carry=True)
    return called(rnn, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("RNN: unequal lengths in reverse")
def rnn_in_reverse():
    rnn = nnx.RNN(gru_cell(), reverse=True, return_carry=True)
    return called(rnn, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("RNN: time as the first axis")
def rnn_over_time_as_first_axis():
    return called(nnx.RNN(gru_cell(), time_major=True), SEQUENCES)


@parts.row("bidirectional RNN: unequal lengths")
def bidirectional_rnn():
    forward, backward = nnx.RNN(gru_cell()), nnx.RNN(gru_cell())
    both = nnx.Bidirectional(forward, backward, return_carry=True, rngs=seeded())
    return called(both, SEQUENCES, seq_lengths=LENGTHS)


@parts.row("linear layer")
def linear_layer():
    return called(nnx.Linear(FEATURES, UNITS, rngs=seeded()), FRAMES)


@parts.row("embedding: look tokens up")
def embedding_of_tokens():
    return called(nnx.Embed(STEPS, FEATURES, rngs=seeded()), TOKENS)


@parts.row("convolution: causal padding and dilation")
def causal_convolution():
    conv = nnx.Conv(
        FEATURES, UNITS, (2,), padding="CAUSAL", kernel_dilation=2, rngs=seeded()
    )
    return called(conv, SEQUENCES)


@parts.row("transposed convolution")
def transposed_convolution():
    conv = nnx.ConvTranspose(FEATURES, UNITS, (4,), strides=(2,), rngs=seeded())
    return called(conv, SEQUENCES)


@parts.row("layer norm")
def layer_norm():
    return called(nnx.LayerNorm(FEATURES, rngs=seeded()), SEQUENCES)


@parts.row("RMS norm")
def rms_norm():
    return called(nnx.RMSNorm(FEATURES, rngs=seeded()), SEQUENCES)


@parts.row("group norm")
def group_norm():
    norm = nnx.GroupNorm(FEATURES, num_groups=FEATURES, rngs=seeded())
    return called(norm, SEQUENCES)


@parts.row("batch norm: training, then inference")
def batch_norm():
    def train_then_infer(norm, x):
        norm.train()
        trained = call_module(norm, x)
        norm.eval()
        return trained, norm(x)

    norm = nnx.BatchNorm(FEATURES, rngs=seeded())
    return called(norm, SEQUENCES, call=train_then_infer)


@parts.call("norms: bfloat16 inputs far from zero")
def norms_of_half_precision():
    kinds = (nnx.LayerNorm, nnx.RMSNorm, nnx.BatchNorm)
    return [norm(FEATURES, rngs=seeded())(HALF) for norm in kinds]


def attention(heads: int = 1, **options: Any) -> nnx.MultiHeadAttention:
    return nnx.MultiHeadAttention(heads, FEATURES, rngs=seeded(), **options)


@parts.row("multi-head attention: causal")
def causal_attention():
    return called(attention(decode=False), SEQUENCES, mask=CAUSAL[None, None])


@parts.row("multi-head attention: two steps of decoding")
def attention_decodes_two_steps():
    def decode(module, x):
        module.init_cache(x.shape)
        return module(x[:, :1]), module(x[:, 1:2])

    return called(attention(decode=True), SEQUENCES, call=decode)


@parts.row("multi-head attention: a query that may attend to nothing")
def attention_of_a_masked_query():
    mask = ONE_ROW_MASKED[None, None]
    return called(attention(decode=False), SEQUENCES, mask=mask, sow_weights=True)


@parts.call("dropout: three calls with one stream")
def dropout_with_a_stream():
    dropout = nnx.Dropout(0.3, rngs=nnx.Rngs(dropout=1))
    return [dropout(SEQUENCES) for _ in range(3)]


@parts.call("train and eval: the mode of a dropout layer")
def modes_of_dropout():
    dropout = nnx.Dropout(0.3, rngs=seeded())
    dropout.eval()
    in_inference = dropout(SEQUENCES)
    dropout.train()
    return in_inference, dropout(SEQUENCES)


@parts.call("random streams: keys that are drawn")
def keys_of_random_streams():
    rngs = nnx.Rngs(0, dropout=1)
    keys = [rngs.params(), rngs.params(), rngs.dropout(), rngs.other()]
    return [jax.random.key_data(key) for key in keys]


@parts.call("parameter: arithmetic, and a new value")
def arithmetic_of_a_parameter():
    parameter = nnx.Param(CARRY)
    before = parameter + 1, parameter @ CARRY.T, parameter[0]
    parameter.value = 2 * parameter.value
    return before, parameter.value


@parts.call("state: paths by the type of variable")
def paths_of_a_state():
    norm = nnx.BatchNorm(FEATURES, rngs=seeded())
    parameters, statistics = nnx.state(norm, nnx.Param, nnx.BatchStat)
    return paths_in(parameters), paths_in(statistics)


@parts.call("split and merge: a layer")
def split_and_merged_layer():
    graph, state = nnx.split(fixed_layer())
    doubled = jax.tree.map(lambda leaf: 2 * leaf, state)
    return nnx.merge(graph, doubled)(FRAMES)


@parts.call("checkpoint: a state as plain dictionaries, and back")
def pure_dictionaries():
    layer = fixed_layer()
    state = nnx.state(layer)
    stored = nnx.to_pure_dict(state)
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.sin, stored))
    nnx.update(layer, state)
    return stored, layer(FRAMES)


@parts.row("nnx.grad: by all parameters, and by one")
def gradients_of_a_layer():
    def gradients(layer, x):
        one = nnx.DiffState(0, nnx.PathContains("bias"))
        by_all = nnx.grad(squared_outputs)(layer, x)
        by_one = nnx.grad(squared_outputs, argnums=one)(layer, x)
        return jax.tree.leaves((by_all, by_one))

    return called(nnx.Linear(FEATURES, UNITS, rngs=seeded()), FRAMES, call=gradients)


@parts.row("nnx.scan: one cell over time")
def scan_of_one_cell():
    def scan(cell, carry, x):
        def step(carry, cell, x):
            return cell(carry, x)

        axes = (nnx.Carry, None, 1)
        loop = nnx.scan(step, in_axes=axes, out_axes=(nnx.Carry, 1))
        return loop(carry, cell, x)

    return called(gru_cell(), CARRY, SEQUENCES, call=scan)


@parts.row("nnx.vmap: a layer over examples")
def vmap_of_a_layer():
    def each(layer, x):
        return nnx.vmap(lambda layer, x: layer(x), in_axes=(None, 0))(layer, x)

    return called(nnx.Linear(FEATURES, UNITS, rngs=seeded()), FRAMES, call=each)


@parts.row("nnx.remat: a cell")
def remat_of_a_cell():
    def step(cell, carry, x):
        return nnx.remat(lambda cell, carry, x: cell(carry, x))(cell, carry, x)

    return called(gru_cell(), CARRY, FRAMES, call=step)


def train_step(layer: Any, optimizer: Any, x: Any) -> Any:
    """A step of training: one gradient, and one update."""
    loss, gradient = nnx.value_and_grad(squared_outputs)(layer, x)
    optimizer.update(layer, gradient)
    return loss


def step_of_training(compile_step: Callable[..., Any]) -> Call:
    """A step of training by a compiled function, with what it leaves behind."""
    traces = TraceCounter()
    layer = fixed_layer()
    optimizer = nnx.Optimizer(layer, optax.adam(1e-2), wrt=nnx.Param)
    step = compile_step(traces.counted(train_step), layer, optimizer)

    def train():
        loss = step(FRAMES)
        return loss, jax.tree.leaves([nnx.state(layer), nnx.state(optimizer)])

    return Call(train, traces)


@parts.row("nnx.jit: a step of training")
def training_by_jit():
    return step_of_training(lambda step, *modules: partial(nnx.jit(step), *modules))


@parts.row("nnx.cached_partial: a step of training")
def training_by_cached_partial():
    return step_of_training(
        lambda step, *modules: nnx.cached_partial(nnx.jit(step), *modules)
    )


@parts.mistake("mistake: a layer gets another number of features")
def layer_gets_other_features():
    fixed_layer()(CARRY)


@parts.mistake("mistake: a cell gets a carry of another size")
def cell_gets_another_carry():
    gru_cell()(FRAMES, FRAMES)


@parts.mistake("mistake: dropout without a random stream")
def dropout_without_a_stream():
    nnx.Dropout(0.5)(FRAMES)


@parts.mistake("mistake: an optimizer that is not told what to train")
def optimizer_without_wrt():
    optimizer: Any = nnx.Optimizer
    optimizer(fixed_layer(), optax.sgd(1.0))


@parts.mistake("mistake: a state of another module")
def state_of_another_module():
    nnx.update(gru_cell(), nnx.state(nnx.RNN(gru_cell())))


@parts.mistake("mistake: a parameter is set in jax.jit")
def parameter_is_set_in_jit():
    parameter = nnx.Param(CARRY)

    def set_value(value):
        parameter.value = value

    jax.jit(set_value)(CARRY)
