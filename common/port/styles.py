"""The call styles that frameworks share, and the programs of a style."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .names import DOCUMENTED, DONATED, FUNCTIONAL, LEAVES, unknown_phase
from .protocol import CallStyle, Port, Program
from .task import Task, mean_squared_error

#: (model) -> a pytree of its parameters, and a function that makes a model of such a
#: pytree.
Split = Callable[[Any], tuple[Any, Callable[[Any], Any]]]


def whole(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The `Split` of a model that is itself a pytree of its parameters."""
    return model, lambda tree: tree


# Styles of a port ---------------------------------------------------------------------


def shared_styles(
    split: Split = whole,
    *,
    name: str = FUNCTIONAL,
    split_code: str = "",
    call_code: str = "f({}, x)",
    source: str = "",
    caution: str = "",
) -> tuple[CallStyle, ...]:
    """The styles that a port shares with others: functional, leaves and donated.

    A port joins them to its own.

    Args:
        split: parts a model into its parameters and a function that makes a model of
            them inside `jax.jit`.
        name, source: of the functional style.
        split_code: what a user writes to part the model into its parameters, which are
            then called `params`; "" if the model is them.
        call_code: what calls the model, with "{}" in place of the parameters.
        caution: of all three.

    >>> [(style.name, style.labels) for style in shared_styles(name="apply")]
    [('apply', ('functional',)), ('leaves', ('leaves',)), ('donated', ('donated',))]
    """

    def functional(port: Any, model: Any, task: Task) -> Program:
        tree, rebuild = split(model)
        return functional_program(port, tree, task, rebuild)

    def leaves(port: Any, model: Any, task: Task) -> Program:
        tree, rebuild = split(model)
        arrays, structure = jax.tree.flatten(tree)

        def rebuild_leaves(arrays: Any) -> Any:
            return rebuild(structure.unflatten(arrays))

        return functional_program(port, arrays, task, rebuild_leaves)

    def donated(port: Any, model: Any, task: Task) -> Program:
        tree, rebuild = split(model)
        copies = jax.tree.map(jnp.copy, tree)  # so that the model keeps its arrays
        donate = partial(jax.jit, donate_argnums=(0, 1))
        return functional_program(port, copies, task, rebuild, jit=donate)

    prepared = [split_code] if split_code else []
    functional_code = [
        *prepared,
        f"call = jax.jit(lambda params, x: {call_code.format('params')})",
        "call(params, x)",
    ]
    called = call_code.format("structure.unflatten(leaves)")
    flattened = [*prepared, "leaves, structure = jax.tree.flatten(params)"]
    leaves_code = [
        *flattened,
        f"call = jax.jit(lambda leaves, x: {called})",
        "call(leaves, x)",
    ]
    functional_train = [*prepared, train_code("jax.jit(train_step)", "params")]
    leaves_train = [*flattened, train_code("jax.jit(train_step)", "leaves")]
    donating = "jax.jit(train_step, donate_argnums=(0, 1))"
    donated_train = [*prepared, train_code(donating, "params")]
    return (
        CallStyle(
            name,
            "\n".join(functional_code),
            functional,
            "\n".join(functional_train),
            labels=(FUNCTIONAL,),
            source=source,
            caution=caution,
        ),
        CallStyle(
            LEAVES,
            "\n".join(leaves_code),
            leaves,
            "\n".join(leaves_train),
            labels=(LEAVES,),
            caution=caution,
        ),
        CallStyle(
            DONATED,
            "\n".join(donated_train),
            donated,
            labels=(DONATED,),
            phases=("train_step",),
            caution=caution,
        ),
    )


def train_code(jitted: str, model: str) -> str:
    """What a user writes for a train step that takes a model and returns it, trained.

    >>> print(train_code("jax.jit(train_step)", "params"))
    train = jax.jit(train_step)
    params, opt_state, loss = train(params, opt_state, x, targets)
    """
    return (
        f"train = {jitted}\n{model}, opt_state, loss = "
        f"train({model}, opt_state, x, targets)"
    )


