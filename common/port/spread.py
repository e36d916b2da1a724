"""A model's batch over several devices, as JAX's users spread it: parameters on every device, examples in parts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

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


class Spread(NamedTuple):
    """What spreads a program over several devices."""

    model: Callable[[Any], Any]  # makes a model whole on every device
    put: Callable[[Any], Any]  # parts an array of the batch among the devices
    task: Callable[[Task], Task]  # lets each device compute the loss of its part, by shard_map


def spread_of(devices: int, way: str) -> Spread:
    """A way over some devices. Raises an UnavailableError if this process has fewer, or JAX lacks the way."""
    known = jax.devices()
    if len(known) < devices:
        raise UnavailableError(f"{devices} devices were asked for, and there are {len(known)}.")
    kind = getattr(getattr(jax.sharding, "AxisType", None), "Auto", None)
    if kind is None or not hasattr(jax, "shard_map"):
        raise UnavailableError("spreading a batch over devices needs a newer JAX: jax.shard_map, and types of axes.")
    mesh = jax.make_mesh((devices,), (AXIS,), axis_types=(kind,), devices=known[:devices])
    model, put = (partial(jax.device_put, device=NamedSharding(mesh, spec)) for spec in (P(), P(AXIS)))
    return Spread(model, put, lambda task: task if way == "placed" else _Mapped(**vars(task), mesh=mesh))


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
