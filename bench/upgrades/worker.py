"""The process that looks at the subjects of one framework, and at nothing before: its warnings are its own."""

import os

from ..processes.child import Parent, adopt

if __name__ == "__main__":
    PARENT = adopt()  # before all other imports
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from collections.abc import Iterator
from pathlib import Path

import msgspec

from .messages import Found, Request
from .noticing import noticed, survived
from .record import Subject


def look_at(request: Request) -> Iterator[Found]:
    """Look at the subjects of a request, one after the other; the arrays are written last."""
    imported = Subject("", request.framework)
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import programs_kept_in
        from ...impls import unavailable

        reason = unavailable(request.framework)
    if imported.problems or reason:
        for named in request.named:
            yield Found(Subject(_name(named), request.framework, missing=reason or imported.problems[0].message))
        return

    from safetensors.numpy import save_file

    from ..proving.questions import get_subject
    from .facts import Kept, Looked, look

    kept = Kept()
    with programs_kept_in(None if request.programs is None else Path(request.programs)):
        for named in request.named:
            subject = Subject(_name(named), request.framework, warnings=list(imported.warnings))
            with survived(subject, "import"):
                looked = Looked(get_subject(named), subject, Path(request.folder), kept)
                subject.name = _name(named, looked.port.name)
                look(looked)
            yield Found(subject)
    save_file(kept.arrays, request.arrays)


def _name(named: object, name: str | None = None) -> str:
    kernel = getattr(named, "kernel", None)
    return f"{name or getattr(named, 'name', '')}" + (f":{kernel}" if kernel else "")


def main(parent: Parent) -> None:
    """Answer one request."""
    for found in look_at(msgspec.json.decode(parent.request, type=Request)):
        parent.answer(msgspec.json.encode(found))


if __name__ == "__main__":
    main(PARENT)  # pyright: ignore[reportPossiblyUnboundVariable]
