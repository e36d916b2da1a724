"""Does it pay to learn the initial state? `python bench/studies/training/study.py`: ten minutes on two cores.

Each framework is trained on real sequences from an initial state that is fixed at zero, learned, or learned at ten
times the rate, over many seeds. Writes every loss and score to training.json in the current folder. docs/training.md
has what was found on one machine, and docs/results/training.json the numbers.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from experiments import EXPERIMENTS, Experiment, Minibatch
from scipy.stats import ttest_1samp
from trainers import FRAMEWORKS, Trainer
from trigru.common.compat import enable_x64
from trigru.common.equality.bounds import relative_error
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.common.parameters.record import ClassifierParams
from trigru.impls import get_port

SEEDS = 20
#: Training ends when validation has not improved for this many epochs.
PATIENCE = 40
#: Largest difference between the frameworks' float64 losses, relative to the largest loss.
SAME_CURVE = 1e-9
#: How the initial state is trained, from zero. The others are compared with the first.
STARTS: dict[str, Callable[[optax.GradientTransformation], optax.GradientTransformation]] = {
    "fixed at zero": lambda adam: carry_learning_rate(adam, scale=0.0),
    "learned": lambda adam: adam,
    "10 × the rate": lambda adam: carry_learning_rate(adam, scale=10.0),
}


@dataclass(frozen=True)
class Run:
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


def fit(trainer: Trainer, experiment: Experiment, seed: int) -> dict[str, Any]:
    """Train, and test the epoch that validates best; the numbers of a `Run`.

    A seed decides the first parameters, the order of the minibatches and, where it is random, the validation split.
    """
    train, validation, test = experiment.split(seed)
    rng = np.random.default_rng(seed)
    best = start_params(experiment.config, seed)
    trainer.start(best)
    train_loss, validation_loss, best_loss, best_epoch = [], [], np.inf, -1
    for epoch in range(experiment.epochs):
        losses = [trainer.step(batch) for batch in minibatches(train, experiment.batch_size, rng)]
        train_loss.append(float(np.mean(jax.device_get(losses))))
        validation_loss.append(float(experiment.loss(trainer.predict(validation), validation.targets)))
        if validation_loss[-1] < best_loss:  # which no loss that is not finite is
            best, best_loss, best_epoch = trainer.params(), validation_loss[-1], epoch
        if epoch - best_epoch >= PATIENCE:
            break
    assert best_epoch >= 0, f"{experiment.name}, seed {seed}: no validation loss is finite"
    trainer.start(best)
    tested = [float(measure(trainer.predict(test), test.targets)) for measure in (experiment.loss, experiment.score)]
    assert np.isfinite(tested).all(), f"{experiment.name}, seed {seed}: training diverged"
    names = ("train_loss", "validation_loss", "best_epoch", "test_loss", "test_score")
    return dict(zip(names, (train_loss, validation_loss, best_epoch, *tested), strict=True))


def minibatches(data: Minibatch, batch_size: int, rng: np.random.Generator) -> list[Minibatch]:
    """One epoch in a new random order. Sequences that do not fill a last minibatch are left out of this epoch."""
    order = rng.permutation(len(data.x))
    rows = [order[end - batch_size : end] for end in range(batch_size, len(order) + 1, batch_size)]
    return [jax.tree.map(lambda array, row=row: array[row], data) for row in rows]


def start_params(config: Any, seed: int) -> ClassifierParams:
    """Canonical parameters, drawn as every port draws them, with an initial state of zero."""
    port = get_port("pure")
    return port.dump(port.make(config, jax.random.key(seed)))


def check_agreement(experiment: Experiment) -> None:
    """One epoch in float64 from the same parameters has the same losses in every framework.

    The initial state has its own learning rate, and is not zero, so that it matters from the first step.
    """
    with enable_x64(True):
        config = replace(experiment.config, param_dtype="float64")
        drawn = start_params(config, 0)
        carry = np.random.default_rng(0).normal(scale=0.1, size=config.hidden_size)
        params = drawn._replace(gru=drawn.gru._replace(initial_carry=carry))
        wide = jax.tree.map(lambda a: a.astype(np.float64) if a.dtype.kind == "f" else a, experiment.split(0)[0])
        adam, sgd = optax.adamw(experiment.learning_rate), optax.sgd(experiment.learning_rate)
        length = wide.x.shape[1] if experiment.every_step else None
        tx, losses = carry_learning_rate(adam, scale=10.0, length=length, carry=sgd), {}
        for framework in FRAMEWORKS:
            trainer = Trainer(framework, experiment, config, tx)
            trainer.start(params)
            batches = minibatches(wide, experiment.batch_size, np.random.default_rng(0))
            losses[framework] = np.array(jax.device_get([trainer.step(batch) for batch in batches]))
            apart = relative_error(losses[framework], losses["pure"])
            assert apart <= SAME_CURVE, f"{experiment.name} in {framework}: losses are {apart:.1e} apart"


def gain(runs: Iterable[Run], start: str, sign: int) -> tuple[float, float, float]:
    """How much better a start's test scores are than the first's, paired by seed: the mean with its 95 % interval."""
    scores = {(run.start, run.seed): run.test_score for run in runs}
    first = next(iter(STARTS))
    differences = [sign * (score - scores[first, seed]) for (name, seed), score in scores.items() if name == start]
    interval = ttest_1samp(differences, 0.0).confidence_interval()
    return float(np.mean(differences)), float(interval.low), float(interval.high)


def main(experiments: Iterable[Experiment] = EXPERIMENTS, seeds: int = SEEDS) -> list[Run]:
    """Train every experiment in every framework from every start, and print what was gained."""
    runs = []
    for experiment in experiments:
        check_agreement(experiment)
        for framework in list(FRAMEWORKS)[1:]:
            own = []
            for start, optimizer in STARTS.items():
                tx = optimizer(optax.adam(experiment.learning_rate))
                trainer = Trainer(framework, experiment, experiment.config, tx)
                for seed in range(seeds):
                    own.append(Run(experiment.name, framework, start, seed, **fit(trainer, experiment, seed)))
                test = np.mean([run.test_score for run in own if run.start == start])
                mean, low, high = gain(own, start, 1 if experiment.higher_is_better else -1)
                better = "" if len(own) == seeds else f", better by {mean:+.4f} [{low:+.4f}, {high:+.4f}]"
                print(f"{experiment.name}, {framework}, {start}: test {test:.3f}{better}", flush=True)
            runs += own
    return runs


if __name__ == "__main__":
    Path("training.json").write_text(json.dumps([asdict(run) for run in main()]), encoding="utf-8")
