"""The limits of a machine, as they were seen in a run, and the share of them that an arm reaches."""

import numpy as np

from ..results.record import Benchmark, Ceilings, Results
from .statistics import Comparison


def limit_of(results: Results, b: Benchmark) -> tuple[str, float]:
    """The nearer limit of the machine for an arm, "gemm" or "copy", and the share of it that the arm reaches."""
    ceilings, time_s = best_ceilings(results, b.arm.arithmetic), float(np.median(b.time_s))
    gemm_s, copy_s = b.flops / ceilings.gemm_gflop_per_s * 1e-9, b.moved_bytes / ceilings.copy_gbyte_per_s * 1e-9
    return ("gemm", gemm_s / time_s) if gemm_s >= copy_s else ("copy", copy_s / time_s)


def best_ceilings(results: Results, arithmetic: str) -> Ceilings:
    """The best rates that any process of a run saw."""
    seen = [of_process[arithmetic] for of_process in results.trigru.ceilings]
    steps_s = [c.loop_step_s for c in seen if c.loop_step_s is not None]
    gemm, copy = max(c.gemm_gflop_per_s for c in seen), max(c.copy_gbyte_per_s for c in seen)
    return Ceilings(gemm, copy, min(steps_s, default=None))


def baseline_of(benchmarks: list[Benchmark]) -> Benchmark:
    """The arm of a group that ratios are relative to."""
    return next(b for b in benchmarks if b.arm.is_baseline)


def ratio_of(b: Benchmark) -> Comparison:
    """The time of an arm over the baseline's."""
    return Comparison(b.ratio, b.ratio_low, b.ratio_high)
