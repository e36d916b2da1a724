"""What more devices gain: an arm on several against the same arm on one, paired within rounds."""

from dataclasses import dataclass

import numpy as np

from ...common.port.collectives import Collective
from ..results.record import Benchmark, Results
from .statistics import Comparison, as_ratio, effect_of, verdict


@dataclass(frozen=True)
class Scaling:
    """An arm on several devices.

    Args:
        benchmark: the arm.
        alone: the same port, call style and kernel on one device.
        speedup: the time of one device over its own.
        verdict: of the arm: "faster", "slower" or "indistinguishable" than one device.
        collectives: what the devices exchange; None where the program could not be read.
    """

    benchmark: Benchmark
    alone: Benchmark
    speedup: Comparison
    verdict: str
    collectives: tuple[Collective, ...] | None


def scalings(results: Results) -> list[Scaling]:
    """Every arm on several devices, in the order of the results. Without its arm on one device, it is left out."""
    found = []
    for benchmarks in results.groups().values():
        alone = {_key(b): b for b in benchmarks if not b.arm.way and b.arm.role in ("arm", "baseline")}
        for b in benchmarks:
            one = alone.get(_key(b))
            if b.arm.way and one is not None:
                found.append(_scaling(results, b, one))
    return found


def _key(b: Benchmark) -> tuple[str, str | None, str]:
    return b.arm.port, b.arm.style, str(b.arm.kernel)


def _scaling(results: Results, b: Benchmark, one: Benchmark) -> Scaling:
    log_ratio = np.log(b.time_s) - np.log(one.time_s)
    taken = as_ratio(effect_of(log_ratio, b.process, results.trigru.plan.seed))
    program = b.facts.program
    return Scaling(
        b, one, taken.inverse, verdict(taken, b.floor, b.process), None if program is None else program.collectives
    )
