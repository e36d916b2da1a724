"""Are the verdicts right? `python bench/studies/calibration.py`, on an idle machine.

Times copies of plain JAX's forward pass, which should be called neither faster nor slower, and copies whose samples are
stretched while the clock runs, which should be called slower. docs/measurement.md has what ten processes said of such
arms on one machine, and docs/results/calibration.json each verdict.
"""

from collections import Counter
from functools import partial
from typing import Any

from scipy.stats import binomtest
from timed import Arms, measure, program_of

WORKLOADS, GROUPS, COPIES, SLOWED = ("tiny", "question", "vowels"), 10, 7, (0.02, 0.03, 0.05)


def arm(workload: str, slowed: float = 0.0) -> tuple[Any, ...]:
    """A copy of the baseline, compiled anew: a function, its arguments, and the share by which it is slowed."""
    return *program_of("pure", "jit", workload), slowed


def arms(workload: str) -> Arms:
    """The baseline, its copies and the slowed copies."""
    copies = {f"copy {number}": partial(arm, workload) for number in range(1 + COPIES)}
    return copies | {f"slowed by {share:.0%}": partial(arm, workload, share) for share in SLOWED}


def main() -> None:
    """Count the verdicts."""
    counts: Counter[tuple[str, str]] = Counter()
    for workload in WORKLOADS:
        for group in range(GROUPS):
            _, _, *others = measure(partial(arms, workload), f"{workload}, group {group + 1}").items()
            for name, (_, _, verdict) in others:
                counts["identical" if name.startswith("copy") else name, verdict] += 1
    for truth in dict.fromkeys(truth for truth, _ in counts):
        of = {verdict: counts[truth, verdict] for verdict in ("slower", "faster", "indistinguishable")}
        counted = of["slower"] + (of["faster"] if truth == "identical" else 0)
        share = binomtest(counted, sum(of.values())).proportion_ci()
        print(f"{truth}: {of}, wrong or found {counted / sum(of.values()):.1%} [{share.low:.1%}, {share.high:.1%}]")


if __name__ == "__main__":
    main()
