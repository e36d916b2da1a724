"""The file of a snapshot: its record, and the arrays that it names. Nothing in it is unpickled."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from ..results.lines import MOST_BYTES
from ..results.lines import decode as decode_json
from .contradictions import Arrays, check_snapshot
from .record import SCHEMA, ArrayNames, Snapshot

FILE = "trigru-snapshot.safetensors"
#: The names in the file's metadata of the record, and of dtypes that NumPy lacks.
RECORD, DTYPES = "trigru.snapshot", "trigru.dtypes"
#: Hexadecimal digits of a hash that name an array.
DIGITS = 16

Read = tuple[Snapshot, Arrays]


class SnapshotError(TrigruError, ValueError):
    """A snapshot is not there, damaged, or of another schema."""


def name_of(array: Any) -> str:
    """The name of an array: a hash of its dtype, shape and bits.

    >>> name_of(np.zeros(2)) == name_of(np.zeros(2)), name_of(np.zeros(2)) == name_of(-np.zeros(2))
    (True, False)
    """
    array = np.asarray(array, order="C")
    head = f"{array.dtype.name} {array.shape} "
    return hashlib.sha256(head.encode() + array.tobytes()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Kept:
    """The arrays that facts name, by name."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def keep(self, array: Any) -> str:
        """Keep an array, and name it."""
        array = np.asarray(array, order="C")
        name = name_of(array)
        self.arrays.setdefault(name, array)
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
    beside = {DTYPES: other} | ({} if snapshot is None else {RECORD: snapshot})
    return to_bytes(stored, metadata={name: msgspec.json.encode(of).decode() for name, of in beside.items()})


def decode(content: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of `encode`, and its record as JSON; None where there is none."""
    from safetensors.numpy import load as from_bytes

    beside = decode_json(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    dtypes = {name: getattr(ml_dtypes, dtype) for name, dtype in decode_json(beside[DTYPES].encode()).items()}
    arrays = {name: a.view(dtypes[name]) if name in dtypes else a for name, a in from_bytes(content).items()}
    return arrays, decode_json(beside[RECORD].encode()) if RECORD in beside else None


def is_snapshot(folder: Path) -> bool:
    """Whether a folder has a snapshot."""
    return (folder / FILE).is_file()


def load(folder: Path) -> Read:
    """Read a snapshot and its arrays.

    Raises:
        SnapshotError: there is none, it is damaged, contradicts itself, or has another schema.
    """
    file = folder / FILE
    try:
        arrays, content = decode(read_whole(file, MOST_BYTES))
        schema = content["schema"]
        snapshot = msgspec.convert(content, type=Snapshot) if schema == SCHEMA else None
    except OSError as error:
        raise SnapshotError(f"{file}: {error.strerror}. Pass a folder that trigru snapshot wrote.") from error
    except Exception as error:  # safetensors raises several kinds
        raise SnapshotError(f"{file}: not of a snapshot: {brief(error)}. Take the snapshot again.") from error
    if snapshot is None:
        raise SnapshotError(f"{file}: schema {brief(schema)}, expected {SCHEMA}. Take the snapshot again.")
    wrong = next((name for name, array in arrays.items() if name_of(array) != name), None)
    if wrong is not None:
        raise SnapshotError(f"{file}: array {brief(wrong)} is damaged. Take the snapshot again.")
    if lost := _named(snapshot) - arrays.keys():
        raise SnapshotError(f"{file}: array {brief(min(lost))} is missing. Take the snapshot again.")
    try:
        check_snapshot(snapshot, arrays)
    except ValueError as error:
        raise SnapshotError(f"{file} contradicts itself: {brief(error)}. Take the snapshot again.") from error
    return snapshot, arrays


def _named(snapshot: Snapshot) -> set[str]:
    """The arrays that a record names."""
    facts = [facts for s in snapshot.subjects for facts in (s.values, s.draws, s.checkpoints)]
    trails = [trail for s in snapshot.subjects for trail in s.trails.values()]
    named = {array for trail in trails for array in (trail.steps, trail.signatures)}
    named |= {source.lines for source in snapshot.sources.values()}
    return named | {array for of in facts for names in of.values() for array in names.values()}
