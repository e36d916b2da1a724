"""`trigru train`: train, print the tables, and write the record, the pictures and the fitted parameters."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from ...common.parameters.record import ClassifierParams
from ...impls.checkpoints import write
from ..reporting.console import Progress, nothing_if_interrupted, say, show
from ..results.files import command_line
from ..timing.machine import describe_machine
from ..training import FRAMEWORKS
from ..training.experiments import EXPERIMENTS, get_experiment
from ..training.fit import DivergedError
from ..training.plots import plot_curves, plot_vanishing
from ..training.record import SCHEMA, TrainingRecord, save_record
from ..training.study import Run, agreement, study
from ..training.tables import agreement_table, curves_agree, gain_table, vanishing_table
from ..training.vanishing import LENGTHS, vanishing
from ..training.vanishing import SEEDS as DRAWS
from .options import choose

SEEDS, QUICK_SEEDS = 20, 2
QUICK_LENGTHS = LENGTHS[:7]


def train(
    experiments: Sequence[str] | None, frameworks: Sequence[str] | None, *, seeds: int | None, quick: bool, folder: Path
) -> None:
    """Train every experiment in every framework from every start.

    Writes training.json, learning_curves.png, and the first seed's fitted parameters in params/. Exit 1 if the float64
    losses of a framework are not those of plain JAX; then nothing is trained. Exit 1 if a training diverged, and 130 on
    Ctrl-C; then the trainings before it are kept.
    """
    chosen = [get_experiment(name) for name in dict.fromkeys(experiments or [e.name for e in EXPERIMENTS])]
    names = _frameworks(frameworks)
    kept: dict[str, ClassifierParams] = {}

    with nothing_if_interrupted():
        say("First, one epoch in float64, to check that training is the same in every framework.")
        curves = [curve for experiment in chosen for curve in agreement(experiment, names)]
    show([agreement_table(curves)])
    if not curves_agree(curves):
        say("The float64 losses are not those of plain JAX: nothing was trained.")
        raise typer.Exit(1)
    runs: list[Run] = []
    count = seeds or (QUICK_SEEDS if quick else SEEDS)

    def keep(run: Run, params: ClassifierParams) -> None:
        runs.append(run)
        if run.seed == 0:
            kept[f"{run.experiment}-{run.framework}-{run.start}"] = params

    ended = None
    try:
        with Progress("train") as progress:
            study(chosen, names, count, quick=quick, keep=keep, progress=progress.to)
    except KeyboardInterrupt:
        ended = "interrupted", 130
    except DivergedError as error:
        ended = str(error), 1
    if ended and not runs:
        say(f"{ended[0]}: nothing was trained, nothing written.")
        raise typer.Exit(ended[1])
    record = _record(quick, not ended, runs=runs, agreement=curves)
    save_record(folder / "training.json", record)
    plot_curves(runs, folder / "learning_curves.png")
    for name, params in kept.items():
        write(folder / "params" / f"{name}.safetensors", params, "canonical")
    show([gain_table(runs, complete=not ended)])
    say(f"Wrote {folder}/training.json, learning_curves.png and params/ (fitted, of seed 0).")
    if ended:
        say(f"{ended[0]}: {len(runs)} trainings are there, not all.")
        raise typer.Exit(ended[1])


def train_vanishing(frameworks: Sequence[str] | None, *, seeds: int | None, quick: bool, folder: Path) -> None:
    """Measure the gradient that reaches the initial state. Writes vanishing.json and vanishing.png."""
    names = _frameworks(frameworks)
    with nothing_if_interrupted(), Progress("gradients") as progress:
        found = vanishing(
            names,
            lengths=QUICK_LENGTHS if quick else LENGTHS,
            seeds=seeds or (1 if quick else DRAWS),
            progress=progress.to,
        )
    record = _record(quick, True, vanishing=found)
    save_record(folder / "vanishing.json", record)
    plot_vanishing(found, folder / "vanishing.png")
    show([vanishing_table(found)])
    say(f"Wrote {folder}/vanishing.json and vanishing.png.")


def _frameworks(names: Sequence[str] | None) -> tuple[str, ...]:
    from ...impls import get_port

    chosen = choose("framework with a training loop", names, FRAMEWORKS)
    for name in chosen:
        get_port(name)  # raises with what is missing
    return chosen


def _record(quick: bool, complete: bool, **found: object) -> TrainingRecord:
    return TrainingRecord(
        schema=SCHEMA,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command_line(),
        machine=describe_machine(),
        quick=quick,
        complete=complete,
        **found,  # pyright: ignore[reportArgumentType]
    )
