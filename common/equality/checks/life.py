"""The check of a model's life: made, called again and again, copied, stored, and given other parameters.

A model that is called, copied or stored in another way is still the same model: JAX traces the same program of it, and
what was chosen for it (dtype, unroll, remat, kernel) is still in that program, in every call style.
"""

import copy
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError, listed
from ...gru.kernels import STOCK
from ...parameters.record import leaves
from ...port.protocol import Params, Port, WithKernel
from ...port.styles import make_task
from ...port.task import Batch
from ...program import Evaluator, equations, one_set
from ..bounds import SAME_BOUND, relative_error
from ..cases import CONFIG, PARAMS, H, X
from ..contract.data import Data, config_of, data_of
from ..contract.factors import Row, whole_row
from ..contract.programs import Undumped, arguments_of, direct, named_answers
from ..contract.reference import expect
from .check import Answers, Part, make_traced

#: (port, configuration, model) -> the same model, another way; or None where the framework can't.
Copy = Callable[[Port, GRUConfig, Any], Any]

SGD = optax.sgd(0.5)
#: What is chosen beside the parameters; each choice has to stay.
CHOICES: dict[str, Any] = {"dtype": "bfloat16", "unroll": 3, "remat": True}
#: Whose life it is.
KINDS = {"GRU": whole_row({}), "classifier": whole_row({"entry": "classifier", "lengths": "passed"})}


def _asked(row: Row) -> dict[str, Data]:
    """Parameters and data by what is compared with the oracle."""
    data = data_of(row).of_set(0)
    arrays = {name: getattr(data, name) for name in ("x", "lengths", "weights", "d_carry")}
    return {
        "loaded": data,
        "other parameters": replace(data, params=jax.tree.map(lambda p: np.roll(p, 1), data.params)),
        "another batch size": replace(data, **{name: a if a is None else a[:, -1:] for name, a in arrays.items()}),
    }


class _Run:
    """Values and gradients of a row, as one vector, evaluated from the trace of a jitted program.

    Attributes:
        traces: how often JAX traced it.
    """

    def __init__(self, port: Port, row: Row):
        self.traces = 0
        self._port, self._row = port, row
        self._jitted: Any = jax.jit(self._differentiate)

    def __call__(self, model: Any, data: Data) -> np.ndarray:
        arguments = model, *jax.tree.map(jax.device_put, self._arrays(data))
        traced = self._jitted.trace(*arguments)
        found = Evaluator(traced.jaxpr)(*map(one_set, jax.tree.leaves(arguments)))
        results = jax.tree.unflatten(jax.tree.structure(traced.out_info), [a[0] for a in found])
        return _vector(named_answers(self._row, self._port, data, results))

    def program(self, model: Any, data: Data) -> tuple[str, Any]:
        """The traced program as text without addresses, and the shapes and dtypes of the results."""
        traced, results = jax.make_jaxpr(self._differentiate, return_shape=True)(model, *self._arrays(data))
        return re.sub(r" at 0x[0-9a-f]+", "", str(traced)), results

    def _arrays(self, data: Data) -> Any:
        _, (passed, weights, d_carry, _) = arguments_of(self._row, self._port, data)
        return jax.tree.map(lambda a: a[0], (passed, weights, d_carry))

    def _differentiate(self, model: Any, *arrays: Any) -> Any:
        self.traces += 1
        return direct(self._row, self._port, model, *arrays, along=None)


def _answer_kind(port: Port, row: Row) -> Answers:
    run, config, asked = _Run(port, row), config_of(row), _asked(row)
    models = {what: _load_from_own(port, config, data.params) for what, data in asked.items()}
    found = {what: run(models[what], data) for what, data in asked.items()}
    data, loaded, first = asked["loaded"], models["loaded"], found["loaded"]
    if run.traces > 2:
        raise DefectError(f"{run.traces} traces of models that were loaded alike, in two batch sizes: expected 2.")
    _make_twins(port, config, run, row, data)
    for name, again in COPIES.items():
        other = again(port, config, loaded)
        if other is not None:
            _require_params(port.dump(other), data.params, f"{name}, a model has other parameters")
            _require_bits(run(other, data), first, f"{name}, a model gives other values or gradients")
    _keep_choices(port, config, run, data)
    _require_bits(run(loaded, data), first, "after its copies were used, a model gives other bits")
    return found


