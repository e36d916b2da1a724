"""The record of a check, and cases: the form of checks that have no rows."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ...errors import DefectError, InputError, NotOfferedError, brief
from ...port.protocol import Port
from ..bounds import SAME_BOUND, relative_error
from ..contract.data import Data, data_of
from ..contract.factors import Row
from ..contract.programs import arguments_of
from ..contract.reference import Answers

#: In float64, a row asks whether a port is the same function; in the others, whether it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")
#: How many failed cases of one part are named; then no more are run.
NAMED = 3
#: What is expected of a call that has to be refused by an InputError.
REFUSED = object()


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
    expect: Callable[[], Answers] = lambda: {"defect": np.zeros(())}  # as a failure is called
    label: str = ""


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for: by rows of the contract, or in parts of its own."""

    name: str  # stable, lower case
    catches: str  # what a difference here means
    parts: tuple[Part, ...] = ()  # of which a port may not offer some
    exact: bool = False  # whether bits are compared
    rows: Callable[[Port], list[Row]] | None = None  # of the contract, instead of parts
    is_for: Callable[[Port], object] = lambda port: True  # true where it is run among others; by name, it always is
    by_levels: bool = False  # measurements of rows are named by their unusual levels


class Case(NamedTuple):
    """One thing that is run, and what is expected of it."""

    what: str  # as a failure names it
    run: Callable[[], Any]  # a pytree of arrays; it raises a DefectError at a defect that no array shows
    expected: Any = None  # NumPy's arrays; REFUSED; or None where nothing but an exception is wrong
    bound: float | None = SAME_BOUND  # on the error of each array; None where every bit counts


def part_of(cases: Callable[[Port], Iterable[Case]], label: str = "") -> Part:
    """The part of a check that runs the cases of a port, and names those that fail."""
    return Part(lambda port: require_cases(cases(port)), label=label)


def one_set(row: Row, port: Port) -> tuple[Data, Any, tuple[Any, Any, Any]]:
    """Data of one set of values, a model, and the arrays of its `direct` call without an axis of sets."""
    data = data_of(row).of_set(0)
    model, arrays = arguments_of(row, port, data)
    return data, model, jax.tree.map(lambda a: a[0], arrays[:3])


def require_cases(cases: Iterable[Case]) -> None:
    """Raise a DefectError if cases fail, and a NotOfferedError if the port offers none of them."""
    problems, missing, ran = list[str](), None, False
    for case in cases:
        try:
            problem = _problem(case)
        except NotOfferedError as error:
            missing = error
            continue
        ran = True
        problems += [f"{case.what}: {problem.rstrip('.')}"] if problem else []
        if len(problems) == NAMED:
            break
    if problems:
        raise DefectError(f"{'; '.join(problems)}.")
    if missing and not ran:
        raise missing


def _problem(case: Case) -> str | None:
    refused = case.expected is REFUSED
    try:
        with warnings.catch_warnings():
            if refused:
                warnings.simplefilter("ignore")
            found = case.run()
    except (InputError, NotOfferedError) as error:
        if refused:  # what a port does not offer, it need not refuse
            return None
        if isinstance(error, NotOfferedError):
            raise
        return f"InputError: {brief(error)}"
    except DefectError as error:
        return brief(error)
    except Exception as error:  # a port may fail in any way
        return f"{type(error).__name__}{', expected an InputError' if refused else f': {brief(error)}'}"
    return "not refused by an InputError" if refused else _difference(found, case.expected, case.bound)


def _difference(found: Any, expected: Any, bound: float | None) -> str | None:
    arrays, wanted = jax.tree.leaves(found), jax.tree_util.tree_leaves_with_path(expected)
    if wanted and len(arrays) != len(wanted):
        return f"{len(arrays)} arrays, expected {len(wanted)}"
    for (path, want), got in zip(wanted, arrays, strict=False):
        kind, of_want = (f"{getattr(a, 'dtype', type(a).__name__)}{np.shape(a)}" for a in (got, want))
        where = f"{name} has " if (name := jax.tree_util.keystr(path)) else ""
        if kind != of_want:
            return f"{where}{kind}, expected {of_want}"
        if bound is None and np.asarray(got).tobytes() != want.tobytes():
            return f"{where}other bits"
        if bound is not None and not (error := relative_error(got, want)) <= bound:
            return f"{where}error {error:.1e}"
    return None
