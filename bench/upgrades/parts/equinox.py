"""Parts of Equinox."""

import io
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, donated, normal, without_zeros, zeros_under_x64

X, FRAMES, FRAME, CARRY, STEPS = normal(T, D), normal(B, D), normal(D), normal(H), normal(T, D)
KEY = jax.random.key(0)


def _of(
    make: Callable[[], Any], *inputs: Any, call: Callable[..., Any] = lambda m, *x: m(*x), compiled: bool = False
) -> Callable[[], Example]:
    """A module that is called with inputs."""

    def example() -> Example:
        drawn = make()
        return Example(call, without_zeros(drawn), inputs, eqx.filter(drawn, eqx.is_array), compiled)

    return example


def _cell(**options: Any) -> Any:
    return eqx.nn.GRUCell(D, H, key=KEY, **options)


def _scanned(cell: Any, h: Any, x: Any, wrap: Callable[..., Any] = lambda f: f) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = cell(x, h)
        return h, h

    return jax.lax.scan(wrap(step), h, x)


def _mapped(cell: Any, x: Any, h: Any) -> Any:
    return eqx.filter_vmap(lambda cell, x, h: cell(x, h), in_axes=(None, 0, None))(cell, x, h)


def _loss(cell: Any, x: Any, h: Any) -> Any:
    return jnp.sum(cell(x, h) ** 2)


def _jitted(ran: Ran) -> Callable[[], Any]:
    cell, call = _cell(), eqx.filter_jit(ran(lambda cell, x, h: cell(x, h)))
    return lambda: call(cell, FRAME, CARRY)


def _file(ran: Ran) -> Callable[[], Any]:
    def call() -> Any:
        cell, file = _cell(), io.BytesIO()
        eqx.tree_serialise_leaves(file, cell)
        file.seek(0)
        read = eqx.filter(eqx.tree_deserialise_leaves(file, cell), eqx.is_array)
        return read, np.frombuffer(file.getvalue(), np.uint8)

    return call


def _refused(ran: Ran) -> Callable[[], Any]:
    """Whether a file is refused that holds arrays of other shapes."""

    def call() -> Any:
        file = io.BytesIO()
        eqx.tree_serialise_leaves(file, FRAME)
        file.seek(0)
        try:
            eqx.tree_deserialise_leaves(file, CARRY)
        except RuntimeError:
            return np.asarray(True)
        return np.asarray(False)

    return call


def _surgery(ran: Ran) -> Callable[[], Any]:
    def call() -> Any:
        cell = eqx.tree_at(lambda cell: cell.bias_n, _cell(), 2 + CARRY)
        params, static = eqx.partition(cell, eqx.is_inexact_array)
        cell = eqx.apply_updates(cell, jax.tree.map(lambda a: a / 2, params))
        return cell(FRAME, CARRY), eqx.combine(params, static)(FRAME, CARRY)

    return call


PARTS: Parts = {
    "eqx.nn.GRUCell": _of(_cell, FRAME, CARRY),
    "eqx.nn.GRUCell without bias": _of(lambda: _cell(use_bias=False), FRAME, CARRY),
    "eqx.nn.GRUCell under x64": lambda: Called(lambda _: zeros_under_x64(lambda: eqx.filter(_cell(), eqx.is_array))),
    "lax.scan of eqx.nn.GRUCell": _of(_cell, CARRY, STEPS, call=_scanned, compiled=True),
    "eqx.filter_checkpoint": _of(
        _cell, CARRY, STEPS, call=lambda cell, h, x: _scanned(cell, h, x, eqx.filter_checkpoint)
    ),
    "eqx.filter_vmap": _of(_cell, FRAMES, CARRY, call=_mapped),
    "eqx.filter_grad": _of(_cell, FRAME, CARRY, call=eqx.filter_grad(_loss)),
    "eqx.filter_value_and_grad": _of(_cell, FRAME, CARRY, call=eqx.filter_value_and_grad(_loss)),
    "eqx.filter_jit": lambda: Called(_jitted),
    "eqx.filter_jit with donation": lambda: Called(lambda ran: donated(eqx.filter_jit(ran(jnp.tanh), donate="all"))),
    "eqx.nn.Linear": _of(lambda: eqx.nn.Linear(D, H, key=KEY), FRAME),
    "eqx.nn.MLP": _of(lambda: eqx.nn.MLP(D, H, 4, 1, key=KEY), FRAME),
    "eqx.nn.LayerNorm": _of(lambda: eqx.nn.LayerNorm(D), FRAME),
    "eqx.nn.LSTMCell": _of(lambda: eqx.nn.LSTMCell(D, H, key=KEY), FRAME, (CARRY, CARRY)),
    "eqx.nn.MultiheadAttention": _of(lambda: eqx.nn.MultiheadAttention(1, D, key=KEY), X, call=lambda m, x: m(x, x, x)),
    "eqx.tree_serialise_leaves": lambda: Called(_file),
    "eqx.tree_deserialise_leaves of other shapes": lambda: Called(_refused),
    "eqx.filter in half precision": lambda: Called(
        lambda _: lambda: eqx.filter([jnp.ones(H, jnp.bfloat16), np.arange(3)], eqx.is_inexact_array)
    ),
    "eqx.tree_at and eqx.partition": lambda: Called(_surgery),
}
SIGNATURES = (
    *("equinox.nn.GRUCell", "equinox.nn.GRUCell.__call__", "equinox.nn.Linear", "equinox.nn.MLP"),
    *("equinox.filter_jit", "equinox.filter_vmap", "equinox.filter_checkpoint", "equinox.filter_grad"),
    *("equinox.tree_serialise_leaves", "equinox.tree_deserialise_leaves", "equinox.tree_at", "equinox.apply_updates"),
)
