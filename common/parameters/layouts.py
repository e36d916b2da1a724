"""Layouts: the names and shapes in which a framework keeps the parameters of a GRU.

A layout is a table with a row for each array. Both directions, to and from the canonical record, follow from it, so
that a framework's layout is stated once: in its port. Names are the keys on the way to an array, joined by dots. Values
are moved, never computed, with one exception: torch has two biases for r and for z where the model has one, and reading
adds them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compat import dotted
from ..errors import InputError, UnknownNameError
from .record import (
    MATRICES,
    ClassifierParams,
    GRUParams,
    check_arrays,
    columns_of,
    from_leaves,
    leaf_shapes,
    leaves,
)

GATES = "rzn"
SHOWN = 8  # names in a message
ADDED = "its two biases of r and of z are added, as the model has one of each: the sums are kept, the split is lost."
NO_BIASES = "it has no biases: they are 0."


class LayoutRow(NamedTuple):
    """One array of a layout.

    It holds a field of `leaves`, or "bias_hh", torch's second bias (3H,): 0 for r and z, then bias_n. If a file lacks
    it, zeros stand for it where there is a note that says so. Rows with the same note are absent together.
    """

    name: str  # below the cell
    field: str
    gate: str | None = (
        None  # of "r", "z", "n" where it holds that gate's third of the field alone
    )
    transposed: bool = False  # whether it multiplies from the right
    if_absent: str | None = None


#: Of a layer called `readout`, an `nn.Dense` or `nnx.Linear`.
FLAX_READOUT = (
    LayoutRow("readout.kernel", "readout.weight", transposed=True),
    LayoutRow("readout.bias", "readout.bias"),
)
CARRY = LayoutRow(
    "initial_carry",
    "initial_carry",
    if_absent="it has no initial_carry: the initial state is 0.",
)


@dataclass(frozen=True)
class Layout:
    """A table of arrays."""

    name: str  # on the command line
    title: str  # in tables
    rows: tuple[
        LayoutRow, ...
    ]  # the cell's, in the framework's order; the initial carry comes after them
    cell: str = "cell."  # where the cell is
    gru: str = "gru."  # where the GRU of a classifier is, beside its readout
    #: The kernel and the bias of a classifier's readout.
    readout: tuple[LayoutRow, ...] = tuple(
        LayoutRow(name, name) for name in ("readout.weight", "readout.bias")
    )
    nested: bool = True  # whether its users hold a tree, not a flat dict
    refused: tuple[
        tuple[str, str], ...
    ] = ()  # parts of names that tell another model, and what that model is

    def table(self, *, classifier: bool = False) -> dict[str, LayoutRow]:
        """The row of each array by its whole name, in the framework's order."""
        gru = self.gru if classifier else ""
        table = {f"{gru}{self.cell}{row.name}": row for row in self.rows} | {
            f"{gru}{CARRY.name}": CARRY
        }
        return table | ({row.name: row for row in self.readout} if classifier else {})

    def flat(self, params: GRUParams | ClassifierParams) -> dict[str, np.ndarray]:
        """The arrays of this layout by name. Values keep every bit; some are views."""
        fields = {name: np.asarray(array) for name, array in leaves(params).items()}
        if any(row.field == "bias_hh" for row in self.rows):
            bias_n = fields["bias_n"]
            fields["bias_hh"] = np.concatenate(
                [np.zeros(2 * len(bias_n), bias_n.dtype), bias_n]
            )  # (3H,)
        flat = {}
        for name, row in self.table(
            classifier=isinstance(params, ClassifierParams)
        ).items():
            array = (
                np.split(fields[row.field], 3)[GATES.index(row.gate)]
                if row.gate
                else fields[row.field]
            )
            flat[name] = array.T if row.transposed else array
        return flat

    def tree(self, params: GRUParams | ClassifierParams) -> dict[str, Any]:
        """The arrays of `flat`, as a tree of dicts."""
        return nested(self.flat(params))

    def record(self, flat: Mapping[str, Any]) -> GRUParams | ClassifierParams:
        """The canonical record of arrays by name, with the shapes of this layout; the inverse of `flat`."""
        return _record(self._rows(flat), flat)

    def check(self, flat: Mapping[str, np.ndarray]) -> None:
        """Raise InputError unless arrays by name are all there, have the right shapes, one dtype, and finite values."""
        _check(self._rows(flat), flat)

    def _rows(self, flat: Mapping[str, Any]) -> dict[str, LayoutRow]:
        table = self.table(classifier=any(row.name in flat for row in self.readout))
        rows = {name: row for name, row in table.items() if flat.get(name) is not None}
        if missing := _missing(rows, table):
            raise InputError(f"lacks {', '.join(missing)}.")
        return rows


