"""What happens beside a result: warnings and exceptions, by their place in a package.

Places have no line numbers, since these move with each release; the line of a warning
is kept apart.
"""

import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import dropwhile
from pathlib import Path
from types import FrameType

from ...common.errors import NotOfferedError
from .record import Subject, Warned

_PACKAGES = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")
#: An address in memory within a text, which differs from run to run.
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_TRIGRU = Path(__file__).parents[2]
_LONGEST = 200  # characters of a message that are kept


@cache
def place_of(file: str) -> str:
    """A file from the folder of its package on, as "flax/nnx/graph.py".

    The whole path may identify a user.
    """
    path = Path(file)
    shortened = _PACKAGES.sub("", path.as_posix())
    if shortened == path.as_posix() and path.is_relative_to(_TRIGRU):
        return f"trigru/{path.relative_to(_TRIGRU).as_posix()}"
    if not shortened.startswith(("/", "<")) and not path.drive:
        return shortened

    # a package that stands elsewhere, as in a clone, or a file of none
    packages = [parent for parent in path.parents if (parent / "__init__.py").is_file()]
    root = packages[-1].parent if packages else path.parent
    return path.relative_to(root).as_posix()


def line_of(frame: FrameType) -> str:
    """The line where a frame of Python is, as "flax/nnx/graph.py:12".

    It is empty within trigru.
    """
    place = place_of(frame.f_code.co_filename)
    if place.startswith("trigru/"):
        return ""
    return f"{place}:{frame.f_lineno}"


@contextmanager
def noticed(subject: Subject, when: str) -> Iterator[None]:
    """Add the warnings that are given within this context to a subject, each once."""

    def keep(
        message: Warning | str, category: type[Warning], filename: str, *_: object
    ) -> None:
        where = f"at {when}, {place_of(filename)}"
        text = f"{category.__name__}: {_first_line(message)}"
        known = {(warned.where, warned.text) for warned in subject.warnings}
        if (where, text) not in known:
            subject.warnings.append(Warned(where, text, line_of(_warning_frame())))
            subject.warnings.sort(key=lambda warned: (warned.where, warned.text))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = keep
        yield


@contextmanager
def survived(subject: Subject, what: str) -> Iterator[None]:
    """Add an exception to a subject, as a problem of what was looked at, and go on.

    What a port does not offer is no problem.
    """
    try:
        yield
    except NotOfferedError:
        pass
    except Exception as error:  # a framework may fail in any way
        subject.problems[what] = reason_of(error)


def reason_of(error: Exception) -> str:
    """An exception in a line: its class, where a package raised it, and its text."""
    return f"{type(error).__name__}{_raised_in(error)}: {_first_line(error)}"


def _warning_frame() -> FrameType:
    """The frame that called `warnings.warn`, whatever line it says it is about."""
    own_file = warnings.formatwarning.__code__.co_filename

    def is_not_warnings(entry: tuple[FrameType, int]) -> bool:
        return entry[0].f_code.co_filename != own_file

    stack = traceback.walk_stack(sys._getframe())
    from_warnings_on = dropwhile(is_not_warnings, stack)
    caller, _ = next(filter(is_not_warnings, from_warnings_on))
    return caller


def _raised_in(error: Exception) -> str:
    """Where an exception was raised, and which other package led there.

    Files of trigru are named only where no other is in the traceback. JAX's filter of
    tracebacks would hide Equinox's files: a process of a snapshot switches it off.
    """
    frames: list[tuple[str, str]] = []
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        place = place_of(frame.filename)
        if place.endswith("traceback_util.py") or place == place_of(__file__):
            continue
        frames.append((place, frame.name))
    others = [frame for frame in frames if not frame[0].startswith("trigru/")]
    frames = others or frames
    if not frames:
        return ""

    place, function = frames[0]
    package = place.partition("/")[0]
    for other_place, other_function in others:
        if other_place.partition("/")[0] != package:
            return f" in {place}: {function}, from {other_place}: {other_function}"
    return f" in {place}: {function}"


def _first_line(message: object) -> str:
    line = str(message).strip().partition("\n")[0]
    line = _ADDRESS.sub("0x…", line)
    if len(line) > _LONGEST:
        return f"{line[:_LONGEST]}…"
    return line
