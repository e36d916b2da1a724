"""The process that looks at the subjects of one framework, and at nothing before: its warnings are its own."""

import os

from ..processes.child import Parent, adopt

if __name__ == "__main__":
    PARENT = adopt()  # before all other imports
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..proving.messages import Subject as Named
from .messages import Found, Request, name_of
from .noticing import noticed, survived
from .record import Subject


def look_at(request: Request) -> Iterator[Found]:
    """Look at the subjects of a request, one after the other; its arrays are written before it is told."""
    imported, reason = Subject("", request.framework), None
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import programs_kept_in
        from ...impls import unavailable

        reason = unavailable(request.framework)
    if imported.problems or reason:
        for named in request.named:
            yield Found(Subject(_name(named), request.framework, missing=reason or imported.problems[0].message))
        return

    from ...common.files import write_whole
    from ..proving.questions import get_subject
    from .facts import SPREAD, Kept, Looked, look
    from .folder import encode

    with programs_kept_in(None if request.programs is None else Path(request.programs)):
        for number, named in enumerate(request.named):
            kept = Kept()
            subject = Subject(_name(named), request.framework, warnings=list(imported.warnings))
            with survived(subject, "import"):
                looked = Looked(get_subject(named), subject, Path(request.folder), kept)
                subject.name = _name(named, looked.port.name)
                look(looked, SPREAD if request.spread else None)
            write_whole(Path(f"{request.arrays}.{number}"), encode(kept.arrays))
            yield Found(subject)


def _name(named: Named, name: str | None = None) -> str:
    return f"{name}:{named.kernel}" if name and named.kernel else name or name_of(named)


def main(parent: Parent) -> None:
    """Answer one request."""
    for found in look_at(msgspec.json.decode(parent.request, type=Request)):
        parent.answer(msgspec.json.encode(found))


if __name__ == "__main__":
    main(PARENT)  # pyright: ignore[reportPossiblyUnboundVariable]
