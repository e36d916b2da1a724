"""Is the fused kernel faster than the best scan by hand? `python bench/studies/kernel.py`, on an idle machine.

At 24 sizes, times train steps of plain JAX in float32: a scan that multiplies the inputs in its loop, one that
multiplies them before it, and the fused kernel, interleaved in one process. Writes docs/results/kernel-sizes.md, from
which `common/gru/kernels.py` takes the processors for `auto`.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import ttest_1samp
from timed import Arms, time_arms
from trigru.bench.analysis.statistics import beyond_chance
from trigru.bench.timing.machine import cpu_name
from trigru.impls import pure

OUTPUT = Path(__file__).parents[2] / "docs" / "results" / "kernel-sizes.md"
COLUMNS = (
    "B",
    "T",
    "H",
    "D",
    "faster scan multiplies inputs",
    "its ms",
    "scan / fused",
    "memory, fused / scan",
)
#: Sequences B, steps T, units H, inputs D.
SIZES = (
    (1, 8, 16, 1),
    (1, 64, 200, 20),
    (1, 256, 128, 20),
    (1, 1024, 256, 64),
    (1, 64, 1024, 512),
    (4, 32, 64, 16),
    (8, 128, 128, 32),
    (8, 1024, 64, 8),
    (16, 8, 64, 64),
    (16, 64, 64, 20),
    (16, 128, 256, 64),
    (16, 256, 512, 128),
    (16, 64, 1024, 256),
    (32, 64, 200, 20),
    (32, 128, 64, 512),
    (32, 256, 128, 128),
    (64, 32, 128, 16),
    (64, 128, 256, 256),
    (64, 64, 512, 64),
    (64, 512, 64, 20),
    (128, 64, 128, 64),
    (128, 32, 512, 512),
    (256, 16, 64, 20),
    (256, 64, 256, 128),
)


def multiplied_before(params: Any, x: Any) -> tuple[Any, Any]:
    """The cell by hand, in a loop before which the inputs (T, B, D) are multiplied."""

    def advance(h: Any, gi: Any) -> tuple[Any, Any]:
        gi_r, gi_z, gi_n = jnp.split(gi, 3, axis=-1)
        gh_r, gh_z, gh_n = jnp.split(h @ params.kernel_h, 3, axis=-1)
        r, z = jax.nn.sigmoid(gi_r + gh_r), jax.nn.sigmoid(gi_z + gh_z)
        n = jnp.tanh(gi_n + r * (gh_n + params.bias_n))
        h = (1 - z) * n + z * h
        return h, h

    start = jnp.broadcast_to(params.initial_carry, (x.shape[1], params.bias_n.size))
    return jax.lax.scan(advance, start, x @ params.kernel_i + params.bias)


#: Each gives the last state and the outputs. That of plain JAX multiplies the inputs in its loop.
RUNS: dict[str, Callable[[Any, Any], Any]] = {
    "in the loop": partial(pure.gru, time_major=True),
    "before it": multiplied_before,
    "fused": partial(pure.gru, time_major=True, kernel="fused"),
}


def train_step(run: Callable[[Any, Any], Any], params: Any, x: Any) -> tuple[Any, Any]:
    """A step of gradient descent on x (T, B, D)."""
    value, gradient = jax.value_and_grad(
        lambda params: jnp.mean(run(params, x)[1] ** 2)
    )(params)
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), value


def arms(B: int, T: int, H: int, D: int) -> Arms:
    """The train steps at a size, compiled."""
    given = (
        pure.init(D, H, key=jax.random.key(0)),
        jax.random.normal(jax.random.key(1), (T, B, D)),
    )
    compiled = {
        name: jax.jit(partial(train_step, run)).lower(*given).compile()
        for name, run in RUNS.items()
    }
    return {name: lambda step=step: (step, given) for name, step in compiled.items()}


def main() -> None:
    """Measure, and write the table."""
    rows, gains, chances = [COLUMNS, ("---",) * len(COLUMNS)], [], []
    for size in SIZES:
        made = arms(*size)
        log_s = {
            name: np.log(time_s)
            for name, time_s in time_arms(lambda made=made: made, 0).items()
        }
        best = min(("in the loop", "before it"), key=lambda name: log_s[name].mean())
        gain = log_s[best] - log_s["fused"]
        interval = np.exp(ttest_1samp(gain, 0.0).confidence_interval())
        chances.append(ttest_1samp(gain, 0.0, alternative="less").pvalue)
        gains += [gain.mean()] if size[0] >= 16 and size[2] >= 64 else []
        used, of_scan = (
            made[name]()[0].memory_analysis().temp_size_in_bytes
            for name in ("fused", best)
        )
        ratio = f"{math.exp(gain.mean()):.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
        rows.append(
            (
                *size,
                best,
                f"{1e3 * math.exp(log_s[best].mean()):.3g}",
                ratio,
                f"{used / of_scan:.2f}",
            )
        )
        print(*rows[-1], flush=True)
    slower = [
        size
        for size, is_slower in zip(SIZES, beyond_chance(chances), strict=True)
        if is_slower
    ]
    mean = f"Geometric mean of scan / fused where B ≥ 16 and H ≥ 64: {math.exp(np.mean(gains)):.2f}"
    mean += f"; shown to be slower (95 % in all): {slower or 'nowhere'}"
    table = "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
    OUTPUT.write_text(
        f"{table}\n\n{mean}. {time.strftime('%Y-%m-%d')}, {cpu_name()}, jax {jax.__version__}.\n"
    )


if __name__ == "__main__":
    main()
