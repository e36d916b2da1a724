"""Is a port the same function as the oracle, and as accurate as its dtype allows?"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import jax

from ..compat import enable_x64
from ..config import GRUConfig
from ..errors import DefectError, InputError, NotOfferedError, UnknownNameError, brief
from ..gru.kernels import STOCK
from ..parameters.record import random_params
from ..port.compilation import configured
from ..port.protocol import Port, WithKernel, check_port
from .checks import CHECKS, DTYPES, Check
from .checks.check import require_trials
from .comparing import measure_case
from .contract.cases import FLOAT64, Case, Dtypes
from .contract.design import topics_of
from .contract.failures import smallest
from .contract.named import style_of
from .contract.space import SPACE
from .measurement import NOT_OFFERED, SAME_BOUND, Measurement

#: What JAX says of an argument that is no pytree of arrays, and Python of a leaf that
#: is no array.
NO_PYTREE = (
    "TypeError: Error interpreting argument",
    "is not a valid JAX type",
    "TypeError: Cannot interpret value of",
    "has no attribute 'astype'",
)
#: (case, port) -> the line at which the port's program of the case parts from a
#: reference, as a person reads it.
Locate = Callable[[Case, Port], str | None]


def _show_nothing(done: int, total: int, what: str) -> None:
    pass


def verify(
    ports: Iterable[Port],
    *,
    dtypes: Iterable[str] = DTYPES,
    checks: Iterable[Check] = CHECKS,
    progress: Callable[[int, int, str], None] = _show_nothing,
) -> list[Measurement]:
    """Compare ports with the oracle.

    Args:
        ports: what to check.
        dtypes: of the computation: "float64" asks whether a port is the same function,
            the others whether it is accurate. Checks that have no cases are asked in
            float64.
        checks: by default those of CHECKS.
        progress: called before each step of the work with the steps done, their number,
            and the next one's name.

    Returns: A measurement for each port and case, and for each port and check without
        cases. A check that raises has failed.

    Raises:
        UnknownNameError: another dtype.
        InputError: a port or a check that is none, a port that lacks a method, or no
            check at all.
    """
    asked = questions(ports, dtypes, checks)
    examiner, measurements = Examiner(), []
    for number, (port, check, case) in enumerate(asked):
        progress(number, len(asked), f"{port.name} {check.name}")
        measurements.append(examiner.ask(port, check, case))
    return measurements


def assert_equivalent(port: Port, **options: Any) -> None:
    """Raise AssertionError, naming what differs, unless a port passes every check of
    `verify` with these options.

    >>> from trigru.common.equality.checks import get_checks
    >>> from trigru.impls import get_port
    >>> checks = get_checks("chunks")
    >>> assert_equivalent(get_port("pure"), dtypes=["float32"], checks=checks)
    """
    measurements = verify([port], **options)
    if not measurements:
        raise AssertionError(
            "nothing was measured: none of these checks is asked in these dtypes."
        )
    failures = [str(m) for m in measurements if not m.passed]
    if failures:
        raise AssertionError("not equivalent to the oracle:\n" + "\n".join(failures))


def _same(port: Any) -> Port:
    return port


def questions(
    ports: Iterable[Any],
    dtypes: Iterable[str],
    checks: Iterable[Check],
    port_of: Callable[[Any], Port] = _same,
) -> list[tuple[Any, Check, Case | None]]:
    """Ports, or what `port_of` makes ports of, each with a check, and with a case where
    the check has cases.

    A case of several ports stands together, for the oracle. It raises the errors of
    `verify`.
    """
    for name, argument in {"ports": ports, "dtypes": dtypes, "checks": checks}.items():
        if isinstance(argument, str) or not isinstance(argument, Iterable):
            raise InputError(f"{name}: got {argument!r}, expected a sequence of them.")
    ports, dtypes, checks = tuple(ports), tuple(dtypes), tuple(checks)
    _require_usable(ports, dtypes, checks, port_of)

    asked = []
    for check in checks:
        columns = []
        for port in ports:
            if len(checks) == 1 or check.is_for(port_of(port)):
                cases = _cases_in(check, port_of(port), dtypes)
                columns.append([(port, check, case) for case in cases])
        for row in zip_longest(*columns):
            asked += [question for question in row if question is not None]
    return asked


def _require_usable(
    ports: tuple[Any, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Any, ...],
    port_of: Callable[[Any], Port],
) -> None:
    for port in ports:
        if isinstance(port, str):
            raise InputError(
                f"port {port!r} is none. A port by name is "
                "trigru.impls.get_port('linen')."
            )
        check_port(port_of(port))
    for check in checks:
        if not isinstance(check, Check):
            raise InputError(
                f"check {check!r} is none. Checks by name are "
                "trigru.common.get_checks('life')."
            )
    if not checks:
        raise InputError("there is no check to ask.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, list(DTYPES))


def _cases_in(check: Check, port: Port, dtypes: tuple[str, ...]) -> list[Case | None]:
    """The cases of a check in some dtypes; None stands for a check without cases."""
    cases = check.cases(port) if check.cases else []
    if not cases:
        return [None] if "float64" in dtypes else []
    return [case for case in cases if case.dtypes.computation in dtypes]


class Examiner:
    """Measures. A case that fails is made smaller, and the line is searched where it
    parts from a reference.

    Args:
        shrink: whether a case that fails is made smaller.
        locate: finds that line; None for no search.
    """

    def __init__(self, *, shrink: bool = True, locate: Locate | None = None):
        self._shrink, self._locate = shrink, locate
        self._failures: dict[tuple[str, str], list[Measurement]] = {}

    def ask(self, port: Port, check: Check, case: Case | None = None) -> Measurement:
        """The measurement of all trials of a check, which fails if it raises, or of a
        case.

        That of a case is the answer farthest from the oracle; if it fails, that of the
        smallest case that still fails.
        """
        if case is None:
            return _measure_check(port, check)
        measured = _measure_case(port, case)
        if check.by_levels:
            return measured
        if not (self._shrink and _fails(measured)):
            return replace(measured, check=check.name)
        failures = self._failures.setdefault((port.name, measured.kernel), [])
        for failure in failures:
            if (failure.levels or {}).items() <= case.levels().items():
                return failure
        failures.append(self._explain(port, case, measured))
        return failures[-1]

    def _explain(self, port: Port, case: Case, measured: Measurement) -> Measurement:
        """The measurement of the smallest case that fails like one that did, with the
        line where it parts.
        """

        def fails(smaller: Case) -> bool:
            return _fails(_measure_case(port, smaller))

        least = smallest(case, SPACE, fails)
        again = _measure_case(port, least)
        explained = again if _fails(again) else measured  # what failed once has failed
        if self._locate is None:
            return explained
        place = None
        with _precision(FLOAT64), suppress(Exception):  # a port may fail in any way
            place = self._locate(least, port)
        return replace(explained, place=place)


def _fails(measured: Measurement) -> bool:
    return measured.offered and not measured.passed


def unmeasured(port: Port, check: str, case: Case | None = None) -> Measurement:
    """The measurement of a check or a case that was not called."""
    kernel = port.kernel if isinstance(port, WithKernel) else STOCK
    blank = Measurement(
        port=port.name,
        check=check,
        style=None,
        quantity="call",
        dtype="float64",
        error=None,
        bound=0.0,
        problem="not called",
        kernel=kernel,
    )
    if case is None:
        return blank
    return replace(
        blank,
        style=style_of(case, port),
        dtype=case.dtypes.computation,
        levels=case.levels(),
    )


def _measure_check(port: Port, check: Check) -> Measurement:
    """The measurement of a check without cases; a port may fail in any way."""
    blank = replace(unmeasured(port, check.name), quantity="cases")
    with _precision(FLOAT64):
        try:
            if check.trials is None:
                raise NotOfferedError("no row of the contract is about this")
            error = require_trials(check.trials(port))
        except Exception as problem:
            return replace(blank, problem=_problem(port, problem))
    return replace(blank, error=error, bound=SAME_BOUND, problem=None)


def _measure_case(port: Port, case: Case) -> Measurement:
    """The measurement of a case, under its levels' names; a port may fail in any
    way.
    """
    blank = unmeasured(port, topics_of(case), case)
    with _precision(case.dtypes):
        try:
            return measure_case(case, port, blank)
        except Exception as problem:
            return replace(blank, problem=_problem(port, problem))


@contextmanager
def _precision(dtypes: Dtypes) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently
    TF32.
    """
    is_wide = dtypes == FLOAT64
    device = nullcontext()
    if is_wide and jax.default_backend() == "tpu":  # which has no float64
        device = jax.default_device(jax.devices("cpu")[0])
    # filtering takes longer than many a call that has to be refused
    unfiltered = configured({"jax_traceback_filtering": "off"})
    products = jax.default_matmul_precision("highest")
    with device, unfiltered, enable_x64(is_wide), products:
        yield


def _problem(port: Port, error: Exception) -> str:
    """What a measurement says of an exception, also that the framework does not let JAX
    transform its models.
    """
    if isinstance(error, NotOfferedError):
        return f"{NOT_OFFERED}: {error}"
    problem = brief(error)
    if not isinstance(error, DefectError):
        problem = f"{type(error).__name__}: {problem}"
    if any(words in problem for words in NO_PYTREE) and _lacks_pytrees(port):
        versions = f"the installed versions of {', '.join(port.packages)}"
        return f"{NOT_OFFERED}: a model that is a pytree, with {versions} ({problem})"
    return problem


def _lacks_pytrees(port: Port) -> bool:
    """Whether a port's models are no pytrees of arrays."""
    try:
        model = port.load(GRUConfig(1, 1), random_params(GRUConfig(1, 1)))
        leaves = jax.tree.leaves(model)
    except Exception:  # a port may fail in any way
        return False
    return not all(hasattr(leaf, "dtype") for leaf in leaves)
