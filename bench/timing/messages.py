"""What the parent of a run asks of its processes, and what they answer: a line of JSON each."""

from msgspec import Struct

from ...common.port.programs import Build, ProgramFacts
from ..arms.plan import Plan
from .machine import Machine
from .roofline import Ceilings

__all__ = ["Answer", "GroupRecord", "Measured", "Request", "Started", "Underway", "Untimed"]


class Request(Struct, frozen=True):
    """What a process is asked for.

    Args:
        plan: of the run.
        process: its number, from 0.
        alone: compile one arm after the other, so that its time is its own and its crash, too.
        groups: those still to be measured.
        lost: arms that get no number any more, with the reason.
        folder: for what the processes of a run share.
    """

    plan: Plan
    process: int
    alone: bool
    groups: list[str]
    lost: dict[str, str]
    folder: str


class Started(Struct, frozen=True, tag=True):
    """The first answer: what is measured on."""

    machine: Machine
    ceilings: dict[str, Ceilings]


class Underway(Struct, frozen=True, tag=True):
    """What comes next, and the share of the process's work that was done since the last of these."""

    what: str
    share: float
    group: str | None = None
    arm: str | None = None


class Measured(Struct, frozen=True):
    """One arm in one process. See `trigru.bench.results.record.Facts`."""

    id: str
    gate: float | None
    leaves: int
    build: Build | None
    program: ProgramFacts | None
    calls: int
    warm_up_calls: int
    steady: bool
    time_s: list[float]
    pipelined_s: list[float]
    position: list[int]
    started_s: list[float]


class Untimed(Struct, frozen=True, forbid_unknown_fields=True):
    """An arm without a number, and why."""

    id: str
    group: str
    name: str
    reason: str


class GroupRecord(Struct, frozen=True, tag=True):
    """One group in one process."""

    group: str
    process: int
    measured: list[Measured]
    untimed: list[Untimed]


Answer = Started | Underway | GroupRecord
