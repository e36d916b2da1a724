"""Checks with the batch spread over devices: values, gradients, and what the compiled program exchanges for them.

The parameters are on every device. The ways are those in which a user of JAX spreads a batch: by placing it, on a mesh
whose axes are automatic or explicit, and by `jax.shard_map`, once as it stands and once with parameters that are made
to vary over the devices, so that their gradient is summed over the steps before it is summed over the devices.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...compat import vary_over
from ...errors import DefectError, NotOfferedError
from ...parameters.record import leaves
from ...port.collectives import Collective, collectives_of, gathered
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port, WithKernel
from ...port.spread import AXIS
from .. import oracle
from ..cases import CASE, Case
from ..contract.reference import scalar_of
from .check import Answers, Check, unless_left_out

MASKS = ("lengths", "resets")
#: Examples on each device.
EACH = 3
#: The loss has two terms, and XLA may exchange each.
LOSS_BYTES = 2 * 8


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
    questions = {
        f"{way.name}, {label}: ": (way, passed)
        for way in WAYS
        for label, passed in (("from the start", MASKS), ("from a carry", ("carry",)))
    }

    def answer(port: Port) -> Answers:
        if jax.device_count() < 2:
            raise NotOfferedError(
                "there is one device. trigru verify --devices 4 makes four of a CPU; beside an accelerator, with "
                "JAX_PLATFORMS=cpu"
            )
        found, case = {}, wide(CASE)
        for label, (way, passed) in questions.items():
            exchanged: list[Collective] = []
            answers = _answers(port, case, passed, over_devices(way, exchanged))
            _require_one_exchange(way, port, answers, exchanged)
            found |= _labelled(label, answers)
        return found

    def expect() -> Answers:
        found, case = {}, wide(CASE)
        for label, (_, passed) in questions.items():
            found |= _labelled(label, _expected(case, passed))
        return found

    return Check(name, catches, answer, expect)


def mesh_check(name: str, catches: str) -> Check:
    """On a mesh of one device, which every machine has, JAX tells arrays that vary over it from those that do not."""
    passed = ("carry", *MASKS)
    ways = {f"{way.name}: ": way for way in WAYS[1:3]}

    def answer(port: Port) -> Answers:
        def ask(label: str) -> Answers:
            return _labelled(label, _answers(port, CASE, passed, over_devices(ways[label], [], devices=1)))

        found: Answers = {"defects": np.zeros(())}  # an older JAX has neither
        for label in ways:
            found |= unless_left_out(partial(ask, label), [name for name in expect() if name.startswith(label)])
        return found

    def expect() -> Answers:
        found: Answers = {"defects": np.zeros(())}
        for label in ways:
            found |= _labelled(label, _expected(CASE, passed))
        return found

    return Check(name, catches, answer, expect)


def _labelled(label: str, answers: Answers) -> Answers:
    return {f"{label}{name}": array for name, array in answers.items()}


def _answers(port: Port, case: Case, passed: Sequence[str], transform: Any) -> Answers:
    """A port's values, and the gradients of their weighted sum, by a transformed function of model and data."""
    masks = {name: getattr(case, name) for name in passed if name in MASKS}
    own = (case.x, case.carry) if "carry" in passed else (case.x,)

    def differentiate(model: Any, own: Any, masks: Any, weights: Any, d_carry: Any) -> Any:
        def scalar(model: Any, *own: Any) -> Any:
            found: Answers = dict(zip(("carry", "outputs"), port.apply(model, *own, **masks), strict=True))
            return scalar_of(found, weights, d_carry), found

        return port.value_and_grad(scalar, has_aux=True)(model, *own)

    model = port.load(case.gru_config, case.params.gru)
    (_, values), (gradient, *others) = transform(differentiate)(model, own, masks, case.targets, case.d_carry)
    named = leaves(port.dump(gradient)) | dict(zip(("x", "carry"), others, strict=False))
    return values | {f"d {name}": array for name, array in named.items()}


