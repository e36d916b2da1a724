"""Files that grow by a line of JSON for each event, and outlive the process that writes them."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from ...common.errors import TrigruError, brief
from ...common.files import read_whole
from .contradictions import first_twice

#: The largest file of results or lines that is read.
MOST_BYTES = 2**28


class LinesError(TrigruError, ValueError):
    """A file of lines is missing, or is none of this trigru."""


class UnfinishedError(TrigruError):
    """There is a file of another run, and nobody said what to do with it.

    Args:
        path: of the file.
        what: it is, as what follows its name in a sentence.
        can_go_on: whether a run can go on with it.
    """

    def __init__(self, path: Path, what: str, *, can_go_on: bool = True):
        options = "Go on with it by --resume, or pass --discard" if can_go_on else "Pass --discard"
        super().__init__(f"{path} {what}. {options} to begin anew.")


#: How a run that ended early goes on.
GO_ON = "The same command with --resume, and without --discard, goes on from there."


def append(path: Path, line: Any) -> None:
    """Write a line to the end of a file that is there."""
    with open(os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)), "ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def read_lines(path: Path, kind: Any) -> list[Any]:
    """The whole lines of a file; one that was under way when the process was killed does not count.

    Raises:
        LinesError: it cannot be read, or has a line that is of no such kind.
    """
    try:
        whole = _whole(read_whole(path, MOST_BYTES))
        return [decode(line, kind) for line in whole.splitlines()]
    except OSError as error:
        raise LinesError(f"{path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # also what msgspec says
        raise LinesError(f"{path}: not a run of this trigru: {brief(error)}.") from error


def decode(content: bytes, kind: Any = Any) -> Any:
    """A value of this kind from JSON in which no object says a field twice: readers would not agree on which counts.

    Raises:
        ValueError: it is none.
        RecursionError: it is too deep.

    >>> decode(b'{"ratio": 0.5, "ratio": 2.0}')
    Traceback (most recent call last):
    ValueError: an object has ratio twice
    """
    found = msgspec.json.decode(content, type=kind)
    json.loads(content, object_pairs_hook=_refuse_twice)
    return found


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"an object has {first_twice(name for name, _ in pairs)} twice")


def cut_unfinished(path: Path) -> None:
    """Remove what follows the last whole line."""
    if path.is_symlink():
        raise LinesError(f"{path}: is a symbolic link, which is not written to. Remove it.")
    os.truncate(path, len(_whole(read_whole(path, MOST_BYTES))))


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
