"""The process that looks at the subjects of one framework, and at nothing before: its warnings are its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from ..proving.messages import Subject as Named
from .noticing import noticed, survived
from .record import Subject


class Request(Struct, frozen=True):
    """The request to a process: the subjects of one framework, so that its import is its own.

    Args:
        framework: the name of the port.
        named: the subjects, as `trigru.bench.proving` names them.
        folder: of the snapshot.
        arrays: how the files begin in which the process leaves the arrays of each subject.
        programs: the folder in which compiled programs are kept; None keeps none.
        parts: whether the framework's own parts are looked at, too.
    """

    framework: str
    named: list[Named]
    folder: str
    arrays: str
    programs: str | None
    parts: bool = False


def name_of(named: Named) -> str:
    """The name of a subject before it was inspected."""
    own = "'s own" if named.source == "upstream" else ""
    return f"{named.name}{own}" + (f":{named.kernel}" if named.kernel else "")


def answer_request(request: Request, answer: Callable[[Subject], None]) -> None:
    """Look at the subjects in a process of its own."""
    for subject in look_at(request):
        answer(subject)


def look_at(request: Request) -> Iterator[Subject]:
    """Look at the subjects of a request, one after the other; its arrays are written before it is told."""
    imported, reason = Subject("", request.framework), None
    with noticed(imported, "import"), survived(imported, "import"):
        from ...common.port.compilation import compiled_quickly, programs_kept_in
        from ...impls import unavailable

        reason = unavailable(request.framework)
    if imported.problems or reason:
        for named in request.named:
            yield Subject(_name(named), request.framework, missing=reason or imported.problems["import"])
        return

    from ...common.files import write_whole
    from ..proving.questions import get_subject
    from .facts import Looked, look
    from .folder import Kept, encode
    from .parts import look_at_parts

    with programs_kept_in(None if request.programs is None else Path(request.programs)):
        for number, named in enumerate(request.named):
            kept = Kept()
            subject = Subject(_name(named), request.framework, warnings=dict(imported.warnings))
            with survived(subject, "import"):
                looked = Looked(get_subject(named), subject, Path(request.folder), kept)
                subject.name = _name(named, looked.port.name)
                look(looked)
            write_whole(Path(f"{request.arrays}.{number}"), encode(kept.arrays))
            yield subject
        if request.parts:
            kept = Kept()
            with compiled_quickly():
                subject = look_at_parts(request.framework, kept)
            write_whole(Path(f"{request.arrays}.parts"), encode(kept.arrays))
            yield subject


def _name(named: Named, name: str | None = None) -> str:
    return f"{name}:{named.kernel}" if name and named.kernel else name or name_of(named)
