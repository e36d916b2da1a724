"""Layouts: the names and shapes in which a framework keeps the parameters of a GRU.

A layout is a table with a row for each array. Both directions, to and from the canonical record, follow from it, so
that a framework's layout is stated once: in its port. Names are the keys on the way to an array, joined by dots. Values
are moved, never computed, with one exception: torch has two biases for r and for z where the model has one, and reading
adds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compat import dotted
from ..errors import InputError
from .record import MATRICES, ClassifierParams, GRUParams, check_arrays, columns_of, from_leaves, leaf_shapes, leaves

GATES = "rzn"
NO_BIASES = "it has no biases: they are 0."


class LayoutRow(NamedTuple):
    """One array of a layout.

    It holds a field of `leaves`, or "bias_hh", torch's second bias (3H,): 0 for r and z, then bias_n. If a file lacks
    it, zeros stand for it where there is a note that says so. Rows with the same note are absent together.
    """

    name: str  # below the cell
    field: str
    gate: str | None = None  # of "r", "z", "n" where it holds that gate's third of the field alone
    transposed: bool = False  # whether it multiplies from the right
    if_absent: str | None = None


#: Of a layer called `readout`, an `nn.Dense` or `nnx.Linear`.
FLAX_READOUT = (
    LayoutRow("readout.kernel", "readout.weight", transposed=True),
    LayoutRow("readout.bias", "readout.bias"),
)
CARRY = LayoutRow("initial_carry", "initial_carry", if_absent="it has no initial_carry: the initial state is 0.")


@dataclass(frozen=True)
class Layout:
    """A table of arrays.

    >>> from trigru.common.config import GRUConfig
    >>> from trigru.common.parameters.record import random_params
    >>> list(TORCH.flat(random_params(GRUConfig(2, 3))))[:2]
    ['gru.weight_ih_l0', 'gru.weight_hh_l0']
    """

    name: str  # on the command line
    title: str  # in tables
    rows: tuple[LayoutRow, ...]  # the cell's, in the framework's order; the initial carry comes after them
    cell: str = "cell."  # where the cell is
    gru: str = "gru."  # where the GRU of a classifier is, beside its readout
    #: The kernel and the bias of a classifier's readout.
    readout: tuple[LayoutRow, ...] = tuple(LayoutRow(name, name) for name in ("readout.weight", "readout.bias"))
    nested: bool = True  # whether its users hold a tree, not a flat dict
    refused: tuple[tuple[str, str], ...] = ()  # parts of names that tell another model, and what that model is

    def table(self, *, classifier: bool = False) -> dict[str, LayoutRow]:
        """The row of each array by its whole name, in the framework's order."""
        gru = self.gru if classifier else ""
        table = {f"{gru}{self.cell}{row.name}": row for row in self.rows} | {f"{gru}{CARRY.name}": CARRY}
        return table | ({row.name: row for row in self.readout} if classifier else {})

    def flat(self, params: GRUParams | ClassifierParams) -> dict[str, np.ndarray]:
        """The arrays of this layout by name. Values keep every bit; some are views."""
        fields = {name: np.asarray(array) for name, array in leaves(params).items()}
        if any(row.field == "bias_hh" for row in self.rows):
            bias_n = fields["bias_n"]
            fields["bias_hh"] = np.concatenate([np.zeros(2 * len(bias_n), bias_n.dtype), bias_n])  # (3H,)
        flat = {}
        for name, row in self.table(classifier=isinstance(params, ClassifierParams)).items():
            array = np.split(fields[row.field], 3)[GATES.index(row.gate)] if row.gate else fields[row.field]
            flat[name] = array.T if row.transposed else array
        return flat

    def tree(self, params: GRUParams | ClassifierParams) -> dict[str, Any]:
        """The arrays of `flat`, as a tree of dicts."""
        return nested(self.flat(params))

    def record(self, flat: Mapping[str, Any]) -> GRUParams | ClassifierParams:
        """The canonical record of arrays by name, with the shapes of this layout; the inverse of `flat`.

        Zeros stand for arrays that may be absent, and for a bias_n that the layout has no row for.
        """
        parts: dict[str, list[np.ndarray]] = {}
        for name, row in self.table(classifier=self.readout[0].name in flat).items():
            if flat.get(name) is not None or row.if_absent is None:
                array = np.asarray(flat[name])
                parts.setdefault(row.field, []).append(array.T if row.transposed else array)
        fields = {name: arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for name, arrays in parts.items()}
        zeros = np.zeros_like(fields["weight_hh"][:, 0])  # (3H,)
        fields.setdefault("bias", zeros)
        for name in ("initial_carry", "bias_n"):
            fields.setdefault(name, zeros[: len(zeros) // 3])
        if "bias_hh" in fields:
            *second, fields["bias_n"] = np.split(fields["bias_hh"], 3)
            if np.any(second):  # adding zeros would be exact, too, but for the sign of a zero
                r, z, n = np.split(fields["bias"], 3)
                with np.errstate(over="ignore"):
                    fields["bias"] = np.concatenate([r + second[0], z + second[1], n])
        return from_leaves(fields)

    def check(self, flat: Mapping[str, np.ndarray], called: Mapping[str, str] | None = None) -> None:
        """Raise InputError unless arrays are all there, have the shapes of parameters, one dtype, and finite values.

        Args:
            flat: by name; those that may be absent may be absent, and those with one note only together.
            called: their names in the message, where it has others.
        """
        called = called or {name: name for name in flat}
        whole = self.table(classifier=any(row.name in flat for row in self.readout))
        table = {name: row for name, row in whole.items() if name in flat}
        needed = {None, *(row.if_absent for row in table.values())}
        if missing := [name for name, row in whole.items() if name not in flat and row.if_absent in needed]:
            raise InputError(f"lacks {', '.join(missing)}.")
        bias = flat.get(self.readout[1].name)
        columns: dict[str, int] = {}
        for name, row in table.items():
            if row.field in MATRICES:
                columns.setdefault(row.field, columns_of(called[name], flat[name].T if row.transposed else flat[name]))
        D, H = columns["weight_ih"], columns["weight_hh"]
        fields = leaf_shapes(D, H, None if bias is None else bias.size) | {"bias_hh": (3 * H,)}
        shapes = {}
        for name, row in table.items():
            first, *rest = fields[row.field]
            shape = (first // 3 if row.gate else first, *rest)
            shapes[called[name]] = shape[::-1] if row.transposed else shape
        check_arrays({called[name]: array for name, array in flat.items()}, shapes)


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
    """A tree of dicts whose keys are the parts of dotted names.

    >>> nested({"cell.bias": 1, "cell.hn.kernel": 2})
    {'cell': {'bias': 1, 'hn': {'kernel': 2}}}
    """
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
    tuple(LayoutRow(name, name) for name in ("weight_ih", "weight_hh", "bias", "bias_n")),
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
        ("weight_ih_l0_reverse", "a bidirectional GRU, and the model here runs one way"),
        ("weight_ih_l1", "a GRU of several layers, and the model here has one"),
    ),
)
