"""A row as a program: how a port is called for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError
from ...parameters.record import leaves
from ...port.compilation import jit
from ...port.protocol import Port, WithKernel
from ...port.styles import available_styles
from ...port.task import Task
from .data import Data, config_of, sizes_of
from .factors import NO_STYLE, Row
from .reference import MOMENTUM, RATE, STEPS, Answers, direction_of, moved, scalar_of

Array = Any
EXPORT_PLATFORMS = ("cpu", "cuda", "tpu")
#: What a row may pass to a model, in this order; None where it does not.
Passed = tuple[Array, ...]  # x, carry, lengths, resets
#: (model, x, carry, lengths, resets) -> carry and outputs, or logits, by name
Run = Callable[..., Answers]


def program_of(row: Row, port: Port, dtype: str) -> Callable[[Data], Answers]:
    """The port's answers to a row, as a function of its data that compiles once."""
    port = _with_choices(row, port)
    run = _transformed_run(row, _entry(row, port))
    if row["style"] != NO_STYLE:
        return _in_style(row, port, dtype, run)

    def scalar(model: Any, passed: Passed, weights: Array, d_carry: Array) -> tuple[Array, Answers]:
        values = run(model, *passed)
        return scalar_of(values, weights, d_carry), values

    def gradient(model: Any, passed: Passed, weights: Array, d_carry: Array) -> tuple[Answers, Answers]:
        x, carry, *masks = passed
        own = (x,) if carry is None else (x, carry)

        def of_own(model: Any, *own: Array) -> tuple[Array, Answers]:
            return scalar(model, (*own, *[None] * (2 - len(own)), *masks), weights, d_carry)

        (_, values), (of_model, *others) = port.value_and_grad(of_own, has_aux=True)(model, *own)
        return values, {"model": of_model} | dict(zip(("x", "carry"), others, strict=False))

    def compute(model: Any, passed: Passed, weights: Array, d_carry: Array, along: Any) -> tuple[Answers, Answers]:
        if row["phase"] == "forward":
            return run(model, *passed), {}
        if row["phase"] == "gradient":
            return gradient(model, passed, weights, d_carry)

        def of_point(model: Any, x: Array, carry: Array) -> Any:
            given = x, carry, *passed[2:]
            return gradient(model, given, weights, d_carry)[1] if row["phase"] == "hvp" else run(model, *given)

        _, found = jax.jvp(of_point, (model, *passed[:2]), along)
        return ({}, found) if row["phase"] == "hvp" else (found, {})

    transform = {"eager": lambda function: function, "export": exported}.get(row["transform"], jit)
    computed = transform(compute)

    def answer(data: Data) -> Answers:
        config = config_of(row, dtype)
        along = None
        if row["phase"] in ("jvp", "hvp"):
            of_params, *of_arrays = direction_of(data)
            along = (port.load(config, jax.device_put(of_params)), *jax.device_put(of_arrays))
        model, weights, d_carry = _load(port, config, data), jax.device_put(data.weights), jax.device_put(data.d_carry)
        values, gradients = computed(model, _passed(row, data), weights, d_carry, along)
        named = leaves(port.dump(gradients.pop("model"))) if gradients else {}
        return values | {f"d {name}": array for name, array in (named | gradients).items()}

    return answer


# What is called ------------------------------------------------------------------------------------------------


