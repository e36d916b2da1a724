"""Runs in this process, where things can be patched."""

import pytest
from support.processes import journal_at
from trigru.bench.analysis.merge import merge
from trigru.bench.timing import worker
from trigru.bench.timing.supervisor import run


def ask_here(request, limit_s):
    """As `trigru.bench.timing.supervisor.ask_process`, without another process."""
    answers = []
    worker.measure(request, answers.append)
    return iter(answers)


@pytest.fixture(scope="session")
def measure(tmp_path_factory):
    """Measure a plan; returns the results."""

    def measure(plan, progress=lambda what, share: None):
        journal = journal_at(tmp_path_factory.mktemp("run") / "results.partial.jsonl", plan, load=0.0)
        run(journal, progress, ask_here)
        return merge(journal)

    return measure
