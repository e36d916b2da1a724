"""The facts that a snapshot keeps of one port or framework's own part, and how each is collected.

`trigru.bench.upgrades.compared` says what adding a fact takes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from ...common.config import GRUConfig
from ...common.errors import NotOfferedError, UnavailableError
from ...common.parameters.layouts import CANONICAL, Layout
from ...common.parameters.record import leaves, random_params
from ...common.port.compilation import compiled_quickly
from ...common.port.protocol import CallStyle, Port
from ...common.port.spread import WAYS, spread_of
from ...common.port.styles import available_styles, make_task
from ...common.port.task import PHASES, Batch
from ...impls.checkpoints.containers import CONTAINERS
from .counting import call_facts, count_equations, program_facts
from .folder import CHECKPOINTS, Kept
from .functions import paths_of, tree_of
from .noticing import noticed, survived
from .record import DEVICES, Subject
from .trails import trail_of

#: The model and the data, all random and fixed; no two sizes are equal.
B, T, D, H, C = 3, 7, 5, 6, 4
STEPS = 20
OPTIMIZER = optax.adam(1e-2)
KEYS = (0, 1)
#: The phases of each call style; the others are of the documented one alone.
OF_EACH_STYLE = ("forward", "train_step")
#: The phases of which a trail is kept: the first computes the forward pass, too.
TRACED = ("gradient", "step")


@dataclass(frozen=True)
class Where:
    """A call.

    Args:
        style: the call style.
        phase: of `trigru.common.port.task.PHASES`.
        dtype: of parameters and inputs.
        way: how the batch is spread over two devices; "" on one.
    """

    style: str
    phase: str
    dtype: str
    way: str = ""

    def __str__(self) -> str:
        """The name under which facts of it are kept."""
        spread = f"{self.way} on two devices" if self.way else ""
        return " ".join(part for part in (self.phase, self.style, self.dtype, spread) if part)


@dataclass
class Looked:
    """The subject under inspection.

    Args:
        port: a port, with its kernel.
        subject: what is found.
        folder: of the snapshot.
        kept: the arrays that are found.
        made: a model as the framework draws it, once it was.
        equations: in the traces of phases, those in loops included.
    """

    port: Port
    subject: Subject
    folder: Path
    kept: Kept = field(default_factory=Kept)
    made: Any = None
    equations: dict[str, int] = field(default_factory=dict)


def look(looked: Looked) -> None:
    """Collect all `FACTS`. What fails is a problem of its own, and the others go on."""
    for name, collect in FACTS.items():
        with survived(looked.subject, name):
            collect(looked)


def _styles(looked: Looked) -> None:
    looked.subject.styles = {style.name: style.missing() or "" for style in looked.port.call_styles}


def _draws(looked: Looked) -> None:
    for model, config in _configs("float32").items():
        for key in KEYS:
            named = survived(looked.subject, "draws", f"{model}, key {key}")
            with named, _offered(), noticed(looked.subject, "make"), compiled_quickly():
                made = looked.port.make(config, jax.random.key(key))
                looked.made = made if model == "gru" else looked.made
                drawn = {f"{path} of key {key}": looked.kept.keep(leaf) for path, leaf in paths_of(made).items()}
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


def _trails(looked: Looked) -> None:
    for phase in TRACED:
        with survived(looked.subject, "trails", phase), _offered(), noticed(looked.subject, "call"):
            closed, results, arguments = _trace(looked, phase)
            trail, outputs = trail_of(closed, arguments, looked.kept)
            looked.subject.trails[phase] = trail
            names = [*paths_of(results[0], "result"), *paths_of(results[1], "gradient of ")]
            looked.subject.values[f"{phase} in float64"] = looked.kept.keep_all(dict(zip(names, outputs, strict=True)))
            looked.equations[phase] = count_equations(closed.jaxpr)


def _trace(looked: Looked, phase: str) -> tuple[Any, tuple[Any, Any], list[Any]]:
    """A phase's function by the port's own means, before any style: its trace, its results and the gradient, and the
    leaves of its arguments.
    """
    port, config = looked.port, _configs("float32")["gru"]
    task = make_task(port, config, phase, OPTIMIZER)
    differentiated = port.value_and_grad(task.objective)

    def function(*given: Any) -> tuple[Any, Any]:
        return differentiated(*given) if phase == "gradient" else (task.predict(*given), ())

    arguments = _loaded(looked, config), *_batch("float32").arguments(phase)
    closed, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return closed, results, jax.tree.leaves(arguments)


def _programs(looked: Looked) -> None:
    """Values, programs and calls: each program is built, traced and compiled once."""
    for phase in PHASES:
        styles = _styles_of(looked, phase)
        for style in styles if phase in OF_EACH_STYLE else styles[:1]:
            where = Where(style.name, phase, "float32")
            _run(looked, where, partial(_keep, looked, where))


def _keep(looked: Looked, where: Where, program: "Built") -> None:
    subject, name = looked.subject, str(where)
    subject.values[name] = looked.kept.keep_all(_answers(program, where))
    if program.lower is not None:
        subject.programs[name] = program_facts(program.lower(), looked.equations.get(where.phase))
    subject.calls[name] = call_facts(program.call, program.dispatch, program.leaves, program.traced)


def _spread_programs(looked: Looked) -> None:
    """The exchange between two devices in a train step of the documented style, for each way to spread."""
    if looked.subject.name != looked.subject.framework:
        return  # a kernel, whose gradients are exchanged in the same way, or a framework's own part
    with suppress(UnavailableError):  # one device, or an older JAX
        spread_of(DEVICES, "placed")
        for way in WAYS["train_step"]:
            for style in available_styles(looked.port, "train_step")[:1]:
                where = Where(style.name, "train_step", "float32", way)
                _run(looked, where, partial(_keep_program, looked, where))


def _keep_program(looked: Looked, where: Where, program: "Built") -> None:
    if program.lower is not None:
        looked.subject.programs[str(where)] = program_facts(program.lower(), None)


def _styles_of(looked: Looked, phase: str) -> list[CallStyle]:
    """Every style of a port; of a kernel, and of a framework's own part, the documented one."""
    found = available_styles(looked.port, phase)
    return found if looked.subject.name == looked.subject.framework else found[:1]


