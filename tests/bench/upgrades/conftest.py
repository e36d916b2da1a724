"""What stands in for trigru in the environments of a matrix."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from support.environments import release_of
from support.runs import MACHINE
from support.snapshots import leave, step_calls
from trigru.bench.upgrades import matrix
from trigru.bench.upgrades.record import Subject


@pytest.fixture
def trigru(monkeypatch):
    """What `trigru snapshot` leaves in an environment: each release runs ten more lines."""
    ran = []

    def run(made, arguments, still):
        still()
        ran.append((made.command[-1].partition("=")[2], arguments[0]))
        if arguments[0] != "snapshot":
            return ""
        number = release_of(made)
        if number == 2:
            return "error: it broke"
        machine = replace(MACHINE, versions=MACHINE.versions | made.versions)
        leave(Path(arguments[-1]), Subject("pure", "pure", calls=step_calls(100 + 10 * number)), machine=machine)
        return ""

    monkeypatch.setattr(matrix, "run_trigru", run)
    return ran
