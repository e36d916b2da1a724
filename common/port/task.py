"""The task of a jitted program, whatever the framework and the call style.

A port supplies `predict`; the phases follow:

    forward      predict(model, x, lengths)
    gradient     loss, and its gradient with respect to the model
    train_step   loss, and parameters moved by one optimiser step
    step         predict(model, frame, carry): one time step, as online inference does
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

PHASES = ("forward", "gradient", "train_step", "step")


class Batch(NamedTuple):
    """Sequences, and what their outputs are compared with."""

    x: Any  # (B, T, D)
    targets: Any  # (B, T, H) floating point, or class labels (B,) of an integer dtype
    lengths: Any = None  # (B,) integers, or None where every step counts
    carry: Any = None  # (B, H), for the step phase alone

    def arguments(self, phase: str) -> tuple[Any, ...]:
        """The arrays that cross the jit boundary beside the model."""
        if phase == "step":
            return self.x[:, 0], self.carry
        arrays = (self.x, self.lengths) if phase == "forward" else (self.x, self.targets, self.lengths)
        return tuple(a for a in arrays if a is not None)


@dataclass(frozen=True)
class Task:
    """A phase of a workload."""

    phase: str  # of PHASES
    #: (model, x, lengths=None) -> (carry, outputs) of a GRU, or the logits (B, C) of a classifier; in the step phase,
    #: (model, frame, carry) -> (carry, output).
    predict: Callable[..., Any]
    loss: Callable[[Any, Any], Any]  # (prediction, targets) -> scalar
    optimizer: optax.GradientTransformation  # of the train_step phase

    def objective(self, model: Any, *arrays: Any) -> Any:
        """The scalar that training minimises, of inputs, targets and, where they are passed, lengths."""
        x, targets, *lengths = arrays
        return self.loss(self.predict(model, x, *lengths), targets)


def mean_squared_error(prediction: tuple[Any, Any], targets: Any) -> Any:
    """The loss at every step: the mean over (B, T, H) of the squared error of a GRU's outputs."""
    _, outputs = prediction
    return jnp.mean((outputs - targets) ** 2)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean softmax cross-entropy of logits (B, C) against labels (B,)."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
