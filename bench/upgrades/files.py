"""Making, writing and reading the file of a snapshot: its record, and the arrays that it names.

Nothing in it is unpickled.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from ...impls import own_ports
from ..results import proof
from ..results.arm import check_date
from ..results.files import MOST_BYTES, command_line, record_of, refusing, with_checksum
from ..results.grouping import first_twice
from ..timing.machine import describe_machine
from .environments import installed
from .record import IN_FLOAT64, SCHEMA, ArrayNames, Snapshot, Subject, steps_of

FILE = "trigru-snapshot.safetensors"
#: The names in the file's metadata of the record, and of dtypes that NumPy lacks.
RECORD, DTYPES = "trigru.snapshot", "trigru.dtypes"
#: Hexadecimal digits of a hash that name an array.
DIGITS = 16

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
    return hashlib.sha256(head.encode() + array.tobytes()).hexdigest()[:DIGITS]


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
        if array.dtype.kind in "OSUMm" or array.dtype.type is np.void:  # of bfloat16, whose kind is V, it is another
            array = np.frombuffer(str(array.tolist()).encode(), np.uint8)
        name = name_of(array)
        self.setdefault(name, array)
        return name

    def keep_all(self, arrays: dict[str, Any]) -> ArrayNames:
        """Keep arrays, each under its own name."""
        return {name: self.keep(array) for name, array in arrays.items()}


def snapshot_of(
    subjects: Sequence[Subject], equality: list[Measurement] | None = None, packages: Iterable[str] = ()
) -> Snapshot:
    """A snapshot of subjects, as of now, with the versions of packages beside those that trigru requires."""
    when, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe_machine()
    versions = machine.versions | installed(["trigru", *packages])
    if machine.commit:
        versions["trigru"] += f", of commit {machine.commit[:12]}" + "-dirty" * machine.commit.endswith("-dirty")
    machine = replace(machine, versions=versions)
    return Snapshot(SCHEMA, command_line(), when, machine, equality, list(subjects))


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
        beside[RECORD] = with_checksum(snapshot).decode()
    return to_bytes(stored, metadata=beside)


def decode(content: bytes) -> tuple[dict[str, np.ndarray], bytes]:
    """The arrays of `encode`, and its record as JSON: empty where there is none. Raises a ValueError if it cannot."""
    from safetensors.numpy import load as from_bytes

    try:
        beside = msgspec.json.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        dtypes = {name: getattr(ml_dtypes, dtype) for name, dtype in msgspec.json.decode(beside[DTYPES]).items()}
        arrays = {name: a.view(dtypes[name]) if name in dtypes else a for name, a in from_bytes(content).items()}
        return arrays, beside.get(RECORD, "").encode()
    except Exception as error:  # safetensors raises several kinds
        raise ValueError(f"it is no snapshot: {brief(error)}") from error


def is_snapshot(folder: Path) -> bool:
    """Whether a folder has a snapshot."""
    return (folder / FILE).is_file()


def load(folder: Path) -> Read:
    """Read a snapshot and its arrays.

    Raises:
        SnapshotError: there is none, it was changed, contradicts itself, or has another schema.
    """
    file = folder / FILE
    with refusing(file, SnapshotError, "Pass a folder that trigru snapshot wrote, or take the snapshot again."):
        arrays, record = decode(read_whole(file, MOST_BYTES))
        snapshot = record_of(record, Snapshot, SCHEMA)
        if wrong := [name for name, array in arrays.items() if name_of(array) != name]:
            raise ValueError(f"array {brief(wrong[0])} was changed after trigru wrote it")
        facts = [names for s in snapshot.subjects for of in (s.values, s.draws, s.checkpoints) for names in of.values()]
        trails = [trail for s in snapshot.subjects for trail in s.trails.values()]
        named = {array for names in facts for array in names.values()}
        named |= {array for trail in trails for array in (trail.steps, trail.signatures)}
        if lost := (named | {source.lines for source in snapshot.sources.values()}) - arrays.keys():
            raise ValueError(f"array {brief(min(lost))} is missing")
        check_date(snapshot.datetime)
        for sentence in _contradictions(snapshot, arrays):
            raise ValueError(sentence)
        return snapshot, arrays


def _contradictions(snapshot: Snapshot, arrays: Arrays) -> Iterator[str]:
    """What a snapshot claims, and its other records do not bear out; not what another version may name otherwise."""
    for name, source in snapshot.sources.items():
        hashes = arrays[source.lines]
        if hashes.dtype != np.uint8 or hashes.shape != (sum(number for _, number in source.files.values()),):
            yield f"the files of {name} have other numbers of lines than their hashes"
    if twice := first_twice(subject.name for subject in snapshot.subjects):
        yield f"it has {twice} twice"
    called = [s for s in snapshot.subjects if s.values or s.programs or s.calls or s.trails or s.draws or s.tree]
    for subject in called:
        if subject.missing:
            yield f"{subject.name} was not there ({subject.missing}), and has facts"
    yield from proof.contradictions(snapshot.equality or ())
    measured = {m.port for m in snapshot.equality or ()}
    if measured and (lost := {subject.name for subject in called} & {*own_ports()} - measured):
        yield f"its proof lacks {min(lost)}"
    for subject in snapshot.subjects:
        ended = {*subject.calls, *(where for where in subject.values if where.endswith(IN_FLOAT64))}
        if both := subject.problems.keys() & ended:
            yield f"{subject.name}: {min(both)} failed, and has results"
        for name, trail in subject.trails.items():
            try:
                steps_of(trail, arrays[trail.steps], arrays[trail.signatures])
            except ValueError as error:
                yield f"{subject.name}: the trail of {name} {error}"