def labels_of(port: Port, phase: str) -> dict[str, tuple[str, ...]]:
    """The labels of the call styles that a port has for a phase, by name.

    They are in the port's order.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for style in port.call_styles:
        if phase in style.phases:
            is_first = not labels
            labels[style.name] = (
                (DOCUMENTED, *style.labels) if is_first else style.labels
            )
    return labels


def styles_called(port: Port, names: Sequence[str] | None, phase: str) -> list[str]:
    """The call styles that a port has for a phase, with one of these names or labels.

    None asks for all.
    """
    styles = []
    for name, labels in labels_of(port, phase).items():
        if names is None or not {name, *labels}.isdisjoint(names):
            styles.append(name)
    return styles


def available_styles(port: Port, phase: str) -> list[CallStyle]:
    """The call styles of a phase that a port and the installed versions have."""
    styles = [style for style in port.call_styles if phase in style.phases]
    return [style for style in styles if style.missing() is None]


# Programs of a style ------------------------------------------------------------------


def functional_program(
    port: Any,
    tree: Any,
    task: Task,
    rebuild: Callable[[Any], Any] = lambda tree: tree,
    *,
    jit: Callable[..., Any] = jax.jit,
    value_and_grad: Callable[..., Any] = jax.value_and_grad,
    apply_updates: Callable[[Any, Any], Any] = optax.apply_updates,
) -> Program:
    """The program of a style that passes parameters in and takes new ones out.

    Args:
        port: anything whose `dump` reads the rebuilt tree.
        tree: the pytree that crosses the jit boundary.
        task: what to compute.
        rebuild: makes a model of the tree, inside jit.
        jit, value_and_grad, apply_updates: the framework's filtered versions, where it
            has them.
    """

    def forward(tree, *arrays):
        return task.predict(rebuild(tree), *arrays)

    def gradient(tree, *arrays):
        return value_and_grad(lambda tree: task.objective(rebuild(tree), *arrays))(tree)

    def train_step(tree, state, *arrays):
        loss, gradients = gradient(tree, *arrays)
        updates, state = task.optimizer.update(gradients, state, tree)
        return apply_updates(tree, updates), state, loss

    if task.phase == "train_step":
        passed = [tree, task.optimizer.init(tree)]
        return carrying_program(port, jit(train_step), passed, rebuild, trains=True)
    if task.phase == "gradient":
        return carrying_program(port, jit(gradient), [tree], rebuild)
    if task.phase in ("forward", "step"):
        return carrying_program(port, jit(forward), [tree], rebuild)
    raise unknown_phase(task.phase, "functional_program in port/styles.py")


def carrying_program(
    port: Any,
    jitted: Any,
    passed: Sequence[Any],
    rebuild: Callable[[Any], Any],
    *,
    trains: bool = False,
) -> Program:
    """The program of a jitted function (*passed, *arrays) -> a result.

    A function that trains returns (*passed, loss) instead. A port's `dump` reads what
    `rebuild` makes of the first pytree that is passed.
    """
    carried = list(passed)  # from call to call

    def train(*arrays):
        *carried[:], loss = jitted(*carried, *arrays)
        return loss

    def call(*arrays):
        return jitted(*carried, *arrays)

    return Program(
        train if trains else call,
        params=lambda: port.dump(rebuild(carried[0])),
        lower=lambda *arrays: jitted.lower(*carried, *arrays),
        leaves=len(jax.tree.leaves(carried)),
        read=lambda gradient: port.dump(rebuild(gradient)),
    )


def make_task(port: Port, phase: str, optimizer: optax.GradientTransformation) -> Task:
    """The task of a port's model in a phase.

    Its loss is the mean squared error of the outputs.
    """
    if phase == "step":
        return Task(phase, port.step, mean_squared_error, optimizer)

    def predict(model, x, lengths=None):
        return port.apply(model, x, lengths=lengths)

    return Task(phase, predict, mean_squared_error, optimizer)
