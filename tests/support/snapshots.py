"""Snapshots and environments that are made up, and folders of snapshots as `trigru snapshot` leaves them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.runs import ENDED, MACHINE
from trigru.bench.results.machine import Machine
from trigru.bench.upgrades.environments import (
    Environment,
    EnvironmentFailedError,
    Environments,
    VersionSet,
    read_set,
)
from trigru.bench.upgrades.record import SCHEMA, Snapshot, Subject, save
from trigru.common.equality.measurement import Measurement

RELEASES = [f"0.{n}.0" for n in range(1, 7)]
SETS = [read_set(f"jax==0.{n}.0") for n in range(4)]


def snapshot_of(
    *subjects: Subject,
    equality: list[Measurement] | None = None,
    machine: Machine = MACHINE,
    **facts: Any,
) -> Snapshot:
    return Snapshot(SCHEMA, [], ENDED, machine, equality, list(subjects), **facts)


def leave(
    folder: Path,
    *subjects: Subject,
    arrays: Mapping[str, np.ndarray] | None = None,
    **facts: Any,
) -> None:
    """Write a snapshot of these subjects and facts into a folder, which is made if it is not there."""
    save(folder, snapshot_of(*subjects, **facts), dict(arrays or {}))


def step_calls(lines: int) -> dict[str, dict[str, int]]:
    return {
        "train_step jit adam float32": {"leaves": 5, "functions": 10, "lines": lines}
    }


class Made(Environments):
    """Environments without an installation, of the versions that a set names, whose command passes on the set's name.

    Args:
        failing: the names of sets that fail to install, and whether each does so for good.
    """

    python = "3.13"

    def __init__(self, failing: Mapping[str, bool] | None = None):
        self.failing = failing or {}
        self.made: list[str] = []

    def get(self, of: VersionSet) -> Environment:
        self.made.append(of.name)
        if of.name in self.failing:
            raise EnvironmentFailedError("no such wheel", lasting=self.failing[of.name])
        versions = dict(requirement.split("==") for requirement in of.requirements)
        return Environment(("env", f"VERSION_SET={of.name}"), versions | {"rich": "13"})

    def releases(self, package: str) -> list[str]:
        return RELEASES


def release_of(made: Environment) -> int:
    return int(made.versions["jax"].split(".")[1])
