"""The lines of code that made an equation of a trace."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

_JAX = str(Path(jax.__file__).parent)


class CodeLine(NamedTuple):
    """A line of a file, and the function in which it stands."""

    file: str
    line: int
    function: str


def code_lines(equation: Any) -> tuple[CodeLine, ...]:
    """The lines that led to an equation, the innermost first, without JAX's own. None where JAX kept no traceback.

    >>> closed = jax.make_jaxpr(lambda x: x + 1)(2.0)
    >>> code_lines(closed.eqns[0])[0].function
    '<lambda>'
    """
    traceback = getattr(getattr(equation, "source_info", None), "traceback", None)
    frames = [] if traceback is None else traceback.frames
    lines = (CodeLine(frame.file_name, frame.line_num, frame.function_name) for frame in frames)
    return tuple(line for line in lines if not line.file.startswith((_JAX, "<frozen")))
