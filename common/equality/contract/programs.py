"""How a port is called for a row, and how its answers are had: from a trace, or from XLA."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import DefectError, NotOfferedError
from ...parameters.record import leaves
from ...port.compilation import configured
from ...port.protocol import Port, Program
from ...port.styles import available_styles
from ...port.task import Task, mean_squared_error
from ...program import Traced
from ..oracle_training import moves
from .data import Data, config_of, sizes_of
from .factors import COMPILED, Row, style_of, whole_row
from .optimizers import OPTIMIZERS
from .reference import STEPS, Answers, direction_of, scalar_of

Array = Any
#: What a row may pass to a model, in this order; None where it does not.
Passed = tuple[Array, ...]  # x, carry, lengths, resets
#: (model, x, carry, lengths, resets) -> carry and outputs, or logits, by name
Run = Callable[..., Answers]
#: Of results, those that are models: gradients, or moved parameters. Each is dumped under this prefix.
MODELS = {"d model": "d ", "Δ model": "Δ "}
#: In how many parts a model is differentiated apart: as many as a record has arrays.
PARTS = 5


def answers_of(row: Row, port: Port, data: Data) -> list[Answers]:
    """The port's answers to a row, for each set of values: evaluated in NumPy from the trace, or as XLA compiles it."""
    model, arrays = arguments_of(row, port, data)
    style = style_of(row, port)
    compute = partial(_in_style, row, port, style) if style else partial(direct, row, port)
    if row["transform"] in COMPILED:
        with configured({"jax_disable_most_optimizations": row["transform"] != "compiled"}):
            found = _compiled(row, port, style, model, arrays, len(data.values))
    else:
        traced = Traced(compute, model, *jax.tree.map(partial(_spec, row), arrays))
        found = traced.of_sets((jax.tree.map(lambda a: np.asarray(a)[None], model), *arrays), len(data.values))
    return [named_answers(row, port, data, results) for results in found]


def arguments_of(row: Row, port: Port, data: Data) -> tuple[Any, tuple[Any, ...]]:
    """The arguments of a row's function: a model, and arrays with the axis of sets."""
    along = None
    if row["phase"] in ("jvp", "hvp", "penalty"):
        of_params, *of_arrays = direction_of(data)
        of_model = jax.tree.map(lambda a: np.asarray(a)[None], port.load(config_of(row), of_params))
        along = of_model, *of_arrays
    model = port.load(config_of(row), data.params)
    return model, ((data.x, data.carry, data.lengths, data.resets), data.weights, data.d_carry, along)


def named_answers(row: Row, port: Port, data: Data, results: Any) -> Answers:
    """Answers by quantity, of results among which there are models, or as many of one as there are examples."""
    answers = {name: array for name, array in results.items() if name not in MODELS}
    if row["transform"] == "per example" and row["phase"] == "gradient":
        batch = sizes_of(row).batch
        each = [jax.tree.map(lambda a, at=at: a[at], results["d model"]) for at in np.ndindex(batch)]
        named = [named_answers(whole_row({}), port, data, {"d model": one}) for one in each]
        return {
            name: np.stack([one[name] for one in named]).reshape(*batch, *named[0][name].shape) for name in named[0]
        }
    for name, prefix in MODELS.items():
        if name in results:
            params: Any = port.dump(results[name])
            of_model = moves(data.params, params) if prefix == "Δ " else {}
            answers |= of_model or {f"{prefix}{name}": array for name, array in leaves(params).items()}
    return answers


def _spec(row: Row, array: np.ndarray) -> Any:
    """The type of one set of an array; of a row with weak types, one that gives way to others, as Python's numbers."""
    weak = row["arrays"] == "weak" and array.dtype == jnp.result_type(float)
    return jax.ShapeDtypeStruct(array.shape[1:], array.dtype, weak_type=weak)


# What is called ---------------------------------------------------------------------------------------------------


