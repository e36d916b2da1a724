"""Checks of what only a program of XLA shows: exported artefacts, memory, and a batch that is spread over devices."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ...compat import vary_over
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import FUSED, STOCK
from ...port.compilation import jit_without_optimization
from ...port.hlo import collectives_of, gathered
from ...port.protocol import DONATED, CallStyle, Port, WithKernel
from ...port.styles import available_styles, make_task
from ...port.task import AXIS
from ...program import equations, scan_counts
from ..contract.factors import Row, other_kernels, whole_row
from ..contract.programs import direct, named_answers
from ..contract.reference import Answers, expect_one, is_of_parameters
from .check import CONFIG, PARAMS, Case, H, X, one_set

MASKS = ("lengths", "resets")


def _answer_export(port: Port, row: Row, *, closed: bool) -> Answers:
    """Answers of an artefact of jax.export, written to bytes and read back, that holds or takes the model."""
    import jax.export  # which older versions import on request alone

    (size,) = jax.export.symbolic_shape("size")
    data, model, arrays = one_set(row, port)
    specs = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), arrays
    )
    function: Any = (
        partial(direct, row, port, model) if closed else partial(direct, row, port)
    )
    models = () if closed else (model,)
    leaves, structure = jax.tree.flatten((*models, *specs))
    jitted: Any = jax.jit(
        lambda *leaves: jax.tree.leaves(
            function(*jax.tree.unflatten(structure, leaves))
        )
    )
    if effects := jitted.trace(*leaves).jaxpr.effects:
        raise DefectError(
            f"calls back into Python, which no artefact can hold: {', '.join(map(str, effects))}."
        )
    exported = jax.export.export(jitted, platforms=("cpu", "cuda", "tpu"))(*leaves)
    artefact = jax.export.deserialize(exported.serialize())
    found = jit_without_optimization(artefact.call)(
        *jax.tree.leaves((*models, *arrays))
    )
    of_results = jax.tree.structure(jax.eval_shape(function, *models, *arrays))
    return named_answers(row, port, data, jax.tree.unflatten(of_results, found))


def export(port: Port) -> Iterator[Case]:
    """A call and its gradient as artefacts that serve any batch size on three platforms."""
    rows = [({"phase": "forward"}, True), ({"phase": "gradient"}, False)]
    rows += [
        ({"phase": "forward", "kernel": kernel}, True) for kernel in other_kernels(port)
    ]
    for levels, closed in rows:
        row = whole_row(levels)
        run = partial(_answer_export, port, row, closed=closed)
        yield Case(
            f"{levels}, the model {'closed over' if closed else 'passed'}",
            run,
            expect_one(row),
        )


#: In the check of memory, parameters and their gradients weigh little beside what is kept.
SIZES = {"batch": "16", "inputs": "5", "hidden": "8"}
LONG, UNROLLED = "64", 4
#: How many states, arrays (B, H), a gradient may keep for each step: JAX's derivative of the equations keeps 10.
MOST = 13.0
#: Of what is kept without remat, at most this share may be kept with it.
SHARE = 0.75


def memory(port: Port) -> Iterator[Case]:
    """`remat` saves memory, in a loop and where there is none, and a train step donates what its style says."""
    for kernel in (STOCK, *other_kernels(port)):
        yield Case(f"kernel={kernel}", partial(_require_saved, port, kernel))
        for unroll in (UNROLLED, UNROLLED + 1):
            yield Case(
                f"kernel={kernel}, unroll={unroll}",
                partial(_require_apart, port, kernel, unroll),
            )
    yield Case(
        "with lengths and resets",
        partial(_require_saved, port, STOCK, **dict.fromkeys(MASKS, "passed")),
    )
    for style in available_styles(port, "train_step"):
        if DONATED in style.labels:
            yield Case(
                f"a train step in the call style {style.name}",
                partial(_require_donated, port, style),
            )


def _require_saved(port: Port, kernel: str, **levels: str) -> None:
    """Require a gradient to keep less with `remat`, and without it no more than that of the framework's own cell."""
    plain, again = (
        _kept_states(port, kernel=kernel, remat=remat, **levels)
        for remat in ("no", "yes")
    )
    most = MOST if kernel == STOCK else _kept_states(port)
    for kept, limit, what in ((plain, most, ""), (again, SHARE * plain, " with remat")):
        if kept > limit:
            raise DefectError(
                f"the gradient keeps {kept:.1f} states for each step{what}, expected at most {limit:.1f}"
            )


