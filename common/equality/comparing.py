"""How far a port's answers to a case are from the oracle's, and how far they may be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, log2
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..port.protocol import Port
from .contract.arrays import Array, CallArrays
from .contract.calling import answers_of
from .contract.cases import FLOAT64, Case
from .contract.expected import (
    Answers,
    answers_of_set,
    answers_to,
    expected_of,
    is_of_parameters,
)
from .measurement import ACCURACY_FACTOR, ACCURACY_ULPS, SAME_BOUND, Measurement

#: Quantities whose last axis is that of units or features: their errors are taken for
#: each example and step.
BY_STEP = ("carry", "outputs", "d carry", "d x")
#: In float64, times what NumPy loses against longdouble: XLA's tanh is less exact than
#: NumPy's, and 1 - tanh² cancels.
CANCELLING_FACTOR = 32
#: By how much inputs are multiplied to see what NumPy loses nearby: one rounding may be
#: exact by chance.
NEARBY = (1.0, 1 + 2.0**-20, 1 + 2.0**-19, 1 + 2.0**-18)
#: In other dtypes, times what NumPy loses there: a case may have one number, of which
#: cancelling left little.
COARSE_FACTOR = 4 * ACCURACY_FACTOR
#: How many denormal numbers may be lost in a sum; in float16, which XLA computes in
#: float32, how many of its least one.
FLUSHED = 1000
#: In other dtypes, the largest bound: an answer of zeros is off by 1.
MOST = 0.75
#: In other dtypes, times what NumPy loses in the mean of many states. The ports lose
#: 0.8 to 1.12 times as much there, and with two bits less in each state 1.1 to 1.8
#: times.
MEAN_FACTOR = 1.5
#: Of fewer numbers, the mean is one of chance.
MANY = 90
HAS_LONGDOUBLE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


def measure_case(case: Case, port: Port, blank: Measurement) -> Measurement:
    """The answer of a port to a case that is farthest from its bound, on any values.
    What the port raises goes on.

    The first set of values on which an answer is beyond its bound is the last that is
    compared. The measurement is `blank` with what was found.
    """
    expected = expected_of(case)
    measurements = list[Measurement]()
    for number, answers in enumerate(answers_of(case, port, expected.arrays)):
        one_set = _Comparison(
            case,
            expected.arrays.of_set(number),
            answers_of_set(expected.exact, number),
            answers_of_set(expected.rounded, number),
        )
        of_set = list(one_set.measurements(answers, blank))
        measurements += of_set
        if not all(measurement.passed for measurement in of_set):
            break
    return max(measurements, key=_share_of_bound, default=blank)


def _share_of_bound(measurement: Measurement) -> float:
    if measurement.error is None:
        return inf
    return measurement.error / measurement.bound


@dataclass(frozen=True)
class _Evaluation:
    """NumPy's answers on some inputs, and such as are nearer to the truth."""

    plain: Answers  # in float64
    #: in longdouble; where there is none, in float64 on inputs that end one unit higher
    wider: Answers


@dataclass(frozen=True)
class _Comparison:
    """What answers to one set of values of a case are compared with."""

    case: Case
    arrays: CallArrays  # of one set
    exact: Answers  # in float64
    rounded: Answers  # in the dtype of the case

    def measurements(
        self, answers: Answers, blank: Measurement
    ) -> Iterator[Measurement]:
        """A measurement for each quantity."""
        (values,) = self.arrays.values
        for name, want in self.exact.items():
            measured = replace(blank, quantity=f"{name} of {values.name}")
            answer = answers.get(name)
            problem = self._problem_of(name, answer)
            if problem is not None:
                yield replace(measured, problem=problem)
                continue
            error, bound = self._error_and_bound(name, np.asarray(answer), want)
            if not np.isfinite(error):
                yield replace(measured, problem="values that are not finite")
                continue
            yield replace(measured, error=error, bound=bound, problem=None)
            is_coarse = self.case.dtypes != FLOAT64 and not values.saturates
            if is_coarse and name in ("carry", "outputs") and want.size >= MANY:
                yield replace(
                    measured,
                    quantity=f"{name} (mean error) of {values.name}",
                    error=_mean_error(np.asarray(answer), want),
                    bound=self._mean_bound(name, want),
                    problem=None,
                )

    def _problem_of(self, name: str, answer: Any) -> str | None:
        """Why an answer cannot be compared: its dtype or shape."""
        dtype = getattr(answer, "dtype", type(answer).__name__)
        kind = f"{dtype}{np.shape(answer)}"
        expected = f"{self._dtype_of(name)}{self.exact[name].shape}"
        return None if kind == expected else f"{kind}, expected {expected}"

    def _dtype_of(self, name: str) -> str:
        if name == "d x":
            return self.case.inputs_dtype
        if name == "d carry":
            return self.case.carry_dtype
        if is_of_parameters(name):
            return self.case.params_dtype
        return self.case.dtypes.computation

    def _error_and_bound(
        self, name: str, answer: Array, want: Array
    ) -> tuple[float, float]:
        computed = self.case.dtypes.computation
        coarsest = max(
            computed, self._dtype_of(name), key=lambda dtype: jnp.finfo(dtype).eps
        )
        ulps = ACCURACY_ULPS * float(jnp.finfo(coarsest).eps)
        if self.case.dtypes != FLOAT64:
            error = self._error(name, answer, want, coarsest)
            return error, self._coarse_bound(name, want, coarsest, ulps)
        bound = SAME_BOUND
        if coarsest != "float64":
            bound = max(bound, ulps)
        error = self._error(name, answer, want, coarsest)
        if error > bound:
            return self._judge_rounding(name, answer, coarsest, bound)
        return error, bound

    def _judge_rounding(
        self, name: str, answer: Array, coarsest: str, bound: float
    ) -> tuple[float, float]:
        """The error and bound of an answer in float64 that is off by rounding, where
        much cancels, or differs.
        """
        error = self._error(name, answer, self._evaluated.wider[name], coarsest)
        for factor in NEARBY:
            evaluation = self._evaluated if factor == 1 else self._evaluate(factor)
            plain, wider = evaluation.plain[name], evaluation.wider[name]
            lost = self._error(name, plain, wider, coarsest)
            bound = max(bound, CANCELLING_FACTOR * lost)
            if error <= bound:
                break
        return error, float(bound)

    def _coarse_bound(
        self, name: str, want: Array, coarsest: str, ulps: float
    ) -> float:
        """The bound of an answer in another dtype than float64, from what NumPy loses
        in it.
        """
        case = self.case
        if is_of_parameters(name) and self._dtype_of(name) != case.dtypes.computation:
            # a loop adds up its steps in the dtype of the parameters
            ulps *= 1 + log2(case.time)
        (values,) = self.arrays.values
        factor = CANCELLING_FACTOR if values.saturates else COARSE_FACTOR
        lost = self._error(name, self.rounded[name], want, coarsest)
        return float(min(ACCURACY_FACTOR * ulps + factor * lost, MOST))

    def _mean_bound(self, name: str, want: Array) -> float:
        """The bound of a mean error, from what NumPy loses."""
        least = float(jnp.finfo(self.case.dtypes.computation).eps) / 16
        return MEAN_FACTOR * max(_mean_error(self.rounded[name], want), least)

    @cached_property
    def _evaluated(self) -> _Evaluation:
        return self._evaluate(1.0)

    def _evaluate(self, factor: float) -> _Evaluation:
        """NumPy's answers on inputs times a factor."""
        near = wider = replace(self.arrays, x=self.arrays.x * factor)
        if not HAS_LONGDOUBLE:
            wider = replace(near, x=np.nextafter(near.x, np.inf))
        return _Evaluation(
            answers_of_set(answers_to(self.case, near, np.float64), 0),
            answers_of_set(answers_to(self.case, wider, np.longdouble), 0),
        )

    def _error(self, name: str, got: Array, want: Array, dtype: str) -> float:
        return error_of(name, got, want, dtype, self._least(name))

    def _least(self, name: str) -> float:
        """The magnitude that errors are relative to where an answer is smaller."""
        if name in ("value", "losses"):
            # of as many terms around 1, of either sign
            return float(self.arrays.weights.size) ** 0.5
        (values,) = self.arrays.values
        is_derivative = name.startswith("d ") or self.case.phase == "jvp"
        if not (values.saturates and is_derivative):
            return 0.0
        # by which what rounding leaves of 0 is multiplied; not what stands in the
        # padding
        x = self.arrays.x
        largest = float(np.max(np.abs(x), where=np.isfinite(x), initial=1))
        power = 0
        if name == "d weight_ih":
            power += 1
        if self.case.phase in ("hvp", "jvp"):
            power += 1
        return largest**power


def _mean_error(got: Array, want: Array) -> float:
    """The mean difference, relative to the mean magnitude."""
    difference = np.abs(np.asarray(got, np.float64) - want)
    return float(difference.mean() / np.abs(want).mean())


def error_of(name: str, got: Array, want: Array, dtype: str, least: float) -> float:
    """The largest difference, relative to the largest magnitude of its example and
    step; inf where there is a NaN.

    In a coarse dtype, it is relative to the largest of its example: one number of a
    step may be what cancelling left. Where that is below `least`, it is relative to
    `least`, beside which denormal numbers that a processor flushes are nothing. Of
    float16, none flushes them: its smallest normal number, 6e-5, is too large to be
    called lost.
    """
    kind = jnp.finfo(dtype)
    smallest = kind.smallest_subnormal if dtype == "float16" else kind.tiny
    precision = SAME_BOUND if dtype == "float64" else float(kind.eps)
    least = max(least, FLUSHED * float(smallest) / precision)
    want = np.asarray(want, np.promote_types(want.dtype, np.float64))
    axes = -1 if name in BY_STEP else None
    if dtype != "float64" and name in ("outputs", "d x"):
        axes = (-2, -1)
    with np.errstate(all="ignore"):
        difference = np.abs(got.astype(want.dtype) - want).max(axes)
        magnitude = np.maximum(np.abs(want).max(axes), least)
        error = float(np.max(difference / magnitude))
    return inf if np.isnan(error) else error