def _expected(case: Case, passed: Sequence[str]) -> Answers:
    carry, lengths, resets = (getattr(case, name) if name in passed else None for name in ("carry", *MASKS))
    tape = oracle.forward(case.params.gru, case.x, carry, lengths, resets)
    found = oracle.backward(case.params.gru, tape, case.targets, case.d_carry)
    named = leaves(found.params) | {"x": found.x} | ({} if carry is None else {"carry": found.carry})
    return {"carry": tape.carry, "outputs": tape.outputs} | {f"d {name}": array for name, array in named.items()}


def wide(case: Case) -> Case:
    """The case again and again, with other numbers, until every device has some examples of it."""
    batch = EACH * jax.device_count()

    def repeated(a: np.ndarray) -> np.ndarray:
        whole = np.concatenate([a] * (-(-batch // len(a))))[:batch]
        factors = 1 + np.arange(batch) / batch if np.issubdtype(a.dtype, np.floating) else np.ones(batch, a.dtype)
        return (whole * factors.reshape(-1, *[1] * (a.ndim - 1))).astype(a.dtype)

    names = ("x", "carry", "lengths", "resets", "targets", "d_carry")
    return replace(case, **{name: repeated(getattr(case, name)) for name in names})


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
            model = jax.device_put(model, NamedSharding(mesh, P()))
            data = jax.device_put(data, NamedSharding(mesh, P(AXIS)))
            with jax.set_mesh(mesh) if explicit else nullcontext():
                jitted = jit_without_optimization(_mapped(function, way, mesh) if way.mapped else function)
                compiled = jitted.lower(model, *data).compile()
                exchanged.extend(collectives_of(compiled.as_text()))
                return gathered(compiled(model, *data))

        return call

    return transform


def _mapped(function: Callable[..., Any], way: Way, mesh: Any) -> Callable[..., Any]:
    """The function on each device's part; the loss, and the gradient of the parameters, are sums over devices."""

    def local(model: Any, *data: Any) -> Any:
        if way.varying:
            model = jax.tree.map(lambda array: vary_over(array, [AXIS]), model)
        (loss, aux), (gradient, *others) = function(model, *data)
        gradient = jax.lax.psum(gradient, AXIS) if way.varying else gradient  # otherwise it is summed already
        return (jax.lax.psum(loss, AXIS), aux), gradient, others

    def whole(model: Any, *data: Any) -> Any:
        specs = {"in_specs": (P(), *[P(AXIS)] * len(data)), "out_specs": ((P(), P(AXIS)), P(), P(AXIS))}
        (loss, aux), gradient, others = jax.shard_map(local, mesh=mesh, **specs)(model, *data)
        return (loss, aux), (gradient, *others)

    return whole


def _require_one_exchange(way: Way, port: Port, answers: Answers, exchanged: list[Collective]) -> None:
    """Raise a DefectError where more is exchanged than each gradient of a parameter, once, and the loss."""
    fused = isinstance(port, WithKernel) and port.kernel == "fused"
    if not exchanged:
        raise DefectError(f"{way.name}: nothing is exchanged, so that the gradient is that of a part of the batch.")
    if not (fused or way.varying):
        return
    if inside := [str(c) for c in exchanged if c.in_loop]:
        raise DefectError(f"{way.name}: devices exchange data at every step: {'; '.join(inside)}.")
    own = [a for name, a in answers.items() if name.startswith("d ") and name not in ("d x", "d carry")]
    twice = np.asarray(answers["d initial_carry"]).nbytes  # as the start, and where there are resets
    most = sum(np.asarray(a).nbytes for a in own) + twice + LOSS_BYTES
    total = sum(c.nbytes for c in exchanged)
    if total > most:
        raise DefectError(
            f"{way.name}: devices exchange {total:,} bytes ({'; '.join(map(str, exchanged))}), expected at most "
            f"{most:,}: those of the gradient and of the loss."
        )
