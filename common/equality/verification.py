"""Is a port the same function as the oracle, and as accurate as its dtype allows?

What is compared is in `trigru.common.equality.checks`, and how far it may differ in `trigru.common.equality.bounds`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compat import enable_x64
from ..errors import DefectError, InputError, NotOfferedError, UnknownNameError
from ..gru.kernels import STOCK
from ..port.compilation import in_haste
from ..port.protocol import CallStyle, Port, WithKernel, check_port
from ..port.styles import available_styles
from .bounds import SAME_BOUND, accuracy_bound, relative_error
from .cases import Case
from .checks import CHECKS, DTYPES, Answers, Check
from .checks.check import LEFT_OUT
from .contract.data import dtypes_of
from .contract.drawing import SECONDS, SEED, draw
from .contract.examination import Finding, examine
from .contract.factors import NO_STYLE, Row, space_of
from .contract.shrinking import smallest, told, unusual
from .measurement import NOT_OFFERED, Measurement
from .problems import brief_of, problem_of

#: Nearly all of the time is spent compiling small programs, which does not block Python.
THREADS = 2


@dataclass(frozen=True)
class Question:
    """A check of one port in one dtype: the least piece of work."""

    port: Port
    check: Check
    style: CallStyle | None  # of the port, where the check asks about each
    dtype: str
    row: Row | None = None  # of the port's design, where the check has one

    @property
    def optimized(self) -> bool:
        """Whether it is asked of the program as users have it, rather than of one that is compiled in haste.

        Where that is the forward pass of each call style, a style that has none is asked so of its own phase.
        """
        without_forward = self.row is None and self.style is not None and "forward" not in self.style.phases
        return self.dtype in self.check.optimized or without_forward


def usual_checks() -> tuple[Check, ...]:
    """What is asked where nobody says what: all but those that are asked by name."""
    return tuple(check for check in CHECKS if not check.by_name)


def questions(ports: Iterable[Port], dtypes: Iterable[str], checks: Iterable[Check]) -> list[Question]:
    """What `verify` asks.

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
            raise InputError(f"check {check!r} is none. Checks by name are trigru.common.get_checks('sequence').")
    if not checks:
        raise InputError("there is no check to ask.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, list(DTYPES))
    found = []
    for check, port in itertools.product(checks, ports):
        if check.rows is not None:
            found += [question for question in _questions_of_rows(port, check) if question.dtype in dtypes]
            continue
        styles = (check.styles_of and available_styles(port, check.styles_of)) or [None]  # without any, the check fails
        for style, dtype in itertools.product(styles, dtypes):
            if dtype in check.dtypes and (style is styles[0] or dtype == "float64"):
                found.append(Question(port, check, style, dtype))
    return found


class Examiner:
    """Asks questions about some cases, and what the oracle says only once.

    Args:
        cases: data to check on.
        shrink: whether a row that fails is made smaller, which takes many more rows.
    """

    def __init__(self, cases: Iterable[Case] | None = None, *, shrink: bool = True):
        self._shrink = shrink
        self._cases = (Case.random(3, 17, 5, 6),) if cases is None else tuple(cases)
        self._known: dict[tuple[Check, str, int], tuple[Answers, Answers]] = {}
        self._failed: dict[tuple[str, str], list[tuple[Row, Finding]]] = {}
        self._lock = Lock()

    def ask(self, question: Question) -> list[Measurement]:
        """A measurement for each quantity and case. A check that raises has failed."""
        check, dtype = question.check, question.dtype
        if question.row is not None:
            ask = self._draw_rows if check.at_random else self._ask_row
            return [ask(question, question.row)]
        found: list[Measurement] = []
        for number, case in enumerate(self._cases):
            asked = case.astype(dtype)
            with self._lock:  # what one thread computes, another waits for
                key = check, dtype, number
                if key not in self._known:
                    self._known[key] = _expect(check, asked)
            found += _measure(question, asked, *self._known[key])
        return found

    def _ask_row(self, question: Question, row: Row) -> Measurement:
        """What is farthest from the oracle in a row; of a row that fails, in the smallest that still does."""
        port, found = question.port, _examine(row, question.port)
        if found.passed or not found.offered or not self._shrink:
            return _measure_row(port, unusual(row), found, question.check.name)
        key = port.name, _kernel_of(port)
        with self._lock:
            known = self._failed.setdefault(key, [])
            told_before = next(((levels, why) for levels, why in known if levels.items() <= row.items()), None)
        if told_before is None:
            told_before = _smallest(port, row, found)
            with self._lock:
                known.append(told_before)
        return _measure_row(port, *told_before)

    def _draw_rows(self, question: Question, row: Row) -> Measurement:
        """How many drawn rows passed, or the smallest that failed."""
        port, first = question.port, int(row[SEED])
        others: list[Finding] = []  # not offered, or failed

        def passes(row: Row) -> bool | None:
            found = _examine(row, port)
            if not found.passed:
                others.append(found)
            return found.passed if found.offered else None

        drawn = draw(port, float(row[SECONDS]), first, passes)
        if drawn.failed is not None:
            *_, found = (finding for finding in others if finding.offered)
            plain = {name: level for name, level in drawn.failed.items() if name != SEED}
            of_plain = _examine(plain, port)
            failed = (plain, of_plain) if _fails(of_plain) else (drawn.failed, found)
            return _measure_row(port, *_smallest(port, *failed))
        said = f"{drawn.rows} drawn rows, by seeds {first} to {drawn.seed}"
        said += f" ({drawn.skipped} more are not offered)" if drawn.skipped else ""
        if drawn.rows:
            return _measure_row(port, {}, Finding(said, 0.0, 0.0), question.check.name)
        problem = others[0].problem if others else f"no row was asked in {row[SECONDS]} s"
        return _measure_row(port, {}, Finding(said, None, 0.0, problem), question.check.name)


def verify(
    ports: Iterable[Port],
    *,
    dtypes: Iterable[str] = DTYPES,
    cases: Iterable[Case] | None = None,
    checks: Iterable[Check] | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Measurement]:
    """Compare ports with the oracle.

    While it asks questions about which the program's speed does not matter, JAX compiles without most optimisations, in
    all threads of this process.

    Args:
        ports: what to check.
        dtypes: "float64" asks whether a port is the same function, "float32" and "bfloat16" whether it is accurate;
            each check is asked in those of them that are its own.
        cases: data to check on; by default three sequences of 17 steps, 5 inputs, 6 units.
        checks: rows of CHECKS; by default those that are not asked by name alone.
        progress: called before each step of the work with the steps done, their number, and the next one's name.

    Returns:
        A measurement for each port, check, call style, quantity, dtype and case. A check that raises has failed.

    Raises:
        UnknownNameError: another dtype.
        InputError: a port or a check that is none, a port that lacks a method, or no check at all.
    """
    asked = questions(ports, dtypes, usual_checks() if checks is None else checks)
    order = sorted(range(len(asked)), key=lambda number: not asked[number].optimized)
    examiner, found, done = Examiner(cases), {}, itertools.count()
    for optimized, some in itertools.groupby(order, key=lambda number: asked[number].optimized):
        with nullcontext() if optimized else in_haste(), ThreadPoolExecutor(THREADS) as pool:
            try:
                for number, future in [(number, pool.submit(examiner.ask, asked[number])) for number in some]:
                    progress(next(done), len(asked), f"{asked[number].port.name} {asked[number].check.name}")
                    found[number] = future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [measurement for number in range(len(asked)) for measurement in found[number]]


def assert_equivalent(port: Port, **options: Any) -> None:
    """Raise AssertionError, naming what differs, unless a port passes every check of `verify` with these options.

    >>> from trigru.common.equality.checks import get_checks
    >>> from trigru.impls import get_port
    >>> assert_equivalent(get_port("pure"), dtypes=["float32"], checks=get_checks("sequence"))
    """
    found = verify([port], **options)
    if not found:
        raise AssertionError("nothing was measured: none of these checks is asked in these dtypes.")
    failures = [m for m in found if not m.passed]
    if failures:
        raise AssertionError("not equivalent to the oracle:\n" + "\n".join(map(str, failures)))


def _expect(check: Check, case: Case) -> tuple[Answers, Answers]:
    """The float64 reference, and NumPy's own evaluation in the dtype of the case."""
    with _precision("float64"):
        reference = check.expect(case.widened())
    with _precision(case.dtype):
        return reference, check.expect(case)


def _questions_of_rows(port: Port, check: Check) -> Iterator[Question]:
    styles = {style.name: style for style in port.call_styles}
    for row in check.rows(port) if check.rows else ():
        computed, _, _ = dtypes_of(row["dtype"])
        yield Question(port, check, styles.get(row["style"]), computed, row)


def _measure_row(port: Port, levels: Row, found: Finding, check: str | None = None) -> Measurement:
    """A finding of a row with these levels, under the name of a check or, without one, under those of its levels."""
    dtype, _, _ = dtypes_of(levels.get("dtype", "float64"))
    style = levels.get("style", NO_STYLE)
    result = found.quantity, dtype, found.error, found.bound, found.problem
    named = port.name, check or told(levels), None if style == NO_STYLE else style
    return Measurement(*named, *result, _kernel_of(port), levels)


def _kernel_of(port: Port) -> str:
    return port.kernel if isinstance(port, WithKernel) else STOCK


def _smallest(port: Port, row: Row, found: Finding) -> tuple[Row, Finding]:
    """The fewest levels of a row that fails with which it still does, and what is found with them."""

    def fails(smaller: Row) -> bool:
        nonlocal found
        of_smaller = _examine(smaller, port)
        found = of_smaller if _fails(of_smaller) else found
        return _fails(of_smaller)

    return unusual(smallest(row, space_of(port), fails)), found


def _fails(found: Finding) -> bool:
    """Whether the port has what was asked, and it is wrong."""
    return found.offered and not found.passed


def _examine(row: Row, port: Port) -> Finding:
    """The finding of a row; a port may fail in any way."""
    dtype = row["dtype"]
    with _precision(dtype):
        try:
            return examine(row, port, dtype)
        except NotOfferedError as error:
            return Finding("call", None, 0.0, f"{NOT_OFFERED}: {error}")
        except DefectError as error:
            return Finding("defect", None, 0.0, brief_of(error))
        except Exception as error:
            return Finding("call", None, 0.0, problem_of(port, error))


def _measure(question: Question, case: Case, reference: Answers, in_dtype: Answers) -> Iterator[Measurement]:
    port, check, style, dtype = question.port, question.check, question.style, question.dtype
    kernel = _kernel_of(port)
    asked = port.name, check.name, style and style.name

    def measurement(quantity: str, error: float | None, bound: float, problem: str | None = None) -> Measurement:
        if error is not None and not np.isfinite(error):
            error, problem = None, problem or "values that are not finite"
        return Measurement(*asked, quantity, dtype, error, bound, problem, kernel)

    with _precision(dtype):
        try:
            given = check.answer(port, case, style)
            answers = {name: np.asarray(array) for name, array in given.items() if array is not LEFT_OUT}
            if given and not answers:
                raise NotOfferedError("nothing of what is asked here")
        except NotOfferedError as error:
            yield measurement("call", None, 0.0, f"{NOT_OFFERED}: {error}")
            return
        except DefectError as error:
            yield measurement("defect", None, 0.0, brief_of(error))
            return
        except Exception as error:  # a port may fail in any way; the others go on
            yield measurement("call", None, 0.0, problem_of(port, error))
            return
    for quantity, want in reference.items():
        if given.get(quantity) is LEFT_OUT:
            continue
        got = answers.get(quantity)
        if got is None or np.shape(got) != np.shape(want):
            said = "nothing" if got is None else f"shape {np.shape(got)}"
            yield measurement(quantity, None, 0.0, f"{said}, expected shape {np.shape(want)}")
        elif got.dtype != in_dtype[quantity].dtype:
            yield measurement(quantity, None, 0.0, f"dtype {got.dtype}, expected {in_dtype[quantity].dtype}")
        elif check.exact:
            same = got.tobytes() == in_dtype[quantity].tobytes()
            yield measurement(quantity, relative_error(got, want), 0.0, None if same else "bits differ")
        else:
            coarsest = max((dtype, check.computed_in or dtype, str(got.dtype)), key=lambda name: jnp.finfo(name).eps)
            bound = SAME_BOUND if dtype == "float64" else accuracy_bound(in_dtype[quantity], want, coarsest)
            yield measurement(quantity, relative_error(got, want), bound)


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32.

    A TPU has no float64: what is asked in it is asked on the CPU of the same process.
    """
    elsewhere = dtype == "float64" and jax.default_backend() == "tpu"
    device = jax.default_device(jax.devices("cpu")[0]) if elsewhere else nullcontext()
    with device, enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield
