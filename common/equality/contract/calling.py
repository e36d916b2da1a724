"""How a port is called for a case, and how its answers are had: from a trace, or from
XLA.
"""

import gc
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import DefectError, NotOfferedError
from ...gru.kernels import FUSED
from ...port.compilation import configured
from ...port.names import unknown_phase
from ...port.protocol import CallStyle, Port, Program, WithKernel
from ...port.styles import available_styles
from ...port.task import Task
from ...program import Traced, equations
from .arrays import CallArrays
from .cases import Case
from .expected import Answers, direction_of, scalar_of
from .named import style_of
from .training import OPTIMIZERS, STEPS, moves

Array = Any
Passed = tuple[
    Array, ...
]  # x, carry, lengths, resets; None where a case does not pass one
Entry = Callable[..., Answers]  # (model, *passed) -> carry and outputs by name
Choice = tuple[str, Any]  # a kind of choice, and what was chosen
#: Of results, those that are models: gradients, and moved parameters.
GRADIENT, MOVED = "d model", "Δ model"


def answers_of(case: Case, port: Port, arrays: CallArrays) -> list[Answers]:
    """The port's answers to a case, for each set of values: evaluated in NumPy from the
    trace, or as XLA compiles it.
    """
    model, arguments = arguments_of(case, port, arrays)
    style = style_of(case, port)
    call: Any = partial(call_directly, case, port)
    if style is not None:
        call = _StyledCall(case, port, style)
    models: tuple[Any, ...] = (model,)
    if case.transform == "held":
        call = partial(call, model)
        models = ()
    sets = len(arrays.values)
    if case.is_compiled:
        results = _run_by_xla(case, call, models, arguments, sets)
        _require_same_model(case, port, model, arrays)
    else:
        results = _evaluate_trace(case, port, call, models, arguments, sets)
    return [named_answers(case, port, arrays, one) for one in results]


def arguments_of(
    case: Case, port: Port, arrays: CallArrays
) -> tuple[Any, tuple[Any, ...]]:
    """A model, and the other arguments of `call_directly`: arrays with the axis of
    sets.
    """
    along = None
    if case.phase in ("jvp", "hvp", "penalty"):
        direction = direction_of(arrays)
        model = port.load(case.config(), direction.params)
        along = _with_sets(model), direction.x, direction.carry
    targets = arrays.weights
    if (
        case.style is not None
    ):  # which takes one array of targets: the carry's come last
        d_carry = arrays.d_carry[..., None, :]
        targets = np.concatenate([arrays.weights, d_carry], axis=-2)
    model = port.load(case.config(), arrays.params)
    return model, (arrays.passed, targets, arrays.d_carry, along)


def _with_sets(models: Any) -> Any:
    """The arrays of models with an axis of sets of length 1."""
    return jax.tree.map(lambda a: np.asarray(a)[None], models)


def named_answers(case: Case, port: Port, arrays: CallArrays, results: Any) -> Answers:
    """Answers by quantity, of results among which there are models, or as many of one
    as there are examples.
    """
    if case.transform == "per example" and case.phase == "gradient":
        return _of_examples(case, port, results[GRADIENT])
    answers = dict(results)
    gradient, moved = answers.pop(GRADIENT, None), answers.pop(MOVED, None)
    if gradient is not None:
        for name, array in port.dump(gradient)._asdict().items():
            answers[f"d {name}"] = array
    if moved is not None:
        answers |= moves(arrays.params, port.dump(moved))
    return answers


def _of_examples(case: Case, port: Port, gradients: Any) -> Answers:
    """The gradients of each example, with the batch axes in front."""
    dumped = []
    for example in np.ndindex(case.batch):
        gradient = jax.tree.map(lambda a, example=example: a[example], gradients)
        dumped.append(port.dump(gradient)._asdict())
    answers = {}
    for name in dumped[0]:
        stacked = np.stack([arrays[name] for arrays in dumped])
        answers[f"d {name}"] = stacked.reshape(*case.batch, *stacked.shape[1:])
    return answers


# As a trace is evaluated, or as XLA compiles it ---------------------------------------


def _evaluate_trace(
    case: Case, port: Port, call: Any, models: Any, arguments: Any, sets: int
) -> list[Any]:
    def spec(array: np.ndarray) -> Any:
        # a weak type gives way to others, as that of Python's numbers
        is_default = array.dtype == jnp.result_type(float)
        is_weak = case.arrays == "weak" and is_default
        return jax.ShapeDtypeStruct(array.shape[1:], array.dtype, weak_type=is_weak)

    traced = Traced(call, *models, *jax.tree.map(spec, arguments))
    _require_choices(case, port, choices_of(traced.closed.jaxpr))
    if case.arrays != "weak" and any(a.weak_type for a in traced.closed.out_avals):
        raise DefectError("a result has a weak type, which gives way to other dtypes")
    return traced.of_sets((*_with_sets(models), *arguments), sets)


