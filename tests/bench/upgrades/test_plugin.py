"""The fixture `unchanged`: what it writes, what it passes, and what a test that fails prints."""

import trigru.bench.upgrades.functions
import trigru.bench.upgrades.tables  # noqa: F401  (both once for all runs)
from trigru.bench.upgrades.record import FILE

pytest_plugins = ["pytester"]

TEST = """
import numpy as np
import jax.numpy as jnp

class Scaled:
    def __call__(self, w, x):
        return jnp.tanh(x @ w) * {scale}

def test_mine(unchanged):
    unchanged(Scaled(), np.linspace({first}, 1, 6, dtype="f4").reshape(2, 3), np.ones((4, 2), "f4"))
    unchanged(jnp.cos, np.ones(2, "f4"))
"""


def test_a_test_passes_until_its_function_changes_and_says_where(pytester, request):
    plugin = (
        ()
        if request.config.pluginmanager.hasplugin("trigru")
        else ("-p", "trigru.bench.upgrades.plugin")
    )

    def run(*options, scale=1, first=0):
        pytester.makepyfile(test_it=TEST.format(scale=scale, first=first))
        return pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "-p", "no:xdist", *plugin, *options
        )

    run().stdout.fnmatch_lines(
        ["*there is no snapshot in*Take one*pytest --trigru-update*"]
    )
    run("--trigru-update").assert_outcomes(passed=1)
    assert (pytester.path / "snapshots/test_it/test_mine" / FILE).is_file()
    run().assert_outcomes(passed=1)
    changed = run(scale=1.01)
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(
        """
The versions are those of the snapshot.
FAILED: function 2 of *
function: test_mine: call in float64: result: 1.01 times as large (2 such changes)
    at test_it.py:6 (mul of shape 4x3)*
To accept it: pytest --trigru-update 'test_it.py::test_mine'""".strip().splitlines()
    )
    run(first=0.5).stdout.fnmatch_lines(
        ["the arguments are others than those of the snapshot*"]
    )
