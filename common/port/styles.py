"""Call styles: the ways to take a task across the jit boundary that are not one framework's own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..config import GRUConfig
from .protocol import DOCUMENTED, DONATED, FUNCTIONAL, LEAVES, CallStyle, Port, Program
from .task import Task, cross_entropy, mean_squared_error

#: (model) -> a pytree of its parameters, and a function that makes a model of such a pytree.
Split = Callable[[Any], tuple[Any, Callable[[Any], Any]]]


def shared_styles(
    split: Split = lambda model: (model, lambda tree: tree),
    *,
    name: str = FUNCTIONAL,
    summary: str = "jax.jit(f)(model, x)",
    source: str = "",
    caution: str = "",
    keeps_updates: bool = False,
) -> tuple[CallStyle, ...]:
    """The styles that a port shares with others: functional, leaves, donated. To be joined to its own.

    Args:
        split: parts a model into its parameters and a function that makes a model of them inside `jax.jit`.
        name, summary, source: of the functional style.
        caution: of all three.
        keeps_updates: of the leaves, where calls return what they change.

    >>> [(style.name, style.labels) for style in shared_styles(name="apply")]
    [('apply', ('functional',)), ('leaves', ('leaves',)), ('donated', ('donated',))]
    """

    def of_leaves(model: Any) -> tuple[Any, Callable[[Any], Any]]:
        tree, rebuild = split(model)
        arrays, treedef = jax.tree.flatten(tree)
        return arrays, lambda arrays: rebuild(treedef.unflatten(arrays))

    def of_copies(model: Any) -> tuple[Any, Callable[[Any], Any]]:
        tree, rebuild = split(model)
        return jax.tree.map(jnp.copy, tree), rebuild  # the model keeps its arrays

    def style(
        label: str,
        summary: str,
        split: Split,
        jit: Any = jax.jit,
        name: str = "",
        **fields: Any,
    ) -> CallStyle:
        def build(port: Any, model: Any, task: Task) -> Program:
            tree, rebuild = split(model)
            return functional_program(port, tree, task, rebuild, jit=jit)

        return CallStyle(
            name or label, summary, build, labels=(label,), caution=caution, **fields
        )

    leaves = (
        "call = jax.jit(f); call(leaves, x)"  # a list made once; f puts them together
    )
    donated = (
        "jax.jit(train_step, donate_argnums=(0, 1))(params, opt_state, x, targets)"
    )
    donate = partial(jax.jit, donate_argnums=(0, 1))
    return (
        style(FUNCTIONAL, summary, split, name=name, source=source),
        style(LEAVES, leaves, of_leaves, keeps_updates=keeps_updates),
        style(DONATED, donated, of_copies, donate, phases=("train_step",)),
    )


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
        jit, value_and_grad, apply_updates: the framework's filtered versions, where it has them.
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
        return carrying_program(
            port,
            jit(train_step),
            [tree, task.optimizer.init(tree)],
            rebuild,
            trains=True,
        )
    return carrying_program(
        port, jit(gradient if task.phase == "gradient" else forward), [tree], rebuild
    )


def carrying_program(
    port: Any,
    jitted: Any,
    passed: list[Any],
    rebuild: Callable[[Any], Any],
    *,
    trains: bool = False,
) -> Program:
    """The program of a jitted function (*passed, *arrays) -> a result; where it trains, (*passed, loss).

    A port's `dump` reads what `rebuild` makes of the first pytree that is passed.
    """

    def call(*arrays):
        nonlocal passed
        if not trains:
            return jitted(*passed, *arrays)
        *passed, loss = jitted(*passed, *arrays)
        return loss

    return Program(
        call,
        params=lambda: port.dump(rebuild(passed[0])),
        lower=lambda *arrays: jitted.lower(*passed, *arrays),
        leaves=len(jax.tree.leaves(passed)),
        read=lambda gradient: port.dump(rebuild(gradient)),
    )


def make_task(
    port: Port, config: GRUConfig, phase: str, optimizer: optax.GradientTransformation
) -> Task:
    """The task of a port's model: mean squared error of a GRU's outputs, cross-entropy of a classifier.

    One time step is a GRU's, without a readout.
    """
    if phase == "step":
        return Task(phase, port.step, mean_squared_error, optimizer)
    if config.classes is not None:
        return Task(phase, port.classify, cross_entropy, optimizer)
    return Task(
        phase,
        lambda gru, x, lengths=None: port.apply(gru, x, lengths=lengths),
        mean_squared_error,
        optimizer,
    )


def labels_of(port: Any, phase: str) -> dict[str, tuple[str, ...]]:
    """The call styles that a port has for a phase, by name, in its order, and what else each is called: of LABELS."""
    having = [style for style in port.call_styles if phase in style.phases]
    return {
        style.name: (*(DOCUMENTED,) * (style is having[0]), *style.labels)
        for style in having
    }


def styles_called(port: Any, names: Sequence[str] | None, phase: str) -> list[str]:
    """The call styles that a port has for a phase, with one of these names or labels; None asks for all."""
    every = labels_of(port, phase)
    return [
        name
        for name, labels in every.items()
        if names is None or {name, *labels} & set(names)
    ]


def available_styles(port: Port, phase: str) -> list[CallStyle]:
    """The call styles that a port has for a phase and that the installed versions have."""
    return [
        style
        for style in port.call_styles
        if phase in style.phases and style.missing() is None
    ]
