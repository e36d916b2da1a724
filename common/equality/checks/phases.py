"""Checks of a phase as the benchmark runs it: a jitted program in a call style, with an optimiser."""

from typing import Any

import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError
from ...gru.optimizers import carry_learning_rate
from ...port.protocol import CallStyle, Port, Program
from ...port.styles import available_styles, make_task
from ...port.task import Batch
from .. import oracle
from ..cases import Case
from ..oracle_training import Trajectory, trajectory
from .check import Answers, Check

TRAJECTORY_STEPS = 20
ADAM = optax.adam(1e-2)
SGD = optax.sgd(0.5)
#: Both the norm and the decay see every parameter.
ADAMW_CLIPPED = optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1))


def _by_field(
    tx: optax.GradientTransformation, own: optax.GradientTransformation, scale: float, length: int
) -> optax.GradientTransformation:
    """What `carry_learning_rate` should do, on canonical records, where no path has to be found."""

    def init(params: Any) -> Any:
        return tx.init(params), own.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        longer = updates._replace(initial_carry=length * updates.initial_carry)
        rest, rest_state = tx.update(updates, state[0], params)
        mine, my_state = own.update(longer, state[1], params)
        moved: Any = (rest, mine)
        return moved[0]._replace(initial_carry=scale * moved[1].initial_carry), (rest_state, my_state)

    return optax.GradientTransformation(init, update)


#: With so large an epsilon, it is neither the gradient's size nor the update's alone that moves the initial carry.
_OWN = optax.adam(0.02, eps=0.1)
_REST, _SCALE, _LENGTH = optax.adamw(1e-2, weight_decay=0.1), 3.0, 17
CARRY_RATE = carry_learning_rate(_REST, scale=_SCALE, length=_LENGTH, carry=_OWN)
CARRY_RATE_BY_FIELD = _by_field(_REST, _OWN, _SCALE, _LENGTH)


def forward_check(name: str, catches: str) -> Check:
    """The forward pass, in every call style."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        model = port.load(case.gru_config, case.params.gru)
        program = _program(port, style, case.gru_config, model, "forward", ADAM)
        return dict(zip(("carry", "outputs"), program.call(case.x), strict=True))

    def expect(case: Case) -> Answers:
        tape = oracle.forward(case.params.gru, case.x)
        return {"carry": tape.carry, "outputs": tape.outputs}

    return Check(name, catches, answer, expect, styles_of="forward", optimized=("float64",))


def training_check(
    name: str,
    catches: str,
    optimizer: optax.GradientTransformation,
    *,
    classes: bool = False,
    per_style: bool = False,
    dtypes: tuple[str, ...] = ("float64",),
    optimized: tuple[str, ...] = (),
    reference: optax.GradientTransformation | None = None,
) -> Check:
    """A training trajectory: of the outputs at every step, or of a classifier; in the first call style, or in each.

    Args:
        classes: train a classifier.
        reference: what the optimiser has to amount to on canonical records, where that is written in another way.
    """

    def trained(case: Case) -> tuple[GRUConfig, Any, Batch]:
        if classes:
            return case.config, case.params, Batch(case.x, case.labels, case.lengths)
        return case.gru_config, case.params.gru, Batch(case.x, case.targets)

    def train(case: Case, params: Any, batch: Batch, steps: int) -> Trajectory:
        return trajectory(params, batch, reference or optimizer, steps, weighted=case.asked_in != "float64")

    def answer(port: Port, case: Case, style: Any) -> Answers:
        config, params, batch = trained(case)
        model = port.load(config, params)
        program = _program(port, style, config, model, "train_step", optimizer)
        arguments = batch.arguments("train_step")
        losses = np.stack([program.call(*arguments) for _ in range(TRAJECTORY_STEPS)])
        _require_left(port, model)
        return {"losses": losses} | train(case, params, batch, steps=1).moved(program.params())

    def expect(case: Case) -> Answers:
        _, params, batch = trained(case)
        return train(case, params, batch, TRAJECTORY_STEPS).answers()

    styles_of = "train_step" if per_style else None
    return Check(name, catches, answer, expect, styles_of=styles_of, dtypes=dtypes, optimized=optimized)


def _program(port: Port, style: CallStyle | None, config: GRUConfig, model: Any, phase: str, optimizer: Any) -> Program:
    task = make_task(port, config, phase, optimizer)
    return (style or available_styles(port, phase)[0]).build(port, model, task)


def _require_left(port: Port, model: Any) -> None:
    """The model that a program was made of can still be read: its arrays were not donated."""
    try:
        port.dump(model)
    except RuntimeError as error:
        raise DefectError(f"after train steps, the model that they began with cannot be read: {error}") from error
