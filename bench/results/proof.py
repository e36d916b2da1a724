"""What measurements of equality prove: that which is within a bound that this version sets, and nothing else."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...common.equality.bounds import SAME_BOUND
from ...common.equality.measurement import Measurement

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
        is_single = m.dtype == "float32" and m.levels is not None and "16" not in levels.get("dtype", "")
        return min(m.bound, _SINGLE if is_single else _COARSE)
    of_rows = _OTHER_CARRY if levels.get("carry") == "other dtype" else _CANCELLING
    return min(m.bound, SAME_BOUND if m.levels is None else of_rows)


def passes(m: Measurement) -> bool:
    """Whether a measurement passes, whatever its bound claims."""
    return m.passed and m.error is not None and m.error <= most_allowed(m)


class Expected(NamedTuple):
    """What a measurement is of: a row of the contract in a dtype and a call style, or a check that has no rows."""

    what: Any
    dtype: str
    style: str | None


def expected_of(check: str, levels: dict[str, str] | None, dtype: str, style: str | None) -> Expected:
    """What a question is about, so that its measurement can be found."""
    return Expected(check if levels is None else frozenset(levels.items()), dtype, style)


def is_whole(
    measurements: Iterable[Measurement], port: str, kernel: str, expected: Iterable[Expected], *, passing: bool = True
) -> bool:
    """Whether measurements are those of a port on a kernel, of all that was expected, and within their bounds.

    Args:
        expected: a row as often as it is asked; a check that has no rows has a measurement for each quantity.
        passing: False where measurements may fail, as those of a framework's own part do.
    """
    found = list(measurements)
    own = all((m.port, m.kernel) == (port, kernel) and (passes(m) or not passing) for m in found)
    counted = Counter(expected_of(m.check, m.levels, m.dtype, m.style) for m in found)
    asked = Counter(expected)
    rows = all(counted[one] == asked[one] for one in counted.keys() | asked.keys() if not isinstance(one.what, str))
    return own and rows and asked.keys() == counted.keys()
