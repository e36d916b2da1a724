"""GRUs within a larger tree of arrays: where they are, by which names, and other arrays in their place."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, UnknownNameError
from .layouts import CARRY, Layout, flatten, nested
from .record import GRUParams


def below(tree: Any, at: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The arrays below one place of a tree, by name.

    Args:
        tree: any pytree of arrays, or a flat dict.
        at: the keys on the way to the place, joined by dots or slashes; "" for the whole tree.
        names: what the tree calls `weight_ih`, `weight_hh`, `bias`, `bias_n` and `initial_carry`, where these are
            names of its own. Its gates are in the order r, z, n; matrices that multiply from the right, (D, 3H) and
            (H, 3H), are transposed.

    Raises:
        InputError: there are no arrays, or none of a name.

    >>> list(below({"a": {"gru": {"Wi": 1.0, "Wh": 2.0}}, "b": 3.0}, "a/gru"))
    ['Wh', 'Wi']
    """
    flat = flatten(tree)
    at = at.strip("./").replace("/", ".")
    if at:
        arrays = {name.removeprefix(f"{at}."): leaf for name, leaf in flat.items() if name.startswith(f"{at}.")}
        if not arrays:
            raise InputError(f"has no arrays below {at}. Its places: {', '.join(_places(flat)) or 'none'}.")
        flat = arrays
    return _renamed(flat, names) if names else flat


def cells(tree: Any, layouts: Iterable[Layout]) -> list[str]:
    """The places of all GRUs whose arrays have the names of a layout.

    >>> from trigru.common.config import GRUConfig
    >>> from trigru.common.parameters.layouts import TORCH
    >>> from trigru.common.parameters.record import random_params
    >>> arrays = TORCH.tree(random_params(GRUConfig(2, 3)))
    >>> cells({"old": arrays, "new": {"rnn": arrays}, "bias": np.ones(2)}, [TORCH])
    ['new.rnn', 'old']
    """
    flat, places = flatten(tree), {}
    for layout in sorted(layouts, key=lambda layout: -len(layout.cell)):  # canonical names are Equinox's, without cell
        first, *others = (row.name for row in layout.rows if row.if_absent is None)
        for name in flat:
            cell = name.removesuffix(first)
            if f".{name}".endswith(f".{first}") and all(cell + other in flat for other in others):
                whole = cell.removesuffix(layout.cell)  # of the GRU, unless there are arrays of others
                alone = all(other.startswith((cell, whole + CARRY.name)) for other in flat if other.startswith(whole))
                places.setdefault(cell, (whole if alone else cell).rstrip("."))
    return list(places.values())


def exchanged(tree: Any, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A tree of dicts, or a flat dict, with other arrays below some of its places. The tree itself is left alone.

    Args:
        parts: for each place, its new arrays by name.

    Raises:
        InputError: the tree is no dict, or its keys are not those on the way to a place.
    """
    if not isinstance(tree, Mapping):
        raise InputError(f"is a {type(tree).__name__}, expected a dict of arrays.")
    flat = not any(isinstance(child, Mapping) for child in tree.values())
    result = dict(tree)
    for at, arrays in parts.items():
        at = at.strip("./").replace("/", ".")
        if not at:
            result = dict(arrays) if flat else nested(arrays)
        elif flat:
            result = {name: leaf for name, leaf in result.items() if not name.replace("/", ".").startswith(f"{at}.")}
            result |= {f"{at}.{name}": leaf for name, leaf in arrays.items()}
        else:
            result = _with(result, at.split("."), nested(arrays))
    return result


def _with(tree: Any, path: list[str], part: Any) -> Any:
    if not path:
        return part
    first, *rest = path
    keys = {str(key): key for key in tree} if isinstance(tree, Mapping) else {}
    if first not in keys:
        raise InputError(f"has no dict with the key {first}. Its keys there: {', '.join(keys) or 'none'}.")
    return dict(tree) | {keys[first]: _with(tree[keys[first]], rest, part)}


def _renamed(flat: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    known = GRUParams._fields
    for field in names:
        if field not in known:
            raise UnknownNameError("array", field, list(known))
    if len({*names.values()}) < len(names):
        raise InputError("has one name for two arrays of a GRU.")
    called = {}
    for field, name in names.items():
        name = name.replace("/", ".")
        there = [other for other in flat if f".{other}".endswith(f".{name}")]
        if not there:
            raise InputError(f"has no array called {name}, for {field}. Its arrays: {', '.join(flat)}.")
        called |= {other: other.removesuffix(name) + field for other in there}
    renamed = {called.get(name, name): leaf for name, leaf in flat.items()}
    for name, leaf in list(renamed.items()):
        shape = np.shape(leaf)
        if f".{name}".endswith(".weight_hh") and len(shape) == 2 and shape[1] == 3 * shape[0]:
            cell = name.removesuffix("weight_hh")
            for matrix in {name, cell + "weight_ih"} & renamed.keys():
                renamed[matrix] = np.transpose(renamed[matrix])
    return renamed


def _places(flat: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in flat if "." in name))[:8]
