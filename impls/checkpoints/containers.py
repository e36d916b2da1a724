"""The files and folders that hold parameters: how each is read, without pickle where possible, and written.

Adding a container is adding a row to `CONTAINERS`. Reading gives a tree of arrays under their names in the file;
their layout is found later. A library is imported only by the container that needs it.
"""

# pyright: reportMissingImports=false
# torch is optional.

import io
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.files import UNFINISHED, read_whole, write_whole
from ...common.parameters.layouts import Layout
from ...common.parameters.record import ClassifierParams, GRUParams
from ...common.parameters.safetensors import read_tensors, write_tensors
from .. import get_port

Params = GRUParams | ClassifierParams
#: An archive that grows by more when it is unpacked was made to fill the memory.
LARGEST_EXPANSION = 100


@dataclass(frozen=True)
class Container:
    """A file format, or a folder."""

    title: str  # what messages and tables call it
    suffixes: tuple[str, ...]  # by which it is chosen
    read: Callable[[Path], Any]  # gives a tree of arrays
    write: Callable[[Path, Layout, Params], None]  # whole or not at all
    reader: str  # what its users read it with
    layouts: tuple[str, ...] | None = None  # that its readers expect in it; None where names are written
    install: str = "pip install trigru"  # how to get what it needs
    pickle: bool = False  # whether reading it unpickles
    folder: bool = False  # whether it is one
    unnamed: bool = False  # whether its arrays have no names, so that it can have no layouts but its own


def get_container(path: Path) -> Container:
    """The container of a file or folder, by its suffix; any folder that is there is Orbax's.

    Raises:
        InputError: no container has the suffix.
    """
    if path.is_dir():
        return ORBAX
    by_suffix = {suffix: container for container in CONTAINERS for suffix in container.suffixes}
    if path.suffix.lower() not in by_suffix:
        what = f"unknown suffix {path.suffix!r}" if path.suffix else "no suffix, which would tell the type of file"
        raise InputError(f"{path}: {what}. Known: {', '.join(by_suffix)}.")
    return by_suffix[path.suffix.lower()]


def _write_safetensors(path: Path, layout: Layout, params: Params) -> None:
    kind = type(params).__name__ if layout.name == "canonical" else layout.name
    write_tensors(path, layout.flat(params), kind)


def _write_npz(path: Path, layout: Layout, params: Params) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **layout.flat(params))  # pyright: ignore[reportArgumentType]
    write_whole(path, buffer.getvalue())


def _read_npz(path: Path) -> Any:
    content = read_whole(path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked, packed = sum(member.file_size for member in archive.infolist()), len(content)
        if unpacked > LARGEST_EXPANSION * packed:
            raise InputError(f"unpacks from {packed} bytes to {unpacked}: no parameters do. Not read.")
        found = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in found:
                raise InputError(f"has two arrays called {name}: expected one.")
            with archive.open(member) as file:
                found[name] = _read_npy(file)
        return found


def _read_msgpack(path: Path) -> Any:
    from flax.serialization import msgpack_restore

    return msgpack_restore(read_whole(path))


def _write_msgpack(path: Path, layout: Layout, params: Params) -> None:
    from flax.serialization import msgpack_serialize

    write_whole(path, msgpack_serialize(layout.tree(params)))


def _read_eqx(path: Path) -> Any:
    """Arrays without names: their number says which they are. A first line of hyperparameters, in JSON, is skipped."""
    content = read_whole(path)
    if content.startswith(b"{"):
        line, _, content = content.partition(b"\n")
        json.loads(line)
    file, arrays = io.BytesIO(content), []
    while file.tell() < len(content):
        arrays.append(_read_npy(file))
    layout = _equinox()
    cell, gru, classifier = len(layout.rows), len(layout.table()), len(layout.table(classifier=True))
    if len(arrays) not in (cell, gru, classifier):
        raise InputError(
            f"has {len(arrays)} arrays, expected {cell} of a cell, {gru} with an initial_carry, or {classifier} with "
            f"a readout, too."
        )
    return dict(zip(layout.table(classifier=len(arrays) == classifier), arrays, strict=False))


def _write_eqx(path: Path, layout: Layout, params: Params) -> None:
    import equinox as eqx

    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, list(layout.flat(params).values()))
    write_whole(path, buffer.getvalue())


