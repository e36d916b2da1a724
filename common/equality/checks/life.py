"""The check of a model's life: made, called again and again, copied, stored, and given other parameters.

A model that is called, copied or stored in another way is still the same model: the same program gives the same bits,
and what was chosen for it (dtype, unroll, remat, kernel) is still in the program that JAX traces.
"""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError
from ...parameters.record import leaf_shapes, leaves
from ...port.compilation import jit
from ...port.protocol import Params, Port
from ...port.styles import make_task
from ...port.task import Batch
from .. import oracle
from ..bounds import SAME_BOUND, relative_error
from ..cases import Case
from .check import Answers, Check, unless_left_out
from .phases import SGD

#: (port, configuration, model) -> the same model, another way; or None where the framework can't.
Copy = Callable[[Port, GRUConfig, Any], Any]

#: What is chosen beside the parameters; each choice has to stay.
CHOICES: dict[str, Any] = {"dtype": "bfloat16", "unroll": 3, "remat": True}


def life_check(name: str, catches: str) -> Check:
    """A GRU's life, and a classifier's."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        found: Answers = {}
        for kind in _kinds(case):
            ask = partial(_answer_kind, port, kind)
            of_kind = ask() if kind.config.classes is None else unless_left_out(ask, kind.asked())
            found |= {f"{kind.name}: {quantity}": array for quantity, array in of_kind.items()}
        return found

    def expect(case: Case) -> Answers:
        return {
            f"{kind.name}: {quantity}": _expected(params, batch)
            for kind in _kinds(case)
            for quantity, (params, batch) in kind.asked().items()
        }

    return Check(name, catches, answer, expect)


@dataclass(frozen=True)
class _Kind:
    """A GRU or a classifier, with its data."""

    name: str
    config: GRUConfig
    params: Params
    batch: Batch

    def asked(self) -> dict[str, tuple[Params, Batch]]:
        """Parameters and data by what is compared with the oracle."""
        others = jax.tree.map(lambda p: np.roll(p, 1), self.params)
        smaller = Batch(*(array if array is None else array[-1:] for array in self.batch))
        return {
            "loaded": (self.params, self.batch),
            "other parameters": (others, self.batch),
            "another batch size": (self.params, smaller),
        }


def _kinds(case: Case) -> tuple[_Kind, ...]:
    return (
        _Kind("GRU", case.gru_config, case.params.gru, Batch(case.x, case.targets)),
        _Kind("classifier", case.config, case.params, Batch(case.x, case.labels, case.lengths)),
    )


class _Run:
    """Prediction and gradient of a model, as one vector, by a jitted program; and how often JAX traced it."""

    def __init__(self, port: Port, config: GRUConfig):
        self.traces = 0
        self._port, self._task = port, make_task(port, config, "gradient", SGD)
        self._jitted = jit(self._differentiate)

    def __call__(self, model: Any, batch: Batch) -> np.ndarray:
        prediction, gradient = self._jitted(model, *jax.tree.map(jnp.asarray, batch[:3]))
        return _vector(prediction, self._port.dump(gradient))

    def program(self, model: Any, batch: Batch) -> tuple[str, Any]:
        """What JAX traces, as text without addresses, and the prediction's shapes and dtypes."""
        traced, (prediction, _) = jax.make_jaxpr(self._differentiate, return_shape=True)(model, *batch[:3])
        return re.sub(r" at 0x[0-9a-f]+", "", str(traced)), prediction

    def _differentiate(self, model: Any, x: Any, targets: Any, lengths: Any) -> tuple[Any, Any]:
        self.traces += 1

        def objective(model: Any) -> tuple[Any, Any]:
            prediction = self._task.predict(model, x, lengths)
            return self._task.loss(prediction, targets), prediction

        (_, prediction), (gradient,) = self._port.value_and_grad(objective, has_aux=True)(model)
        return prediction, gradient


def _answer_kind(port: Port, kind: _Kind) -> Answers:
    run, config = _Run(port, kind.config), kind.config
    models = {what: _load_from_own(port, config, params) for what, (params, _) in kind.asked().items()}
    found = {what: run(models[what], batch) for what, (_, batch) in kind.asked().items()}
    loaded, first = models["loaded"], found["loaded"]
    _require_bits(run(loaded, kind.batch), first, "called again, a model gives other bits")
    if run.traces > 2:
        raise DefectError(f"{run.traces} traces of models that were loaded alike, in two batch sizes: expected 2.")
    if config.classes is None:
        _call_eagerly(port, loaded, kind.batch)
    _make_twins(port, kind, run)
    for name, again in COPIES.items():
        other = again(port, config, loaded)
        if other is not None:
            _require_params(port.dump(other), kind.params, f"{name}, a model has other parameters")
            _require_bits(run(other, kind.batch), first, f"{name}, a model gives other values or gradients")
    _keep_choices(port, kind, run)
    _require_bits(run(loaded, kind.batch), first, "after its copies were used, a model gives other bits")
    return found


