"""An arm: one port in one call style, on one phase of one workload; and the gate before the clock starts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import optax

from ..common import oracle
from ..common.equivalence import accuracy_bound, relative_error
from ..common.errors import TrigruError, UnavailableError
from ..common.params import ClassifierParams, random_params
from ..common.port import make_task
from ..common.task import Batch
from ..common.trajectory import Trajectory, trajectory
from ..impls import find_style, get_port
from .workloads import find_workload

__all__ = ["BASELINE", "Arm", "NotEqualError", "Ready", "arms_of", "prepare"]

#: The port and style that ratios are relative to.
BASELINE = ("pure", "jit")
OPTIMIZER = optax.adam(1e-3)
GATE_STEPS = 2


class NotEqualError(TrigruError):
    """An arm does not compute what the oracle does, and so gets no number."""


@dataclass(frozen=True)
class Arm:
    """What is timed, by name.

    Args:
        copy: 1; 2 for the duplicate of the baseline, whose ratio shows the noise floor.
    """

    workload: str
    phase: str
    port: str
    style: str
    kernel: str = "stock"
    dtype: str = "float32"
    copy: int = 1

    @property
    def group(self) -> str:
        """What an arm may be compared within: the same work, in the same division.

        >>> Arm("tiny", "forward", "pure", "jit").group
        'tiny/forward/float32/stock'
        """
        return f"{self.workload}/{self.phase}/{self.dtype}/{self.kernel}"

    @property
    def name(self) -> str:
        """Short, unique within the group.

        >>> Arm("tiny", "forward", "pure", "jit", copy=2).name
        'pure[jit]#2'
        """
        return f"{self.port}[{self.style}]" + (f"#{self.copy}" if self.copy > 1 else "")

    @property
    def id(self) -> str:
        """Stable and unique: results of different runs are matched by it."""
        return f"{self.group}/{self.name}"

    @property
    def is_baseline(self) -> bool:
        """Whether ratios of the group are relative to this arm."""
        return (self.port, self.style) == BASELINE and self.copy == 1


@dataclass(frozen=True)
class Ready:
    """An arm that is compiled and proven equal.

    Args:
        call: without arguments; returns what the phase computes.
        lower: the same program, lowered.
        leaves: arrays that cross the jit boundary inwards for the model and its optimiser state.
        gate: largest error of its first results, as a share of what is allowed.
    """

    arm: Arm
    call: Callable[[], Any]
    lower: Callable[[], Any]
    leaves: int
    gate: float


def arms_of(
    workload: str, phase: str, ports: list[str], styles: list[str] | None = None, kernel: str = "stock"
) -> list[Arm]:
    """The arms of one group, the baseline and its duplicate first whatever else is asked for.

    Args:
        ports: names; one that is not available is left to `prepare` to refuse, with the reason.
        styles: only these call styles; None for all.
    """
    make = partial(Arm, workload, phase, kernel=kernel)
    found = [make(*BASELINE), make(*BASELINE, copy=2)]
    for name in ports:
        try:
            names = [style.name for style in get_port(name).call_styles]
        except UnavailableError:
            names = ["?"]
        found += [
            make(name, style)
            for style in names
            if (name, style) != BASELINE and (styles is None or style in styles or style == "?")
        ]
    return found


def prepare(arm: Arm) -> Ready:
    """Build and compile an arm, and hold its first results to the oracle.

    Raises:
        UnavailableError: the port or the style is not to be had here.
        NotEqualError: the results are not those of the oracle.
    """
    port = get_port(arm.port)
    style = find_style(port, arm.style)
    config = find_workload(arm.workload).config(arm.kernel, arm.dtype)
    reference = _reference(arm.workload, arm.phase, arm.dtype)
    task = make_task(port, config, arm.phase, OPTIMIZER)
    program = style.build(port, port.load(config, reference.params), task)
    arguments = [jax.device_put(array) for array in reference.batch.arguments(arm.phase)]

    def call() -> Any:
        return program.call(*arguments)

    if reference.trajectory is not None:
        losses = np.stack([np.asarray(call()) for _ in range(GATE_STEPS)])
        answers = {"losses": losses} | reference.trajectory.moved(program.params())
    else:
        answers = _forward_answers(call())
    shares = []
    for quantity, want in reference.expected.items():
        got = np.asarray(answers[quantity])
        if got.shape != want.shape:
            raise NotEqualError(f"{quantity} has shape {got.shape}, expected {want.shape}")
        shares.append(relative_error(got, want) / reference.bounds[quantity])
        if not shares[-1] <= 1:  # NaN is not
            raise NotEqualError(f"not equal to the oracle: {quantity} is off by {shares[-1]:.3g} times what is allowed")
    return Ready(arm, call, lambda: program.lower(*arguments), program.leaves, max(shares))


@dataclass(frozen=True)
class _Reference:
    """What the oracle says of a phase in float64, and how far NumPy in the working dtype is from that."""

    params: Any
    batch: Batch
    expected: dict[str, np.ndarray]
    bounds: dict[str, float]
    trajectory: Trajectory | None


@cache
def _reference(workload: str, phase: str, dtype: str) -> _Reference:
    spec = find_workload(workload)
    params, batch = random_params(spec.config(param_dtype=dtype)), spec.batch()

    def widen(array: Any) -> Any:
        return array.astype("float64") if array.dtype.kind == "f" else array

    answer = _train if phase == "train_step" else _infer
    with jax.enable_x64(True):
        exact, walk = answer(jax.tree.map(widen, params), jax.tree.map(widen, batch), None)
    in_dtype, _ = answer(params, batch, walk)
    bounds = {name: accuracy_bound(in_dtype[name], exact[name], dtype) for name in exact}
    return _Reference(params, batch, exact, bounds, walk)


def _train(params: Any, batch: Batch, exact: Trajectory | None) -> tuple[dict[str, Any], Trajectory]:
    walk = trajectory(params, batch, OPTIMIZER, GATE_STEPS, weighted=True)
    return {"losses": walk.losses} | (exact or walk).moved(walk.end), walk


def _infer(params: Any, batch: Batch, _: Any) -> tuple[dict[str, Any], None]:
    if isinstance(params, ClassifierParams):
        return {"logits": oracle.classify(params, batch.x, batch.lengths)}, None
    tape = oracle.forward(params, batch.x, lengths=batch.lengths)
    return {"carry": tape.carry, "outputs": tape.outputs}, None


def _forward_answers(result: Any) -> dict[str, Any]:
    return dict(zip(("carry", "outputs"), result, strict=True)) if isinstance(result, tuple) else {"logits": result}
