"""Messages between the parent of a proof and its processes: one line of JSON each."""

from typing import Literal

from msgspec import Struct

from ...common.equality.measurement import Measurement


class Subject(Struct, frozen=True):
    """A port by name, since ports hold functions and cannot be sent.

    Args:
        source: where it is looked up: the ports for use, the frameworks' own parts, or the planted faults.
        name: what it is called there.
        kernel: of its models, as users write it; None leaves the port as it is.
    """

    source: Literal["port", "upstream", "fault"]
    name: str
    kernel: str | None = None


class Asked(Struct, frozen=True):
    """A question by names. See `trigru.common.equality.verification.Question`."""

    subject: Subject
    check: str
    row: dict[str, str] | None = None


class Request(Struct, frozen=True):
    """The request to the processes of a proof.

    Args:
        questions: all of them; each is answered by the process that takes it first.
        start: which share of them this process begins with, from 0 to 1. Those of one row stand together, so that few
            processes have to ask the oracle about it.
        folder: in which a process leaves a mark for each question that it takes.
        programs: the folder in which compiled programs are kept; None keeps none.
        shrink: whether a row that fails is made smaller.
    """

    questions: list[Asked]
    start: float
    folder: str
    programs: str | None
    shrink: bool = True


class Answered(Struct, frozen=True):
    """The measurements, their platform, and how many programs were compiled for them or found compiled.

    Args:
        number: that of the question.
        death: how the process died of the question, which its parent adds.
    """

    number: int
    measurements: list[Measurement]
    compiled: int = 0
    reused: int = 0
    backend: str | None = None
    death: str | None = None


#: A process took the question of this number; then, its answer.
Answer = int | Answered
