"""Files that grow by a line of JSON for each event, and outlive the process that writes them."""

import os
from pathlib import Path
from typing import Any

import msgspec

from ...common.errors import TrigruError, brief
from ...common.files import read_whole

#: The largest file of results or lines that is read.
MOST_BYTES = 2**28


class LinesError(TrigruError, ValueError):
    """A file of lines is missing, or is none of this trigru."""


class UnfinishedError(TrigruError):
    """There is a file of another run, and nobody said what to do with it."""


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
        return [msgspec.json.decode(line, type=kind) for line in whole.splitlines()]
    except OSError as error:
        raise LinesError(f"{path}: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LinesError(f"{path}: not a run of this trigru: {brief(error)}.") from error


def cut_unfinished(path: Path) -> None:
    """Remove what follows the last whole line."""
    if path.is_symlink():
        raise LinesError(f"{path}: is a symbolic link, which is not written to. Remove it.")
    os.truncate(path, len(_whole(read_whole(path, MOST_BYTES))))


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
