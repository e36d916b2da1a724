"""Messages between the parent of a snapshot and its processes: one line of JSON each way."""

from msgspec import Struct

from ..proving.messages import Subject as Named
from .record import Subject


class Request(Struct, frozen=True):
    """What a process looks at: the subjects of one framework, so that its import is its own.

    Args:
        framework: the name of the port.
        named: the subjects, as `trigru.bench.proving` names them.
        folder: of the snapshot.
        arrays: how the files begin in which the process leaves the arrays of each subject.
        programs: the folder in which compiled programs are kept; None keeps none.
        spread: whether it looks at the programs of a batch that two devices share, and at nothing else.
    """

    framework: str
    named: list[Named]
    folder: str
    arrays: str
    programs: str | None
    spread: bool = False


def name_of(named: Named) -> str:
    """What a subject is called before it could be looked at."""
    own = "'s own" if named.source == "upstream" else ""
    return f"{named.name}{own}" + (f":{named.kernel}" if named.kernel else "")


class Found(Struct, frozen=True):
    """A subject with all its facts."""

    subject: Subject
