"""Does it pay to learn the initial state? `python bench/studies/training.py`: ten minutes on two cores.

Each framework is trained on real sequences from an initial state that is fixed at zero, learned, or learned at ten
times the rate, over many seeds. Writes every loss and score to training.json in the current folder. docs/training.md
has what was found on one machine, and docs/results/training.json the numbers.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import ttest_1samp
from trigru.common.config import GRUConfig
from trigru.common.datasets import japanese_vowels, sunspots
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.common.parameters.record import ClassifierParams
from trigru.common.port.task import cross_entropy
from trigru.impls import get_port

#: `trigru verify` proves that they train alike.
FRAMEWORKS = ("linen", "nnx", "equinox")
SEEDS = 20
#: Training ends when validation has not improved for this many epochs.
PATIENCE = 40
#: How the initial state is trained, from zero. The others are compared with the first.
STARTS: dict[str, Callable[[optax.GradientTransformation], optax.GradientTransformation]] = {
    "fixed at zero": lambda adam: carry_learning_rate(adam, scale=0.0),
    "learned": lambda adam: adam,
    "10 × the rate": lambda adam: carry_learning_rate(adam, scale=10.0),
}
#: The ends of the training years and of the validation years, counted from 1700. The rest are for the test.
TRAIN_YEARS, VALIDATION_YEARS = 200, 250


class Minibatch(NamedTuple):
    """Sequences with their targets. A JAX pytree."""

    x: Any  # (B, T, D)
    targets: Any  # (B,) labels, or (B, T, C) values of every step
    lengths: Any = None  # (B,) integers, or None where every step counts


Split = tuple[Minibatch, Minibatch, Minibatch]


@dataclass(frozen=True)
class Experiment:
    """A task on real sequences.

    Args:
        loss, score: (predictions, targets) -> the number that training minimises, and the one that is reported.
        sign: 1 where a higher score is better, else -1.
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
    sign: int
    split: Callable[[int], Split]
    every_step: bool
    batch_size: int
    epochs: int
    learning_rate: float


def vowels(seed: int) -> Split:
    """Hold out a fifth of each speaker's training utterances for validation. Test on the archive's test utterances."""
    data, test = japanese_vowels("train"), japanese_vowels("test")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(data.labels), bool)
    for speaker in np.unique(data.labels):
        own = np.flatnonzero(data.labels == speaker)
        held_out[rng.choice(own, len(own) // 5, replace=False)] = True
    train, validation = (
        Minibatch(data.inputs[rows], data.labels[rows], data.lengths[rows]) for rows in (~held_out, held_out)
    )
    return train, validation, Minibatch(test.inputs, test.labels, test.lengths)


def windows(length: int, seed: int) -> Split:
    """All windows of `length` years, each within one part of the series, and the years one later as targets."""
    numbers = np.sqrt(sunspots())  # the spread of counts grows with the counts
    seen = numbers[:TRAIN_YEARS]
    series = ((numbers - seen.mean()) / seen.std()).astype(np.float32)
    parts = []
    for part in np.split(series, (TRAIN_YEARS, VALIDATION_YEARS)):
        both = np.lib.stride_tricks.sliding_window_view(part, length + 1)[..., None]  # (N, length + 1, 1)
        parts.append(Minibatch(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:])))
    train, validation, test = parts
    return train, validation, test


def mean_squared(predictions: Any, targets: Any) -> Any:
    """The mean over all entries of the squared error."""
    return jnp.mean((predictions - targets) ** 2)


#: Which of nine speakers said a vowel of 7 to 29 frames, from the last state, by the share of labels that have the
#: largest logit; next year's sunspot number, at every step of windows that start anywhere, by the root of the mean
#: squared error in standard deviations of the training years.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "vowels", GRUConfig(12, 64, 9), cross_entropy, lambda logits, labels: jnp.mean(logits.argmax(-1) == labels), 1,
        vowels, every_step=False, batch_size=36, epochs=100, learning_rate=3e-3,
    ),
    *(
        Experiment(
            f"sunspots-{length}", GRUConfig(1, 16, 1), mean_squared, lambda *both: jnp.sqrt(mean_squared(*both)), -1,
            partial(windows, length), every_step=True, batch_size=32, epochs=400, learning_rate=1e-2,
        )
        for length in (2, 8, 32)
    ),
)  # fmt: skip


