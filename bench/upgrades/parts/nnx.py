"""Parts of Flax NNX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, donated, normal, without_zeros, zeros_under_x64

X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)


def _call(module: Any, *inputs: Any, **options: Any) -> Any:
    return module(*inputs, **options)


def _of(
    make: Callable[[Any], Any], *inputs: Any, call: Callable[..., Any] = _call, compiled: bool = False, **options: Any
) -> Callable[[], Example]:
    """A module that is called with inputs."""

    def example() -> Example:
        graph, drawn, rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)

        def function(params: Any, *inputs: Any) -> Any:
            own = jax.tree.map(lambda a: a, rest)  # random streams, which a call moves on
            return call(nnx.merge(graph, params, own), *inputs, **options)

        return Example(function, without_zeros(drawn), inputs, drawn, compiled)

    return example


def _cell(rngs: Any, **options: Any) -> Any:
    return nnx.GRUCell(D, H, rngs=rngs, **options)


def _rnn(rngs: Any, **options: Any) -> Any:
    return nnx.RNN(_cell(rngs), **options)


def _with_remat(cell: Any, h: Any, x: Any) -> Any:
    step = nnx.remat(lambda cell, h, x: cell(h, x))
    for frame in x:
        h, _ = step(cell, h, frame)
    return h


def _scanned(cell: Any, h: Any, x: Any) -> Any:
    return nnx.scan(lambda h, cell, x: cell(h, x), in_axes=(nnx.Carry, None, 0), out_axes=(nnx.Carry, 0))(h, cell, x)


def _mapped(linear: Any, x: Any) -> Any:
    return nnx.vmap(lambda linear, x: linear(x), in_axes=(None, 0))(linear, x)


def _jitted(ran: Ran) -> Callable[[], Any]:
    cell, call = _cell(nnx.Rngs(0)), nnx.jit(ran(lambda cell, h, x: cell(h, x)))
    return lambda: call(cell, CARRY, FRAME)


def _optimizer(ran: Ran) -> Callable[[], Any]:
    def call() -> Any:
        linear = nnx.Linear(D, H, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(linear, optax.adam(1e-2), wrt=nnx.Param)
        gradient = nnx.grad(lambda linear: jnp.sum(linear(FRAME) ** 2))(linear)
        updates = optimizer.update(linear, gradient)
        return nnx.to_pure_dict(nnx.state(linear)), nnx.to_pure_dict(nnx.state(optimizer)), jax.tree.leaves(updates)

    return call


def _access(ran: Ran) -> Callable[[], Any]:
    def call() -> Any:
        param = nnx.Param(jnp.asarray(CARRY))
        read = {"value": param.value, "[...]": param[...], "+": param + 1}
        param.value = 2 * param[...]
        return {**read, "written": param[...]}

    return call


def _state(ran: Ran) -> Callable[[], Any]:
    def call() -> Any:
        cell = _cell(nnx.Rngs(0))
        state = jax.tree.map(lambda a: 2 * a, nnx.state(cell, nnx.Param))
        nnx.update(cell, state)
        graph, params, rest = nnx.split(nnx.clone(cell), nnx.Param, ...)
        return cell(CARRY, FRAME), nnx.merge(graph, params, rest)(CARRY, FRAME)

    return call


LENGTHS = np.array([1, 4, 2])
PARTS: Parts = {
    "nnx.GRUCell": _of(_cell, CARRY, FRAME),
    "nnx.GRUCell.initialize_carry": lambda: Called(
        lambda _: lambda: _cell(nnx.Rngs(0)).initialize_carry((B, D), nnx.Rngs(0))
    ),
    "nnx.GRUCell.initialize_carry in half precision": lambda: Called(
        lambda _: (
            lambda: _cell(
                nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros
            ).initialize_carry((B, D), nnx.Rngs(0))
        )
    ),
    "nnx.GRUCell under x64": lambda: Called(
        lambda _: zeros_under_x64(lambda: nnx.state(_cell(nnx.Rngs(0)), nnx.Param))
    ),
    "nnx.RNN": _of(_rnn, X, compiled=True),
    "nnx.RNN with a carry": _of(lambda rngs: _rnn(rngs, return_carry=True), X, initial_carry=CARRY),
    "nnx.RNN with lengths": _of(lambda rngs: _rnn(rngs, return_carry=True), X, seq_lengths=LENGTHS),
    "nnx.RNN in reverse": _of(lambda rngs: _rnn(rngs, reverse=True, keep_order=True), X),
    "nnx.RNN, time first": _of(lambda rngs: _rnn(rngs, time_major=True), STEPS),
    "nnx.remat": _of(_cell, CARRY, STEPS, call=_with_remat),
    "nnx.scan": _of(_cell, CARRY, STEPS, call=_scanned),
    "nnx.vmap": _of(lambda rngs: nnx.Linear(D, H, rngs=rngs), FRAME, call=_mapped),
    "nnx.jit": lambda: Called(_jitted),
    "nnx.jit with donation": lambda: Called(lambda ran: donated(nnx.jit(ran(jnp.tanh), donate_argnums=0))),
    "nnx.Linear": _of(lambda rngs: nnx.Linear(D, H, rngs=rngs), FRAME),
    "nnx.LayerNorm": _of(lambda rngs: nnx.LayerNorm(D, rngs=rngs), FRAME),
    "nnx.LSTMCell": _of(lambda rngs: nnx.RNN(nnx.OptimizedLSTMCell(D, H, rngs=rngs)), X),
    "nnx.Optimizer": lambda: Called(_optimizer),
    "nnx.Param": lambda: Called(_access),
    "nnx.split and nnx.merge": lambda: Called(_state),
}
SIGNATURES = (
    *("flax.nnx.GRUCell", "flax.nnx.RNN", "flax.nnx.RNN.__call__", "flax.nnx.GRUCell.initialize_carry"),
    *("flax.nnx.remat", "flax.nnx.scan", "flax.nnx.vmap", "flax.nnx.jit", "flax.nnx.grad", "flax.nnx.Linear"),
    *("flax.nnx.Optimizer", "flax.nnx.Optimizer.update", "flax.nnx.Rngs", "flax.nnx.split", "flax.nnx.state"),
)
