"""What a proof and its processes send each other: questions by name, and answers.

Ports hold functions, and cannot be sent. This imports no JAX, so that processes can be
started before that is imported.
"""

from msgspec import Struct

from ...common.equality.contract.cases import Case
from ...common.equality.measurement import Measurement


class PortId(Struct, frozen=True):
    """A port by name.

    Attributes:
        name: of the port.
        kernel: that of its models, as users write it; None leaves the port as it is.
    """

    name: str
    kernel: str | None = None


class QuestionId(Struct, frozen=True):
    """A check of one port, or one case of a check: the least piece of work."""

    subject: PortId
    check: str
    case: Case | None = None


#: What a process answers before it takes more: questions by their number in the proof.
Task = dict[int, QuestionId]


class Answered(Struct, frozen=True):
    """The answer to a question.

    Attributes:
        number: that of the question.
        measurement: what was measured.
        compiled: how many programs were compiled for it.
        reused: how many programs were found compiled.
        backend: the platform on which it was measured.
    """

    number: int
    measurement: Measurement
    compiled: int
    reused: int
    backend: str
