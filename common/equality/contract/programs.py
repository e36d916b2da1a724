"""How a port is called for a row, and how its answers are had: from a trace, or from XLA."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import DefectError, NotOfferedError
from ...gru.kernels import FUSED
from ...parameters.record import leaves
from ...port.compilation import configured
from ...port.protocol import Port, Program, WithKernel
from ...port.styles import available_styles
from ...port.task import Task
from ...program import Traced, equations
from .data import Data, batch_of, config_of, dtypes_of
from .factors import COMPILED, NO_STYLE, Row, style_of, whole_row
from .reference import OPTIMIZERS, STEPS, Answers, direction_of, moves, scalar_of

Array = Any
Passed = tuple[
    Array, ...
]  # x, carry, lengths, resets; None where a row does not pass one
Entry = Callable[
    ..., Answers
]  # (model, *passed) -> carry and outputs, or logits, by name
#: Of results, those that are models: gradients, and moved parameters.
GRADIENT, MOVED = "d model", "Δ model"


def answers_of(row: Row, port: Port, data: Data) -> list[Answers]:
    """The port's answers to a row, for each set of values: evaluated in NumPy from the trace, or as XLA compiles it."""
    (model, arrays), style, sets = (
        arguments_of(row, port, data),
        style_of(row, port),
        len(data.values),
    )
    call = partial(direct, row, port) if style is None else _styled(row, port, style)
    if row["transform"] in COMPILED:
        with configured(
            {"jax_disable_most_optimizations": row["transform"] != "compiled"}
        ):
            found = _run_by_xla(row, port, call, model, arrays, sets)
    else:

        def spec(
            array: np.ndarray,
        ) -> Any:  # a weak type gives way to others, as that of Python's numbers
            weak = row["arrays"] == "weak" and array.dtype == jnp.result_type(float)
            return jax.ShapeDtypeStruct(array.shape[1:], array.dtype, weak_type=weak)

        traced = Traced(call, model, *jax.tree.map(spec, arrays))
        _require_choices(row, port, choices_of(traced.closed.jaxpr))
        found = traced.of_sets(
            (jax.tree.map(lambda a: np.asarray(a)[None], model), *arrays), sets
        )
    return [named_answers(row, port, data, results) for results in found]


def arguments_of(row: Row, port: Port, data: Data) -> tuple[Any, tuple[Any, ...]]:
    """The arguments of a row's function: a model, and arrays with the axis of sets."""
    along = None
    if row["phase"] in ("jvp", "hvp", "penalty"):
        of_params, *of_arrays = direction_of(data)
        along = (
            jax.tree.map(
                lambda a: np.asarray(a)[None], port.load(config_of(row), of_params)
            ),
            *of_arrays,
        )
    passed, weights = (data.x, data.carry, data.lengths, data.resets), data.weights
    if (
        row["style"] != NO_STYLE and row["entry"] != "classifier"
    ):  # one array of targets: the carry's come last
        weights = np.concatenate([weights, data.d_carry[..., None, :]], axis=-2)
    return port.load(config_of(row), data.params), (
        passed,
        weights,
        data.d_carry,
        along,
    )


def named_answers(row: Row, port: Port, data: Data, results: Any) -> Answers:
    """Answers by quantity, of results among which there are models, or as many of one as there are examples."""
    answers = {
        name: array for name, array in results.items() if name not in (GRADIENT, MOVED)
    }
    if row["transform"] == "per example" and row["phase"] == "gradient":
        batch = batch_of(row)
        each = [
            jax.tree.map(lambda a, at=at: a[at], results[GRADIENT])
            for at in np.ndindex(batch)
        ]
        named = [
            named_answers(whole_row({}), port, data, {GRADIENT: one}) for one in each
        ]
        return jax.tree.map(lambda *a: np.stack(a).reshape(*batch, *a[0].shape), *named)
    if GRADIENT in results:
        answers |= {
            f"d {name}": array
            for name, array in leaves(port.dump(results[GRADIENT])).items()
        }
    if MOVED in results:
        answers |= moves(data.params, port.dump(results[MOVED]))
    return answers


