"""Flax NNX from 0.10.2 on: found by looking, not by the number of a version."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from flax import nnx


def pure_dict(tree: Any) -> dict[str, Any]:
    """The arrays of a module, or of a state, in nested dicts: by `nnx.to_pure_dict` from Flax 0.10.6 on."""
    state: Any = tree if isinstance(tree, nnx.State) else nnx.state(tree)
    return nnx.to_pure_dict(state) if hasattr(nnx, "to_pure_dict") else state.to_pure_dict()


def update(optimizer: Any, model: Any, gradients: Any) -> None:
    """One step of an `nnx.Optimizer`: from Flax 0.11 on it is told the model, which it kept before."""
    if "model" in signature(nnx.Optimizer.update).parameters:
        optimizer.update(model, gradients)
    else:
        optimizer.update(gradients)


def lowered_by(jitted: Any) -> Callable[..., Any] | None:
    """How what `nnx.jit` returns is lowered; None where this Flax cannot do that."""
    return getattr(jitted, "lower", None)


def is_pytree() -> bool:
    """Whether a module is a pytree, as from Flax 0.12 on."""
    return hasattr(nnx, "Pytree")
