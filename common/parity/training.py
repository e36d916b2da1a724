"""How far parameters are apart after some steps of training, by SGD, by Adam, and by
the models' own optimizers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from ..program.model import is_float
from .pairs import Pair, leaf_errors
from .values import Arguments, largest

STEPS = 10
#: A model of more numbers than this is trained for fewer steps.
LARGE_MODEL, STEPS_IF_LARGE = 2_000_000, 3
SGD_MOVES = 0.01  # how far the first step of SGD moves the largest parameter
ADAM_RATE = 1e-3
MOST_ROUNDING = 1e-8  # where rounding has grown to this, no further step is compared
OWN_STEPS = 3  # how many steps of the models' own optimizers are compared
DIFFERENT = 1e-4  # beyond it updates differ for certain, and no further step is made


def errors_of_training(pair: Pair) -> Iterator[tuple[str, float]]:
    """How many steps of which optimizer, and the largest difference of the parameters
    after them.

    A step may magnify rounding, as where training diverges. The last step that is
    compared is the one before. It is found by training the reference twice, the second
    time with parameters that are moved in their last digit.
    """
    steps = STEPS
    if sum(p.size for p in pair.mine.params) > LARGE_MODEL:
        steps = STEPS_IF_LARGE
    optimizers = {"SGD": optax.sgd(_rate_of_sgd(pair)), "Adam": optax.adam(ADAM_RATE)}
    moved = replace(pair.mine, params=_moved_in_the_last_digit(pair.mine.params))
    for name, optimizer in optimizers.items():
        of_reference = _trained(pair.r, optimizer, moved)
        of_candidate = _trained(pair.c, optimizer, pair.given)
        both = zip(of_reference, of_candidate, strict=True)
        last = None
        for step, (reference, candidate) in enumerate(islice(both, steps), 1):
            first = [leaf[:1] for leaf in reference]
            again = [leaf[1:] for leaf in reference]
            if not all(np.isfinite(leaf).all() for leaf in reference):
                break
            if largest(first, again, first) > MOST_ROUNDING:
                break
            errors = leaf_errors(pair.matches, first, candidate, first)
            unit = "step" if step == 1 else "steps"
            last = f"{step} {unit} of {name}", max(errors, default=0.0)
        if last is not None:
            yield last


def difference_of_steps(pair: Pair) -> tuple[float, str]:
    """The largest difference of an update by the models' own optimizers, in the first
    step with any, and its name.
    """
    of_reference = _trained_by_its_own(pair.r, pair.mine)
    of_candidate = _trained_by_its_own(pair.c, pair.given)
    both = zip(of_reference, of_candidate, strict=True)
    worst, where = 0.0, ""
    for step, (reference, candidate) in enumerate(islice(both, OWN_STEPS), 1):
        first = _updates(reference, pair.mine.params)
        second = _updates(candidate, pair.given.params)
        errors = leaf_errors(pair.matches, first, second, reference)
        for leaf, error in zip(pair.c.params, errors, strict=True):
            if error > worst:
                worst = error
                where = f"update of {leaf.path} after step {step}"
        if worst > DIFFERENT:
            break
    return worst, where


def _updates(
    after: Sequence[np.ndarray], before: Sequence[np.ndarray]
) -> list[np.ndarray]:
    return [a - b for a, b in zip(after, before, strict=True)]


def _rate_of_sgd(pair: Pair) -> float:
    """A learning rate with which the first step moves the largest parameter by a
    hundredth.
    """
    gradients = pair.r.gradient(pair.mine).of_params
    steepest = max(np.abs(g).max(initial=0) for g in gradients)
    if not steepest:
        return 0.0
    size = max(np.abs(p).max(initial=0) for p in pair.mine.params)
    return float(SGD_MOVES * size / steepest)


def _moved_in_the_last_digit(params: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Two sets of parameters: those of a first set, and these with errors such as
    rounding makes.
    """
    random = np.random.default_rng(11)
    epsilon = np.finfo(np.float64).eps
    result = []
    for value in params:
        noise = 1 + epsilon * random.uniform(-1, 1, value.shape)
        result.append(np.concatenate([value, value * noise]))
    return result


def _trained(
    program: Any, optimizer: Any, arguments: Arguments
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step.

    The optimizer sees one vector, so that JAX compiles it once.
    """
    shapes = [p.shape for p in arguments.params]
    ends = np.cumsum([p.size for p in arguments.params])[:-1]

    def joined(leaves: Sequence[np.ndarray]) -> np.ndarray:
        parts = []
        for leaf, shape in zip(leaves, shapes, strict=True):
            parts.append(np.broadcast_to(np.asarray(leaf), shape).reshape(-1))
        return np.concatenate(parts)

    def apart(vector: Any) -> list[np.ndarray]:
        parts = np.split(np.asarray(vector), ends)
        return [p.reshape(shape) for p, shape in zip(parts, shapes, strict=True)]

    return _steps(program, optimizer, arguments, joined, apart)


def _trained_by_its_own(
    program: Any, arguments: Arguments
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step of the optimizer that a model brings, which sees
    the model's own pytree.
    """

    def leaves(tree: Any) -> list[np.ndarray]:
        real = filter(is_float, jax.tree.leaves(tree))
        return [np.asarray(leaf)[None] for leaf in real]

    return _steps(program, program.model.optimizer, arguments, program.tree, leaves)


def _steps(
    program: Any,
    optimizer: Any,
    arguments: Arguments,
    together: Callable[[Any], Any],
    apart: Callable[[Any], list[np.ndarray]],
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step.

    Args:
        program, optimizer, arguments: what is trained, by what, and from where.
        together: makes of leaves what the optimizer sees.
        apart: makes leaves of that.
    """
    params = arguments.params
    with enable_x64(True):
        state = optimizer.init(together(params))
    while True:
        # Not around the yield: whoever goes on would compute in 64 bits, too.
        with enable_x64(True):
            gradient = program.gradient(replace(arguments, params=params)).of_params
            before = together(params)
            updates, state = optimizer.update(together(gradient), state, before)
            params = apart(optax.apply_updates(before, updates))
        yield params
