"""The machine's limits, measured in the same run as the arms that are compared with them."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..results.machine import Ceilings

CALLS = 8
#: Steps of a loop, of which each needs the one before, and numbers in its state.
STEPS, WIDTH = 1000, 128
#: By platform: so large that neither dispatch nor the caches matter.
GEMM_SIZE = {"cpu": 1024}
COPY_BYTES = {"cpu": 256 * 2**20}
LARGE_GEMM_SIZE, LARGE_COPY_BYTES = 8192, 2**30


def measure_ceilings(dtype: str = "float32") -> Ceilings:
    """The limits of the machine, each from the fastest of a few calls. Run it while nothing else runs.

    The matrix product is of JAX's default precision. On an accelerator the steps of a loop, and not the rate of
    products, bind a short scan.
    """
    platform = jax.devices()[0].platform
    size = GEMM_SIZE.get(platform, LARGE_GEMM_SIZE)
    numbers = np.random.default_rng(0).normal(size=2**20).astype(dtype)  # JAX would compile a program to draw them
    matrix = jax.device_put(np.resize(numbers, (size, size)))
    product = jax.jit(lambda a, b: a @ b)
    gemm_s = _fastest_s(lambda _: product(matrix, matrix), matrix)

    array = jnp.zeros(COPY_BYTES.get(platform, LARGE_COPY_BYTES) // jnp.dtype(dtype).itemsize, dtype)
    nbytes = array.nbytes
    copy_s = _fastest_s(jax.jit(lambda x: x + 1, donate_argnums=0), array)  # in place: no page faults
    loop = jax.jit(lambda h: jax.lax.scan(lambda h, _: (jnp.tanh(h), None), h, None, length=STEPS)[0])
    loop_s = _fastest_s(loop, jnp.ones(WIDTH, jnp.float32))
    return Ceilings(2 * size**3 / gemm_s * 1e-9, 2 * nbytes / copy_s * 1e-9, loop_s / STEPS)


def _fastest_s(call: Callable[[Any], Any], array: Any) -> float:
    """Seconds of the fastest call after the first. Each gets the result of the one before, and may ignore it."""
    array, times_s = jax.block_until_ready(call(array)), []
    for _ in range(CALLS):
        start = time.perf_counter()
        array = jax.block_until_ready(call(array))
        times_s.append(time.perf_counter() - start)
    return min(times_s)
