"""The process that looks at the subjects of one framework, and at nothing before: its warnings are its own."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import msgspec
from msgspec import Struct

from .noticing import noticed, survived
from .record import PARTS_OF, Subject


class Request(Struct, frozen=True):
    """The request to a process: the subjects of one framework, so that its import is its own."""

    framework: str  # the name of the port
    names: list[str]  # of the subjects: the port, one of its kernels, as "linen:fused", or the framework's parts
    programs: str | None  # the folder in which compiled programs are kept; None keeps none


def answer_request(request: Request, answer: Callable[[tuple[Subject, bytes]], None]) -> None:
    """Look at the subjects of a request, one after the other; each goes with the file of its arrays, if it has some."""
    imported, reason = Subject("", request.framework), None
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import programs_kept_in
        from ...impls import unavailable

        reason = unavailable(request.framework)
    if imported.problems or reason:
        for name in request.names:
            answer((Subject(name, request.framework, missing=reason or imported.problems["import"]), b""))
        return

    from ...common.compat import enable_x64
    from ...common.port.protocol import WithKernel
    from ...impls import get_port
    from ..processes.child import collect_less_garbage
    from .files import Kept, encode
    from .parts import look_at_parts
    from .ports import look_at_port

    collect_less_garbage()
    # whatever JAX_ENABLE_X64 says here, as each fact names its dtype
    with enable_x64(False), programs_kept_in(None if request.programs is None else Path(request.programs)):
        for name in request.names:
            kept, subject = Kept(), deepcopy(msgspec.structs.replace(imported, name=name))
            if name == PARTS_OF.get(request.framework):
                look_at_parts(subject, kept)
            else:
                with survived(subject, "import"):
                    port, kernel = get_port(request.framework), name.partition(":")[2]
                    look_at_port(WithKernel(port, kernel) if kernel else port, subject, kept)
            answer((subject, encode(kept)))
