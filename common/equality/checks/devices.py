"""Checks of a batch that is spread over devices, or over the one that every machine
has.
"""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from itertools import product
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...compat import vary_over
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import FUSED
from ...port.compilation import jit_without_optimization
from ...port.hlo import collectives_of, gathered
from ...port.protocol import Port, WithKernel
from ...port.task import AXIS
from ..contract.calling import GRADIENT, call_directly, named_answers
from ..contract.cases import Case
from ..contract.expected import Answers, answers_to_one, is_of_parameters
from .check import Trial, one_set

#: Examples on each device.
EXAMPLES = 3
#: How a batch is spread, as results name it. In the last, parameters are made to vary
#: over the devices, too, so that no loop, whatever the kernel, exchanges anything.
AUTOMATIC, EXPLICIT, MAPPED, VARYING = SPREADS = (
    "automatic axes",
    "explicit axes",
    "shard_map",
    "shard_map, varying parameters",
)


def on_all_devices(port: Port) -> Iterator[Trial]:
    """Each way, from the learned carry with masks and from a passed one: values,
    gradients, and what is exchanged.
    """
    batch = (EXAMPLES * jax.device_count(),)
    cases = {
        "lengths and resets": Case(batch=batch, lengths=True, resets=True),
        "carry": Case(batch=batch, carry="passed"),
    }
    for spread, (what, case) in product(SPREADS, cases.items()):
        run = partial(_answer_on_all, port, case, spread)
        yield Trial(f"{spread}, with {what}", run, answers_to_one(case))


def on_one_device(port: Port) -> Iterator[Trial]:
    """On a mesh of one device, JAX tells arrays that vary over it from those that do
    not.

    Each way of passing arguments has a trace, also such as are the same on all devices
    beside inputs that vary: JAX refuses a loop whose carry begins to vary.
    """
    # without it, all of the check would not be offered by an older JAX, which has none
    # of these
    yield Trial("an older JAX", _do_nothing)
    full = Case(batch=(EXAMPLES,), carry="passed", lengths=True, resets=True)
    for spread in (EXPLICIT, MAPPED):
        run = partial(_answer_on_one, port, full, spread)
        yield Trial(spread, run, answers_to_one(full))
    for spread in (EXPLICIT, MAPPED):
        with suppress(NotOfferedError):
            yield from _traces(port, spread, _mesh(spread, jax.devices()[:1]))


def _do_nothing() -> None:
    pass


def _traces(port: Port, spread: str, mesh: Any) -> Iterator[Trial]:
    for entry, has_carry, has_masks in product(
        ("whole", "steps"), (False, True), (False, True)
    ):
        case = Case(
            entry=entry,
            phase="forward",
            batch=(EXAMPLES,),
            carry="passed" if has_carry else "none",
            lengths=has_masks,
            resets=has_masks,
        )
        _, model, (passed, *_) = one_set(case, port)
        call = partial(call_directly, case, port, weights=None, d_carry=None)
        specs = [P(AXIS)]
        if has_carry or has_masks:  # which may be the same on all devices
            specs.append(P())
        for spec in specs:
            of_passed = (P(AXIS), spec, spec, spec)
            levels = ", ".join(case.levels())
            what = f"{entry}, {levels}: no trace with {spread}"
            if spread == EXPLICIT:
                run = partial(_trace_on, mesh, call, model, passed, of_passed)
            else:
                mapped = jax.shard_map(
                    call, mesh=mesh, in_specs=(P(), of_passed), out_specs=P(AXIS)
                )
                run = partial(jax.eval_shape, mapped, model, passed)
            yield Trial(what, run)


def _trace_on(
    mesh: Any, call: Any, model: Any, passed: tuple[Any, ...], specs: tuple[P, ...]
) -> None:
    """Trace a call of a model that is whole on all devices of a mesh of explicit
    axes.
    """

    def on_mesh(spec: P, array: Any) -> jax.ShapeDtypeStruct:
        sharding = NamedSharding(mesh, spec)
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    placed = []
    for array, spec in zip(passed, specs, strict=True):
        placed.append(None if array is None else on_mesh(spec, array))
    whole_model = jax.tree.map(partial(on_mesh, P()), model)
    try:
        with jax.set_mesh(mesh):
            jax.eval_shape(call, whole_model, tuple(placed))
    except ValueError as error:
        if "Mapped away dimension" not in str(error):
            raise
        raise NotOfferedError(
            "JAX maps no arrays that are spread differently"
        ) from error


