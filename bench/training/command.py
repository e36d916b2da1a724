"""`trigru train`: run, show, and leave a file, its pictures and the fitted parameters."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from ...common.params import ClassifierParams
from ...impls.checkpoints import write
from ..machine import describe_machine
from ..progress import Progress, nothing_if_interrupted, say, show
from ..results import command_line
from . import FRAMEWORKS, trainer_of
from .experiments import EXPERIMENTS, find_experiment
from .plots import plot_curves, plot_vanishing
from .record import SCHEMA, TrainingRecord, save_record
from .study import Run, agreement, study
from .tables import curves_agree, training_tables
from .vanishing import LENGTHS, vanishing
from .vanishing import SEEDS as DRAWS

__all__ = ["train", "train_vanishing"]

SEEDS, QUICK_SEEDS = 20, 2
QUICK_LENGTHS = LENGTHS[:7]


def train(
    experiments: Sequence[str] | None,
    frameworks: Sequence[str] | None,
    *,
    seeds: int | None,
    quick: bool,
    folder: Path,
) -> None:
    """Train every experiment in every framework from every start.

    Leaves training.json, learning_curves.png, and the first seed's fitted parameters in params/.

    Raises:
        UnknownNameError: an experiment or a framework that does not exist.
        UnavailableError: a framework that is not installed.
        typer.Exit: with 1, if the frameworks' float64 losses part.
    """
    chosen = [find_experiment(name) for name in dict.fromkeys(experiments or [e.name for e in EXPERIMENTS])]
    names = _frameworks(frameworks)
    kept: dict[str, ClassifierParams] = {}

    def keep(run: Run, params: ClassifierParams) -> None:
        if run.seed == 0:
            kept[f"{run.experiment}-{run.framework}-{run.start}"] = params

    with nothing_if_interrupted(), Progress("train") as progress:
        curves = [curve for experiment in chosen for curve in agreement(experiment, names)]
        count = seeds or (QUICK_SEEDS if quick else SEEDS)
        runs = study(chosen, names, count, quick=quick, keep=keep, progress=progress.to)
    record = _record(quick, runs=runs, agreement=curves)
    save_record(folder / "training.json", record)
    plot_curves(runs, folder / "learning_curves.png")
    for name, params in kept.items():
        write(folder / "params" / f"{name}.safetensors", params, "canonical")
    show(training_tables(record))
    say(f"Wrote {folder}/training.json, learning_curves.png and params/ (fitted, of seed 0).")
    if not curves_agree(curves):
        say("The frameworks' float64 losses part: see the first table.")
        raise typer.Exit(1)


def train_vanishing(frameworks: Sequence[str] | None, *, seeds: int | None, quick: bool, folder: Path) -> None:
    """Measure the gradient that reaches the initial state. Leaves vanishing.json and vanishing.png."""
    names = _frameworks(frameworks)
    with nothing_if_interrupted(), Progress("gradients") as progress:
        found = vanishing(
            names,
            lengths=QUICK_LENGTHS if quick else LENGTHS,
            seeds=seeds or (1 if quick else DRAWS),
            progress=progress.to,
        )
    record = _record(quick, vanishing=found)
    save_record(folder / "vanishing.json", record)
    plot_vanishing(found, folder / "vanishing.png")
    show(training_tables(record))
    say(f"Wrote {folder}/vanishing.json and vanishing.png.")


def _frameworks(names: Sequence[str] | None) -> list[str]:
    from ...impls import get_port

    chosen = list(dict.fromkeys(names or FRAMEWORKS))
    for name in chosen:
        if name in FRAMEWORKS:
            get_port(name)  # says what is missing
        trainer_of(name)
    return chosen


def _record(quick: bool, **found: object) -> TrainingRecord:
    return TrainingRecord(
        schema=SCHEMA,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command_line(),
        machine=describe_machine(),
        quick=quick,
        **found,  # pyright: ignore[reportArgumentType]
    )
