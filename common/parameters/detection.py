"""Detection of a layout, and of GRUs within a larger tree, by the names of the arrays. A tree may be a flat dict."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, UnknownNameError
from .layouts import CARRY, Layout, flatten, nested
from .record import ClassifierParams, GRUParams, leaves

SHOWN = 8  # names in a message
ADDED = "its two biases of r and of z are added, as the model has one of each: the sums are kept, the split is lost."


def recognise(tree: Any, layouts: Iterable[Layout]) -> tuple[GRUParams | ClassifierParams, Layout, tuple[str, ...]]:
    """The parameters in a tree, copied to NumPy; the layout that they had; what was assumed or lost, in sentences.

    The arrays of the cell must have the names of a layout, all in one place, as `params.GRUCell_0` or `rnn.cell`. The
    initial carry and the readout are known by their own names, wherever they are. Raises an InputError if the names are
    those of no layout or of two, or the arrays are not a GRU's parameters.
    """
    flat, notes = flatten(tree), []
    kept = {name: leaf for name, leaf in flat.items() if "rngs" not in name.split(".")}
    if len(kept) < len(flat):
        notes.append("it has random state (rngs), which is no parameter: left out.")
    layout, own_names = _only_match(kept, list(layouts))
    table = layout.table(classifier=layout.readout[0].name in own_names)
    arrays = {name: _array(own_name, kept[own_name]) for name, own_name in own_names.items()}
    for name, array in arrays.items():
        if table[name] is CARRY and array.shape == (*(1,) * (array.ndim - 1), array.size):
            arrays[name] = array.ravel()  # (H,), where torch's users keep (1, 1, H)
    try:
        layout.check(arrays, own_names)
    except InputError as error:
        raise InputError(f"as {layout.name}: {error}") from error
    notes += dict.fromkeys(row.if_absent for name, row in table.items() if row.if_absent and name not in arrays)
    params = layout.record(arrays)
    if any(array[: -len(array) // 3].any() for name, array in arrays.items() if table[name].field == "bias_hh"):
        notes.append(ADDED)
    if not np.isfinite(leaves(params)["bias"]).all():
        raise InputError(f"as {layout.name}: bias has values that are not finite: a sum is too large for its dtype.")
    return params, layout, tuple(notes)


def _only_match(flat: Mapping[str, Any], layouts: list[Layout]) -> tuple[Layout, dict[str, str]]:
    """The one layout that the names of a tree fit, and the tree's names of its arrays.

    Where several fit, as Equinox's and the canonical one, it is that whose cell is at its place.
    """
    fits, problems = [], {}
    for layout in layouts:
        places = _places(flat, layout.rows[0].name)
        for at in places:
            own_names, problem = _match(layout, flat, at, places)
            if problem:
                problems[f"as {layout.name}: {problem}"] = None
            else:
                fits.append((len(layout.cell) if at.endswith(layout.cell) else -1, layout, own_names))
    if not fits:
        whose = "the layout's" if len(layouts) == 1 else "one layout's"
        expected = "; ".join(f"{layout.name} has {_names(row.name for row in layout.rows)}" for layout in layouts)
        why = ". ".join(problems) or f"Expected {whose}, in one place: {expected}"
        raise InputError(f"has the arrays {_names(flat)}. {why}.")
    closest = max(closeness for closeness, *_ in fits)
    first, *others = ((layout, own_names) for closeness, layout, own_names in fits if closeness == closest)
    if others:
        names = " and ".join(layout.name for layout, _ in (first, *others))
        raise InputError(f"has the arrays of {names} alike, so that nobody can tell which it is.")
    return first


def _match(layout: Layout, flat: Mapping[str, Any], at: str, places: list[str]) -> tuple[dict[str, str], str]:
    """The tree's names of the arrays of a layout whose cell is at a place, and why it does not fit."""
    table = layout.table(classifier=any(_ending(flat, row.name) for row in layout.readout))
    own_names, lacks = {}, {}
    for name, row in table.items():
        expected = at + row.name if row in layout.rows else row.name
        names = {expected} & flat.keys() if row in layout.rows else _ending(flat, expected)
        if len(names) == 1:
            (own_names[name],) = names
        else:
            lacks[expected] = row
    present = {table[name].if_absent for name in own_names if table[name] is not CARRY}
    missing = [name for name, row in lacks.items() if row.if_absent is None or row.if_absent in present]
    beside = sorted(set(flat) - set(own_names.values()))
    problems = [f"it is {why}" for part, why in layout.refused if any(part in name for name in beside)]
    if not problems and len(places) > 1:
        problems = [f"it has {len(places)} cells, at {_names(place.rstrip('.') or 'the top' for place in places)}"]
    elif not problems:
        problems = [f"it lacks {_names(missing)}"] if missing else []
        problems += [f"it has {_names(beside)} beside"] if beside else []
    return own_names, "; ".join(problems[:2])


