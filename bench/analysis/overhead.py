"""The cost of a framework over plain JAX, and up to which model size it matters."""

from dataclasses import dataclass

from ...common.gru.kernels import STOCK
from ..results.record import Benchmark, Results
from .pairs import Difference, difference
from .rates import baseline_of

#: An overhead below this share of the baseline's time is negligible.
NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Overhead:
    """How much longer than the baseline a call of an arm takes.

    Args:
        size: the swept size of the workload; None where none was swept.
        over: the arm against the baseline. If XLA runs the baseline's program, the overhead is only that of crossing
            the jit boundary.
    """

    benchmark: Benchmark
    size: int | None
    over: Difference

    @property
    def share(self) -> float:
        """Of the baseline's time."""
        return self.over.ratio - 1


def overheads(results: Results) -> list[Overhead]:
    """The overhead of every arm of the stock division, without the baseline."""
    swept = results.trigru.plan.swept or ""
    return [
        Overhead(b, b.arm.workload.sizes.get(swept), difference(results, b, baseline_of(benchmarks)))
        for benchmarks in results.groups().values()
        for b in benchmarks
        if (b.arm.division, b.arm.role, b.arm.way) == (STOCK, "arm", "")
    ]


def negligible_from(of_arm: list[Overhead]) -> tuple[int | None, bool]:
    """The size from which an arm's overhead is negligible, and whether the intervals confirm it.

    Args:
        of_arm: of one arm and phase, one for each size.
    """
    sure, likely = None, None
    for overhead in sorted(of_arm, key=lambda o: o.size or 0, reverse=True):
        if overhead.share >= NEGLIGIBLE:
            break
        if overhead.over.high - 1 < NEGLIGIBLE and sure == likely:
            sure = overhead.size
        likely = overhead.size
    return (likely, False) if sure is None else (sure, True)
