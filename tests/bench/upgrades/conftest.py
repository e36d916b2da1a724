"""What stands in for trigru in the environments of a matrix."""

from pathlib import Path

import pytest
from support.runs import MACHINE
from trigru.bench.upgrades import matrix
from trigru.bench.upgrades.folder import save
from trigru.bench.upgrades.record import SCHEMA, Calls, Snapshot, Subject, Where


@pytest.fixture
def trigru(monkeypatch):
    """What `trigru snapshot` leaves in an environment: each release runs ten more lines."""
    ran = []

    def run(made, arguments, still):
        still()
        ran.append((str(made.folder), arguments[0]))
        if arguments[0] != "snapshot":
            return ""
        number = int(made.versions["jax"].split(".")[1])
        if number == 2:
            return "error: it broke"
        calls = Calls(Where("jit", "train_step", "float32", "adam"), 5, 10, 20, 100 + 10 * number, 1)
        subjects = [Subject("pure", "pure", calls=[calls])]
        folder = Path(arguments[-1])
        folder.mkdir(parents=True, exist_ok=True)
        save(folder, Snapshot(SCHEMA, [], "", MACHINE, None, [], subjects), {})
        return ""

    monkeypatch.setattr(matrix, "run_trigru", run)
    return ran
