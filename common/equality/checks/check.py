"""The record of a check, and how checks that have no rows compare."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, InputError, NotOfferedError, brief
from ...port.protocol import Port
from ...program import evaluate
from ..bounds import relative_error
from ..contract.data import Data, data_of
from ..contract.factors import Row
from ..contract.programs import arguments_of
from ..contract.reference import Answers

#: In float64, a row asks whether a port is the same function; in the others, whether it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")
#: How many defects of one part are named; then no more are looked for.
NAMED = 3


@dataclass(frozen=True)
class Part:
    """What a check without rows compares, in float64.

    Args:
        answer: (port) -> the port's arrays by quantity. It raises a NotOfferedError if the port has nothing of the
            kind, and a DefectError at a defect that no array shows; None stands for what is expected.
        expect: () -> the same arrays as they should be.
        label: before the quantities, where a check has several parts.
    """

    answer: Callable[[Port], Answers | None]
    expect: Callable[[], Answers] = lambda: {"defects": np.zeros(())}
    label: str = ""


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for: by rows of the contract, or in parts of its own.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        parts: some of them a port may not offer.
        exact: compare bits.
        rows: instead of parts, (port) -> rows of the contract.
        is_for: (port) -> a true value where it is asked among other checks; by name, it is asked of every port.
        by_levels: measurements of rows have the names of their unusual levels, and not the check's.
    """

    name: str
    catches: str
    parts: tuple[Part, ...] = ()
    exact: bool = False
    rows: Callable[[Port], list[Row]] | None = None
    is_for: Callable[[Port], object] = lambda port: True
    by_levels: bool = False


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


def require_all(questions: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Ask questions by name, each of which raises where something is wrong. Raise a DefectError that names the first.

    A warning is wrong, too.
    """
    problems: list[str] = []
    for what, question in questions:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                question()
        except DefectError as error:
            problems.append(f"{what}: {str(error).rstrip('.')}")
        except Exception as error:  # a port may fail in any way
            problems.append(f"{what}: {type(error).__name__}: {brief(error).rstrip('.')}")
        if len(problems) == NAMED:
            break
    if problems:
        raise DefectError(f"{'; '.join(problems)}.")


def require_refused(call: Callable[[], object], what: str = "") -> None:
    """Raise a DefectError unless a call is refused by an InputError, or not offered."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (InputError, NotOfferedError):
        return
    except Exception as error:  # whatever comes from inside a framework
        raise DefectError(f"{what}{type(error).__name__}, expected an InputError") from error
    raise DefectError(f"{what}not refused by an InputError")


def require_same(got: Any, want: np.ndarray, what: str, bound: float) -> None:
    """Raise a DefectError unless an array has the expected shape and dtype, and differs by no more than a bound."""
    if (np.shape(got), str(got.dtype)) != (want.shape, str(want.dtype)):
        raise DefectError(f"{what}: {got.dtype}{np.shape(got)}, expected {want.dtype}{want.shape}")
    if not (error := relative_error(got, want)) <= bound:
        raise DefectError(f"{what}: error {error:.1e}")
