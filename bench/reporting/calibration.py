"""The table of a calibration."""

from ..analysis.calibration import calibration_rows
from ..results.record import Results
from .sections import Prose, Section


def calibration_tables(results: Results) -> list[Section]:
    """How often identical and slowed arms were called slower, faster or neither."""
    if not results.benchmarks:
        rows = [(untimed.arm.id, untimed.reason) for untimed in results.untimed]
        return [Section("No group was measured", (Prose("arm"), Prose("reason")), rows)]
    rows = [
        (
            f"slowed by {row.slowed:.0%}" if row.slowed else "identical",
            row.workload or "all",
            str(row.arms),
            str(row.slower),
            str(row.faster),
            f"{row.share:.1%} [{row.low:.1%}, {row.high:.1%}]",
            f"{row.ratio:.3f}",
            f"±{row.floor:.1%}",
        )
        for row in calibration_rows(results)
    ]
    groups = results.groups()
    process = results.benchmarks[0].facts.process
    counts = {len(b.facts.process) for b in results.benchmarks}
    rounds = sorted({min(counts), max(counts)})
    return [
        Section(
            "Verdicts on arms whose truth is known",
            ("truth", "workload", "arms", "slower", "faster", "wrong or found", "median ratio", "median floor"),
            rows,
            (
                f"{len(groups)} groups of {len(next(iter(groups.values())))} arms, forward, "
                f"{' to '.join(map(str, rounds))} rounds in {len(set(process))} processes. Identical: more copies of "
                "pure[jit], compiled separately. Slowed: copies whose samples are stretched by that share while the "
                "clock runs. Shares have 95 % intervals (Clopper and Pearson). The arms of one group share a baseline, "
                "so they are not fully independent.",
            ),
        )
    ]
