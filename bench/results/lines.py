"""JSON in which no object says a field twice, and how much of it is read."""

import json
from typing import Any

import msgspec

from .contradictions import first_twice

#: The largest file of results or lines that is read.
MOST_BYTES = 2**28


def decode(content: bytes, kind: Any = Any) -> Any:
    """A value of this kind from JSON in which no object says a field twice: readers would not agree on which counts.

    Raises:
        ValueError: it is none.
        RecursionError: it is too deep.

    >>> decode(b'{"ratio": 0.5, "ratio": 2.0}')
    Traceback (most recent call last):
    ValueError: an object has ratio twice
    """
    value = msgspec.json.decode(content, type=kind)
    json.loads(content, object_pairs_hook=_refuse_twice)
    return value


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"an object has {first_twice(name for name, _ in pairs)} twice")
