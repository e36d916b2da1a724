"""The fused kernel with its batch spread over devices, in a process that has two."""

import os
import subprocess
import sys

import jax

SHARDED = """
import re
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from trigru.impls.pure import gru, init

params = init(4, 6, key=jax.random.key(0))
x = jax.random.normal(jax.random.key(1), (4, 9, 4))
lengths = jnp.array([9, 3, 0, 5])
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
spread, everywhere = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
arrays = jax.device_put(params, everywhere), jax.device_put(x, spread), jax.device_put(lengths, spread)


def gradient(kernel):
    return jax.jit(jax.grad(lambda p, x, n: jnp.sum(gru(p, x, lengths=n, kernel=kernel)[1] ** 2), argnums=(0, 1)))


alone = gradient("stock")(params, x, lengths)
for kernel in ("fused", "fused@save=none,chunk=4"):
    compiled = gradient(kernel).lower(*arrays).compile()
    print(sorted(set(re.findall(r"all-reduce|all-gather|all-to-all|collective-permute", compiled.as_text()))))
    for got, want in zip(jax.tree.leaves(compiled(*arrays)), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())

carry = jax.random.normal(jax.random.key(2), (4, 6))


def from_carry(kernel):  # without one, a scan that starts from replicated parameters has no right type in a shard_map
    return jax.grad(lambda p, x, h: jnp.sum(gru(p, x, h, kernel=kernel)[1] ** 2), argnums=(0, 2))


for kernel in ("fused", "fused@save=some,chunk=4"):
    parts = {"in_specs": (P(), P("batch"), P("batch")), "out_specs": (P(), P("batch"))}
    mapped = jax.jit(jax.shard_map(from_carry(kernel), mesh=mesh, **parts))(params, x, carry)
    for got, want in zip(jax.tree.leaves(mapped), jax.tree.leaves(from_carry("stock")(params, x, carry)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
"""


def test_a_batch_over_two_devices_sums_weight_gradients_and_moves_nothing_else():
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run([sys.executable, "-c", SHARDED], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['all-reduce']"] * 2