def _mesh(spread: str, devices: Any) -> Any:
    """A mesh of some devices.

    Raises a NotOfferedError if JAX is too old for this way.
    """
    is_too_old = not (hasattr(jax.sharding, "AxisType") and hasattr(jax, "shard_map"))
    if spread == EXPLICIT:
        is_too_old |= not hasattr(jax, "set_mesh")
        is_too_old |= not hasattr(jax.sharding, "reshard")
    if is_too_old:
        raise NotOfferedError(f"spreading a batch by {spread} needs a newer JAX")
    kinds = jax.sharding.AxisType
    kind = kinds.Explicit if spread == EXPLICIT else kinds.Auto
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(kind,), devices=devices)


def _answer_on_one(port: Port, case: Case, spread: str) -> Answers:
    answers, _ = _answer_spread(port, case, spread, jax.devices()[:1])
    return answers


def _answer_on_all(port: Port, case: Case, spread: str) -> Answers:
    """Answers, of which no more was exchanged than had to be.

    Raises a NotOfferedError on a single device.
    """
    if jax.device_count() < 2:
        raise NotOfferedError(
            "there is one device. trigru verify --devices 4 makes four of a CPU; "
            "beside an accelerator, with JAX_PLATFORMS=cpu"
        )
    answers, program = _answer_spread(port, case, spread, jax.devices())
    _require_one_exchange(spread, port, answers, program)
    return answers


def _answer_spread(
    port: Port, case: Case, spread: str, devices: Any
) -> tuple[Answers, str]:
    """A port's answers to a case, with its batch over some devices, and the text of the
    compiled program.
    """
    mesh = _mesh(spread, devices)
    arrays, model, arguments = one_set(case, port)

    def put(spec: P, array: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        part = np.asarray(array).__getitem__
        # jax.device_put refuses NaN on several hosts
        return jax.make_array_from_callback(array.shape, sharding, part)

    model = jax.tree.map(partial(put, P()), model)
    arguments = jax.tree.map(partial(put, P(AXIS)), arguments)
    function: Any = partial(call_directly, case, port)
    if spread in (MAPPED, VARYING):
        function = _mapped(case, port, mesh, is_varying=spread == VARYING)
    with jax.set_mesh(mesh) if spread == EXPLICIT else nullcontext():
        lowered = jit_without_optimization(function).lower(model, *arguments)
        compiled = lowered.compile()
        results = gathered(compiled(model, *arguments))
    return named_answers(case, port, arrays, results), compiled.as_text()


def _mapped(case: Case, port: Port, mesh: Any, *, is_varying: bool) -> Any:
    """The call in a `jax.shard_map`.

    The gradient of parameters is summed by JAX, or here where they are varying.
    """

    def on_part(model: Any, *arguments: Any) -> Any:
        if not is_varying:
            return call_directly(case, port, model, *arguments)
        varying = jax.tree.map(lambda array: vary_over(array, [AXIS]), model)
        results = call_directly(case, port, varying, *arguments)
        results[GRADIENT] = jax.lax.psum(results[GRADIENT], AXIS)
        return results

    of_results = {"carry": P(AXIS), "outputs": P(AXIS), "d x": P(AXIS), GRADIENT: P()}
    if case.carry == "passed":
        of_results["d carry"] = P(AXIS)
    of_arguments = (P(), P(AXIS), P(AXIS), P(AXIS))
    return jax.shard_map(
        on_part, mesh=mesh, in_specs=of_arguments, out_specs=of_results
    )


def _require_one_exchange(
    spread: str, port: Port, answers: Answers, program: str
) -> None:
    """Raise a DefectError where more is exchanged than each gradient of a parameter,
    once.
    """
    exchanged = collectives_of(program)
    if not exchanged:
        raise DefectError(
            "nothing is exchanged, so that the gradient is that of a part of the batch"
        )
    is_fused = isinstance(port, WithKernel) and port.kernel == FUSED
    if spread != VARYING and not is_fused:
        return
    in_loop = [str(collective) for collective in exchanged if collective.in_loop]
    if in_loop:
        names = "; ".join(in_loop)
        raise DefectError(f"devices exchange data at every step: {names}")
    # the start's gradient comes from the beginning, and from resets
    most = np.asarray(answers["d initial_carry"]).nbytes
    for name, array in answers.items():
        if is_of_parameters(name):
            most += np.asarray(array).nbytes
    total = sum(collective.nbytes for collective in exchanged)
    if total > most:
        names = "; ".join(str(collective) for collective in exchanged)
        raise DefectError(
            f"devices exchange {total:,} bytes ({names}), expected at most {most:,}: "
            "the gradient's"
        )
