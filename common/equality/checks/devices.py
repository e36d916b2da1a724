"""Checks with the batch spread over devices: values, gradients, and what the compiled program exchanges for them.

The parameters are on every device. The ways are those in which a user of JAX spreads a batch: by placing it, on a mesh
whose axes are automatic or explicit, and by `jax.shard_map`, once as it stands and once with parameters that are made
to vary over the devices, so that their gradient is summed over the steps before it is summed over the devices.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...compat import vary_over
from ...errors import DefectError, NotOfferedError, brief
from ...port.collectives import Collective, collectives_of, gathered
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port, WithKernel
from ...port.spread import AXIS
from ..contract.factors import Row, whole_row
from ..contract.programs import direct, named_answers
from ..contract.reference import expect_one
from .check import Answers, Part, one_set

MASKS = ("lengths", "resets")
#: What is passed beside the inputs.
PASSED = ((), ("carry",), MASKS, ("carry", *MASKS))
#: Examples on each device.
EACH = 3


@dataclass(frozen=True)
class Way:
    """How a batch is spread.

    Args:
        name: as results name it.
        axes: "Auto" or "Explicit", of the mesh.
        mapped: whether the call stands in a `jax.shard_map`.
        varying: whether parameters are made to vary over the devices there. Nothing may be exchanged in a loop then,
            whatever the kernel.
    """

    name: str
    axes: str = "Auto"
    mapped: bool = False
    varying: bool = False


WAYS = (
    Way("automatic axes"),
    Way("explicit axes", "Explicit"),
    Way("shard_map", mapped=True),
    Way("shard_map, varying parameters", mapped=True, varying=True),
)


def _answer(port: Port, row: Row, way: Way, devices: int | None = None) -> Answers:
    """A port's answers to a row, with its batch over devices.

    Args:
        devices: how many; None for all, and at least two.
    """
    if devices is None and jax.device_count() < 2:
        raise NotOfferedError(
            "there is one device. trigru verify --devices 4 makes four of a CPU; beside an accelerator, with "
            "JAX_PLATFORMS=cpu"
        )
    data, model, arrays = one_set(row, port)
    results, exchanged = _over_devices(partial(direct, row, port, along=None), way, devices, model, arrays)
    answers = named_answers(row, port, data, results)
    if devices is None:
        _require_one_exchange(way, port, answers, exchanged)
    elif way.mapped:
        _require_traceable(port)
    return answers


def _require_traceable(port: Port) -> None:
    """Each way of passing arguments in a `jax.shard_map` has a trace: JAX refuses a loop whose carry begins to vary.

    The batch varies over the devices; the model does not, nor does a carry or a mask that is the same on all.
    """
    mesh = jax.make_mesh((1,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
    for entry, passed, varies in itertools.product(("whole", "steps"), PASSED, (True, False)):
        if not (passed or varies):
            continue
        row = _row(passed, EACH) | {"entry": entry, "phase": "forward"}
        _, model, (arrays, *_) = one_set(row, port)

        def call(model: Any, *passed: Any, row: Row = row) -> Any:
            return direct(row, port, model, passed, None, None, along=None)

        spread, alike = P(AXIS), P(AXIS) if varies else P()
        mapped = jax.shard_map(call, mesh=mesh, in_specs=(P(), spread, *[alike] * 3), out_specs=spread)
        try:
            jax.eval_shape(mapped, model, *arrays)
        except (TypeError, ValueError) as error:
            given = ", ".join(passed) or "inputs alone"
            raise DefectError(f"{entry}, {given}: no trace in a jax.shard_map: {brief(error)}") from error


def _row(passed: Sequence[str], batch: int) -> Row:
    return whole_row({"batch": str(batch), **dict.fromkeys(passed, "passed")})


def _over_devices(
    function: Callable[..., Any], way: Way, devices: int | None, model: Any, data: Sequence[Any]
) -> tuple[Any, list[Collective]]:
    """The results of a function of (model, *data), whose batch is each array's first axis, and what was exchanged.

    Args:
        devices: how many; None for all.
    """
    kind = getattr(getattr(jax.sharding, "AxisType", None), way.axes, None)
    explicit = way.axes == "Explicit"
    lacks_explicit = not (hasattr(jax, "set_mesh") and hasattr(jax.sharding, "reshard"))
    if kind is None or not hasattr(jax, "shard_map") or (explicit and lacks_explicit):
        raise NotOfferedError(f"spreading a batch by {way.name} needs a newer JAX")
    some = jax.devices()[:devices]
    mesh = jax.make_mesh((len(some),), (AXIS,), axis_types=(kind,), devices=some)
    model, data = _spread(model, NamedSharding(mesh, P())), _spread(data, NamedSharding(mesh, P(AXIS)))
    with jax.set_mesh(mesh) if explicit else nullcontext():
        jitted = jit_without_optimization(_mapped(function, way, mesh) if way.mapped else function)
        compiled = jitted.lower(model, *data).compile()
        return gathered(compiled(model, *data)), collectives_of(compiled.as_text())


def _mapped(function: Callable[..., Any], way: Way, mesh: Any) -> Callable[..., Any]:
    """The function on each device's part; the gradient of the parameters is the sum over devices."""

    def whole(model: Any, passed: Any, *data: Any) -> Any:
        def local(model: Any, *data: Any) -> Any:
            if way.varying:
                model = jax.tree.map(lambda array: vary_over(array, [AXIS]), model)
            found = function(model, *data)
            if way.varying:  # otherwise it is summed already
                found["d model"] = jax.lax.psum(found["d model"], AXIS)
            return found

        names = ("carry", "outputs", "d model", "d x", *(() if passed[1] is None else ("d carry",)))
        out_specs = {name: P() if name == "d model" else P(AXIS) for name in names}
        in_specs = (P(), *[P(AXIS)] * (1 + len(data)))
        return jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=out_specs)(model, passed, *data)

    return whole


