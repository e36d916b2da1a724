"""Training by the oracle's gradients: the reference for every port's train step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from ..parameters.record import leaves
from ..program import Traced


@dataclass(frozen=True)
class Trajectory:
    """How parameters and loss changed."""

    losses: np.ndarray  # before each step, (steps,)
    start: Any  # parameters before the first step
    end: Any  # parameters after the last
    weights: dict[str, np.ndarray]  # how much each entry's move counts, by name

    def moved(self, end: Any) -> dict[str, np.ndarray]:
        """How far parameters moved from the start, by name, weighted.

        Where accuracy is asked for, an entry's weight is its gradient's magnitude: Adam divides by that magnitude, so
        where a gradient is no larger than its rounding error, the sign of the move is noise, which does not
        change the loss. Where sameness is asked for, in float64, every entry counts alike.
        """
        return {name: self.weights.get(name[2:], 1) * move for name, move in moves(self.start, end).items()}

    def answers(self) -> dict[str, np.ndarray]:
        """Losses and moves by quantity."""
        return {"losses": self.losses} | self.moved(self.end)


def moves(start: Any, end: Any) -> dict[str, np.ndarray]:
    """How far parameters moved, by name."""
    last = leaves(end)
    return {f"Δ {name}": np.asarray(last[name]) - first for name, first in leaves(start).items()}


def trajectory(
    params: Any,
    loss_and_grad: Callable[[Any], tuple[Any, Any]],
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    weighted: bool = False,
    dtype: Any = None,
) -> Trajectory:
    """Train with the oracle's gradients. The optimiser moves the parameters in their own dtype.

    Args:
        params: a canonical record.
        loss_and_grad: of parameters; the same batch at every step.
        dtype: in which loss and gradient are computed, with parameters that are cast to it; None means theirs.
        weighted: weigh each entry's move by its gradient's magnitude (the first step's), as Trajectory explains.
    """
    with enable_x64(jax.tree.leaves(params)[0].dtype == np.float64):
        state: Any = jax.tree.map(np.asarray, optimizer.init(params))
        update = Traced(optimizer.update, params, state, params)
    losses, start, weights = [], params, {}
    for _ in range(steps):
        loss, gradient = loss_and_grad(jax.tree.map(lambda p: p.astype(dtype or p.dtype), params))
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, params)
        losses.append(loss)
        if weighted and not weights:
            weights = {name: np.abs(g) / (np.abs(g).max() or 1) for name, g in leaves(gradient).items()}
        updates, state = update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + np.asarray(u), params, updates)
    return Trajectory(np.stack(losses), start, params, weights)
