"""Recognises the parameters of a GRU in a tree, by the names of its arrays."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, UnknownNameError
from .layouts import (
    CARRY,
    Layout,
    LayoutRow,
    check_rows,
    flatten,
    missing_rows,
    record_of,
)
from .record import GRUParams

#: Names in a message.
SHOWN = 8
ADDED = (
    "its two biases of r and of z are added, as the model has one of each: the "
    "sums are kept, the split is lost."
)
RANDOM_STATE = "it has random state (rngs), which is no parameter: left out."


def recognise(
    tree: Any, layouts: Iterable[Layout]
) -> tuple[GRUParams, Layout, tuple[str, ...]]:
    """Find the parameters of a GRU in a tree.

    Returns the parameters, copied to NumPy; the layout that they had; and what was
    assumed or lost, in sentences.

    The arrays of the cell must have the names of a layout, all in one place, as
    `params.GRUCell_0` or `rnn.cell`. The initial carry is known by its own name,
    wherever it is. Raises an InputError if the names are those of no layout or of two,
    or the arrays are not a GRU's parameters.
    """
    flat = flatten(tree)
    kept = {name: leaf for name, leaf in flat.items() if "rngs" not in name.split(".")}
    fit = _best_fit(kept, list(layouts))
    notes = fit.notes
    if len(kept) < len(flat):
        notes = [RANDOM_STATE, *notes]

    arrays = {name: _array(name, kept[name]) for name in fit.rows}
    for name, row in fit.rows.items():
        array = arrays[name]
        if row is CARRY and array.shape[-1:] == (array.size,):
            arrays[name] = array.ravel()  # (H,), where torch's users keep (1, 1, H)
    try:
        check_rows(fit.rows, arrays)
        params = record_of(fit.rows, arrays)
        if not np.isfinite(params.bias).all():
            raise InputError(
                "bias has values that are not finite: a sum is too large for its dtype."
            )
    except InputError as error:
        raise InputError(f"as {fit.layout.name}: {error}") from error

    for name, row in fit.rows.items():
        second = arrays[name]
        if row.field == "bias_hh" and second[: -len(second) // 3].any():
            notes = [*notes, ADDED]
    return params, fit.layout, tuple(notes)


def places_of(tree: Any, layouts: Iterable[Layout]) -> list[str]:
    """The places of all GRUs in a tree, as "params.GRUCell_0".

    A GRU is known by its arrays, which have the names of a layout.
    """
    flat = flatten(tree)
    cells = _cells(flat, layouts)
    # Of layouts with the same names, the one that tells most of the place.
    cells.sort(key=lambda cell: -len(cell.layout.cell))

    places: dict[str, str] = {}
    for layout, cell in cells:
        gru = cell.removesuffix(layout.cell)
        inside = [name for name in flat if name.startswith(gru)]
        own = (cell, gru + CARRY.name)
        is_alone = all(name.startswith(own) for name in inside)
        places.setdefault(cell, (gru if is_alone else cell).rstrip("."))
    return list(dict.fromkeys(places.values()))


def below(tree: Any, at: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The arrays below one place of a tree, with the tree's own names replaced.

    `names` has the tree's own name for some of the canonical ones. A matrix with such a
    name that multiplies from the right is transposed. Raises an InputError if there are
    no arrays below the place, or none of a name, or a name is there twice.
    """
    flat = _below_place(flatten(tree), _dotted(at))
    own_names = {field: _dotted(name) for field, name in names.items()}
    if len(set(own_names.values())) < len(own_names):
        raise InputError("has one name for two arrays of a GRU.")

    canonical = {}
    for field, own_name in own_names.items():
        if field not in GRUParams._fields:
            raise UnknownNameError("array", field, list(GRUParams._fields))
        matches = _ending(flat, own_name)
        if not matches:
            raise InputError(
                f"has no array called {names[field]}, for {field}. Its arrays: "
                f"{some_names(flat)}."
            )
        for match in matches:
            canonical[match] = match.removesuffix(own_name) + field

    renamed = {canonical.get(name, name): leaf for name, leaf in flat.items()}
    if names:
        _turn_matrices(renamed)
    return renamed


def some_names(names: Iterable[str]) -> str:
    """The first names for a message, and how many more there are."""
    names = list(names)
    if not names:
        return "none"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


# The layout that fits -----------------------------------------------------------------


class _Cell(NamedTuple):
    """A place where a tree has the arrays of a layout's cell."""

    layout: Layout
    place: str  # with a dot at its end, "" for the top


class _Fit(NamedTuple):
    """How the arrays of a tree fit a layout whose cell is at one of its places."""

    layout: Layout
    rows: dict[str, LayoutRow]  # by the tree's names
    notes: list[str]  # of what is absent
    problem: str  # why it does not fit; "" where it does
    rank: tuple[bool, int]  # the larger, the better


