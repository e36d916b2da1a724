"""Where the forward pass of a row that fails parts from another port's."""

from functools import partial
from typing import Any

import jax
import numpy as np

from ...parity.departure import Search
from ...parity.places import places_of
from ...parity.record import Location
from ...parity.tape import Tape, TraceTape
from ...port.protocol import Port
from ...program import Traced
from .data import Data, data_of
from .factors import NO_STYLE, Row
from .programs import arguments_of, direct

#: The first sets of values of a row; in the others, saturated gates and zeros hide where programs part.
INFORMATIVE = 2
#: The largest difference of values that are the same, relative to the largest magnitude.
SAME = 1e-9


def parting_of(row: Row, port: Port, reference: Port) -> Location | None:
    """The line at which a port's forward pass of a row parts from the reference's; None if the outputs agree.

    Derivatives are not compared: frameworks compute them from other values on the way, and both are right.
    """
    row = row | {"style": NO_STYLE, "phase": "forward", "transform": "jit", "dtype": "float64"}
    data = data_of(row)
    for n in range(min(len(data.values), INFORMATIVE)):
        one = data.of_set(n)
        first, second = _tape(row, reference, one), _tape(row, port, one)
        search = Search(first, second, list(zip(first.outputs, second.outputs, strict=True)), SAME)
        for place in places_of(search):
            if place.candidate is not None:
                return place.candidate
    return None


def _tape(row: Row, port: Port, data: Data) -> Tape:
    model, arrays = arguments_of(row, port, data)
    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), arrays)
    traced = Traced(partial(direct, row, port), model, *specs)
    operands: Any = jax.tree.map(lambda a: np.asarray(a)[None], model), *arrays
    return TraceTape(traced.closed, jax.tree.leaves(operands))
