"""Checks of a phase as the benchmark runs it: a jitted program in a call style, with an optimiser."""

from typing import Any

import numpy as np
import optax

from .. import oracle
from ..cases import Case
from ..config import GRUConfig
from ..port import CallStyle, Port, Program, available_styles, make_task
from ..task import Batch
from ..trajectory import Trajectory, trajectory
from .check import Answers, Check

__all__ = ["ADAM", "ADAMW_CLIPPED", "SGD", "forward_check", "training_check"]

TRAJECTORY_STEPS = 20
ADAM = optax.adam(1e-2)
SGD = optax.sgd(0.5)
#: Both the norm and the decay see every parameter.
ADAMW_CLIPPED = optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1))


def forward_check(name: str, catches: str) -> Check:
    """The forward pass, in every call style."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        program = _program(port, style, case.gru_config, case.params.gru, "forward", ADAM)
        return dict(zip(("carry", "outputs"), program.call(case.x), strict=True))

    def expect(case: Case) -> Answers:
        tape = oracle.forward(case.params.gru, case.x)
        return {"carry": tape.carry, "outputs": tape.outputs}

    return Check(name, catches, answer, expect, per_style=True)


def training_check(
    name: str,
    catches: str,
    optimizer: optax.GradientTransformation,
    *,
    classes: bool = False,
    per_style: bool = False,
    dtypes: tuple[str, ...] = ("float64",),
) -> Check:
    """A training trajectory: of the outputs at every step, or of a classifier; in the first call style, or in each."""

    def trained(case: Case) -> tuple[GRUConfig, Any, Batch]:
        if classes:
            return case.config, case.params, Batch(case.x, case.labels, case.lengths)
        return case.gru_config, case.params.gru, Batch(case.x, case.targets)

    def train(case: Case, params: Any, batch: Batch, steps: int) -> Trajectory:
        return trajectory(params, batch, optimizer, steps, weighted=case.asked_in != "float64")

    def answer(port: Port, case: Case, style: Any) -> Answers:
        config, params, batch = trained(case)
        program = _program(port, style, config, params, "train_step", optimizer)
        arguments = batch.arguments("train_step")
        losses = np.stack([program.call(*arguments) for _ in range(TRAJECTORY_STEPS)])
        return {"losses": losses} | train(case, params, batch, steps=1).moved(program.params())

    def expect(case: Case) -> Answers:
        _, params, batch = trained(case)
        return train(case, params, batch, TRAJECTORY_STEPS).answers()

    return Check(name, catches, answer, expect, per_style=per_style, dtypes=dtypes)


def _program(
    port: Port, style: CallStyle | None, config: GRUConfig, params: Any, phase: str, optimizer: Any
) -> Program:
    task = make_task(port, config, phase, optimizer)
    return (style or available_styles(port)[0]).build(port, port.load(config, params), task)
