"""The process that looks at the subjects of one framework, and what it notices: warnings, and exceptions.

Both are kept by their place in a package, without numbers of lines. The framework is imported when warnings are heard.
"""

import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from itertools import dropwhile
from pathlib import Path
from typing import Any

import msgspec

from ...common.errors import NotOfferedError
from .record import PARTS_OF, Kept, Subject, encode

_PACKAGES = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")  # which differs from run to run within a text
_OWN = Path(__file__).parents[2]
#: The name of a port, those of subjects (the port, one of its kernels, as "linen:fused", or the framework's parts), and
#: the folder in which compiled programs are kept; None keeps none.
Request = tuple[str, list[str], str | None]


def answer_request(
    request: Request, answer: Callable[[tuple[Subject, bytes]], None]
) -> None:
    """Look at the subjects of a request, one after the other; each goes with the file of its arrays, if it has some."""
    framework, names, programs = request
    imported, reason = Subject("", framework), None
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import programs_kept_in
        from ...impls import unavailable

        reason = unavailable(framework)
    if imported.problems or reason:
        for name in names:
            answer(
                (
                    Subject(
                        name, framework, missing=reason or imported.problems["import"]
                    ),
                    b"",
                )
            )
        return

    from ...common.compat import enable_x64
    from ...common.port.protocol import WithKernel
    from ...impls import get_port
    from ..processes.child import collect_less_garbage
    from .parts import look_at_parts
    from .ports import look_at_port

    collect_less_garbage()
    # whatever JAX_ENABLE_X64 says here, as each fact names its dtype
    with (
        enable_x64(False),
        programs_kept_in(None if programs is None else Path(programs)),
    ):
        for name in names:
            kept, subject = (
                Kept(),
                deepcopy(msgspec.structs.replace(imported, name=name)),
            )
            if name == PARTS_OF.get(framework):
                look_at_parts(subject, kept)
            else:
                with survived(subject, "import"):
                    port, kernel = get_port(framework), name.partition(":")[2]
                    look_at_port(
                        WithKernel(port, kernel) if kernel else port, subject, kept
                    )
            answer((subject, encode(kept)))


@cache
def place_of(file: str) -> str:
    """A file's name from the folder of its package on, as flax/nnx/graph.py; it may otherwise identify a user."""
    path = Path(file)
    shortened = _PACKAGES.sub("", path.as_posix())
    if shortened == path.as_posix() and path.is_relative_to(_OWN):
        return f"trigru/{path.relative_to(_OWN).as_posix()}"
    if not shortened.startswith(("/", "<")) and not path.drive:
        return shortened
    packages = [
        folder for folder in path.parents if (folder / "__init__.py").is_file()
    ]  # that stand elsewhere
    return path.relative_to(packages[-1].parent if packages else path.parent).as_posix()


@contextmanager
def noticed(subject: Subject, when: str) -> Iterator[None]:
    """Adds the warnings that are given meanwhile to a subject, each once, with the line that warns."""

    def keep(
        message: Warning | str, category: type[Warning], filename: str, *_: object
    ) -> None:
        where, text = (
            f"at {when}, {place_of(filename)}",
            f"{category.__name__}: {_first_line(message)}",
        )
        texts = subject.warnings.setdefault(where, [])
        if text not in texts:
            texts.append(text)
            texts.sort()
            # whatever line it says that it is about, the one that called `warnings`, which called this
            own = warnings.formatwarning.__code__.co_filename
            frames = dropwhile(
                lambda frame: frame[0].f_code.co_filename != own,
                traceback.walk_stack(sys._getframe()),
            )
            line = line_of(
                next(frame for frame, _ in frames if frame.f_code.co_filename != own)
            )
            subject.lines[f"{where}: {text}"] = line

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = keep
        yield


def line_of(frame: Any) -> str:
    """The line at which a frame of Python is, as "flax/nnx/graph.py:12"; "" for trigru's own."""
    place = place_of(frame.f_code.co_filename)
    return "" if place.startswith("trigru/") else f"{place}:{frame.f_lineno}"


@contextmanager
def survived(subject: Subject, *what: object) -> Iterator[None]:
    """Adds an exception to a subject, under what was being collected, and goes on; what is not offered is left out."""
    try:
        yield
    except NotOfferedError:
        pass
    except Exception as error:  # a framework may fail in any way
        subject.problems[" ".join(map(str, what))] = (
            f"{type(error).__name__}{_raised_in(error)}: {_first_line(error)}"
        )


def _raised_in(error: Exception) -> str:
    """Where an exception was raised, and which other package led there; trigru's files only where there are no others.

    A process of a snapshot switches JAX's filter of tracebacks off, which would hide the files of Equinox, too.
    """
    stack = reversed(traceback.extract_tb(error.__traceback__))
    frames = [
        (place_of(f.filename), f.name)
        for f in stack
        if not f.filename.endswith("traceback_util.py")
    ]
    others = [frame for frame in frames if not frame[0].startswith("trigru/")]
    raised = next(
        iter(others or [frame for frame in frames if frame[0] != place_of(__file__)]),
        None,
    )
    if raised is None:
        return ""
    package = raised[0].partition("/")[0]
    led = next(
        (frame for frame in others if frame[0].partition("/")[0] != package), None
    )
    return ", from ".join(
        f"{' in ' * (of is raised)}{of[0]}: {of[1]}" for of in (raised, led) if of
    )


def _first_line(said: object) -> str:
    line = _ADDRESS.sub("0x…", str(said).strip().partition("\n")[0])
    return line if len(line) <= 200 else f"{line[:200]}…"
