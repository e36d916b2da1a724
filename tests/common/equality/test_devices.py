"""The check of a batch that is spread over devices, in processes that have four."""

import os
import subprocess
import sys
from contextlib import nullcontext

import jax
import numpy as np
import pytest
from trigru.common.equality.checks import ON_DEVICES, get_checks
from trigru.common.equality.checks.devices import WAYS, _require_one_exchange
from trigru.common.equality.verification import usual_checks, verify
from trigru.common.errors import DefectError
from trigru.common.port.collectives import Collective
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port

FLAGS = {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or "",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
ASK = """
from dataclasses import replace
import jax.numpy as jnp
from trigru.common.equality.checks import ON_DEVICES
from trigru.common.equality.verification import verify
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port
from trigru.impls.pure import PurePort


class StockAsFused(PurePort):
    def load(self, config, params):
        return super().load(replace(config, kernel="stock"), params)


class Mixes(PurePort):
    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        return carry, outputs + 0 * outputs.mean(0) + 1e-9 * outputs.sum(axis=0)


PORT = {port}
for m in verify([PORT], checks=ON_DEVICES):
    print(m.passed and "passed" or m.problem or "differs", m.quantity)
"""


def ask(port):
    """What the check says of a port, a line for each measurement."""
    code = ASK.format(port=port)
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | FLAGS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        *((name, kernel) for name in ("pure", "linen", "nnx", "equinox") for kernel in ("stock", "fused")),
        ("pure", "fused@save=none,chunk=4"),
    ],
)
def test_ports_are_the_same_function_on_many_devices(name, kernel):
    found = ask(f'WithKernel(get_port("{name}"), "{kernel}")')
    assert [line for line in found if not line.startswith("passed")] == []
    for way in WAYS:
        for start in ("from the start", "from a carry"):
            assert f"passed {way.name}, {start}: d initial_carry" in found


def test_an_exchange_at_every_step_is_noticed():
    (said,) = ask('WithKernel(StockAsFused(), "fused")')
    assert "devices exchange data at every step: all-reduce of" in said


GRADIENT = {"d bias_n": np.zeros(6), "d initial_carry": np.zeros(6), "d x": np.zeros(600)}
PLACED, *_, ONCE = WAYS
LEAST = 2 * 6 * 8  # of the gradient, and 8 more for each loss


@pytest.mark.parametrize(
    ("way", "kernel", "exchanged", "said"),
    [
        (PLACED, "stock", [], "nothing is exchanged"),
        (PLACED, "stock", [(9999, True)], ""),
        (PLACED, "fused", [(LEAST, False)], ""),
        (PLACED, "fused", [(LEAST, True)], "at every step"),
        (PLACED, "fused", [(LEAST + 6 * 8 + 17, False)], "expected at most"),
        (PLACED, "fused@chunk=4", [(LEAST, True)], ""),
        (PLACED, "fused@save=some", [(LEAST, True)], "at every step"),
        (ONCE, "stock", [(LEAST, True)], "at every step"),
        (ONCE, "stock", [(LEAST, False), (16, False)], ""),
        (ONCE, "stock", [(LEAST, False), (6 * 8 + 17, False)], "expected at most"),
    ],
)
def test_what_may_be_exchanged(way, kernel, exchanged, said):
    found = [Collective("all-reduce", nbytes, 1, in_loop=inside) for nbytes, inside in exchanged]
    with pytest.raises(DefectError, match=said) if said else nullcontext():
        _require_one_exchange(way, WithKernel(get_port("pure"), kernel), GRADIENT, found)


def test_examples_that_mix_are_noticed():
    assert any(line.startswith("differs") for line in ask("Mixes()"))


@pytest.mark.parametrize("kernel", ["fused", "fused@save=none,chunk=4", "fused@hoist=true"])
def test_a_mesh_of_one_device_is_taken(kernel):
    """XLA's CPU backend gets the weight gradient in another form there, which asked how its rows are spread."""
    found = verify([WithKernel(get_port("pure"), kernel)], checks=get_checks("mesh"))
    assert found
    assert all(m.passed for m in found), next(str(m) for m in found if not m.passed)


@pytest.mark.skipif(jax.device_count() > 1, reason="this process has several devices")
def test_one_device_is_not_enough():
    (measurement,) = verify([get_port("pure")], checks=get_checks("devices"))
    assert not measurement.offered
    assert "trigru verify --devices 4" in str(measurement.problem)


def test_it_is_not_among_the_usual():
    assert not set(ON_DEVICES) & set(usual_checks())
    assert get_checks("devices") == ON_DEVICES


ONE_DEVICE = """
import jax, jax.numpy as jnp
from trigru.common.port.programs import read_program
from trigru.impls.pure import gru, init

params, x = init(4, 6, key=jax.random.key(0)), jnp.ones((4, 9, 4))
gradient = jax.jit(jax.grad(lambda params, x: jnp.sum(gru(params, x, kernel="fused")[1] ** 2)))
print(jax.device_count(), read_program(gradient.lower(params, x)).fingerprint)
"""


def test_a_program_of_one_device_does_not_depend_on_how_many_there_are():
    found = []
    for flags in ({"XLA_FLAGS": ""}, {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}):
        done = subprocess.run(
            [sys.executable, "-c", ONE_DEVICE], env=os.environ | FLAGS | flags, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(done.stdout.split())
    assert [int(count) for count, _ in found] == [1, 8]
    assert len({program for _, program in found}) == 1


def test_the_cases_of_a_device_differ():
    from trigru.common.equality.cases import Case
    from trigru.common.equality.checks.devices import EACH, wide

    case = wide(Case.random(3, 5, 4, 6))
    assert len(case.x) == EACH * jax.device_count()
    assert len(np.unique(case.x[:, 0, 0])) == len(case.x)
    assert case.resets.dtype == bool
    assert case.lengths.dtype == np.int32
