"""Where the forward pass of a row that fails parts from another port's."""

from functools import partial
from typing import Any

import jax
import numpy as np

from ...parity.departure import Departure, Trail, departure
from ...port.protocol import Port
from ...program import Traced
from .data import Data, data_of
from .factors import NO_STYLE, Row
from .programs import arguments_of, direct

#: The first sets of values of a row; in the others, saturated gates and zeros hide where programs part.
INFORMATIVE = 2
#: A framework may have one matrix for all gates, or one for each.
GATES = 3


def parting_of(row: Row, port: Port, reference: Port) -> Departure | None:
    """The equation at which a port's forward pass of a row parts from the reference's; None if each value agrees.

    Derivatives are not compared: frameworks compute them from other values on the way, and both are right.
    """
    row = row | {"style": NO_STYLE, "phase": "forward", "transform": "jit", "dtype": "float64"}
    data = data_of(row)
    for n in range(min(len(data.values), INFORMATIVE)):
        one = data.of_set(n)
        if found := departure(_trail(row, reference, one, parts=GATES), _trail(row, port, one)):
            return found
    return None


def _trail(row: Row, port: Port, data: Data, *, parts: int = 1) -> Trail:
    model, arrays = arguments_of(row, port, data)
    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), arrays)
    traced = Traced(partial(direct, row, port), model, *specs)
    operands: Any = jax.tree.map(lambda a: np.asarray(a)[None], model), *arrays
    return Trail(traced.closed, jax.tree.leaves(operands), parts=parts)
