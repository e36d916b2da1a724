"""The data and the tasks. Adding an experiment is adding a row to `EXPERIMENTS`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...common.config import GRUConfig
from ...common.datasets import japanese_vowels, sunspots
from ...common.errors import UnknownNameError
from ...common.port.task import cross_entropy
from .trainer import Loss, Minibatch


@dataclass(frozen=True)
class Split:
    """Sequences for training, for validation and for the test."""

    train: Minibatch
    validation: Minibatch
    test: Minibatch


@dataclass(frozen=True)
class Experiment:
    """A task on real sequences.

    Args:
        summary: what is predicted from what.
        score: (predictions, targets) -> the number that is reported.
        score_name: the name and unit of the score; higher_is_better gives its direction.
        split: seed -> the data, float32; the same for all seeds where nothing is held out at random.
        every_step: whether to predict at every step, or only from the last valid one.
        batch_size: sequences of one optimiser step.
        epochs: the most passes over the training sequences.
        learning_rate: of Adam.
        length: T, the steps that the loss is a mean over; None if it sees only the last step.
        enough_seeds: with so many, gains as large as those in docs/results/training.json are told from chance four
            times in five, each of them; None if not even a hundred seeds are enough.
    """

    name: str
    summary: str
    config: GRUConfig
    loss: Loss
    score: Callable[[Any, Any], Any]
    score_name: str
    higher_is_better: bool
    split: Callable[[int], Split]
    every_step: bool
    batch_size: int
    epochs: int
    learning_rate: float
    length: int | None
    enough_seeds: int | None


def get_experiment(name: str) -> Experiment:
    """A row of EXPERIMENTS by name. Raises an UnknownNameError if there is none."""
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    if name not in known:
        raise UnknownNameError("experiment", name, list(known))
    return known[name]


def _vowels(seed: int) -> Split:
    """Hold out a fifth of each speaker's training utterances for validation. Test on the archive's test utterances."""
    data, test = japanese_vowels("train"), japanese_vowels("test")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(data.labels), bool)
    for speaker in np.unique(data.labels):
        own = np.flatnonzero(data.labels == speaker)
        held_out[rng.choice(own, len(own) // 5, replace=False)] = True

    def rows(chosen: np.ndarray) -> Minibatch:
        return Minibatch(data.inputs[chosen], data.labels[chosen], data.lengths[chosen])

    return Split(rows(~held_out), rows(held_out), Minibatch(test.inputs, test.labels, test.lengths))


#: The ends of the training years and of the validation years, counted from 1700. The rest are for the test.
TRAIN_YEARS, VALIDATION_YEARS = 200, 250


def _windows(length: int) -> Callable[[int], Split]:
    """All windows of `length` years, each within one part of the series, and the years one later as targets."""

    def split(seed: int) -> Split:
        numbers = np.sqrt(sunspots())  # the spread of counts grows with the counts
        seen = numbers[:TRAIN_YEARS]
        series = ((numbers - seen.mean()) / seen.std()).astype(np.float32)

        def windows(part: np.ndarray) -> Minibatch:
            both = np.lib.stride_tricks.sliding_window_view(part, length + 1)[..., None]  # (N, length + 1, 1)
            return Minibatch(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:]))

        return Split(*map(windows, np.split(series, (TRAIN_YEARS, VALIDATION_YEARS))))

    return split


def mean_squared(predictions: Any, targets: Any) -> Any:
    """The mean over all entries of the squared error."""
    return jnp.mean((predictions - targets) ** 2)


def _root_mean_squared(predictions: Any, targets: Any) -> Any:
    return jnp.sqrt(mean_squared(predictions, targets))


def _accuracy(logits: Any, labels: Any) -> Any:
    return jnp.mean(jnp.argmax(logits, axis=-1) == labels)


def _sunspots(length: int, enough_seeds: int | None) -> Experiment:
    return Experiment(
        f"sunspots-{length}",
        f"next year's sunspot number, at every step of windows of {length} years that start anywhere, without burn-in",
        GRUConfig(1, 16, 1),
        mean_squared,
        _root_mean_squared,
        "test error, in standard deviations of the training years",
        False,
        _windows(length),
        every_step=True,
        batch_size=32,
        epochs=400,
        learning_rate=1e-2,
        length=length,
        enough_seeds=enough_seeds,
    )


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "vowels",
        "which of nine speakers said a vowel of 7 to 29 frames, from the last state",
        GRUConfig(12, 64, 9),
        cross_entropy,
        _accuracy,
        "test accuracy",
        True,
        _vowels,
        every_step=False,
        batch_size=36,
        epochs=100,
        learning_rate=3e-3,
        length=None,
        enough_seeds=54,
    ),
    *(_sunspots(length, enough) for length, enough in ((2, 7), (8, 11), (32, None))),
)