def _load_from_own(port: Port, config: GRUConfig, params: Params) -> Any:
    """A model of a record whose arrays are then written over: it keeps none of them."""
    record = jax.tree.map(np.array, params)
    model = port.load(config, record)
    for array in jax.tree.leaves(record):
        array[...] = np.nan
    _require_params(port.dump(model), params, "loaded, and its record then written over, a model has other parameters")
    return model


def _make_twins(port: Port, config: GRUConfig, run: _Run, row: Row, data: Data) -> None:
    """Two models that are made alike are alike, and what `make` gave is what `dump` says."""
    made, twin = (make_traced(port, config, 0) for _ in range(2))
    params = port.dump(made)
    _require_params(port.dump(twin), params, "made twice with one key, a model has other parameters")
    loaded = port.load(config, params)
    _require_params(port.dump(loaded), params, "made, dumped and loaded, a model has other parameters")
    answer, before = run(made, data), run.traces
    for what, other in (("made twice alike", twin), ("made and loaded", loaded)):
        if jax.tree.structure(other) != jax.tree.structure(made):
            raise DefectError(f"{what}, two models differ in jax.tree.structure: JAX compiles for each.")
        _require_bits(run(other, data), answer, f"{what}, two models give other bits")
        if run.traces > before:
            raise DefectError(f"{what}, two models are traced one by one, expected one trace for both.")
    error = relative_error(answer, _expected(row, replace(data, params=params)))
    if not error <= SAME_BOUND:
        raise DefectError(f"made: error {error:.1e} against the oracle on its own dumped parameters.")


def _keep_choices(port: Port, config: GRUConfig, run: _Run, data: Data) -> None:
    """Require each choice in the program of a model, of each of its copies, and of each call style.

    Of two models with one `jax.tree.structure`, JAX runs one program; it is traced only where structures differ.
    """
    chosen = replace(config, **CHOICES)
    model = port.load(chosen, data.params)
    structure = jax.tree.structure(model)
    program, results = run.program(model, data)
    dtypes = {str(array.dtype) for name, array in results.items() if name in ("carry", "outputs", "logits")}
    if dtypes != {chosen.dtype}:
        raise DefectError(f"with dtype={chosen.dtype!r}, a model gives {', '.join(sorted(dtypes))}.")
    copies = {name: again(port, chosen, model) for name, again in COPIES.items()}
    for name, other in (copies | {"made": make_traced(port, chosen, 0)}).items():
        if other is None or jax.tree.structure(other) == structure:
            continue
        if run.program(other, data)[0] != program:
            raise DefectError(f"{name}, a model has another program: dtype, unroll, remat or kernel is lost.")
    if config.classes is not None:
        return
    kernels = () if isinstance(port, WithKernel) else (("kernel", kernel) for kernel in set(port.kernels) - {STOCK})
    plain = {f"{name}={value}": port.load(replace(chosen, **{name: value}), data.params)
             for name, value in (("unroll", 1), ("remat", False), *kernels)}  # fmt: skip
    for what, other in plain.items():
        if run.program(other, data)[0] == program:
            raise DefectError(f"{what} makes no difference to the program.")
    _keep_in_styles(port)


