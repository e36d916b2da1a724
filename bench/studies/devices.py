"""Is a train step faster on several devices, and what do these exchange?

The batch is spread over all devices, in the two ways of docs/recipes/devices.md: the arrays are placed, and the rest is
left to XLA; or each device computes the gradient of its part in a `jax.shard_map`, with parameters that vary over the
devices, and one sum follows. On a CPU, XLA_FLAGS says into how many devices it is divided.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...common.equality.checks import ON_DEVICES
from ...common.equality.checks.devices import AXIS
from ...common.equality.verification import verify
from ...common.errors import UnavailableError
from ...common.parameters.record import random_params
from ...common.port.collectives import collectives_of
from ...common.port.protocol import WithKernel
from ...common.port.styles import make_task
from ...impls import get_port
from ..arms.workloads import get_workload
from ..results.arm import Sized
from .record import Shown

PORTS, KERNELS = ("pure", "linen", "nnx", "equinox"), ("stock", "fused")
ALONE, PLACED, MAPPED = "one device", "placed", "shard_map"
LEARNING_RATE = 1e-3


def settings(short: bool) -> dict[str, Any]:
    """The work: train steps of a workload, on all devices of this process."""
    if jax.device_count() < 2:
        raise UnavailableError(
            "this study needs several devices; of a CPU, as XLA_FLAGS=--xla_force_host_platform_device_count=2 makes."
        )
    return {"workload": "medium", "devices": jax.device_count(), "ports": list(PORTS[:1] if short else PORTS)}


def name_of(port: str, kernel: str, way: str) -> str:
    """An arm's name."""
    return f"{port}, {kernel}, {way}"


def show(asked: dict[str, Any]) -> tuple[list[Shown], dict[str, list[float]]]:
    """Each port and kernel is the same function, spread in any way."""
    found = []
    for port in asked["ports"]:
        for kernel in KERNELS:
            for m in verify([WithKernel(get_port(port), kernel)], dtypes=["float64"], checks=ON_DEVICES):
                error = float("inf") if m.error is None else m.error
                found.append(Shown(f"{port}, {kernel}: {m.quantity}", error, m.bound))
    return found, {}


def read(asked: dict[str, Any]) -> dict[str, list[str]]:
    """What devices exchange in each arm's program."""
    found = {}
    for name, make in arms(asked).items():
        function, arguments = make()
        text = function.lower(*arguments).compile().as_text()
        found[name] = [str(collective) for collective in collectives_of(text)]
    return found


def arms(asked: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Each framework and kernel in both ways; plain JAX also on one device, which is the baseline."""
    ways = [("pure", kernel, ALONE) for kernel in KERNELS]
    ways += [(port, kernel, way) for port in asked["ports"] for kernel in KERNELS for way in (PLACED, MAPPED)]
    return {name_of(*way): partial(_arm, *way, asked["workload"]) for way in ways}


def _arm(name: str, kernel: str, way: str, workload: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    sized = get_workload(Sized(workload))
    config, port = sized.config("train_step"), WithKernel(get_port(name), kernel)
    task = make_task(port, config, "train_step", optax.adam(LEARNING_RATE))
    model = port.load(config, random_params(config))
    leaves, treedef = jax.tree.flatten(model)

    def loss_of(leaves: Any, x: Any, targets: Any) -> Any:
        return task.objective(treedef.unflatten(leaves), x, targets)

    mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))

    def mapped(leaves: Any, x: Any, targets: Any) -> Any:
        varying = jax.lax.pcast(leaves, AXIS, to="varying")
        return jax.lax.pmean(jax.value_and_grad(loss_of)(varying, x, targets), AXIS)

    gradient = jax.value_and_grad(loss_of)
    if way == MAPPED:
        gradient = jax.shard_map(mapped, mesh=mesh, in_specs=(P(), P(AXIS), P(AXIS)), out_specs=P())

    @jax.jit
    def train_step(leaves: Any, state: Any, x: Any, targets: Any) -> Any:
        loss, gradients = gradient(leaves, x, targets)
        updates, state = task.optimizer.update(gradients, state, leaves)
        return optax.apply_updates(leaves, updates), state, loss

    batch = sized.batch()
    data, state = (batch.x, batch.targets), task.optimizer.init(leaves)
    if way == ALONE:
        one = jax.devices()[0]
        return train_step, (*jax.device_put((leaves, state), one), *jax.device_put(data, one))
    whole, spread = NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS))
    return train_step, (*jax.device_put((leaves, state), whole), *jax.device_put(data, spread))
