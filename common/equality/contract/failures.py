"""A row that fails: the fewest levels with which it still does, the line where it parts, a script that runs it."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import jax
import numpy as np

from ...parity.departure import Search
from ...parity.places import places_of
from ...parity.report import Location
from ...port.protocol import Port
from ...program.tape import Tape, TraceTape
from ..measurement import Measurement
from .data import data_of
from .factors import NO_STYLE, Row, Space, whole_row
from .programs import arguments_of, direct

#: How many rows are asked at most to make one smaller, and for how long, in seconds, one may begin.
MOST, LONGEST_S = 60, 90.0
#: The first sets of values of a row; in the others, saturated gates and zeros hide where programs part.
INFORMATIVE = 2
SAME = 1e-9  # the largest difference of values that are the same, relative to the largest magnitude


def smallest(row: Row, space: Space, fails: Callable[[Row], bool]) -> Row:
    """The row with as many usual levels as it can have and still fail."""
    asked, begun, before = 0, monotonic(), None
    usual = whole_row({})
    while row != before:
        before = row
        for name in reversed(usual):
            simpler = {**row, name: usual[name]}
            left = asked < MOST and monotonic() - begun < LONGEST_S
            if left and simpler != row and space.allows(simpler):
                asked += 1
                row = simpler if fails(simpler) else row
    return row


def parting_of(row: Row, port: Port, reference: Port) -> Location | None:
    """The line at which a port's forward pass of a row parts from the reference's; None if the outputs agree.

    Derivatives are not compared: frameworks compute them from other values on the way, and both are right.
    """
    row = row | {
        "style": NO_STYLE,
        "phase": "forward",
        "transform": "jit",
        "dtype": "float64",
    }
    data = data_of(row)

    def tape_of(port: Port, n: int) -> Tape:
        model, arrays = arguments_of(row, port, data.of_set(n))
        specs = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), arrays
        )
        operands: Any = jax.tree.map(lambda a: np.asarray(a)[None], model), *arrays
        return TraceTape(
            jax.make_jaxpr(partial(direct, row, port))(model, *specs),
            jax.tree.leaves(operands),
        )

    for n in range(min(len(data.values), INFORMATIVE)):
        first, second = tape_of(reference, n), tape_of(port, n)
        search = Search(
            first, second, list(zip(first.outputs, second.outputs, strict=True)), SAME
        )
        for place in places_of(search):
            if place.candidate is not None:
                return place.candidate
    return None


_SCRIPT = '''"""{message}."""

import jax
import numpy as np
from trigru.common.equality.contract.data import data_of
from trigru.common.equality.contract.programs import answers_of
from trigru.common.equality.contract.reference import expect
from trigru.impls import get_port

jax.config.update("jax_enable_x64", {wide})
jax.config.update("jax_default_matmul_precision", "highest")

port, row = get_port("{port}"), {row}
data = data_of(row)
data = data.of_set([values.name for values in data.values].index("{values}"))
(found,) = answers_of(row, port, data)  # port.apply, port.step, port.classify or a call style
for name, (want,) in expect(row, data, np.float64).items():
    got = np.asarray(found.get(name, np.nan)).astype(np.float64)
    off = np.abs(got - want).max() if got.shape == want.shape else np.nan
    shapes = f"shape {{got.shape}}, expected {{want.shape}}"
    print(f"{{name}}: largest difference {{off:.1e}}, largest value {{np.abs(want).max():.1e}}, {{shapes}}")
'''


def script_of(failed: Measurement) -> str:
    """The text of a script for a row's measurement; it prints how far each answer is from the oracle's."""
    assert failed.levels is not None
    row = whole_row({"kernel": failed.kernel} | failed.levels)
    return _SCRIPT.format(
        message=str(failed).replace('"', "'").replace("\\", "/"),
        wide=row["dtype"] == "float64",
        port=failed.port,
        row=row,
        values=failed.quantity.partition(" of ")[2] or "usual values",
    )
