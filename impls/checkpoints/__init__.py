"""Parameters from one framework's layout to another's, in memory and on disk. Files are not trusted: none runs code."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from ...common.parameters.detection import below, cells, exchanged, recognise
from ...common.parameters.layouts import CANONICAL, CARRY, TORCH, Layout
from ...common.parameters.record import ClassifierParams, GRUParams
from .. import get_port, port_names, unavailable
from .containers import CONTAINERS, Container, get_container

__all__ = ["Converted", "convert", "exchange", "exchange_in_file", "layouts", "read", "write"]


@dataclass(frozen=True)
class Converted:
    """Parameters, of which `trigru.common.config_of` gives the configuration, and what they were converted from."""

    params: GRUParams | ClassifierParams  # canonical, NumPy arrays
    layout: str  # the name of the layout that they had
    notes: tuple[str, ...] = ()  # what was assumed or lost, in sentences; empty where every bit is as it was

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
    own = [layout for port in ports if isinstance(layout := getattr(port, "layout", None), Layout)]
    return {layout.name: layout for layout in (CANONICAL, *own, TORCH)}


def convert(tree: Any, at: str = "", names: Mapping[str, str] | None = None) -> Converted:
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
        arrays = below(tree, at, names)
        params, layout, notes = recognise(arrays, known)
    except InputError as error:
        places = [place for place in cells(arrays, known) if place]
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
    places = [*at] or cells(tree, layouts().values())
    if not places:
        raise InputError(f"has no GRU whose arrays have the names of a layout: {', '.join(layouts())}. Name its place.")
    converted = {place: convert(tree, place, names) for place in places}
    parts = {}
    for place, of in converted.items():
        carries = CARRY.if_absent not in of.notes
        arrays = layout.flat(of.params)
        parts[place] = {name: array for name, array in arrays.items() if carries or not name.endswith(CARRY.name)}
    return exchanged(tree, parts), converted


def read(path: str | os.PathLike[str], at: str = "", names: Mapping[str, str] | None = None) -> Converted:
    """Read parameters from a file, whose suffix names a container; `at` and `names` are as in `convert`.

    Raises:
        ParamsFileError: it is missing or damaged, or does not hold a GRU's parameters.
        InputError: the suffix is unknown.
        UnavailableError: the library that reads it is not installed.
    """
    return _read(Path(path), lambda tree: convert(tree, at, names))


def write(path: str | os.PathLike[str], params: GRUParams | ClassifierParams, layout: str | None = None) -> str:
    """Write parameters, whole or not at all. A file that is there is replaced.

    Args:
        path: whose suffix names a container.
        layout: the name of the layout to write, which is returned; None where the container has one alone.

    Raises:
        InputError: the suffix is unknown, the container does not take the layout, or takes several and none is given,
            a folder is in the way, or the parameters are mis-shaped or not finite.
        UnavailableError: the library that writes it is not installed.
        OSError: it cannot be written.
    """
    path = Path(path)
    container, chosen = _target(path, layout)
    try:
        params = recognise(CANONICAL.flat(params), [CANONICAL])[0]  # checked, and in this machine's byte order
    except InputError as error:
        raise InputError(f"{path}: not written: {error}") from error
    _write(path, container, chosen.flat(params), chosen)
    return chosen.name


def exchange_in_file(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    to: str | None = None,
    at: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, Converted]]:
    """Write the arrays of a file to another, with the GRUs among them in another layout, as `exchange` does.

    Returns:
        The name of the layout, and what was converted at each place.

    Raises:
        ParamsFileError, InputError, UnavailableError, OSError: as `read` and `write`.
    """
    target = Path(target)
    container, layout = _target(target, to)
    if layout.name == "equinox" and container.layouts:
        raise InputError(f"{target}: {container.title}s hold one GRU alone, since their arrays have no names.")
    tree, converted = _read(Path(path), lambda tree: exchange(tree, layout.name, at, names))
    _write(target, container, tree, layout, str(path))
    return layout.name, converted


def _read(path: Path, use: Callable[[Any], Any]) -> Any:
    container = get_container(path)
    try:
        return use(container.decode(read_whole(path)))
    except InputError as error:
        raise ParamsFileError(f"{path}: {error}") from error
    except TrigruError:
        raise
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{container.title}s: {what_to_install(error) or error}") from error
    except Exception as error:  # a damaged file may fail anywhere in the library that reads it
        if isinstance(error, OSError) and error.filename == str(path):
            raise ParamsFileError(f"{path}: {error.strerror}.") from error
        reason = f"not a readable {container.title} ({type(error).__name__}: {brief(error)})"
        raise ParamsFileError(f"{path}: {reason}. It may be damaged; write it again.") from error


def _write(
    path: Path, container: Container, arrays: Mapping[str, Any], layout: Layout, source: str = "these arrays"
) -> None:
    from safetensors import SafetensorError

    try:
        content = container.encode(arrays, layout.name)
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{container.title}s: {what_to_install(error) or error}") from error
    except (TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: {container.title}s cannot hold all of {source}: {brief(error)}.") from error
    write_whole(path, content)


def _target(path: Path, layout: str | None) -> tuple[Container, Layout]:
    container = get_container(path)
    takes = first, *others = container.layouts or tuple(layouts())
    if layout is None and others:
        raise InputError(f"{path}: {container.title}s can hold several layouts. Name one: {either(takes)}.")
    chosen = _layout(first if layout is None else layout)
    if chosen.name not in takes:
        elsewhere = either(c.suffixes[0] for c in CONTAINERS if chosen.name in (c.layouts or layouts()))
        only = f"{container.title}s hold the layout {either(takes)} alone"
        raise InputError(f"{path}: {only}. Write {chosen.name} to {elsewhere}.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Remove it, or choose another name.")
    return container, chosen


def _layout(name: str) -> Layout:
    known = layouts()
    if name not in known and name in port_names() and (reason := unavailable(name)):
        raise UnavailableError(f"layout {name!r} is not available: {reason}")
    if name not in known:
        raise UnknownNameError("layout", name, list(known))
    return known[name]
