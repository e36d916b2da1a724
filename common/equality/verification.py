"""Is a port the same function as the oracle, and as accurate as its dtype allows?"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import chain, compress, zip_longest
from typing import Any, NamedTuple

import jax

from ..compat import enable_x64
from ..config import GRUConfig
from ..errors import DefectError, InputError, NotOfferedError, UnknownNameError, brief
from ..parameters.record import random_params
from ..port.compilation import configured
from ..port.protocol import Port, check_port
from .bounds import SAME_BOUND
from .checks import CHECKS, DTYPES, Check
from .checks.check import require_cases
from .contract.data import dtypes_of
from .contract.designs import told
from .contract.examination import examine, unmeasured
from .contract.factors import SPACE, Row
from .contract.failures import parting_of, smallest
from .measurement import NOT_OFFERED, Measurement

#: What JAX says of an argument that is no pytree of arrays, and Python of a leaf that is no array.
NO_PYTREE = ("TypeError: Error interpreting argument", "is not a valid JAX type",
             "TypeError: Cannot interpret value of", "has no attribute 'astype'")  # fmt: skip


class Question(NamedTuple):
    """A check of one port, or one row of it: the least piece of work."""

    port: Port
    check: Check
    row: Row | None = None  # of the port's design, where the check has rows


def questions(ports: Iterable[Port], dtypes: Iterable[str], checks: Iterable[Check]) -> list[Question]:
    """The questions of `verify`, with its errors. A row of several ports stands together, for the oracle."""
    for name, argument in {"ports": ports, "dtypes": dtypes, "checks": checks}.items():
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

    def of(port: Port, check: Check) -> list[Question]:
        if len(checks) > 1 and not check.is_for(port):
            return []
        rows = [None] if check.rows is None else check.rows(port) or [None]
        is_in = [("float64" if row is None else dtypes_of(row["dtype"])[0]) in dtypes for row in rows]
        return [Question(port, check, row) for row in compress(rows, is_in)]

    by_row = chain(*(zip_longest(*(of(port, check) for port in ports)) for check in checks))
    return [question for some in by_row for question in some if question is not None]


class Examiner:
    """Answers questions. A row that fails is made smaller, and the line is searched where it parts from a reference."""

    def __init__(self, *, shrink: bool = True, reference: Port | None = None):
        self._shrink, self._reference = shrink, reference
        self._failed: dict[tuple[str, str], list[Measurement]] = {}

    def ask(self, question: Question) -> Measurement:
        """The measurement of a question: of all cases of a check, which fails if it raises, or of a row.

        That of a row is the answer farthest from the oracle; if it fails, that of the smallest row that still fails.
        """
        port, check, row = question
        measured = _measure(port, check, row)
        if row is None or check.by_levels:
            return measured
        if not (self._shrink and _fails(measured)):
            return replace(measured, check=check.name)
        known = self._failed.setdefault((port.name, measured.kernel), [])
        before = next((failure for failure in known if (failure.levels or {}).items() <= row.items()), None)
        if before is None:
            least = smallest(row, SPACE, lambda smaller: _fails(_measure(port, check, smaller)))
            again, place = _measure(port, check, least), None
            before = again if _fails(again) else measured  # what failed once has failed
            if self._reference is not None and self._reference.name != port.name:
                with _precision("float64"), suppress(Exception):  # a port may fail in any way
                    place = parting_of(least, port, self._reference)
            known.append(before := replace(before, place=place and place.brief))
        return before


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
    for number, question in enumerate(asked):
        progress(number, len(asked), f"{question.port.name} {question.check.name}")
        found.append(examiner.ask(question))
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


def _fails(measured: Measurement) -> bool:
    return measured.offered and not measured.passed


def _measure(port: Port, check: Check, row: Row | None) -> Measurement:
    """The measurement of a row, under its levels' names, or of a check without rows; a port may fail in any way."""
    blank = unmeasured(port, check.name if row is None else told(row), row)
    with _precision("float64" if row is None else row["dtype"]):
        try:
            if row is not None:
                return examine(row, port)
            blank = replace(blank, quantity="cases")
            if check.cases is None:
                raise NotOfferedError("no row of the contract is about this")
            return replace(blank, error=require_cases(check.cases(port)), bound=SAME_BOUND, problem=None)
        except Exception as error:
            return replace(blank, problem=_problem(port, error))


def _problem(port: Port, error: Exception) -> str:
    """What a measurement says of an exception, also that the framework does not let JAX transform its models."""
    if isinstance(error, NotOfferedError):
        return f"{NOT_OFFERED}: {error}"
    problem = brief(error) if isinstance(error, DefectError) else f"{type(error).__name__}: {brief(error)}"
    if any(words in problem for words in NO_PYTREE):
        with suppress(Exception):  # a port may fail in any way
            model = port.load(GRUConfig(1, 1), random_params(GRUConfig(1, 1)))
            if not all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(model)):
                versions = f"the installed versions of {', '.join(port.packages)}"
                return f"{NOT_OFFERED}: a model that is a pytree, with {versions} ({problem})"
    return problem


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32."""
    elsewhere = dtype == "float64" and jax.default_backend() == "tpu"  # which has no float64
    device = jax.default_device(jax.devices("cpu")[0]) if elsewhere else nullcontext()
    how = configured({"jax_traceback_filtering": "off"})  # which takes longer than many a call that has to be refused
    with device, how, enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield
