"""Numbers as text, each with its unit."""

import json
from collections.abc import Callable, Iterable
from math import floor, log10
from typing import Any

import msgspec

from ..analysis.comparison import TimeComparison

#: An interval is wide where its upper end is more than so many times its lower one.
WIDE = 1.5
_TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
_BYTES = {"GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10, "B": 1.0}


def count(number: int, noun: str) -> str:
    """A number of things, as "1 reason" or "2 reasons"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}s"


def json_text(content: Any, indent: int | None = None) -> str:
    """Records as JSON in ASCII, so that no terminal obeys what a name in them holds.

    >>> json_text({"device": "a\x9bb"})
    '{"device": "a\\\\u009bb"}'
    """
    return json.dumps(msgspec.to_builtins(content), indent=indent)


def format_time(time_s: float) -> str:
    """Seconds in the unit that reads best, to three digits.

    >>> format_time(12.3e-6), format_time(0.055), format_time(1.2)
    ('12.3 µs', '55.0 ms', '1.20 s')
    >>> format_time(347e-6), format_time(999.7e-6)
    ('347 µs', '1000 µs')
    """
    return _scaled(time_s, _TIMES, "#.3g")


def format_time_range(time_s: float, low_s: float, high_s: float) -> str:
    """Seconds with a range about them, in the unit that reads best for the first.

    >>> format_time_range(12.3e-6, 11.9e-6, 0.0004)
    '12.3 µs [11.9, 400.0]'
    >>> format_time_range(1234.0, 1200.0, 1300.0)
    '1234 s [1200, 1300]'
    """
    unit, scale = _unit(time_s, _TIMES)
    middle = time_s / scale
    digits = max(0, 2 - max(0, floor(log10(middle))))

    def scaled(seconds: float) -> str:
        return f"{seconds / scale:.{digits}f}"

    return f"{scaled(time_s)} {unit} [{scaled(low_s)}, {scaled(high_s)}]"


def format_bytes(nbytes: int | None) -> str:
    """A number of bytes with a binary prefix, or "-" if it is not known.

    >>> format_bytes(4324), format_bytes(52_428_800), format_bytes(1_030_000)
    ('4.22 KiB', '50 MiB', '1006 KiB')
    """
    if nbytes is None:
        return "-"
    return _scaled(float(nbytes), _BYTES, ".3g")


def format_interval(comparison: TimeComparison, digits: int | None = None) -> str:
    """A ratio with its interval.

    Unless `digits` is given, its size decides the number of decimals.

    >>> format_interval(TimeComparison(1.25, 1.234, 1.5))
    '1.250 [1.234, 1.500]'
    >>> format_interval(TimeComparison(12.0, 6.0, 15.0))
    '12.0 [6.0, 15.0]'
    """
    ratio, low, high = comparison.ratio, comparison.low, comparison.high
    if digits is None:
        digits = _decimals(high)
    return f"{ratio:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _decimals(ratio: float) -> int:
    if ratio < 2:
        return 3
    if ratio < 10:
        return 2
    return 1


def format_ratio(comparison: TimeComparison, verdict: str) -> str:
    """A ratio with the farther end of its interval.

    It is in brackets where it is indistinguishable from 1.

    >>> format_ratio(TimeComparison(1.5, 1.41, 1.53), "slower")
    '1.50 ±6%'
    >>> format_ratio(TimeComparison(12.0, 6.0, 15.0), "indistinguishable")
    '(12.0 ±50%)'
    """
    ratio = comparison.ratio
    reach = max(comparison.high / ratio - 1, 1 - comparison.low / ratio)
    digits = 2 if ratio < 10 else 1
    text = f"{ratio:.{digits}f} ±{reach:.0%}"
    return f"({text})" if verdict == "indistinguishable" else text


def times_as_long(comparisons: Iterable[TimeComparison]) -> str:
    """How many times as long something takes, in several places.

    Where an interval is wide, its ends take the place of the estimates.

    >>> times_as_long([TimeComparison(1.56, 1.5, 1.6), TimeComparison(2.13, 2.0, 2.2)])
    '1.56 to 2.1 times'
    >>> times_as_long([TimeComparison(5.9, 3.0, 11.8)])
    'about 3.0 to 12 times'
    """
    comparisons = list(comparisons)
    if not any(map(is_wide, comparisons)):
        return f"{from_to([c.ratio for c in comparisons], format_factor)} times"
    ends = []
    for comparison in comparisons:
        ends += [comparison.low, comparison.high]
    return f"about {from_to(ends, format_factor)} times"


def is_wide(comparison: TimeComparison) -> bool:
    """Whether the ends of an interval say more than the estimate does."""
    return comparison.high > WIDE * comparison.low


def format_factor(ratio: float) -> str:
    """A ratio to two or three digits, as in "1.15", "5.7" or "12"."""
    if ratio < 1.95:
        return f"{ratio:.2f}"
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def from_to(numbers: Iterable[float], text: Callable[[float], str]) -> str:
    """The range of numbers, as "2 to 5", or one number where both ends read alike."""
    ordered = sorted(numbers)
    least = text(ordered[0])
    most = text(ordered[-1])
    return least if least == most else f"{least} to {most}"


def _scaled(number: float, units: dict[str, float], digits: str) -> str:
    unit, scale = _unit(number, units)
    number /= scale
    if number >= 999.5:
        digits = ".0f"
    text = f"{number:{digits}}".rstrip(".")
    return f"{text} {unit}"


def _unit(number: float, units: dict[str, float]) -> tuple[str, float]:
    """The largest unit of which there is at least one, or else the smallest unit."""
    fitting = [unit for unit in units.items() if number >= unit[1]]
    return fitting[0] if fitting else list(units.items())[-1]
