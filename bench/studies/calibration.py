"""Are the verdicts right? `python bench/studies/calibration.py`, on an idle machine.

Times copies of plain JAX's forward pass, which should be called neither faster nor slower, and copies whose samples are
stretched while the clock runs, which should be called slower. docs/measurement.md has what ten processes said of such
arms on one machine, and docs/results/calibration.json each verdict.
"""

import time
from collections import Counter
from functools import partial
from typing import Any

import jax
import optax
from scipy.stats import binomtest
from timed import Arms, measure
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.common.parameters.record import random_params
from trigru.common.port.styles import make_task
from trigru.impls.pure import PORT

WORKLOADS, GROUPS, COPIES, SLOWED = (
    ("tiny", "question", "vowels"),
    10,
    7,
    (0.02, 0.03, 0.05),
)


def arm(workload: str, slowed: float = 0.0) -> tuple[Any, tuple[Any, ...]]:
    """A copy of the baseline, compiled anew, with its arguments; its calls take longer by the share `slowed`."""
    sized = get_workload(Sized(workload))
    config = sized.config("forward")
    forward = jax.jit(make_task(PORT, config, "forward", optax.identity()).predict)

    def stretched(*arguments: Any) -> Any:
        start = time.perf_counter()
        outputs = jax.block_until_ready(forward(*arguments))
        until = start + (time.perf_counter() - start) * (1 + slowed)
        while time.perf_counter() < until:
            pass
        return outputs

    given = (
        PORT.load(config, random_params(config)),
        *jax.device_put(sized.batch().arguments("forward")),
    )
    return stretched if slowed else forward, given


def arms(workload: str) -> Arms:
    """The baseline, its copies and the slowed copies."""
    copies = {f"copy {number}": partial(arm, workload) for number in range(1 + COPIES)}
    return copies | {
        f"slowed by {share:.0%}": partial(arm, workload, share) for share in SLOWED
    }


def main() -> None:
    """Count the verdicts."""
    counts: Counter[tuple[str, str]] = Counter()
    for workload in WORKLOADS:
        for group in range(GROUPS):
            _, _, *others = measure(
                partial(arms, workload), f"{workload}, group {group + 1}"
            ).items()
            for name, (_, _, verdict) in others:
                counts["identical" if name.startswith("copy") else name, verdict] += 1
    for truth in dict.fromkeys(truth for truth, _ in counts):
        of = {
            verdict: counts[truth, verdict]
            for verdict in ("slower", "faster", "indistinguishable")
        }
        counted = of["slower"] + (of["faster"] if truth == "identical" else 0)
        share = binomtest(counted, sum(of.values())).proportion_ci()
        print(
            f"{truth}: {of}, wrong or found {counted / sum(of.values()):.1%} [{share.low:.1%}, {share.high:.1%}]"
        )


if __name__ == "__main__":
    main()
