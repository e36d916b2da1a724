"""The task of a jitted program, whatever the framework and the call style.

A port supplies `predict`; the phases follow:

    forward      predict(model, x, lengths)
    gradient     loss, and its gradient with respect to the model
    train_step   loss, and parameters moved by one optimiser step
    step         predict(model, frame, carry): one time step, as online inference does

A batch is spread over several devices as JAX's users do it: parameters on every device,
examples in parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ..compat import vary_over
from ..errors import UnavailableError
from .names import unknown_phase

#: The axis of the mesh.
AXIS = "data"
#: How a batch is spread: arrays are placed and XLA finds out the rest, or by shard_map.
Way = Literal["placed", "shard_map"]
#: The ways that differ in a phase with a gradient; without one, devices exchange
#: nothing in either.
WAYS: dict[str, tuple[Way, ...]] = {
    "gradient": ("placed", "shard_map"),
    "train_step": ("placed", "shard_map"),
}


class Batch(NamedTuple):
    """Sequences, and what their outputs are compared with."""

    x: Any  # (B, T, D)
    targets: Any  # (B, T, H)
    lengths: Any = None  # (B,) integers, or None where every step counts
    carry: Any = None  # (B, H), for the step phase alone

    def arguments(self, phase: str) -> tuple[Any, ...]:
        """The arrays that cross the jit boundary beside the model."""
        if phase == "step":
            return self.x[:, 0], self.carry
        if phase == "forward":
            arrays = [self.x]
        elif phase in ("gradient", "train_step"):
            arrays = [self.x, self.targets]
        else:
            raise unknown_phase(phase, "Batch.arguments in port/task.py")
        if self.lengths is not None:
            arrays.append(self.lengths)
        return tuple(arrays)


@dataclass(frozen=True)
class Task:
    """A phase of a workload."""

    phase: str  # of PHASES
    #: (model, x, lengths=None) -> (carry, outputs); in the step phase, (model, frame,
    #: carry) -> (carry, output).
    predict: Callable[..., Any]
    loss: Callable[[Any, Any], Any]  # (prediction, targets) -> scalar
    optimizer: optax.GradientTransformation  # of the train_step phase

    def objective(self, model: Any, *arrays: Any) -> Any:
        """The scalar that training minimises.

        Arrays are inputs, targets and, where they are passed, lengths.
        """
        x, targets, *lengths = arrays
        return self.loss(self.predict(model, x, *lengths), targets)


def mean_squared_error(prediction: tuple[Any, Any], targets: Any) -> Any:
    """The mean over (B, T, H) of the squared error of a GRU's outputs."""
    _, outputs = prediction
    return jnp.mean((outputs - targets) ** 2)


class Spread(NamedTuple):
    """What spreads a program over several devices."""

    model: Callable[[Any], Any]  # makes a model whole on every device
    put: Callable[[Any], Any]  # parts an array of the batch among the devices
    task: Callable[
        [Task], Task
    ]  # lets each device compute the loss of its part, by shard_map


def spread_of(devices: int, way: str) -> Spread:
    """A way over some devices.

    Raises an UnavailableError if this process has fewer, or JAX lacks the way.
    """
    present = jax.devices()
    if len(present) < devices:
        raise UnavailableError(
            f"{devices} devices were asked for, and there are {len(present)}."
        )
    if not hasattr(jax.sharding, "AxisType") or not hasattr(jax, "shard_map"):
        raise UnavailableError(
            "spreading a batch over devices needs a newer JAX: jax.shard_map, and "
            "types of axes."
        )
    automatic = jax.sharding.AxisType.Auto
    mesh = jax.make_mesh(
        (devices,), (AXIS,), axis_types=(automatic,), devices=present[:devices]
    )

    def mapped(task: Task) -> Task:
        return task if way == "placed" else _Mapped(**vars(task), mesh=mesh)

    return Spread(
        model=partial(jax.device_put, device=NamedSharding(mesh, P())),
        put=partial(jax.device_put, device=NamedSharding(mesh, P(AXIS))),
        task=mapped,
    )


@dataclass(frozen=True)
class _Mapped(Task):
    """A task whose loss is the mean over devices of the loss of each part.

    All parts have as many examples. The parameters are made to vary over the devices
    outside of the loop over time, so that their gradient is summed over the steps
    before the devices exchange it.
    """

    mesh: Any

    def objective(self, model: Any, *arrays: Any) -> Any:
        whole: Callable[..., Any] = super().objective

        def part(model: Any, *arrays: Any) -> Any:
            varying = jax.tree.map(lambda array: vary_over(array, [AXIS]), model)
            return jax.lax.pmean(whole(varying, *arrays), AXIS)

        parts = [P(AXIS) for _ in arrays]
        loss = jax.shard_map(
            part, mesh=self.mesh, in_specs=(P(), *parts), out_specs=P()
        )
        return loss(model, *arrays)
