"""The formats of files of parameters. No code in a file is run.

Adding a container is adding a row to `CONTAINERS`. Reading gives a tree of arrays under their names in the file. A
library is imported only by the container that needs it.
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
from ...common.parameters.layouts import Layout, flatten, nested
from ...common.parameters.record import tensors_content, tensors_of
from .. import get_port

Arrays = Mapping[str, Any]  # by name, keys joined by dots


@dataclass(frozen=True)
class Container:
    """A file format."""

    title: str  # in messages and tables
    suffixes: tuple[str, ...]  # by which it is chosen
    decode: Callable[[bytes], Any]  # the content of a file -> a tree of arrays
    encode: Callable[[Arrays, str], bytes]  # (arrays, the name of their layout) -> the content
    reader: str  # with which its users read it
    layouts: tuple[str, ...] | None = None  # that its readers expect in it; None where names are written
    optional: bool = False  # whether its library is installed on request alone


def get_container(path: Path) -> Container:
    """The container of a file, by its suffix; an InputError if none has it."""
    by_suffix = {suffix: container for container in CONTAINERS for suffix in container.suffixes}
    if path.suffix.lower() not in by_suffix:
        what = f"unknown suffix {path.suffix!r}" if path.suffix else "no suffix, which would tell the type of file"
        raise InputError(f"{path}: {what}. Known: {', '.join(by_suffix)}.")
    return by_suffix[path.suffix.lower()]


def _to_safetensors(arrays: Arrays, layout: str) -> bytes:
    readout = any(name.startswith("readout.") for name in arrays)
    canonical = "ClassifierParams" if readout else "GRUParams"
    return tensors_content(flatten(arrays), canonical if layout == "canonical" else layout)


def _from_msgpack(content: bytes) -> Any:
    from flax.serialization import msgpack_restore

    return msgpack_restore(content)


def _to_msgpack(arrays: Arrays, layout: str) -> bytes:
    from flax.serialization import msgpack_serialize

    return msgpack_serialize(nested(arrays))


def _from_eqx(content: bytes) -> Any:
    """Arrays without names: their number tells which they are. A first line of hyperparameters is skipped."""
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


def _to_eqx(arrays: Arrays, layout: str) -> bytes:
    import equinox as eqx

    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, list(arrays.values()))
    return buffer.getvalue()


def _from_torch(content: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _to_torch(arrays: Arrays, layout: str) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(np.asarray(array)) for name, array in flatten(arrays).items()}, buffer)
    return buffer.getvalue()


CONTAINERS = (
    Container("safetensors file", (".safetensors",), tensors_of, _to_safetensors, "safetensors"),
    Container("msgpack file", (".msgpack",), _from_msgpack, _to_msgpack, "flax.serialization", ("linen", "nnx")),
    Container("Equinox file", (".eqx",), _from_eqx, _to_eqx, "eqx.tree_deserialise_leaves", ("equinox",)),
    Container("torch file", (".pt", ".pth"), _from_torch, _to_torch, "torch.load", ("torch",), optional=True),
)
