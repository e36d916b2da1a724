"""Convert the parameters of a GRU between frameworks, in memory and in files.

The file formats are in `containers`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...common.errors import InputError, UnavailableError, UnknownNameError, either
from ...common.parameters.layouts import (
    CANONICAL,
    CARRY,
    NO_CARRY,
    TORCH,
    Layout,
    nested,
)
from ...common.parameters.recognition import (
    below,
    places_of,
    recognise,
    some_names,
)
from ...common.parameters.record import GRUParams
from .. import get_port, port_names, unavailable
from .containers import CONTAINERS, Container, container_of, read_file, write_file

__all__ = [
    "Converted",
    "convert",
    "exchange",
    "exchange_in_file",
    "layouts",
    "read",
    "write",
]


@dataclass(frozen=True)
class Converted:
    """Parameters, and what they were converted from.

    `trigru.common.config_of` gives their configuration.

    Args:
        params: canonical, NumPy arrays.
        layout: the name of the layout that they had.
        notes: what was assumed or lost, in sentences; empty where every bit is as it
            was.
    """

    params: GRUParams
    layout: str
    notes: tuple[str, ...] = ()

    def to(self, layout: str) -> dict[str, Any]:
        """The arrays in a layout, by name.

        They are a tree of dicts if the framework keeps one, else a flat dict.
        """
        chosen = _layout(layout)
        return chosen.tree(self.params) if chosen.nested else chosen.flat(self.params)


def layouts() -> dict[str, Layout]:
    """All known layouts by name.

    Those of ports, also of other packages, are their attributes `layout`.

    >>> list(layouts())
    ['canonical', 'linen', 'nnx', 'equinox', 'torch']
    """
    known = {CANONICAL.name: CANONICAL}
    for name in port_names():
        layout = None
        if not unavailable(name):
            layout = getattr(get_port(name), "layout", None)
        if isinstance(layout, Layout):
            known[layout.name] = layout
    known[TORCH.name] = TORCH
    return known


def convert(
    tree: Any, at: str = "", names: Mapping[str, str] | None = None
) -> Converted:
    """Recognise parameters in memory, of any layout, by their names.

    Args:
        tree: linen's variables, an NNX state or pure dict, an Equinox model, torch's
            state dict, or any dict of arrays with the names that one of them would
            have.
        at: the place of the GRU where the tree has other arrays, too: the keys on the
            way, joined by dots or slashes.
        names: the tree's own names for `weight_ih`, `weight_hh`, `bias`, `bias_n` and
            `initial_carry`, where no framework has them. Gates are in the order r, z,
            n.

    Raises:
        InputError: the names are those of no layout, or the arrays are not a GRU's
            parameters.

    >>> import numpy as np
    >>> gru = {  # of torch, with bias=False
    ...     "weight_ih_l0": np.ones((9, 2), "f4"),
    ...     "weight_hh_l0": np.ones((9, 3), "f4"),
    ... }
    >>> converted = convert(gru)
    >>> converted.notes
    ('it has no biases: they are 0.',
     'it has no initial_carry: the initial state is 0.')
    >>> converted.to("nnx")["cell"]["dense_i"]["kernel"].shape
    (2, 9)
    """
    where = f"at {at}: " if at else ""
    try:
        arrays = below(tree, at, names or {})
    except InputError as error:
        raise InputError(f"{where}{error}") from error

    known = layouts().values()
    try:
        params, layout, notes = recognise(arrays, known)
    except InputError as error:
        places = [place for place in places_of(arrays, known) if place]
        hint = f" It has GRUs at {', '.join(places)}: name one." if places else ""
        raise InputError(f"{where}{error}{hint}") from error
    return Converted(params, layout.name, notes)


def exchange(
    tree: Any, to: str, at: Iterable[str] = (), names: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, Converted]]:
    """Convert the GRUs in a tree, and leave its other arrays as they are.

    A GRU without an initial carry stays one, for a model that is made with
    `carry_init=None`. Returns the tree, and what was converted at each place.

    Args:
        tree: dicts of arrays, as linen's variables, a training state that flax has
            serialised, or a flat dict.
        to: the name of the layout.
        at: the places of the GRUs, as in `convert`; none for all whose names are those
            of a layout.
        names: as in `convert`.

    Raises:
        InputError: the tree has no GRU, or there is none at a place.

    >>> import numpy as np
    >>> gru = {
    ...     "Wi": np.ones((9, 2), "f4"),
    ...     "Wh": np.ones((9, 3), "f4"),
    ...     "b": np.ones(9, "f4"),
    ...     "bn": np.ones(3, "f4"),
    ... }
    >>> params = {"GRU_0": gru, "head": np.ones(2)}
    >>> names = {"weight_ih": "Wi", "weight_hh": "Wh", "bias": "b", "bias_n": "bn"}
    >>> tree, _ = exchange({"params": params}, "linen", ["params.GRU_0"], names)
    >>> list(tree["params"]), list(tree["params"]["GRU_0"])
    (['GRU_0', 'head'], ['cell'])
    """
    layout = _layout(to)
    places = [*at] or places_of(tree, layouts().values())
    if not places:
        raise InputError(
            "has no GRU whose arrays have the names of a layout: "
            f"{', '.join(layouts())}. Name its place."
        )
    converted = {place: convert(tree, place, names) for place in places}
    if not isinstance(tree, Mapping):
        raise InputError(f"is a {type(tree).__name__}, expected a dict of arrays.")
    is_flat = not any(isinstance(child, Mapping) for child in tree.values())
    for place, source in converted.items():
        arrays = layout.flat(source.params)
        if NO_CARRY in source.notes:
            arrays = _without_carry(arrays)
        part = arrays if is_flat else nested(arrays)
        tree = _with(tree, place.strip("./").replace("/", "."), part)
    return dict(tree), converted


def read(
    path: str | os.PathLike[str], at: str = "", names: Mapping[str, str] | None = None
) -> Converted:
    """Read parameters from a file, whose suffix names its format.

    `at` and `names` are as in `convert`.

    Raises:
        ParamsFileError: it is missing or damaged, or does not hold a GRU's parameters.
        InputError: the suffix is unknown.
        UnavailableError: the library that reads it is not installed.
    """
    return read_file(Path(path), partial(convert, at=at, names=names))


def write(
    path: str | os.PathLike[str],
    params: GRUParams,
    layout: str | None = None,
) -> str:
    """Write parameters, whole or not at all. A file that is there is replaced.

    Args:
        path: whose suffix names the format.
        layout: the name of the layout to write, which is returned; None where the
            format has one alone.

    Raises:
        InputError: the suffix is unknown, the format does not take the layout, or takes
            several and none is given, a folder is in the way, or the parameters are
            mis-shaped or not finite.
        UnavailableError: the library that writes it is not installed.
        OSError: it cannot be written.
    """
    path = Path(path)
    chosen = _target_layout(path, layout)
    try:
        # Checked, and in this machine's byte order.
        native, _, _ = recognise(CANONICAL.flat(params), [CANONICAL])
    except InputError as error:
        raise InputError(f"{path}: not written: {error}") from error
    write_file(path, chosen.flat(native), chosen, "these arrays")
    return chosen.name


def exchange_in_file(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    to: str | None = None,
    at: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, Converted]]:
    """Write the arrays of a file to another file, in which its GRUs are converted.

    They are converted as by `exchange`. Returns the name of the layout, and what was
    converted at each place. Raises errors as `read` and `write` do.
    """
    target = Path(target)
    layout = _target_layout(target, to)
    container = container_of(target)
    if layout.name == "equinox" and container.layouts:
        raise InputError(
            f"{target}: {container.title}s hold one GRU alone, since their arrays have "
            "no names."
        )
    exchanging = partial(exchange, to=layout.name, at=at, names=names)
    tree, converted = read_file(Path(path), exchanging)
    write_file(target, tree, layout, str(path))
    return layout.name, converted


def _layout(name: str) -> Layout:
    known = layouts()
    if name in known:
        return known[name]
    reason = unavailable(name) if name in port_names() else None
    if reason:
        raise UnavailableError(f"layout {name!r} is not available: {reason}")
    raise UnknownNameError("layout", name, list(known))


def _target_layout(path: Path, name: str | None) -> Layout:
    """The layout of a name, if the format of a file takes it.

    None asks for the only layout that the format takes.
    """
    container = container_of(path)
    takes = _taken(container)
    if name is None and len(takes) > 1:
        raise InputError(
            f"{path}: {container.title}s can hold several layouts. Name one: "
            f"{either(takes)}."
        )
    layout = _layout(takes[0] if name is None else name)
    if layout.name not in takes:
        suffixes = [c.suffixes[0] for c in CONTAINERS if layout.name in _taken(c)]
        only = f"{container.title}s hold the layout {either(takes)} alone"
        raise InputError(f"{path}: {only}. Write {layout.name} to {either(suffixes)}.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Remove it, or choose another name.")
    return layout


def _taken(container: Container) -> list[str]:
    """The layouts that a format takes."""
    return list(container.layouts or layouts())


def _without_carry(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array for name, array in arrays.items() if name != CARRY.name}


def _with(
    tree: Mapping[Any, Any], at: str, part: Mapping[str, Any]
) -> Mapping[Any, Any]:
    """A copy of a dict with another part at one place.

    The place is the keys on the way, joined by dots. A flat dict has such keys itself,
    which may be joined by slashes.
    """
    if not at:
        return part
    names = {key: str(key).replace("/", ".") for key in tree}
    for key, name in names.items():
        if isinstance(tree[key], Mapping) and f"{at}.".startswith(f"{name}."):
            return dict(tree) | {key: _with(tree[key], at[len(name) + 1 :], part)}
    others = {}
    for key, child in tree.items():
        if not names[key].startswith(f"{at}."):
            others[key] = child
    if len(others) == len(tree):
        raise InputError(
            f"has no dict with the key {at}. Its keys there: "
            f"{some_names(names.values())}."
        )
    return others | {f"{at}.{name}": array for name, array in part.items()}
