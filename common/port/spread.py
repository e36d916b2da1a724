"""A model's batch over several devices, as JAX's users spread it: parameters on every device, examples in parts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ..compat import vary_over
from ..errors import UnavailableError
from .task import Task

#: The axis of the mesh.
AXIS = "data"
#: The ways that differ in a phase with a gradient; without one, devices exchange nothing in either.
WAYS = {"gradient": ("placed", "shard_map"), "train_step": ("placed", "shard_map")}


@dataclass(frozen=True)
class Spread:
    """Several devices, over which a batch is spread: "placed", or by "shard_map" where there is a gradient."""

    mesh: Any
    way: str

    def model(self, model: Any) -> Any:
        """The model, whole on every device."""
        return jax.device_put(model, NamedSharding(self.mesh, P()))

    def put(self, array: Any) -> Any:
        """An array of the batch, in as many parts as there are devices."""
        return jax.device_put(array, NamedSharding(self.mesh, P(AXIS)))

    def task(self, task: Task) -> Task:
        """The task; by shard_map, each device computes the loss of its part."""
        return _Mapped(**vars(task), mesh=self.mesh) if self.way != "placed" else task


def spread_of(devices: int, way: str) -> Spread:
    """A way over some devices. Raises an UnavailableError if this process has fewer, or JAX lacks the way."""
    known = jax.devices()
    if len(known) < devices:
        raise UnavailableError(f"{devices} devices were asked for, and there are {len(known)}.")
    kind = getattr(getattr(jax.sharding, "AxisType", None), "Auto", None)
    if kind is None or not hasattr(jax, "shard_map"):
        raise UnavailableError("spreading a batch over devices needs a newer JAX: jax.shard_map, and types of axes.")
    return Spread(jax.make_mesh((devices,), (AXIS,), axis_types=(kind,), devices=known[:devices]), way)


@dataclass(frozen=True)
class _Mapped(Task):
    """A task whose loss is the mean over devices of that of each part. All parts have as many examples.

    The parameters are made to vary over the devices outside of the loop over time, so that their gradient is summed
    over the steps before the devices exchange it.
    """

    mesh: Any

    def objective(self, model: Any, *arrays: Any) -> Any:
        whole: Callable[..., Any] = super().objective

        def part(model: Any, *arrays: Any) -> Any:
            varying = jax.tree.map(lambda array: vary_over(array, [AXIS]), model)
            return jax.lax.pmean(whole(varying, *arrays), AXIS)

        specs = {"in_specs": (P(), *[P(AXIS)] * len(arrays)), "out_specs": P()}
        return jax.shard_map(part, mesh=self.mesh, **specs)(model, *arrays)
