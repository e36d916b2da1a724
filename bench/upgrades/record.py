"""The record of a snapshot, all that is true of what is installed apart from the clock; and of a change between two.

It is data alone. Arrays are kept by their content: a fact names an array by the first hexadecimal digits of its hash,
and `trigru.bench.upgrades.files` keeps each array once, however many facts name it.
"""

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.port.programs import Count
from ..results.machine import Machine

SCHEMA = 8
#: What a change can be, causes before what follows from them, and what it means.
KINDS = {
    "code": "is a package with other code under the same version",
    "tree": "has other leaves, or in another order",
    "arguments": "takes other arguments, or has other defaults",
    "function": "computes something else, beyond rounding",
    "draws": "draws other parameters from the same key",
    "checkpoints": "no longer reads old files as they were written",
    "broken": "no longer works, or is no longer equal to the oracle",
    "calls": "traces again, waits, or runs more Python in a call",
    "kept": "keeps more for the gradient",
    "work": "has over a quarter more operations",
    "warnings": "warns anew",
    "memory": "has a program that needs more memory",
    "bits": "rounds in another way",
    "program": "is another program",
    "better": "works now, costs less, or is new",
}
#: Those that fail unless somebody says otherwise.
FAILING = tuple(kind for kind in KINDS if kind not in ("memory", "bits", "program", "better"))
#: In what is kept of a program: bytes of temporary memory, and the fingerprint of the optimised HLO.
MEMORY, PRINT = "temporary memory", "fingerprint"
#: How long a trace is, and what it is lowered to.
EQUATIONS, OPERATIONS = "jaxpr equations", "StableHLO operations"
#: Bytes that the forward pass keeps for the gradient.
KEPT = "kept for the gradient"
#: The content of a file, beside the arrays in it.
CONTENT = "content"
#: What the subject of a framework's own parts is called, by the name of the port with the same framework.
PARTS_OF = {"pure": "jax, optax", "linen": "linen's parts", "nnx": "nnx's parts", "equinox": "equinox's parts"}
#: How the names of calls end that were computed in float64.
IN_FLOAT64 = " in float64"
#: The numbers of a signature: whether the value tells others apart, its size, and three that depend on its numbers.
SIGNATURE = 5
#: By name, in the order in which they are computed.
ArrayNames = dict[str, str]


class Trail(Struct, forbid_unknown_fields=True):
    """What a program computes, value by value, and on which lines.

    Args:
        lines: each line once, with what it computes, as "flax/linen/recurrent.py:593 (mul of shape 4x8)".
        steps: the name of an array of whole numbers, one operation after the other: its line, how many operands and
            results it has, the numbers of these operands, and those of the results.
        signatures: the name of an array with a row of numbers for each value.
    """

    lines: list[str]
    steps: str
    signatures: str


class TrailStep(NamedTuple):
    """An operation of a trail: its line with what it computes, and the numbers of its operands and of its results."""

    where: str
    operands: list[int]
    results: list[int]


def steps_of(trail: Trail, steps: np.ndarray, signatures: np.ndarray) -> list[TrailStep]:
    """All operations of a trail, in their order.

    Args:
        steps, signatures: the arrays that it names.

    Raises:
        ValueError: they are of another form, or of lines or values that there are not.
    """
    if steps.ndim != 1 or steps.dtype.kind != "i" or signatures.ndim != 2 or signatures.dtype.kind != "f":
        raise ValueError("has other arrays than numbers of steps and rows of a signature")
    if signatures.shape[1] != SIGNATURE:
        raise ValueError(f"has {signatures.shape[1]} numbers in a signature, expected {SIGNATURE}")
    numbers, found, at = steps.tolist(), [], 0
    while at < len(numbers):
        where, operands, results = (*numbers[at : at + 3], -1, -1)[:3]
        values = numbers[at + 3 : at + 3 + max(operands, 0) + max(results, 0)]
        is_whole = min(operands, results) >= 0 and len(values) == operands + results
        if not (is_whole and 0 <= where < len(trail.lines) and all(0 <= n < len(signatures) for n in values)):
            raise ValueError("has steps of lines or values that are not there")
        found.append(TrailStep(trail.lines[where], values[:operands], values[operands:]))
        at += 3 + len(values)
    return found


class Source(Struct, forbid_unknown_fields=True):
    """The source files of an installed package.

    Args:
        files: by path, the CRC-32 of the content, and the number of lines.
        lines: the name of an array of 8 bits of the CRC-32 of each line, file by file.
    """

    files: dict[str, tuple[Count, Count]]
    lines: str


class Subject(Struct, forbid_unknown_fields=True):
    """A port with one of its kernels, a framework's own parts, or a model of a user's.

    Its facts are those of `missing` and below. A call of a port is told by its phase, style, dtype and devices, as in
    "train_step apply float32".

    Args:
        name: "linen", "linen:fused" or "linen's parts".
        framework: the name of the port that has the same framework.
        missing: why it is not there; "" if it is.
        styles: its call styles, with the reason where the installed versions lack one, else "".
        draws: of each model, the parameters that it draws from a fixed key, by path.
        tree: the leaves of models and results by path, in their order, with dtype and shape.
        checkpoints: of each format of files by its suffix, the content of a file of parameters, as bytes under the name
            of CONTENT, and these parameters by their canonical names.
        signatures: of each function or class that a user calls, the arguments with their defaults; "" for none.
        values: of each call, the arrays that came out.
        trails: of each traced program, its values and the lines that compute them.
        programs: of each call, operations in its program, by kind, and what XLA made of it.
        calls: of each call, its cost apart from its program, in counts: they stand for dispatch time and have no noise.
        warnings: what warned, by when and where, without the number of the line, which moves with each release.
        lines: of a warning, as "at call, flax/a.py: UserWarning: soon", and of a call that waits, the line of code.
        problems: what did not work, with the exception.
    """

    name: str
    framework: str
    missing: str = ""
    styles: dict[str, str] = {}
    draws: dict[str, ArrayNames] = {}
    tree: dict[str, str] = {}
    checkpoints: dict[str, ArrayNames] = {}
    signatures: dict[str, dict[str, str]] = {}
    values: dict[str, ArrayNames] = {}
    trails: dict[str, Trail] = {}
    programs: dict[str, dict[str, Count | str | None]] = {}
    calls: dict[str, dict[str, Count]] = {}
    warnings: dict[str, list[str]] = {}
    lines: dict[str, str] = {}
    problems: dict[str, str] = {}


class Snapshot(Struct, forbid_unknown_fields=True):
    """All that is true of what is installed, apart from the clock.

    Args:
        schema: the version of this format.
        command: the words of the command, without the folder.
        datetime: when it was taken.
        machine: the machine, and the installed versions.
        equality: every measurement of `verify`; None if it was left out.
        subjects: what was looked at.
        sources: of each installed package that the ports need and is a release, its source files.
    """

    schema: int
    command: list[str]
    datetime: str
    machine: Machine
    equality: list[Measurement] | None
    subjects: list[Subject]
    sources: dict[str, Source] = {}


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was.

    Args:
        kind: of KINDS.
        subject: a name of `Subject`.
        what: the fact, in words.
        old, new: what it was, and is.
        line: of code that computes something else, and what stood there before; "" where none is known.
    """

    kind: str
    subject: str
    what: str
    old: str
    new: str
    line: str = ""
