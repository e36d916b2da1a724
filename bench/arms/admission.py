"""Admission: what an arm must compute, by the oracle, before it is timed."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...common.equality import oracle
from ...common.equality.contract.training import Trajectory, trajectory
from ...common.equality.measurement import accuracy_bound, relative_error
from ...common.errors import TrigruError
from ...common.files import write_whole
from ...common.parameters.record import leaves, random_params
from ...common.port.names import unknown_phase
from ...common.port.protocol import Program
from ...common.port.task import Batch
from .workloads import LEARNING_RATE, Workload

OPTIMIZER = optax.adam(LEARNING_RATE)
TRAIN_STEPS = 2
#: Significant bits of what goes into a float32 product, by platform and precision,
#: where it is rounded: to TF32, to bfloat16, or to two or three of these
#: (https://docs.jax.dev/en/latest/jax.lax.html#jax.lax.Precision).
OPERAND_BITS = {
    ("gpu", "high"): 11,
    ("gpu", "default"): 11,
    ("tpu", "highest"): 23,
    ("tpu", "high"): 16,
    ("tpu", "default"): 8,
}


class NotEqualError(TrigruError):
    """An arm does not compute what the oracle computes, so it gets no number."""


@dataclass(frozen=True)
class Reference:
    """The oracle's answers for a phase in float64, and how far a program may be off."""

    phase: str
    params: Any  # canonical; every arm loads them
    batch: Batch
    expected: dict[str, np.ndarray]  # by quantity, float64
    bounds: dict[str, float]  # the largest error that passes, by quantity
    trajectory: Trajectory | None  # of train steps

    def compare(self, program: Program, call: Callable[[], Any]) -> float:
        """The largest error of a program, as a share of what is allowed.

        Raises a NotEqualError if that is above 1.
        """
        answers = self._answers(program, call)
        shares = []
        for quantity, expected in self.expected.items():
            answer = np.asarray(answers[quantity])
            if answer.shape != expected.shape:
                raise NotEqualError(
                    f"{quantity} has shape {answer.shape}, expected {expected.shape}"
                )
            share = relative_error(answer, expected) / self.bounds[quantity]
            if not share <= 1:  # NaN is not
                raise NotEqualError(
                    f"not equal to the oracle: {quantity} is off by {share:.3g} times "
                    "what is allowed"
                )
            shares.append(share)
        return max(shares)

    def _answers(self, program: Program, call: Callable[[], Any]) -> dict[str, Any]:
        if self.trajectory is not None:
            losses = [np.asarray(call()) for _ in range(TRAIN_STEPS)]
            moves = self.trajectory.moved(program.params())
            return {"losses": np.stack(losses)} | moves
        if self.phase == "gradient":
            loss, gradient = call()
            return {"loss": loss} | leaves(program.read(gradient))
        if self.phase in ("forward", "step"):
            carry, outputs = call()
            return {"carry": carry, "outputs": outputs}
        raise unknown_phase(self.phase, "_answers in arms/admission.py")


@cache
def get_reference(
    workload: Workload,
    phase: str,
    dtype: str,
    precision: str = "highest",
    folder: Path | None = None,
) -> Reference:
    """The oracle's answers for a phase of a workload; for "train_step", of two steps.

    Processes share their answers in a folder, if there is one. It has to be private to
    one run, since the files in it are unpickled.
    """
    if folder is None:
        return _compute_reference(workload, phase, dtype, precision)
    path = folder / f"{workload.name}-{phase}-{dtype}-{precision}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    reference = _compute_reference(workload, phase, dtype, precision)
    write_whole(path, pickle.dumps(reference))
    return reference


def _compute_reference(
    workload: Workload, phase: str, dtype: str, precision: str
) -> Reference:
    bits = None
    if dtype == "float32":
        bits = OPERAND_BITS.get((jax.default_backend(), precision))
    params = random_params(workload.config())
    batch = workload.batch()

    wide = jax.tree.map(lambda array: array.astype("float64"), params)
    exact, exact_steps = _answer(phase, wide, batch, "float64")
    rounded, rounded_steps = _answer(phase, params, batch, dtype, bits)
    if exact_steps and rounded_steps:
        # both moves are weighted as those of the exact steps
        exact |= exact_steps.moved(exact_steps.end)
        rounded |= exact_steps.moved(rounded_steps.end)

    bounds = {
        quantity: accuracy_bound(rounded[quantity], exact[quantity], dtype, bits)
        for quantity in exact
    }
    return Reference(phase, params, batch, exact, bounds, exact_steps)


def _answer(
    phase: str, params: Any, batch: Batch, dtype: str, bits: int | None = None
) -> tuple[dict[str, Any], Trajectory | None]:
    """The oracle's answers in a dtype, by quantity; and the train steps, if it took
    any.

    Of what goes into a product, so many significant bits are kept; None keeps all.
    """

    def cast(tree: Any) -> Any:
        return jax.tree.map(lambda array: _cast_floats(array, dtype), tree)

    batch = cast(batch)

    def loss_and_grad(params: Any) -> tuple[Any, Any]:
        return oracle.loss_and_grad(
            params, batch.x, batch.targets, batch.lengths, operand_bits=bits
        )

    if phase == "train_step":
        # an optimiser moves parameters in their own dtype
        steps = trajectory(
            params, loss_and_grad, OPTIMIZER, TRAIN_STEPS, jnp.dtype(dtype)
        )
        return {"losses": steps.losses}, steps
    if phase == "gradient":
        loss, gradient = loss_and_grad(cast(params))
        return {"loss": np.asarray(loss)} | leaves(gradient), None
    if phase == "step":
        result = oracle.forward(
            cast(params), batch.x[:, :1], batch.carry, operand_bits=bits
        )
        return {"carry": result.carry, "outputs": result.outputs[:, 0]}, None
    if phase == "forward":
        result = oracle.forward(
            cast(params), batch.x, lengths=batch.lengths, operand_bits=bits
        )
        return {"carry": result.carry, "outputs": result.outputs}, None
    raise unknown_phase(phase, "_answer in arms/admission.py")


def _cast_floats(array: Any, dtype: str) -> Any:
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.dtype(dtype))
    return array
