"""Numbers as text, each with its unit."""

import json
from collections.abc import Callable, Iterable
from math import floor, log10
from typing import Any

import msgspec

from ..analysis.comparison import TimeComparison

_TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
_BYTES = {"GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10, "B": 1.0}


def count(number: int, what: str) -> str:
    """A number of things, as "1 reason" or "2 reasons"."""
    return f"{number} {what}{'s' * (number != 1)}"


def json_text(content: Any, indent: int | None = None) -> str:
    """Records as JSON in ASCII, so that no terminal obeys what a name in them holds.

    >>> json_text({"device": "a\x9bb"})
    '{"device": "a\\\\u009bb"}'
    """
    return json.dumps(msgspec.to_builtins(content), indent=indent)


def format_time(time_s: float) -> str:
    """Seconds in the unit that reads best, to three digits.

    >>> format_time(12.3e-6), format_time(0.055), format_time(1.2), format_time(347e-6), format_time(999.7e-6)
    ('12.3 µs', '55.0 ms', '1.20 s', '347 µs', '1000 µs')
    """
    return _scaled(time_s, _TIMES, "#.3g")


def format_time_range(time_s: float, low_s: float, high_s: float) -> str:
    """Seconds with a range about them, in the unit that reads best for the first.

    >>> format_time_range(12.3e-6, 11.9e-6, 0.0004), format_time_range(1234.0, 1200.0, 1300.0)
    ('12.3 µs [11.9, 400.0]', '1234 s [1200, 1300]')
    """
    unit, scale = _unit(time_s, _TIMES)
    digits = max(0, 2 - max(0, floor(log10(time_s / scale))))
    return f"{time_s / scale:.{digits}f} {unit} [{low_s / scale:.{digits}f}, {high_s / scale:.{digits}f}]"


def format_bytes(count: int | None) -> str:
    """A number of bytes with a binary prefix, or "-" if it is not known.

    >>> format_bytes(4324), format_bytes(52_428_800), format_bytes(1_030_000)
    ('4.22 KiB', '50 MiB', '1006 KiB')
    """
    return "-" if count is None else _scaled(float(count), _BYTES, ".3g")


def format_throughput(flop_per_s: float, share: float) -> str:
    """GFLOP/s, and the share of what the machine can do.

    >>> format_throughput(1.2345e11, 0.4567), format_throughput(4.567e9, 0.1), format_throughput(1.2345e8, 0.00067)
    ('123, 46%', '4.6, 10%', '0.12, 0.1%')
    """
    rate = flop_per_s * 1e-9
    return (
        f"{rate:.{'0f' if rate >= 10 else '2g'}}, {share:.{0 if share >= 0.1 else 1}%}"
    )


def format_interval(found: TimeComparison, digits: int | None = None) -> str:
    """A ratio with its interval. Unless digits is given, its size decides the number of decimals.

    >>> format_interval(TimeComparison(1.25, 1.234, 1.5)), format_interval(TimeComparison(12.0, 6.0, 15.0))
    ('1.250 [1.234, 1.500]', '12.0 [6.0, 15.0]')
    """
    if digits is None:
        digits = 3 if found.high < 2 else 2 if found.high < 10 else 1
    return f"{found.ratio:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def format_ratio(ratio: TimeComparison, verdict: str) -> str:
    """A ratio with the farther end of its interval, in brackets where it is indistinguishable from 1.

    >>> format_ratio(TimeComparison(1.5, 1.41, 1.53), "slower")
    '1.50 ±6%'
    >>> format_ratio(TimeComparison(12.0, 6.0, 15.0), "indistinguishable")
    '(12.0 ±50%)'
    """
    reach = max(ratio.high / ratio.ratio - 1, 1 - ratio.low / ratio.ratio)
    text = f"{ratio.ratio:.{2 if ratio.ratio < 10 else 1}f} ±{reach:.0%}"
    return f"({text})" if verdict == "indistinguishable" else text


def from_to(numbers: Iterable[float], text: Callable[[float], str]) -> str:
    """The range of numbers as text, as "2 to 5", or a single number if both ends read alike."""
    ordered = sorted(numbers)
    least, most = text(ordered[0]), text(ordered[-1])
    return least if least == most else f"{least} to {most}"


def _scaled(number: float, units: dict[str, float], digits: str) -> str:
    unit, scale = _unit(number, units)
    number /= scale
    return f"{number:{digits if number < 999.5 else '.0f'}}".rstrip(".") + f" {unit}"


def _unit(number: float, units: dict[str, float]) -> tuple[str, float]:
    return next(
        (row for row in units.items() if number >= row[1]), list(units.items())[-1]
    )
