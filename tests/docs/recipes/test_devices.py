"""On many devices: the recipe trains as on one, and exchanges its gradient once."""

import os
import subprocess
import sys

from recipes import ROOT

RECIPE = "devices.md"
ASKED = """
import re
from trigru.common.port.collectives import collectives_of

assert jax.device_count() == 4
lowered = train_step.lower(params, opt_state, x, targets)
for c in collectives_of(lowered.compile().as_text()):
    print(c.kind, c.runs, c.in_loop)

import numpy as np

alone = jax.tree.map(np.asarray, (params, x, targets))
expected = jax.value_and_grad(loss_of)(*alone)
for got, want in zip(jax.tree.leaves(gradient(params, x, targets)), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
"""
LINE = '    params = jax.lax.pcast(params, "data", to="varying")\n'


def run(code):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | flags, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [line.split() for line in done.stdout.splitlines()]


def test_devices_exchange_after_the_loop_and_the_gradient_is_that_of_one(recipe):
    found = run(recipe.program.code + ASKED)
    assert found
    assert all(line == ["all-reduce", "1", "False"] for line in found)


def test_the_line_that_counts_is_what_keeps_the_exchange_out_of_the_loop(recipe):
    code = recipe.program.code
    assert code.count(LINE) == 1
    found = run(code.replace(LINE, "") + ASKED.partition("import numpy")[0])
    assert ["all-reduce", "20", "True"] in found


def test_it_trains_on_one_device_as_well(recipe):
    last, _ = recipe.names["gradient"](recipe.params, recipe.x, recipe.targets)
    assert last < recipe.loss
