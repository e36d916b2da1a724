"""Is the fused kernel faster than the best scan by hand? `python
bench/studies/kernel.py`, on an idle machine.

At 24 sizes, times train steps of plain JAX in float32: a scan that multiplies the
inputs in its loop, one that multiplies them before it, and the fused kernel,
interleaved in one process. `kernel="auto"` is the first or the last of these. Writes
docs/results/kernel-sizes.md.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import ttest_1samp
from trigru.bench.analysis.statistics import beyond_chance
from trigru.bench.timing.machine import cpu_name
from trigru.bench.timing.sampling import sample_rounds, schedule_of, warm_up
from trigru.common.gru.kernels import AUTO, is_fused
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
    "`auto` is",
    "scan / `auto`",
    "memory, fused / scan",
)
ROUNDS = 22
SAMPLE_TIME_S = 2.5e-3
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


#: Each gives the last state and the outputs. That of plain JAX multiplies the inputs in
#: its loop.
RUNS: dict[str, Callable[[Any, Any], Any]] = {
    "in the loop": partial(pure.gru, time_major=True),
    "before it": multiplied_before,
    "fused": partial(pure.gru, time_major=True, kernel="fused"),
}


@dataclass(frozen=True)
class Compiled:
    """A compiled train step with its arguments, as `sample_rounds` times it."""

    step: Any
    arguments: tuple[Any, ...]

    def call(self) -> Any:
        return self.step(*self.arguments)

    def wait(self, outputs: Any) -> Any:
        return jax.block_until_ready(outputs)

    def temporary_bytes(self) -> int:
        return self.step.memory_analysis().temp_size_in_bytes


def train_step(run: Callable[[Any, Any], Any], params: Any, x: Any) -> tuple[Any, Any]:
    """A step of gradient descent on x (T, B, D)."""

    def loss(params: Any) -> Any:
        _, outputs = run(params, x)
        return jnp.mean(outputs**2)

    value, gradient = jax.value_and_grad(loss)(params)
    params = jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient)
    return params, value


def compile_steps(B: int, T: int, H: int, D: int) -> dict[str, Compiled]:
    """The train steps at a size, compiled."""
    params = pure.init(D, H, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (T, B, D))
    steps = {}
    for name, run in RUNS.items():
        step = jax.jit(partial(train_step, run)).lower(params, x).compile()
        steps[name] = Compiled(step, (params, x))
    return steps


def log_times(steps: dict[str, Compiled]) -> dict[str, np.ndarray]:
    """The logarithm of the seconds per call of each step, one for each round."""
    arms = list(steps.values())
    warmed = [warm_up(arm, SAMPLE_TIME_S) for arm in arms]
    samples = sample_rounds(arms, ROUNDS, schedule_of(warmed, SAMPLE_TIME_S))
    log_s = {}
    for name, sample in zip(steps, samples, strict=True):
        if isinstance(sample, Exception):
            raise sample
        log_s[name] = np.log(sample["blocked"])
    return log_s


def ratio_of(log_ratios: np.ndarray) -> str:
    """The geometric mean of ratios, with its 95 % interval."""
    low, high = np.exp(ttest_1samp(log_ratios, 0.0).confidence_interval())
    return f"{math.exp(log_ratios.mean()):.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure, and write the table."""
    jax.config.update("jax_enable_compilation_cache", False)
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    log_gains = []
    p_values = []
    for B, T, H, D in SIZES:
        steps = compile_steps(B, T, H, D)
        log_s = log_times(steps)
        scan = min(("in the loop", "before it"), key=lambda name: log_s[name].mean())
        chosen = "in the loop"
        if is_fused(AUTO, jax.ShapeDtypeStruct((T, B, D), "float32")):
            chosen = "fused"

        log_gain = log_s[scan] - log_s[chosen]
        # the two are one program, where `auto` is the faster scan
        p_value = 1.0
        if chosen != scan:
            p_value = ttest_1samp(log_gain, 0.0, alternative="less").pvalue
        p_values.append(p_value)
        if B >= 16 and H >= 64:
            log_gains.append(log_gain.mean())

        scan_ms = 1e3 * math.exp(log_s[scan].mean())
        memory = steps["fused"].temporary_bytes() / steps[scan].temporary_bytes()
        line = [
            *map(str, (B, T, H, D)),
            scan,
            f"{scan_ms:.3g}",
            ratio_of(log_s[scan] - log_s["fused"]),
            "fused" if chosen == "fused" else "stock",
            "1" if chosen == scan else ratio_of(log_gain),
            f"{memory:.2f}",
        ]
        lines.append(line)
        print(*line, flush=True)

    is_slower = beyond_chance(p_values)
    slower = [size for size, slow in zip(SIZES, is_slower, strict=True) if slow]
    mean = math.exp(np.mean(log_gains))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    note = (
        f"Geometric mean of scan / `auto` where B ≥ 16 and H ≥ 64: {mean:.2f}. `auto` "
        "shown to be slower than the faster scan (95 % in all): "
        f"{slower or 'nowhere'}. {time.strftime('%Y-%m-%d')}, "
        f"{cpu_name()}, jax {jax.__version__}.\n"
    )
    OUTPUT.write_text(f"{table}\n\n{note}", encoding="utf-8")


if __name__ == "__main__":
    main()
