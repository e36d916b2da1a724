"""Runs in this process, where things can be patched."""

import pytest
from support.processes import ask_here, ignore, journal_at
from trigru.bench.analysis.merge import merge
from trigru.bench.timing.supervisor import run


@pytest.fixture(scope="session")
def measure(tmp_path_factory):
    """Measure a plan; returns the results."""

    def measure(plan, progress=ignore):
        journal = journal_at(tmp_path_factory.mktemp("run") / "results.partial.jsonl", plan, load=0.0)
        run(journal, progress, ask_here)
        return merge(journal)

    return measure
