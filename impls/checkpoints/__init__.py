"""Parameters from one framework's layout to another's, in memory and on disk. Files are not trusted: none runs code.

Adding a file format is adding a row to `CONTAINERS`. A library is imported only by the format that needs it.
"""

import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import (
    InputError,
    ParamsFileError,
    TrigruError,
    UnavailableError,
    UnknownNameError,
    brief,
    either,
    what_to_install,
)
from ...common.files import read_whole, write_whole
from ...common.parameters.layouts import (
    CANONICAL,
    CARRY,
    TORCH,
    Layout,
    below,
    flatten,
    nested,
    places_of,
    recognise,
    some_names,
)
from ...common.parameters.record import (
    ClassifierParams,
    GRUParams,
    tensors_content,
    tensors_of,
)
from .. import get_port, port_names, unavailable

__all__ = [
    "Converted",
    "convert",
    "exchange",
    "exchange_in_file",
    "layouts",
    "read",
    "write",
]

Arrays = Mapping[str, Any]  # by name, keys joined by dots


@dataclass(frozen=True)
class Converted:
    """Parameters, of which `trigru.common.config_of` gives the configuration, and what they were converted from."""

    params: GRUParams | ClassifierParams  # canonical, NumPy arrays
    layout: str  # the name of the layout that they had
    notes: tuple[
        str, ...
    ] = ()  # what was assumed or lost, in sentences; empty where every bit is as it was

    def to(self, layout: str) -> dict[str, Any]:
        """The arrays in a layout: by name, in a tree of dicts where the framework keeps one."""
        chosen = _layout(layout)
        return chosen.tree(self.params) if chosen.nested else chosen.flat(self.params)


def layouts() -> dict[str, Layout]:
    """The layouts that are known here by name: a port, also a third party's, has its own as `layout`.

    >>> list(layouts())
    ['canonical', 'linen', 'nnx', 'equinox', 'torch']
    """
    ports = [get_port(name) for name in port_names() if not unavailable(name)]
    own = [
        layout
        for port in ports
        if isinstance(layout := getattr(port, "layout", None), Layout)
    ]
    return {layout.name: layout for layout in (CANONICAL, *own, TORCH)}


def convert(
    tree: Any, at: str = "", names: Mapping[str, str] | None = None
) -> Converted:
    """Recognise parameters in memory, of any layout, by their names.

    Args:
        tree: linen's variables, an NNX state or pure dict, an Equinox model, torch's state dict, or any dict of arrays
            with the names that one of them would have.
        at: the place of the GRU where the tree has other arrays, too: the keys on the way, joined by dots or slashes.
        names: the tree's own names for `weight_ih`, `weight_hh`, `bias`, `bias_n` and `initial_carry`, where no
            framework has them. Gates are in the order r, z, n.

    Raises:
        InputError: the names are those of no layout, or the arrays are not a GRU's parameters.

    >>> import numpy as np
    >>> gru = {"weight_ih_l0": np.ones((9, 2), "f4"), "weight_hh_l0": np.ones((9, 3), "f4")}  # of torch, bias=False
    >>> converted = convert(gru)
    >>> converted.notes
    ('it has no biases: they are 0.', 'it has no initial_carry: the initial state is 0.')
    >>> converted.to("nnx")["cell"]["dense_i"]["kernel"].shape
    (2, 9)
    """
    known, where, arrays = layouts().values(), f"at {at}: " if at else "", {}
    try:
        arrays = below(tree, at, names or {})
        params, layout, notes = recognise(arrays, known)
    except InputError as error:
        places = [place for place in places_of(arrays, known) if place]
        hint = f" It has GRUs at {', '.join(places)}: name one." if places else ""
        raise InputError(f"{where}{error}{hint}") from error
    return Converted(params, layout.name, notes)


