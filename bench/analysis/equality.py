"""A summary of the measurements of equality, for each port and kernel."""

from collections.abc import Iterable
from dataclasses import dataclass

from ...common.equality.bounds import SAME_BOUND
from ...common.equality.measurement import Measurement
from ..results.grouping import grouped
from ..results.proof import most_allowed, passes


@dataclass(frozen=True)
class Proof:
    """Whether a port on a kernel was proven equal, with how many measurements and failures, and with what errors.

    Args:
        failed: names of the checks that failed, or that the port does not offer.
        worst_error: the largest in float64, of those whose bound is 1e-12; None where there is none.
        worst_share: the largest share of the allowed error of the others: in other dtypes, and where much cancels. None
            where there is none.
    """

    port: str
    kernel: str
    measurements: int
    failed: tuple[str, ...]
    failures: int
    worst_error: float | None
    worst_share: float | None

    @property
    def is_equal(self) -> bool:
        """Whether all measurements are within their bounds."""
        return not self.failed


def proofs_of(measurements: Iterable[Measurement]) -> list[Proof]:
    """One for each port and kernel, in the order in which they come."""
    proofs = []
    for (port, kernel), of_port in grouped(measurements, lambda m: (m.port, m.kernel)).items():
        failed = [m for m in of_port if not passes(m)]
        names = tuple(dict.fromkeys(m.check for m in failed))
        proofs.append(Proof(port, kernel, len(of_port), names, len(failed), *worst_of(of_port)))
    return proofs


def worst_of(measurements: Iterable[Measurement]) -> tuple[float | None, float | None]:
    """The largest error of those whose bound is 1e-12, and the largest share of the allowed error of the others."""
    measured = [m for m in measurements if m.error is not None]
    same, others = ([m for m in measured if _is_same(m) == is_same] for is_same in (True, False))
    shares = [(m.error or 0.0) / bound for m in others if (bound := most_allowed(m))]
    return max((m.error or 0.0 for m in same), default=None), max(shares, default=None)


def _is_same(m: Measurement) -> bool:
    return m.dtype == "float64" and m.bound <= SAME_BOUND
