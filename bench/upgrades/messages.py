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
        arrays: the file in which the process leaves its arrays.
        programs: the folder in which compiled programs are kept; None keeps none.
    """

    framework: str
    named: list[Named]
    folder: str
    arrays: str
    programs: str | None


class Found(Struct, frozen=True):
    """A subject with all its facts."""

    subject: Subject
