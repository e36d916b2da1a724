"""The record of a check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax

from ...config import GRUConfig
from ...errors import NotOfferedError
from ...port.protocol import Port
from ...program import evaluate
from ..contract.data import Data, data_of
from ..contract.factors import Row
from ..contract.programs import arguments_of
from ..contract.reference import Answers

#: In float64, a row asks whether a port is the same function; in the others, whether it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")

#: Stands for an answer about what a port does not offer, in a check that asks about more: nothing is measured of it.
LEFT_OUT: Any = object()


def unless_left_out(answer: Callable[[], Answers], quantities: Iterable[str]) -> Answers:
    """The answers, or that these quantities are left out."""
    try:
        return answer()
    except NotOfferedError:
        return dict.fromkeys(quantities, LEFT_OUT)


def make_traced(port: Port, config: GRUConfig, seed: int) -> Any:
    """A model from the trace of `make`; `make` is called where it cannot be traced, which `draws` reports."""
    try:
        return evaluate(lambda key: port.make(config, key), jax.random.key(seed))
    except jax.errors.JAXTypeError:
        return port.make(config, jax.random.key(seed))


def one_set(row: Row, port: Port) -> tuple[Data, Any, tuple[Any, Any, Any]]:
    """Data of one set of values, a model, and the arrays of its `direct` call without an axis of sets."""
    data = data_of(row).of_set(0)
    model, arrays = arguments_of(row, port, data)
    return data, model, jax.tree.map(lambda a: a[0], arrays[:3])


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for: by rows of the contract, or by a function of its own in float64.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        answer: (port) -> the port's arrays by quantity, or LEFT_OUT.
        expect: () -> the same arrays as they should be.
        exact: compare bits.
        rows: instead of both, (port) -> rows of the contract.
        is_for: (port) -> a true value where it is asked among other checks; by name, it is asked of every port.
        by_levels: measurements of rows have the names of their unusual levels, and not the check's.
    """

    name: str
    catches: str
    answer: Callable[[Port], Answers] = lambda port: {}
    expect: Callable[[], Answers] = dict
    exact: bool = False
    rows: Callable[[Port], list[Row]] | None = None
    is_for: Callable[[Port], object] = lambda port: True
    by_levels: bool = False
