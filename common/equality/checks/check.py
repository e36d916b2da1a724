"""The record of a check; cases: what checks that have no rows run and compare; and the data of most of them."""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, InputError, NotOfferedError, brief
from ...parameters.record import random_params
from ...port.protocol import Port
from ..contract.data import Data, config_of, data_of
from ..contract.factors import Row
from ..measurement import SAME_BOUND, relative_error

#: In float64, a row asks whether a port is the same function; in the others, whether it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")
NAMED = 3  # failed cases of one part; then no more are run
#: A batch of short sequences, and models. All sizes are different, so that no axis passes for another.
B, T, D, H, C = 3, 5, 4, 6, 2
CONFIG = GRUConfig(D, H, param_dtype="float64")
READOUT = replace(CONFIG, classes=C)
PARAMS, OF_READOUT = random_params(CONFIG), random_params(READOUT)
RNG = np.random.default_rng(0)
X, CARRY = RNG.normal(size=(B, T, D)), RNG.normal(size=(B, H))
RESETS = RNG.random((B, T)) < 0.3
LENGTHS = np.array([0, 5, 3], np.int32)
REFUSED = object()  # expected of a call that has to be refused by an InputError


class Case(NamedTuple):
    """One thing that is run, and what is expected of it."""

    what: str  # as a failure names it
    run: Callable[
        [], Any
    ]  # a pytree of arrays; it raises a DefectError at a defect that no array shows
    expected: Any = (
        None  # NumPy's arrays; REFUSED; or None where nothing but an exception is wrong
    )
    bound: float | None = (
        SAME_BOUND  # on the error of each array; None where every bit counts
    )


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for: by rows of the contract, or by cases of its own."""

    name: str  # stable, lower case
    catches: str  # what a difference here means
    #: In float64; it raises a NotOfferedError if the port has nothing of the kind.
    cases: Callable[[Port], Iterable[Case]] | None = None
    rows: Callable[[Port], list[Row]] | None = None  # of the contract, instead of cases
    is_for: Callable[[Port], object] = lambda port: (
        True
    )  # true where it is run among others; by name, it always is
    by_levels: bool = False  # measurements of rows are named by their unusual levels


def one_set(
    row: Row, port: Port, **options: Any
) -> tuple[Data, Any, tuple[Any, Any, Any]]:
    """Data of one set of values, a model with other options, and the arrays of its call without an axis of sets."""
    data = data_of(row).of_set(0)
    model = port.load(replace(config_of(row), **options), data.params)
    arrays = (data.x, data.carry, data.lengths, data.resets), data.weights, data.d_carry
    return data, model, jax.tree.map(lambda a: a[0], arrays)


def text_of(jaxpr: Any) -> str:
    """A trace as text without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(jaxpr))


def require_cases(cases: Iterable[Case]) -> float:
    """The largest error of cases that have the usual bound.

    Raises:
        DefectError: cases fail; it names the first ones.
        NotOfferedError: the port offers none of them.
    """
    problems, missing, errors = list[str](), None, list[float]()
    try:
        for case in cases:
            try:
                error = _error_of(case)
                errors.append(error if case.bound == SAME_BOUND else 0.0)
            except NotOfferedError as unoffered:
                missing = unoffered
            except Exception as problem:  # a port may fail in any way
                kind = (
                    ""
                    if isinstance(problem, DefectError)
                    else f"{type(problem).__name__}: "
                )
                problems.append(f"{case.what}: {kind}{brief(problem).rstrip('.')}")
                if len(problems) == NAMED:
                    break
    except Exception:  # of what makes the cases
        if not problems:
            raise
    if problems:
        raise DefectError(f"{'; '.join(problems)}.")
    if missing and not errors:
        raise missing
    return max(errors, default=0.0)


def _error_of(case: Case) -> float:
    """The largest error of the arrays of a case. Raises a DefectError if there is another defect."""
    with (
        warnings.catch_warnings()
    ):  # a case may change filters: not those of the next, or of the user's process
        if case.expected is not REFUSED:
            return _largest_error(case.run(), case.expected, case.bound)
        warnings.simplefilter("ignore")
        try:
            case.run()
        except (InputError, NotOfferedError):  # what a port lacks, it need not refuse
            return 0.0
        except DefectError:
            raise
        except Exception as error:
            raise DefectError(
                f"{type(error).__name__}, expected an InputError"
            ) from error
    raise DefectError("not refused by an InputError")


def _largest_error(found: Any, expected: Any, bound: float | None) -> float:
    arrays, wanted = (
        jax.tree.leaves(found),
        jax.tree_util.tree_leaves_with_path(expected),
    )
    if wanted and len(arrays) != len(wanted):
        raise DefectError(f"{len(arrays)} arrays, expected {len(wanted)}")
    largest = 0.0
    for (path, want), got in zip(wanted, arrays, strict=False):
        kind, of_want = (
            f"{getattr(a, 'dtype', type(a).__name__)}{np.shape(a)}" for a in (got, want)
        )
        where = f"{name} has " if (name := jax.tree_util.keystr(path)) else ""
        if kind != of_want:
            raise DefectError(f"{where}{kind}, expected {of_want}")
        if bound is None:
            if np.asarray(got).tobytes() != want.tobytes():
                raise DefectError(f"{where}other bits")
        elif not (error := relative_error(got, want)) <= bound:
            raise DefectError(f"{where}error {error:.1e}, at most {bound:.1e} allowed")
        else:
            largest = max(largest, error)
    return largest
