"""A snapshot, all that is true of what is installed apart from the clock; its file; and a change between two.

A snapshot is data alone. Its file has arrays, and a record of facts that name these by a hash of their content, so that
each is kept once, however many facts name it. Nothing in it is unpickled.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import msgspec
import numpy as np
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from ..results import proof
from ..results.arm import check_date
from ..results.build import Count
from ..results.grouping import first_twice
from ..results.json_files import MOST_BYTES, refusing
from ..results.json_files import decode as decode_json
from ..results.machine import Machine

SCHEMA, FILE = 8, "trigru-snapshot.safetensors"
#: The names in the file's metadata of the record, and of dtypes that NumPy lacks.
RECORD, DTYPES = "trigru.snapshot", "trigru.dtypes"
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
FAILING = tuple(
    kind for kind in KINDS if kind not in ("memory", "bits", "program", "better")
)
#: In what is kept of a program: bytes of temporary memory, those that the forward pass keeps for the gradient, the
#: fingerprint of the optimised HLO, how long a trace is, and what it is lowered to.
MEMORY, KEPT, PRINT = "temporary memory", "kept for the gradient", "fingerprint"
EQUATIONS, OPERATIONS = "jaxpr equations", "StableHLO operations"
#: Of each number of a program, its kind, and the share by which it has to grow.
GROWTH = (
    (MEMORY, "memory", 0.02),
    (KEPT, "kept", 0.02),
    (EQUATIONS, "work", 0.25),
    (OPERATIONS, "work", 0.25),
)
#: Warm calls of which the quickest says whether a call waits, as frameworks fill caches of their own in the first few.
WARM_CALLS = 6
#: What is kept of a call beside its leaves, functions and lines.
TRACES, WAITS = f"traces in {WARM_CALLS} calls", "ms of waiting"
CONTENT = "content"  # of a file, beside the arrays in it
#: What the subject of a framework's own parts is called, by the name of the port with the same framework.
PARTS_OF = {
    "pure": "jax, optax",
    "linen": "linen's parts",
    "nnx": "nnx's parts",
    "equinox": "equinox's parts",
}
IN_FLOAT64 = " in float64"  # the end of the names of calls that were computed in it
#: The numbers of a signature: whether the value tells others apart, its size, and three that depend on its numbers.
SIGNATURE = 5
ArrayNames = dict[str, str]  # by name, in the order in which they are computed


class Trail(Struct, forbid_unknown_fields=True):
    """What a program computes, value by value, and on which lines."""

    lines: list[
        str
    ]  # each once, with what it computes, as "flax/linen/recurrent.py:593 (mul of shape 4x8)"
    #: Names an array of whole numbers, one operation after the other: its line, how many operands and results it has,
    #: the numbers of these operands, and those of the results.
    steps: str
    signatures: str  # names an array with a row of numbers for each value


class TrailStep(NamedTuple):
    """An operation of a trail."""

    where: str  # its line, with what it computes
    operands: list[int]  # numbers of values, as the results
    results: list[int]


class Source(Struct, forbid_unknown_fields=True):
    """The source files of an installed package."""

    files: dict[
        str, tuple[Count, Count]
    ]  # by path, the CRC-32 of the content, and the number of lines
    lines: str  # names an array of 8 bits of the CRC-32 of each line, file by file


class Subject(Struct, forbid_unknown_fields=True):
    """A port with one of its kernels, a framework's own parts, or a model of a user's.

    Its facts are those of `missing` and below. A call of a port is told by its phase, style, dtype and devices, as in
    "train_step apply float32".
    """

    name: str  # "linen", "linen:fused" or "linen's parts"
    framework: str  # the name of the port that has the same framework
    missing: str = ""  # why it is not there; "" if it is
    styles: dict[
        str, str
    ] = {}  # its call styles, with the reason where the installed versions lack one, else ""
    draws: dict[
        str, ArrayNames
    ] = {}  # of each model, the parameters that it draws from a fixed key, by path
    tree: dict[
        str, str
    ] = {}  # dtype and shape of the leaves of models and results by path, in their order
    #: Of each format of files by its suffix, the content of a file of parameters, as bytes under the name of CONTENT,
    #: and these parameters by their canonical names.
    checkpoints: dict[str, ArrayNames] = {}
    #: Of each function or class that a user calls, the arguments with their defaults; "" for none.
    signatures: dict[str, dict[str, str]] = {}
    values: dict[str, ArrayNames] = {}  # of each call, the arrays that came out
    trails: dict[
        str, Trail
    ] = {}  # of each traced program, its values and the lines that compute them
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
    equality: (
        list[Measurement] | None
    )  # every measurement of `verify`; None if it was left out
    subjects: list[Subject]  # what was looked at
    sources: dict[
        str, Source
    ] = {}  # of each installed package that the ports need and is a release


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was."""

    kind: str  # of KINDS
    subject: str  # the name of a `Subject`
    what: str  # the fact, in words
    old: str
    new: str
    line: str = ""  # of code that computes something else, and what stood there before; "" where none is known