def _ending(flat: Iterable[str], name: str) -> list[str]:
    return [other for other in flat if f".{other}".endswith(f".{name}")]


def _places(flat: Iterable[str], name: str) -> list[str]:
    return [other.removesuffix(name) for other in _ending(flat, name)]


def _array(name: str, leaf: Any) -> np.ndarray:
    """A copy, since torch changes its parameters in place; in this machine's byte order."""
    try:
        array = np.array(leaf.detach().cpu().numpy() if hasattr(leaf, "detach") else leaf)
    except Exception as error:  # any object may be there
        raise InputError(f"{name} is no array that NumPy can hold: {type(leaf).__name__} ({error}).") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "none"


# GRUs within a larger tree --------------------------------------------------------------------------------------------


def below(tree: Any, at: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The arrays below one place of a tree, by name; arguments are those of `trigru.impls.checkpoints.convert`.

    Raises an InputError if there are none, or none of a name of the tree's own.

    >>> list(below({"a": {"gru": {"Wi": 1.0, "Wh": 2.0}}, "b": 3.0}, "a/gru"))
    ['Wh', 'Wi']
    """
    flat = flatten(tree)
    if at := _dotted(at):
        arrays = {name.removeprefix(f"{at}."): leaf for name, leaf in flat.items() if name.startswith(f"{at}.")}
        if not arrays:
            places = dict.fromkeys(name.rpartition(".")[0] for name in flat if "." in name)
            raise InputError(f"has no arrays below {at}. Its places: {_names(places)}.")
        flat = arrays
    return _renamed(flat, names) if names else flat


def cells(tree: Any, layouts: Iterable[Layout]) -> list[str]:
    """The places of all GRUs whose arrays have the names of a layout, as "params.GRUCell_0"."""
    flat, places = flatten(tree), {}
    for layout in sorted(layouts, key=lambda layout: -len(layout.cell)):  # canonical names are Equinox's, without cell
        first, *others = (row.name for row in layout.rows if row.if_absent is None)
        for cell in _places(flat, first):
            if all(cell + other in flat for other in others):
                whole = cell.removesuffix(layout.cell)  # of the GRU, unless there are arrays of others
                alone = all(other.startswith((cell, whole + CARRY.name)) for other in flat if other.startswith(whole))
                places.setdefault(cell, (whole if alone else cell).rstrip("."))
    return list(places.values())


def exchanged(tree: Any, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of a tree of dicts with other arrays below some of its places, which are given by name for each place."""
    if not isinstance(tree, Mapping):
        raise InputError(f"is a {type(tree).__name__}, expected a dict of arrays.")
    flat = not any(isinstance(child, Mapping) for child in tree.values())
    for place, arrays in parts.items():
        tree = _with(tree, _dotted(place), arrays if flat else nested(arrays))
    return dict(tree)


def _with(tree: Mapping[Any, Any], at: str, part: Mapping[str, Any]) -> Mapping[Any, Any]:
    """A dict with another part at one place. Keys are joined by dots or slashes on the way to it, or in a flat dict."""
    if not at:
        return part
    names = {key: str(key).replace("/", ".") for key in tree}
    for key, name in names.items():
        if isinstance(tree[key], Mapping) and f"{at}.".startswith(f"{name}."):
            return dict(tree) | {key: _with(tree[key], at[len(name) + 1 :], part)}
    others = {key: child for key, child in tree.items() if not names[key].startswith(f"{at}.")}
    if len(others) == len(tree):
        raise InputError(f"has no dict with the key {at}. Its keys there: {_names(names.values())}.")
    return others | {f"{at}.{name}": array for name, array in part.items()}


def _dotted(place: str) -> str:
    return place.strip("./").replace("/", ".")


def _renamed(flat: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The arrays of a tree, of which some have names of their own for a GRU's, by the canonical names.

    Matrices that multiply from the right, (D, 3H) and (H, 3H), are transposed.
    """
    if len({*names.values()}) < len(names):
        raise InputError("has one name for two arrays of a GRU.")
    canonical = {}
    for field, name in names.items():
        if field not in GRUParams._fields:
            raise UnknownNameError("array", field, list(GRUParams._fields))
        name = name.replace("/", ".")
        places = _places(flat, name)
        if not places:
            raise InputError(f"has no array called {name}, for {field}. Its arrays: {_names(flat)}.")
        canonical |= {place + name: place + field for place in places}
    renamed = {canonical.get(name, name): leaf for name, leaf in flat.items()}
    for place in _places(renamed, "weight_hh"):
        shape = np.shape(renamed[f"{place}weight_hh"])
        if len(shape) == 2 and shape[1] == 3 * shape[0]:
            for matrix in {f"{place}weight_hh", f"{place}weight_ih"} & renamed.keys():
                renamed[matrix] = np.transpose(renamed[matrix])
    return renamed
