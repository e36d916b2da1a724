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
from ...common.equality.contract.reference import Trajectory, trajectory
from ...common.equality.measurement import accuracy_bound, relative_error
from ...common.errors import TrigruError
from ...common.files import write_whole
from ...common.parameters.record import ClassifierParams, leaves, random_params
from ...common.port.protocol import Program
from ...common.port.task import Batch
from .workloads import LEARNING_RATE, Workload

OPTIMIZER = optax.adam(LEARNING_RATE)
TRAIN_STEPS = 2


class NotEqualError(TrigruError):
    """An arm does not compute what the oracle computes, so it gets no number."""


@dataclass(frozen=True)
class Reference:
    """The oracle's answers for a phase in float64, and how far a program may be from them."""

    phase: str
    params: Any  # canonical; every arm loads them
    batch: Batch
    expected: dict[str, np.ndarray]  # by quantity, float64
    bounds: dict[str, float]  # the largest error that passes, by quantity
    steps: int  # how many train steps are compared
    _walk: Trajectory | None

    def compare(self, program: Program, call: Callable[[], Any]) -> float:
        """The largest error of a program, as a share of what is allowed. Raises a NotEqualError if that is above 1."""
        answers, shares = self._answers(program, call), []
        for quantity, want in self.expected.items():
            got = np.asarray(answers[quantity])
            if got.shape != want.shape:
                raise NotEqualError(
                    f"{quantity} has shape {got.shape}, expected {want.shape}"
                )
            shares.append(share := relative_error(got, want) / self.bounds[quantity])
            if not share <= 1:  # NaN is not
                raise NotEqualError(
                    f"not equal to the oracle: {quantity} is off by {share:.3g} times what is allowed"
                )
        return max(shares)

    def _answers(self, program: Program, call: Callable[[], Any]) -> dict[str, Any]:
        if self._walk is not None:
            losses = np.stack([np.asarray(call()) for _ in range(self.steps)])
            return {"losses": losses} | self._walk.moved(program.params())
        result = call()
        if self.phase == "gradient":
            loss, gradient = result
            return {"loss": loss} | leaves(program.read(gradient))
        if isinstance(result, tuple | list):
            return dict(zip(("carry", "outputs"), result, strict=True))
        return {"logits": result}


#: The folder in which the processes of a run share the oracle's answers.
_folder: Path | None = None
#: Significant bits of what goes into a float32 product, by platform and precision, where it is rounded: to TF32, to
#: bfloat16, or to two or three of these (https://docs.jax.dev/en/latest/jax.lax.html#jax.lax.Precision).
OPERAND_BITS = {
    ("gpu", "high"): 11,
    ("gpu", "default"): 11,
    ("tpu", "highest"): 23,
    ("tpu", "high"): 16,
    ("tpu", "default"): 8,
}


def share_references(folder: Path) -> None:
    """Share the oracle's answers with other processes, in a folder private to one run: files in it are unpickled."""
    global _folder
    _folder = folder


@cache
def get_reference(
    workload: Workload,
    phase: str,
    dtype: str,
    precision: str = "highest",
    steps: int = TRAIN_STEPS,
) -> Reference:
    """The oracle's answers for a phase of a workload; for "train_step", of that many steps."""
    path = (
        _folder
        and _folder / f"{workload.name}-{phase}-{dtype}-{precision}-{steps}.pickle"
    )
    if path and path.exists():
        return pickle.loads(path.read_bytes())
    bits = (
        OPERAND_BITS.get((jax.default_backend(), precision))
        if dtype == "float32"
        else None
    )
    params, batch = random_params(workload.config(phase)), workload.batch()
    wide = jax.tree.map(lambda array: array.astype("float64"), params)
    exact, walk = _answer(phase, wide, batch, "float64", steps)
    with oracle.operands_rounded(bits):
        in_dtype, rounded = _answer(phase, params, batch, dtype, steps)
    if walk and rounded:  # both moves have the weights of the reference
        exact, in_dtype = (
            exact | walk.moved(walk.end),
            in_dtype | walk.moved(rounded.end),
        )
    bounds = {
        name: accuracy_bound(in_dtype[name], exact[name], dtype, bits) for name in exact
    }
    reference = Reference(phase, params, batch, exact, bounds, steps, walk)
    if path:
        write_whole(path, pickle.dumps(reference))
    return reference


def _answer(
    phase: str, params: Any, batch: Batch, dtype: str, steps: int
) -> tuple[dict[str, Any], Trajectory | None]:
    """The oracle's answers by quantity, computed in a dtype; and of train steps, how the parameters changed."""

    def cast(tree: Any) -> Any:
        return jax.tree.map(
            lambda a: (
                a.astype(jnp.dtype(dtype))
                if jnp.issubdtype(a.dtype, jnp.floating)
                else a
            ),
            tree,
        )

    def loss_and_grad(params: Any) -> tuple[Any, Any]:
        return oracle.loss_and_grad(params, batch.x, batch.targets, batch.lengths)

    own, batch = cast(params), cast(batch)
    if phase == "train_step":  # an optimiser moves parameters in their own dtype
        walk = trajectory(params, loss_and_grad, OPTIMIZER, steps, jnp.dtype(dtype))
        return {"losses": walk.losses}, walk
    if phase == "gradient":
        loss, gradient = loss_and_grad(own)
        return {"loss": np.asarray(loss)} | leaves(gradient), None
    if phase == "step":
        result = oracle.forward(own, batch.x[:, :1], batch.carry)
        return {"carry": result.carry, "outputs": result.outputs[:, 0]}, None
    result = oracle.forward(own, batch.x, lengths=batch.lengths)
    if isinstance(own, ClassifierParams):
        return {"logits": oracle.logits_of(own, result)}, None
    return {"carry": result.carry, "outputs": result.outputs}, None
