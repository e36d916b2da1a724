"""Which layout a tree of arrays has, told by its names, and the canonical record of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .layouts import CANONICAL, CARRY, Layout, Row, flatten
from .record import ClassifierParams, GRUParams

SHOWN = 8  # names in a message
ADDED = "its two biases of r and of z are added, as the model has one of each: the sums are kept, the split is lost."


def recognise(tree: Any, layouts: Iterable[Layout]) -> tuple[GRUParams | ClassifierParams, Layout, tuple[str, ...]]:
    """The parameters in a tree.

    What a layout calls the cell's arrays must be there, all in one place; the place may be any, as `params.GRUCell_0`
    or `rnn.cell`. The initial carry and the readout are known by their own names, wherever they are.

    Args:
        tree: any pytree of arrays, or a flat dict: linen's variables, an NNX state, an Equinox model, torch's state
            dict.
        layouts: to choose from.

    Returns:
        The canonical parameters, NumPy arrays of their own; the layout that they had; and what was assumed or lost, in
        sentences.

    Raises:
        InputError: the names are those of no layout or of two, or the arrays are not a GRU's parameters.

    >>> from trigru.common.config import GRUConfig
    >>> from trigru.common.parameters.layouts import TORCH
    >>> from trigru.common.parameters.record import random_params
    >>> params, layout, notes = recognise(TORCH.flat(random_params(GRUConfig(2, 3))), [CANONICAL, TORCH])
    >>> layout.name, notes
    ('torch', ())
    """
    flat, notes = flatten(tree), []
    kept = {name: leaf for name, leaf in flat.items() if "rngs" not in name.split(".")}
    if len(kept) < len(flat):
        notes.append("it has random state (rngs), which is no parameter: left out.")
    match = _best(kept, tuple(layouts))
    layout, called = match.layout, match.called
    arrays = {name: _array(there, kept[there]) for name, there in called.items()}
    for name, row in match.table.items():
        if row is CARRY and name in arrays and arrays[name].ndim > 1 and arrays[name].size == arrays[name].shape[-1]:
            arrays[name] = arrays[name].ravel()  # (H,), where torch's users keep (1, 1, H)
    problem = layout.problem(arrays, called)
    if problem:
        raise InputError(f"as {layout.name}: {problem}")
    absent = {name: row for name, row in match.table.items() if name not in arrays}
    notes += dict.fromkeys(row.if_absent for row in absent.values() if row.if_absent)
    shapes, dtype = layout.shapes_of(arrays), next(iter(arrays.values())).dtype
    arrays |= {name: np.zeros(shapes[name], dtype) for name in absent}
    second = [arrays[name][: -len(arrays[name]) // 3] for name, row in match.table.items() if row.field == "bias_hh"]
    if any(map(np.any, second)):
        notes.append(ADDED)
    params = layout.record(arrays)
    problem = CANONICAL.problem(CANONICAL.flat(params))
    if problem:  # a sum too large for its dtype
        raise InputError(f"as {layout.name}: {problem}")
    return params, layout, tuple(notes)


@dataclass(frozen=True)
class _Match:
    """A layout compared with the names of a tree."""

    layout: Layout
    at: str  # where the cell is
    table: dict[str, Row]  # of the layout, with a readout where the tree has one
    called: dict[str, str]  # what the tree calls the layout's arrays
    problem: str  # why it is not this layout; empty where it is

    @property
    def closeness(self) -> int:
        """How well the cell's place fits the layout: this tells Equinox from canonical, which has the same names."""
        return len(self.layout.cell) if self.at.endswith(self.layout.cell) else -1


def _best(flat: Mapping[str, Any], layouts: tuple[Layout, ...]) -> _Match:
    matches = [
        _match(layout, flat, at, places)
        for layout in layouts
        if (places := [name.removesuffix(layout.rows[0].name) for name in _ending(flat, layout.rows[0].name)])
        for at in places
    ]
    fits = [match for match in matches if not match.problem]
    if not fits:
        raise InputError(_no_layout(flat, matches, layouts))
    closest = max(match.closeness for match in fits)
    first, *others = (match for match in fits if match.closeness == closest)
    if others:
        names = " and ".join(match.layout.name for match in (first, *others))
        raise InputError(f"has the arrays of {names} alike, so that nobody can tell which it is.")
    return first


def _match(layout: Layout, flat: Mapping[str, Any], at: str, places: list[str]) -> _Match:
    """A layout compared with the names of a tree, if its cell is in one of the places that have the first array."""
    table = layout.table(classifier=any(_ending(flat, row.name) for row in layout.readout))
    called = {}
    for name, row in table.items():
        names = [at + row.name] if row in layout.rows else _ending(flat, row.name)
        if len(names) == 1 and names[0] in flat:
            called[name] = names[0]
    there = {table[name].if_absent for name in called}
    lacks = [
        f"{at}{row.name}" if row in layout.rows else row.name
        for name, row in table.items()
        if name not in called and (row.if_absent is None or (row in layout.rows and row.if_absent in there))
    ]
    beside = sorted(set(flat) - set(called.values()))
    problems = [f"it is {why}" for part, why in layout.refused if any(part in name for name in beside)]
    if not problems and len(places) > 1:
        problems = [f"it has {len(places)} cells, at {_names(place.rstrip('.') or 'the top' for place in places)}"]
    elif not problems:
        problems = [f"it lacks {_names(lacks)}"] if lacks else []
        problems += [f"it has {_names(beside)} beside"] if beside else []
    return _Match(layout, at, table, called, "; ".join(problems[:2]))


def _no_layout(flat: Mapping[str, Any], matches: list[_Match], layouts: tuple[Layout, ...]) -> str:
    if matches:
        reasons = dict.fromkeys(f"as {match.layout.name}: {match.problem}" for match in matches)
        return f"has the arrays {_names(flat)}. " + ". ".join(reasons) + "."
    whose = "the layout's" if len(layouts) == 1 else "one layout's"
    expected = "; ".join(f"{layout.name} has {_names(row.name for row in layout.rows)}" for layout in layouts)
    return f"has the arrays {_names(flat)}. Expected {whose}, in one place: {expected}."


def _ending(flat: Iterable[str], name: str) -> list[str]:
    return [other for other in flat if f".{other}".endswith(f".{name}")]


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
