"""The facts that a snapshot keeps of one port or framework's own part, and how each is collected.

`trigru.bench.upgrades.changes` says what adding a fact takes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from ...common.compat import enable_x64
from ...common.config import GRUConfig
from ...common.errors import NotOfferedError, UnavailableError
from ...common.parameters.layouts import CANONICAL, Layout
from ...common.parameters.record import leaves, random_params
from ...common.port.protocol import CallStyle, Port
from ...common.port.spread import WAYS, spread_of
from ...common.port.styles import available_styles, make_task
from ...common.port.task import PHASES, Batch
from ...impls.checkpoints.containers import CONTAINERS
from .counting import call_facts, count_equations, program_facts
from .folder import CHECKPOINTS, Kept
from .noticing import noticed, survived
from .record import DEVICES, Subject

#: The model and the data, all random and fixed; no two sizes are equal.
B, T, D, H, C = 3, 7, 5, 6, 4
STEPS = 20
OPTIMIZERS: dict[str, optax.GradientTransformation] = {
    "adam": optax.adam(1e-2),
    "sgd": optax.sgd(0.5, momentum=0.9),
    "clipped adamw": optax.chain(optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1)),
}
FIRST = "adam"
KEYS = (0, 1)
#: Warm calls before one is counted: frameworks fill caches of their own in the first few.
WARM_CALLS = 3


@dataclass(frozen=True)
class Where:
    """A call.

    Args:
        style: the call style.
        phase: of `trigru.common.port.task.PHASES`.
        dtype: of parameters and inputs.
        optimizer: of the train steps; "" in other phases.
        way: how the batch is spread over two devices; "" on one.
    """

    style: str
    phase: str
    dtype: str
    optimizer: str = ""
    way: str = ""

    def __str__(self) -> str:
        """The name under which facts of it are kept."""
        spread = f"{self.way} on two devices" if self.way else ""
        return " ".join(part for part in (self.phase, self.style, self.optimizer, self.dtype, spread) if part)


@dataclass(frozen=True)
class Looked:
    """The subject under inspection.

    Args:
        port: a port, with its kernel.
        subject: what is found.
        folder: of the snapshot.
        kept: the arrays that are found.
    """

    port: Port
    subject: Subject
    folder: Path
    kept: Kept = field(default_factory=Kept)


def look(looked: Looked, facts: Mapping[str, Callable[[Looked], None]] | None = None) -> None:
    """Collect facts, by default all `FACTS`. What fails is a problem of its own, and the others go on."""
    for name, collect in (FACTS if facts is None else facts).items():
        with survived(looked.subject, name):
            collect(looked)


def _styles(looked: Looked) -> None:
    looked.subject.styles = {style.name: style.missing() or "" for style in looked.port.call_styles}


def _draws(looked: Looked) -> None:
    for model, config in _configs("float32").items():
        for key in KEYS:
            with survived(looked.subject, "draws", f"{model}, key {key}"), _offered(), noticed(looked.subject, "make"):
                made = paths_of(looked.port.make(config, jax.random.key(key)))
                drawn = {f"{path} of key {key}": looked.kept.keep(leaf) for path, leaf in made.items()}
                looked.subject.draws.setdefault(model, {}).update(drawn)


def _tree(looked: Looked) -> None:
    made = looked.port.make(_configs("float32")["classifier"], jax.random.key(0))
    looked.subject.tree = tree_of(made)


def _checkpoints(looked: Looked) -> None:
    layout = getattr(looked.port, "layout", None)
    if not isinstance(layout, Layout) or looked.subject.name != looked.subject.framework:
        return  # kernels and the frameworks' own parts have no files of their own
    params = random_params(_configs("float32")["classifier"], seed=2)
    written = looked.kept.keep_all(CANONICAL.flat(params))
    for container in CONTAINERS:
        if container.optional or (container.layouts and layout.name not in container.layouts):
            continue
        file = f"{looked.subject.name}{container.suffixes[0]}"
        with survived(looked.subject, "checkpoints", container.title), noticed(looked.subject, "call"):
            path = looked.folder / CHECKPOINTS / file
            path.parent.mkdir(exist_ok=True)
            container.write(path, layout, params)
            looked.subject.checkpoints[file] = written
            read = paths_of(container.read(path))
            looked.subject.files[file] = {name: str(np.shape(array)) for name, array in read.items()}


def _values(looked: Looked) -> None:
    for phase in PHASES:
        for number, style in enumerate(_styles_of(looked, phase)):
            documented = number == 0  # the others have the same values, unless something is wrong with one
            for dtype in ("float32", "float64") if documented else ("float32",):
                for optimizer in OPTIMIZERS if documented and phase == "train_step" else (FIRST,):
                    where = Where(style.name, phase, dtype, optimizer if phase == "train_step" else "")
                    _run(looked, "values", where, partial(_keep_values, looked, where))


def _keep_values(looked: Looked, where: Where, program: "Built") -> None:
    looked.subject.values[str(where)] = looked.kept.keep_all(_answers(program, where))


def _programs(looked: Looked) -> None:
    equations = {phase: _equations(looked, phase) for phase in PHASES}
    for where in _each_style(looked):
        _run(looked, "programs", where, partial(_keep_program, looked, where, equations[where.phase]))


def _keep_program(looked: Looked, where: Where, equations: int | None, program: "Built") -> None:
    if program.lower is not None:
        looked.subject.programs[str(where)] = program_facts(program.lower(), equations)


def _spread_programs(looked: Looked) -> None:
    """The exchange between two devices in a train step of the documented style, for each way to spread."""
    with suppress(UnavailableError):  # one device, or an older JAX
        spread_of(DEVICES, "placed")
        for way in WAYS["train_step"]:
            for style in available_styles(looked.port, "train_step")[:1]:
                where = Where(style.name, "train_step", "float32", FIRST, way)
                _run(looked, "programs", where, partial(_keep_program, looked, where, None))


def _calls(looked: Looked) -> None:
    for where in _each_style(looked):
        _run(looked, "calls", where, partial(_keep_calls, looked, where))


def _keep_calls(looked: Looked, where: Where, program: "Built") -> None:
    program.call()
    first = program.traced()
    for _ in range(WARM_CALLS):
        program.call()
    traces = 1 + (program.traced() - first) / max(first, 1)
    looked.subject.calls[str(where)] = call_facts(program.dispatch, program.leaves, round(traces))


def _styles_of(looked: Looked, phase: str) -> list[CallStyle]:
    """Every style of a port; of a kernel, and of a framework's own part, the documented one."""
    found = available_styles(looked.port, phase)
    return found if looked.subject.name == looked.subject.framework else found[:1]


def _each_style(looked: Looked) -> Iterator[Where]:
    for phase in PHASES:
        for style in _styles_of(looked, phase):
            yield Where(style.name, phase, "float32", FIRST if phase == "train_step" else "")


#: By the fields of `Subject`.
FACTS: dict[str, Callable[[Looked], None]] = {
    "styles": _styles,
    "draws": _draws,
    "tree": _tree,
    "checkpoints": _checkpoints,
    "values": _values,
    "programs": _programs,
    "calls": _calls,
}


#: In a process that has two devices, of ports alone.
SPREAD: dict[str, Callable[[Looked], None]] = {"programs": _spread_programs}


@dataclass(frozen=True)
class Built:
    """A program with its arguments.

    Args:
        call: run it, and wait for the result.
        dispatch: run it, and do not wait.
        lower: what XLA is given; None where that cannot be had.
        traced: how often the Python code of the model ran.
        params, read: of `trigru.common.port.protocol.Program`.
        leaves: arrays that cross the jit boundary inwards.
    """

    call: Callable[[], Any]
    dispatch: Callable[[], Any]
    lower: Callable[[], Any] | None
    traced: Callable[[], int]
    params: Callable[[], Any]
    read: Callable[[Any], Any]
    leaves: int


@contextmanager
def _offered() -> Iterator[None]:
    """Skip a fact that the port does not offer."""
    try:
        yield
    except NotOfferedError:
        return


