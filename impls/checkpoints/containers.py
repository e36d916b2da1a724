"""The file formats that hold parameters. Files are not trusted: none runs code.

Adding a format is adding a row to `CONTAINERS`. A library is imported only by the
format that needs it.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import (
    InputError,
    ParamsFileError,
    TrigruError,
    UnavailableError,
    brief,
    what_to_install,
)
from ...common.files import read_whole, write_whole
from ...common.parameters.layouts import CARRY, Layout, flatten, nested
from ...common.parameters.record import tensors_content, tensors_of
from .. import get_port

#: By name, keys joined by dots; or a tree of such.
Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Container:
    """A file format.

    Args:
        title: in messages and tables.
        suffixes: by which it is chosen.
        decode: the content of a file -> a tree of arrays by their names in it.
        encode: (arrays, the name of their layout) -> the content.
        reader: with which its users read it.
        layouts: that its readers expect in it; None where names are written.
        optional: whether its library is installed on request alone.
    """

    title: str
    suffixes: tuple[str, ...]
    decode: Callable[[bytes], Any]
    encode: Callable[[Arrays, str], bytes]
    reader: str
    layouts: tuple[str, ...] | None = None
    optional: bool = False


def container_of(path: Path) -> Container:
    """The format of a file. Raises an InputError if no format has its suffix."""
    known: list[str] = []
    for container in CONTAINERS:
        if path.suffix.lower() in container.suffixes:
            return container
        known += container.suffixes
    problem = "no suffix, which would tell the type of file"
    if path.suffix:
        problem = f"unknown suffix {path.suffix!r}"
    raise InputError(f"{path}: {problem}. Known: {', '.join(known)}.")


def read_file(path: Path, use: Callable[[Any], Any]) -> Any:
    """What a function makes of the tree of arrays in a file.

    Raises:
        ParamsFileError: the file is missing or damaged, or the function raises an
            InputError.
        InputError: the suffix is unknown.
        UnavailableError: the library that reads it is not installed.
    """
    container = container_of(path)
    try:
        return use(container.decode(read_whole(path)))
    except InputError as error:
        raise ParamsFileError(f"{path}: {error}") from error
    except TrigruError:
        raise
    except ModuleNotFoundError as error:
        raise _unavailable(container, error) from error
    except Exception as error:
        # A damaged file may fail anywhere in the library that reads it.
        if isinstance(error, OSError) and error.filename == str(path):
            raise ParamsFileError(f"{path}: {error.strerror}.") from error
        reason = f"{type(error).__name__}: {brief(error)}"
        raise ParamsFileError(
            f"{path}: not a readable {container.title} ({reason}). It may be damaged; "
            "write it again."
        ) from error


def write_file(path: Path, arrays: Arrays, layout: Layout, source: str) -> None:
    """Write arrays of a layout, whole or not at all.

    An error calls them by their source.
    """
    from safetensors import SafetensorError

    container = container_of(path)
    try:
        content = container.encode(arrays, layout.name)
    except ModuleNotFoundError as error:
        raise _unavailable(container, error) from error
    except (TypeError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{path}: {container.title}s cannot hold all of {source}: {brief(error)}."
        ) from error
    write_whole(path, content)


def _unavailable(container: Container, error: ModuleNotFoundError) -> UnavailableError:
    return UnavailableError(f"{container.title}s: {what_to_install(error) or error}")


# Each format --------------------------------------------------------------------------


def _to_safetensors(arrays: Arrays, layout: str) -> bytes:
    kind = "GRUParams" if layout == "canonical" else layout
    return tensors_content(flatten(arrays), kind)


def _from_msgpack(content: bytes) -> Any:
    from flax.serialization import msgpack_restore

    return msgpack_restore(content)


def _to_msgpack(arrays: Arrays, layout: str) -> bytes:
    from flax.serialization import msgpack_serialize

    return msgpack_serialize(nested(arrays))


def _from_eqx(content: bytes) -> Any:
    """Arrays without names: their number tells which they are.

    A first line of hyperparameters is skipped.
    """
    if content.startswith(b"{"):
        _, _, content = content.partition(b"\n")
    file = io.BytesIO(content)
    arrays = []
    while file.tell() < len(content):
        arrays.append(np.lib.format.read_array(file, allow_pickle=False))

    layout: Layout = get_port("equinox").layout  # pyright: ignore[reportAttributeAccessIssue]
    names = list(layout.table())
    if len(arrays) == len(names) - 1:
        names.remove(CARRY.name)
    if len(arrays) != len(names):
        cell = len(layout.rows)
        raise InputError(
            f"has {len(arrays)} arrays, expected {cell} of a cell, or {cell + 1} with "
            "an initial_carry."
        )
    return dict(zip(names, arrays, strict=True))


def _to_eqx(arrays: Arrays, layout: str) -> bytes:
    import equinox as eqx

    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, list(arrays.values()))
    return buffer.getvalue()


def _from_torch(content: bytes) -> Any:
    _refuse_compressed(content)
    import jax
    import torch  # pyright: ignore[reportMissingImports]

    tree = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, torch.Tensor) and leaf.nbytes > len(content):
            raise InputError(
                f"has a tensor of {leaf.nbytes} bytes, more than the file: it repeats "
                "numbers. Save a copy of it (tensor.clone())."
            )
    return tree


def _refuse_compressed(content: bytes) -> None:
    """Raise an InputError at a zip archive that unfolds to more bytes than it has.

    PyTorch writes arrays as they are. What is compressed may be a few bytes that fill
    the memory.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        unfolded = sum(entry.file_size for entry in archive.infolist())
    if unfolded > len(content):
        raise InputError(
            f"has {len(content)} bytes that unfold to {unfolded}: expected arrays "
            "that are not compressed. Write it again by torch.save."
        )


def _to_torch(arrays: Arrays, layout: str) -> bytes:
    import torch  # pyright: ignore[reportMissingImports]

    state = {}
    for name, array in flatten(arrays).items():
        state[name] = torch.tensor(np.asarray(array))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


CONTAINERS = (
    Container(
        "safetensors file",
        (".safetensors",),
        tensors_of,
        _to_safetensors,
        "safetensors",
    ),
    Container(
        "msgpack file",
        (".msgpack",),
        _from_msgpack,
        _to_msgpack,
        "flax.serialization",
        ("linen", "nnx"),
    ),
    Container(
        "Equinox file",
        (".eqx",),
        _from_eqx,
        _to_eqx,
        "eqx.tree_deserialise_leaves",
        ("equinox",),
    ),
    Container(
        "torch file",
        (".pt", ".pth"),
        _from_torch,
        _to_torch,
        "torch.load",
        ("torch",),
        optional=True,
    ),
)