def direct(row: Row, port: Port, model: Any, passed: Passed, weights: Array, d_carry: Array, along: Any) -> Any:
    """The function of a row that has no call style."""
    run, phase = _transformed_run(row, _entry(row, port)), row["phase"]

    def scalar(model: Any, passed: Passed, weights: Array, d_carry: Array) -> tuple[Array, Answers]:
        values = run(model, *passed)
        return scalar_of(values, weights, d_carry), values

    def gradient(model: Any, passed: Passed, weights: Array = weights, d_carry: Array = d_carry) -> Any:
        """Values, and the gradients of the model, of x, and of a carry if there is one."""
        x, carry, *masks = passed
        own = (x,) if carry is None else (x, carry)

        def of_own(model: Any, *own: Array) -> tuple[Array, Answers]:
            return scalar(model, (*own, *[None] * (2 - len(own)), *masks), weights, d_carry)

        if row["transform"] == "apart":
            return _apart(of_own, (model, *own))
        (_, values), gradients = port.value_and_grad(of_own, has_aux=True)(model, *own)
        return values, gradients

    def named(gradients: Any) -> Answers:
        return dict(zip(("d model", "d x", "d carry"), gradients, strict=False))

    if phase == "forward":
        return run(model, *passed)

    def of_model(model: Any) -> Any:
        if row["transform"] != "per example":
            return gradient(model, passed)[1][0]
        one = lambda model, *data: gradient(model, data[:4], *data[4:])[1][0]  # noqa: E731
        for _ in sizes_of(row).batch:
            one = jax.vmap(one, (None, *[0] * 6))
        return one(model, *passed, weights, d_carry)

    if phase == "penalty":

        def slope(model: Any) -> Array:
            """The derivative along a direction, whose gradient is the product with the Hessian."""
            pairs = zip(jax.tree.leaves(of_model(model)), jax.tree.leaves(along[0]), strict=True)
            return sum(jnp.sum(g * v) for g, v in pairs)  # pyright: ignore[reportReturnType]

        return named(port.value_and_grad(slope)(model)[1])
    if row["transform"] == "per example":
        return {"d model": of_model(model)}
    if phase == "gradient":
        values, gradients = gradient(model, passed)
        return values | named(gradients)

    def of_point(model: Any, x: Array, carry: Array) -> Any:
        given = x, carry, *passed[2:]
        return gradient(model, given)[1] if phase == "hvp" else run(model, *given)

    _, found = jax.jvp(of_point, (model, *passed[:2]), along)
    return named(found) if phase == "hvp" else found


