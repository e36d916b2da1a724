"""Parts of Flax linen."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, normal, of_shapes, without_zeros, zeros_under_x64

X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)


def _of(
    make: Callable[[], nn.Module], *inputs: Any, draws: bool = False, compiled: bool = False, **options: Any
) -> Callable[[], Example]:
    """A module that is called with inputs; where it draws, its parameters are those that it draws itself."""

    def example() -> Example:
        module: Any = make()
        key = jax.random.key(0)
        drawn = module.init(key, *inputs, **options) if draws else None
        shapes = None if draws else jax.eval_shape(lambda: module.init(key, *inputs, **options))
        params = without_zeros(drawn) if draws else of_shapes(shapes)
        return Example(lambda v, *x: module.apply(v, *x, **options), params, inputs, drawn, compiled)

    return example


def _cell() -> Any:
    return nn.GRUCell(H)


def _scanned() -> Any:
    return nn.scan(nn.GRUCell, variable_broadcast="params", split_rngs={"params": False})(H)


def _mapped() -> Any:
    return nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(H)


def _train_state() -> Example:
    module, x = nn.Dense(H), FRAME
    params = module.init(jax.random.key(0), x)["params"]

    def step(params: Any, x: Any) -> Any:
        state = TrainState.create(apply_fn=module.apply, params=params, tx=optax.adam(1e-2))
        gradient = jax.grad(lambda p: jnp.sum(state.apply_fn({"params": p}, x) ** 2))(state.params)
        state = state.apply_gradients(grads=gradient)
        return state.params, state.opt_state, state.step

    return Example(step, params, (x,))


def _bytes(_: Ran) -> Callable[[], Any]:
    half = jnp.ones(H, jnp.bfloat16) / 3
    tree = {"a": CARRY, "b": np.arange(3), "list": [half, (CARRY,)], "state": optax.adam(1e-2).init(half)}

    def call() -> Any:
        content = flax.serialization.to_bytes(tree)
        return flax.serialization.from_bytes(tree, content), np.frombuffer(content, np.uint8)

    return call


LENGTHS = np.array([1, 4, 2])
PARTS: Parts = {
    "nn.GRUCell": _of(_cell, CARRY, FRAME, draws=True),
    "nn.GRUCell.initialize_carry": lambda: Called(
        lambda _: lambda: _cell().initialize_carry(jax.random.key(0), (B, D))
    ),
    "nn.GRUCell.initialize_carry in half precision": lambda: Called(
        lambda _: lambda: nn.GRUCell(H, param_dtype=jnp.bfloat16).initialize_carry(jax.random.key(0), (B, D))
    ),
    "nn.GRUCell under x64": lambda: Called(
        lambda _: zeros_under_x64(lambda: _cell().init(jax.random.key(0), CARRY, FRAME))
    ),
    "nn.RNN": _of(lambda: nn.RNN(_cell()), X, draws=True, compiled=True),
    "nn.RNN with a carry": _of(lambda: nn.RNN(_cell(), return_carry=True), X, initial_carry=CARRY),
    "nn.RNN with lengths": _of(lambda: nn.RNN(_cell(), return_carry=True), X, seq_lengths=LENGTHS),
    "nn.RNN in reverse": _of(lambda: nn.RNN(_cell(), reverse=True, keep_order=True), X),
    "nn.RNN, time first": _of(lambda: nn.RNN(_cell(), time_major=True), STEPS),
    "nn.Bidirectional": _of(lambda: nn.Bidirectional(nn.RNN(_cell()), nn.RNN(_cell())), X),
    "nn.remat": _of(lambda: nn.RNN(nn.remat(nn.GRUCell)(H)), X),
    "nn.scan": _of(_scanned, CARRY, STEPS),
    "nn.jit": _of(lambda: nn.jit(nn.GRUCell)(H), CARRY, FRAME),
    "nn.vmap": _of(_mapped, FRAME),
    "nn.Dense": _of(lambda: nn.Dense(H), FRAME, draws=True),
    "nn.LayerNorm": _of(lambda: nn.LayerNorm(), FRAME, draws=True),
    "nn.LSTMCell": _of(lambda: nn.RNN(nn.OptimizedLSTMCell(H)), X, draws=True),
    "nn.MultiHeadDotProductAttention": _of(lambda: nn.MultiHeadDotProductAttention(1), X),
    "TrainState": _train_state,
    "flax.serialization": lambda: Called(_bytes),
}
SIGNATURES = (
    *("flax.linen.GRUCell", "flax.linen.RNN", "flax.linen.RNN.__call__", "flax.linen.GRUCell.initialize_carry"),
    *("flax.linen.remat", "flax.linen.scan", "flax.linen.vmap", "flax.linen.jit", "flax.linen.Dense"),
    *("flax.training.train_state.TrainState.create", "flax.serialization.from_bytes"),
)
