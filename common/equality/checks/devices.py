"""Checks with the batch spread over devices: values, gradients, and what the compiled program exchanges for them.

The parameters are on every device. The ways are those in which a user of JAX spreads a batch: by placing it, on a mesh
whose axes are automatic or explicit, and by `jax.shard_map`, once as it stands and once with parameters that are made
to vary over the devices, so that their gradient is summed over the steps before it is summed over the devices.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...compat import vary_over
from ...errors import DefectError, NotOfferedError
from ...port.collectives import Collective, collectives_of, gathered
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port, WithKernel
from ...port.spread import AXIS
from ..contract.factors import Row, whole_row
from ..contract.programs import direct, named_answers
from ..contract.reference import expect_one
from .check import Answers, Case, Part, one_set, part_of

MASKS = ("lengths", "resets")
#: Examples on each device.
EACH = 3


class Way(NamedTuple):
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

    def mesh(self, devices: int | None) -> Any:
        """A mesh of some devices, or of all. Raises a NotOfferedError if JAX is too old for this way."""
        kind = getattr(getattr(jax.sharding, "AxisType", None), self.axes, None)
        lacks_explicit = not (hasattr(jax, "set_mesh") and hasattr(jax.sharding, "reshard"))
        if kind is None or not hasattr(jax, "shard_map") or (self.axes == "Explicit" and lacks_explicit):
            raise NotOfferedError(f"spreading a batch by {self.name} needs a newer JAX")
        some = jax.devices()[:devices]
        return jax.make_mesh((len(some),), (AXIS,), axis_types=(kind,), devices=some)


EXPLICIT, MAPPED = Way("explicit axes", "Explicit"), Way("shard_map", mapped=True)
WAYS = (Way("automatic axes"), EXPLICIT, MAPPED, Way("shard_map, varying parameters", mapped=True, varying=True))


def _row(passed: Sequence[str], devices: int | None, **levels: str) -> Row:
    batch = str(EACH * (devices or jax.device_count()))
    return whole_row({"batch": batch, **levels, **dict.fromkeys(passed, "passed")})


def _answer(port: Port, passed: Sequence[str], way: Way, devices: int | None) -> Answers:
    """A port's answers to a row, with its batch over some devices, or all, of which there are at least two then."""
    if devices is None and jax.device_count() < 2:
        raise NotOfferedError(
            "there is one device. trigru verify --devices 4 makes four of a CPU; beside an accelerator, with "
            "JAX_PLATFORMS=cpu"
        )
    row, mesh = _row(passed, devices), way.mesh(devices)
    data, model, arrays = one_set(row, port)
    model, arrays = _spread(model, NamedSharding(mesh, P())), _spread(arrays, NamedSharding(mesh, P(AXIS)))
    function: Callable[..., Any] = partial(direct, row, port, along=None)
    with jax.set_mesh(mesh) if way is EXPLICIT else nullcontext():
        jitted = jit_without_optimization(_mapped(function, way, mesh) if way.mapped else function)
        compiled = jitted.lower(model, *arrays).compile()
        results = gathered(compiled(model, *arrays))
    answers = named_answers(row, port, data, results)
    if devices is None:
        _require_one_exchange(way, port, answers, collectives_of(compiled.as_text()))
    return answers


def _spread(arrays: Any, sharding: Any) -> Any:
    """The arrays on several devices. `jax.device_put` refuses NaN on several hosts: it is not the same on each."""

    def spread(array: Any) -> Any:
        values = np.asarray(array)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(spread, arrays)


def _mapped(function: Callable[..., Any], way: Way, mesh: Any) -> Callable[..., Any]:
    """The function on each device's part; the gradient of the parameters is the sum over devices."""

    def local(model: Any, *data: Any) -> Any:
        if not way.varying:  # JAX sums the gradient
            return function(model, *data)
        found = function(jax.tree.map(lambda array: vary_over(array, [AXIS]), model), *data)
        return found | {"d model": jax.lax.psum(found["d model"], AXIS)}

    def whole(model: Any, passed: Any, *data: Any) -> Any:
        names = ("carry", "outputs", "d model", "d x", *(() if passed[1] is None else ("d carry",)))
        out_specs = dict.fromkeys(names, P(AXIS)) | {"d model": P()}
        in_specs = (P(), *[P(AXIS)] * (1 + len(data)))
        return jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=out_specs)(model, passed, *data)

    return whole


def _require_one_exchange(way: Way, port: Port, answers: Answers, exchanged: list[Collective]) -> None:
    """Raise a DefectError where more is exchanged than each gradient of a parameter, once."""
    if not exchanged:
        raise DefectError(f"{way.name}: nothing is exchanged, so that the gradient is that of a part of the batch.")
    fused = isinstance(port, WithKernel) and port.kernel == "fused"
    if not (fused or way.varying):
        return
    if inside := [str(c) for c in exchanged if c.in_loop]:
        raise DefectError(f"{way.name}: devices exchange data at every step: {'; '.join(inside)}.")
    own = [a for name, a in answers.items() if name.startswith("d ") and name not in ("d x", "d carry")]
    own.append(answers["d initial_carry"])  # twice: as the start, and where there are resets
    most, total = sum(np.asarray(a).nbytes for a in own), sum(c.nbytes for c in exchanged)
    if total > most:
        raise DefectError(
            f"{way.name}: devices exchange {total:,} bytes ({'; '.join(map(str, exchanged))}), expected at most "
            f"{most:,}: those of the gradient."
        )


def _traces(port: Port) -> Iterator[Case]:
    """Each way of passing arguments in a `jax.shard_map` has a trace: JAX refuses a loop whose carry begins to vary.

    The batch varies over the devices; the model does not, nor does a carry or a mask that is the same on all.
    """
    mesh = MAPPED.mesh(1)
    for entry, passed in itertools.product(("whole", "steps"), ((), ("carry",), MASKS, ("carry", *MASKS))):
        row = _row(passed, 1, entry=entry, phase="forward")
        _, model, (arrays, *_) = one_set(row, port)

        def call(model: Any, *passed: Any, row: Row = row) -> Any:
            return direct(row, port, model, passed, None, None, along=None)

        for alike in (P(AXIS), P()) if passed else (P(AXIS),):
            mapped = jax.shard_map(call, mesh=mesh, in_specs=(P(), P(AXIS), *[alike] * 3), out_specs=P(AXIS))
            what = f"{entry}, {', '.join(passed) or 'inputs alone'}: no trace in a jax.shard_map"
            yield Case(what, partial(jax.eval_shape, mapped, model, *arrays))


def _part(passed: Sequence[str], way: Way, label: str, devices: int | None = None) -> Part:
    return Part(lambda port: _answer(port, passed, way, devices), lambda: expect_one(_row(passed, devices)), label)


#: Each way, from the learned carry with masks and from a passed one.
ON_ALL = tuple(
    _part(passed, way, f"{way.name}, {start}")
    for way in WAYS
    for start, passed in (("from the start", MASKS), ("from a carry", ("carry",)))
)
#: On a mesh of one device, which every machine has, JAX tells arrays that vary over it from those that do not.
ON_ONE = (
    *(_part(("carry", *MASKS), way, way.name, devices=1) for way in (EXPLICIT, MAPPED)),
    part_of(_traces, MAPPED.name),
    Part(lambda port: None),  # an older JAX has none of these
)
