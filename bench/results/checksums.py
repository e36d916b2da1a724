"""The JSON that trigru writes: each file has a checksum of its content, and all are read by one decoder.

A checksum shows that a file was changed after trigru wrote it. It names no author, and whoever changes a file can
compute it anew.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ...common.errors import TrigruError, brief
from .grouping import first_twice

#: The largest file of results or lines that is read.
MOST_BYTES = 2**28
#: The largest integer that is read: above it floats, as which the checksum takes integers, are not all different.
LARGEST = 2**53
#: Where an object has the checksum of all else in it.
CHECKSUM = "checksum"
_CHANGED = "it was changed after trigru wrote it, or written by another version"
T = TypeVar("T")


def with_checksum(record: Any) -> bytes:
    """A record as a JSON object with the checksum of its content."""
    content = msgspec.json.encode(record)
    return msgspec.json.encode(
        msgspec.json.decode(content) | {CHECKSUM: _checksum(_parse(content))}
    )


def record_of(content: bytes, kind: type[T], schema: int | None = None) -> T:
    """A record of this kind, as `with_checksum` wrote it. Whitespace, the order of keys and forms of floats are free.

    Raises a ValueError if it is of another schema, where the kind has one, was changed, or is no such record.

    >>> record_of(with_checksum({"ratio": 2.0}).replace(b":2.0", b" : 2"), dict)
    {'ratio': 2}
    >>> record_of(b'{"steps": 9007199254740993}', dict)
    Traceback (most recent call last):
    ValueError: an integer is 9007199254740993, expected at most 2**53
    """
    parsed = _parse(content)
    if not isinstance(parsed, dict):
        raise ValueError("it is no object")
    header = parsed.get(
        "trigru", parsed
    )  # of results, whose format is pytest-benchmark's
    found = header.get("schema") if isinstance(header, dict) else None
    if schema is not None and found != schema:
        number = f"{found:g}" if isinstance(found, float) else brief(repr(found))
        raise ValueError(
            f"schema {number}, expected {schema}: read it with the trigru that wrote it"
        )
    if parsed.pop(CHECKSUM, None) != _checksum(parsed):
        raise ValueError(_CHANGED)
    record = msgspec.json.decode(content)
    del record[CHECKSUM]
    return msgspec.convert(record, kind, str_keys=True)


def encode_line(record: Any, before: str) -> tuple[bytes, str]:
    """A record as a line of a journal, and its checksum, which is chained to that of the line before, or to ""."""
    content = msgspec.json.encode(record)
    checksum = _checksum([before, _parse(content)])
    return b'["%s",%s]\n' % (checksum.encode(), content), checksum


def decode_lines(content: bytes, kind: Any) -> tuple[list[Any], str]:
    """The records of a journal by `encode_line`, and the last checksum. Raises a ValueError as `record_of`."""
    records, checksum = [], ""
    for line in content.splitlines():
        parsed = _parse(line)
        if (
            not isinstance(parsed, list)
            or len(parsed) != 2
            or parsed[0] != _checksum([checksum, parsed[1]])
        ):
            raise ValueError(_CHANGED)
        checksum, record = msgspec.json.decode(line, type=tuple[str, kind])
        records.append(record)
    return records, checksum


@contextmanager
def refusing(path: Path, error: type[TrigruError], advice: str) -> Iterator[None]:
    """Within this context, what is wrong with a file becomes an error in a sentence, with what to do about it."""
    try:
        yield
    except (OSError, ValueError) as reason:  # also what msgspec says
        if isinstance(reason, TrigruError):
            raise
        what = reason.strerror if isinstance(reason, OSError) else brief(reason)
        raise error(f"{path}: {what}. {advice}") from reason


def _checksum(parsed: Any) -> str:
    """The SHA-256 of what `_parse` returned, with sorted keys and without whitespace."""
    return hashlib.sha256(
        json.dumps(parsed, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _parse(content: bytes) -> Any:
    """JSON with integers as floats, in which no object has a field twice: readers would not agree on which counts."""

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(
                f"an object has {first_twice(name for name, _ in pairs)} twice"
            )
        return dict(pairs)

    def float_of(digits: str) -> float:
        if len(digits) > len(f"-{LARGEST}") or abs(int(digits)) > LARGEST:
            raise ValueError(f"an integer is {brief(digits)}, expected at most 2**53")
        return float(digits)

    try:
        return json.loads(content, object_pairs_hook=object_of, parse_int=float_of)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
