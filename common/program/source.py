"""Which lines of code are the user's, among those of libraries and of trigru itself."""

import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import CodeLine

#: Folders of libraries: a line of another file is the user's.
LIBRARIES = tuple(
    {path for name, path in sysconfig.get_paths().items() if "lib" in name}
)

#: Rooms of trigru that trace models.
_TRACING_ROOMS = (
    "common/parity",
    "common/program",
    "common/equality",
    "impls/parity",
    "parity",
)
_TRACING = tuple(f"{Path(__file__).parents[2]}/{room}/" for room in _TRACING_ROOMS)


def shown(file: str) -> str:
    """The path of a file as users find it.

    It begins at the current folder, or, for a file of a library, at the folder of all
    libraries; any other path is whole.
    """
    return file.removeprefix(f"{Path.cwd()}/").rpartition("site-packages/")[2]


def of_user(lines: Iterable[CodeLine]) -> list[CodeLine]:
    """Those of some lines that are of the user's code."""
    return [line for line in without_tracing(lines) if is_users(line)]


def without_tracing(lines: Iterable[CodeLine]) -> list[CodeLine]:
    """Those of some lines that are not of trigru's own files that trace models."""
    return [line for line in lines if not line.file.startswith(_TRACING)]


def is_users(line: CodeLine) -> bool:
    """Whether a line is of no library."""
    return not line.file.startswith(LIBRARIES) and "site-packages" not in line.file


def innermost(frames: Sequence[traceback.FrameSummary]) -> CodeLine | None:
    """The innermost line of the user's code in a traceback or a stack, or None."""
    for frame in reversed(frames):
        line = CodeLine(frame.filename, frame.lineno or 0, frame.name)
        if of_user([line]):
            return line
    return None