def _run_by_xla(
    case: Case, call: Any, models: Any, arguments: Any, sets: int
) -> list[Any]:
    if case.style is None and case.run != "eager":
        call = jax.jit(call)
    results = []
    with configured({"jax_disable_most_optimizations": case.run != "compiled"}):
        for number in range(sets):
            passed, *others = _of_set(arguments, number)
            given = jax.device_put(passed)
            if case.arrays == "strided":
                given = jax.tree.map(_strided, passed)
            results.append(call(*models, given, *jax.device_put(others)))
            _require_same_arrays(passed, given)
            if case.run == "eager":
                references = [weakref.ref(array) for array in jax.tree.leaves(given)]
                del given
                _require_released(references)
    return results


def _require_same_arrays(passed: Any, given: Any) -> None:
    """Require a call to leave the arrays that it was given as they were passed."""
    for array, after in zip(
        jax.tree.leaves(passed), jax.tree.leaves(given), strict=True
    ):
        try:
            is_same = np.asarray(after).tobytes() == array.tobytes()
        except RuntimeError as error:
            raise DefectError(f"a call gives up its argument: {error}") from error
        if not is_same:
            raise DefectError("a call writes over its argument")


def _require_released(references: list[Any]) -> None:
    """Require that nothing holds the arguments of a call that has ended."""
    if any(reference() is not None for reference in references):
        gc.collect()
    if any(reference() is not None for reference in references):
        raise DefectError("an argument of a call is kept alive after it")


def _require_same_model(case: Case, port: Port, model: Any, arrays: CallArrays) -> None:
    """Require a call to leave the model as it was; one that trains may change it, but
    not give it up.
    """
    try:
        params = port.dump(model)
    except RuntimeError as error:  # its arrays were donated
        raise DefectError(
            f"after a call, the model that it began with cannot be read: {error}"
        ) from error
    if case.phase == "train_step":
        return
    for name, before in arrays.params._asdict().items():
        if np.asarray(getattr(params, name)).tobytes() != before.tobytes():
            raise DefectError(f"a call changes {name} of its model")


def _of_set(arguments: Any, number: int) -> Any:
    return jax.tree.map(lambda a: a[number if len(a) > 1 else 0], arguments)


def _strided(array: np.ndarray) -> np.ndarray:
    """The same numbers, which are not side by side in memory."""
    return np.stack([array, array], -1)[..., 0]


def choices_of(jaxpr: Any) -> set[Choice]:
    """What tells kernels and loops apart: loops by unrolling, recomputation, products
    by dtype, custom rules.
    """
    choices = set[Choice]()
    for equation, _ in equations(jaxpr):
        name = equation.primitive.name
        if name == "scan":
            choices.add(("unroll", equation.params["unroll"]))
        elif (
            "all_steps" in name
        ):  # of the fused kernel, others where x is differentiated
            choices.add(("fused product", str(equation.outvars[0].aval.dtype)))
        elif "dot_general" in name:
            choices.add(("product", str(equation.outvars[0].aval.dtype)))
        elif name.startswith(("checkpoint", "remat")):
            choices.add(("remat", True))
        elif name.startswith(("custom_jvp", "custom_vjp")):
            choices.add(("rule", name))
        if any(equation.params.get("donated_invars", ())):
            choices.add(("donated", True))
    return choices


