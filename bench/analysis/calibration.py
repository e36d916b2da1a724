"""Does the harness call differences that are none, and find those that are? Verdicts on arms whose truth is known."""

from collections import defaultdict

import numpy as np
from scipy.stats import binomtest

from ..reporting.sections import Section
from ..results.record import Benchmark, Results

__all__ = ["FALSE_VERDICTS", "calibration_tables"]

#: Of identical arms, at most this share may be called faster or slower.
FALSE_VERDICTS = 0.05


def calibration_tables(results: Results) -> list[Section]:
    """How often identical and slowed arms of a calibration were called slower, faster or neither.

    The duplicate that shows each group's noise floor is left out: it cannot exceed its own.
    """
    if not results.benchmarks:
        return [Section("No group was measured", ("arm", "reason"), [(u.id, u.reason) for u in results.untimed])]
    cases: dict[tuple[str, float], list[Benchmark]] = defaultdict(list)
    for b in results.benchmarks:
        if not b.facts.is_baseline and b.facts.copy != 2:
            cases[b.facts.workload, b.facts.slowed] += [b]
            cases["all", b.facts.slowed] += [b]
    rows = [_row(*case, found) for case, found in sorted(cases.items(), key=lambda item: (item[0][1], item[0][0]))]
    groups = len(results.groups())
    facts = results.benchmarks[0].facts
    return [
        Section(
            "Verdicts on arms whose truth is known",
            ("truth", "workload", "arms", "slower", "faster", "wrong or found", "median ratio", "median floor"),
            rows,
            (
                f"{groups} groups of {len(next(iter(results.groups().values())))} arms, forward, "
                f"{len(facts.process)} rounds in {len(set(facts.process))} processes. Identical: further copies of "
                "pure[jit], compiled on their own. Slowed: copies whose samples are stretched by that share, while "
                "the clock runs. Shares with 95 % intervals (Clopper and Pearson); arms of one group share a baseline, "
                "so they are not quite independent.",
            ),
        )
    ]


def _row(workload: str, slowed: float, found: list[Benchmark]) -> tuple[str, ...]:
    slower, faster = (sum(b.facts.verdict == verdict for b in found) for verdict in ("slower", "faster"))
    counted = slower if slowed else slower + faster
    interval = binomtest(counted, len(found)).proportion_ci()
    return (
        f"slowed by {slowed:.0%}" if slowed else "identical",
        workload,
        str(len(found)),
        str(slower),
        str(faster),
        f"{counted / len(found):.1%} [{interval.low:.1%}, {interval.high:.1%}]",
        f"{np.median([b.facts.ratio for b in found]):.3f}",
        f"±{np.median([b.facts.floor for b in found]):.1%}",
    )