def _apart(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Values and gradients, those of some arrays of the model and of each other argument while all else is constant."""
    model, *others = arguments
    arrays, structure = jax.tree.flatten((model, *others))
    own, values, found = len(arrays) - len(others), None, list(arrays)
    for some in (*(range(n, own, PARTS) for n in range(min(PARTS, own))), *([n] for n in range(own, len(arrays)))):

        def of_some(moved: dict[int, Array]) -> Any:
            return function(*structure.unflatten([moved.get(n, constant) for n, constant in enumerate(arrays)]))

        gradients, values = jax.grad(of_some, has_aux=True)({n: arrays[n] for n in some})
        for n, gradient in gradients.items():
            found[n] = gradient
    return values, structure.unflatten(found)


def _entry(row: Row, port: Port) -> Run:
    flags = {name.replace("-", "_"): True for name in ("reverse", "time-major") if row[name] == "yes"}

    def whole(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        masks = {name: mask for name, mask in (("lengths", lengths), ("resets", resets)) if mask is not None}
        if row["carry"] == "handed out":
            carry = port.initial_carry(model, x.shape[:-2])
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
            some = None if resets is None else resets[..., first:last]
            chunk = whole(model, x[..., first:last, :], carry, rest, some)
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
        outputs = jnp.concatenate([output[..., None, :], jnp.moveaxis(others, 0, -2)], axis=-2)
        return {"carry": carry, "outputs": outputs}

    def classifier(model: Any, x: Array, carry: Array, lengths: Array, resets: Array) -> Answers:
        return {"logits": port.classify(model, x, lengths)}

    return {"whole": whole, "chunks": chunks, "steps": steps, "classifier": classifier}[row["entry"]]


def _moved(array: Array, source: int, destination: int) -> Array:
    """The array with an axis elsewhere; of NumPy's, one of NumPy's."""
    module: Any = np if isinstance(array, np.ndarray) else jnp
    return module.moveaxis(array, source, destination)


def _less(lengths: Array, steps: int) -> Array:
    """Lengths that are left after some steps, in their dtype, which may hold no negative numbers, nor so many steps."""
    gone = np.asarray(min(steps, np.iinfo(lengths.dtype).max), lengths.dtype)
    return jnp.maximum(lengths, gone) - gone


def _transformed_run(row: Row, run: Run) -> Run:
    if row["transform"] == "checkpoint":
        return jax.checkpoint(run)
    if row["transform"] == "vmap":
        for _ in sizes_of(row).batch:
            run = jax.vmap(run, (None, 0, 0, 0, 0))
        return run
    if row["transform"] == "ensemble":

        def second(model: Any, *passed: Array) -> Answers:
            """Run the second of two models."""
            models = jax.tree.map(lambda p: jnp.stack([jnp.roll(p, 1), p]), model)
            return jax.tree.map(lambda a: a[1], jax.vmap(run, (0, None, None, None, None))(models, *passed))

        return second
    return run


# In a call style --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RowTask(Task):
    """A row in a call style, with an objective of its own, of one tuple of arrays without those that are None."""

    def objective(self, model: Any, *arrays: Array) -> Array:
        *passed, weights, d_carry = arrays
        return scalar_of(self.predict(model, *passed), weights, d_carry)


class Undumped:
    """A port whose styles hand out models, and not their canonical parameters, which a trace does not have."""

    def __init__(self, port: Port):
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def dump(self, tree: Any) -> Any:
        return tree


def _in_style(
    row: Row, port: Port, style: str, model: Any, passed: Passed, weights: Array, d_carry: Array, along: Any
) -> Any:
    return _run(row, _program(row, port, style, model, passed), passed, weights, d_carry)


def _program(row: Row, port: Port, style: str, model: Any, passed: Passed) -> Program:
    """A row's task in a call style."""
    run, is_passed = _transformed_run(row, _entry(row, port)), [array is not None for array in passed]

    def predict(model: Any, *arrays: Array) -> Any:
        if row["phase"] == "step":
            return port.step(model, *arrays)
        left = iter(arrays)
        return run(model, *(next(left) if given else None for given in is_passed))

    task = _RowTask(row["phase"], predict, mean_squared_error, OPTIMIZERS[row["optimizer"]].of_port)
    built = next((known for known in available_styles(port, row["phase"]) if known.name == style), None)
    if built is None:
        raise NotOfferedError(f"no call style {style} for the phase {row['phase']}")
    program = built.build(Undumped(port), model, task)  # pyright: ignore[reportArgumentType]
    is_pytree = jax.tree.leaves(model)[0] is not model  # before flax 0.12, an NNX module is a leaf
    state = jax.eval_shape(task.optimizer.init, model) if row["phase"] == "train_step" and is_pytree else ()
    least = len(jax.tree.leaves((model, state)))
    if is_pytree and not least <= program.leaves <= least + 4:  # and a count of steps, or the like
        raise DefectError(f"style {style} says that {program.leaves} arrays cross the jit boundary, expected {least}.")
    return program


def _run(row: Row, program: Program, passed: Passed, weights: Array, d_carry: Array) -> Any:
    """Call a program as the phase of a row does."""
    arrays = [array for array in passed if array is not None]
    if row["phase"] == "step":
        x, carry, outputs = passed[0], passed[1], []
        for t in range(x.shape[-2]):
            carry, output = program.call(x[..., t, :], carry)
            outputs.append(output)
        return {"carry": carry, "outputs": jnp.stack(outputs, axis=-2)}
    if row["phase"] == "forward":
        return program.call(*arrays)
    arrays += [weights, d_carry]
    if row["phase"] == "gradient":
        value, gradient = program.call(*arrays)
        return {"value": value, "d model": program.read(gradient)}
    losses = [program.call(*arrays) for _ in range(STEPS)]
    return {"losses": jnp.stack(losses), "Δ model": program.params()}


# As XLA compiles it -----------------------------------------------------------------------------------------------


def _compiled(row: Row, port: Port, style: str | None, model: Any, arrays: tuple[Any, ...], sets: int) -> list[Any]:
    """The results of each set, one after the other, from one program."""
    call = None if style else partial(direct, row, port)
    if call and row["transform"] != "eager":
        call = jax.jit(call)
    program, found = None, []
    for n in range(sets):
        passed, weights, d_carry, along = jax.tree.map(lambda a, n=n: a[n if len(a) > 1 else 0], arrays)
        passed, (weights, d_carry) = jax.tree.map(_form(row), passed), jax.device_put((weights, d_carry))
        if call is not None:
            found.append(call(model, passed, weights, d_carry, jax.device_put(along)))
            continue
        program = program or _program(row, port, style or "", model, passed)
        found.append(_run(row, program, passed, weights, d_carry))
    if style is not None:
        _require_readable(port, model)
    return found


def _require_readable(port: Port, model: Any) -> None:
    """Raise a DefectError if the arrays of the model that a program was made of were donated."""
    try:
        port.dump(model)
    except RuntimeError as error:
        raise DefectError(f"after a call, the model that it began with cannot be read: {error}") from error


def _form(row: Row) -> Callable[[np.ndarray], Array]:
    """The function that makes what is passed of an array: one of JAX's, or NumPy's with values not side by side."""
    return (lambda array: np.stack([array, array], -1)[..., 0]) if row["arrays"] == "strided" else jax.device_put
