"""Training, the same for every framework: minibatches in random order, and the epoch with the best validation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...common.errors import TrigruError
from ...common.parameters.record import ClassifierParams
from .experiments import Experiment, Split
from .trainer import Minibatch, Trainer

#: Training ends when validation has not improved for this many epochs.
PATIENCE = 40


class DivergedError(TrigruError):
    """No epoch of a training had a finite validation loss, or the test of the best one has no finite loss."""


@dataclass(frozen=True)
class Fit:
    """The result of a training.

    Args:
        train_loss: of each epoch, the mean over its minibatches; each loss is from before its step.
        validation_loss: after each epoch.
        best_epoch: the first epoch with the least validation loss, from 0; the test and params are of that epoch.
    """

    train_loss: list[float]
    validation_loss: list[float]
    best_epoch: int
    test_loss: float
    test_score: float
    params: ClassifierParams


def fit(
    trainer: Trainer,
    experiment: Experiment,
    split: Split,
    params: ClassifierParams,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Fit:
    """Train, and test the epoch that validates best.

    Raises a DivergedError if no epoch has a finite validation loss, or the test of the best one is not finite.

    Args:
        trainer: of any framework. Its state is reset.
        params: the first parameters.
        epochs: the most passes over the training sequences.
        seed: of the minibatches' order.
        progress: called after each epoch with its number from 0 and its training loss.
    """
    rng = np.random.default_rng(seed)
    trainer.start(params)
    train_loss, validation_loss = [], []
    best, best_loss, best_epoch = params, np.inf, -1
    for epoch in range(epochs):
        losses = [trainer.step(batch) for batch in minibatches(split.train, experiment.batch_size, rng)]
        train_loss.append(float(np.mean(jax.device_get(losses))))
        validation_loss.append(_judge(trainer, experiment.loss, split.validation))
        if validation_loss[-1] < best_loss:
            best, best_loss, best_epoch = trainer.params(), validation_loss[-1], epoch
        progress(epoch, train_loss[-1])
        if epoch - best_epoch >= PATIENCE:
            break
    if best_epoch < 0:
        raise DivergedError(
            f"{experiment.name}: no epoch of {len(validation_loss)} had a finite validation loss, seed {seed}."
        )
    trainer.start(best)
    test = [_judge(trainer, measure, split.test) for measure in (experiment.loss, experiment.score)]
    if not np.isfinite(test).all():
        raise DivergedError(f"{experiment.name}: the test of epoch {best_epoch + 1} is not finite, seed {seed}.")
    return Fit(train_loss, validation_loss, best_epoch, test[0], test[1], best)


def minibatches(data: Minibatch, batch_size: int, rng: np.random.Generator) -> list[Minibatch]:
    """One epoch in a new random order. Sequences that do not fill a last minibatch are left out of this epoch."""
    order = rng.permutation(len(data.x))
    rows = [order[end - batch_size : end] for end in range(batch_size, len(order) + 1, batch_size)]
    return [jax.tree.map(lambda array, row=row: array[row], data) for row in rows]


def _judge(trainer: Trainer, measure: Callable[[Any, Any], Any], data: Minibatch) -> float:
    return float(measure(trainer.predict(data.x, data.lengths), data.targets))
