"""What a step of a loop takes at least: on an accelerator that, and not the rate of products, binds a short scan."""

import time

import jax
import jax.numpy as jnp

#: Steps of the loop, of which each needs the one before; numbers in its state; calls, of which the fastest counts.
STEPS, WIDTH, CALLS = 1000, 128, 5


def measure_loop_step() -> float:
    """Seconds for each step of a `jax.lax.scan` that does almost nothing."""
    run = jax.jit(lambda h: jax.lax.scan(lambda h, _: (jnp.tanh(h), None), h, None, length=STEPS)[0])
    start = jnp.ones(WIDTH, jnp.float32)
    jax.block_until_ready(run(start))
    times_s = []
    for _ in range(CALLS):
        began = time.perf_counter()
        jax.block_until_ready(run(start))
        times_s.append(time.perf_counter() - began)
    return min(times_s) / STEPS