def _equinox() -> Layout:
    return get_port("equinox").layout  # pyright: ignore[reportAttributeAccessIssue]


def _read_npy(file: Any) -> np.ndarray:
    """An array that is no pickle, and is whole: NumPy's own reader allocates whatever size a header claims."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"has an array in version {version} of NumPy's format, expected 1.0 or 2.0.")
    headers = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, fortran, dtype = headers[version[0] - 1](file)
    if dtype.kind != "f":
        raise InputError(f"has an array of dtype {dtype}, expected float16, float32 or float64. Convert it.")
    size = math.prod(shape) * dtype.itemsize
    content = file.read(size)
    if len(content) != size:
        raise InputError(f"is truncated: an array of shape {shape} needs {size} bytes, and {len(content)} are left.")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def _read_orbax(path: Path) -> Any:
    """As NumPy arrays: as JAX's, float64 would be rounded."""
    import jax
    import orbax.checkpoint as ocp

    path = path.absolute()
    for entry in path.rglob("*"):  # tensorstore would wait for a pipe
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise InputError(f"has {entry.name}, which is neither a file nor a folder.")
    managed = path / "default"  # where a CheckpointManager has it, in the folder of a step
    path = managed if (managed / "_METADATA").exists() else path
    for leaf in json.loads(read_whole(path / "_METADATA"))["tree_metadata"].values():
        for key in leaf["key_metadata"]:
            if set("/\\") & set(str(key["key"])):  # Orbax makes paths of keys, and this one would lead elsewhere
                raise InputError(f"has an array called {key['key']!r}, which is a path.")
    handler: Any = ocp.PyTreeCheckpointHandler()
    numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path).tree)
    return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=numpy))


def _write_orbax(path: Path, layout: Layout, params: Params) -> None:
    """Elsewhere first, and copied from there: where Orbax fails, its threads go on writing into the folder it had."""
    import orbax.checkpoint as ocp

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=UNFINISHED))
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            written = Path(folder).absolute() / "written"
            with ocp.PyTreeCheckpointer() as checkpointer:
                checkpointer.save(written, layout.tree(params))
            shutil.copytree(written, beside / path.name)
        os.rename(beside / path.name, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read_torch(path: Path) -> Any:
    import torch

    return torch.load(io.BytesIO(read_whole(path)), map_location="cpu", weights_only=True)


def _write_torch(path: Path, layout: Layout, params: Params) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(np.asarray(array)) for name, array in layout.flat(params).items()}, buffer)
    write_whole(path, buffer.getvalue())


FLAX = ("linen", "nnx")

ORBAX = Container(
    "Orbax folder",
    (".orbax",),
    _read_orbax,
    _write_orbax,
    "orbax.checkpoint",
    FLAX,
    "pip install orbax-checkpoint",
    folder=True,
)

CONTAINERS = (
    Container("safetensors file", (".safetensors",), read_tensors, _write_safetensors, "safetensors"),
    Container("NumPy archive", (".npz",), _read_npz, _write_npz, "numpy.load"),
    Container(
        "msgpack file", (".msgpack",), _read_msgpack, _write_msgpack, "flax.serialization", FLAX, "pip install flax"
    ),
    ORBAX,
    Container(
        "Equinox file",
        (".eqx",),
        _read_eqx,
        _write_eqx,
        "eqx.tree_deserialise_leaves",
        ("equinox",),
        "pip install equinox",
        unnamed=True,
    ),
    Container(
        "torch file",
        (".pt", ".pth"),
        _read_torch,
        _write_torch,
        "torch.load",
        ("torch",),
        "uv run --extra peers, or pip install torch",
        pickle=True,
    ),
)
