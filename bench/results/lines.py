"""The one decoder of the JSON files that trigru writes: of a bounded size, depth and number of digits."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

#: The largest file of results or lines that is read.
MOST_BYTES = 2**28
#: The most digits of an integer; what trigru counts has fewer.
MOST_DIGITS = 18


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that is there a second time."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)


def check_date(text: str) -> None:
    """Raise a ValueError unless a text is a date and time as this package writes them."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"datetime is {text[:40]!r}, expected one like 2026-01-31T12:00:00+00:00") from None


def decode(content: bytes, kind: Any = Any) -> Any:
    """A value of this kind from JSON in which no object has a field twice: readers would not agree on which counts.

    Raises:
        ValueError: it is none, too deep, or has an integer of too many digits.

    >>> decode(b'{"ratio": 0.5, "ratio": 2.0}')
    Traceback (most recent call last):
    ValueError: an object has ratio twice
    """
    try:
        json.loads(content, object_pairs_hook=_refuse_twice, parse_int=_read_integer)
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"an object has {first_twice(name for name, _ in pairs)} twice")


def _read_integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer has {len(digits)} digits")
    return int(digits)
