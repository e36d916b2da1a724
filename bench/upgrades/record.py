"""The record of a snapshot: all that is true of what is installed, apart from the clock.

It is data alone. Arrays are kept by their content: a fact names an array by the first hexadecimal digits of its hash,
and `trigru.bench.upgrades.folder` keeps each array once, however many facts name it.
"""

from typing import Literal

from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.port.programs import ProgramFacts
from ..results.ranges import Count
from ..results.record import Machine

SCHEMA = 1
#: That share a batch.
DEVICES = 2
#: What is done to a subject, in this order.
When = Literal["import", "make", "call", "train"]


class Where(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The place of a computation: style, phase and more.

    Args:
        style: the call style; "" where there is none.
        phase: of `trigru.common.port.task.PHASES`.
        dtype: of parameters and inputs.
        optimizer: of the train steps; "" in other phases.
        way: how the batch is spread over two devices; "" on one.
    """

    style: str
    phase: str
    dtype: str
    optimizer: str = ""
    way: str = ""

    def __str__(self) -> str:
        """The name in tables."""
        spread = f"{self.way} on two devices" if self.way else ""
        return " ".join(part for part in (self.phase, self.style, self.optimizer, self.dtype, spread) if part)


class Values(Struct, frozen=True, forbid_unknown_fields=True):
    """The arrays that came out, by name, in the order in which they are computed."""

    where: Where
    arrays: dict[str, str]


class Program(Struct, frozen=True, forbid_unknown_fields=True):
    """The program of a call.

    Args:
        xla: what XLA made of it.
        stablehlo_operations: operations in what XLA was given.
        jaxpr_equations: equations of the phase's function before it is lowered, those in loops included; None where
            the framework's model is no pytree.
    """

    where: Where
    xla: ProgramFacts
    stablehlo_operations: Count
    jaxpr_equations: Count | None


class Calls(Struct, frozen=True, forbid_unknown_fields=True):
    """The cost of a call apart from its program, in counts: they stand for dispatch time and have no noise.

    Args:
        leaves: arrays that cross the jit boundary inwards.
        functions: Python functions that one call runs once everything is compiled.
        builtins: functions of C that those call.
        lines: lines of Python that one call runs.
        traces: how often three calls of one shape run the Python code of the model; once is enough.
    """

    where: Where
    leaves: Count
    functions: Count
    builtins: Count
    lines: Count
    traces: Count


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf of a model's tree, at its place: trees are kept in their order."""

    path: str
    shape: tuple[int, ...]
    dtype: str


class Draw(Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter drawn from a fixed key.

    Args:
        model: "gru" or "classifier".
        key: the seed of the key.
    """

    model: str
    key: Count
    path: str
    array: str


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A file or folder with parameters, kept in the snapshot's folder.

    Args:
        file: its name below "checkpoints".
        names: of the arrays in it, with their shapes.
        arrays: the parameters that were written, by their canonical names.
    """

    file: str
    names: list[str]
    arrays: dict[str, str]


class Warned(Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A warning, without the number of its line, which moves with each release.

    Args:
        place: the module's file, from the folder of its package on.
    """

    when: When
    category: str
    text: str
    place: str


class Problem(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that did not work.

    Args:
        fact: what was being collected.
        where: of it, in words; "" if nothing of it was had.
        error: the exception's type.
        place: the file, and function, that raised it, from the folder of its package on.
        message: its first line.
    """

    fact: str
    where: str
    error: str
    place: str
    message: str


class Subject(Struct, forbid_unknown_fields=True):
    """A port with one of its kernels, or a framework's own part.

    Args:
        name: "linen", "linen:fused" or "nn.RNN".
        framework: the name of the port that has the same framework.
        missing: why it is not there; "" if it is.
        styles: its call styles, with the reason where the installed versions lack one, else "".
    """

    name: str
    framework: str
    missing: str = ""
    styles: dict[str, str] = {}
    draws: list[Draw] = []
    tree: list[Leaf] = []
    checkpoints: list[Checkpoint] = []
    values: list[Values] = []
    programs: list[Program] = []
    calls: list[Calls] = []
    warnings: list[Warned] = []
    problems: list[Problem] = []


class Snapshot(Struct, forbid_unknown_fields=True):
    """All that is true of what is installed, apart from the clock.

    Args:
        schema: the version of this format.
        command: the words of the command, without the folder.
        datetime: when it was taken.
        machine: the machine, and the installed versions.
        equality: every measurement of `verify`; None if it was left out.
        departures: where the frameworks' own parts depart from the contract: part, what, status.
        subjects: what was looked at.
    """

    schema: int
    command: list[str]
    datetime: str
    machine: Machine
    equality: list[Measurement] | None
    departures: list[tuple[str, str, str]]
    subjects: list[Subject]
