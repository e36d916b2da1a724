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


class Case(NamedTuple):
    """One thing that is run, and what is expected of it.

    Args:
        what: as a failure names it.
        run: () -> a pytree of arrays. It raises a DefectError at a defect that no array shows.
        expected: the same pytree, of NumPy's arrays; REFUSED; or None where nothing but an exception is wrong.
        bound: on the error of each array; None where every bit counts.
    """

    what: str
    run: Callable[[], Any]
    expected: Any = None
    bound: float | None = SAME_BOUND


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
            problem = _refusal_problem(case) if case.expected is REFUSED else _problem(case)
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


def _refusal_problem(case: Case) -> str | None:
    """The reason why a call is not refused as it should be. What a port does not offer, it need not refuse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.run()
    except (InputError, NotOfferedError):
        return None
    except Exception as error:  # whatever comes from inside a framework
        return f"{type(error).__name__}, expected an InputError"
    return "not refused by an InputError"


def _problem(case: Case) -> str | None:
    try:
        found = case.run()
    except NotOfferedError:
        raise
    except DefectError as error:
        return brief(error)
    except Exception as error:  # a port may fail in any way
        return f"{type(error).__name__}: {brief(error)}"
    arrays = jax.tree.leaves(found)
    expected = jax.tree_util.tree_leaves_with_path(case.expected)
    if expected and len(arrays) != len(expected):
        return f"{len(arrays)} arrays, expected {len(expected)}"
    for (path, want), got in zip(expected, arrays, strict=bool(expected)):
        kinds = [f"{getattr(a, 'dtype', type(a).__name__)}{np.shape(a)}" for a in (got, want)]
        where = f"{name} has " if (name := jax.tree_util.keystr(path)) else ""
        if kinds[0] != kinds[1]:
            return f"{where}{kinds[0]}, expected {kinds[1]}"
        if case.bound is None and np.asarray(got).tobytes() != want.tobytes():
            return f"{where}other bits"
        if case.bound is not None and not (error := relative_error(got, want)) <= case.bound:
            return f"{where}error {error:.1e}"
    return None
