"""The process that looks at the subjects of one framework.

The framework is imported when warnings are heard already.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..processes.child import Parent, collect_less_garbage
from .noticing import noticed, survived
from .record import PARTS_OF, Subject
from .snapshot_file import ArrayStore, encode


class Request(Struct, frozen=True):
    """What a process is to look at."""

    framework: str  # the name of a port
    #: The names of subjects: the port, a kernel, as "linen:fused", or the framework's
    #: parts, as in `PARTS_OF`.
    subjects: list[str]
    programs: str | None  # the folder that keeps compiled programs; None keeps none


class Looked(Struct, frozen=True):
    """A subject with the file of its arrays."""

    subject: Subject
    arrays: bytes = b""  # of `snapshot_file.encode`; empty if there are none


def look(parent: Parent[Request]) -> None:
    """Look at the subjects of requests, one after the other, in a child process."""
    for request in parent.tasks():
        for looked in answers_to(request):
            parent.send(looked)


def answers_to(request: Request) -> Iterator[Looked]:
    """The subjects of a request, as they are looked at."""
    imported = Subject("", request.framework)
    missing = ""
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import programs_kept_in
        from ...impls import unavailable

        missing = unavailable(request.framework) or ""
    missing = missing or imported.problems.get("import", "")
    if missing:
        for name in request.subjects:
            yield Looked(Subject(name, request.framework, missing=missing))
        return

    from ...common.compat import enable_x64

    collect_less_garbage()
    programs = None if request.programs is None else Path(request.programs)
    # without x64, whatever JAX_ENABLE_X64 says, since each fact names its dtype
    with enable_x64(False), programs_kept_in(programs):
        for name in request.subjects:
            store = ArrayStore()
            subject = deepcopy(replace(imported, name=name))
            _look_at(subject, store)
            yield Looked(subject, encode(store))


def _look_at(subject: Subject, store: ArrayStore) -> None:
    from ...common.port.protocol import WithKernel
    from ...impls import get_port
    from .parts import look_at_parts
    from .ports import look_at_port

    if subject.name == PARTS_OF.get(subject.framework):
        look_at_parts(subject, store)
        return
    with survived(subject, "import"):
        port = get_port(subject.framework)
        kernel = subject.name.partition(":")[2]
        if kernel:
            port = WithKernel(port, kernel)
        look_at_port(port, subject, store)
