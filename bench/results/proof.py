"""Proofs: the measurements of equality of a port that are within the bounds that this version sets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...common.equality.measurement import SAME_BOUND, Measurement
from .grouping import first_twice, grouped

#: Checks of values that are moved and not computed.
_EXACT = ("conversion", "exchange")
#: The largest bounds of rows in float64: where much cancels, and where the carry is of another dtype, four units in the
#: last place of float32; that of rows which are in float32 alone; and that in other dtypes, in which an answer of zeros
#: is off by 1.
_CANCELLING, _OTHER_CARRY, _SINGLE, _COARSE = 1e-9, 5e-7, 0.1, 1.0


def most_allowed(m: Measurement) -> float:
    """The largest error with which a measurement passes: its bound, but never more than this version sets for it."""
    if m.check in _EXACT:
        return 0.0
    levels = m.levels or {}
    if m.dtype != "float64":
        is_single = (
            m.dtype == "float32"
            and m.levels is not None
            and "16" not in levels.get("dtype", "")
        )
        return min(m.bound, _SINGLE if is_single else _COARSE)
    of_rows = _OTHER_CARRY if levels.get("carry") == "other dtype" else _CANCELLING
    return min(m.bound, SAME_BOUND if m.levels is None else of_rows)


def passes(m: Measurement) -> bool:
    """Whether a measurement passes, whatever its bound claims."""
    return m.passed and m.error is not None and m.error <= most_allowed(m)


def contradictions(found: Iterable[Measurement]) -> Iterator[str]:
    """A sentence if a measurement is there twice; of rows that fail, several may have one reason."""
    once = [m for m in found if m.passed or m.levels is None]
    measured = [
        f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}"
        for m in once
    ]
    if twice := first_twice(measured):
        yield f"its proof has {twice} twice"


@dataclass(frozen=True)
class Proof:
    """A port on a kernel: its measurements and failures, whether it is proven equal, and with what errors."""

    port: str
    kernel: str
    measurements: int
    failed: tuple[
        str, ...
    ]  # names of the checks that failed, or that the port does not offer
    failures: int
    worst_error: (
        float | None
    )  # in float64, of those whose bound is 1e-12; None where there is none
    worst_share: (
        float | None
    )  # of the allowed error, of the others; None where there is none

    @property
    def is_equal(self) -> bool:
        return not self.failed


def proofs_of(measurements: Iterable[Measurement]) -> list[Proof]:
    """One for each port and kernel, in the order in which they come."""
    proofs = []
    for (port, kernel), of_port in grouped(
        measurements, lambda m: (m.port, m.kernel)
    ).items():
        failed = [m for m in of_port if not passes(m)]
        names = tuple(dict.fromkeys(m.check for m in failed))
        proofs.append(
            Proof(port, kernel, len(of_port), names, len(failed), *worst_of(of_port))
        )
    return proofs


def worst_of(measurements: Iterable[Measurement]) -> tuple[float | None, float | None]:
    """The largest error of those whose bound is 1e-12, and the largest share of the allowed error of the others."""
    measured = [m for m in measurements if m.error is not None]
    groups = grouped(measured, lambda m: m.dtype == "float64" and m.bound <= SAME_BOUND)
    same, others = (groups.get(is_same, []) for is_same in (True, False))
    shares = [(m.error or 0.0) / bound for m in others if (bound := most_allowed(m))]
    return max((m.error or 0.0 for m in same), default=None), max(shares, default=None)
