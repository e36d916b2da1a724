"""The facts of a port: what it offers, draws, saves and reads, its functions, and its calls in each style."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from ...common.config import GRUConfig
from ...common.errors import TrigruError, UnavailableError, brief
from ...common.parameters.layouts import CANONICAL, Layout
from ...common.parameters.record import leaves, random_params
from ...common.port.protocol import CallStyle, Port, Program
from ...common.port.styles import available_styles, make_task
from ...common.port.task import PHASES, Batch
from ...impls import checkpoints, port_names, unavailable
from ...impls.checkpoints import CONTAINERS
from .functions import Call, Called, Example, Ran, look_at, paths_of
from .record import CONTENT, ArrayNames, Change, Kept, Read, Subject, name_of
from .worker import noticed, survived

#: The model and the data, all random and fixed; no two sizes are equal.
B, T, D, H, C = 3, 7, 5, 6, 4
GRU, CLASSIFIER = GRUConfig(D, H), GRUConfig(D, H, classes=C)
_RNG = np.random.default_rng(1)
X, TARGETS, CARRY = (
    _RNG.normal(size=size).astype("float32") for size in ((B, T, D), (B, T, H), (B, H))
)
BATCH = Batch(X, TARGETS, None, CARRY)
STEPS = 20
OPTIMIZER = optax.adam(1e-2)
OF_EACH_STYLE = (
    "forward",
    "train_step",
)  # the phases of each call style; others are of the documented one alone
TRACED = (
    "forward",
    "step",
)  # the phases whose functions have a trail, their gradient with it


def look_at_port(port: Port, subject: Subject, kept: Kept) -> None:
    """The facts of a port, or of one of its kernels. What fails is a problem of its own, and the others go on."""
    with survived(subject, "styles"):
        subject.styles = {
            style.name: style.missing() or "" for style in port.call_styles
        }
    whole = (
        subject.name == subject.framework
    )  # a kernel has no files of its own, and one style
    if whole and isinstance(layout := getattr(port, "layout", None), Layout):
        _save(layout, subject, kept)
    look_at(subject, kept, dict(_rows(port, whole=whole)))


def _save(layout: Layout, subject: Subject, kept: Kept) -> None:
    params = random_params(CLASSIFIER, seed=2)
    for container in CONTAINERS:
        if not container.optional and layout.name in (
            container.layouts or (layout.name,)
        ):
            with survived(subject, container.title), noticed(subject, "call"):
                content = np.frombuffer(
                    container.encode(layout.flat(params), layout.name), np.uint8
                )
                subject.checkpoints[container.suffixes[0]] = kept.keep_all(
                    {CONTENT: content, **CANONICAL.flat(params)}
                )


def unread(old: Read) -> Iterator[Change]:
    """The files that what is installed does not read, or reads as something else. No code in one is run."""
    snapshot, arrays = old
    known = {
        suffix
        for container in CONTAINERS
        for suffix in container.suffixes
        if not container.optional
    }
    for subject in snapshot.subjects:
        if subject.framework not in port_names() or unavailable(subject.framework):
            continue
        for suffix, written in subject.checkpoints.items():
            content = arrays.get(written.get(CONTENT, ""))
            if (
                content is not None
                and suffix in known
                and (problem := _misread(suffix, content, written))
            ):
                yield Change(
                    "checkpoints",
                    subject.name,
                    f"reading a file as {suffix}",
                    "reads",
                    problem,
                )


def _misread(suffix: str, content: np.ndarray, written: ArrayNames) -> str:
    """How a file differs from what was written into it; "" if it does not, or if its reader is not installed."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"parameters{suffix}"
        path.write_bytes(content.tobytes())
        try:
            read = checkpoints.read(path)
        except UnavailableError:
            return ""
        except (TrigruError, OSError) as error:
            return brief(error)
    found = {CONTENT: content, **CANONICAL.flat(read.params)}
    other = [
        name
        for name, array in written.items()
        if name not in found or name_of(found[name]) != array
    ]
    return f"other bits in {', '.join(other)}" if other else ""


def _rows(
    port: Port, *, whole: bool
) -> Iterator[tuple[str, Callable[[], Example | Called]]]:
    for name, config in (("gru", GRU), ("classifier", CLASSIFIER)):
        yield (
            name,
            lambda config=config: Example(drawn=port.make(config, jax.random.key(1))),
        )
    model = partial(
        _loaded, port
    )  # a new one for each, since a style may train it in place
    for phase in TRACED:
        task = make_task(port, GRU, phase, OPTIMIZER)
        yield (
            phase,
            lambda task=task: Example(
                task.predict, model(), BATCH.arguments(task.phase)
            ),
        )
    for phase in PHASES:
        styles = available_styles(port, phase)
        for style in styles if whole and phase in OF_EACH_STYLE else styles[:1]:
            called = Called(
                partial(_call, port, model, style, phase),
                compiled=whole and style is styles[0],
            )
            yield f"{phase} {style.name} float32", lambda called=called: called


def _call(
    port: Port, model: Callable[[], Any], style: CallStyle, phase: str, ran: Ran
) -> Call:
    task = make_task(port, GRU, phase, OPTIMIZER)
    program = style.build(port, model(), replace(task, predict=ran(task.predict)))
    arguments = [program.put(array) for array in BATCH.arguments(phase)]
    return Call(
        lambda: program.call(*arguments),
        partial(_results, program, phase),
        program.lower and partial(program.lower, *arguments),
        program.leaves,
        program.wait,
    )


def _results(program: Program, phase: str, run: Callable[[], Any]) -> dict[str, Any]:
    """The results, in the order in which they are computed."""
    if phase == "train_step":
        found = {}
        for step in range(1, STEPS + 1):
            found[f"loss at step {step}"] = run()
            moved = leaves(program.params()).values()
            found[f"parameters after step {step}"] = np.concatenate(
                [np.ravel(array) for array in moved]
            )
        return found
    result = run()
    if phase == "gradient":
        loss, gradient = result
        return {"loss": loss} | {
            f"gradient of {name}": a
            for name, a in leaves(program.read(gradient)).items()
        }
    return dict(zip(("carry", "outputs"), result, strict=True))


def _loaded(port: Port) -> Any:
    """A model with fixed random parameters; one that trigru does not know yet is as the framework draws it.

    A parameter that is called otherwise now takes the values of the first of its shape that is not there any more.
    """
    model, drawn = port.load(GRU, random_params(GRU)), port.make(GRU, jax.random.key(0))
    known = {
        path: leaf
        for path, leaf in paths_of(model).items()
        if not isinstance(leaf, jax.ShapeDtypeStruct)
    }
    there = paths_of(drawn)
    if known.keys() == there.keys():
        return model

    def value(path: Any, leaf: Any) -> Any:
        own = jax.tree_util.keystr(path)
        renamed = (
            name
            for name in known
            if name not in there and np.shape(known[name]) == np.shape(leaf)
        )
        return known.pop(own if own in known else next(renamed, ""), leaf)

    return jax.tree_util.tree_map_with_path(value, drawn)
