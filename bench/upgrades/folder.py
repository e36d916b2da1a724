"""The folder of a snapshot: its record, the arrays that it names, and the checkpoints. Nothing in it is unpickled."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np

from ...common.errors import TrigruError, brief
from ...common.files import UNFINISHED, read_whole, write_whole
from ..results.lines import MOST_BYTES
from ..results.lines import decode as decode_json
from .record import SCHEMA, ArrayNames, Snapshot

FILE, ARRAYS, CHECKPOINTS = "snapshot.json", "snapshot.safetensors", "snapshot.checkpoints"
NAMES = (CHECKPOINTS, ARRAYS, FILE)
#: Hexadecimal digits of a hash that name an array.
DIGITS = 16

Arrays = Mapping[str, np.ndarray]


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


@contextmanager
def snapshot_in(path: Path) -> Iterator[Path]:
    """A folder to write a snapshot into, which replaces the one at the path once all is written.

    Other files there, as a results.json, stay as they are. If anything fails, so does the earlier snapshot.

    Raises:
        SnapshotError: the path is a file, or what has a snapshot's name there belongs to none.
    """
    if path.exists() and not path.is_dir():
        raise SnapshotError(f"{path}: is a file, expected a folder. Choose another.")
    there = [name for name in NAMES if (path / name).exists()]
    if there and not _has_record(path):
        raise SnapshotError(f"{path / there[0]}: is there already, and of no snapshot. Choose another folder.")
    path.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path, prefix=UNFINISHED))
    try:
        yield beside
        _exchange(path, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _exchange(path: Path, beside: Path) -> None:
    """Move the old parts away and the new ones in; if that fails, the old ones back."""
    old, moved = beside / "old", []
    old.mkdir()
    try:
        for name in NAMES:
            if (path / name).exists():
                os.rename(path / name, old / name)
        for name in NAMES:
            if (beside / name).exists():
                os.rename(beside / name, path / name)
                moved.append(name)
    except BaseException:
        for name in moved:
            os.rename(path / name, beside / name)
        for name in NAMES:
            if (old / name).exists():
                os.rename(old / name, path / name)
        raise


def _has_record(path: Path) -> bool:
    """Whether the file of the record is one, of any schema."""
    try:
        content = decode_json(read_whole(path / FILE, MOST_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"schema", "subjects"} <= content.keys()


def save(folder: Path, snapshot: Snapshot, arrays: Arrays) -> None:
    """Write the record and the arrays; the checkpoints are there already."""
    write_whole(folder / ARRAYS, encode(arrays))
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(snapshot), indent=1))


def encode(arrays: Arrays) -> bytes:
    """Arrays as a safetensors file; dtypes that NumPy lacks as numbers of their bits, with the dtype's name beside."""
    from safetensors.numpy import save as to_bytes

    stored, other = {}, {}
    for name, given in sorted(arrays.items()):
        array = np.asarray(given, order="C")
        if array.dtype.type.__module__ != "numpy":
            other[name] = array.dtype.name
            array = array.view(f"u{array.dtype.itemsize}")
        stored[name] = array
    return to_bytes(stored, metadata=other or None)


def decode(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of `encode`."""
    from safetensors.numpy import load as from_bytes

    head = decode_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    dtypes = {name: getattr(ml_dtypes, dtype) for name, dtype in head.get("__metadata__", {}).items()}
    return {name: a.view(dtypes[name]) if name in dtypes else a for name, a in from_bytes(content).items()}


def is_snapshot(folder: Path) -> bool:
    """Whether a folder has a snapshot."""
    return (folder / FILE).is_file()


def load(folder: Path) -> tuple[Snapshot, Arrays]:
    """Read a snapshot and its arrays.

    Raises:
        SnapshotError: there is none, it is damaged, or it has another schema.
    """
    file = folder / FILE
    try:
        content = decode_json(read_whole(file, MOST_BYTES))
        schema = content.get("schema") if isinstance(content, dict) else None
        if isinstance(schema, int) and schema != SCHEMA:
            raise SnapshotError(f"{file}: schema {schema}, expected {SCHEMA}. Take the snapshot again.")
        snapshot = msgspec.convert(content, type=Snapshot)
        file = folder / ARRAYS
        arrays = decode(read_whole(file, MOST_BYTES))
    except OSError as error:
        raise SnapshotError(f"{file}: {error.strerror}. Pass a folder that trigru snapshot wrote.") from error
    except SnapshotError:
        raise
    except Exception as error:  # safetensors raises several kinds
        raise SnapshotError(f"{file}: not of a snapshot: {brief(error)}. Take the snapshot again.") from error
    wrong = next((name for name, array in arrays.items() if name_of(array) != name), None)
    if wrong is not None:
        raise SnapshotError(f"{file}: array {wrong} is damaged. Take the snapshot again.")
    if lost := _named(snapshot) - arrays.keys():
        raise SnapshotError(f"{file}: array {min(lost)} is missing. Take the snapshot again.")
    return snapshot, arrays


def _named(snapshot: Snapshot) -> set[str]:
    """The arrays that a record names."""
    facts = [facts for s in snapshot.subjects for facts in (s.values, s.draws, s.checkpoints)]
    kept = [trail for s in snapshot.subjects for trail in s.trails.values()]
    trails = {array for trail in kept for array in (trail.steps, trail.signatures)}
    return trails | {array for of in facts for names in of.values() for array in names.values()}
