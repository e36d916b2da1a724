"""The tasks on real sequences: `EXPERIMENTS` has a row for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from trigru.common.config import GRUConfig
from trigru.common.datasets import japanese_vowels, sunspots
from trigru.common.port.task import cross_entropy


class Minibatch(NamedTuple):
    """Sequences with their targets. A JAX pytree."""

    x: Any  # (B, T, D)
    targets: Any  # (B,) labels, or (B, T, C) values of every step
    lengths: Any = None  # (B,) integers, or None where every step counts


@dataclass(frozen=True)
class Experiment:
    """A task on real sequences.

    Args:
        loss, score: (predictions, targets) -> the number that training minimises, and the one that is reported.
        higher_is_better: of the score.
        split: seed -> sequences for training, for validation and for the test, float32.
        every_step: whether to predict at every step, or only from the last valid one.
        batch_size: sequences of one optimiser step.
        epochs: the most passes over the training sequences.
        learning_rate: of Adam.
    """

    name: str
    config: GRUConfig
    loss: Callable[[Any, Any], Any]
    score: Callable[[Any, Any], Any]
    higher_is_better: bool
    split: Callable[[int], tuple[Minibatch, Minibatch, Minibatch]]
    every_step: bool
    batch_size: int
    epochs: int
    learning_rate: float


def vowels(seed: int) -> tuple[Minibatch, Minibatch, Minibatch]:
    """Hold out a fifth of each speaker's training utterances for validation. Test on the archive's test utterances."""
    data, test = japanese_vowels("train"), japanese_vowels("test")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(data.labels), bool)
    for speaker in np.unique(data.labels):
        own = np.flatnonzero(data.labels == speaker)
        held_out[rng.choice(own, len(own) // 5, replace=False)] = True

    def rows(chosen: np.ndarray) -> Minibatch:
        return Minibatch(data.inputs[chosen], data.labels[chosen], data.lengths[chosen])

    return rows(~held_out), rows(held_out), Minibatch(test.inputs, test.labels, test.lengths)


#: The ends of the training years and of the validation years, counted from 1700. The rest are for the test.
TRAIN_YEARS, VALIDATION_YEARS = 200, 250


def windows_of(length: int) -> Callable[[int], tuple[Minibatch, Minibatch, Minibatch]]:
    """All windows of `length` years, each within one part of the series, and the years one later as targets."""

    def split(seed: int) -> tuple[Minibatch, Minibatch, Minibatch]:
        numbers = np.sqrt(sunspots())  # the spread of counts grows with the counts
        seen = numbers[:TRAIN_YEARS]
        series = ((numbers - seen.mean()) / seen.std()).astype(np.float32)

        def windows(part: np.ndarray) -> Minibatch:
            both = np.lib.stride_tricks.sliding_window_view(part, length + 1)[..., None]  # (N, length + 1, 1)
            return Minibatch(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:]))

        train, validation, test = np.split(series, (TRAIN_YEARS, VALIDATION_YEARS))
        return windows(train), windows(validation), windows(test)

    return split


def mean_squared(predictions: Any, targets: Any) -> Any:
    """The mean over all entries of the squared error."""
    return jnp.mean((predictions - targets) ** 2)


def root_mean_squared(predictions: Any, targets: Any) -> Any:
    """In standard deviations of the training years."""
    return jnp.sqrt(mean_squared(predictions, targets))


def accuracy(logits: Any, labels: Any) -> Any:
    """The share of labels that have the largest logit."""
    return jnp.mean(jnp.argmax(logits, axis=-1) == labels)


def years(length: int) -> Experiment:
    """Next year's sunspot number, at every step of windows that start anywhere."""
    return Experiment(
        f"sunspots-{length}", GRUConfig(1, 16, 1), mean_squared, root_mean_squared, False, windows_of(length),
        every_step=True, batch_size=32, epochs=400, learning_rate=1e-2,
    )  # fmt: skip


#: The first: which of nine speakers said a vowel of 7 to 29 frames, from the last state.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "vowels", GRUConfig(12, 64, 9), cross_entropy, accuracy, True, vowels,
        every_step=False, batch_size=36, epochs=100, learning_rate=3e-3,
    ),
    *(years(length) for length in (2, 8, 32)),
)  # fmt: skip
