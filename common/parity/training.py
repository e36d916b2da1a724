"""A few steps of training of a program, in float64."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optax

from ..compat import enable_x64
from .values import Arguments

#: How many steps; how far the first of SGD moves the largest parameter; and Adam's learning rate.
STEPS, SGD_MOVES, ADAM_RATE = 10, 0.01, 1e-3
#: A model of more numbers than these is trained for a few steps alone.
LARGE, STEPS_IF_LARGE = 2_000_000, 3


def rates(params: Sequence[np.ndarray], gradients: Sequence[np.ndarray]) -> dict[str, Any]:
    """The optimizers, by name; the learning rate of SGD is such that nothing diverges."""
    largest = max((np.abs(g).max(initial=0) for g in gradients), default=0.0)
    rate = SGD_MOVES * max(np.abs(p).max(initial=0) for p in params) / largest if largest else 0.0
    return {"SGD": optax.sgd(float(rate)), "Adam": optax.adam(ADAM_RATE)}


def steps_of(params: Sequence[np.ndarray]) -> int:
    """How many steps a model is trained for."""
    return STEPS_IF_LARGE if sum(p.size for p in params) > LARGE else STEPS


def trained(program: Any, optimizer: Any, arguments: Arguments, weights: Sequence[Any]) -> list[np.ndarray]:
    """The parameters after some steps. The optimizer sees them as one vector, so that JAX compiles it once.

    Args:
        program: of which the gradient is taken.
        optimizer: of Optax.
        arguments: one set of values.
        weights: of the outputs, whose weighted sum goes down.
    """
    shapes = [p.shape for p in arguments.params]
    ends = np.cumsum([p.size for p in arguments.params])[:-1]

    def apart(vector: Any) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(np.asarray(vector), ends), shapes, strict=True)]

    def together(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.asarray(a).reshape(-1) for a in arrays])

    with enable_x64(True):
        vector: Any = together(arguments.params)
        state = optimizer.init(vector)
        for _ in range(steps_of(arguments.params)):
            gradient = together(program.gradient(replace(arguments, params=apart(vector)), weights).of_params)
            updates, state = optimizer.update(gradient, state, vector)
            vector = np.asarray(optax.apply_updates(vector, updates))
    return apart(vector)
