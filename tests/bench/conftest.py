"""Runs in this process, where things can be patched."""

import pytest
from support.processes import ask_here, ignore, journal_at
from support.runs import draw_run
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


@pytest.fixture(scope="module")
def quick_bootstrap():
    """A hundredth of a standard error here or there is not what is tested, and there are ten thousand bootstraps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trigru.bench.analysis.statistics.RESAMPLES", 100)
        yield


@pytest.fixture(scope="module")
def old():
    """A run."""
    return draw_run(1)


@pytest.fixture(scope="module")
def again():
    """Another of the same commit on the same machine."""
    return draw_run(2)