def _missing(
    rows: Mapping[str, LayoutRow], table: Mapping[str, LayoutRow]
) -> list[str]:
    """The names in a table of what cannot be absent beside some rows."""
    needed = {None, *(row.if_absent for row in rows.values())}
    return [
        name
        for name, row in table.items()
        if row.if_absent in needed and row not in rows.values()
    ]


def _record(
    rows: Mapping[str, LayoutRow], arrays: Mapping[str, Any]
) -> GRUParams | ClassifierParams:
    """The canonical record of arrays by name. Zeros stand for what has no row."""
    parts: dict[str, list[np.ndarray]] = {}
    for name, row in rows.items():
        array = np.asarray(arrays[name])
        parts.setdefault(row.field, []).append(array.T if row.transposed else array)
    fields = {
        name: part[0] if len(part) == 1 else np.concatenate(part)
        for name, part in parts.items()
    }
    zeros = np.zeros_like(fields["weight_hh"][:, 0])  # (3H,)
    fields = (
        {"bias": zeros}
        | dict.fromkeys(("initial_carry", "bias_n"), zeros[: len(zeros) // 3])
        | fields
    )
    if "bias_hh" in fields:
        *second, fields["bias_n"] = np.split(fields["bias_hh"], 3)
        if np.any(
            second
        ):  # adding zeros would be exact, too, but for the sign of a zero
            r, z, n = np.split(fields["bias"], 3)
            with np.errstate(over="ignore"):
                fields["bias"] = np.concatenate([r + second[0], z + second[1], n])
    return from_leaves(fields)


def _check(rows: Mapping[str, LayoutRow], arrays: Mapping[str, np.ndarray]) -> None:
    columns: dict[str, int] = {}
    for name, row in rows.items():
        if row.field in MATRICES:
            columns.setdefault(
                row.field,
                columns_of(name, arrays[name].T if row.transposed else arrays[name]),
            )
    D, H = (columns[field] for field in MATRICES)
    classes = [
        arrays[name].size for name, row in rows.items() if row.field == "readout.bias"
    ]
    fields = leaf_shapes(D, H, *classes) | {"bias_hh": (3 * H,)}
    shapes = {}
    for name, row in rows.items():
        first, *rest = fields[row.field]
        shape = (first // 3 if row.gate else first, *rest)
        shapes[name] = shape[::-1] if row.transposed else shape
    check_arrays(arrays, shapes)


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of any pytree by the keys on the way, joined by dots, without the `value` of some versions of NNX.

    >>> flatten({"cell": {"hn": {"bias": {"value": 1.0}}}, "a/b": 2.0})
    {'a.b': 2.0, 'cell.hn.bias': 1.0}
    """
    import jax

    flat = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = dotted(path).replace("/", ".").removesuffix(".value")
        if name in flat:
            raise InputError(f"has two arrays called {name}: expected one.")
        flat[name] = leaf
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of dicts whose keys are the parts of dotted names."""
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        *path, last = name.split(".")
        level = tree
        for key in path:
            level = level.setdefault(key, {})
        level[last] = leaf
    return tree


CANONICAL = Layout(
    "canonical",
    "trigru's own",
    tuple(
        LayoutRow(name, name) for name in ("weight_ih", "weight_hh", "bias", "bias_n")
    ),
    cell="",
    gru="",
    nested=False,
)

TORCH = Layout(
    "torch",
    "torch.nn.GRU",
    (
        LayoutRow("weight_ih_l0", "weight_ih"),
        LayoutRow("weight_hh_l0", "weight_hh"),
        LayoutRow("bias_ih_l0", "bias", if_absent=NO_BIASES),
        LayoutRow("bias_hh_l0", "bias_hh", if_absent=NO_BIASES),
    ),
    cell="gru.",
    gru="rnn.",
    nested=False,
    refused=(
        (
            "weight_ih_l0_reverse",
            "a bidirectional GRU, and the model here runs one way",
        ),
        ("weight_ih_l1", "a GRU of several layers, and the model here has one"),
    ),
)


# Recognition by the names of arrays ----------------------------------------------------------------------------------


def recognise(
    tree: Any, layouts: Iterable[Layout]
) -> tuple[GRUParams | ClassifierParams, Layout, tuple[str, ...]]:
    """The parameters in a tree, copied to NumPy; the layout that they had; what was assumed or lost, in sentences.

    The arrays of the cell must have the names of a layout, all in one place, as `params.GRUCell_0` or `rnn.cell`. The
    initial carry and the readout are known by their own names, wherever they are. Raises an InputError if the names are
    those of no layout or of two, or the arrays are not a GRU's parameters.
    """
    flat = flatten(tree)
    kept = {name: leaf for name, leaf in flat.items() if "rngs" not in name.split(".")}
    layout, rows, notes = _match(kept, list(layouts))
    if len(kept) < len(flat):
        notes.insert(0, "it has random state (rngs), which is no parameter: left out.")
    arrays = {name: _array(name, kept[name]) for name in rows}
    for name, row in rows.items():
        if row is CARRY and arrays[name].shape[-1:] == (arrays[name].size,):
            arrays[name] = arrays[
                name
            ].ravel()  # (H,), where torch's users keep (1, 1, H)
    try:
        _check(rows, arrays)
        params = _record(rows, arrays)
        if not np.isfinite(leaves(params)["bias"]).all():
            raise InputError(
                "bias has values that are not finite: a sum is too large for its dtype."
            )
    except InputError as error:
        raise InputError(f"as {layout.name}: {error}") from error
    second = [arrays[name] for name, row in rows.items() if row.field == "bias_hh"]
    if any(array[: -len(array) // 3].any() for array in second):
        notes.append(ADDED)
    return params, layout, tuple(notes)


def _match(
    flat: Mapping[str, Any], layouts: list[Layout]
) -> tuple[Layout, dict[str, LayoutRow], list[str]]:
    """The one layout that the names of a tree fit, its rows by these names, and the notes of what is absent."""
    has = f"has the arrays {some_names(flat)}."
    cells = _cells(flat, layouts) or _cells(flat, layouts, complete=False)
    if not cells:
        expected = "; ".join(
            f"{layout.name} has {some_names(row.name for row in layout.rows)}"
            for layout in layouts
        )
        raise InputError(f"{has} Expected one layout's, in one place: {expected}.")
    results = []
    for layout, cell in cells:
        rows, notes, problem = _fit(
            flat, layout, cell, [place for of, place in cells if of is layout]
        )
        closeness = len(layout.cell) if cell.endswith(layout.cell) else -1
        results.append(((not problem, closeness), layout, rows, notes, problem))
    # of several that fit, as Equinox's and the canonical one, it is that whose cell is at its place
    best = max(rank for rank, *_ in results)
    (layout, rows, notes, problem), *others = results = [
        result for rank, *result in results if rank == best
    ]
    if problem:
        problems = dict.fromkeys(
            f"as {layout.name}: {problem}." for layout, _, _, problem in results
        )
        raise InputError(f"{has} {' '.join(problems)}")
    if others:
        names = " and ".join(layout.name for layout, *_ in results)
        raise InputError(
            f"{has} They are those of {names} alike, so that nobody can tell which it is."
        )
    return layout, rows, notes


def _fit(
    flat: Mapping[str, Any], layout: Layout, cell: str, cells: list[str]
) -> tuple[dict[str, LayoutRow], list[str], str]:
    """The rows of a layout whose cell is at one of its places, by the tree's names; notes; and why it does not fit."""
    readout = (
        layout.readout if any(_ending(flat, row.name) for row in layout.readout) else ()
    )
    rows, absent = {}, {}
    for row in (*layout.rows, CARRY, *readout):
        expected = cell + row.name if row in layout.rows else row.name
        names = (
            {expected} & flat.keys() if row in layout.rows else _ending(flat, expected)
        )
        if len(names) == 1:
            rows[next(iter(names))] = row
        else:
            absent[expected] = row
    beside = sorted(flat.keys() - rows.keys())
    problems = [
        f"it is {why}"
        for part, why in layout.refused
        if any(part in name for name in beside)
    ]
    if not problems and len(cells) > 1:
        problems = [
            f"it has {len(cells)} cells, at {some_names(place.rstrip('.') or 'the top' for place in cells)}"
        ]
    elif not problems:
        missing = _missing(rows, absent)
        problems = [f"it lacks {some_names(missing)}"] if missing else []
        problems += [f"it has {some_names(beside)} beside"] if beside else []
    return (
        rows,
        [*dict.fromkeys(row.if_absent for row in absent.values() if row.if_absent)],
        "; ".join(problems),
    )


def places_of(tree: Any, layouts: Iterable[Layout]) -> list[str]:
    """The places of all GRUs whose arrays have the names of a layout, as "params.GRUCell_0"."""
    flat, places = flatten(tree), {}
    for layout, cell in sorted(
        _cells(flat, layouts), key=lambda found: -len(found[0].cell)
    ):
        whole = cell.removesuffix(
            layout.cell
        )  # of the GRU, unless there are arrays of others
        alone = all(
            other.startswith((cell, whole + CARRY.name))
            for other in flat
            if other.startswith(whole)
        )
        places.setdefault(cell, (whole if alone else cell).rstrip("."))
    return [*dict.fromkeys(places.values())]


def _cells(
    flat: Mapping[str, Any], layouts: Iterable[Layout], *, complete: bool = True
) -> list[tuple[Layout, str]]:
    """Each layout that has a cell in a tree, and the cell's place; unless complete, with its first array at least."""
    cells = []
    for layout in layouts:
        first, *others = (row.name for row in layout.rows if row.if_absent is None)
        places = [name.removesuffix(first) for name in _ending(flat, first)]
        cells += [
            (layout, cell)
            for cell in places
            if not complete or all(cell + other in flat for other in others)
        ]
    return cells


def _ending(flat: Iterable[str], name: str) -> list[str]:
    """The names of a tree that end with all of this one."""
    return [other for other in flat if f".{other}".endswith(f".{name}")]


def _array(name: str, leaf: Any) -> np.ndarray:
    """A copy, since torch changes its parameters in place; in this machine's byte order."""
    try:
        array = np.array(
            leaf.detach().cpu().numpy() if hasattr(leaf, "detach") else leaf
        )
    except Exception as error:  # any object may be there
        raise InputError(
            f"{name} is no array that NumPy can hold: {type(leaf).__name__} ({error})."
        ) from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def some_names(names: Iterable[str]) -> str:
    """Some names for a message, of which there may be many."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "none"


def below(tree: Any, at: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The arrays below one place of a tree, those with names of the tree's own by the canonical ones.

    Matrices of such names that multiply from the right are transposed. Raises an InputError if there are no arrays
    below the place, or none of a name, or a name is there twice.
    """
    flat = flatten(tree)
    if at := _dotted(at):
        arrays = {
            name.removeprefix(f"{at}."): leaf
            for name, leaf in flat.items()
            if name.startswith(f"{at}.")
        }
        if not arrays:
            places = dict.fromkeys(
                name.rpartition(".")[0] for name in flat if "." in name
            )
            raise InputError(
                f"has no arrays below {at}. Its places: {some_names(places)}."
            )
        flat = arrays
    if len({*map(_dotted, names.values())}) < len(names):
        raise InputError("has one name for two arrays of a GRU.")
    canonical = {}
    for field, name in names.items():
        if field not in GRUParams._fields:
            raise UnknownNameError("array", field, list(GRUParams._fields))
        own_names = _ending(flat, _dotted(name))
        if not own_names:
            raise InputError(
                f"has no array called {name}, for {field}. Its arrays: {some_names(flat)}."
            )
        canonical |= {
            own_name: own_name.removesuffix(_dotted(name)) + field
            for own_name in own_names
        }
    flat = {canonical.get(name, name): leaf for name, leaf in flat.items()}
    for name in _ending(flat, "weight_hh") if names else ():
        shape = np.shape(flat[name])
        if len(shape) == 2 and shape[1] == 3 * shape[0]:
            for matrix in {name, name.removesuffix("hh") + "ih"} & flat.keys():
                flat[matrix] = np.transpose(flat[matrix])
    return flat


def _dotted(place: str) -> str:
    return place.strip("./").replace("/", ".")
