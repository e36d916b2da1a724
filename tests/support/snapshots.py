"""Snapshots and environments that are made up, and folders of snapshots as `trigru
snapshot` leaves them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from support.runs import ENDED, MACHINE
from trigru.bench.results.machine import Machine
from trigru.bench.upgrades.environments import (
    Environment,
    EnvironmentFailedError,
    Environments,
)
from trigru.bench.upgrades.record import (
    SCHEMA,
    Cost,
    Observation,
    Snapshot,
    Subject,
)
from trigru.bench.upgrades.snapshot_file import save
from trigru.bench.upgrades.version_sets import VersionSet, read_set

RELEASES = [f"0.{n}.0" for n in range(1, 7)]
SETS = [read_set(f"jax==0.{n}.0") for n in range(4)]
STEP = "train_step jit adam float32"


def snapshot_of(
    *subjects: Subject, machine: Machine = MACHINE, **facts: Any
) -> Snapshot:
    return Snapshot(SCHEMA, [], ENDED, machine, list(subjects), **facts)


def leave(
    folder: Path,
    *subjects: Subject,
    arrays: Mapping[str, np.ndarray] | None = None,
    **facts: Any,
) -> None:
    """Write a snapshot of subjects and facts into a folder, which is made if it is not
    there.
    """
    save(folder, snapshot_of(*subjects, **facts), dict(arrays or {}))


def cost(traces: int = 1, leaves: int = 5, functions: int = 10, lines: int = 100):
    return Cost(traces, leaves, functions, lines)


def stepping(name: str, lines: int, **facts: Any) -> Subject:
    """A subject whose train step runs so many lines of Python."""
    step = Observation(cost=cost(lines=lines), **facts)
    return Subject(name, name, observations={STEP: step})


class MadeUp(Environments):
    """Environments without an installation, of the versions that a set names.

    A command that runs in one is given the set's name as VERSION_SET.

    Args:
        failing: the names of sets that fail to install, and whether each does so for
            good.
        subjects: of the snapshot that is taken with a release, given its number; it may
            raise an EnvironmentFailedError.
    """

    def __init__(self, failing=None, subjects=lambda number: (), python="3.13"):
        self.python = python
        self.failing = failing or {}
        self.subjects = subjects
        self.made: list[str] = []
        #: The name of each set of which a snapshot was taken, and the arguments.
        self.taken: list[tuple[str, list[str]]] = []

    def get(self, version_set: VersionSet) -> Environment:
        name = version_set.name
        self.made.append(name)
        if name in self.failing:
            raise EnvironmentFailedError("no such wheel", lasting=self.failing[name])
        pairs = [requirement.split("==") for requirement in version_set.requirements]
        versions = dict(pairs) | {"rich": "13"}
        return MadeUpEnvironment(("env", f"VERSION_SET={name}"), versions, self)

    def releases(self, package: str) -> list[str]:
        return RELEASES


@dataclass(frozen=True)
class MadeUpEnvironment(Environment):
    """An environment whose snapshot is made up, too."""

    owner: MadeUp

    def snapshot(self, folder, arguments, still=lambda: None):
        still()
        name = self.command[-1].partition("=")[2]
        self.owner.taken.append((name, list(arguments)))
        subjects = self.owner.subjects(int(self.versions["jax"].split(".")[1]))
        versions = MACHINE.versions | {"jax": self.versions["jax"]}
        leave(folder, *subjects, machine=machine_with(versions))


def machine_with(versions: dict[str, str]) -> Machine:
    """The machine of the tests, with other versions."""
    return replace(MACHINE, versions=versions)
