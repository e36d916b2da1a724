"""Learned against fixed initial state, over many seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax
import numpy as np
import optax
from msgspec import Meta, Struct

from ...common.equality.bounds import relative_error
from ...common.gru.optimizers import carry_learning_rate
from ...common.parameters.record import ClassifierParams
from ...impls import get_port
from ..results.contradictions import check_lengths, first_twice
from ..results.record import Count, NotNegative
from . import REFERENCE, get_trainer
from .experiments import Experiment, get_experiment
from .fit import PATIENCE, fit, minibatches

#: Largest difference between the frameworks' float64 losses, relative to the largest loss.
SAME_CURVE = 1e-9
#: The least number of seeds for a verdict.
LEAST_SEEDS = 3
#: If differences between scores are closer together than this, they differ only by rounding.
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Start:
    """How the initial state is trained. It is zero before training.

    Args:
        optimizer: Adam -> the transformation of all parameters.
    """

    name: str
    summary: str
    optimizer: Callable[[optax.GradientTransformation], optax.GradientTransformation]


#: The others are compared with the first.
STARTS: tuple[Start, ...] = (
    Start("zero", "fixed at zero", lambda adam: carry_learning_rate(adam, scale=0.0)),
    Start("learned", "learned", lambda adam: adam),
    Start("learned-10", "10 × the rate", lambda adam: carry_learning_rate(adam, scale=10.0)),
)


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """One training: losses by epoch, and the test with the parameters of the epoch that validated best, from 0.

    Args:
        capped: whether it ended at the last epoch allowed, before validation had stopped improving.
    """

    experiment: str
    framework: str
    start: str
    seed: Count
    train_loss: list[float]
    validation_loss: Annotated[list[float], Meta(min_length=1)]
    best_epoch: Count
    capped: bool
    test_loss: float
    test_score: float
    carry_norm: NotNegative  # of the fitted initial state, Euclidean

    def __post_init__(self) -> None:
        check_lengths(len(self.validation_loss), train_loss=self.train_loss)
        if self.best_epoch >= len(self.validation_loss):
            raise ValueError("best_epoch is none of the epochs")
        if self.start not in {start.name for start in STARTS}:
            raise ValueError(f"start is {self.start!r}, expected one of {', '.join(start.name for start in STARTS)}")


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """A framework's float64 losses, step by step over one epoch. All frameworks start from the same parameters."""

    experiment: str
    framework: str
    losses: Annotated[list[float], Meta(min_length=1)]

    def differs(self, other: "Agreement") -> float:
        """The largest difference, relative to the largest loss of the other."""
        return relative_error(np.array(self.losses), np.array(other.losses))


def check_trainings(runs: Iterable[Run], curves: Sequence[Agreement]) -> None:
    """Raise a ValueError if trainings cannot be of one run: one is there twice, or curves have unequal lengths."""
    if twice := first_twice(f"{run.experiment} {run.framework} {run.start} seed {run.seed}" for run in runs):
        raise ValueError(f"the training {twice} is there twice")
    for curve in curves:
        first = next(c for c in curves if c.experiment == curve.experiment)
        check_lengths(len(first.losses), **{f"losses of {curve.framework}": curve.losses})


