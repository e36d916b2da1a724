"""The files that hold parameters: how each is read and written. No code in a file is run.

Adding a container is adding a row to `CONTAINERS`. Reading gives a tree of arrays under their names in the file;
their layout is found later. A library is imported only by the container that needs it.
"""

# pyright: reportMissingImports=false
# torch is optional.

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.files import read_whole, write_whole
from ...common.parameters.layouts import Layout, flatten, nested
from ...common.parameters.record import read_tensors, write_tensors
from .. import get_port

Arrays = Mapping[str, Any]  # by name, keys joined by dots


@dataclass(frozen=True)
class Container:
    """A file format."""

    title: str  # what messages and tables call it
    suffixes: tuple[str, ...]  # by which it is chosen
    read: Callable[[Path], Any]  # gives a tree of arrays
    write: Callable[[Path, Arrays, str], None]  # arrays and the name of their layout, whole or not at all
    reader: str  # what its users read it with
    layouts: tuple[str, ...] | None = None  # that its readers expect in it; None where names are written
    optional: bool = False  # whether what it needs is installed on request alone


def get_container(path: Path) -> Container:
    """The container of a file, by its suffix.

    Raises:
        InputError: no container has the suffix.
    """
    by_suffix = {suffix: container for container in CONTAINERS for suffix in container.suffixes}
    if path.suffix.lower() not in by_suffix:
        what = f"unknown suffix {path.suffix!r}" if path.suffix else "no suffix, which would tell the type of file"
        raise InputError(f"{path}: {what}. Known: {', '.join(by_suffix)}.")
    return by_suffix[path.suffix.lower()]


def _write_safetensors(path: Path, arrays: Arrays, layout: str) -> None:
    readout = any(name.startswith("readout.") for name in arrays)
    canonical = "ClassifierParams" if readout else "GRUParams"
    write_tensors(path, flatten(arrays), canonical if layout == "canonical" else layout)


def _read_msgpack(path: Path) -> Any:
    from flax.serialization import msgpack_restore

    return msgpack_restore(read_whole(path))


def _write_msgpack(path: Path, arrays: Arrays, layout: str) -> None:
    from flax.serialization import msgpack_serialize

    write_whole(path, msgpack_serialize(nested(arrays)))


def _read_eqx(path: Path) -> Any:
    """Arrays without names: their number says which they are. A first line of hyperparameters is skipped."""
    content = read_whole(path)
    if content.startswith(b"{"):
        _, _, content = content.partition(b"\n")
    file, arrays = io.BytesIO(content), []
    while file.tell() < len(content):
        arrays.append(np.lib.format.read_array(file, allow_pickle=False))
    layout: Layout = get_port("equinox").layout  # pyright: ignore[reportAttributeAccessIssue]
    of_gru, of_classifier = [*layout.table()], [*layout.table(classifier=True)]
    by_number = {len(names): names for names in (of_gru[:-1], of_gru, of_classifier)}
    if len(arrays) not in by_number:
        cell, gru, classifier = by_number
        expected = f"expected {cell} of a cell, {gru} with an initial_carry, or {classifier} with a readout, too."
        raise InputError(f"has {len(arrays)} arrays, {expected}")
    return dict(zip(by_number[len(arrays)], arrays, strict=True))


def _write_eqx(path: Path, arrays: Arrays, layout: str) -> None:
    import equinox as eqx

    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, list(arrays.values()))
    write_whole(path, buffer.getvalue())


def _read_torch(path: Path) -> Any:
    import torch

    return torch.load(io.BytesIO(read_whole(path)), map_location="cpu", weights_only=True)


def _write_torch(path: Path, arrays: Arrays, layout: str) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(np.asarray(array)) for name, array in flatten(arrays).items()}, buffer)
    write_whole(path, buffer.getvalue())


CONTAINERS = (
    Container("safetensors file", (".safetensors",), read_tensors, _write_safetensors, "safetensors"),
    Container("msgpack file", (".msgpack",), _read_msgpack, _write_msgpack, "flax.serialization", ("linen", "nnx")),
    Container("Equinox file", (".eqx",), _read_eqx, _write_eqx, "eqx.tree_deserialise_leaves", ("equinox",)),
    Container("torch file", (".pt", ".pth"), _read_torch, _write_torch, "torch.load", ("torch",), optional=True),
)
