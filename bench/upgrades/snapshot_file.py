"""The file of a snapshot: arrays in a safetensors file, with a record beside them.

Each array is named by a hash of its content, so that it is stored once, however many
facts name it. Nothing in the file is unpickled.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np

from ...common.errors import brief
from ...common.files import read_whole, write_whole
from ..results import json_files
from ..results.arm import check_date
from ..results.grouping import first_twice
from ..results.json_files import refusing
from .record import SCHEMA, ArrayNames, Observation, Snapshot, SnapshotError
from .steps import steps_of

FILE = "trigru-snapshot.safetensors"
#: The largest file of a snapshot that is read. Most of it are arrays.
MOST_BYTES = 2**28
#: The names in the file's metadata of the record, and of dtypes that NumPy lacks.
RECORD, DTYPES = "trigru.snapshot", "trigru.dtypes"
ADVICE = "Pass a folder that trigru snapshot wrote, or take the snapshot again."

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Loaded:
    """A snapshot with the arrays that its facts name."""

    snapshot: Snapshot
    arrays: Arrays


class ArrayStore(dict[str, np.ndarray]):
    """Arrays by the hashes of their content."""

    def keep(self, array: Any) -> str:
        r"""Keep an array, and return its name. What has no numbers is kept as its text.

        >>> store = ArrayStore()
        >>> store.keep(np.array(["a", "b"])), store.keep(np.zeros(1, "V2"))
        ('a3607e97ad4ed901', '539e38d84535452d')
        >>> [array.tobytes() for array in store.values()]
        [b"['a', 'b']", b"[b'\\x00\\x00']"]
        """
        array = np.asarray(array, order="C")
        # bfloat16 has the kind V, too, and a type of its own
        is_plain_void = array.dtype.type is np.void
        if array.dtype.kind in "OSUMm" or is_plain_void:
            array = np.frombuffer(str(array.tolist()).encode(), np.uint8)
        name = name_of(array)
        self.setdefault(name, array)
        return name

    def keep_all(self, arrays: Mapping[str, Any]) -> ArrayNames:
        """Keep arrays, and return the name of each."""
        return {path: self.keep(array) for path, array in arrays.items()}


def name_of(array: Any) -> str:
    """The name of an array: a hash of its dtype, shape and bits.

    >>> name_of(np.zeros(2)) == name_of(np.zeros(2))
    True
    >>> name_of(np.zeros(2)) == name_of(-np.zeros(2))
    False
    """
    array = np.asarray(array, order="C")
    head = f"{array.dtype.name} {array.shape} "
    return hashlib.sha256(head.encode() + array.tobytes()).hexdigest()[:16]


def is_snapshot(folder: Path) -> bool:
    """Whether a folder has a snapshot."""
    return (folder / FILE).is_file()


def save(folder: Path, snapshot: Snapshot, arrays: Arrays) -> None:
    """Write a snapshot into a folder, whole or not at all. Other files there stay."""
    save_file(folder / FILE, snapshot, arrays)


def save_file(path: Path, snapshot: Snapshot, arrays: Arrays) -> None:
    """Write a snapshot as one file, whole or not at all."""
    write_whole(path, encode(arrays, snapshot))


def load(folder: Path) -> Loaded:
    """Read a snapshot from a folder, as `load_file` does."""
    return load_file(folder / FILE)


def load_file(path: Path) -> Loaded:
    """Read a snapshot.

    Raises:
        SnapshotError: it is not there, was changed, or its parts do not fit together.
    """
    with refusing(path, SnapshotError, ADVICE):
        arrays, record = decode(read_whole(path, MOST_BYTES))
        snapshot = json_files.decode(record, Snapshot, SCHEMA)
        _check(snapshot, arrays)
        return Loaded(snapshot, arrays)


def encode(arrays: Arrays, snapshot: Snapshot | None = None) -> bytes:
    """Arrays, and a record beside them, as a safetensors file.

    Dtypes that NumPy lacks are stored as whole numbers with the same bits.
    """
    from safetensors.numpy import save as to_bytes

    stored: dict[str, np.ndarray] = {}
    other_dtypes: dict[str, str] = {}
    for name, array in sorted(arrays.items()):
        stored[name] = np.asarray(array, order="C")
        if array.dtype.type.__module__ != "numpy":
            other_dtypes[name] = array.dtype.name
            stored[name] = stored[name].view(f"u{array.dtype.itemsize}")
    metadata = {DTYPES: msgspec.json.encode(other_dtypes).decode()}
    if snapshot is not None:
        metadata[RECORD] = msgspec.json.encode(snapshot).decode()
    return to_bytes(stored, metadata=metadata)


def decode(content: bytes) -> tuple[dict[str, np.ndarray], bytes]:
    """The arrays of `encode`, and the record as JSON; that is empty if there is none.

    Raises:
        ValueError: it is no such file.
    """
    from safetensors.numpy import load as from_bytes

    try:
        header_bytes = int.from_bytes(content[:8], "little")
        header = msgspec.json.decode(content[8 : 8 + header_bytes])
        metadata = header["__metadata__"]
        arrays = from_bytes(content)
        for name, dtype in msgspec.json.decode(metadata[DTYPES]).items():
            arrays[name] = arrays[name].view(getattr(ml_dtypes, dtype))
        return arrays, metadata.get(RECORD, "").encode()
    except Exception as error:  # safetensors raises several kinds
        raise ValueError(f"it is no snapshot: {brief(error)}") from error


def _check(snapshot: Snapshot, arrays: Arrays) -> None:
    """Raise a ValueError unless the record and the arrays of a file fit together."""
    check_date(snapshot.datetime)
    for name, array in arrays.items():
        if name_of(array) != name:
            raise ValueError(f"array {brief(name)} was changed after trigru wrote it")
    subject_twice = first_twice(subject.name for subject in snapshot.subjects)
    if subject_twice:
        raise ValueError(f"it has {subject_twice} twice")

    for subject in snapshot.subjects:
        for call, observation in subject.observations.items():
            for name in _arrays_of(observation):
                if name not in arrays:
                    raise ValueError(f"array {brief(name)} is missing")
            trail = observation.trail
            if trail is None:
                continue
            try:
                steps_of(trail, arrays[trail.steps], arrays[trail.signatures])
            except ValueError as error:
                raise ValueError(
                    f"{subject.name}: the trail of {call} {error}"
                ) from error


def _arrays_of(observation: Observation) -> Iterator[str]:
    """The names of all arrays of an observation."""
    yield from observation.draws.values()
    yield from observation.results.values()
    yield from observation.exact_results.values()
    if observation.trail is not None:
        yield observation.trail.steps
        yield observation.trail.signatures