@dataclass(frozen=True)
class Gain:
    """How much better a start's test scores are than those of the first start, over seeds. Positive is better.

    Args:
        mean: of the paired differences.
        low, high: 95 % interval of that mean, Student's t over seeds.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether it is "better", "worse" or "indistinguishable"."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "indistinguishable"


def study(
    experiments: Iterable[Experiment],
    frameworks: Sequence[str],
    seeds: int,
    *,
    known: Iterable[Run] = (),
    keep: Callable[[Run, ClassifierParams], None] = lambda run, params: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> list[Run]:
    """Train every experiment in every framework from every start, once for each seed from 0.

    A seed decides the first parameters, the order of the minibatches and, where it is random, the validation split. It
    is the same for all starts and frameworks, so that they can be compared in pairs. `keep` gets each run as it ends,
    but for those that are `known` from before.
    """
    rows = [(e, framework, start) for e in experiments for framework in frameworks for start in STARTS]
    earlier = {(run.experiment, run.framework, run.start, run.seed): run for run in known}
    runs, total = [], len(rows) * seeds
    for experiment, framework, start in rows:
        tx = start.optimizer(optax.adam(experiment.learning_rate))
        trainer = get_trainer(framework)(
            experiment.config, tx, experiment.loss, every_step=experiment.every_step
        )  # compiled once for all seeds
        for seed in range(seeds):

            def told(epoch: int, loss: float, what=f"{experiment.name} {framework} {start.name} seed {seed}") -> None:
                progress(len(runs) / total, f"{what} epoch {epoch + 1}: loss {loss:.3f}")

            if before := earlier.get((experiment.name, framework, start.name, seed)):
                runs.append(before)
                continue
            params = start_params(experiment, seed)
            found = fit(
                trainer, experiment, experiment.split(seed), params,
                epochs=experiment.epochs, seed=seed, progress=told,
            )  # fmt: skip
            run = Run(
                experiment.name,
                framework,
                start.name,
                seed,
                _short(found.train_loss, 4),
                _short(found.validation_loss, 4),
                found.best_epoch,
                len(found.validation_loss) - found.best_epoch <= PATIENCE,
                *_short([found.test_loss, found.test_score]),
                *_short([float(np.linalg.norm(found.params.gru.initial_carry))]),
            )
            runs.append(run)
            keep(run, found.params)
    return runs


def start_params(experiment: Experiment, seed: int) -> ClassifierParams:
    """Canonical parameters, drawn as every port draws them, with an initial state of zero."""
    port = get_port("pure")
    drawn = port.dump(port.make(experiment.config, jax.random.key(seed)))
    assert isinstance(drawn, ClassifierParams)
    return drawn


def agreement(experiment: Experiment, frameworks: Iterable[str]) -> list[Agreement]:
    """Train one epoch in float64, in plain JAX and in each framework, from the same parameters.

    The initial state has its own learning rate. It is not zero, so that it matters from the first step.
    """
    found = []
    with jax.enable_x64(True):
        config = replace(experiment.config, param_dtype="float64")
        drawn = start_params(replace(experiment, config=config), seed=0)
        carry = np.random.default_rng(0).normal(scale=0.1, size=config.hidden_size)
        params = drawn._replace(gru=drawn.gru._replace(initial_carry=carry))
        data = jax.tree.map(_widened, experiment.split(0).train)
        tx = carry_learning_rate(optax.adamw(experiment.learning_rate), scale=10.0, length=experiment.length,
                                 carry=optax.sgd(experiment.learning_rate))  # fmt: skip
        for framework in (REFERENCE, *frameworks):
            trainer = get_trainer(framework)(config, tx, experiment.loss, every_step=experiment.every_step)
            trainer.start(params)
            batches = minibatches(data, experiment.batch_size, np.random.default_rng(0))
            losses = jax.device_get([trainer.step(batch) for batch in batches])
            found.append(Agreement(experiment.name, framework, [float(loss) for loss in losses]))
    return found


def gain(runs: Iterable[Run], start: str) -> Gain:
    """How much better a start is than the first, paired by seed, in the runs of one experiment in one framework."""
    from scipy.stats import ttest_1samp

    runs = list(runs)
    sign = 1 if get_experiment(runs[0].experiment).higher_is_better else -1
    scores = {(run.start, run.seed): run.test_score for run in runs}
    seeds = [seed for name, seed in scores if name == start and (STARTS[0].name, seed) in scores]
    differences = [sign * (scores[start, seed] - scores[STARTS[0].name, seed]) for seed in seeds]
    mean = float(np.mean(differences)) if differences else np.nan
    if len(seeds) < LEAST_SEEDS or np.ptp(differences) < NO_SPREAD:  # without a spread there is no interval
        return Gain(mean, -np.inf, np.inf)
    interval = ttest_1samp(differences, 0.0).confidence_interval()
    return Gain(mean, float(interval.low), float(interval.high))


def _short(numbers: Iterable[float], digits: int = 6) -> list[float]:
    return [float(f"{number:.{digits}g}") for number in numbers]


def _widened(array: Any) -> Any:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
