"""How far two arrays are apart: relative to their size, and in units in the last place."""

from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np

from ...common.equality.measurement import SAME_BOUND

#: In no dtype may two results of one function be farther apart, relative to the largest: in half precision, as many
#: units in the last place as in float64 would be more than the results themselves.
LARGEST_BOUND = 0.1
#: The share by which the constants of a program in float32 are rounded, which is evaluated in float64; and one by which
#: results may move where it also rounds values, as a rematerialized one does.
CONSTANTS, ROUNDED = 2.0**-24, 2.0**-20
#: So many units in the last place are told as such.
FEW_ULPS = 64


def bound_of(dtype: Any) -> float:
    """The relative difference up to which two results may be one function that is rounded in another way.

    >>> bound_of("float64") == 1e-12, bound_of("bfloat16")
    (True, 0.1)
    """
    units = SAME_BOUND / float(np.finfo("float64").eps)
    return min(units * float(ml_dtypes.finfo(dtype).eps), LARGEST_BOUND)


def excess_of(a: np.ndarray, b: np.ndarray, noise: float = 0.0, least: float = 0.0) -> float:
    """How many times the difference is what rounding explains: it does up to `noise`, and up to a share, `least`."""
    if (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return np.inf
    return relative_difference(a, b, noise) / max(bound_of(a.dtype), least)


def how_different(a: np.ndarray, b: np.ndarray) -> str:
    """How an array differs from an earlier one, in words, as "1.01 times as large"."""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{b.dtype}{b.shape} instead of {a.dtype}{a.shape}"
    if not is_floating(a):
        at = int(np.argmax(a.ravel() != b.ravel()))
        return f"{_numbers(b, at)} instead of {_numbers(a, at)}"
    off, few = relative_difference(a, b), ulps(a, b)
    if few <= FEW_ULPS:
        return f"by {few:.0f} unit{'s' * (few >= 2)} in the last place"
    if off <= bound_of(a.dtype):
        return f"by {off:.1e} of the largest number"
    x, y = _reals(a).ravel(), _reals(b).ravel()
    if np.array_equal(np.sort(x), np.sort(y)):
        return "the same numbers in another order"
    with np.errstate(all="ignore"):  # of numbers that are not finite
        ratio = float(x @ y / (x @ x)) if x @ x else np.inf
    is_share = np.isfinite(ratio) and f"{ratio:.5g}" not in ("0", "1")
    if is_share and np.allclose(y, ratio * x, rtol=1e-5, atol=1e-6 * np.abs(y).max()):
        return f"{ratio:.5g} times as large"
    if not y.any() or not x.any():
        return f"{_numbers(b)} instead of {_numbers(a)}"
    worst = int(np.argmax(_differences(x, y)))
    new, old = f"{y[worst]:.5g}", f"{x[worst]:.5g}"
    return f"by {off:.2g} of the largest number" + (f", {new} instead of {old}" if new != old else "")


def _numbers(array: np.ndarray, at: int = 0) -> str:
    some = ", ".join(f"{number:.4g}" for number in np.ravel(array)[at : at + 3])
    return "..., " * (at > 0) + some + ", ..." * (np.size(array) > at + 3)


def relative_difference(a: np.ndarray, b: np.ndarray, noise: float = 0.0) -> float:
    """The largest difference above `noise`, over the largest finite magnitude of the first.

    It is inf where one of two numbers is not finite.
    """
    differences = _differences(_reals(a), _reals(b))
    return float(np.max(differences, initial=0.0, where=differences > noise)) / (_largest(a) or 1.0)


def noise_of(arrays: Iterable[np.ndarray]) -> float:
    """What rounding may leave of a sum that is zero in mathematics, of terms as large as some arrays' numbers."""
    units = [float(ml_dtypes.finfo(a.dtype).eps) * _largest(a) for a in arrays if is_floating(a)]
    return FEW_ULPS * max(units, default=0.0)


def ulps(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in units in the last place of the larger number."""
    kind = ml_dtypes.finfo(a.dtype)
    a, b = _reals(a), _reals(b)
    larger = np.maximum(np.maximum(np.abs(a), np.abs(b)), float(kind.tiny))
    exponent = np.floor(np.log2(np.where(np.isfinite(larger), larger, 1.0)))
    return float(np.max(_differences(a, b) / (float(kind.eps) * 2.0**exponent), initial=0.0))


def is_floating(array: np.ndarray) -> bool:
    """Whether its numbers are rounded: floating-point or complex ones."""
    return array.dtype.name.startswith(("float", "bfloat", "complex"))


def _reals(array: np.ndarray) -> np.ndarray:
    """The real numbers in float64; of complex ones, both parts."""
    if array.dtype.kind == "c":
        array = np.stack([np.real(array), np.imag(array)])
    return np.asarray(array).astype("float64")


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude."""
    reals = _reals(array)
    return float(np.max(np.abs(reals), initial=0.0, where=np.isfinite(reals)))


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Magnitudes of the differences: 0 where both are alike, infinities and NaNs too; inf where one is not finite."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        found = np.where(same, 0.0, np.abs(a - b))
    return np.where(np.isnan(found), np.inf, found)
