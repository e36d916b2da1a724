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

SCHEMA = 9
#: What a change can be, causes before what follows from them, and what it means.
KINDS = {
    "code": "is a package with other code under the same version",
    "tree": "has other leaves, or in another order",
    "arguments": "lacks a public name or an argument, needs a new one, or has other defaults or another order",
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
#: Of each number of a program, its kind, and the share by which it has to grow.
GROWTH = ((MEMORY, "memory", 0.02), (KEPT, "kept", 0.02), (EQUATIONS, "work", 0.25), (OPERATIONS, "work", 0.25))
#: Warm calls of which the quickest says whether a call waits; frameworks fill caches of their own in the first few.
WARM_CALLS = 6
#: In what is kept of a call beside its leaves, functions and lines.
TRACES, WAITS = f"traces in {WARM_CALLS} calls", "ms of waiting"
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
    """What a program computes, value by value, and on which lines."""

    lines: list[str]  # each once, with what it computes, as "flax/linen/recurrent.py:593 (mul of shape 4x8)"
    #: Names an array of whole numbers, one operation after the other: its line, how many operands and results it has,
    #: the numbers of these operands, and those of the results.
    steps: str
    signatures: str  # names an array with a row of numbers for each value


class TrailStep(NamedTuple):
    """An operation of a trail."""

    where: str  # its line, with what it computes
    operands: list[int]  # numbers of values, as the results
    results: list[int]


def steps_of(trail: Trail, steps: np.ndarray, signatures: np.ndarray) -> list[TrailStep]:
    """All operations of a trail, of the arrays that it names. Raises a ValueError if these contradict the trail."""
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
    """The source files of an installed package."""

    files: dict[str, tuple[Count, Count]]  # by path, the CRC-32 of the content, and the number of lines
    lines: str  # names an array of 8 bits of the CRC-32 of each line, file by file


class Subject(Struct, forbid_unknown_fields=True):
    """A port with one of its kernels, a framework's own parts, or a model of a user's.

    Its facts are those of `missing` and below. A call of a port is told by its phase, style, dtype and devices, as in
    "train_step apply float32".
    """

    name: str  # "linen", "linen:fused" or "linen's parts"
    framework: str  # the name of the port that has the same framework
    missing: str = ""  # why it is not there; "" if it is
    styles: dict[str, str] = {}  # its call styles, with the reason where the installed versions lack one, else ""
    draws: dict[str, ArrayNames] = {}  # of each model, the parameters that it draws from a fixed key, by path
    tree: dict[str, str] = {}  # dtype and shape of the leaves of models and results by path, in their order
    #: Of each format of files by its suffix, the content of a file of parameters, as bytes under the name of CONTENT,
    #: and these parameters by their canonical names.
    checkpoints: dict[str, ArrayNames] = {}
    #: Of each function or class that a user calls, the arguments with their defaults; "" for none.
    signatures: dict[str, dict[str, str]] = {}
    values: dict[str, ArrayNames] = {}  # of each call, the arrays that came out
    trails: dict[str, Trail] = {}  # of each traced program, its values and the lines that compute them
    #: Of each call, operations in its program, by kind, and what XLA made of it.
    programs: dict[str, dict[str, Count | str | None]] = {}
    #: Of each call, its cost apart from its program, in counts: they stand for dispatch time and have no noise.
    calls: dict[str, dict[str, Count]] = {}
    #: What warned, by when and where, without the number of the line, which moves with each release.
    warnings: dict[str, list[str]] = {}
    #: Of a warning, as "at call, flax/a.py: UserWarning: soon", and of a call that waits, the line of code.
    lines: dict[str, str] = {}
    problems: dict[str, str] = {}  # what did not work, with the exception


class Snapshot(Struct, forbid_unknown_fields=True):
    """All that is true of what is installed, apart from the clock."""

    schema: int  # the version of this format
    command: list[str]  # words of the command, without the folder
    datetime: str  # when it was taken
    machine: Machine  # with the installed versions
    equality: list[Measurement] | None  # every measurement of `verify`; None if it was left out
    subjects: list[Subject]  # what was looked at
    sources: dict[str, Source] = {}  # of each installed package that the ports need and is a release


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was."""

    kind: str  # of KINDS
    subject: str  # the name of a `Subject`
    what: str  # the fact, in words
    old: str
    new: str
    line: str = ""  # of code that computes something else, and what stood there before; "" where none is known
