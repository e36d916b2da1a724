"""The record of a check; trials: what checks that have no cases run and compare; and
the arrays of most of them.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, InputError, NotOfferedError, brief
from ...parameters.record import random_params
from ...port.protocol import Port
from ..contract.arrays import CallArrays, arrays_of
from ..contract.cases import Case
from ..measurement import SAME_BOUND, relative_error

#: In float64, a case asks whether a port is the same function; in the others, whether
#: it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")
#: Failed trials of one check, after which no more are run.
MOST_FAILURES = 3
#: A batch of short sequences, and a model. All sizes are different, so that no axis
#: passes for another.
B, T, D, H = 3, 5, 4, 6
CONFIG = GRUConfig(D, H, param_dtype="float64")
PARAMS = random_params(CONFIG)
_RNG = np.random.default_rng(0)
X, CARRY = _RNG.normal(size=(B, T, D)), _RNG.normal(size=(B, H))
RESETS = _RNG.random((B, T)) < 0.3
LENGTHS = np.array([0, 5, 3], np.int32)
#: Expected of a call that has to be refused by an InputError.
REFUSED = object()


@dataclass(frozen=True)
class Trial:
    """One thing that is run, and what is expected of it.

    Args:
        what: as a failure names it.
        run: () -> a pytree of arrays; it raises a DefectError at a defect that no array
            shows.
        expected: NumPy's arrays; REFUSED; or None where nothing but an exception is
            wrong.
        bound: on the error of each array; None where every bit counts.
    """

    what: str
    run: Callable[[], Any]
    expected: Any = None
    bound: float | None = SAME_BOUND


def _every_port(port: Port) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for: by cases of the contract, or by
    trials of its own.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        trials: (port) -> what is run, in float64; it raises a NotOfferedError if the
            port has nothing of the kind.
        cases: (port) -> cases of the contract, in place of trials.
        is_for: (port) -> whether it is run among others; by name, it always is.
        by_levels: whether measurements of cases are named by their unusual levels.
    """

    name: str
    catches: str
    trials: Callable[[Port], Iterable[Trial]] | None = None
    cases: Callable[[Port], list[Case]] | None = None
    is_for: Callable[[Port], object] = _every_port
    by_levels: bool = False


def one_set(
    case: Case, port: Port, **options: Any
) -> tuple[CallArrays, Any, tuple[Any, Any, Any]]:
    """One set of values of a case: its arrays, a model with other options, and the
    arguments of its call.

    The arguments are those of `calling.call_directly`, without the axis of sets: what
    is passed, weights, d_carry.
    """
    arrays = arrays_of(case).of_set(0)
    model = port.load(replace(case.config(), **options), arrays.params)
    arguments = arrays.passed, arrays.weights, arrays.d_carry
    return arrays, model, jax.tree.map(lambda a: a[0], arguments)


def text_of(jaxpr: Any) -> str:
    """A trace as text without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(jaxpr))


def require_trials(trials: Iterable[Trial]) -> float:
    """The largest error of trials that have the usual bound.

    Raises:
        DefectError: trials fail; it names the first ones.
        NotOfferedError: the port offers none of them.
    """
    problems, missing, errors = list[str](), None, list[float]()
    try:
        for trial in trials:
            try:
                error = _error_of(trial)
                errors.append(error if trial.bound == SAME_BOUND else 0.0)
            except NotOfferedError as unoffered:
                missing = unoffered
            except Exception as problem:  # a port may fail in any way
                problems.append(f"{trial.what}: {_told(problem)}")
                if len(problems) == MOST_FAILURES:
                    break
    except Exception:  # of what makes the trials
        if not problems:
            raise
    if problems:
        raise DefectError(f"{'; '.join(problems)}.")
    if missing and not errors:
        raise missing
    return max(errors, default=0.0)


def _told(problem: Exception) -> str:
    text = brief(problem).rstrip(".")
    if isinstance(problem, DefectError):
        return text
    return f"{type(problem).__name__}: {text}"


def _error_of(trial: Trial) -> float:
    """The largest error of the arrays of a trial.

    Raises a DefectError if there is another defect.
    """
    # a trial may change filters: not those of the next, or of the user's process
    with warnings.catch_warnings():
        if trial.expected is not REFUSED:
            return _largest_error(trial.run(), trial.expected, trial.bound)
        warnings.simplefilter("ignore")
        _require_refused(trial.run)
        return 0.0


def _require_refused(run: Callable[[], Any]) -> None:
    try:
        run()
    except (InputError, NotOfferedError):  # what a port lacks, it need not refuse
        return
    except DefectError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise DefectError(f"{kind}, expected an InputError") from error
    raise DefectError("not refused by an InputError")


def _largest_error(results: Any, expected: Any, bound: float | None) -> float:
    arrays = jax.tree.leaves(results)
    wanted = jax.tree_util.tree_leaves_with_path(expected)
    if wanted and len(arrays) != len(wanted):
        raise DefectError(f"{len(arrays)} arrays, expected {len(wanted)}")
    largest = 0.0
    for (path, want), got in zip(wanted, arrays, strict=False):
        name = jax.tree_util.keystr(path)
        where = f"{name} has " if name else ""
        if _kind(got) != _kind(want):
            raise DefectError(f"{where}{_kind(got)}, expected {_kind(want)}")
        if bound is None:
            if np.asarray(got).tobytes() != want.tobytes():
                raise DefectError(f"{where}other bits")
            continue
        error = relative_error(got, want)
        if not error <= bound:  # NaN is not
            raise DefectError(f"{where}error {error:.1e}, at most {bound:.1e} allowed")
        largest = max(largest, error)
    return largest


def _kind(array: Any) -> str:
    return f"{getattr(array, 'dtype', type(array).__name__)}{np.shape(array)}"
