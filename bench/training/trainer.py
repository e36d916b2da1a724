"""What every framework's training loop offers."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import optax

from ...common.config import GRUConfig
from ...common.parameters.record import ClassifierParams


class Minibatch(NamedTuple):
    """Sequences with what is to be predicted. A JAX pytree."""

    x: Any  # (B, T, D)
    targets: Any  # (B,) labels, or (B, T, C) values of every step
    lengths: Any = None  # (B,) integers, or None where every step counts


#: (predictions, targets) -> scalar.
Loss = Callable[[Any, Any], Any]


@runtime_checkable
class Trainer(Protocol):
    """A GRU with a linear readout, its optimiser, and the state of both.

    The compiled functions are made once; `start` begins anew without compiling.
    """

    def start(self, params: ClassifierParams) -> None:
        """Take these parameters and a fresh optimiser state."""
        ...

    def step(self, batch: Minibatch) -> Any:
        """One optimiser step on a minibatch; returns the loss before it, a scalar on the device."""
        ...

    def predict(self, x: Any, lengths: Any = None) -> Any:
        """Of the last valid step (B, C), or of every step (B, T, C)."""
        ...

    def params(self) -> ClassifierParams:
        """The parameters as they stand, NumPy arrays in canonical layout."""
        ...


@runtime_checkable
class TrainerMaker(Protocol):
    """How a framework's module makes one."""

    def __call__(
        self, config: GRUConfig, tx: optax.GradientTransformation, loss: Loss, *, every_step: bool = False
    ) -> Trainer:
        """A trainer of models with this configuration (config.classes is C, the outputs of the readout)."""
        ...
