"""The interface of every framework's training loop."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import optax

from ...common.config import GRUConfig
from ...common.parameters.record import ClassifierParams


class Minibatch(NamedTuple):
    """Sequences with their targets. A JAX pytree."""

    x: Any  # (B, T, D)
    targets: Any  # (B,) labels, or (B, T, C) values of every step
    lengths: Any = None  # (B,) integers, or None where every step counts


#: (predictions, targets) -> scalar.
Loss = Callable[[Any, Any], Any]


@runtime_checkable
class Trainer(Protocol):
    """A GRU with a linear readout, its optimiser, and the state of both.

    The compiled functions are made once. `start` resets the state without compiling.

    With every_step, it reads every step's output, instead of the final carry. config.classes is C.
    """

    def __init__(
        self, config: GRUConfig, tx: optax.GradientTransformation, loss: Loss, *, every_step: bool = False
    ): ...

    def start(self, params: ClassifierParams) -> None:
        """Start from these parameters, with a new optimiser state."""
        ...

    def step(self, batch: Minibatch) -> Any:
        """One optimiser step on a minibatch; returns the loss before it, a scalar on the device."""
        ...

    def predict(self, x: Any, lengths: Any = None) -> Any:
        """Predictions of the last valid step (B, C), or of every step (B, T, C)."""
        ...

    def params(self) -> ClassifierParams:
        """The current parameters, as NumPy arrays in canonical layout."""
        ...
