"""Is a port the same function as the oracle, and as accurate as its dtype allows?

What is asked is in `trigru.common.equality.checks`, and how far answers may differ in `trigru.common.equality.bounds`
and `trigru.common.equality.contract.examination`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np

from ..compat import enable_x64
from ..errors import DefectError, InputError, NotOfferedError, UnknownNameError
from ..gru.kernels import STOCK
from ..port.compilation import configured
from ..port.protocol import Port, WithKernel, check_port
from .bounds import SAME_BOUND, relative_error
from .checks import CHECKS, DTYPES, LEFT_OUT, Answers, Check
from .contract.data import dtypes_of
from .contract.examination import Finding, examine
from .contract.factors import COMPILED, SPACE, Row, style_of, whole_row
from .contract.parting import parting_of
from .contract.selections import told
from .contract.shrinking import smallest, unusual
from .measurement import NOT_OFFERED, Measurement
from .problems import brief_of, problem_of


@dataclass(frozen=True)
class Question:
    """A check of one port, or one row of it: the least piece of work."""

    port: Port
    check: Check
    row: Row | None = None  # of the port's design, where the check has rows

    @property
    def dtype(self) -> str:
        """That of the computation."""
        return "float64" if self.row is None else dtypes_of(self.row["dtype"])[0]

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles the program with all optimisations, which takes longest."""
        return self.row is not None and self.row.get("transform") in COMPILED


