"""The check of training: 4 steps with each of three optimisers, of the outputs at every step and of a classifier."""

from functools import cache, partial
from typing import Any

import jax.numpy as jnp
import optax

from ...config import GRUConfig
from ...errors import NotOfferedError
from ...gru.optimizers import carry_learning_rate
from ...port.protocol import Port
from ...port.styles import available_styles, make_task
from ...port.task import Batch
from ...program import evaluate
from ..cases import CASE
from ..contract.programs import Undumped
from ..oracle_training import Trajectory, trajectory
from .check import Answers, Check, unless_left_out

STEPS = 4
ADAM = optax.adam(1e-2)
#: Both the norm and the decay see every parameter.
ADAMW_CLIPPED = optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1))
#: With so large an epsilon, it is neither the gradient's size nor the update's alone that moves the initial carry.
_OWN = optax.adam(0.02, eps=0.1)
_REST, _SCALE, _LENGTH = optax.adamw(1e-2, weight_decay=0.1), 3.0, 17
CARRY_RATE = carry_learning_rate(_REST, scale=_SCALE, length=_LENGTH, carry=_OWN)


def _by_field(
    tx: optax.GradientTransformation, own: optax.GradientTransformation, scale: float, length: int
) -> optax.GradientTransformation:
    """The expected effect of `carry_learning_rate` on canonical records, in which no path has to be found."""

    def init(params: Any) -> Any:
        return tx.init(params), own.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        longer = updates._replace(initial_carry=length * updates.initial_carry)
        rest, rest_state = tx.update(updates, state[0], params)
        mine, my_state = own.update(longer, state[1], params)
        moved: Any = (rest, mine)
        return moved[0]._replace(initial_carry=scale * moved[1].initial_carry), (rest_state, my_state)

    return optax.GradientTransformation(init, update)


#: What is trained, by name: an optimiser, what it amounts to on canonical records, and whether of a classifier.
_TRAINED = {
    "adam": (ADAM, ADAM, False),
    "clipped adamw": (ADAMW_CLIPPED, ADAMW_CLIPPED, False),
    "carry rate": (CARRY_RATE, _by_field(_REST, _OWN, _SCALE, _LENGTH), False),
    "classifier": (ADAM, ADAM, True),
}


def training_check(name: str, catches: str) -> Check:
    """Losses and moves of some steps, by each optimiser."""

    def answer(port: Port) -> Answers:
        found: Answers = {}
        for what in _TRAINED:
            names = [f"{what}: {quantity}" for quantity in _reference(what).answers()]
            found |= unless_left_out(partial(_trained, port, what), names)
        return found

    def expect() -> Answers:
        return {f"{what}: {name}": a for what in _TRAINED for name, a in _reference(what).answers().items()}

    return Check(name, catches, answer, expect)


def _trained(port: Port, what: str) -> Answers:
    optimizer, _, classes = _TRAINED[what]
    config, params, batch = _problem_of(classes)
    task = make_task(port, config, "train_step", optimizer)
    style = next(iter(available_styles(port, "train_step")), None)
    if style is None:
        raise NotOfferedError("no call style for a train step")

    def train(model: Any, *arrays: Any) -> Any:
        program = style.build(Undumped(port), model, task)  # pyright: ignore[reportArgumentType]
        losses = [program.call(*arrays) for _ in range(STEPS)]
        return jnp.stack(losses), program.params()

    losses, model = evaluate(train, port.load(config, params), *batch.arguments("train_step"))
    moved = _reference(what).moved(port.dump(model))
    return {f"{what}: {name}": array for name, array in ({"losses": losses} | moved).items()}


def _problem_of(classes: bool) -> tuple[GRUConfig, Any, Batch]:
    if classes:
        return CASE.config, CASE.params, Batch(CASE.x, CASE.labels, CASE.lengths)
    return CASE.gru_config, CASE.params.gru, Batch(CASE.x, CASE.targets)


@cache
def _reference(what: str) -> Trajectory:
    _, optimizer, classes = _TRAINED[what]
    _, params, batch = _problem_of(classes)
    return trajectory(params, batch, optimizer, STEPS, weighted=False)
