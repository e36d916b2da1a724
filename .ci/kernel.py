"""Measure the fused kernel against the faster of two scans by hand, at 24 sizes; run it on an idle machine.

The arms are train steps of plain JAX in float32, interleaved in one process: a scan that multiplies the inputs in its
loop, one that multiplies them before it, and the fused kernel. Writes a table in Markdown, from which
`common/gru/kernels.py` takes the processors for `auto`.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from trigru.bench.analysis.statistics import beyond_chance
from trigru.bench.timing.machine import cpu_name
from trigru.common.gru.fused import Weights, fused_scan
from trigru.impls import pure

#: Sequences B, steps T, units H, inputs D.
SIZES = (
    (1, 8, 16, 1), (1, 64, 200, 20), (1, 256, 128, 20), (1, 1024, 256, 64), (1, 64, 1024, 512), (4, 32, 64, 16),
    (8, 128, 128, 32), (8, 1024, 64, 8), (16, 8, 64, 64), (16, 64, 64, 20), (16, 128, 256, 64), (16, 256, 512, 128),
    (16, 64, 1024, 256), (32, 64, 200, 20), (32, 128, 64, 512), (32, 256, 128, 128), (64, 32, 128, 16),
    (64, 128, 256, 256), (64, 64, 512, 64), (64, 512, 64, 20), (128, 64, 128, 64), (128, 32, 512, 512),
    (256, 16, 64, 20), (256, 64, 256, 128),
)  # fmt: skip


def main() -> int:
    """Measure, write the table, and return 1 if the kernel is slower somewhere beyond chance among all sizes (Holm)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/results/kernel-sizes.md"))
    parser.add_argument("--seconds", type=float, default=6.0, help="for each size")
    given = parser.parse_args()
    rows, gains, p_values = [], [], []
    for sizes in SIZES:
        times, memory = _measure(sizes, given.seconds)
        best = min(("loop", "before"), key=lambda arm: times[arm].mean())
        gain = times[best] - times["fused"]
        mean, error = gain.mean(), stats.sem(gain)
        low, high = mean + error * np.array(stats.t.interval(0.95, len(gain) - 1))
        p_values.append(stats.t.cdf(mean / error, len(gain) - 1))
        gains += [mean] if sizes[0] >= 16 and sizes[2] >= 64 else []
        milliseconds = 1e3 * math.exp(times[best].mean())
        ratio = f"{math.exp(mean):.2f} [{math.exp(low):.2f}, {math.exp(high):.2f}]"
        rows.append((*sizes, best, f"{milliseconds:.3g}", ratio, f"{memory['fused'] / memory[best]:.2f}"))
        print(*rows[-1], file=sys.stderr, flush=True)
    slower = [size for size, is_slower in zip(SIZES, beyond_chance(p_values), strict=True) if is_slower]
    overall = f"{math.exp(np.mean(gains)):.2f} as geometric mean where B ≥ 16 and H ≥ 64; slower: {slower or 'nowhere'}"
    head = ("B", "T", "H", "D", "faster scan multiplies inputs", "its ms", "scan / fused", "memory, fused / scan")
    lines = [head, ("---",) * len(head), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    text = text.replace("| loop |", "| in the loop |").replace("| before |", "| before it |")
    where = f"{time.strftime('%Y-%m-%d')}, {cpu_name()}, jax {jax.__version__}"
    given.output.write_text(f"{text}\n\n{overall}. {where}.\n")
    return bool(slower)


def _measure(sizes: tuple[int, ...], seconds: float) -> tuple[dict[str, Any], dict[str, int]]:
    """Logarithms of the times of a train step, by arm and round, and the temporary memory of each arm in bytes."""
    B, T, H, D = sizes
    params = pure.init(D, H, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (T, B, D))
    runs = {"loop": partial(_scan, before=False), "before": partial(_scan, before=True), "fused": _fused}
    arms = {name: jax.jit(partial(_train_step, run)).lower(params, x).compile() for name, run in runs.items()}
    for arm in arms.values():
        jax.block_until_ready(arm(params, x))
    calls = max(1, int(0.01 / _time(arms["loop"], params, x, 1)))
    rounds, end = [], time.perf_counter() + seconds
    while len(rounds) < 8 or (time.perf_counter() < end and len(rounds) < 60):
        order = random.sample(sorted(arms), len(arms))
        rounds.append({name: math.log(_time(arms[name], params, x, calls)) for name in order})
    memory = {name: arm.memory_analysis().temp_size_in_bytes for name, arm in arms.items()}
    return {name: np.array([times[name] for times in rounds]) for name in arms}, memory


def _time(arm: Callable[..., Any], params: Any, x: Any, calls: int) -> float:
    """Seconds a call, each waited for."""
    begin = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(arm(params, x))
    return (time.perf_counter() - begin) / calls


def _train_step(run: Callable[..., Any], params: Any, x: Any) -> tuple[Any, Any]:
    def loss(params: Any) -> Any:
        return jnp.mean(run(params, x)[1] ** 2)

    value, gradient = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), value


def _start(params: Any, x: Any) -> Any:
    return jnp.broadcast_to(params.initial_carry, (x.shape[1], params.bias_n.size))


def _scan(params: Any, x: Any, *, before: bool) -> tuple[Any, Any]:
    """The cell by hand, with one matrix product for all gates of a side."""

    def multiply(x: Any) -> Any:
        return x @ params.kernel_i + params.bias

    def advance(h: Any, x: Any) -> tuple[Any, Any]:
        gi_r, gi_z, gi_n = jnp.split(x if before else multiply(x), 3, axis=-1)
        gh_r, gh_z, gh_n = jnp.split(h @ params.kernel_h, 3, axis=-1)
        r, z = jax.nn.sigmoid(gi_r + gh_r), jax.nn.sigmoid(gi_z + gh_z)
        n = jnp.tanh(gi_n + r * (gh_n + params.bias_n))
        h = (1 - z) * n + z * h
        return h, h

    return jax.lax.scan(advance, _start(params, x), multiply(x) if before else x)


def _fused(params: Any, x: Any) -> tuple[Any, Any]:
    h = _start(params, x)
    return fused_scan(Weights(*params[:4]), h, h, x)


if __name__ == "__main__":
    sys.exit(main())