def _require_choices(case: Case, port: Port, choices: set[Choice]) -> None:
    """Require a case's program to have what was chosen for its model: the answers are
    the same without it.
    """
    unroll, dtype = case.config().unroll, case.dtypes.computation
    calls = [case.time]
    if case.entry == "chunks":
        calls = [(case.time + 1) // 2, case.time // 2]
    # a loop has no more steps to unroll
    _require_choice(choices, "unroll", unroll, *(min(unroll, steps) for steps in calls))
    _require_choice(choices, "product", dtype)
    if case.remat:
        _require_choice(choices, "remat", True, must_occur=True)
    if case.phase != "train_step" and ("donated", True) in choices:
        raise DefectError("a call gives up arrays, so that no second one can follow")
    kernels = [case.kernel]
    if isinstance(port, WithKernel):
        kernels.append(port.kernel)
    if FUSED not in kernels or case.entry == "steps" or case.phase == "step":
        return  # a single step has no kernel
    if case.phase == "forward":
        _require_choice(choices, "rule", "custom_jvp_call", must_occur=True)
    elif (
        case.transform != "ensemble"
    ):  # with a weight of each model, it is a usual product
        _require_choice(choices, "fused product", dtype, must_occur=True)


def _require_choice(
    choices: set[Choice], kind: str, choice: Any, *alike: Any, must_occur: bool = False
) -> None:
    """Require a program to have a choice, or one that is alike, if it has any of the
    kind.
    """
    values = {value for name, value in choices if name == kind}
    if values & {choice, *alike} or not (values or must_occur):
        return
    has = "no program that has it"
    if values:
        names = ", ".join(sorted(str(value) for value in values))
        has = f"{names} instead of {choice}"
    raise DefectError(f"{kind} is lost: {has}.")


# Without a call style -----------------------------------------------------------------


def call_directly(
    case: Case,
    port: Port,
    model: Any,
    passed: Passed,
    weights: Array,
    d_carry: Array,
    along: Any = None,
) -> Any:
    """The function of a case that has no call style: values and gradients by name.

    Args:
        case: what is asked.
        port: whose model it is.
        model: with its parameters.
        passed: x, carry, lengths, resets.
        weights: of the outputs, in the scalar that is differentiated.
        d_carry: of the final carry in it.
        along: in forward mode, a model, x and carry: the direction.
    """
    entry = _entry_of(case, port)
    if case.phase == "forward":
        return entry(model, *passed)
    if case.phase in ("jvp", "hvp"):

        def at(model: Any, x: Array, carry: Array) -> Answers:
            point = x, carry, *passed[2:]
            if case.phase == "jvp":
                return entry(model, *point)
            values = _gradients(case, port, entry, model, point, weights, d_carry)
            return {name: a for name, a in values.items() if name.startswith("d ")}

        _, derivatives = jax.jvp(at, (model, *passed[:2]), along)
        return derivatives

    data = *passed, weights, d_carry
    if case.phase == "penalty":

        def slope(model: Any) -> Any:
            gradient = _gradient_of_model(case, port, entry, model, data)
            pairs = zip(
                jax.tree.leaves(gradient), jax.tree.leaves(along[0]), strict=True
            )
            return sum(jnp.sum(g * v) for g, v in pairs)

        _, (gradient, *_) = port.value_and_grad(slope)(model)
        return {GRADIENT: gradient}
    if case.phase != "gradient":
        raise unknown_phase(case.phase, "call_directly in contract/calling.py")
    if case.transform == "per example":
        return {GRADIENT: _gradient_of_model(case, port, entry, model, data)}
    return _gradients(case, port, entry, model, passed, weights, d_carry)


def _gradients(
    case: Case,
    port: Port,
    entry: Entry,
    model: Any,
    passed: Passed,
    weights: Array,
    d_carry: Array,
) -> Answers:
    """Values, and the gradients of what `scalar_of` makes of them, of the model, x and
    a passed carry.
    """
    moved = passed[:1] if passed[1] is None else passed[:2]
    held = passed[len(moved) :]

    def scalar(model: Any, *moved: Array) -> tuple[Array, Answers]:
        values = entry(model, *moved, *held)
        return scalar_of(values, weights, d_carry), values

    names = (GRADIENT, "d x", "d carry")
    if case.transform == "held":
        names = names[1:]
        of_inputs = partial(scalar, model)
        gradient = jax.grad(of_inputs, argnums=range(len(moved)), has_aux=True)
        gradients, values = gradient(*moved)
    elif case.transform == "apart":
        values, gradients = _apart(scalar, (model, *moved))
    else:
        differentiated = port.value_and_grad(scalar, has_aux=True)
        (_, values), gradients = differentiated(model, *moved)
    return values | dict(zip(names, gradients, strict=False))


def _apart(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Values and gradients, those of each array of the model and of each other argument
    while all else is constant.
    """
    arrays, structure = jax.tree.flatten(arguments)
    values, gradients = None, []
    for number, array in enumerate(arrays):

        def of_one(moved: Array, number: int = number) -> Any:
            changed = [*arrays]
            changed[number] = moved
            return function(*structure.unflatten(changed))

        gradient, values = jax.grad(of_one, has_aux=True)(array)
        gradients.append(gradient)
    return values, structure.unflatten(gradients)


def _gradient_of_model(
    case: Case, port: Port, entry: Entry, model: Any, data: Sequence[Array]
) -> Any:
    """The model's gradient, or one of each example."""

    def gradient(model: Any, *data: Array) -> Any:
        *passed, weights, d_carry = data
        values = _gradients(case, port, entry, model, tuple(passed), weights, d_carry)
        return values[GRADIENT]

    if case.transform == "per example":
        for _ in case.batch:
            gradient = jax.vmap(gradient, (None, *[0] * len(data)))
    return gradient(model, *data)


def _entry_of(case: Case, port: Port) -> Entry:
    """The function that runs a sequence as a case says, within its transform."""
    by_name = {"whole": _whole, "again": _again, "chunks": _chunks, "steps": _steps}
    entry: Entry = partial(by_name[case.entry], case, port)
    if case.transform == "checkpoint":
        return jax.checkpoint(entry)
    if case.transform == "ensemble":
        return partial(_ensemble, entry)
    if case.transform == "vmap":
        return partial(_mapped, entry, len(case.batch))
    return entry


def _whole(
    case: Case,
    port: Port,
    model: Any,
    x: Array,
    carry: Array,
    lengths: Array,
    resets: Array,
) -> Answers:
    """The sequence in one call."""
    if case.carry == "handed out":
        carry = port.initial_carry(model, x.shape[:-2])
    if case.time_major:
        axis = x.ndim - 2
        x = jnp.moveaxis(x, axis, 0)
        resets = None if resets is None else jnp.moveaxis(resets, axis, 0)
    options: dict[str, Any] = {}  # without what is not asked for: defaults count, too
    if lengths is not None or resets is not None:
        options |= {"lengths": lengths, "resets": resets}
    if case.reverse or case.time_major:
        options |= {"reverse": case.reverse, "time_major": case.time_major}
    if options:
        carry, outputs = port.apply(model, x, carry=carry, **options)
    else:
        carry, outputs = port.apply(model, x, carry)
    if case.time_major:
        outputs = jnp.moveaxis(outputs, 0, -2)
    return {"carry": carry, "outputs": outputs}


def _again(case: Case, port: Port, model: Any, *passed: Array) -> Answers:
    """The sequence in one call, after a call of one time step and a call like it."""
    _whole(case, port, model, *_first_step(passed))
    _whole(case, port, model, *passed)
    return _whole(case, port, model, *passed)


def _first_step(passed: Sequence[Array]) -> Passed:
    """The arguments of a call with the first time step alone."""
    x, carry, lengths, resets = passed
    if lengths is not None:
        lengths = jnp.clip(lengths, max=1)
    if resets is not None:
        resets = resets[..., :1]
    return x[..., :1, :], carry, lengths, resets


def _chunks(
    case: Case,
    port: Port,
    model: Any,
    x: Array,
    carry: Array,
    lengths: Array,
    resets: Array,
) -> Answers:
    """The sequence in two calls, of which the second goes on from the carry of the
    first.
    """
    half = (x.shape[-2] + 1) // 2
    parts = [slice(half), slice(half, None)]
    if case.reverse:
        parts.reverse()
    outputs = []
    for part in parts:
        rest = lengths
        if lengths is not None and part.start:
            # in their dtype, which may hold no negative numbers, nor so many
            most = np.iinfo(lengths.dtype).max
            gone = np.asarray(min(half, most), lengths.dtype)
            rest = jnp.maximum(lengths, gone) - gone
        reset = None if resets is None else resets[..., part]
        chunk = _whole(case, port, model, x[..., part, :], carry, rest, reset)
        carry = chunk["carry"]
        outputs.append(chunk["outputs"])
    if case.reverse:
        outputs.reverse()
    return {"carry": carry, "outputs": jnp.concatenate(outputs, axis=-2)}


def _steps(
    case: Case,
    port: Port,
    model: Any,
    x: Array,
    carry: Array,
    lengths: Array,
    resets: Array,
) -> Answers:
    """The sequence step by step, the first of which may begin from the learned
    carry.
    """

    def step(carry: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
        x, reset = frame
        if reset is None:
            return port.step(model, x, carry)
        return port.step(model, x, carry=carry, reset=reset)

    frames = jnp.moveaxis(x, -2, 0)  # (T, *batch, D)
    if resets is not None:
        resets = jnp.moveaxis(resets, -1, 0)  # (T, *batch)
    by_time = frames, resets
    carry, first = step(carry, jax.tree.map(lambda a: a[0], by_time))
    carry, others = jax.lax.scan(step, carry, jax.tree.map(lambda a: a[1:], by_time))
    others = jnp.moveaxis(others, 0, -2)
    outputs = jnp.concatenate([first[..., None, :], others], axis=-2)
    return {"carry": carry, "outputs": outputs}


def _ensemble(entry: Entry, model: Any, *passed: Array) -> Answers:
    """The call of the second of two models, mapped over both."""
    models = jax.tree.map(lambda p: jnp.stack([jnp.roll(p, 1), p]), model)
    of_both = jax.vmap(entry, (0, None, None, None, None))(models, *passed)
    return jax.tree.map(lambda a: a[1], of_both)


def _mapped(entry: Entry, axes: int, model: Any, x: Array, *masks: Array) -> Answers:
    """The call of each example, of which x has the axes last."""
    for _ in range(axes):
        entry = jax.vmap(entry, (None, -1, 0, 0, 0))
    last = [-1 - axis for axis in range(axes)]
    return entry(model, jnp.moveaxis(x, range(axes), last), *masks)


# In a call style ----------------------------------------------------------------------


class _Undumped:
    """A port whose styles hand out models, and not their canonical parameters, which a
    trace does not have.
    """

    def __init__(self, port: Port):
        self._port = port

    def dump(self, tree: Any) -> Any:
        return tree

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class _StyledCall:
    """The function of a case in a call style, by one program for all calls, whose
    arrays are those that are passed.
    """

    def __init__(self, case: Case, port: Port, style: str):
        self._case, self._port = case, port
        self._style = _find_style(port, style, case.phase)
        self._program: Program | None = None

    def __call__(self, model: Any, passed: Passed, targets: Array, *_: Any) -> Any:
        if self._program is None:
            self._program = self._build(model, passed)
        program, phase = self._program, self._case.phase
        if phase == "step":
            return _step_by_step(program, passed[0], passed[1])
        if self._case.entry == "again" and phase != "train_step":
            first_and_carry = jnp.concatenate(
                [targets[..., :1, :], targets[..., -1:, :]], axis=-2
            )
            self._call(program, _first_step(passed), first_and_carry)
            self._call(program, passed, targets)
        return self._call(program, passed, targets)

    def _call(self, program: Program, passed: Passed, targets: Array) -> Any:
        phase = self._case.phase
        x, *others = [array for array in passed if array is not None]
        if phase == "forward":
            return program.call(x, *others)
        if phase == "gradient":
            value, gradient = program.call(x, targets, *others)
            return {"value": value, GRADIENT: program.read(gradient)}
        if phase == "train_step":
            losses = [program.call(x, targets, *others) for _ in range(STEPS)]
            return {"losses": jnp.stack(losses), MOVED: program.params()}
        raise unknown_phase(phase, "_StyledCall in contract/calling.py")

    def _build(self, model: Any, passed: Passed) -> Program:
        case, port = self._case, self._port
        entry = _entry_of(case, port)
        places = [place for place, array in enumerate(passed) if array is not None]

        def predict(model: Any, *arrays: Array) -> Any:
            if case.phase == "step":
                return port.step(model, *arrays)
            whole = [None] * len(passed)
            for place, array in zip(places, arrays, strict=True):
                whole[place] = array
            return entry(model, *whole)

        task = Task(case.phase, predict, _loss, OPTIMIZERS[case.optimizer])
        undumped: Any = _Undumped(port)
        program = self._style.build(undumped, model, task)
        _require_leaves(program, self._style.name, model, task)
        return program


def _find_style(port: Port, name: str, phase: str) -> CallStyle:
    for style in available_styles(port, phase):
        if style.name == name:
            return style
    raise NotOfferedError(f"no call style {name} for the phase {phase}")


def _loss(values: Answers, targets: Array) -> Array:
    """The scalar of a case, whose targets hold the weights of the outputs, then those
    of the carry.
    """
    return scalar_of(values, targets[..., :-1, :], targets[..., -1, :])


def _step_by_step(program: Program, x: Array, carry: Array) -> Answers:
    outputs = []
    for t in range(x.shape[-2]):
        carry, output = program.call(x[..., t, :], carry)
        outputs.append(output)
    return {"carry": carry, "outputs": jnp.stack(outputs, axis=-2)}


def _require_leaves(program: Program, style: str, model: Any, task: Task) -> None:
    """Require a program to say right how many arrays cross the jit boundary."""
    if jax.tree.leaves(model)[0] is model:  # before flax 0.12, an NNX module is a leaf
        return
    state = ()
    if task.phase == "train_step":
        state = jax.eval_shape(task.optimizer.init, model)
    least = len(jax.tree.leaves((model, state)))
    if not least <= program.leaves <= least + 4:  # and a count of steps, or the like
        raise DefectError(
            f"style {style} says that {program.leaves} arrays cross the jit boundary, "
            f"not {least}."
        )
