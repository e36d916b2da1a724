"""A few steps of training of both programs, in float64."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from .model import is_float
from .pairs import Pair, leaf_errors
from .values import Arguments

#: How many steps; how far the first of SGD moves the largest parameter; and Adam's learning rate.
STEPS, SGD_MOVES, ADAM_RATE = 10, 0.01, 1e-3
#: A model of more numbers than these is trained for a few steps alone.
LARGE, STEPS_IF_LARGE = 2_000_000, 3
#: How many steps are compared that each model makes with an optimizer of its own.
OWN_STEPS = 3
#: Beyond it updates differ for certain, and no further step is made.
DIFFERENT = 1e-4


def errors_of_training(pair: Pair) -> Iterator[tuple[str, float]]:
    """How many steps of which optimizer, and the largest difference of the parameters after them.

    The learning rate of SGD is such that nothing diverges. An optimizer sees the parameters as one vector, so that JAX
    compiles it once.
    """
    params = pair.mine.params
    steps = STEPS_IF_LARGE if sum(p.size for p in params) > LARGE else STEPS
    steepest = max(np.abs(g).max(initial=0) for g in pair.r.gradient(pair.mine).of_params)
    rate = SGD_MOVES * max(np.abs(p).max(initial=0) for p in params) / steepest if steepest else 0.0
    for name, optimizer in {"SGD": optax.sgd(float(rate)), "Adam": optax.adam(ADAM_RATE)}.items():
        ways = (_steps(program, optimizer, some) for program, some in pair.sides)
        first, second = (list(islice(way, steps))[-1] for way in ways)
        yield f"{steps} steps of {name}", max(leaf_errors(pair.matches, first, second, first), default=0.0)


def difference_of_steps(pair: Pair) -> tuple[float, str]:
    """The largest difference of an update of the first step in which updates differ, and which update that is.

    The optimizers are those of the models, and see the models' own pytrees.
    """

    def leaves(tree: Any) -> list[np.ndarray]:
        return [np.asarray(leaf)[None] for leaf in jax.tree.leaves(tree) if is_float(leaf)]

    both = (_steps(p, p.model.optimizer, some, p.tree, leaves) for p, some in pair.sides)
    worst, where = 0.0, ""
    for step, (first, second) in enumerate(islice(zip(*both, strict=True), OWN_STEPS), 1):
        mine = [after - before for after, before in zip(first, pair.mine.params, strict=True)]
        given = [after - before for after, before in zip(second, pair.given.params, strict=True)]
        for leaf, error in zip(pair.c.params, leaf_errors(pair.matches, mine, given, first), strict=True):
            if error > worst:
                worst, where = error, f"update of {leaf.path} after step {step}"
        if worst > DIFFERENT:
            break
    return worst, where


def _steps(
    program: Any,
    optimizer: Any,
    arguments: Arguments,
    together: Callable[[Any], Any] | None = None,
    apart: Callable[[Any], list[np.ndarray]] | None = None,
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step; `together` makes of leaves what the optimizer sees, `apart` leaves of it."""
    params = list(arguments.params)

    def vector(arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.asarray(a).reshape(-1) for a in arrays])

    def parts(vector: Any) -> list[np.ndarray]:
        ends = np.cumsum([p.size for p in arguments.params])[:-1]
        pairs = zip(np.split(np.asarray(vector), ends), arguments.params, strict=True)
        return [part.reshape(p.shape) for part, p in pairs]

    together, apart = together or vector, apart or parts
    with enable_x64(True):
        state = optimizer.init(together(params))
    while True:
        with enable_x64(True):  # not around the yield: whoever goes on would compute in 64 bits, too
            gradient = program.gradient(replace(arguments, params=params)).of_params
            updates, state = optimizer.update(together(gradient), state, together(params))
            params = apart(optax.apply_updates(together(params), updates))
        yield params
