"""A few steps of training of a program, in float64."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from .matching import Match
from .model import is_float
from .values import Arguments, largest

#: How many steps; how far the first of SGD moves the largest parameter; and Adam's learning rate.
STEPS, SGD_MOVES, ADAM_RATE = 10, 0.01, 1e-3
#: A model of more numbers than these is trained for a few steps alone.
LARGE, STEPS_IF_LARGE = 2_000_000, 3
#: How many steps are compared that each model makes with an optimizer of its own.
OWN_STEPS = 3
#: Beyond it updates differ for certain, and no further step is made.
DIFFERENT = 1e-4


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


def difference_of_steps(
    r: Any, c: Any, mine: Arguments, given: Arguments, matches: Sequence[Match], weights: Sequence[Any]
) -> tuple[float, str]:
    """The largest difference of an update of the first step in which updates differ, and which update that is.

    Args:
        r, c: the programs of both; their models have optimizers.
        mine, given: the arguments of both, of one set.
        matches: one for each leaf of the candidate.
        weights: of the outputs, whose weighted sum goes down.
    """
    worst, where = 0.0, ""
    for step, (first, second) in enumerate(
        zip(_own_steps(r, mine, weights), _own_steps(c, given, weights), strict=True)
    ):
        for leaf, m, before, after in zip(c.params, matches, given.params, second, strict=True):
            error = 0.0 if m.layout is None else largest([m.layout.convert(first) - before], [after - before], first)
            if error > worst:
                worst, where = error, f"update of {leaf.path} after step {step + 1}"
        if worst > DIFFERENT:
            break
    return worst, where


def _own_steps(program: Any, arguments: Arguments, weights: Sequence[Any]) -> Iterator[list[np.ndarray]]:
    """The parameters after each step with the model's own optimizer, which sees the model's own pytree.

    Args:
        program: of which the gradient is taken; its model has an optimizer.
        arguments: one set of values.
        weights: of the outputs, whose weighted sum goes down.
    """
    optimizer = program.model.optimizer
    params = list(arguments.params)
    state = None
    for _ in range(OWN_STEPS):
        with enable_x64(True):  # not around the yield: two of these run in turns
            state = optimizer.init(program.tree(params)) if state is None else state
            gradient = program.gradient(replace(arguments, params=params), weights).of_params
            updates, state = optimizer.update(program.tree(gradient), state, program.tree(params))
            new = optax.apply_updates(program.tree(params), updates)
            params = [np.asarray(leaf)[None] for leaf in jax.tree.leaves(new) if is_float(leaf)]
        yield params
