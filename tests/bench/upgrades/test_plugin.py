"""The fixture `unchanged`: what it writes, what it passes, and what a test that fails
prints.
"""

import pytest

# once for all runs in this process: types of a module that is imported again are others
import trigru.bench.upgrades.changes
import trigru.bench.upgrades.installed
import trigru.bench.upgrades.recording
import trigru.bench.upgrades.words  # noqa: F401
from trigru.bench.upgrades.snapshot_file import FILE

pytest_plugins = ["pytester"]

TEST = """
import numpy as np
import jax.numpy as jnp

class Scaled:
    def __call__(self, w, x):
        return jnp.tanh(x @ w) * {scale}

def test_mine(unchanged):
    w = np.linspace({first}, 1, 6, dtype="f4").reshape(2, 3)
    unchanged(Scaled(), w, np.ones((4, 2), "f4"))
    unchanged(jnp.cos, np.ones(2, "f4"))
"""


@pytest.fixture
def run(pytester, request):
    """Runs a test whose function has a scale, with options of pytest."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    if not request.config.pluginmanager.hasplugin("trigru"):
        options += ["-p", "trigru.bench.upgrades.plugin"]

    def run_with(*more, scale=1, first=0):
        pytester.makepyfile(test_it=TEST.format(scale=scale, first=first))
        return pytester.runpytest_inprocess(*options, *more)

    return run_with


def test_without_a_snapshot_it_says_how_to_take_one(run):
    advice = "*There is no snapshot in*pytest --trigru-update*"
    run().stdout.fnmatch_lines([advice])


def test_a_test_passes_until_its_function_changes_and_says_where(run, pytester):
    run("--trigru-update").assert_outcomes(passed=1)
    assert (pytester.path / "snapshots/test_it/test_mine" / FILE).is_file()
    run().assert_outcomes(passed=1)
    changed = run(scale=1.01)
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(
        [
            "FAILED: function 1.",
            "function: test_mine: call in float64: result: 1.01 times as large",
            "    at test_it.py:6 (mul of shape 4x3)*",
            "The versions have not changed.",
            "To accept the change, run: pytest --trigru-update 'test_it.py::test_mine'",
        ]
    )
    others = "The arguments are not those of the snapshot*"
    run(first=0.5).stdout.fnmatch_lines([others])