def questions(ports: Iterable[Port], dtypes: Iterable[str], checks: Iterable[Check]) -> list[Question]:
    """The questions of `verify`. A row of several ports stands together, since the oracle's answers are the same.

    Raises:
        UnknownNameError: a dtype that no check has.
        InputError: a port or a check that is none, a port that lacks a method, or no check at all.
    """
    given = ports, dtypes, checks
    for name, argument in zip(("ports", "dtypes", "checks"), given, strict=True):
        if isinstance(argument, str) or not isinstance(argument, Iterable):
            raise InputError(f"{name}: got {argument!r}, expected a sequence of them.")
    ports, dtypes, checks = tuple(ports), tuple(dtypes), tuple(checks)
    for port in ports:
        if isinstance(port, str):
            raise InputError(f"port {port!r} is none. A port by name is trigru.impls.get_port('linen').")
        check_port(port)
    for check in checks:
        if not isinstance(check, Check):
            raise InputError(f"check {check!r} is none. Checks by name are trigru.common.get_checks('life').")
    if not checks:
        raise InputError("there is no check to ask.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, list(DTYPES))
    found = []
    for check in checks:
        columns = [_columns(check, port) if len(checks) == 1 or check.is_for(port) else [] for port in ports]
        for rows in itertools.zip_longest(*columns, fillvalue=LEFT_OUT):
            found += [Question(p, check, row) for p, row in zip(ports, rows, strict=True) if row is not LEFT_OUT]
    return [question for question in found if question.dtype in dtypes]


def _columns(check: Check, port: Port) -> list[Row | None]:
    return [None] if check.rows is None else [*check.rows(port)] or [None]


class Examiner:
    """Asks questions.

    Args:
        shrink: whether a row that fails is made smaller, which takes many more rows.
        reference: a port that is right; the line is searched at which a row that fails parts from it.
    """

    def __init__(self, *, shrink: bool = True, reference: Port | None = None):
        self._shrink, self._reference = shrink, reference
        self._failed: dict[tuple[str, str], list[tuple[Row, Finding, str | None]]] = {}

    def ask(self, question: Question) -> list[Measurement]:
        """The measurement of a row, or one for each quantity of a check. A check that raises has failed."""
        if question.row is None:
            return list(_measure(question.port, question.check))
        return [self._ask_row(question, question.row)]

    def _ask_row(self, question: Question, row: Row) -> Measurement:
        """The answer farthest from the oracle in a row; if the row fails, in the smallest row that still fails."""
        port, found = question.port, _examine(row, question.port)
        if question.check.by_levels or found.passed or not found.offered or not self._shrink:
            name = None if question.check.by_levels else question.check.name
            return _measure_row(port, unusual(row), found, name)
        known = self._failed.setdefault((port.name, _kernel_of(port)), [])
        before = next((failure for failure in known if failure[0].items() <= row.items()), None)
        if before is None:
            levels, finding = _smallest(port, row, found)
            before = levels, finding, self._place(port, whole_row(levels))
            known.append(before)
        levels, finding, place = before
        return replace(_measure_row(port, levels, finding), place=place)

    def _place(self, port: Port, row: Row) -> str | None:
        """The line at which a row that fails parts from the reference, if there is one to tell."""
        if self._reference is None or self._reference.name == port.name:
            return None
        with _precision("float64"), suppress(Exception):  # a port may fail in any way
            place = parting_of(row, port, self._reference)
            return None if place is None else place.brief
        return None


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
        A measurement for each port and row, and for each port, check and quantity. A check that raises has failed.

    Raises:
        UnknownNameError: another dtype.
        InputError: a port or a check that is none, a port that lacks a method, or no check at all.
    """
    asked, examiner, found = questions(ports, dtypes, checks), Examiner(), []
    for number, question in enumerate(asked):
        progress(number, len(asked), f"{question.port.name} {question.check.name}")
        found += examiner.ask(question)
    return found


def assert_equivalent(port: Port, **options: Any) -> None:
    """Raise AssertionError, naming what differs, unless a port passes every check of `verify` with these options.

    >>> from trigru.common.equality.checks import get_checks
    >>> from trigru.impls import get_port
    >>> assert_equivalent(get_port("pure"), dtypes=["float32"], checks=get_checks("chunks"))
    """
    found = verify([port], **options)
    if not found:
        raise AssertionError("nothing was measured: none of these checks is asked in these dtypes.")
    failures = [m for m in found if not m.passed]
    if failures:
        raise AssertionError("not equivalent to the oracle:\n" + "\n".join(map(str, failures)))


def _measure_row(port: Port, levels: Row, found: Finding, check: str | None = None) -> Measurement:
    """A finding of a row with these levels, under the name of a check or, without one, under those of its levels."""
    row = whole_row(levels)
    dtype, _, _ = dtypes_of(row["dtype"])
    result = found.quantity, dtype, found.error, found.bound, found.problem
    return Measurement(port.name, check or told(levels), style_of(row, port), *result, _kernel_of(port), levels)


def _kernel_of(port: Port) -> str:
    return port.kernel if isinstance(port, WithKernel) else STOCK


def _smallest(port: Port, row: Row, found: Finding) -> tuple[Row, Finding]:
    """The fewest levels of a row that fails with which it still does, and what is found with them."""

    def fails(smaller: Row) -> bool:
        nonlocal found
        of_smaller = _examine(smaller, port)
        found = of_smaller if _fails(of_smaller) else found
        return _fails(of_smaller)

    return unusual(smallest(row, SPACE, fails)), found


def _fails(found: Finding) -> bool:
    """Whether the port has what was asked, and it is wrong."""
    return found.offered and not found.passed


def _examine(row: Row, port: Port) -> Finding:
    """The finding of a row; a port may fail in any way."""
    with _precision(row["dtype"]):
        try:
            return examine(row, port)
        except Exception as error:
            return Finding(*_failure(port, error))


def _failure(port: Port, error: Exception) -> tuple[str, None, float, str]:
    """Quantity, error, bound and problem of an exception."""
    if isinstance(error, NotOfferedError):
        return "call", None, 0.0, f"{NOT_OFFERED}: {error}"
    if isinstance(error, DefectError):
        return "defect", None, 0.0, brief_of(error)
    return "call", None, 0.0, problem_of(port, error)


def _measure(port: Port, check: Check) -> Iterator[Measurement]:
    """A check that has no rows, in float64."""

    def measurement(quantity: str, error: float | None, bound: float, problem: str | None = None) -> Measurement:
        if error is not None and not np.isfinite(error):
            error, problem = None, problem or "values that are not finite"
        return Measurement(port.name, check.name, None, quantity, "float64", error, bound, problem, _kernel_of(port))

    if check.rows is not None:
        yield measurement("call", None, 0.0, f"{NOT_OFFERED}: no row of the contract is about this")
        return
    with _precision("float64"):
        try:
            given = check.answer(port)
            answers = {name: np.asarray(array) for name, array in given.items() if array is not LEFT_OUT}
            if given and not answers:
                raise NotOfferedError("nothing of what is asked here")
        except Exception as error:  # a port may fail in any way; the others go on
            yield measurement(*_failure(port, error))
            return
        for quantity, want in _expected(check).items():
            if given.get(quantity) is LEFT_OUT:
                continue
            got = answers.get(quantity)
            if got is None or got.shape != np.shape(want):
                said = "nothing" if got is None else f"shape {got.shape}"
                yield measurement(quantity, None, 0.0, f"{said}, expected shape {np.shape(want)}")
            elif got.dtype != want.dtype:
                yield measurement(quantity, None, 0.0, f"dtype {got.dtype}, expected {want.dtype}")
            elif check.exact:
                same = got.tobytes() == want.tobytes()
                yield measurement(quantity, relative_error(got, want), 0.0, None if same else "bits differ")
            else:
                yield measurement(quantity, relative_error(got, want), SAME_BOUND)


@cache
def _expected(check: Check) -> Answers:
    return check.expect()


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32.

    A TPU has no float64: what is asked in it is asked on the CPU of the same process.
    """
    elsewhere = dtype == "float64" and jax.default_backend() == "tpu"
    device = jax.default_device(jax.devices("cpu")[0]) if elsewhere else nullcontext()
    how = configured({"jax_traceback_filtering": "off"})  # which takes longer than many a call that has to be refused
    with device, how, enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield
