"""The facts of a port: what it offers and draws, its functions, and its calls."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from ...common.config import GRUConfig
from ...common.parameters.record import leaves, random_params
from ...common.port.names import PHASES, unknown_phase
from ...common.port.protocol import CallStyle, Port, Program
from ...common.port.styles import available_styles, make_task
from ...common.port.task import Batch
from .noticing import survived
from .observing import Call, Example, Rows, TraceCounter, look_at, paths_of
from .record import Subject
from .snapshot_file import ArrayStore

#: Sizes of the data and the model, no two of which are equal: sequences, steps,
#: features and units.
B, T, D, H = 3, 7, 5, 6
GRU = GRUConfig(D, H)
_RNG = np.random.default_rng(1)
X = _RNG.normal(size=(B, T, D)).astype("float32")
TARGETS = _RNG.normal(size=(B, T, H)).astype("float32")
CARRY = _RNG.normal(size=(B, H)).astype("float32")
BATCH = Batch(X, TARGETS, None, CARRY)
TRAINING_STEPS = 20
OPTIMIZER = optax.adam(1e-2)
#: The phases that are called in each call style; others are called as documented alone.
PHASES_OF_EACH_STYLE = ("forward", "train_step")
#: The phases whose functions are traced, and the one whose trail explains each phase.
TRACED_PHASES = ("forward", "step")
EXPLAINED_BY = {"step": "step"}  # all others by forward


def look_at_port(port: Port, subject: Subject, store: ArrayStore) -> None:
    """Add the facts of a port, or of one of its kernels, to a subject.

    What fails is a problem of its own, and the others go on.
    """
    with survived(subject, "styles"):
        for style in port.call_styles:
            subject.styles[style.name] = style.missing() or ""
    is_kernel = subject.name != subject.framework
    look_at(subject, store, rows_of(port, only_documented=is_kernel))
    for name, observation in subject.observations.items():
        phase = name.partition(" ")[0]
        if phase in PHASES:
            observation.explained_by = EXPLAINED_BY.get(phase, "forward")


def rows_of(port: Port, *, only_documented: bool = False) -> Rows:
    """What is looked at: the draws, the traced phases, and a call in each style."""
    rows: dict[str, Callable[[], Example | Call]] = {"gru": partial(_draws, port)}
    for phase in TRACED_PHASES:
        rows[phase] = partial(_traced, port, phase)
    for phase in PHASES:
        styles = available_styles(port, phase)
        if not styles:
            continue
        documented = styles[0]
        if only_documented or phase not in PHASES_OF_EACH_STYLE:
            styles = [documented]
        for style in styles:
            is_compiled = style is documented and not only_documented
            call = partial(_called, port, style, phase, is_compiled)
            rows[f"{phase} {style.name} float32"] = call
    return rows


def loaded_model(port: Port) -> Any:
    """A model with fixed random parameters.

    A parameter that trigru does not know yet is as the framework draws it. One that has
    another name now takes the values of the first of its shape that is not there.
    """
    model = port.load(GRU, random_params(GRU))
    drawn = port.make(GRU, jax.random.key(0))
    values: dict[str, Any] = {}
    for path, leaf in paths_of(model).items():
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            values[path] = leaf
    drawn_paths = paths_of(drawn)
    if values.keys() == drawn_paths.keys():
        return model

    def value(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if name in values:
            return values.pop(name)
        for former_name, former in values.items():
            if former_name not in drawn_paths and np.shape(former) == np.shape(leaf):
                return values.pop(former_name)
        return leaf

    return jax.tree_util.tree_map_with_path(value, drawn)


def _draws(port: Port) -> Example:
    return Example(drawn=port.make(GRU, jax.random.key(1)))


def _traced(port: Port, phase: str) -> Example:
    task = make_task(port, phase, OPTIMIZER)
    return Example(task.predict, loaded_model(port), BATCH.arguments(phase))


def _called(port: Port, style: CallStyle, phase: str, is_compiled: bool) -> Call:
    """A call of a port in a style, with a model of its own, which it may train."""
    traces = TraceCounter()
    task = make_task(port, phase, OPTIMIZER)
    task = replace(task, predict=traces.counted(task.predict))
    program = style.build(port, loaded_model(port), task)
    arguments = [program.put(array) for array in BATCH.arguments(phase)]
    lower = None
    if program.lower is not None:
        lower = partial(program.lower, *arguments)
    return Call(
        run=partial(program.call, *arguments),
        traces=traces,
        read=partial(_read, program, phase),
        steps=TRAINING_STEPS if phase == "train_step" else 1,
        lower=lower,
        leaves=program.leaves,
        wait=program.wait,
        compiled=is_compiled,
    )


def _read(program: Program, phase: str, result: Any) -> dict[str, Any]:
    """The results of a call, in the order in which they are computed."""
    if phase == "train_step":
        parameters = leaves(program.params()).values()
        return {
            "loss": result,
            "parameters": np.concatenate([np.ravel(array) for array in parameters]),
        }
    if phase == "gradient":
        loss, gradient = result
        results = {"loss": loss}
        for name, array in leaves(program.read(gradient)).items():
            results[f"gradient of {name}"] = array
        return results
    if phase in ("forward", "step"):
        carry, outputs = result
        return {"carry": carry, "outputs": outputs}
    raise unknown_phase(phase, "_read in upgrades/ports.py")
