"""Is a port the same function as the oracle, and as accurate as its dtype allows?"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from math import log2
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compat import enable_x64
from ..config import GRUConfig
from ..errors import DefectError, InputError, NotOfferedError, UnknownNameError, brief
from ..gru.kernels import STOCK
from ..parameters.record import random_params
from ..port.compilation import configured
from ..port.protocol import Port, WithKernel, check_port
from .checks import CHECKS, DTYPES, Check
from .checks.check import require_cases
from .contract.data import OTHER_DTYPES, Data, dtypes_of
from .contract.designs import told
from .contract.factors import SPACE, Row, style_of, unusual
from .contract.failures import parting_of, smallest
from .contract.programs import answers_of
from .contract.reference import Answers, expect, is_of_parameters, known_answers
from .measurement import (
    ACCURACY_FACTOR,
    ACCURACY_ULPS,
    NOT_OFFERED,
    SAME_BOUND,
    Measurement,
)

#: Quantities whose last axis is that of units, features or classes: their errors are taken for each example and step.
BY_STEP = ("carry", "outputs", "logits", "d carry", "d x")
#: In float64, times what NumPy loses against longdouble: XLA's tanh is less exact than NumPy's, and 1 - tanh² cancels.
CANCELLING_FACTOR = 32
#: By how much inputs are multiplied to see what NumPy loses nearby: one rounding may be exact by chance.
NEARBY = (1.0, 1 + 2.0**-20, 1 + 2.0**-19, 1 + 2.0**-18)
#: In other dtypes, times what NumPy loses there: a row may have one number, of which cancelling left little.
COARSE_FACTOR = 4 * ACCURACY_FACTOR
#: How many denormal numbers may be lost in a sum; in float16, which XLA computes in float32, how many of its least one.
FLUSHED = 1000
#: In other dtypes, the largest bound: an answer of zeros is off by 1.
MOST = 0.75
HAS_LONGDOUBLE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
#: What JAX says of an argument that is no pytree of arrays, and Python of a leaf that is no array.
NO_PYTREE = (
    "TypeError: Error interpreting argument",
    "is not a valid JAX type",
    "TypeError: Cannot interpret value of",
    "has no attribute 'astype'",
)


def verify(
    ports: Iterable[Port],
    *,
    dtypes: Iterable[str] = DTYPES,
    checks: Iterable[Check] = CHECKS,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Measurement]:
    """Compare ports with the oracle.

    Args:
        ports: what to check.
        dtypes: of the computation: "float64" asks whether a port is the same function, the others whether it is
            accurate. Checks that have no rows are asked in float64.
        checks: by default those of CHECKS.
        progress: called before each step of the work with the steps done, their number, and the next one's name.

    Returns:
        A measurement for each port and row, and for each port and check without rows. A check that raises has failed.

    Raises:
        UnknownNameError: another dtype.
        InputError: a port or a check that is none, a port that lacks a method, or no check at all.
    """
    asked, examiner, found = questions(ports, dtypes, checks), Examiner(), []
    for number, (port, check, row) in enumerate(asked):
        progress(number, len(asked), f"{port.name} {check.name}")
        found.append(examiner.ask(port, check, row))
    return found


def assert_equivalent(port: Port, **options: Any) -> None:
    """Raise AssertionError, naming what differs, unless a port passes every check of `verify` with these options.

    >>> from trigru.common.equality.checks import get_checks
    >>> from trigru.impls import get_port
    >>> assert_equivalent(get_port("pure"), dtypes=["float32"], checks=get_checks("chunks"))
    """
    found = verify([port], **options)
    if not found:
        raise AssertionError(
            "nothing was measured: none of these checks is asked in these dtypes."
        )
    failures = [m for m in found if not m.passed]
    if failures:
        raise AssertionError(
            "not equivalent to the oracle:\n" + "\n".join(map(str, failures))
        )


def questions(
    ports: Iterable[Any],
    dtypes: Iterable[str],
    checks: Iterable[Check],
    port_of: Callable[[Any], Port] = lambda p: p,
) -> list[tuple[Any, Check, Row | None]]:
    """Ports, or what `port_of` makes ports of, each with a check, and with a row where the check has rows.

    A row of several ports stands together, for the oracle. It raises the errors of `verify`.
    """
    for name, argument in {"ports": ports, "dtypes": dtypes, "checks": checks}.items():
        if isinstance(argument, str) or not isinstance(argument, Iterable):
            raise InputError(f"{name}: got {argument!r}, expected a sequence of them.")
    ports, dtypes, checks = tuple(ports), tuple(dtypes), tuple(checks)
    for port in ports:
        if isinstance(port, str):
            raise InputError(
                f"port {port!r} is none. A port by name is trigru.impls.get_port('linen')."
            )
        check_port(port_of(port))
    for check in checks:
        if not isinstance(check, Check):
            raise InputError(
                f"check {check!r} is none. Checks by name are trigru.common.get_checks('life')."
            )
    if not checks:
        raise InputError("there is no check to ask.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, list(DTYPES))
    found = []
    for check in checks:
        columns = []
        for port in ports:
            own = port_of(port)
            if len(checks) > 1 and not check.is_for(own):
                continue
            rows = [None] if check.rows is None else check.rows(own) or [None]
            of = [
                (row, "float64" if row is None else dtypes_of(row["dtype"])[0])
                for row in rows
            ]
            columns.append([(port, check, row) for row, dtype in of if dtype in dtypes])
        found += [
            question
            for some in zip_longest(*columns)
            for question in some
            if question is not None
        ]
    return found


class Examiner:
    """Measures. A row that fails is made smaller, and the line is searched where it parts from a reference."""

    def __init__(self, *, shrink: bool = True, reference: Port | None = None):
        self._shrink, self._reference = shrink, reference
        self._failed: dict[tuple[str, str], list[Measurement]] = {}

    def ask(self, port: Port, check: Check, row: Row | None = None) -> Measurement:
        """The measurement of all cases of a check, which fails if it raises, or of a row.

        That of a row is the answer farthest from the oracle; if it fails, that of the smallest row that still fails.
        """
        measured = _measure(port, check, row)
        if row is None or check.by_levels:
            return measured
        if not (self._shrink and _fails(measured)):
            return replace(measured, check=check.name)
        known = self._failed.setdefault((port.name, measured.kernel), [])
        before = next(
            (
                failure
                for failure in known
                if (failure.levels or {}).items() <= row.items()
            ),
            None,
        )
        if before is None:
            least = smallest(
                row, SPACE, lambda smaller: _fails(_measure(port, check, smaller))
            )
            again, place = _measure(port, check, least), None
            before = again if _fails(again) else measured  # what failed once has failed
            if self._reference is not None and self._reference.name != port.name:
                with (
                    _precision("float64"),
                    suppress(Exception),
                ):  # a port may fail in any way
                    place = parting_of(least, port, self._reference)
            known.append(before := replace(before, place=place and place.brief))
        return before


def _fails(measured: Measurement) -> bool:
    return measured.offered and not measured.passed


def unmeasured(port: Port, check: str, row: Row | None = None) -> Measurement:
    """The measurement of a check or a row that was not called."""
    kernel = port.kernel if isinstance(port, WithKernel) else STOCK
    dtype, style = (
        ("float64", None)
        if row is None
        else (dtypes_of(row["dtype"])[0], style_of(row, port))
    )
    levels = None if row is None else unusual(row)
    return Measurement(
        port.name, check, style, "call", dtype, None, 0.0, "not called", kernel, levels
    )


def _measure(port: Port, check: Check, row: Row | None) -> Measurement:
    """The measurement of a row, under its levels' names, or of a check without rows; a port may fail in any way."""
    blank = unmeasured(port, check.name if row is None else told(row), row)
    with _precision("float64" if row is None else row["dtype"]):
        try:
            if row is not None:
                return _farthest(row, port, blank)
            blank = replace(blank, quantity="cases")
            if check.cases is None:
                raise NotOfferedError("no row of the contract is about this")
            return replace(
                blank,
                error=require_cases(check.cases(port)),
                bound=SAME_BOUND,
                problem=None,
            )
        except Exception as error:
            return replace(blank, problem=_problem(port, error))


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32."""
    elsewhere = (
        dtype == "float64" and jax.default_backend() == "tpu"
    )  # which has no float64
    device = jax.default_device(jax.devices("cpu")[0]) if elsewhere else nullcontext()
    how = configured(
        {"jax_traceback_filtering": "off"}
    )  # which takes longer than many a call that has to be refused
    with (
        device,
        how,
        enable_x64(dtype == "float64"),
        jax.default_matmul_precision("highest"),
    ):
        yield


def _problem(port: Port, error: Exception) -> str:
    """What a measurement says of an exception, also that the framework does not let JAX transform its models."""
    if isinstance(error, NotOfferedError):
        return f"{NOT_OFFERED}: {error}"
    problem = (
        brief(error)
        if isinstance(error, DefectError)
        else f"{type(error).__name__}: {brief(error)}"
    )
    if any(words in problem for words in NO_PYTREE):
        with suppress(Exception):  # a port may fail in any way
            model = port.load(GRUConfig(1, 1), random_params(GRUConfig(1, 1)))
            if not all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(model)):
                versions = f"the installed versions of {', '.join(port.packages)}"
                return f"{NOT_OFFERED}: a model that is a pytree, with {versions} ({problem})"
    return problem


def _farthest(row: Row, port: Port, blank: Measurement) -> Measurement:
    """The answer of a port to a row that is farthest from its bound, on any values. What the port raises goes on.

    The first set of values on which an answer is beyond its bound is the last that is compared.
    """
    data, reference, in_dtype = known_answers(row)
    found = list[Measurement]()
    for n, got in enumerate(answers_of(row, port, data)):
        want, rounded = (
            {name: array[n] for name, array in answers.items()}
            for answers in (reference, in_dtype)
        )
        found += _compare(row, data.of_set(n), got, want, rounded, blank)
        if not all(m.passed for m in found):
            break
    return max(
        found,
        key=lambda m: np.inf if m.error is None else m.error / m.bound,
        default=blank,
    )


def _compare(
    row: Row,
    data: Data,
    got: Answers,
    reference: Answers,
    in_dtype: Answers,
    blank: Measurement,
) -> Iterator[Measurement]:
    """A measurement for each quantity of one set of values."""
    dtype, saturating = row["dtype"], data.values[0].saturating
    computed, stored, given = dtypes_of(dtype)
    if row["wide"] != "all":
        stored, given = str(data.params.bias.dtype), str(data.x.dtype)
    carry = OTHER_DTYPES.get(dtype, given) if row["carry"] == "other dtype" else given

    @cache
    def evaluated(factor: float) -> list[Answers]:
        """NumPy's answers in float64 and in longdouble, on inputs times a factor."""
        near = wider = replace(data, x=data.x * factor)
        if (
            not HAS_LONGDOUBLE
        ):  # instead of its answers, those on inputs that end one unit higher
            wider = replace(near, x=np.nextafter(near.x, np.inf))
        answers = expect(row, near, np.float64), expect(row, wider, np.longdouble)
        return [{name: a[0] for name, a in of.items()} for of in answers]

    for name, want in reference.items():
        array: Any = got.get(name)
        quantity = f"{name} of {data.values[0].name}"
        expected = {"d x": given, "d carry": carry}.get(
            name, stored if is_of_parameters(name) else computed
        )
        kind, wanted = (
            f"{getattr(array, 'dtype', type(array).__name__)}{np.shape(array)}",
            f"{expected}{want.shape}",
        )
        if kind != wanted:
            yield replace(
                blank, quantity=quantity, problem=f"{kind}, expected {wanted}"
            )
            continue
        coarsest = max(computed, expected, key=lambda kind: jnp.finfo(kind).eps)
        least = _least(row, data, name)
        array, ulps = np.asarray(array), ACCURACY_ULPS * float(jnp.finfo(coarsest).eps)
        error = _error(name, array, want, coarsest, least)
        if dtype == "float64":
            bound = max(SAME_BOUND, ulps * (coarsest != "float64"))
            if error > bound:  # rounding, where much cancels, or a difference
                for own, wider in map(evaluated, NEARBY):
                    error = _error(
                        name, array, evaluated(NEARBY[0])[1][name], coarsest, least
                    )
                    bound = max(
                        bound,
                        CANCELLING_FACTOR
                        * _error(name, own[name], wider[name], coarsest, least),
                    )
                    if error <= bound:
                        break
        else:
            if (
                is_of_parameters(name) and stored != computed
            ):  # a loop adds up its steps in the dtype of the parameters
                ulps *= 1 + log2(data.x.shape[-2])
            factor = CANCELLING_FACTOR if saturating else COARSE_FACTOR
            bound = min(
                ACCURACY_FACTOR * ulps
                + factor * _error(name, in_dtype[name], want, coarsest, least),
                MOST,
            )
        known = {"error": error, "bound": float(bound)} if np.isfinite(error) else {}
        yield replace(
            blank,
            quantity=quantity,
            problem=None if known else "values that are not finite",
            **known,
        )


