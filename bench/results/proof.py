"""What measurements of equality prove: that which is within a bound that this version sets, and nothing else."""

from collections.abc import Iterable
from typing import Any

from ...common.equality.bounds import SAME_BOUND
from ...common.equality.measurement import Measurement

#: Checks of values that are moved and not computed.
_EXACT = ("conversion", "exchange")
#: The largest bounds of rows in float64: where much cancels, and where the carry is of another dtype, four units in the
#: last place of float32; and that in other dtypes, in which an answer of zeros is off by 1.
_CANCELLING, _OTHER_CARRY, _COARSE = 1e-9, 5e-7, 1.0


def most_allowed(m: Measurement) -> float:
    """The largest error with which a measurement passes: its bound, but never more than this version sets for it."""
    if m.check in _EXACT:
        return 0.0
    if m.dtype != "float64":
        return min(m.bound, _COARSE)
    of_rows = _OTHER_CARRY if (m.levels or {}).get("carry") == "other dtype" else _CANCELLING
    return min(m.bound, SAME_BOUND if m.levels is None else of_rows)


def passes(m: Measurement) -> bool:
    """Whether a measurement passes, whatever its bound claims."""
    return m.passed and m.error is not None and m.error <= most_allowed(m)


def key_of(check: str, levels: dict[str, str] | None) -> Any:
    """What a measurement is of: a row of the contract, or a check that has no rows."""
    return check if levels is None else frozenset(levels.items())


def is_whole(
    measurements: Iterable[Measurement], port: str, kernel: str, expected: Iterable[Any], *, passing: bool = True
) -> bool:
    """Whether measurements are those of a port on a kernel, of all that was expected, and within their bounds.

    Args:
        expected: as `key_of` has them.
        passing: False where measurements may fail, as those of a framework's own part do.
    """
    found = list(measurements)
    own = all((m.port, m.kernel) == (port, kernel) and (passes(m) or not passing) for m in found)
    return own and {*expected} == {key_of(m.check, m.levels) for m in found}