#: By what they collect. Of programs also the values and the calls.
FACTS: dict[str, Callable[[Looked], None]] = {
    "styles": _styles,
    "draws": _draws,
    "tree": _tree,
    "checkpoints": _checkpoints,
    "trails": _trails,
    "programs": _programs,
    "programs on two devices": _spread_programs,
}


@dataclass(frozen=True)
class Built:
    """A program with its arguments.

    Args:
        call: run it, and wait for the result.
        dispatch: run it, and do not wait.
        lower: what XLA is given; None where that cannot be had.
        traced: how often it was traced, after a first call.
        params, read: of `trigru.common.port.protocol.Program`.
        leaves: arrays that cross the jit boundary inwards.
    """

    call: Callable[[], Any]
    dispatch: Callable[[], Any]
    lower: Callable[[], Any] | None
    traced: Callable[[], float]
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


def _run(looked: Looked, where: Where, collect: Callable[[Built], None]) -> None:
    """Build a program and collect something of it; what fails is a problem of the subject."""
    when = "train" if where.phase == "train_step" else "call"
    quick = nullcontext() if _is_optimized(looked, where) else compiled_quickly()
    with survived(looked.subject, where), _offered(), noticed(looked.subject, when), quick:
        collect(_build(looked, where))


def _is_optimized(looked: Looked, where: Where) -> bool:
    """Whether a program is compiled as users have it, whose bits count; XLA's part is the same in all."""
    documented = available_styles(looked.port, where.phase)[0].name
    return where.style == documented and not where.way and ":" not in looked.subject.name


def _build(looked: Looked, where: Where) -> Built:
    port = looked.port
    ran, first = 0, 0
    config = _configs(where.dtype)["gru"]
    task = make_task(port, config, where.phase, OPTIMIZER)

    def predict(*arguments: Any, **options: Any) -> Any:
        nonlocal ran
        ran += 1
        return task.predict(*arguments, **options)

    style = next(style for style in port.call_styles if style.name == where.style)
    model = _loaded(looked, config)
    counted, batch = replace(task, predict=predict), _batch(where.dtype, DEVICES * B if where.way else B)
    if where.way:
        spread = spread_of(DEVICES, where.way)
        program = replace(style.build(port, spread.model(model), spread.task(counted)), put=spread.put)
    else:
        program = style.build(port, model, counted)
    arguments = [program.put(array) for array in batch.arguments(where.phase)]

    def call() -> Any:
        nonlocal first
        result = program.call(*arguments)
        program.wait(result)
        first = first or ran
        return result

    return Built(
        call,
        lambda: program.call(*arguments),
        program.lower and partial(program.lower, *arguments),
        lambda: ran / max(first, 1),
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


def _loaded(looked: Looked, config: GRUConfig) -> Any:
    """A model with fixed random parameters; one that trigru does not know yet is as the framework draws it."""
    model = looked.port.load(config, random_params(config))
    known = {path: leaf for path, leaf in paths_of(model).items() if not isinstance(leaf, jax.ShapeDtypeStruct)}
    if looked.made is None or known.keys() == paths_of(looked.made).keys():
        return model
    return jax.tree_util.tree_map_with_path(lambda path, leaf: known.get(jax.tree_util.keystr(path), leaf), looked.made)


def _together(arrays: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays.values()])


def _configs(dtype: str) -> dict[str, GRUConfig]:
    return {"gru": GRUConfig(D, H, param_dtype=dtype), "classifier": GRUConfig(D, H, classes=C, param_dtype=dtype)}


def _batch(dtype: str, examples: int = B) -> Batch:
    rng, sizes = np.random.default_rng(1), ((examples, T, D), (examples, T, H), (examples, H))
    x, targets, carry = (rng.normal(size=size).astype(dtype) for size in sizes)
    return Batch(x, targets, None, carry)  # the frameworks' own parts have no lengths in common
