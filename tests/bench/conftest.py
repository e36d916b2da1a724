"""Runs that are drawn, not measured."""

import pytest
from support.known import PHASES, WORKLOADS, bench
from support.runs import draw_run


@pytest.fixture(scope="module")
def old():
    """A run."""
    return draw_run(1)


@pytest.fixture(scope="module")
def again():
    """Another of the same commit on the same machine."""
    return draw_run(2)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """On a machine of known costs: two workloads, three phases, both kernels and torch, in three processes."""
    options = [("--workload", w) for w in WORKLOADS] + [("--phase", p) for p in PHASES]
    options += [("--kernel", "stock"), ("--kernel", "fused"), ("--quick",)]
    options += [("--port", port) for port in ("pure", "linen", "nnx", "equinox", "torch")]
    return bench(tmp_path_factory.mktemp("run"), *(word for option in options for word in option))