Arrays = Mapping[str, np.ndarray]
Read = tuple[Snapshot, Arrays]


class SnapshotError(TrigruError, ValueError):
    """A snapshot, or a matrix of them, is not there, damaged, or of another schema."""


def name_of(array: Any) -> str:
    """The name of an array: a hash of its dtype, shape and bits.

    >>> name_of(np.zeros(2)) == name_of(np.zeros(2)), name_of(np.zeros(2)) == name_of(-np.zeros(2))
    (True, False)
    """
    array = np.asarray(array, order="C")
    head = f"{array.dtype.name} {array.shape} "
    return hashlib.sha256(head.encode() + array.tobytes()).hexdigest()[:16]


class Kept(dict[str, np.ndarray]):
    """The arrays that facts name, by name."""

    def keep(self, array: Any) -> str:
        r"""Keep an array, and name it; one that has no numbers is kept as the letters that print it.

        >>> (kept := Kept()).keep(np.array(["a", "b"])), kept.keep(np.zeros(1, "V2"))
        ('a3607e97ad4ed901', '539e38d84535452d')
        >>> [array.tobytes() for array in kept.values()]
        [b"['a', 'b']", b"[b'\\x00\\x00']"]
        """
        array = np.asarray(array, order="C")
        if (
            array.dtype.kind in "OSUMm" or array.dtype.type is np.void
        ):  # of bfloat16, whose kind is V, it is another
            array = np.frombuffer(str(array.tolist()).encode(), np.uint8)
        name = name_of(array)
        self.setdefault(name, array)
        return name

    def keep_all(self, arrays: dict[str, Any]) -> ArrayNames:
        """Keep arrays, each under its own name."""
        return {name: self.keep(array) for name, array in arrays.items()}


def save(folder: Path, snapshot: Snapshot, arrays: Arrays) -> None:
    """Write a snapshot into a folder, whole or not at all; other files there, as a results.json, stay as they are."""
    write_whole(folder / FILE, encode(arrays, snapshot))


def encode(arrays: Arrays, snapshot: Snapshot | None = None) -> bytes:
    """Arrays, and a record beside them, as a safetensors file; dtypes that NumPy lacks as numbers of their bits."""
    from safetensors.numpy import save as to_bytes

    stored, other = {}, {}
    for name, given in sorted(arrays.items()):
        array = np.asarray(given, order="C")
        if array.dtype.type.__module__ != "numpy":
            other[name] = array.dtype.name
            array = array.view(f"u{array.dtype.itemsize}")
        stored[name] = array
    beside = {DTYPES: msgspec.json.encode(other).decode()}
    if snapshot is not None:
        beside[RECORD] = msgspec.json.encode(snapshot).decode()
    return to_bytes(stored, metadata=beside)


def decode(content: bytes) -> tuple[dict[str, np.ndarray], bytes]:
    """The arrays of `encode`, and its record as JSON: empty where there is none. Raises a ValueError if it cannot."""
    from safetensors.numpy import load as from_bytes

    try:
        beside = msgspec.json.decode(
            content[8 : 8 + int.from_bytes(content[:8], "little")]
        )["__metadata__"]
        dtypes = {
            name: getattr(ml_dtypes, dtype)
            for name, dtype in msgspec.json.decode(beside[DTYPES]).items()
        }
        arrays = {
            name: a.view(dtypes[name]) if name in dtypes else a
            for name, a in from_bytes(content).items()
        }
        return arrays, beside.get(RECORD, "").encode()
    except Exception as error:  # safetensors raises several kinds
        raise ValueError(f"it is no snapshot: {brief(error)}") from error


def is_snapshot(folder: Path) -> bool:
    """Whether a folder has a snapshot."""
    return (folder / FILE).is_file()


