"""A few steps of training of a program, in float64."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
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
    steepest = max((np.abs(g).max(initial=0) for g in gradients), default=0.0)
    rate = SGD_MOVES * max(np.abs(p).max(initial=0) for p in params) / steepest if steepest else 0.0
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

    def together(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.asarray(a).reshape(-1) for a in arrays])

    def apart(vector: Any) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(np.asarray(vector), ends), shapes, strict=True)]

    *_, last = islice(_steps(program, optimizer, arguments, weights, together, apart), steps_of(arguments.params))
    return last


def difference_of_steps(
    r: Any, c: Any, mine: Arguments, given: Arguments, matches: Sequence[Match], weights: Sequence[Any]
) -> tuple[float, str]:
    """The largest difference of an update of the first step in which updates differ, and which update that is.

    Args:
        r, c: the programs of both; their models have optimizers, which see the models' own pytrees.
        mine, given: the arguments of both, of one set.
        matches: one for each leaf of the candidate.
        weights: of the outputs, whose weighted sum goes down.
    """

    def leaves(tree: Any) -> list[np.ndarray]:
        return [np.asarray(leaf)[None] for leaf in jax.tree.leaves(tree) if is_float(leaf)]

    both = (
        _steps(program, program.model.optimizer, arguments, weights, program.tree, leaves)
        for program, arguments in ((r, mine), (c, given))
    )
    worst, where = 0.0, ""
    for step, (first, second) in enumerate(islice(zip(*both, strict=True), OWN_STEPS)):
        for leaf, m, before, after in zip(c.params, matches, given.params, second, strict=True):
            error = 0.0 if m.layout is None else largest([m.layout.convert(first) - before], [after - before], first)
            if error > worst:
                worst, where = error, f"update of {leaf.path} after step {step + 1}"
        if worst > DIFFERENT:
            break
    return worst, where


def _steps(
    program: Any,
    optimizer: Any,
    arguments: Arguments,
    weights: Sequence[Any],
    together: Callable[[Any], Any],
    apart: Callable[[Any], list[np.ndarray]],
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step; `together` makes of leaves what the optimizer sees, `apart` leaves of it."""
    params = list(arguments.params)
    with enable_x64(True):
        state = optimizer.init(together(params))
    while True:
        with enable_x64(True):  # not around the yield: whoever goes on would compute in 64 bits, too
            gradient = program.gradient(replace(arguments, params=params), weights).of_params
            updates, state = optimizer.update(together(gradient), state, together(params))
            params = apart(optax.apply_updates(together(params), updates))
        yield params
