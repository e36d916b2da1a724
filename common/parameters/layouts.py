"""Layouts: the names and shapes in which a framework keeps the parameters of a GRU.

A layout is a table with a row for each array. Both directions, to and from the
canonical record, follow from it, so that a framework's layout is stated once: in its
port. Names are the keys on the way to an array, joined by dots. Values are moved, never
computed, with one exception: torch has two biases for r and for z where the model has
one, and reading adds them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compat import dotted
from ..errors import InputError
from .record import MATRICES, GRUParams, check_arrays, columns_of, leaf_shapes

GATES = "rzn"
NO_BIASES = "it has no biases: they are 0."
NO_CARRY = "it has no initial_carry: the initial state is 0."


class LayoutRow(NamedTuple):
    """One array of a layout.

    Args:
        name: below the cell.
        field: of `GRUParams`, that the array holds; or "bias_hh", torch's second bias
            (3H,), which is 0 for r and z, then bias_n.
        gate: of "r", "z", "n", where the array holds that gate's third of the field
            alone.
        transposed: whether it multiplies from the right.
        if_absent: a note, where zeros stand for the array if a file lacks it. Rows with
            the same note are absent together.
    """

    name: str
    field: str
    gate: str | None = None
    transposed: bool = False
    if_absent: str | None = None


CARRY = LayoutRow("initial_carry", "initial_carry", if_absent=NO_CARRY)


@dataclass(frozen=True)
class Layout:
    """A table of arrays.

    Args:
        name: on the command line.
        title: in tables.
        rows: the cell's, in the framework's order; the initial carry comes after them.
        cell: where the cell is.
        nested: whether its users hold a tree, not a flat dict.
        refused: parts of names that tell another model, and what that model is.
    """

    name: str
    title: str
    rows: tuple[LayoutRow, ...]
    cell: str = "cell."
    nested: bool = True
    refused: tuple[tuple[str, str], ...] = ()

    def table(self) -> dict[str, LayoutRow]:
        """The row of each array by its whole name, in the framework's order."""
        table = {f"{self.cell}{row.name}": row for row in self.rows}
        table[CARRY.name] = CARRY
        return table

    def flat(self, params: GRUParams) -> dict[str, np.ndarray]:
        """The arrays of this layout by name. Values keep every bit; some are views."""
        fields = {name: np.asarray(array) for name, array in params._asdict().items()}
        bias_n = fields["bias_n"]
        zeros = np.zeros(2 * len(bias_n), bias_n.dtype)
        fields["bias_hh"] = np.concatenate([zeros, bias_n])  # (3H,)

        flat = {}
        for name, row in self.table().items():
            array = fields[row.field]
            if row.gate is not None:
                array = np.split(array, 3)[GATES.index(row.gate)]
            flat[name] = array.T if row.transposed else array
        return flat

    def tree(self, params: GRUParams) -> dict[str, Any]:
        """The arrays of `flat`, as a tree of dicts."""
        return nested(self.flat(params))

    def record(self, flat: Mapping[str, Any]) -> GRUParams:
        """The canonical record of the arrays of this layout: the inverse of `flat`."""
        return record_of(self._rows(flat), flat)

    def check(self, flat: Mapping[str, np.ndarray]) -> None:
        """Raise InputError unless these are the arrays of this layout.

        None may be missing, and they have the right shapes, one dtype and finite
        values.
        """
        check_rows(self._rows(flat), flat)

    def _rows(self, flat: Mapping[str, Any]) -> dict[str, LayoutRow]:
        """The rows of the arrays that are there.

        Raises an InputError if an array is missing that cannot be absent.
        """
        table = self.table()
        rows = {name: row for name, row in table.items() if flat.get(name) is not None}
        missing = missing_rows(rows.values(), table)
        if missing:
            raise InputError(f"lacks {', '.join(missing)}.")
        return rows


# Rows and arrays by the same names ----------------------------------------------------


def missing_rows(
    present: Iterable[LayoutRow], table: Mapping[str, LayoutRow]
) -> list[str]:
    """The names of the arrays that are missing beside the rows that are present.

    An array whose absence has a note is missing only if another one with the same note
    is present.
    """
    present = list(present)
    needed = {None, *(row.if_absent for row in present)}
    missing = []
    for name, row in table.items():
        if row.if_absent in needed and row not in present:
            missing.append(name)
    return missing


def record_of(rows: Mapping[str, LayoutRow], arrays: Mapping[str, Any]) -> GRUParams:
    """The canonical record of arrays by name, with zeros for those without a row."""
    parts: dict[str, list[np.ndarray]] = {}
    for name, row in rows.items():
        array = np.asarray(arrays[name])
        parts.setdefault(row.field, []).append(array.T if row.transposed else array)
    fields = {}
    for field, thirds in parts.items():
        fields[field] = np.concatenate(thirds) if len(thirds) > 1 else thirds[0]

    zeros = np.zeros_like(fields["weight_hh"][:, 0])  # (3H,)
    zeros_of_gate = zeros[: len(zeros) // 3]  # (H,)
    bias = fields.get("bias", zeros)
    bias_n = fields.get("bias_n", zeros_of_gate)
    if "bias_hh" in fields:
        second_r, second_z, bias_n = np.split(fields["bias_hh"], 3)
        # Adding zeros would be exact, too, but for the sign of a zero.
        if second_r.any() or second_z.any():
            r, z, n = np.split(bias, 3)
            with np.errstate(over="ignore"):
                bias = np.concatenate([r + second_r, z + second_z, n])
    return GRUParams(
        fields["weight_ih"],
        fields["weight_hh"],
        bias,
        bias_n,
        fields.get("initial_carry", zeros_of_gate),
    )


def check_rows(rows: Mapping[str, LayoutRow], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise InputError unless arrays fit their rows.

    They have the shapes that the rows say, one dtype and finite values.
    """
    columns: dict[str, int] = {}
    for name, row in rows.items():
        if row.field in MATRICES:
            matrix = arrays[name].T if row.transposed else arrays[name]
            columns.setdefault(row.field, columns_of(name, matrix))
    D, H = (columns[field] for field in MATRICES)
    fields = leaf_shapes(D, H) | {"bias_hh": (3 * H,)}

    shapes = {}
    for name, row in rows.items():
        shape = fields[row.field]
        if row.gate is not None:
            shape = (shape[0] // 3, *shape[1:])
        shapes[name] = shape[::-1] if row.transposed else shape
    check_arrays(arrays, shapes)


# Trees and flat dicts -----------------------------------------------------------------


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of any pytree by the keys on the way, joined by dots.

    Some versions of NNX end the way with `value`, which is left out.

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


# Layouts that belong to no port -------------------------------------------------------

CANONICAL = Layout(
    "canonical",
    "trigru's own",
    (
        LayoutRow("weight_ih", "weight_ih"),
        LayoutRow("weight_hh", "weight_hh"),
        LayoutRow("bias", "bias"),
        LayoutRow("bias_n", "bias_n"),
    ),
    cell="",
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
    nested=False,
    refused=(
        (
            "weight_ih_l0_reverse",
            "a bidirectional GRU, and the model here runs one way",
        ),
        ("weight_ih_l1", "a GRU of several layers, and the model here has one"),
    ),
)