def _least(row: Row, data: Data, name: str) -> float:
    """The magnitude that errors are relative to where an answer is smaller."""
    if name in ("value", "losses"):
        return (
            float(data.weights.size) ** 0.5
        )  # of as many terms around 1, of either sign
    if data.values[0].saturating and (name.startswith("d ") or row["phase"] == "jvp"):
        # by which what rounding leaves of 0 is multiplied; not what stands in the padding
        largest = float(np.max(np.abs(data.x), where=np.isfinite(data.x), initial=1))
        return largest ** ((name == "d weight_ih") + (row["phase"] in ("hvp", "jvp")))
    return 0.0


def _error(name: str, got: Any, want: Any, dtype: str, least: float) -> float:
    """The largest difference, relative to the largest magnitude of its example and step; inf where there is a NaN.

    In a coarse dtype, it is relative to the largest of its example: one number of a step may be what cancelling left.
    Where that is below `least`, it is relative to `least`, beside which denormal numbers that a processor flushes are
    nothing. Of float16, none flushes them: its smallest normal number, 6e-5, is too large to be called lost.
    """
    kind = jnp.finfo(dtype)
    lost = FLUSHED * float(kind.smallest_subnormal if dtype == "float16" else kind.tiny)
    least = max(least, lost / (SAME_BOUND if dtype == "float64" else float(kind.eps)))
    want = np.asarray(want, np.promote_types(np.asarray(want).dtype, np.float64))
    axes = -1 if name in BY_STEP else None
    if dtype != "float64" and name in ("outputs", "d x"):
        axes = (-2, -1)
    with np.errstate(all="ignore"):
        difference = np.abs(np.asarray(got).astype(want.dtype) - want).max(axes)
        error = float(np.max(difference / np.maximum(np.abs(want).max(axes), least)))
    return error if error == error else np.inf
