"""The limits of a machine, as they were seen in a run, and the share of them that an arm reaches."""

import numpy as np

from ..results.record import Benchmark, Ceilings, Results


def limit_of(results: Results, b: Benchmark) -> tuple[str, float]:
    """The nearer limit of the machine for an arm, "gemm" or "copy", and the share of it that the arm reaches."""
    limit, least_s = nearer_limit(best_ceilings(results, b.arm.arithmetic), b.flops, b.moved_bytes)
    return limit, least_s / float(np.median(b.time_s))


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
