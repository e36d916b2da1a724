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
from .check import Answers, Check, one_set, unless_left_out

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


def devices_check(name: str, catches: str) -> Check:
    """Each way, from the learned carry with masks and from a passed one."""
    passed = {"from the start": MASKS, "from a carry": ("carry",)}

    def questions() -> dict[str, tuple[Way, Row]]:
        rows = {label: _row(names, EACH * jax.device_count()) for label, names in passed.items()}
        return {f"{way.name}, {label}: ": (way, row) for way in WAYS for label, row in rows.items()}

    def answer(port: Port) -> Answers:
        if jax.device_count() < 2:
            raise NotOfferedError(
                "there is one device. trigru verify --devices 4 makes four of a CPU; beside an accelerator, with "
                "JAX_PLATFORMS=cpu"
            )
        found: Answers = {}
        for label, (way, row) in questions().items():
            exchanged: list[Collective] = []
            answers = _answers(port, row, over_devices(way, exchanged))
            _require_one_exchange(way, port, answers, exchanged)
            found |= _labelled(label, answers)
        return found

    def expect() -> Answers:
        found: Answers = {}
        for label, (_, row) in questions().items():
            found |= _labelled(label, expect_one(row))
        return found

    return Check(name, catches, answer, expect)


def mesh_check(name: str, catches: str) -> Check:
    """On a mesh of one device, which every machine has, JAX tells arrays that vary over it from those that do not."""
    row = _row(("carry", *MASKS), EACH)
    ways = {f"{way.name}: ": way for way in WAYS[1:3]}

    def answer(port: Port) -> Answers:
        def ask(label: str) -> Answers:
            found = _labelled(label, _answers(port, row, over_devices(ways[label], [], devices=1)))
            if ways[label].mapped:  # which an older JAX has not: the line above says so
                _require_traceable(port)
            return found

        found: Answers = {"defects": np.zeros(())}  # an older JAX has neither
        for label in ways:
            found |= unless_left_out(partial(ask, label), [name for name in expect() if name.startswith(label)])
        return found

    def expect() -> Answers:
        found: Answers = {"defects": np.zeros(())}
        for label in ways:
            found |= _labelled(label, expect_one(row))
        return found

    return Check(name, catches, answer, expect)


def _require_traceable(port: Port) -> None:
    """Each way of passing arguments in a `jax.shard_map` has a trace: JAX refuses a loop whose carry begins to vary.

    The batch varies over the devices; the model does not, nor does a carry or a mask that is the same on all.
    """
    mesh = jax.make_mesh((1,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
    for entry, passed in itertools.product(("whole", "steps"), PASSED):
        row = _row(passed, EACH) | {"entry": entry, "phase": "forward"}
        _, model, (arrays, *_) = one_set(row, port)
        alike = [n for n, array in enumerate(arrays) if n and array is not None]
        for whole in ([], *([n] for n in alike)):  # those that are not spread
            specs = tuple(P() if n in whole else P(AXIS) for n in range(len(arrays)))

            def call(model: Any, *passed: Any, row: Row = row) -> Any:
                return direct(row, port, model, passed, None, None, along=None)

            mapped = jax.shard_map(call, mesh=mesh, in_specs=(P(), *specs), out_specs=P(AXIS))
            try:
                jax.eval_shape(mapped, model, *arrays)
            except (TypeError, ValueError) as error:
                given = ", ".join(passed) or "inputs alone"
                raise DefectError(f"{entry}, {given}: no trace in a jax.shard_map: {brief(error)}") from error


def _row(passed: Sequence[str], batch: int) -> Row:
    return whole_row({"batch": str(batch), **dict.fromkeys(passed, "passed")})


def _labelled(label: str, answers: Answers) -> Answers:
    return {f"{label}{name}": array for name, array in answers.items()}


def _answers(port: Port, row: Row, transform: Any) -> Answers:
    """A port's answers to a row, by its function of model and data, transformed."""
    data, model, arrays = one_set(row, port)
    results = transform(lambda model, *arrays: direct(row, port, model, *arrays, along=None))(model, *arrays)
    return named_answers(row, port, data, results)


def over_devices(
    way: Way, exchanged: list[Collective], devices: int | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A transform of (model, *data): the batch, which is each array's first axis, over devices.

    Args:
        exchanged: gets what the compiled program exchanges.
        devices: how many; None for all.
    """
    kind = getattr(getattr(jax.sharding, "AxisType", None), way.axes, None)
    explicit = way.axes == "Explicit"
    lacks_explicit = not (hasattr(jax, "set_mesh") and hasattr(jax.sharding, "reshard"))
    if kind is None or not hasattr(jax, "shard_map") or (explicit and lacks_explicit):
        raise NotOfferedError(f"spreading a batch by {way.name} needs a newer JAX")
    some = jax.devices()[:devices]
    mesh = jax.make_mesh((len(some),), (AXIS,), axis_types=(kind,), devices=some)

    def transform(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(model: Any, *data: Any) -> Any:
            model = _spread(model, NamedSharding(mesh, P()))
            data = _spread(data, NamedSharding(mesh, P(AXIS)))
            with jax.set_mesh(mesh) if explicit else nullcontext():
                jitted = jit_without_optimization(_mapped(function, way, mesh) if way.mapped else function)
                compiled = jitted.lower(model, *data).compile()
                exchanged.extend(collectives_of(compiled.as_text()))
                return gathered(compiled(model, *data))

        return call

    return transform


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