def _best_fit(flat: Mapping[str, Any], layouts: list[Layout]) -> _Fit:
    """The one layout that the names of a tree fit.

    Raises an InputError if there is none, or more than one.
    """
    has = f"has the arrays {some_names(flat)}."
    cells = _cells(flat, layouts) or _cells(flat, layouts, complete=False)
    if not cells:
        expected = []
        for layout in layouts:
            names = [row.name for row in layout.rows]
            expected.append(f"{layout.name} has {some_names(names)}")
        raise InputError(
            f"{has} Expected one layout's, in one place: {'; '.join(expected)}."
        )

    fits = [_fit(flat, cell, cells) for cell in cells]
    best_rank = max(fit.rank for fit in fits)
    best = [fit for fit in fits if fit.rank == best_rank]
    if best[0].problem:
        problems = [f"as {fit.layout.name}: {fit.problem}." for fit in best]
        raise InputError(f"{has} {' '.join(dict.fromkeys(problems))}")
    if len(best) > 1:
        names = " and ".join(fit.layout.name for fit in best)
        raise InputError(
            f"{has} They are those of {names} alike, so that nobody can tell which it "
            "is."
        )
    return best[0]


def _fit(flat: Mapping[str, Any], cell: _Cell, cells: list[_Cell]) -> _Fit:
    """How the arrays of a tree fit the layout of one of its cells."""
    layout, place = cell
    rows: dict[str, LayoutRow] = {}
    absent: dict[str, LayoutRow] = {}
    for row in layout.rows:
        name = place + row.name
        if name in flat:
            rows[name] = row
        else:
            absent[name] = row
    carries = _ending(flat, CARRY.name)
    if len(carries) == 1:
        rows[carries[0]] = CARRY
    else:
        absent[CARRY.name] = CARRY

    notes = [row.if_absent for row in absent.values() if row.if_absent]
    places = [other.place for other in cells if other.layout is layout]
    beside = sorted(flat.keys() - rows.keys())
    problem = _problem(layout, places, beside, missing_rows(rows.values(), absent))
    # Several may fit, as Equinox's layout and the canonical one. The one whose cell is
    # at its own place is taken.
    closeness = len(layout.cell) if place.endswith(layout.cell) else -1
    rank = (not problem, closeness)
    return _Fit(layout, rows, list(dict.fromkeys(notes)), problem, rank)


def _problem(
    layout: Layout, places: list[str], beside: list[str], missing: list[str]
) -> str:
    """Why a tree does not fit a layout; "" where it does."""
    refused = []
    for part, why in layout.refused:
        if any(part in name for name in beside):
            refused.append(f"it is {why}")
    if refused:
        return "; ".join(refused)
    if len(places) > 1:
        shown = some_names(place.rstrip(".") or "the top" for place in places)
        return f"it has {len(places)} cells, at {shown}"

    problems = []
    if missing:
        problems.append(f"it lacks {some_names(missing)}")
    if beside:
        problems.append(f"it has {some_names(beside)} beside")
    return "; ".join(problems)


def _cells(
    flat: Mapping[str, Any], layouts: Iterable[Layout], *, complete: bool = True
) -> list[_Cell]:
    """The cells in a tree, of each layout.

    With complete=False, the first array of a cell is enough.
    """
    cells = []
    for layout in layouts:
        first, *others = [row.name for row in layout.rows if row.if_absent is None]
        for name in _ending(flat, first):
            place = name.removesuffix(first)
            if not complete or all(place + other in flat for other in others):
                cells.append(_Cell(layout, place))
    return cells


# Names and arrays ---------------------------------------------------------------------


def _ending(flat: Iterable[str], name: str) -> list[str]:
    """The names of a tree that end with all of this one."""
    return [other for other in flat if f".{other}".endswith(f".{name}")]


def _below_place(flat: dict[str, Any], place: str) -> dict[str, Any]:
    """The arrays below a place, without it in their names."""
    if not place:
        return flat
    inside = f"{place}."
    arrays = {}
    for name, leaf in flat.items():
        if name.startswith(inside):
            arrays[name.removeprefix(inside)] = leaf
    if not arrays:
        places = [name.rpartition(".")[0] for name in flat if "." in name]
        shown = some_names(dict.fromkeys(places))
        raise InputError(f"has no arrays below {place}. Its places: {shown}.")
    return arrays


def _turn_matrices(flat: dict[str, Any]) -> None:
    """Transpose the canonical matrices of a tree that multiply from the right.

    Those are weight_hh of shape (H, 3H), and the weight_ih (D, 3H) beside it.
    """
    for name in _ending(flat, "weight_hh"):
        shape = np.shape(flat[name])
        if len(shape) != 2 or shape[1] != 3 * shape[0]:
            continue
        for matrix in (name, f"{name.removesuffix('hh')}ih"):
            if matrix in flat:
                flat[matrix] = np.transpose(flat[matrix])


def _array(name: str, leaf: Any) -> np.ndarray:
    """A copy as a NumPy array, in this machine's byte order.

    It is copied since torch changes its parameters in place.
    """
    try:
        if hasattr(leaf, "detach"):
            leaf = leaf.detach().cpu().numpy()
        array = np.array(leaf)
    except Exception as error:  # any object may be there
        raise InputError(
            f"{name} is no array that NumPy can hold: {type(leaf).__name__} ({error})."
        ) from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _dotted(place: str) -> str:
    return place.strip("./").replace("/", ".")
