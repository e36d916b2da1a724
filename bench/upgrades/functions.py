"""The facts of a function of parameters and inputs: a part of a framework as people use it, or a model of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .counting import call_facts, count_equations, program_facts
from .folder import Kept
from .noticing import noticed, survived
from .record import KEPT, Subject
from .trails import trail_of


@dataclass(frozen=True)
class Example:
    """A function that JAX can compile, with what it is called with.

    Args:
        function: (params, *inputs) -> a pytree of arrays.
        params: a pytree; what is no array in it is left as it is.
        inputs: pytrees of arrays.
        drawn: parameters that were drawn from a fixed key; None where nothing is drawn.
        compiled: whether it is also compiled and called, and not only traced.
    """

    function: Callable[..., Any]
    params: Any = ()
    inputs: tuple[Any, ...] = ()
    drawn: Any = None
    compiled: bool = False


@dataclass(frozen=True)
class Called:
    """A call that is made as it is: it crosses the jit boundary by itself, or cannot be traced.

    Args:
        make: takes a function that counts how often another one is run by Python, and returns what is called.
    """

    make: Callable[[Callable[[Callable[..., Any]], Callable[..., Any]]], Callable[[], Any]]


def collect(subject: Subject, kept: Kept, name: str, given: Example | Called) -> None:
    """Collect what is true of a function: results and gradients, its trail, its program and what a call costs."""
    if isinstance(given, Called):
        _collect_call(subject, kept, name, given)
        return
    if given.drawn is not None:
        subject.draws[name] = kept.keep_all(paths_of(given.drawn))
        subject.tree |= {f"{name} {path}": leaf for path, leaf in tree_of(given.drawn).items()}
    leaves, structure = jax.tree.flatten(given.params)
    real = [n for n, leaf in enumerate(leaves) if is_real(leaf)]
    ran = 0

    def forward(reals: list[Any], *inputs: Any) -> Any:
        nonlocal ran
        ran += 1
        changed = list(leaves)
        for n, leaf in zip(real, reals, strict=True):
            changed[n] = leaf
        return given.function(structure.unflatten(changed), *inputs)

    def both(reals: list[Any], *inputs: Any) -> Any:
        def half_of_squares(reals: list[Any]) -> Any:
            results = forward(reals, *inputs)
            some = [a for a in jax.tree.leaves(results) if jnp.issubdtype(jnp.result_type(a), jnp.inexact)]
            return sum([jnp.sum(jnp.real(a * jnp.conj(a))) / 2 for a in some], jnp.zeros(())), results

        gradient, results = jax.grad(half_of_squares, has_aux=True)(reals)
        return results, gradient

    arguments = [[leaves[n] for n in real], *given.inputs]
    with survived(subject, name), noticed(subject, "call"):
        closed, shapes = jax.make_jaxpr(both, return_shape=True)(*arguments)
        subject.tree |= {f"{name} {path}": leaf for path, leaf in tree_of(shapes[0], "result").items()}
        subject.trails[name], wide = trail_of(closed, jax.tree.leaves(arguments), kept)
        paths = [path or "the parameter" for path, leaf in paths_of(given.params).items() if is_real(leaf)]
        names = [*paths_of(shapes[0], "result"), *(f"gradient of {path}" for path in paths)]
        subject.values[f"{name} in float64"] = kept.keep_all(dict(zip(names, wide, strict=True)))
        subject.programs[name] = {"jaxpr equations": count_equations(closed.jaxpr)}
        subject.programs[name][KEPT] = _kept_bytes(forward, arguments)
        if given.compiled:
            jitted: Any = jax.jit(both)
            results = dict(zip(names, jax.tree.leaves(jitted(*arguments)), strict=True))
            subject.values[name] = kept.keep_all(results)
            subject.programs[name] |= program_facts(jitted.lower(*arguments), count_equations(closed.jaxpr))
            first = ran
            subject.calls[name] = call_facts(
                lambda: jax.block_until_ready(jitted(*arguments)),
                lambda: jitted(*arguments),
                len(jax.tree.leaves(arguments)),
                lambda: (ran - first) / max(first, 1),
            )


def _collect_call(subject: Subject, kept: Kept, name: str, given: Called) -> None:
    ran = first = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal ran
            ran += 1
            return function(*arguments, **options)

        return run

    with survived(subject, name), noticed(subject, "call"):
        call = given.make(counted)
        subject.values[name] = kept.keep_all(paths_of(call(), "result"))
        first = ran
        subject.calls[name] = call_facts(
            lambda: jax.block_until_ready(call()), call, 0, lambda: (ran - first) / max(first, 1)
        )


def _kept_bytes(forward: Callable[..., Any], arguments: list[Any]) -> int:
    """Bytes of what the forward pass keeps for the gradient."""
    reals, *inputs = arguments
    saved = jax.eval_shape(lambda reals: jax.vjp(lambda reals: forward(reals, *inputs), reals)[1], reals)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(saved))


def is_real(leaf: Any) -> bool:
    """Whether a leaf is an array of floating-point or complex numbers."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)


def paths_of(model: Any, name: str = "") -> dict[str, Any]:
    """The arrays of a model's tree by their path, after a name, in its order."""
    found = jax.tree_util.tree_flatten_with_path(model)[0]
    return {name + jax.tree_util.keystr(path): leaf for path, leaf in found if hasattr(leaf, "dtype")}


def tree_of(model: Any, name: str = "") -> dict[str, str]:
    """The leaves of a model's tree by their path, in its order: dtype and shape."""
    return {path: f"{leaf.dtype}{np.shape(leaf)}" for path, leaf in paths_of(model, name).items()}
