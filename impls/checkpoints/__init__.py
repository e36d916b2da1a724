"""Parameters from one framework's layout to another's, in memory and on disk. Files are not trusted: none runs code."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.errors import InputError, ParamsFileError, TrigruError, UnavailableError, UnknownNameError, brief, either
from ...common.parameters.detection import recognise
from ...common.parameters.layouts import CANONICAL, TORCH, Layout
from ...common.parameters.record import ClassifierParams, GRUParams
from .. import get_port, port_names, unavailable
from .containers import CONTAINERS, Container, get_container

__all__ = ["Converted", "convert", "layouts", "read", "write"]


@dataclass(frozen=True)
class Converted:
    """Parameters, and what they were converted from.

    Args:
        params: canonical, NumPy arrays. `trigru.common.config_of` gives the configuration to load them with.
        layout: the name of the layout that they had.
        notes: what was assumed or lost, in sentences; empty where every bit is as it was.
    """

    params: GRUParams | ClassifierParams
    layout: str
    notes: tuple[str, ...] = ()

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


def convert(tree: Any) -> Converted:
    """Recognise parameters in memory, of any layout, by their names.

    Args:
        tree: linen's variables, an NNX state or pure dict, an Equinox model, torch's state dict, or any dict of arrays
            with the names that one of them would have.

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
    params, layout, notes = recognise(tree, layouts().values())
    return Converted(params, layout.name, notes)


def read(path: str | os.PathLike[str]) -> Converted:
    """Read parameters from a file; its suffix says how.

    Args:
        path: a container of `trigru.impls.checkpoints.containers`.

    Raises:
        ParamsFileError: it is missing or damaged, or does not hold a GRU's parameters.
        InputError: the suffix is unknown.
        UnavailableError: the library that reads it is not installed.
    """
    path = Path(path)
    container = get_container(path)
    try:
        return convert(container.read(path))
    except InputError as error:
        raise ParamsFileError(f"{path}: {error}") from error
    except TrigruError:
        raise
    except ModuleNotFoundError as error:
        raise _not_installed(container, error) from error
    except Exception as error:  # a damaged file may fail anywhere in the library that reads it
        if isinstance(error, OSError) and error.filename == str(path):
            raise ParamsFileError(f"{path}: {error.strerror}.") from error
        reason = f"{type(error).__name__}: {brief(error)}"
        raise ParamsFileError(
            f"{path}: not a readable {container.title} ({reason}). It may be damaged; write it again."
        ) from error


def write(path: str | os.PathLike[str], params: GRUParams | ClassifierParams, layout: str | None = None) -> str:
    """Write parameters, whole or not at all. A file that is there is replaced.

    Args:
        path: a container of `trigru.impls.checkpoints.containers`.
        layout: the name of the layout to write; None where the container has one alone.

    Returns:
        The name of the layout.

    Raises:
        InputError: the suffix is unknown, the container does not take the layout, or takes several and none is given,
            a folder is in the way, or the parameters are mis-shaped or not finite.
        UnavailableError: the library that writes it is not installed.
        OSError: it cannot be written.
    """
    path = Path(path)
    container = get_container(path)
    takes = first, *others = container.layouts or tuple(layouts())
    if layout is None and others:
        raise InputError(f"{path}: {container.title}s can hold several layouts. Name one: {either(takes)}.")
    chosen = _layout(first if layout is None else layout)
    if chosen.name not in takes:
        elsewhere = [c.suffixes[0] for c in CONTAINERS if chosen.name in (c.layouts or layouts())]
        raise InputError(
            f"{path}: {container.title}s hold the layout {either(takes)} alone. "
            f"Write {chosen.name} to {either(elsewhere)}."
        )
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Remove it, or choose another name.")
    try:
        params = recognise(CANONICAL.flat(params), [CANONICAL])[0]  # checked, and in this machine's byte order
    except InputError as error:
        raise InputError(f"{path}: not written: {error}") from error
    try:
        container.write(path, chosen, params)
    except ModuleNotFoundError as error:
        raise _not_installed(container, error) from error
    return chosen.name


def _layout(name: str) -> Layout:
    known = layouts()
    if name in known:
        return known[name]
    if name in port_names() and (reason := unavailable(name)):
        raise UnavailableError(f"layout {name!r} is not available: {reason}")
    raise UnknownNameError("layout", name, list(known))


def _not_installed(container: Container, error: ModuleNotFoundError) -> UnavailableError:
    return UnavailableError(f"{container.title}s need {error.name}, which is not installed: {container.install}.")