class Trainer:
    """A port's GRU with a linear readout, and the state of its optimiser; `start` sets both.

    docs/recipes/training.md has the loops that users of each framework write.
    """

    def __init__(self, framework: str, experiment: Experiment, config: GRUConfig, tx: optax.GradientTransformation):
        self.port, self.config, self.tx = get_port(framework), replace(config, classes=None), tx

        def predict(tree: Any, data: Minibatch) -> Any:
            model, weight, bias = tree
            carry, outputs = self.port.apply(model, data.x, lengths=data.lengths)
            return (outputs if experiment.every_step else carry) @ weight.T + bias

        def step(tree: Any, state: Any, batch: Minibatch) -> tuple[Any, Any, Any]:
            def loss(tree: Any) -> Any:
                return experiment.loss(predict(tree, batch), batch.targets)

            value, gradients = jax.value_and_grad(loss)(tree)
            updates, state = tx.update(gradients, state, tree)
            return optax.apply_updates(tree, updates), state, value

        self._predict, self._step = jax.jit(predict), jax.jit(step)

    def start(self, params: ClassifierParams) -> None:
        """Start from these parameters, with a new optimiser state."""
        self.tree: Any = (self.port.load(self.config, params.gru), *map(jnp.asarray, params.readout))
        self.state = self.tx.init(self.tree)

    def step(self, batch: Minibatch) -> Any:
        """One optimiser step on a minibatch; returns the loss before it, a scalar on the device."""
        self.tree, self.state, loss = self._step(self.tree, self.state, batch)
        return loss

    def predict(self, data: Minibatch) -> Any:
        """Predictions of the last valid step (B, C), or of every step (B, T, C)."""
        return self._predict(self.tree, data)


@dataclass(frozen=True)
class TrainingRun:
    """One training: losses by epoch, and the test with the parameters of the epoch that validated best, from 0."""

    experiment: str
    framework: str
    start: str
    seed: int
    train_loss: list[float]
    validation_loss: list[float]
    best_epoch: int
    test_loss: float
    test_score: float


def fit(trainer: Trainer, experiment: Experiment, start: str, seed: int, framework: str) -> TrainingRun:
    """Train, and test the epoch that validates best.

    A seed decides the first parameters, the order of the minibatches and, where it is random, the validation split.
    """
    train, validation, test = experiment.split(seed)
    rng = np.random.default_rng(seed)
    trainer.start(start_params(experiment.config, seed))
    train_loss, validation_loss, best, best_loss, best_epoch = [], [], trainer.tree, np.inf, -1
    for epoch in range(experiment.epochs):
        losses = [trainer.step(batch) for batch in minibatches(train, experiment.batch_size, rng)]
        train_loss.append(float(np.mean(jax.device_get(losses))))
        validation_loss.append(float(experiment.loss(trainer.predict(validation), validation.targets)))
        if validation_loss[-1] < best_loss:  # which no loss that is not finite is
            best, best_loss, best_epoch = trainer.tree, validation_loss[-1], epoch
        if epoch - best_epoch >= PATIENCE:
            break
    assert best_epoch >= 0, f"{experiment.name}, seed {seed}: no validation loss is finite"
    trainer.tree = best
    tested = [float(measure(trainer.predict(test), test.targets)) for measure in (experiment.loss, experiment.score)]
    return TrainingRun(experiment.name, framework, start, seed, train_loss, validation_loss, best_epoch, *tested)


def minibatches(data: Minibatch, batch_size: int, rng: np.random.Generator) -> list[Minibatch]:
    """One epoch in a new random order. Sequences that do not fill a last minibatch are left out of this epoch."""
    order = rng.permutation(len(data.x))
    rows = [order[end - batch_size : end] for end in range(batch_size, len(order) + 1, batch_size)]
    return [jax.tree.map(lambda array, row=row: array[row], data) for row in rows]


def start_params(config: GRUConfig, seed: int) -> Any:
    """Canonical parameters, drawn as every port draws them, with an initial state of zero."""
    port = get_port("pure")
    return port.dump(port.make(config, jax.random.key(seed)))


def main(experiments: Iterable[Experiment] = EXPERIMENTS, seeds: int = SEEDS) -> list[TrainingRun]:
    """Train every experiment in every framework from every start, and print what was gained, paired by seed."""
    runs = []
    for experiment in experiments:
        for framework in FRAMEWORKS:
            scores: dict[str, np.ndarray] = {}
            for start, optimizer in STARTS.items():
                tx = optimizer(optax.adam(experiment.learning_rate))
                trainer = Trainer(framework, experiment, experiment.config, tx)
                own = [fit(trainer, experiment, start, seed, framework) for seed in range(seeds)]
                runs += own
                scores[start] = np.array([run.test_score for run in own])
                gains = experiment.sign * (scores[start] - scores["fixed at zero"])
                low, high = ttest_1samp(gains, 0.0).confidence_interval()
                better = f", better by {gains.mean():+.4f} [{low:+.4f}, {high:+.4f}]" if len(scores) > 1 else ""
                print(f"{experiment.name}, {framework}, {start}: test {scores[start].mean():.3f}{better}", flush=True)
    return runs


if __name__ == "__main__":
    Path("training.json").write_text(json.dumps([asdict(run) for run in main()]), encoding="utf-8")