def load(folder: Path) -> Read:
    """A snapshot and its arrays. Raises a SnapshotError if it is not there, was changed, or contradicts itself."""
    advice = "Pass a folder that trigru snapshot wrote, or take the snapshot again."
    with refusing(folder / FILE, SnapshotError, advice):
        arrays, record = decode(read_whole(folder / FILE, MOST_BYTES))
        snapshot = decode_json(record, Snapshot, SCHEMA)
        if wrong := [name for name, array in arrays.items() if name_of(array) != name]:
            raise ValueError(
                f"array {brief(wrong[0])} was changed after trigru wrote it"
            )
        trails = [trail for s in snapshot.subjects for trail in s.trails.values()]
        facts = [
            names
            for s in snapshot.subjects
            for of in (s.values, s.draws, s.checkpoints)
            for names in of.values()
        ]
        named = {name for names in facts for name in names.values()} | {
            s.lines for s in snapshot.sources.values()
        }
        if (
            lost := named.union(*((trail.steps, trail.signatures) for trail in trails))
            - arrays.keys()
        ):
            raise ValueError(f"array {brief(min(lost))} is missing")
        check_date(snapshot.datetime)
        for sentence in _contradictions(snapshot, arrays):
            raise ValueError(sentence)
        return snapshot, arrays


def _contradictions(snapshot: Snapshot, arrays: Arrays) -> Iterator[str]:
    """What a snapshot claims, and its other records do not bear out; not what another version may name otherwise."""
    from ...impls import own_ports  # here, since it imports JAX

    for name, source in snapshot.sources.items():
        hashes = arrays[source.lines]
        if hashes.dtype != np.uint8 or hashes.shape != (
            sum(number for _, number in source.files.values()),
        ):
            yield f"the files of {name} have other numbers of lines than their hashes"
    if twice := first_twice(subject.name for subject in snapshot.subjects):
        yield f"it has {twice} twice"
    called = [
        s
        for s in snapshot.subjects
        if s.values or s.programs or s.calls or s.trails or s.draws or s.tree
    ]
    for subject in called:
        if subject.missing:
            yield f"{subject.name} was not there ({subject.missing}), and has facts"
    yield from proof.contradictions(snapshot.equality or ())
    measured = {m.port for m in snapshot.equality or ()}
    if measured and (
        lost := {subject.name for subject in called} & {*own_ports()} - measured
    ):
        yield f"its proof lacks {min(lost)}"
    for subject in snapshot.subjects:
        ended = {
            *subject.calls,
            *(where for where in subject.values if where.endswith(IN_FLOAT64)),
        }
        if both := subject.problems.keys() & ended:
            yield f"{subject.name}: {min(both)} failed, and has results"
        for name, trail in subject.trails.items():
            try:
                steps_of(trail, arrays[trail.steps], arrays[trail.signatures])
            except ValueError as error:
                yield f"{subject.name}: the trail of {name} {error}"


def steps_of(
    trail: Trail, steps: np.ndarray, signatures: np.ndarray
) -> list[TrailStep]:
    """All operations of a trail, of the arrays that it names. Raises a ValueError if these contradict the trail."""
    if (steps.dtype.kind, steps.ndim) != ("i", 1):
        raise ValueError(
            f"has steps of dtype {steps.dtype} and shape {steps.shape}, expected one row of whole numbers"
        )
    if (signatures.dtype.kind, signatures.shape[1:]) != ("f", (SIGNATURE,)):
        came = (
            f"has signatures of dtype {signatures.dtype} and shape {signatures.shape}"
        )
        raise ValueError(f"{came}, expected rows of {SIGNATURE} floating-point numbers")
    numbers, found, at = steps.tolist(), [], 0
    while at < len(numbers):
        where, operands, results = (*numbers[at : at + 3], -1, -1)[:3]
        values = numbers[at + 3 : at + 3 + max(operands, 0) + max(results, 0)]
        is_whole = min(operands, results) >= 0 and len(values) == operands + results
        if not (
            is_whole
            and 0 <= where < len(trail.lines)
            and all(0 <= n < len(signatures) for n in values)
        ):
            raise ValueError(
                f"has a step that begins with {numbers[at : at + 8]}, expected one of {len(trail.lines)} lines, the "
                f"numbers of operands and results, and as many of {len(signatures)} values"
            )
        found.append(
            TrailStep(trail.lines[where], values[:operands], values[operands:])
        )
        at += 3 + len(values)
    return found
