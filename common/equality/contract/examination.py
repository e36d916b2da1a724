"""A row asked of a port, and what its errors are held to."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from math import log2
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...gru.kernels import STOCK
from ...port.protocol import Port, WithKernel
from ..bounds import ACCURACY_FACTOR, ACCURACY_ULPS, SAME_BOUND
from ..measurement import Measurement
from .data import OTHER_DTYPES, Data, dtypes_of
from .designs import told
from .factors import Row, style_of, unusual
from .programs import answers_of
from .reference import Answers, expect, is_of_parameters, known_answers

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


def examine(row: Row, port: Port) -> Measurement:
    """The answer of a port to a row that is farthest from its bound, on any values. What the port raises goes on.

    The first set of values on which an answer is beyond its bound is the last that is compared.
    """
    data, reference, in_dtype = known_answers(row)
    farthest = blank = unmeasured(port, told(row), row)
    found: list[Measurement] = []
    for n, got in enumerate(answers_of(row, port, data)):
        want, rounded = ({name: array[n] for name, array in answers.items()} for answers in (reference, in_dtype))
        found += _compare(row, data.of_set(n), got, want, rounded, blank)
        farthest = max(found, key=lambda m: np.inf if m.error is None else m.error / m.bound, default=farthest)
        if not farthest.passed:
            break
    return farthest


def unmeasured(port: Port, check: str, row: Row | None = None) -> Measurement:
    """The measurement of a check or a row that was not called."""
    kernel = port.kernel if isinstance(port, WithKernel) else STOCK
    dtype, style = ("float64", None) if row is None else (dtypes_of(row["dtype"])[0], style_of(row, port))
    levels = None if row is None else unusual(row)
    return Measurement(port.name, check, style, "call", dtype, None, 0.0, "not called", kernel, levels)


def _compare(
    row: Row, data: Data, got: Answers, reference: Answers, in_dtype: Answers, blank: Measurement
) -> Iterator[Measurement]:
    """A measurement for each quantity of one set of values."""
    dtype, saturating = row["dtype"], data.values[0].saturating
    computed, stored, given = dtypes_of(dtype)
    if row["wide"] != "all":
        stored, given = str(data.params.bias.dtype), str(data.x.dtype)
    carry = OTHER_DTYPES.get(dtype, given) if row["carry"] == "other dtype" else given
    evaluated = cache(partial(_evaluated, row, data))
    for name, want in reference.items():
        expected = {"d x": given, "d carry": carry}.get(name, stored if is_of_parameters(name) else computed)
        quantity = f"{name} of {data.values[0].name}"
        if problem := _problem_of(got.get(name), want, expected):
            yield replace(blank, quantity=quantity, problem=problem)
            continue
        coarsest = max(computed, expected, key=lambda kind: jnp.finfo(kind).eps)
        error_of = partial(_error, name, dtype=coarsest, least=_least(row, data, name, saturating))
        array, ulps = np.asarray(got[name]), ACCURACY_ULPS * float(jnp.finfo(coarsest).eps)
        error = error_of(array, want)
        if dtype == "float64":
            bound = max(SAME_BOUND, ulps * (coarsest != "float64"))
            if error > bound:  # rounding, where much cancels, or a difference
                for own, wider in map(evaluated, NEARBY):
                    error = error_of(array, evaluated(NEARBY[0])[1][name])
                    bound = max(bound, CANCELLING_FACTOR * error_of(own[name], wider[name]))
                    if error <= bound:
                        break
        else:
            if is_of_parameters(name) and stored != computed:  # a loop adds up its steps in the dtype of the parameters
                ulps *= 1 + log2(data.x.shape[-2])
            factor = CANCELLING_FACTOR if saturating else COARSE_FACTOR
            bound = min(ACCURACY_FACTOR * ulps + factor * error_of(in_dtype[name], want), MOST)
        known = {"error": error, "bound": float(bound)} if np.isfinite(error) else {}
        yield replace(blank, quantity=quantity, problem=None if known else "values that are not finite", **known)


def _evaluated(row: Row, data: Data, factor: float) -> tuple[Answers, Answers]:
    """NumPy's answers in float64 and in longdouble, on the inputs of one set times a factor."""
    near = wider = replace(data, x=data.x * factor)
    if not HAS_LONGDOUBLE:  # instead of its answers, those on inputs that end one unit higher
        wider = replace(near, x=np.nextafter(near.x, np.inf))
    own, wide = expect(row, near, np.float64), expect(row, wider, np.longdouble)
    return {name: a[0] for name, a in own.items()}, {name: a[0] for name, a in wide.items()}


def _least(row: Row, data: Data, name: str, saturating: bool) -> float:
    """The magnitude that errors are relative to where an answer is smaller."""
    if name in ("value", "losses"):
        return float(data.weights.size) ** 0.5  # of as many terms around 1, of either sign
    if saturating and (name.startswith("d ") or row["phase"] == "jvp"):
        # by which what rounding leaves of 0 is multiplied; not what stands in the padding
        largest = float(np.max(np.abs(data.x), where=np.isfinite(data.x), initial=1))
        power = (name == "d weight_ih") + (row["phase"] in ("hvp", "jvp"))
        return largest**power
    return 0.0


def _problem_of(array: Any, reference: Any, dtype: str) -> str | None:
    """Why an answer cannot be compared, or None."""
    if array is None or np.shape(array) != np.shape(reference):
        given = "nothing" if array is None else f"shape {np.shape(array)}"
        return f"{given}, expected shape {np.shape(reference)}"
    if not hasattr(array, "dtype"):
        return f"a {type(array).__name__}, expected an array"
    return None if str(array.dtype) == dtype else f"dtype {array.dtype}, expected {dtype}"


def _error(name: str, got: Any, want: Any, *, dtype: str, least: float) -> float:
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
