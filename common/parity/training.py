"""How far parameters are apart after some steps of training, by SGD, by Adam, and by
the models' own optimizers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax

from ..compat import enable_x64
from ..program.model import is_float
from .pairs import Pair, leaf_errors
from .values import Arguments, largest, magnitude

STEPS = 10
#: A model of more numbers than this is trained for fewer steps.
LARGE_MODEL, STEPS_IF_LARGE = 2_000_000, 3
SGD_MOVES = 0.01  # how far the first step of SGD moves the largest parameter
#: Of Adam: its learning rate, how much of the means of gradients and of their squares
#: it keeps in each step, and what it adds to the root of these.
ADAM_RATE, MEAN_KEPT, SQUARES_KEPT, ADAM_EPSILON = 1e-3, 0.9, 0.999, 1e-8
#: Where errors in the last digit have grown to this, no further step is compared.
MOST_ROUNDING = 1e-8
OWN_STEPS = 3  # how many steps of the models' own optimizers are compared
DIFFERENT = 1e-4  # beyond it updates differ for certain, and no further step is made


def errors_of_training(pair: Pair, most_growth: float) -> Iterator[tuple[str, float]]:
    """How many steps of which optimizer, and the largest difference of the parameters
    after them.

    A step may magnify errors, as where training diverges. The last step that is
    compared is the one before. It is found by training the reference twice, the second
    time with parameters that are moved in their last digit.

    Args:
        pair: what is trained, with one set of values.
        most_growth: how often as large an error may become.
    """
    most_error = min(MOST_ROUNDING, most_growth * np.finfo(np.float64).eps)
    steps = STEPS
    if sum(p.size for p in pair.mine.params) > LARGE_MODEL:
        steps = STEPS_IF_LARGE
    rate = _rate_of_sgd(pair)
    optimizers = {"SGD": partial(_Sgd, rate), "Adam": _Adam}
    moved = replace(pair.mine, params=_moved_in_the_last_digit(pair.mine.params))
    for name, optimizer in optimizers.items():
        of_reference = _trained(pair.r, optimizer(), moved)
        of_candidate = _trained(pair.c, optimizer(), pair.given)
        both = zip(of_reference, of_candidate, strict=True)
        last = None
        for step, (reference, candidate) in enumerate(islice(both, steps), 1):
            first = [leaf[:1] for leaf in reference]
            again = [leaf[1:] for leaf in reference]
            if not all(np.isfinite(leaf).all() for leaf in reference):
                break
            among = magnitude(first)
            if largest(first, again, among) > most_error:
                break
            errors = leaf_errors(pair.matches, first, candidate, among)
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
        errors = leaf_errors(pair.matches, first, second, magnitude(reference))
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


class _Sgd:
    """Gradient descent."""

    def __init__(self, rate: float):
        self._rate = rate

    def after_step(
        self, params: Sequence[np.ndarray], gradients: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        both = zip(params, gradients, strict=True)
        return [param - self._rate * gradient for param, gradient in both]


class _Adam:
    """Adam with the constants of its paper."""

    def __init__(self):
        self._step = 0
        self._means: list[Any] = []
        self._squares: list[Any] = []

    def after_step(
        self, params: Sequence[np.ndarray], gradients: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        if not self._means:
            self._means = [np.zeros_like(param) for param in params]
            self._squares = [np.zeros(param.shape) for param in params]
        self._step += 1
        rate = ADAM_RATE / (1 - MEAN_KEPT**self._step)
        result = []
        for n, (param, gradient) in enumerate(zip(params, gradients, strict=True)):
            mean, square = self._means[n], self._squares[n]
            mean += (1 - MEAN_KEPT) * (gradient - mean)
            square += (1 - SQUARES_KEPT) * (np.abs(gradient) ** 2 - square)
            root = np.sqrt(square / (1 - SQUARES_KEPT**self._step))
            result.append(param - rate * mean / (root + ADAM_EPSILON))
        return result


def _trained(
    program: Any, optimizer: _Sgd | _Adam, arguments: Arguments
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step."""
    params = arguments.params
    while True:
        gradient = program.gradient(replace(arguments, params=params))
        params = optimizer.after_step(params, gradient.of_params)
        # While another program goes on, gradients of a large one would stay in memory.
        del gradient
        yield params


def _trained_by_its_own(
    program: Any, arguments: Arguments
) -> Iterator[list[np.ndarray]]:
    """The parameters after each step of the optimizer that a model brings, which sees
    the model's own pytree.
    """
    params = arguments.params
    optimizer = program.model.optimizer
    with enable_x64(True):
        state = optimizer.init(program.tree(params))
    while True:
        # Not around the yield: whoever goes on would compute in 64 bits, too.
        with enable_x64(True):
            gradients = program.gradient(replace(arguments, params=params)).of_params
            before = program.tree(params)
            updates, state = optimizer.update(program.tree(gradients), state, before)
            after = jax.tree.leaves(optax.apply_updates(before, updates))
        params = [np.asarray(leaf)[None] for leaf in after if is_float(leaf)]
        yield params