def _load_from_own(port: Port, config: GRUConfig, params: Params) -> Any:
    """A model of a record whose arrays are then written over: it keeps none of them."""
    record = jax.tree.map(np.array, params)
    model = port.load(config, record)
    for array in jax.tree.leaves(record):
        array[...] = np.nan
    _require_params(port.dump(model), params, "loaded, and its record then written over, a model has other parameters")
    return model


def _call_eagerly(port: Port, model: Any, batch: Batch) -> None:
    """Outside of jit, where a port could remember the call before."""
    x, fewer = jnp.asarray(batch.x[:, :2]), jnp.asarray(batch.x[:1, :2])
    first = _vector(port.apply(model, x))
    _require_bits(_vector(port.apply(model, x)), first, "called again outside of jit, a model gives other bits")
    port.apply(model, fewer)
    _require_bits(_vector(port.apply(model, x)), first, "called outside of jit after another batch size, other bits")


def _make_twins(port: Port, kind: _Kind, run: _Run) -> None:
    """Two models that are made alike are alike, and what `make` gave is what `dump` says."""
    made, twin = (port.make(kind.config, jax.random.key(0)) for _ in range(2))
    params = port.dump(made)
    shapes = leaf_shapes(kind.config.input_size, kind.config.hidden_size, kind.config.classes)
    said = {name: (np.shape(array), str(array.dtype)) for name, array in leaves(params).items()}
    wrong = [name for name, shape in shapes.items() if said.get(name) != (shape, kind.config.param_dtype)]
    if wrong:
        raise DefectError(f"made: {wrong[0]} is {said.get(wrong[0])}, expected {shapes[wrong[0]]} as configured.")
    _require_params(port.dump(twin), params, "made twice with one key, a model has other parameters")
    loaded = port.load(kind.config, params)
    _require_params(port.dump(loaded), params, "made, dumped and loaded, a model has other parameters")
    answer, before = run(made, kind.batch), run.traces
    for what, other in (("made twice alike", twin), ("made and loaded", loaded)):
        if jax.tree.structure(other) != jax.tree.structure(made):
            raise DefectError(f"{what}, two models differ in jax.tree.structure: JAX compiles for each.")
        _require_bits(run(other, kind.batch), answer, f"{what}, two models give other bits")
        if run.traces > before:
            raise DefectError(f"{what}, two models are traced one by one, expected one trace for both.")
    error = relative_error(answer, _expected(params, kind.batch))
    if not error <= SAME_BOUND:
        raise DefectError(f"made: error {error:.1e} against the oracle on its own dumped parameters.")


def _keep_choices(port: Port, kind: _Kind, run: _Run) -> None:
    """What was chosen is in the program of a model, and of each of its copies."""
    chosen = replace(kind.config, **CHOICES)
    model = port.load(chosen, kind.params)
    program, prediction = run.program(model, kind.batch)
    dtypes = {str(array.dtype) for array in jax.tree.leaves(prediction)}
    if dtypes != {chosen.dtype}:
        raise DefectError(f"with dtype={chosen.dtype!r}, a model gives {', '.join(sorted(dtypes))}.")
    for choice, default in (("unroll", 1), ("remat", False)):
        plain = port.load(replace(chosen, **{choice: default}), kind.params)
        if run.program(plain, kind.batch)[0] == program:
            raise DefectError(f"{choice}={CHOICES[choice]} makes no difference to the program.")
    copies = {name: again(port, chosen, model) for name, again in COPIES.items()}
    for name, other in (copies | {"made": port.make(chosen, jax.random.key(0))}).items():
        if other is not None and run.program(other, kind.batch)[0] != program:
            raise DefectError(f"{name}, a model has another program: dtype, unroll, remat or kernel is lost.")


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


def _expected(params: Any, batch: Batch) -> np.ndarray:
    if batch.lengths is None:
        tape = oracle.forward(params, batch.x)
        _, gradient = oracle.sequence_loss(params, batch.x, batch.targets)
        return _vector((tape.carry, tape.outputs), gradient)
    _, gradient = oracle.classifier_loss(params, batch.x, batch.targets, batch.lengths)
    return _vector(oracle.classify(params, batch.x, batch.lengths), gradient)


def _vector(prediction: Any, gradient: Params | None = None) -> np.ndarray:
    arrays = [*jax.tree.leaves(prediction), *([] if gradient is None else leaves(gradient).values())]
    return np.concatenate([np.ravel(array) for array in arrays])


def _require_bits(found: np.ndarray, expected: np.ndarray, otherwise: str) -> None:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise DefectError(f"{otherwise}: {found.dtype}{found.shape}, expected {expected.dtype}{expected.shape}.")
    if found.tobytes() != expected.tobytes():
        raise DefectError(f"{otherwise}: {np.sum(found != expected)} of {expected.size} numbers differ.")


def _require_params(found: Params, expected: Params, otherwise: str) -> None:
    for name, array in leaves(expected).items():
        _require_bits(np.asarray(leaves(found)[name]), np.asarray(array), f"{otherwise}, {name}")
