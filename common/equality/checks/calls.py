"""Checks of calls at the edge: the initial carry that is handed out, carries that are
not finite, and many steps.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...port.compilation import jit_without_optimization
from ...port.protocol import Port
from ...program import evaluate
from .. import oracle
from .check import CARRY, CONFIG, PARAMS, RESETS, B, H, Trial, X

Array = Any
#: The shapes for which the initial carry is handed out.
BATCHES = ((), (B,), (2, B))
#: Lengths, of which most are more steps than 16 bits count. The last is that of the
#: sequence.
COUNTED = np.array([2**16 + 1, 2**15 + 1, 3, 2**16 + 2])
#: Carries that are not finite, each in all units of an example.
ENDLESS = np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], B)[:, None], CARRY.shape)


def start(port: Port) -> Iterator[Trial]:
    """The initial carry, in the dtype of the computation, for each batch."""

    def starts(model: Any) -> list[Array]:
        return [port.initial_carry(model, batch) for batch in BATCHES]

    for dtype in (None, "float32", "bfloat16"):
        model = port.load(replace(CONFIG, dtype=dtype), PARAMS)
        expected = []
        for batch in BATCHES:
            tiled = np.tile(PARAMS.initial_carry, (*batch, 1))
            expected.append(tiled.astype(dtype or "float64"))
        run = partial(evaluate, starts, model)
        yield Trial(f"dtype={dtype!r}, by batch_shape {BATCHES}", run, expected)

    model = port.load(CONFIG, PARAMS)
    tiled = np.tile(PARAMS.initial_carry, (B, 1))  # (B, H)
    yield Trial("outside of jit", partial(port.initial_carry, model, (B,)), tiled)
    cast = jax.tree.map(lambda p: p.astype("float32"), model)
    run = partial(port.initial_carry, cast, (B,))
    yield Trial("of parameters that were cast", run, tiled.astype("float32"))


def held(port: Port) -> Iterator[Trial]:
    """Carries that are not finite go through padding as they are, and a NaN goes
    through the steps of its example.
    """
    model = port.load(CONFIG, PARAMS)
    no_steps = np.zeros(B, np.int32)
    no_outputs = np.zeros((*X.shape[:2], H))
    expected = (ENDLESS, no_outputs)

    def call(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Any:
        return port.apply(model, x, carry, lengths=lengths, resets=resets)

    for what, resets in (("", None), (" with resets", RESETS)):
        run = partial(evaluate, call, model, X, ENDLESS, no_steps, resets)
        yield Trial(f"lengths 0, carry and outputs{what}", run, expected, None)

    x = X.copy()
    x[1, 2, 0] = np.nan
    result = oracle.forward(PARAMS, x)

    def call_on_nan() -> Any:
        return jax.tree.map(np.nan_to_num, evaluate(port.apply, model, x))

    spoiled = np.nan_to_num(result.carry), np.nan_to_num(result.outputs)
    yield Trial("NaN at a step of one example, as 0", call_on_nan, spoiled)


def counted(port: Port) -> Iterator[Trial]:
    """The carry at a length is the output there of an example that goes on."""

    @jit_without_optimization
    def difference(model: Any, x: Array, lengths: Array) -> Array:
        alike = jnp.repeat(x, len(lengths), axis=0)
        carry, outputs = port.apply(model, alike, lengths=lengths)
        return carry[:-1] - outputs[-1, lengths[:-1] - 1]

    x = np.resize(X[:1], (1, COUNTED[-1], X.shape[-1]))
    run = partial(difference, port.load(CONFIG, PARAMS), x, COUNTED)
    expected = np.zeros((len(COUNTED) - 1, H))
    yield Trial(f"lengths {COUNTED}, carry", run, expected)
