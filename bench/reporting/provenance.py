"""Where numbers come from, with warnings."""

from ...common.gru.kernels import STOCK
from ..analysis.rates import best_ceilings
from ..results.record import Arm, Provenance, Results

#: If more than this share of the cores was busy before the run, there is a warning.
BUSY_SHARE = 0.5


def provenance_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, with warnings."""
    facts, lines = results.trigru, []
    for dtype in facts.ceilings[0] if facts.ceilings else ():
        best = best_ceilings(results, dtype)
        lines.append(
            f"Limits of the machine in {dtype}, measured in the same run: {best.gemm_gflop_per_s:.0f} GFLOP/s of a "
            f"matrix product, {best.copy_gbyte_per_s:.0f} GB/s of memory."
        )
    return [*origin_lines(results), *lines, *load_warnings(facts)]


def origin_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and whether that is all."""
    facts, machine = results.trigru, results.trigru.machine
    return [
        *([] if facts.complete else ["INTERRUPTED: not all was measured."]),
        f"{results.datetime[:10]}, {machine.device} ({machine.backend}, {machine.threads} threads): "
        + " ".join(facts.command),
        ", ".join(f"{name} {version}" for name, version in machine.versions.items()) + ".",
    ]


def load_warnings(facts: Provenance) -> list[str]:
    """A warning if the machine was busy with other work after a run, and one if it was busy before."""
    threads = facts.machine.threads
    loads = (
        (facts.load_after, 1 + BUSY_SHARE, "busy with other work", "at the end of the run"),
        (facts.load_before, BUSY_SHARE, "busy", "before the run"),
    )
    return [
        f"The machine was {busy}: {load:.1f} runnable processes on {threads} threads {when}. "
        "Measure again on an idle one."
        for load, share, busy, when in loads
        if load is not None and load > threads * share
    ]


def short_group(arm: Arm) -> str:
    """An arm's workload and phase, and its division if that is not the stock cells'."""
    division = [arm.division] if arm.division != STOCK else []
    return " ".join((str(arm.workload), arm.phase, *division))
