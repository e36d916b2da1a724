"""Proofs of equality: whether all measurements of a port passed, and with what
errors.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ...common.equality.measurement import SAME_BOUND, Measurement
from .grouping import grouped


@dataclass(frozen=True)
class Proof:
    """What the measurements of a port on a kernel say."""

    port: str
    kernel: str
    measurements: int
    #: Names of the checks that failed, or that the port does not offer.
    failed: tuple[str, ...]
    failures: int
    #: In float64, of the measurements whose bound is 1e-12; None without any.
    worst_error: float | None
    #: Of its bound, of the other measurements; None without any.
    worst_share: float | None

    @property
    def is_equal(self) -> bool:
        return not self.failed


def proofs_of(measurements: Iterable[Measurement]) -> list[Proof]:
    """One for each port and kernel, in the order in which they come."""
    proofs = []
    by_port = grouped(measurements, lambda m: (m.port, m.kernel))
    for (port, kernel), of_port in by_port.items():
        failed = [m for m in of_port if not m.passed]
        worst_error, worst_share = worst_of(of_port)
        proof = Proof(
            port,
            kernel,
            measurements=len(of_port),
            failed=tuple(dict.fromkeys(m.check for m in failed)),
            failures=len(failed),
            worst_error=worst_error,
            worst_share=worst_share,
        )
        proofs.append(proof)
    return proofs


def worst_of(measurements: Iterable[Measurement]) -> tuple[float | None, float | None]:
    """The worst error and the worst share of a bound; see `Proof`."""
    errors = []
    shares = []
    for m in measurements:
        if m.error is None:
            continue
        if m.dtype == "float64" and m.bound <= SAME_BOUND:
            errors.append(m.error)
        elif m.bound > 0:
            shares.append(m.error / m.bound)
    return max(errors, default=None), max(shares, default=None)
