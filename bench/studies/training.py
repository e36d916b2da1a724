"""Does it pay to learn the initial state? `python bench/studies/training.py`: ten
minutes on two cores.

Each framework is trained on real sequences from an initial state that is fixed at zero,
learned, or learned at ten times the rate, over many seeds. Writes every loss and score
to training.json in the current folder. docs/training.md has what was found on one
machine, and docs/results/training.json the numbers.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import ttest_1samp
from trigru.common.config import GRUConfig
from trigru.common.datasets import japanese_vowels
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.common.port.task import Batch
from trigru.impls import get_port

#: `trigru verify` proves that they train alike.
FRAMEWORKS = ("linen", "nnx", "equinox")
SEEDS = 20
#: Training ends when validation has not improved for this many epochs.
PATIENCE = 40
#: Of an experiment, by the parameters that validated best.
TESTED = ("loss", "score")
#: How the initial state is trained, from zero. The others are compared with the first.
STARTS: dict[
    str, Callable[[optax.GradientTransformation], optax.GradientTransformation]
] = {
    "fixed at zero": lambda adam: carry_learning_rate(adam, scale=0.0),
    "learned": lambda adam: adam,
    "10 × the rate": lambda adam: carry_learning_rate(adam, scale=10.0),
}
#: Yearly means, 1700 to 2008.
SUNSPOTS = Path(__file__).with_name("sunspots.csv")
#: The ends of the training years and of the validation years, counted from 1700. The
#: rest are for the test.
TRAIN_YEARS, VALIDATION_YEARS = 200, 250
#: Sequences for training, for validation and for the test.
Split = tuple[Batch, ...]


class Experiment(NamedTuple):
    """A task on real sequences."""

    name: str
    config: GRUConfig
    size: int  # of a prediction
    loss: Callable[[Any, Any], Any]  # (predictions, targets) -> what training minimises
    score: Callable[[Any, Any], Any]  # (predictions, targets) -> what is reported
    sign: int  # 1 where a higher score is better, else -1
    split: Callable[[int], Split]  # seed -> float32
    every_step: (
        bool  # whether to predict at every step, or only from the last valid one
    )
    batch_size: int
    epochs: int  # at most
    learning_rate: float  # of Adam


def vowels(seed: int) -> Split:
    """Hold out a fifth of each speaker's training utterances for validation; test on
    the archive's test utterances.
    """
    data, test = japanese_vowels("train"), japanese_vowels("test")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(data.labels), bool)
    for speaker in np.unique(data.labels):
        own = np.flatnonzero(data.labels == speaker)
        held_out[rng.choice(own, len(own) // 5, replace=False)] = True
    parts = (data, ~held_out), (data, held_out), (test, slice(None))
    return tuple(
        Batch(of.inputs[rows], of.labels[rows], of.lengths[rows]) for of, rows in parts
    )


def windows(length: int, seed: int) -> Split:
    """All windows of `length` years, each within one part of the series, and the years
    one later as targets.
    """
    numbers = np.sqrt(
        np.loadtxt(SUNSPOTS, delimiter=",", skiprows=1, usecols=1)
    )  # the spread grows with the counts
    seen = numbers[:TRAIN_YEARS]
    series = ((numbers - seen.mean()) / seen.std()).astype(np.float32)
    parts = []
    for part in np.split(series, (TRAIN_YEARS, VALIDATION_YEARS)):
        both = np.lib.stride_tricks.sliding_window_view(part, length + 1)[
            ..., None
        ]  # (N, length + 1, 1)
        parts.append(
            Batch(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:]))
        )
    return tuple(parts)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean softmax cross-entropy of logits (B, C) against labels (B,)."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def mean_squared(predictions: Any, targets: Any) -> Any:
    """The mean over all entries of the squared error."""
    return jnp.mean((predictions - targets) ** 2)


#: Which of nine speakers said a vowel of 7 to 29 frames, from the last state, by the
#: share of labels that have the largest logit; next year's sunspot number, at every
#: step of windows that start anywhere, by the root of the mean squared error in
#: standard deviations of the training years.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "vowels",
        GRUConfig(12, 64),
        9,
        cross_entropy,
        lambda logits, labels: jnp.mean(logits.argmax(-1) == labels),
        1,
        vowels,
        every_step=False,
        batch_size=36,
        epochs=100,
        learning_rate=3e-3,
    ),
    *(
        Experiment(
            f"sunspots-{length}",
            GRUConfig(1, 16),
            1,
            mean_squared,
            lambda *both: jnp.sqrt(mean_squared(*both)),
            -1,
            partial(windows, length),
            every_step=True,
            batch_size=32,
            epochs=400,
            learning_rate=1e-2,
        )
        for length in (2, 8, 32)
    ),
)


def programs_of(
    framework: str, experiment: Experiment, tx: optax.GradientTransformation
) -> tuple[Any, Any]:
    """How a port's GRU with a linear readout, (model, weight, bias), predicts, and its
    train step; both jitted.

    docs/recipes/training.md has the loops that users of each framework write.
    """
    port = get_port(framework)

    def predict(tree: Any, data: Batch) -> Any:
        """Predictions of the last valid step (B, C), or of every step (B, T, C)."""
        model, weight, bias = tree
        carry, outputs = port.apply(model, data.x, lengths=data.lengths)
        return (outputs if experiment.every_step else carry) @ weight.T + bias

    def step(tree: Any, state: Any, batch: Batch) -> tuple[Any, Any, Any]:
        loss_of = jax.value_and_grad(
            lambda tree: experiment.loss(predict(tree, batch), batch.targets)
        )
        loss, gradients = loss_of(tree)
        updates, state = tx.update(gradients, state, tree)
        return optax.apply_updates(tree, updates), state, loss

    return jax.jit(predict), jax.jit(step)


def fit(
    predict: Any, step: Any, tree: Any, state: Any, experiment: Experiment, seed: int
) -> dict[str, Any]:
    """Train: the losses by epoch, and the test with the parameters of the epoch that
    validated best, counted from 0.

    A seed decides the first parameters, the order of the minibatches and, where it is
    random, the validation split.
    """
    train, validation, test = experiment.split(seed)
    rng = np.random.default_rng(seed)
    train_loss, validation_loss, best, best_loss, best_epoch = [], [], tree, np.inf, -1
    for epoch in range(experiment.epochs):
        order, losses = rng.permutation(len(train.x)), []
        for end in range(
            experiment.batch_size, len(order) + 1, experiment.batch_size
        ):  # whole minibatches alone
            rows = order[end - experiment.batch_size : end]
            tree, state, loss = step(
                tree, state, jax.tree.map(lambda array, rows=rows: array[rows], train)
            )
            losses.append(loss)
        train_loss.append(float(np.mean(jax.device_get(losses))))
        validation_loss.append(
            float(experiment.loss(predict(tree, validation), validation.targets))
        )
        if validation_loss[-1] < best_loss:  # which no loss that is not finite is
            best, best_loss, best_epoch = tree, validation_loss[-1], epoch
        if epoch - best_epoch >= PATIENCE:
            break
    assert best_epoch >= 0, (
        f"{experiment.name}, seed {seed}: no validation loss is finite"
    )
    tested = {
        f"test_{name}": float(
            getattr(experiment, name)(predict(best, test), test.targets)
        )
        for name in TESTED
    }
    return {
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "best_epoch": best_epoch,
        **tested,
    }


def main(
    experiments: Iterable[Experiment] = EXPERIMENTS, seeds: int = SEEDS
) -> list[dict[str, Any]]:
    """Train every experiment in every framework from every start, and print what was
    gained, paired by seed.
    """
    runs, drawn = (
        [],
        get_port("pure"),
    )  # every port starts from what it draws, with an initial state of zero
    for experiment, framework in product(experiments, FRAMEWORKS):
        port, config, fixed = get_port(framework), experiment.config, None
        for start, optimizer in STARTS.items():
            tx = optimizer(optax.adam(experiment.learning_rate))
            programs, own = programs_of(framework, experiment, tx), []
            for seed in range(seeds):
                key = jax.random.key(seed)
                params = drawn.dump(drawn.make(config, key))
                weight = jax.nn.initializers.lecun_normal()(
                    jax.random.fold_in(key, 1), (config.hidden_size, experiment.size)
                )
                bias = jnp.zeros(experiment.size)
                tree = (port.load(config, params), weight.T, bias)
                names = {
                    "experiment": experiment.name,
                    "framework": framework,
                    "start": start,
                    "seed": seed,
                }
                own.append(
                    names | fit(*programs, tree, tx.init(tree), experiment, seed)
                )
            runs += own
            scores, better = np.array([run["test_score"] for run in own]), ""
            if fixed is None:
                fixed = scores
            else:
                gains = experiment.sign * (scores - fixed)
                low, high = ttest_1samp(gains, 0.0).confidence_interval()
                better = f", better by {gains.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            print(
                f"{experiment.name}, {framework}, {start}: test "
                f"{scores.mean():.3f}{better}",
                flush=True,
            )
    return runs


if __name__ == "__main__":
    Path("training.json").write_text(json.dumps(main()), encoding="utf-8")