def exchange(
    tree: Any, to: str, at: Iterable[str] = (), names: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, Converted]]:
    """A tree with its GRUs in another layout and its other arrays as they are, and what was converted at each place.

    A GRU without an initial carry stays one, for a model that is made with `carry_init=None`.

    Args:
        tree: dicts of arrays, as linen's variables, a training state that flax has serialised, or a flat dict.
        to: the name of the layout.
        at: the places of the GRUs, as in `convert`; none for all whose names are those of a layout.
        names: as in `convert`.

    Raises:
        InputError: the tree has no GRU, or there is none at a place.

    >>> import numpy as np
    >>> gru = {"Wi": np.ones((9, 2), "f4"), "Wh": np.ones((9, 3), "f4"), "b": np.ones(9, "f4"), "bn": np.ones(3, "f4")}
    >>> names = {"weight_ih": "Wi", "weight_hh": "Wh", "bias": "b", "bias_n": "bn"}
    >>> tree, _ = exchange({"params": {"GRU_0": gru, "head": np.ones(2)}}, "linen", ["params.GRU_0"], names)
    >>> list(tree["params"]), list(tree["params"]["GRU_0"])
    (['GRU_0', 'head'], ['cell'])
    """
    layout = _layout(to)
    places = [*at] or places_of(tree, layouts().values())
    if not places:
        raise InputError(
            f"has no GRU whose arrays have the names of a layout: {', '.join(layouts())}. Name its place."
        )
    converted = {place: convert(tree, place, names) for place in places}
    if not isinstance(tree, Mapping):
        raise InputError(f"is a {type(tree).__name__}, expected a dict of arrays.")
    is_flat = not any(isinstance(child, Mapping) for child in tree.values())
    for place, of_one in converted.items():
        arrays = layout.flat(of_one.params)
        if CARRY.if_absent in of_one.notes:
            arrays = {
                name: array
                for name, array in arrays.items()
                if not name.endswith(CARRY.name)
            }
        tree = _with(
            tree,
            place.strip("./").replace("/", "."),
            arrays if is_flat else nested(arrays),
        )
    return dict(tree), converted


def read(
    path: str | os.PathLike[str], at: str = "", names: Mapping[str, str] | None = None
) -> Converted:
    """Read parameters from a file, whose suffix names its format; `at` and `names` are as in `convert`.

    Raises:
        ParamsFileError: it is missing or damaged, or does not hold a GRU's parameters.
        InputError: the suffix is unknown.
        UnavailableError: the library that reads it is not installed.
    """
    return _read(Path(path), lambda tree: convert(tree, at, names))


def write(
    path: str | os.PathLike[str],
    params: GRUParams | ClassifierParams,
    layout: str | None = None,
) -> str:
    """Write parameters, whole or not at all. A file that is there is replaced.

    Args:
        path: whose suffix names the format.
        layout: the name of the layout to write, which is returned; None where the format has one alone.

    Raises:
        InputError: the suffix is unknown, the format does not take the layout, or takes several and none is given, a
            folder is in the way, or the parameters are mis-shaped or not finite.
        UnavailableError: the library that writes it is not installed.
        OSError: it cannot be written.
    """
    path = Path(path)
    container, chosen = _target(path, layout)
    try:
        params = recognise(CANONICAL.flat(params), [CANONICAL])[
            0
        ]  # checked, and in this machine's byte order
    except InputError as error:
        raise InputError(f"{path}: not written: {error}") from error
    _write(path, container, chosen.flat(params), chosen, "these arrays")
    return chosen.name


def exchange_in_file(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    to: str | None = None,
    at: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, Converted]]:
    """Write the arrays of a file to another, with the GRUs among them in another layout, as `exchange` does.

    Returns the name of the layout, and what was converted at each place. Raises errors as `read` and `write` do.
    """
    target = Path(target)
    container, layout = _target(target, to)
    if layout.name == "equinox" and container.layouts:
        raise InputError(
            f"{target}: {container.title}s hold one GRU alone, since their arrays have no names."
        )
    tree, converted = _read(
        Path(path), lambda tree: exchange(tree, layout.name, at, names)
    )
    _write(target, container, tree, layout, str(path))
    return layout.name, converted


def _layout(name: str) -> Layout:
    known = layouts()
    if name not in known and name in port_names() and (reason := unavailable(name)):
        raise UnavailableError(f"layout {name!r} is not available: {reason}")
    if name not in known:
        raise UnknownNameError("layout", name, list(known))
    return known[name]