def _entry(row: Row, port: Port) -> Run:
    flags = {name.replace("-", "_"): True for name in ("reverse", "time-major") if row[name] == "yes"}

    def whole(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        masks = {name: mask for name, mask in (("lengths", lengths), ("resets", resets)) if mask is not None}
        if "time_major" in flags:
            axis = x.ndim - 2
            x = _moved(x, axis, 0)
            masks |= {} if resets is None else {"resets": _moved(resets, axis, 0)}
        carry, outputs = port.apply(model, x, carry, **flags, **masks)
        return {"carry": carry, "outputs": jnp.moveaxis(outputs, 0, -2) if "time_major" in flags else outputs}

    def chunks(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        """In two calls, the second from the carry of the first."""
        T, found = x.shape[-2], {}
        cuts = np.array_split(np.arange(T), 2)
        for part in reversed(cuts) if "reverse" in flags else cuts:
            first, last = int(part[0]), int(part[-1]) + 1
            rest = None if lengths is None else _less(lengths, first)
            chunk = whole(
                model, x[..., first:last, :], carry, rest, None if resets is None else resets[..., first:last]
            )
            carry, found[first] = chunk["carry"], chunk["outputs"]
        return {"carry": carry, "outputs": jnp.concatenate([found[first] for first in sorted(found)], axis=-2)}

    def steps(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        """Step by step: the first as it is passed, the others each from the one before."""

        def step(carry: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
            x, reset = frame
            return port.step(model, x, carry, **({} if reset is None else {"reset": reset}))

        by_time = _moved(x, -2, 0), None if resets is None else _moved(resets, -1, 0)
        first, rest = (jax.tree.map(lambda a, part=part: a[part], by_time) for part in (0, slice(1, None)))
        carry, output = step(carry, first)
        carry, others = jax.lax.scan(step, carry, rest)
        return {
            "carry": carry,
            "outputs": jnp.concatenate([output[..., None, :], jnp.moveaxis(others, 0, -2)], axis=-2),
        }

    def classifier(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        return {"logits": port.classify(model, x, lengths)}

    return {"whole": whole, "chunks": chunks, "steps": steps, "classifier": classifier}[row["entry"]]


def _moved(array: Array, source: int, destination: int) -> Array:
    """The array with an axis elsewhere; of NumPy's, one of NumPy's."""
    module: Any = np if isinstance(array, np.ndarray) else jnp
    return module.moveaxis(array, source, destination)


def _less(lengths: Array, steps: int) -> Array:
    """Lengths that are left after some steps, in their dtype, which may hold no negative numbers, nor so many steps.

    Of NumPy's arrays, NumPy's, as far apart in memory.
    """
    gone = np.asarray(min(steps, np.iinfo(lengths.dtype).max), lengths.dtype)
    if not isinstance(lengths, np.ndarray):
        return jnp.maximum(lengths, gone) - gone
    left = np.asarray(np.maximum(lengths, gone) - gone)
    return left if lengths.flags.c_contiguous else _strided(left)


def _transformed_run(row: Row, run: Run) -> Run:
    if row["transform"] == "checkpoint":
        return jax.checkpoint(run)
    if row["transform"] == "vmap":
        for _ in sizes_of(row).batch:
            run = jax.vmap(run, (None, 0, 0, 0, 0))
        return run
    if row["transform"] == "ensemble":

        def second(model: Any, *passed: Array) -> Answers:
            """As the second of two models."""
            models = jax.tree.map(lambda p: jnp.stack([jnp.roll(p, 1), p]), model)
            return jax.tree.map(lambda a: a[1], jax.vmap(run, (0, None, None, None, None))(models, *passed))

        return second
    return run


# How it is called ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RowTask(Task):
    """A row in a call style: what is passed is one tuple of arrays, without those that are None."""

    def objective(self, model: Any, *arrays: Array) -> Array:
        *passed, weights, d_carry = arrays
        return scalar_of(self.predict(model, *passed), weights, d_carry)


def _in_style(row: Row, port: Port, dtype: str, run: Run) -> Callable[[Data], Answers]:
    phase = row["phase"]
    (style,) = (style for style in available_styles(port, phase) if style.name == row["style"])
    is_passed = [True, row["carry"] != "none", row["lengths"] != "none", row["resets"] != "none"]

    def predict(model: Any, *arrays: Array) -> Answers:
        left = iter(arrays)
        return run(model, *(next(left) if given else None for given in is_passed))

    def no_loss(prediction: Any, targets: Any) -> Any:
        raise NotImplementedError("the objective is the row's")

    task = _RowTask(phase, predict, no_loss, optax.sgd(RATE, momentum=MOMENTUM))
    programs = {}

    def answer(data: Data) -> Answers:
        model = _load(port, config_of(row, dtype), data)
        if "only" not in programs:
            programs["only"] = style.build(port, model, task)
        program = programs["only"]
        arrays = [array for array in _passed(row, data) if array is not None]
        if phase == "forward":
            return program.call(*arrays)
        arrays += jax.device_put([data.weights, data.d_carry])
        if phase == "gradient":
            value, gradient = program.call(*arrays)
            return {"value": value} | {f"d {name}": a for name, a in leaves(program.read(gradient)).items()}
        losses = [program.call(*arrays) for _ in range(STEPS)]
        return {"losses": jnp.stack(losses)} | moved(data.params, program.params())

    return answer


def _with_choices(row: Row, port: Port) -> Port:
    choices = row.get("choices", "default")
    return WithKernel(port, f"fused@{choices}") if choices != "default" else port


def _load(port: Port, config: GRUConfig, data: Data) -> Any:
    """The model, from arrays that are on the device: `jnp.asarray` of NumPy's compiles a program for each shape."""
    return port.load(config, jax.device_put(data.params))


def _passed(row: Row, data: Data) -> Passed:
    form = {"numpy": np.asarray, "strided": _strided, "weak": _weak}.get(row["arrays"], jax.device_put)
    return tuple(None if a is None else form(a) for a in (data.x, data.carry, data.lengths, data.resets))


def _strided(array: np.ndarray) -> np.ndarray:
    """The same values, not side by side in memory."""
    held = np.zeros((*array.shape, 2), array.dtype)
    held[..., 0] = array
    return held[..., 0]


def _weak(array: np.ndarray) -> Array:
    """The same values in an array whose type gives way to others, as that of Python's numbers does."""
    if array.dtype != jnp.result_type(float):
        return jax.device_put(array)
    return jit(lambda array: jnp.full(array.shape, 0.0).at[...].set(array))(array)


def exported(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as an artefact of jax.export for three platforms, written to bytes and read back."""
    import jax.export  # which older versions import on request alone

    made: dict[str, Any] = {}

    def make(arrays: list[Array], treedef: Any) -> None:
        def flat(arrays: list[Array]) -> list[Array]:
            results, made["treedef"] = jax.tree.flatten(function(*jax.tree.unflatten(treedef, arrays)))
            return results

        jitted = jax.jit(flat)
        effects = jitted.trace(arrays).jaxpr.effects
        if effects:
            raise DefectError(f"calls back into Python, which no artefact can hold: {', '.join(map(str, effects))}.")
        artefact = jax.export.export(jitted, platforms=EXPORT_PLATFORMS)(arrays)
        made["call"] = jit(jax.export.deserialize(artefact.serialize()).call)

    def call(*arguments: Any) -> Any:
        arrays, treedef = jax.tree.flatten(arguments)
        if not made:
            make(arrays, treedef)
        return jax.tree.unflatten(made["treedef"], made["call"](arrays))

    return call
