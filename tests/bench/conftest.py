"""Runs that are drawn, not measured."""

import pytest
from support.runs import draw_run


@pytest.fixture(scope="module")
def old():
    """A run."""
    return draw_run(1)


@pytest.fixture(scope="module")
def again():
    """Another of the same commit on the same machine."""
    return draw_run(2)