def _run(looked: Looked, fact: str, where: Where, collect: Callable[[Built], None]) -> None:
    """Build a program and collect something of it; what fails is a problem of the subject."""
    when = "train" if where.phase == "train_step" else "call"
    wide = where.dtype == "float64"
    with survived(looked.subject, fact, where), _offered(), noticed(looked.subject, when), enable_x64(wide):
        collect(_build(looked.port, where))


def _build(port: Port, where: Where) -> Built:
    ran = 0
    config = _configs(where.dtype)["gru"]
    task = make_task(port, config, where.phase, OPTIMIZERS[where.optimizer or FIRST])

    def predict(*arguments: Any, **options: Any) -> Any:
        nonlocal ran
        ran += 1
        return task.predict(*arguments, **options)

    style = next(style for style in port.call_styles if style.name == where.style)
    model = port.load(config, random_params(config))
    counted, batch = replace(task, predict=predict), _batch(where.dtype, DEVICES * B if where.way else B)
    if where.way:
        spread = spread_of(DEVICES, where.way)
        program = replace(style.build(port, spread.model(model), spread.task(counted)), put=spread.put)
    else:
        program = style.build(port, model, counted)
    arguments = [program.put(array) for array in batch.arguments(where.phase)]

    def call() -> Any:
        result = program.call(*arguments)
        program.wait(result)
        return result

    return Built(
        call,
        lambda: program.call(*arguments),
        program.lower and partial(program.lower, *arguments),
        lambda: ran,
        program.params,
        program.read,
        program.leaves,
    )


def _answers(program: Built, where: Where) -> dict[str, Any]:
    """The results, in the order in which they are computed."""
    if where.phase == "train_step":
        found = {}
        for step in range(1, STEPS + 1):
            found[f"loss at step {step}"] = program.call()
            found[f"parameters after step {step}"] = _together(leaves(program.params()))
        return found
    result = program.call()
    if where.phase == "gradient":
        loss, gradient = result
        return {"loss": loss} | {f"gradient of {name}": a for name, a in leaves(program.read(gradient)).items()}
    return dict(zip(("carry", "outputs"), result, strict=True))


def _together(arrays: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays.values()])


def _configs(dtype: str) -> dict[str, GRUConfig]:
    return {"gru": GRUConfig(D, H, param_dtype=dtype), "classifier": GRUConfig(D, H, classes=C, param_dtype=dtype)}


def _batch(dtype: str, examples: int = B) -> Batch:
    rng, sizes = np.random.default_rng(1), ((examples, T, D), (examples, T, H), (examples, H))
    x, targets, carry = (rng.normal(size=size).astype(dtype) for size in sizes)
    return Batch(x, targets, None, carry)  # the frameworks' own parts have no lengths in common


def paths_of(model: Any) -> dict[str, Any]:
    """The arrays of a model's tree by their path, in its order."""
    found = jax.tree_util.tree_flatten_with_path(model)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in found if hasattr(leaf, "dtype")}


def tree_of(model: Any) -> dict[str, str]:
    """The leaves of a model's tree by their path, in its order: dtype and shape."""
    return {path: f"{leaf.dtype}{np.shape(leaf)}" for path, leaf in paths_of(model).items()}


def _equations(looked: Looked, phase: str) -> int | None:
    """Equations of a phase's function, by the port's own means, before any style; None where they cannot be had."""
    port, config, batch = looked.port, _configs("float32")["gru"], _batch("float32")
    found: int | None = None
    with survived(looked.subject, "programs", f"jaxpr of {phase}"), _offered(), noticed(looked.subject, "call"):
        task = make_task(port, config, phase, OPTIMIZERS[FIRST])
        model = port.load(config, random_params(config))
        inference = phase in ("forward", "step")
        function: Any = task.predict if inference else port.value_and_grad(task.objective)
        traced = jax.make_jaxpr(lambda *arguments: jax.tree.leaves(function(*arguments)))
        found = count_equations(traced(model, *batch.arguments(phase)).jaxpr)
    return found
