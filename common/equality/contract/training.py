"""Train steps with the oracle's gradients: the optimisers of the contract, and how
parameters and loss change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
import optax

from ...compat import enable_x64
from ...gru.optimizers import carry_learning_rate
from ...parameters.record import GRUParams
from ...program import Traced

Array = np.ndarray
#: Train steps of a case.
STEPS = 3

_REST = optax.adamw(1e-2, weight_decay=0.1)
#: With so large an epsilon, it is neither the gradient's size nor the update's alone
#: that moves the initial carry.
_OF_CARRY = optax.adam(0.02, eps=0.1)
_CARRY_SCALE, _CARRY_LENGTH = 3.0, 17
#: By level of a case. The update of each needs the parameters, too, or divides by the
#: gradient.
OPTIMIZERS = {
    "momentum": optax.chain(
        optax.add_decayed_weights(0.1), optax.sgd(0.03, momentum=0.9)
    ),
    "adam": optax.adam(1e-2),
    # both the norm and the decay see every parameter
    "clipped adamw": optax.chain(
        optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1)
    ),
    "carry rate": carry_learning_rate(
        _REST, scale=_CARRY_SCALE, length=_CARRY_LENGTH, carry=_OF_CARRY
    ),
}
#: What is expected of them on canonical records, where that is written in another way:
#: without a path to be found.
OPTIMIZERS_OF_RECORDS = OPTIMIZERS | {
    "carry rate": optax.multi_transform(
        {
            "rest": _REST,
            "carry": optax.chain(
                optax.scale(_CARRY_LENGTH), _OF_CARRY, optax.scale(_CARRY_SCALE)
            ),
        },
        GRUParams("rest", "rest", "rest", "rest", "carry"),  # pyright: ignore[reportArgumentType]
    )
}


@dataclass(frozen=True)
class Trajectory:
    """How parameters and loss changed."""

    losses: Array  # before each step, (steps,)
    start: Any  # parameters before the first step
    end: Any  # parameters after the last
    weights: dict[
        str, Array
    ]  # of each entry, the magnitude of its first gradient, relative to the largest

    def moved(self, end: Any) -> dict[str, Array]:
        """How far parameters moved from the start, by name, each entry times its
        weight.

        Adam divides by a gradient's magnitude, so where a gradient is no larger than
        its rounding error, the sign of the move is noise, which does not change the
        loss.
        """
        weighted = {}
        for name, move in moves(self.start, end).items():
            weighted[name] = self.weights[name.removeprefix("Δ ")] * move
        return weighted


def moves(start: Any, end: Any) -> dict[str, Array]:
    """How far the parameters of a canonical record moved, by name."""
    last = end._asdict()
    return {
        f"Δ {name}": np.asarray(last[name]) - first
        for name, first in start._asdict().items()
    }


def trajectory(
    params: Any,
    loss_and_grad: Callable[[Any], tuple[Any, Any]],
    optimizer: optax.GradientTransformation,
    steps: int,
    dtype: Any = None,
) -> Trajectory:
    """Train with the oracle's gradients.

    Args:
        params: a canonical record, whose dtypes the optimiser moves it in.
        loss_and_grad: (params) -> the loss, and its gradient as a record.
        optimizer: of Optax.
        steps: how many.
        dtype: in which loss and gradient are computed; None for that of the parameters.
    """
    init, update = _traced(optimizer, jax.tree.map(_spec, params))
    start, state = params, init(params)
    losses, weights = [], {}
    for _ in range(steps):
        cast = jax.tree.map(lambda p: p.astype(dtype or p.dtype), params)
        loss, gradient = loss_and_grad(cast)
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, params)
        losses.append(loss)
        if not weights:
            weights = _relative_magnitudes(gradient)
        updates, state = update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + np.asarray(u), params, updates)
    return Trajectory(np.stack(losses), start, params, weights)


def _spec(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _relative_magnitudes(gradient: Any) -> dict[str, Array]:
    weights = {}
    for name, array in gradient._asdict().items():
        magnitude = np.abs(array)
        weights[name] = magnitude / (magnitude.max() or 1)
    return weights


@lru_cache(maxsize=64)
def _traced(
    optimizer: optax.GradientTransformation, params: Any
) -> tuple[Traced, Traced]:
    """An optimiser's functions, for parameters of these shapes and dtypes."""
    with enable_x64(jax.tree.leaves(params)[0].dtype == np.float64):
        state = jax.eval_shape(optimizer.init, params)
        init = Traced(optimizer.init, params)
        return init, Traced(optimizer.update, params, state, params)