def choices_of(jaxpr: Any) -> set[tuple[str, Any]]:
    """What tells kernels and loops apart: loops by unrolling, recomputation, products by dtype, custom rules."""
    found = set[tuple[str, Any]]()
    for equation, _ in equations(jaxpr):
        name = equation.primitive.name
        if name == "scan":
            found.add(("unroll", equation.params["unroll"]))
        elif (
            "dot_general" in name or "all_steps" in name
        ):  # of the fused kernel, other ones where x is differentiated
            kind = "fused product" if "all_steps" in name else "product"
            found.add((kind, str(equation.outvars[0].aval.dtype)))
        elif name.startswith(("checkpoint", "remat")):
            found.add(("remat", True))
        elif name.startswith(("custom_jvp", "custom_vjp")):
            found.add(("rule", name))
    return found


def _require_choices(row: Row, port: Port, found: set[tuple[str, Any]]) -> None:
    """Require a row's program to have what was chosen for its model: the answers are the same without it."""
    config, dtype, T = config_of(row), dtypes_of(row["dtype"])[0], int(row["time"])
    calls = (
        ((T + 1) // 2, T // 2) if row["entry"] == "chunks" else (T,)
    )  # a loop has no more steps to unroll
    needed: list[tuple[str, Any]] = [("remat", True)] if config.remat else []
    is_fused = FUSED in (
        config.kernel,
        port.kernel if isinstance(port, WithKernel) else None,
    )
    if (
        is_fused and row["entry"] != "steps" and row["phase"] != "step"
    ):  # a single step has no kernel
        if row["phase"] == "forward":
            needed.append(("rule", "custom_jvp_call"))
        elif (
            row["transform"] != "ensemble"
        ):  # with a weight of each model, it is a usual product
            needed.append(("fused product", dtype))
    for kind, choice in [("unroll", config.unroll), ("product", dtype), *needed]:
        others = {other for name, other in found if name == kind}
        alike = (
            {choice, *(min(choice, steps) for steps in calls)}
            if kind == "unroll"
            else {choice}
        )
        if not alike & others and (others or (kind, choice) in needed):
            has = (
                f"{', '.join(sorted(map(str, others)))} instead of {choice}"
                if others
                else "no program that has it"
            )
            raise DefectError(f"{kind} is lost: {has}.")


def direct(
    row: Row,
    port: Port,
    model: Any,
    passed: Passed,
    weights: Array,
    d_carry: Array,
    along: Any = None,
) -> Any:
    """The function of a row that has no call style: values and gradients by name."""
    entry, phase = _entry_of(row, port), row["phase"]
    if phase == "forward":
        return entry(model, *passed)

    def gradient(model: Any, passed: Passed, weights: Array, d_carry: Array) -> Answers:
        own = passed[: 1 if passed[1] is None else 2]

        def of_own(model: Any, *own: Array) -> tuple[Array, Answers]:
            values = entry(model, *own, *passed[len(own) :])
            return scalar_of(values, weights, d_carry), values

        if row["transform"] == "apart":
            values, gradients = _apart(of_own, (model, *own))
        else:
            (_, values), gradients = port.value_and_grad(of_own, has_aux=True)(
                model, *own
            )
        return values | dict(zip((GRADIENT, "d x", "d carry"), gradients, strict=False))

    def of_model(model: Any) -> Any:
        one = lambda model, *data: gradient(model, data[:4], *data[4:])[GRADIENT]  # noqa: E731
        for _ in batch_of(row) if row["transform"] == "per example" else ():
            one = jax.vmap(one, (None, *[0] * 6))
        return one(model, *passed, weights, d_carry)

    def slope(model: Any) -> Any:
        pairs = zip(
            jax.tree.leaves(of_model(model)), jax.tree.leaves(along[0]), strict=True
        )
        return sum(jnp.sum(g * v) for g, v in pairs)

    def of_point(model: Any, x: Array, carry: Array) -> Answers:
        given = x, carry, *passed[2:]
        if phase == "jvp":
            return entry(model, *given)
        return {
            name: a
            for name, a in gradient(model, given, weights, d_carry).items()
            if name.startswith("d ")
        }

    if phase in ("jvp", "hvp"):
        return jax.jvp(of_point, (model, *passed[:2]), along)[1]
    if phase == "penalty":
        return {GRADIENT: port.value_and_grad(slope)(model)[1][0]}
    if row["transform"] == "per example":
        return {GRADIENT: of_model(model)}
    return gradient(model, passed, weights, d_carry)


def _apart(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Values and gradients, those of each array of the model and of each other argument while all else is constant."""
    arrays, structure = jax.tree.flatten(arguments)

    def of_one(moved: Array, n: int) -> Any:
        return function(*structure.unflatten([*arrays[:n], moved, *arrays[n + 1 :]]))

    found = [
        jax.grad(partial(of_one, n=n), has_aux=True)(array)
        for n, array in enumerate(arrays)
    ]
    return found[0][1], structure.unflatten([gradient for gradient, _ in found])


def _entry_of(row: Row, port: Port) -> Entry:
    reverse, time_major = row["reverse"] == "yes", row["time-major"] == "yes"
    flags: Any = (
        {"reverse": reverse, "time_major": time_major} if reverse or time_major else {}
    )  # defaults count, too

    def whole(
        model: Any, x: Array, carry: Array, lengths: Array, resets: Array
    ) -> Answers:
        if row["carry"] == "handed out":
            carry = port.initial_carry(model, x.shape[:-2])
        if time_major:
            axis = x.ndim - 2
            x, resets = (
                jnp.moveaxis(x, axis, 0),
                None if resets is None else jnp.moveaxis(resets, axis, 0),
            )
        masks = (
            {}
            if lengths is None and resets is None
            else {"lengths": lengths, "resets": resets}
        )
        carry, outputs = port.apply(model, x, carry, **masks, **flags)
        return {
            "carry": carry,
            "outputs": jnp.moveaxis(outputs, 0, -2) if time_major else outputs,
        }

    def chunks(
        model: Any, x: Array, carry: Array, lengths: Array, resets: Array
    ) -> Answers:
        half, outputs = (x.shape[-2] + 1) // 2, []
        for part in (
            (slice(half, None), slice(half))
            if reverse
            else (slice(half), slice(half, None))
        ):
            rest = lengths
            if (
                lengths is not None and part.start
            ):  # in their dtype, which may hold no negative numbers, nor so many
                gone = np.asarray(min(half, np.iinfo(lengths.dtype).max), lengths.dtype)
                rest = jnp.maximum(lengths, gone) - gone
            chunk = whole(
                model,
                x[..., part, :],
                carry,
                rest,
                None if resets is None else resets[..., part],
            )
            carry = chunk["carry"]
            outputs.append(chunk["outputs"])
        return {
            "carry": carry,
            "outputs": jnp.concatenate(outputs[::-1] if reverse else outputs, axis=-2),
        }

    def steps(
        model: Any, x: Array, carry: Array, lengths: Array, resets: Array
    ) -> Answers:
        def step(carry: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
            x, reset = frame
            return port.step(
                model, x, carry, **({} if reset is None else {"reset": reset})
            )

        by_time = (
            jnp.moveaxis(x, -2, 0),
            None if resets is None else jnp.moveaxis(resets, -1, 0),
        )
        carry, output = step(carry, jax.tree.map(lambda a: a[0], by_time))
        carry, others = jax.lax.scan(
            step, carry, jax.tree.map(lambda a: a[1:], by_time)
        )
        outputs = jnp.concatenate(
            [output[..., None, :], jnp.moveaxis(others, 0, -2)], axis=-2
        )
        return {"carry": carry, "outputs": outputs}

    def classifier(
        model: Any, x: Array, carry: Array, lengths: Array, resets: Array
    ) -> Answers:
        return {
            "logits": port.classify(model, x, *(() if lengths is None else (lengths,)))
        }

    entry: Entry = {
        "whole": whole,
        "chunks": chunks,
        "steps": steps,
        "classifier": classifier,
    }[row["entry"]]

    def ensemble(model: Any, *passed: Array) -> Answers:
        models = jax.tree.map(lambda p: jnp.stack([jnp.roll(p, 1), p]), model)
        return jax.tree.map(
            lambda a: a[1],
            jax.vmap(entry, (0, None, None, None, None))(models, *passed),
        )

    def mapped(model: Any, x: Array, *masks: Array) -> Answers:
        """Run each example, of which x has the axes last."""
        each, axes = entry, range(len(batch_of(row)))
        for _ in axes:
            each = jax.vmap(each, (None, -1, 0, 0, 0))
        return each(model, jnp.moveaxis(x, axes, [-1 - n for n in axes]), *masks)

    return {
        "checkpoint": jax.checkpoint(entry),
        "vmap": mapped,
        "ensemble": ensemble,
    }.get(row["transform"], entry)


class _Undumped:
    """A port whose styles hand out models, and not their canonical parameters, which a trace does not have."""

    def __init__(self, port: Port):
        self._port, self.dump = port, lambda tree: tree

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _styled(row: Row, port: Port, style: str) -> Callable[..., Any]:
    """The function of a row in a call style, by one program for all calls, whose arrays are those that are passed."""
    run, phase = _entry_of(row, port), row["phase"]
    built = next(
        (known for known in available_styles(port, phase) if known.name == style), None
    )
    if built is None:
        raise NotOfferedError(f"no call style {style} for the phase {phase}")
    program: Program | None = None

    def loss(values: Answers, targets: Array) -> Array:
        split = (
            (targets, None)
            if "logits" in values
            else (targets[..., :-1, :], targets[..., -1, :])
        )
        return scalar_of(values, *split)

    def call(model: Any, passed: Passed, targets: Array, *_: Any) -> Any:
        nonlocal program
        places = [n for n, a in enumerate(passed) if a is not None]

        def predict(model: Any, *arrays: Array) -> Any:
            given = dict(zip(places, arrays, strict=True))
            return (
                port.step(model, *arrays)
                if phase == "step"
                else run(model, *map(given.get, range(len(passed))))
            )

        if program is None:
            task = Task(phase, predict, loss, OPTIMIZERS[row["optimizer"]])
            program = built.build(_Undumped(port), model, task)  # pyright: ignore[reportArgumentType]
            _require_leaves(program, style, model, task)
        x, *others = [array for array in passed if array is not None]
        if phase == "step":
            (carry,), outputs = others, []
            for t in range(x.shape[-2]):
                carry, output = program.call(x[..., t, :], carry)
                outputs.append(output)
            return {"carry": carry, "outputs": jnp.stack(outputs, axis=-2)}
        if phase == "forward":
            return program.call(x, *others)
        if phase == "gradient":
            value, gradient = program.call(x, targets, *others)
            return {"value": value, GRADIENT: program.read(gradient)}
        losses = [program.call(x, targets, *others) for _ in range(STEPS)]
        return {"losses": jnp.stack(losses), MOVED: program.params()}

    return call


def _require_leaves(program: Program, style: str, model: Any, task: Task) -> None:
    """Require a program to say right how many arrays cross the jit boundary."""
    if (
        jax.tree.leaves(model)[0] is not model
    ):  # before flax 0.12, an NNX module is a leaf
        state = (
            jax.eval_shape(task.optimizer.init, model)
            if task.phase == "train_step"
            else ()
        )
        least = len(jax.tree.leaves((model, state)))
        if (
            not least <= program.leaves <= least + 4
        ):  # and a count of steps, or the like
            raise DefectError(
                f"style {style} says that {program.leaves} arrays cross the jit boundary, not {least}."
            )


def _run_by_xla(
    row: Row, port: Port, call: Callable[..., Any], model: Any, arrays: Any, sets: int
) -> list[Any]:
    call = (
        jax.jit(call)
        if row["style"] == NO_STYLE and row["transform"] != "eager"
        else call
    )
    found = []
    for n in range(sets):
        passed, *others = jax.tree.map(lambda a, n=n: a[n if len(a) > 1 else 0], arrays)
        if row["arrays"] == "strided":  # NumPy's, with values that are not side by side
            passed = jax.tree.map(lambda a: np.stack([a, a], -1)[..., 0], passed)
        else:
            passed = jax.device_put(passed)
        found.append(call(model, passed, *jax.device_put(others)))
    try:
        port.dump(model)
    except RuntimeError as error:  # its arrays were donated
        raise DefectError(
            f"after a call, the model that it began with cannot be read: {error}"
        ) from error
    return found
