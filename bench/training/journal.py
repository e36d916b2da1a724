"""The trainings of a run that is under way, in a file that survives it: one line of JSON for each."""

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ...common.errors import InputError, brief
from ...common.parameters.record import ClassifierParams, check_params, from_leaves, leaves
from ..results.lines import append, cut_unfinished, read_lines
from ..results.record import Machine, Natural
from ..timing.machine import machine_differences
from . import FRAMEWORKS
from .experiments import get_experiment
from .study import Agreement, Run, check_trainings

#: Name of the file, beside the record.
PARTIAL = "training.partial.jsonl"


class Begun(Struct, frozen=True, tag=True):
    """The first line: what was asked for, where and with what, and the float64 losses of one epoch."""

    experiments: list[str]
    frameworks: list[str]
    seeds: Natural
    quick: bool
    machine: Machine
    since: str
    agreement: list[Agreement]


class Trained(Struct, frozen=True, tag=True):
    """One training; of the first seed also the fitted parameters, as a safetensors file."""

    run: Run
    fitted: bytes | None


class TrainingJournal:
    """The lines of a run. Each is written before the next begins."""

    def __init__(self, path: Path, begun: Begun):
        """Begin a file. Raises a FileExistsError if there is one."""
        self.path, self.begun, self.trained = path, begun, list[Trained]()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
        append(path, begun)

    @classmethod
    def resume(cls, path: Path, begun: Begun) -> "TrainingJournal":
        """Continue where the file ends. Raises an InputError if it is of another run, or is damaged."""
        self = cls.read(path)
        same = {"since": self.begun.since, "agreement": self.begun.agreement, "machine": self.begun.machine}
        if msgspec.structs.replace(begun, **same) != self.begun:
            raise InputError(
                f"{path} is of other trainings. Resume with the same options, or begin anew with --discard."
            )
        differences = machine_differences(self.begun.machine, begun.machine)
        if self.begun.machine.commit != begun.machine.commit:
            differences.append(f"commit {begun.machine.commit}, was {self.begun.machine.commit}")
        if differences:
            raise InputError(f"{path} was begun elsewhere: {'; '.join(differences)}. Begin anew with --discard.")
        cut_unfinished(path)
        return self

    @classmethod
    def read(cls, path: Path) -> "TrainingJournal":
        """What a file has. Raises a TrigruError if it is no journal of trainings."""
        self = cls.__new__(cls)
        first, *others = read_lines(path, Begun | Trained) or [None]
        if isinstance(first, Begun):
            for name in first.experiments:
                get_experiment(name)
            if strange := set(first.frameworks) - set(FRAMEWORKS):
                raise InputError(f"{path}: has {brief(sorted(strange))}, expected {', '.join(FRAMEWORKS)}.")
        if not isinstance(first, Begun) or not all(isinstance(line, Trained) for line in others):
            raise InputError(f"{path}: is no journal of trainings. Begin anew with --discard.")
        self.path, self.begun, self.trained = path, first, [line for line in others if isinstance(line, Trained)]
        for run in self.runs:
            was_asked = run.experiment in first.experiments and run.framework in first.frameworks
            if not was_asked or run.seed >= first.seeds:
                raise InputError(f"{path}: has a training that was not asked for. Begin anew with --discard.")
        try:
            check_trainings(self.runs, first.agreement)
            for trained in self.trained:
                _check_fitted(trained)
        except ValueError as error:
            raise InputError(f"{path}: {brief(error).rstrip('.')}. Begin anew with --discard.") from error
        return self

    def add(self, trained: Trained) -> None:
        """Keep a training."""
        append(self.path, trained)
        self.trained.append(trained)

    @property
    def runs(self) -> list[Run]:
        """The trainings so far."""
        return [trained.run for trained in self.trained]


def _check_fitted(trained: Trained) -> None:
    if (trained.fitted is None) == (trained.run.seed == 0):
        raise ValueError(f"fitted parameters are kept of seed 0 alone, not of seed {trained.run.seed}")
    if trained.fitted is not None:
        params = from_bytes(trained.fitted)
        check_params(params, get_experiment(trained.run.experiment).config)
        if not all(np.isfinite(array).all() for array in leaves(params).values()):
            raise ValueError("fitted parameters are not finite")


def to_bytes(params: ClassifierParams) -> bytes:
    """Parameters as a safetensors file."""
    return save({name: np.ascontiguousarray(array) for name, array in leaves(params).items()})


def from_bytes(content: bytes) -> ClassifierParams:
    """The inverse. Raises an InputError if it is none."""
    try:
        return from_leaves(load(content))
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"the fitted parameters in the journal are damaged ({brief(error)}).") from error