def _require_one_exchange(way: Way, port: Port, answers: Answers, exchanged: list[Collective]) -> None:
    """Raise a DefectError where more is exchanged than each gradient of a parameter, once."""
    fused = isinstance(port, WithKernel) and port.kernel == "fused"
    if not exchanged:
        raise DefectError(f"{way.name}: nothing is exchanged, so that the gradient is that of a part of the batch.")
    if not (fused or way.varying):
        return
    if inside := [str(c) for c in exchanged if c.in_loop]:
        raise DefectError(f"{way.name}: devices exchange data at every step: {'; '.join(inside)}.")
    own = [a for name, a in answers.items() if name.startswith("d ") and name not in ("d x", "d carry")]
    twice = np.asarray(answers["d initial_carry"]).nbytes  # as the start, and where there are resets
    most = sum(np.asarray(a).nbytes for a in own) + twice
    total = sum(c.nbytes for c in exchanged)
    if total > most:
        raise DefectError(
            f"{way.name}: devices exchange {total:,} bytes ({'; '.join(map(str, exchanged))}), expected at most "
            f"{most:,}: those of the gradient."
        )


def _spread(arrays: Any, sharding: Any) -> Any:
    """The arrays on several devices. `jax.device_put` refuses NaN on several hosts: it is not the same on each."""

    def spread(array: Any) -> Any:
        values = np.asarray(array)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(spread, arrays)


def _part(label: str, passed: Sequence[str], way: Way, devices: int | None = None) -> Part:
    def row() -> Row:
        return _row(passed, EACH * (devices or jax.device_count()))

    return Part(lambda port: _answer(port, row(), way, devices), lambda: expect_one(row()), label)


#: Each way, from the learned carry with masks and from a passed one.
ON_ALL = tuple(
    _part(f"{way.name}, {start}", passed, way)
    for way in WAYS
    for start, passed in (("from the start", MASKS), ("from a carry", ("carry",)))
)
#: On a mesh of one device, which every machine has, JAX tells arrays that vary over it from those that do not.
ON_ONE = (
    *(_part(way.name, ("carry", *MASKS), way, devices=1) for way in WAYS[1:3]),
    Part(lambda port: None),  # an older JAX has neither
)
