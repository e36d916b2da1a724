"""Snapshots that are made up, and folders that have them, as `trigru snapshot` leaves them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.runs import ENDED, MACHINE
from trigru.bench.results.machine import Machine
from trigru.bench.upgrades.record import SCHEMA, Snapshot, Subject, save
from trigru.common.equality.measurement import Measurement


def snapshot_of(
    *subjects: Subject, equality: list[Measurement] | None = None, machine: Machine = MACHINE, **facts: Any
) -> Snapshot:
    return Snapshot(SCHEMA, [], ENDED, machine, equality, list(subjects), **facts)


def leave(folder: Path, *subjects: Subject, arrays: Mapping[str, np.ndarray] | None = None, **facts: Any) -> None:
    """Write a snapshot of these subjects and facts into a folder, which is made if it is not there."""
    save(folder, snapshot_of(*subjects, **facts), dict(arrays or {}))


def step_calls(lines: int) -> dict[str, dict[str, int]]:
    return {"train_step jit adam float32": {"leaves": 5, "functions": 10, "lines": lines}}
