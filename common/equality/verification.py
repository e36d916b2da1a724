"""Is a port the same function as the oracle, and as accurate as its dtype allows?

What is compared is in `trigru.common.equality.checks`, and how far it may differ in `trigru.common.equality.bounds`.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import NotOfferedError, UnknownNameError
from ..gru.kernels import STOCK
from ..port.protocol import CallStyle, Port, WithKernel
from ..port.styles import available_styles
from .bounds import SAME_BOUND, accuracy_bound, relative_error
from .cases import Case
from .checks import CHECKS, DTYPES, Answers, Check
from .measurement import NOT_OFFERED, Measurement

#: Characters of an exception that a problem quotes.
LONGEST_REASON = 160
#: Nearly all of the time is spent compiling small programs, which uses one core and does not block Python.
THREADS = 2


def verify(
    ports: Iterable[Port],
    *,
    dtypes: Iterable[str] = DTYPES,
    cases: Iterable[Case] | None = None,
    checks: "Iterable[Check] | None" = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Measurement]:
    """Compare ports with the oracle.

    Args:
        ports: what to check.
        dtypes: "float64" asks whether a port is the same function, "float32" and "bfloat16" whether it is accurate;
            each check is asked in those of them that are its own.
        cases: data to check on; by default three sequences of 17 steps, 5 inputs, 6 units.
        checks: rows of CHECKS; by default all.
        progress: called before each step of the work with the steps done, their number, and the next one's name.

    Returns:
        A measurement for each port, check, call style, quantity, dtype and case. A check that raises has failed.

    Raises:
        UnknownNameError: another dtype.
    """
    ports, dtypes = tuple(ports), tuple(dtypes)
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, list(DTYPES))
    cases = (Case.random(3, 17, 5, 6),) if cases is None else tuple(cases)
    checks = CHECKS if checks is None else tuple(checks)
    rows = [
        (check, port, style)
        for check in checks
        for port in ports
        for style in ((available_styles(port) or [None]) if check.per_style else [None])  # none: the check fails
    ]
    lock = Lock()

    @cache
    def expected(check: Check, dtype: str, number: int) -> tuple[Answers, Answers]:
        return _expect(check, cases[number].astype(dtype))

    def measure(check: Check, port: Port, style: CallStyle | None) -> list[Measurement]:
        asked = [dtype for dtype in dtypes if dtype in check.dtypes]
        if style is not None and style is not available_styles(port)[0]:
            asked = [dtype for dtype in asked if dtype == "float64"]
        found: list[Measurement] = []
        for dtype in asked:
            for number, case in enumerate(cases):
                with lock:  # what one thread computes, another waits for
                    expectation = expected(check, dtype, number)
                found += _measure(port, check, style, case.astype(dtype), *expectation)
        return found

    measurements: list[Measurement] = []
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            running = [pool.submit(measure, *row) for row in rows]
            for done, ((check, port, _), future) in enumerate(zip(rows, running, strict=True)):
                progress(done, len(rows), f"{port.name} {check.name}")
                measurements += future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return measurements


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


def _measure(
    port: Port, check: Check, style: CallStyle | None, case: Case, reference: Answers, in_dtype: Answers
) -> Iterator[Measurement]:
    dtype, kernel = case.dtype, port.kernel if isinstance(port, WithKernel) else STOCK
    asked = port.name, check.name, style and style.name

    def measurement(quantity: str, error: float | None, bound: float, problem: str | None = None) -> Measurement:
        if error is not None and not np.isfinite(error):
            error, problem = None, problem or "values that are not finite"
        return Measurement(*asked, quantity, dtype, error, bound, problem, kernel)

    with _precision(dtype):
        try:
            answers = {name: np.asarray(array) for name, array in check.answer(port, case, style).items()}
        except NotOfferedError as error:
            yield measurement("call", None, 0.0, f"{NOT_OFFERED}: {error}")
            return
        except Exception as error:  # a port may fail in any way; the others go on
            yield measurement("call", None, 0.0, f"{type(error).__name__}: {_short(error)}")
            return
    for quantity, want in reference.items():
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


def _short(error: Exception) -> str:
    """The first line of what an exception says, or its beginning: JAX's may hold a whole pytree."""
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32."""
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield
