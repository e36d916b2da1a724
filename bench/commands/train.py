"""`trigru train`: train, print the tables, and write the record, the pictures and the fitted parameters."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import msgspec
import typer

from ...common.errors import TrigruError
from ...common.parameters.record import ClassifierParams
from ...impls.checkpoints import write
from ..processes.claims import now
from ..processes.interrupts import check, shielded
from ..reporting.console import Progress, say, show
from ..results.files import command_line
from ..results.lines import GO_ON, UnfinishedError
from ..timing.machine import describe_machine
from ..training import FRAMEWORKS
from ..training.experiments import EXPERIMENTS, Experiment, get_experiment
from ..training.fit import DivergedError
from ..training.journal import PARTIAL, Begun, Trained, TrainingJournal, from_bytes, to_bytes
from ..training.pages import write_training
from ..training.record import SCHEMA, TrainingRecord, save_record
from ..training.study import STARTS, Agreement, Run, agreement, study
from ..training.tables import agreement_table, curves_agree, gain_table, seeds_wanted, vanishing_table
from ..training.vanishing import LENGTHS, vanishing
from ..training.vanishing import SEEDS as DRAWS
from .claims import Unfinished
from .options import choose

SEEDS, QUICK_SEEDS = 20, 10
#: The experiment that a first look can answer.
QUICK_EXPERIMENT = "sunspots-2"
QUICK_LENGTHS = LENGTHS[:7]


def train(
    experiments: Sequence[str] | None,
    frameworks: Sequence[str] | None,
    unfinished: Unfinished,
    *,
    seeds: int | None,
    quick: bool,
    folder: Path,
) -> None:
    """Train every experiment in every framework from every start.

    Writes training.json, its page and pictures, and the first seed's fitted parameters in params/, once all is trained.
    Until then, what was trained is in a journal. Exit 1 if the float64 losses of a framework are not those of plain
    JAX; then nothing is trained. Exit 2 if a training diverged.
    """
    default = [QUICK_EXPERIMENT] if quick else [e.name for e in EXPERIMENTS]
    chosen = [get_experiment(name) for name in dict.fromkeys(experiments or default)]
    names = _frameworks(frameworks)
    path, count = folder / PARTIAL, seeds or (QUICK_SEEDS if quick else SEEDS)
    asked = Begun([e.name for e in chosen], list(names), count, quick, describe_machine(), now(), [])
    if unfinished == "resume":
        journal = TrainingJournal.resume(path, asked)
    else:
        if unfinished == "refuse" and (path.exists() or path.is_symlink()):
            raise unfinished_error(path)
        for sentence in _prospects(chosen, count, quick and not experiments):
            say(sentence)
        say("First, one epoch in float64, to check that training is the same in every framework.")
        curves: list[Agreement] = []
        for experiment in chosen:
            check()
            curves += agreement(experiment, names)
        show([agreement_table(curves)])
        if not curves_agree(curves):
            say("The float64 losses are not those of plain JAX: nothing was trained.")
            raise typer.Exit(1)
        with shielded():
            if unfinished == "discard":
                path.unlink(missing_ok=True)
            journal = TrainingJournal(path, msgspec.structs.replace(asked, agreement=curves))

    def keep(run: Run, params: ClassifierParams) -> None:
        with shielded():
            journal.add(Trained(run, to_bytes(params) if run.seed == 0 else None))

    try:
        with Progress("train") as progress:
            study(chosen, names, count, known=journal.runs, keep=keep, progress=progress.to)
    except (KeyboardInterrupt, TrigruError, OSError) as error:
        if journal.runs:
            show([gain_table(journal.runs, complete=False)])
            say(kept(journal, error))
        else:
            path.unlink(missing_ok=True)
            say("nothing was trained, and nothing written.")
        raise
    runs = journal.runs
    with shielded():
        try:
            record = _record(quick, runs=runs, agreement=journal.begun.agreement)
            save_record(folder / "training.json", record)
            written = write_training(folder, record)
            _write_fitted(journal.trained, folder / "params")
        except (TrigruError, OSError) as error:
            say(kept(journal, error))
            raise
        path.unlink()
        show([gain_table(runs)])
        say(f"Wrote {folder}/training.json, {_named(written)} and params/ (fitted, of seed 0).")


def train_vanishing(frameworks: Sequence[str] | None, *, seeds: int | None, quick: bool, folder: Path) -> None:
    """Measure the gradient that reaches the initial state. Writes vanishing.json, its page and picture."""
    names = _frameworks(frameworks)
    with Progress("gradients") as progress:
        found = vanishing(
            names,
            lengths=QUICK_LENGTHS if quick else LENGTHS,
            seeds=seeds or (1 if quick else DRAWS),
            progress=progress.to,
        )
    with shielded():
        try:
            record = _record(quick, vanishing=found)
            save_record(folder / "vanishing.json", record)
            written = write_training(folder, record)
        finally:  # what cannot be written is shown at least
            show([vanishing_table(found)])
        say(f"Wrote {folder}/vanishing.json, {_named(written)}.")


def kept(journal: TrainingJournal, error: BaseException) -> str:
    """What is left of trainings that ended early, and what can be done."""
    again = "It would diverge again with --resume: pass other --experiment or --port, or fewer --seeds, and --discard."
    return (
        f"{len(journal.runs)} trainings are kept in {journal.path}. "
        f"{again if isinstance(error, DivergedError) else GO_ON}"
    )


def unfinished_error(path: Path) -> UnfinishedError:
    """What is in the way of new trainings, and what can be done."""
    try:
        journal = TrainingJournal.read(path)
        what = f"has {len(journal.runs)} trainings of an unfinished run, begun {journal.begun.since} UTC"
    except TrigruError:
        return UnfinishedError(path, "is in the way, and is not of trainings of this trigru", can_go_on=False)
    return UnfinishedError(path, what)


def _named(written: Sequence[Path]) -> str:
    return ", ".join(path.name for path in written)


def _write_fitted(trainings: Sequence[Trained], folder: Path) -> None:
    """Write the parameters of a run, and remove those of earlier ones."""
    fitted = {_params_name(t.run.experiment, t.run.framework, t.run.start): t.fitted for t in trainings if t.fitted}
    for name, content in fitted.items():
        write(folder / name, from_bytes(content), "canonical")
    for experiment, framework, start in product(EXPERIMENTS, FRAMEWORKS, STARTS):
        if (name := _params_name(experiment.name, framework, start.name)) not in fitted:
            (folder / name).unlink(missing_ok=True)


def _params_name(experiment: str, framework: str, start: str) -> str:
    return f"{experiment}-{framework}-{start}.safetensors"


def _prospects(experiments: Sequence[Experiment], seeds: int, first_look: bool) -> Iterator[str]:
    """What these trainings will answer, and what they will not."""
    wanted = seeds_wanted(experiments, seeds)
    if first_look:
        answer = "" if wanted else ", which answer whether learning the initial state pays there"
        yield (
            f"A first look: {QUICK_EXPERIMENT} alone, with {seeds} seeds{answer}. It says nothing about the other "
            "experiments: train without --quick for these."
        )
    yield from wanted


def _frameworks(names: Sequence[str] | None) -> tuple[str, ...]:
    from ...impls import get_port

    chosen = choose("framework with a training loop", names, FRAMEWORKS)
    for name in chosen:
        get_port(name)  # raises with what is missing
    return chosen


def _record(quick: bool, **found: object) -> TrainingRecord:
    return TrainingRecord(
        schema=SCHEMA,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command_line(),
        machine=describe_machine(),
        quick=quick,
        complete=True,
        **found,  # pyright: ignore[reportArgumentType]
    )