def _kept_states(port: Port, **levels: str) -> float:
    """What the loops of a traced gradient hand out at each step, and others read, in states of float64."""
    loops = [
        equation
        for equation, _ in _gradient(port, time=LONG, **levels)
        if equation.primitive.name == "scan"
    ]
    stacked = [
        variable.aval
        for loop in loops
        for variable in loop.outvars[scan_counts(loop)[1] :]
    ]
    kept = sum(aval.size * aval.dtype.itemsize for aval in stacked)
    return kept / (8 * int(LONG) * int(SIZES["batch"]) * int(SIZES["hidden"]))


def _gradient(port: Port, **levels: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The equations of a gradient of a model's parameters by the framework's own means, and those around each."""
    row = whole_row(SIZES | levels | {"phase": "forward"})
    _, model, (passed, *_) = one_set(row, port)

    def differentiate(model: Any, passed: Any) -> Any:
        call = partial(direct, row, port, passed=passed, weights=None, d_carry=None)
        return port.value_and_grad(lambda model: jnp.sum(call(model)["outputs"] ** 2))(
            model
        )

    return equations(jax.make_jaxpr(differentiate)(model, passed).jaxpr)


def _require_apart(port: Port, kernel: str, unroll: int) -> None:
    """Require XLA not to merge with the forward pass what is computed again, where no loop parts both."""
    for equation, callers in _gradient(
        port, kernel=kernel, remat="yes", time=str(UNROLLED), unroll=str(unroll)
    ):
        loops = [caller.params for caller in callers if caller.primitive.name == "scan"]
        is_apart = np.all(equation.params.get("prevent_cse", True))
        if not (
            is_apart or any(loop["length"] > int(loop["unroll"]) for loop in loops)
        ):
            raise DefectError(
                "what a gradient computes again outside of a loop without prevent_cse is merged"
            )


def _require_donated(port: Port, style: CallStyle) -> None:
    """Require a style to give up all that its train step replaces: parameters and the optimiser's state."""
    task = make_task(port, CONFIG, "train_step", optax.adam(1e-2))
    program = style.build(port, port.load(CONFIG, PARAMS), task)
    lowered = program.lower and program.lower(X, np.ones((*X.shape[:2], H)))
    arguments = getattr(
        getattr(lowered, "lowered", lowered), "args_info", None
    )  # some frameworks wrap JAX's own
    if arguments is not None:
        *donated, _, _ = [
            array.donated for array in jax.tree.leaves(arguments)
        ]  # all but the batch
        if sum(donated) != program.leaves:
            raise DefectError(
                f"it gives up {sum(donated)} of the {program.leaves} arrays that it replaces"
            )


EACH = 3  # examples on each device
#: How a batch is spread over devices, as results name it. In the last, parameters are made to vary over them, too, so
#: that no loop, whatever the kernel, exchanges anything.
AUTOMATIC, EXPLICIT, MAPPED, VARYING = WAYS = (
    "automatic axes",
    "explicit axes",
    "shard_map",
    "shard_map, varying parameters",
)


def _mesh(way: str, devices: int | None) -> Any:
    """A mesh of some devices, or of all. Raises a NotOfferedError if JAX is too old for this way."""
    kind = getattr(
        getattr(jax.sharding, "AxisType", None),
        "Explicit" if way == EXPLICIT else "Auto",
        None,
    )
    lacks_explicit = not (hasattr(jax, "set_mesh") and hasattr(jax.sharding, "reshard"))
    if (
        kind is None
        or not hasattr(jax, "shard_map")
        or (way == EXPLICIT and lacks_explicit)
    ):
        raise NotOfferedError(f"spreading a batch by {way} needs a newer JAX")
    some = jax.devices()[:devices]
    return jax.make_mesh((len(some),), (AXIS,), axis_types=(kind,), devices=some)


def _answer_spread(
    port: Port, row: Row, way: str, devices: int | None = None
) -> Answers:
    """A port's answers to a row, with its batch over some devices, or all, of which there are at least two then."""
    if devices is None and jax.device_count() < 2:
        raise NotOfferedError(
            "there is one device. trigru verify --devices 4 makes four of a CPU; beside an accelerator, with "
            "JAX_PLATFORMS=cpu"
        )
    mesh, (data, model, arrays) = _mesh(way, devices), one_set(row, port)

    def spread(
        spec: P, array: Any
    ) -> Any:  # by jax.device_put, NaN is refused on several hosts
        return jax.make_array_from_callback(
            array.shape, NamedSharding(mesh, spec), np.asarray(array).__getitem__
        )

    def on_part(model: Any, *data: Any) -> Any:
        if way != VARYING:  # JAX sums the gradient of the parameters over devices
            return direct(row, port, model, *data)
        found = direct(
            row,
            port,
            jax.tree.map(lambda array: vary_over(array, [AXIS]), model),
            *data,
        )
        return found | {"d model": jax.lax.psum(found["d model"], AXIS)}

    function: Any = on_part
    if way in (MAPPED, VARYING):
        names = (
            "carry",
            "outputs",
            "d x",
            *(("d carry",) if row["carry"] == "passed" else ()),
        )
        out_specs = dict.fromkeys(names, P(AXIS)) | {"d model": P()}
        function = jax.shard_map(
            on_part, mesh=mesh, in_specs=(P(), *[P(AXIS)] * 3), out_specs=out_specs
        )
    model, arrays = (
        jax.tree.map(partial(spread, P()), model),
        jax.tree.map(partial(spread, P(AXIS)), arrays),
    )
    with jax.set_mesh(mesh) if way == EXPLICIT else nullcontext():
        compiled = jit_without_optimization(function).lower(model, *arrays).compile()
        results = gathered(compiled(model, *arrays))
    answers = named_answers(row, port, data, results)
    if devices is None:
        _require_one_exchange(way, port, answers, compiled.as_text())
    return answers


def _require_one_exchange(way: str, port: Port, answers: Answers, program: str) -> None:
    """Raise a DefectError where more is exchanged than each gradient of a parameter, once."""
    exchanged = collectives_of(program)
    if not exchanged:
        raise DefectError(
            "nothing is exchanged, so that the gradient is that of a part of the batch"
        )
    if not (way == VARYING or (isinstance(port, WithKernel) and port.kernel == FUSED)):
        return
    if inside := [str(c) for c in exchanged if c.in_loop]:
        raise DefectError(f"devices exchange data at every step: {'; '.join(inside)}")
    own = [a for name, a in answers.items() if is_of_parameters(name)]
    own.append(
        answers["d initial_carry"]
    )  # twice: as the start, and where there are resets
    most, total = (
        sum(np.asarray(a).nbytes for a in own),
        sum(c.nbytes for c in exchanged),
    )
    if total > most:
        names = "; ".join(map(str, exchanged))
        raise DefectError(
            f"devices exchange {total:,} bytes ({names}), expected at most {most:,}: the gradient's"
        )


def _row(passed: Sequence[str], devices: int) -> Row:
    return whole_row({"batch": str(EACH * devices), **dict.fromkeys(passed, "passed")})


def on_all_devices(port: Port) -> Iterator[Case]:
    """Each way, from the learned carry with masks and from a passed one: values, gradients, and what is exchanged."""
    for way, passed in itertools.product(WAYS, (MASKS, ("carry",))):
        row = _row(passed, jax.device_count())
        yield Case(
            f"{way}, with {' and '.join(passed)}",
            partial(_answer_spread, port, row, way),
            expect_one(row),
        )


def on_one_device(port: Port) -> Iterator[Case]:
    """On a mesh of one device, which every machine has, JAX tells arrays that vary over it from those that do not.

    Each way of passing arguments in a `jax.shard_map` has a trace: JAX refuses a loop whose carry begins to vary.
    """
    yield Case(
        "an older JAX, which has none of these", lambda: None
    )  # without it, all of the check is not offered
    row = _row(("carry", *MASKS), 1)
    for way in (EXPLICIT, MAPPED):
        yield Case(
            way, partial(_answer_spread, port, row, way, devices=1), expect_one(row)
        )
    with suppress(NotOfferedError):
        mesh = _mesh(MAPPED, 1)
        for entry, passed in itertools.product(
            ("whole", "steps"), ((), ("carry",), MASKS, ("carry", *MASKS))
        ):
            row = _row(passed, 1) | {"entry": entry, "phase": "forward"}
            _, model, (arrays, *_) = one_set(row, port)
            call = partial(direct, row, port, weights=None, d_carry=None)
            for alike in (
                (P(AXIS), P()) if passed else (P(AXIS),)
            ):  # a carry or a mask may be the same on all
                mapped = jax.shard_map(
                    call,
                    mesh=mesh,
                    in_specs=(P(), (P(AXIS), *[alike] * 3)),
                    out_specs=P(AXIS),
                )
                what = f"{entry}, {', '.join(passed) or 'inputs alone'}: no trace in a jax.shard_map"
                yield Case(what, partial(jax.eval_shape, mapped, model, arrays))
