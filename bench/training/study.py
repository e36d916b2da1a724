"""Learned against fixed initial state, over many seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax
import numpy as np
import optax
from msgspec import Meta, Struct

from ...common.compat import enable_x64
from ...common.equality.bounds import relative_error
from ...common.gru.optimizers import carry_learning_rate
from ...common.parameters.record import ClassifierParams
from ...impls import get_port
from ..results.contradictions import check_lengths, first_twice
from ..results.grouping import grouped
from ..results.record import Count, NotNegative
from . import FRAMEWORKS, REFERENCE, get_trainer
from .experiments import EXPERIMENTS, Experiment, get_experiment
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
        train_loss, validation_loss: None where an epoch's is not finite.
        capped: whether it ended at the last epoch allowed, before validation had stopped improving.
    """

    experiment: str
    framework: str
    start: str
    seed: Count
    train_loss: list[NotNegative | None]
    validation_loss: Annotated[list[NotNegative | None], Meta(min_length=1)]
    best_epoch: Count
    capped: bool
    test_loss: NotNegative
    test_score: NotNegative
    carry_norm: NotNegative  # of the fitted initial state, Euclidean

    def __post_init__(self) -> None:
        check_lengths(len(self.validation_loss), train_loss=self.train_loss)
        if self.best_epoch >= len(self.validation_loss):
            raise ValueError("best_epoch is none of the epochs")
        _check_name("experiment", self.experiment, [experiment.name for experiment in EXPERIMENTS])
        _check_name("framework", self.framework, FRAMEWORKS)
        _check_name("start", self.start, [start.name for start in STARTS])


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """A framework's float64 losses, step by step over one epoch. All frameworks start from the same parameters."""

    experiment: str
    framework: str
    losses: Annotated[list[NotNegative], Meta(min_length=1)]

    def __post_init__(self) -> None:
        _check_name("experiment", self.experiment, [experiment.name for experiment in EXPERIMENTS])
        _check_name("framework", self.framework, (REFERENCE, *FRAMEWORKS))

    def differs(self, other: "Agreement") -> float:
        """The largest difference, relative to the largest loss of the other."""
        return relative_error(np.array(self.losses), np.array(other.losses))


def check_trainings(runs: Sequence[Run], curves: Sequence[Agreement], *, complete: bool = False) -> None:
    """Raise a ValueError if trainings cannot be of one run.

    Args:
        complete: whether all is there: the same seeds, from 0, in each experiment, framework and start.
    """
    if twice := first_twice(f"{run.experiment} {run.framework} {run.start} seed {run.seed}" for run in runs):
        raise ValueError(f"the training {twice} is there twice")
    if twice := first_twice(f"{curve.experiment} {curve.framework}" for curve in curves):
        raise ValueError(f"agreement has {twice} twice")
    for curve in curves:
        first = next(c for c in curves if c.experiment == curve.experiment)
        check_lengths(len(first.losses), **{f"losses of {curve.framework}": curve.losses})
        if runs and curve.differs(first) > SAME_CURVE:
            raise ValueError(f"the losses of {curve.experiment} {curve.framework} differ, so that nothing was trained")
    for run in runs:
        _check_run(run)
        if curves and not {(run.experiment, REFERENCE), (run.experiment, run.framework)} <= {
            (curve.experiment, curve.framework) for curve in curves
        }:
            raise ValueError(f"agreement lacks {run.experiment} {run.framework}")
    rows = grouped(runs, lambda run: (run.experiment, run.framework, run.start))
    seeds = max((run.seed + 1 for run in runs), default=0)
    starts = {run.start for run in runs}
    whole = all(len(found) == seeds for found in rows.values()) and all(
        {start for *_, start in some} == starts for some in grouped(rows, lambda row: row[:2]).values()
    )
    if complete and not whole:
        raise ValueError("complete is true, but some experiment, framework or start lacks a seed")


def _check_run(run: Run) -> None:
    what = f"{run.experiment} {run.framework} {run.start} seed {run.seed}"
    best = run.validation_loss[run.best_epoch]
    if best is None or best > min(loss for loss in run.validation_loss if loss is not None):
        raise ValueError(f"best_epoch of {what} has not the least validation_loss")
    if run.capped != (len(run.validation_loss) - run.best_epoch <= PATIENCE):
        raise ValueError(f"capped of {what} does not fit its epochs")
    if run.start == STARTS[0].name and run.carry_norm:
        raise ValueError(f"carry_norm of {what} is not 0, where the state is fixed at 0")


def _check_name(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ValueError(f"{kind} is {name!r}, expected one of {', '.join(known)}")


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
                _losses(found.train_loss),
                _losses(found.validation_loss),
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
    with enable_x64(True):
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


def _losses(numbers: Iterable[float]) -> list[float | None]:
    return [loss if np.isfinite(loss) else None for loss in _short(numbers, 4)]


def _widened(array: Any) -> Any:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
