"""The line at which the program of a case that failed parts from a reference's."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from ...common.equality.contract.arrays import CallArrays, arrays_of
from ...common.equality.contract.calling import arguments_of, call_directly
from ...common.equality.contract.cases import FLOAT64, Case
from ...common.parity.departure import Search
from ...common.parity.places import places_of
from ...common.port.protocol import Port
from ...common.program.tape import Tape, TraceTape

#: How many sets of values of a case are tried, the first ones. In the others, saturated
#: gates and zeros hide where programs part.
INFORMATIVE_SETS = 2
#: The largest difference of values that are the same, relative to the largest
#: magnitude.
SAME = 1e-9


def parting_from(reference: Port, case: Case, port: Port) -> str | None:
    """The line at which a port's forward pass parts from a reference's.

    None if the outputs agree, or the port is the reference. Derivatives are not
    compared: frameworks compute them from other values on the way, and all are right.
    """
    if port.name == reference.name:
        return None
    case = replace(case, style=None, phase="forward", transform="jit", dtypes=FLOAT64)
    arrays = arrays_of(case)
    for number in range(min(len(arrays.values), INFORMATIVE_SETS)):
        one_set = arrays.of_set(number)
        first = _tape(case, reference, one_set)
        second = _tape(case, port, one_set)
        outputs = list(zip(first.outputs, second.outputs, strict=True))
        for place in places_of(Search(first, second, outputs, SAME)):
            if place.candidate is not None:
                return place.candidate.brief
    return None


def _tape(case: Case, port: Port, arrays: CallArrays) -> Tape:
    """All values of a port's call with one set of values."""

    def spec(array: np.ndarray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(array.shape[1:], array.dtype)

    def with_sets(array: Any) -> np.ndarray:
        return np.asarray(array)[None]

    model, arguments = arguments_of(case, port, arrays)
    call = partial(call_directly, case, port)
    traced = jax.make_jaxpr(call)(model, *jax.tree.map(spec, arguments))
    operands = jax.tree.map(with_sets, model), *arguments
    return TraceTape(traced, jax.tree.leaves(operands))
