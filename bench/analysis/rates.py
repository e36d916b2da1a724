"""Rates of an arm, and the share of what the machine can do."""

from dataclasses import dataclass

import numpy as np

from ..results.record import Benchmark, Ceilings, Results


@dataclass(frozen=True)
class Rates:
    """The rates of one arm.

    Args:
        time_s: median seconds per call.
        other_s: the same by the other clock; None where that was not measured.
        flop_per_s: the least work of a call, over its time.
        limit: which of the machine's limits is the nearer one, "gemm" or "copy".
        share: of the rate at that limit.
        gemm_share: of the rate of a large matrix product.
    """

    time_s: float
    other_s: float | None
    steps_per_s: float
    flop_per_s: float
    limit: str
    share: float
    gemm_share: float


def rates_of(results: Results, b: Benchmark) -> Rates:
    """The rates of an arm, against the limits seen in its run."""
    ceilings = best_ceilings(results, b.arm.arithmetic)
    time_s = float(np.median(b.time_s))
    limit, least_s = nearer_limit(ceilings, b.flops, b.moved_bytes)
    flop_per_s = b.flops / time_s
    return Rates(
        time_s=time_s,
        other_s=float(np.median(b.other_s)) if b.other_s else None,
        steps_per_s=b.steps / time_s,
        flop_per_s=flop_per_s,
        limit=limit,
        share=least_s / time_s,
        gemm_share=flop_per_s / (ceilings.gemm_gflop_per_s * 1e9),
    )


def best_ceilings(results: Results, arithmetic: str) -> Ceilings:
    """The best rates that any process of a run saw."""
    seen = [of_process[arithmetic] for of_process in results.trigru.ceilings]
    steps_s = [c.loop_step_s for c in seen if c.loop_step_s is not None]
    gemm, copy = max(c.gemm_gflop_per_s for c in seen), max(c.copy_gbyte_per_s for c in seen)
    return Ceilings(gemm, copy, min(steps_s, default=None))


def nearer_limit(ceilings: Ceilings, flops: float, moved_bytes: float) -> tuple[str, float]:
    """Which limit binds, "gemm" or "copy", and the least time of the work under it, in seconds.

    >>> nearer_limit(Ceilings(100.0, 10.0), flops=1e9, moved_bytes=1e6)
    ('gemm', 0.01)
    """
    gemm_s, copy_s = flops / ceilings.gemm_gflop_per_s * 1e-9, moved_bytes / ceilings.copy_gbyte_per_s * 1e-9
    return ("gemm", gemm_s) if gemm_s >= copy_s else ("copy", copy_s)


def baseline_of(benchmarks: list[Benchmark]) -> Benchmark:
    """The arm of a group that ratios are relative to."""
    return next(b for b in benchmarks if b.arm.is_baseline)