def _keep_in_styles(port: Port) -> None:
    """Each call style runs what its model does when it is called directly: the same kernel, loops and products."""
    chosen = replace(CONFIG, **CHOICES)
    model, batch = port.load(chosen, PARAMS), Batch(X, np.ones((*X.shape[:2], H)))
    known: dict[str, set[tuple[str, ...]]] = {}  # of a model that is called directly
    for style in port.call_styles:
        if style.missing() is not None:
            continue
        phase = "gradient" if "gradient" in style.phases else style.phases[0]
        task, arrays = make_task(port, chosen, phase, SGD), batch.arguments(phase)

        def in_style(model: Any, *arrays: Any, style: Any = style, task: Any = task) -> Any:
            return style.build(Undumped(port), model, task).call(*arrays)

        def directly(model: Any, *arrays: Any, phase: str = phase, task: Any = task) -> Any:
            if phase in ("forward", "step"):
                return task.predict(model, *arrays)
            return port.value_and_grad(lambda model: task.objective(model, *arrays))(model)

        if phase not in known:
            known[phase] = set(_computed(jax.make_jaxpr(directly)(model, *arrays).jaxpr))
        if lost := known[phase] - set(_computed(jax.make_jaxpr(in_style)(model, *arrays).jaxpr)):
            raise DefectError(
                f"in the call style {style.name}, the model loses its kernel, dtype, unroll or remat: its program has "
                f"no {listed(map(str, sorted(lost)))}."
            )


def _computed(jaxpr: Any) -> Iterator[tuple[str, ...]]:
    """What tells kernels and loops apart: loops by unrolling, recomputation, products by dtype, custom rules."""
    for equation, _ in equations(jaxpr):
        name = equation.primitive.name
        if name == "scan":
            yield name, f"unroll={equation.params['unroll']}"
        elif "dot_general" in name or "all_steps" in name:
            yield name, str(equation.outvars[0].aval.dtype)
        elif name.startswith(("custom_jvp", "custom_vjp", "checkpoint", "remat")):
            yield (name,)


# Copies -----------------------------------------------------------------------------------------------------------


def _pickled(port: Port, config: GRUConfig, model: Any) -> Any:
    try:
        content = pickle.dumps(model)
    except Exception:  # as where a framework keeps a function of JAX that no pickle takes
        return None
    return pickle.loads(content)


def _unflattened(port: Port, config: GRUConfig, model: Any) -> Any:
    arrays, structure = jax.tree.flatten(model)
    other = jax.tree.unflatten(structure, arrays)
    if jax.tree.structure(other) != structure:
        raise DefectError("flattened and unflattened, a model has another jax.tree.structure.")
    return other


COPIES: dict[str, Copy] = {
    "copied by copy.copy": lambda port, config, model: copy.copy(model),
    "copied by copy.deepcopy": lambda port, config, model: copy.deepcopy(model),
    "pickled and unpickled": _pickled,
    "flattened and unflattened": _unflattened,
    "dumped and loaded": lambda port, config, model: port.load(config, port.dump(model)),
}


# What is compared -------------------------------------------------------------------------------------------------


def _expected(row: Row, data: Data) -> np.ndarray:
    return _vector({name: array[0] for name, array in expect(row, data, np.float64).items()})


def _vector(answers: Answers) -> np.ndarray:
    return np.concatenate([np.ravel(answers[name]) for name in sorted(answers)])


def _require_bits(found: np.ndarray, expected: np.ndarray, otherwise: str) -> None:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise DefectError(f"{otherwise}: {found.dtype}{found.shape}, expected {expected.dtype}{expected.shape}.")
    if found.tobytes() != expected.tobytes():
        raise DefectError(f"{otherwise}: {np.sum(found != expected)} of {expected.size} numbers differ.")


def _require_params(found: Params, expected: Params, otherwise: str) -> None:
    for name, array in leaves(expected).items():
        _require_bits(np.asarray(leaves(found)[name]), np.asarray(array), f"{otherwise}, {name}")


def _expect_kind(row: Row) -> Answers:
    return {quantity: _expected(row, data) for quantity, data in _asked(row).items()}


PARTS = tuple(Part(partial(_answer_kind, row=row), partial(_expect_kind, row), kind) for kind, row in KINDS.items())
