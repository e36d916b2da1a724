"""The JSON that trigru writes, and how what is wrong with such a file is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from ...common.errors import TrigruError, brief

#: The largest file of results or lines that is read, also unfolded from a ".gz". It is
#: some times as large as that of a long run, and Python needs some times as much memory
#: for what is in it.
MOST_BYTES = 2**26
T = TypeVar("T")


class _Schema(msgspec.Struct):
    """The version of a file's format. That of a file of results is below `trigru`."""

    schema: int | float | None = None
    trigru: "_Schema | None" = None


def decode(content: bytes, kind: type[T], schema: int | None = None) -> T:
    """A record of this kind from JSON.

    Raises a ValueError if it is of another schema, where the kind has one, or is no
    such record.

    >>> decode(b'{"schema": 1}', dict, schema=2)
    Traceback (most recent call last):
    ValueError: schema 1, expected 2: read it with the trigru that wrote it
    """
    try:
        if schema is not None:
            header = msgspec.json.decode(content, type=_Schema)
            schema_of_file = (header.trigru or header).schema
            if schema_of_file != schema:
                raise ValueError(
                    f"schema {schema_of_file}, expected {schema}: read it with the "
                    "trigru that wrote it"
                )
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def refusing(path: Path, error: type[TrigruError], advice: str) -> Iterator[None]:
    """Within this context, what is wrong with a file becomes an error in a sentence.

    The error ends with the advice on what to do about it.
    """
    try:
        yield
    except TrigruError:
        raise
    except (OSError, ValueError) as reason:  # also what msgspec raises
        what = brief(reason)
        if isinstance(reason, OSError) and reason.strerror:
            what = reason.strerror
        raise error(f"{path}: {what}. {advice}") from reason