def _with(
    tree: Mapping[Any, Any], at: str, part: Mapping[str, Any]
) -> Mapping[Any, Any]:
    """A dict with another part at one place. Keys are joined by dots or slashes on the way to it, or in a flat dict."""
    if not at:
        return part
    names = {key: str(key).replace("/", ".") for key in tree}
    for key, name in names.items():
        if isinstance(tree[key], Mapping) and f"{at}.".startswith(f"{name}."):
            return dict(tree) | {key: _with(tree[key], at[len(name) + 1 :], part)}
    others = {
        key: child for key, child in tree.items() if not names[key].startswith(f"{at}.")
    }
    if len(others) == len(tree):
        raise InputError(
            f"has no dict with the key {at}. Its keys there: {some_names(names.values())}."
        )
    return others | {f"{at}.{name}": array for name, array in part.items()}


# Files ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """A file format."""

    title: str  # in messages and tables
    suffixes: tuple[str, ...]  # by which it is chosen
    decode: Callable[
        [bytes], Any
    ]  # the content of a file -> a tree of arrays by their names in it
    encode: Callable[
        [Arrays, str], bytes
    ]  # (arrays, the name of their layout) -> the content
    reader: str  # with which its users read it
    layouts: tuple[str, ...] | None = (
        None  # that its readers expect in it; None where names are written
    )
    optional: bool = False  # whether its library is installed on request alone


def _container(path: Path) -> Container:
    by_suffix = {
        suffix: container for container in CONTAINERS for suffix in container.suffixes
    }
    if path.suffix.lower() not in by_suffix:
        what = (
            f"unknown suffix {path.suffix!r}"
            if path.suffix
            else "no suffix, which would tell the type of file"
        )
        raise InputError(f"{path}: {what}. Known: {', '.join(by_suffix)}.")
    return by_suffix[path.suffix.lower()]


def _target(path: Path, layout: str | None) -> tuple[Container, Layout]:
    container = _container(path)
    takes = first, *others = container.layouts or tuple(layouts())
    if layout is None and others:
        raise InputError(
            f"{path}: {container.title}s can hold several layouts. Name one: {either(takes)}."
        )
    chosen = _layout(first if layout is None else layout)
    if chosen.name not in takes:
        elsewhere = either(
            c.suffixes[0] for c in CONTAINERS if chosen.name in (c.layouts or layouts())
        )
        only = f"{container.title}s hold the layout {either(takes)} alone"
        raise InputError(f"{path}: {only}. Write {chosen.name} to {elsewhere}.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Remove it, or choose another name.")
    return container, chosen


def _read(path: Path, use: Callable[[Any], Any]) -> Any:
    container = _container(path)
    try:
        return use(container.decode(read_whole(path)))
    except InputError as error:
        raise ParamsFileError(f"{path}: {error}") from error
    except TrigruError:
        raise
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"{container.title}s: {what_to_install(error) or error}"
        ) from error
    except (
        Exception
    ) as error:  # a damaged file may fail anywhere in the library that reads it
        if isinstance(error, OSError) and error.filename == str(path):
            raise ParamsFileError(f"{path}: {error.strerror}.") from error
        reason = (
            f"not a readable {container.title} ({type(error).__name__}: {brief(error)})"
        )
        raise ParamsFileError(
            f"{path}: {reason}. It may be damaged; write it again."
        ) from error


def _write(
    path: Path, container: Container, arrays: Arrays, layout: Layout, source: str
) -> None:
    from safetensors import SafetensorError

    try:
        content = container.encode(arrays, layout.name)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"{container.title}s: {what_to_install(error) or error}"
        ) from error
    except (TypeError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{path}: {container.title}s cannot hold all of {source}: {brief(error)}."
        ) from error
    write_whole(path, content)


def _to_safetensors(arrays: Arrays, layout: str) -> bytes:
    readout = any(name.startswith("readout.") for name in arrays)
    canonical = "ClassifierParams" if readout else "GRUParams"
    return tensors_content(
        flatten(arrays), canonical if layout == "canonical" else layout
    )


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
    import torch  # pyright: ignore[reportMissingImports]

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _to_torch(arrays: Arrays, layout: str) -> bytes:
    import torch  # pyright: ignore[reportMissingImports]

    buffer = io.BytesIO()
    torch.save(
        {
            name: torch.tensor(np.asarray(array))
            for name, array in flatten(arrays).items()
        },
        buffer,
    )
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
