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
from .check import Answers, Part

STEPS = 4
ADAM = optax.adam(1e-2)
#: Both the norm and the decay see every parameter.
ADAMW_CLIPPED = optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1))
#: With so large an epsilon, it is neither the gradient's size nor the update's alone that moves the initial carry.
_OWN = optax.adam(0.02, eps=0.1)
_REST, _SCALE, _LENGTH = optax.adamw(1e-2, weight_decay=0.1), 3.0, 17
CARRY_RATE = carry_learning_rate(_REST, scale=_SCALE, length=_LENGTH, carry=_OWN)


def _by_field() -> optax.GradientTransformation:
    """The expected effect of `CARRY_RATE` on canonical records, in which no path has to be found."""

    def init(params: Any) -> Any:
        return _REST.init(params), _OWN.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        rest, rest_state = _REST.update(updates, state[0], params)
        longer = updates._replace(initial_carry=_LENGTH * updates.initial_carry)
        own, own_state = _OWN.update(longer, state[1], params)
        moved: Any = (rest, own)
        return moved[0]._replace(initial_carry=_SCALE * moved[1].initial_carry), (rest_state, own_state)

    return optax.GradientTransformation(init, update)


#: What is trained, by name: an optimiser, what it amounts to on canonical records, and whether of a classifier.
_TRAINED = {
    "adam": (ADAM, ADAM, False),
    "clipped adamw": (ADAMW_CLIPPED, ADAMW_CLIPPED, False),
    "carry rate": (CARRY_RATE, _by_field(), False),
    "classifier": (ADAM, ADAM, True),
}


def _trained(port: Port, what: str) -> Answers:
    """Losses and moves of some steps."""
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
    return {"losses": losses} | _reference(what).moved(port.dump(model))


def _problem_of(classes: bool) -> tuple[GRUConfig, Any, Batch]:
    if classes:
        return CASE.config, CASE.params, Batch(CASE.x, CASE.labels, CASE.lengths)
    return CASE.gru_config, CASE.params.gru, Batch(CASE.x, CASE.targets)


@cache
def _reference(what: str) -> Trajectory:
    _, optimizer, classes = _TRAINED[what]
    _, params, batch = _problem_of(classes)
    return trajectory(params, batch, optimizer, STEPS, weighted=False)


def _expect(what: str) -> Answers:
    return _reference(what).answers()


PARTS = tuple(Part(partial(_trained, what=what), partial(_expect, what), what) for what in _TRAINED)
