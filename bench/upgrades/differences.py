"""How far two arrays are apart, as numbers and in words."""

from collections.abc import Iterable

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from ...common.equality.measurement import SAME_BOUND

#: In no dtype may two results of one function be farther apart, relative to the largest
#: number: as many units in the last place as in float64 would exceed half precision.
LARGEST_BOUND = 0.1
#: A larger relative difference shows in the five digits of a number.
SEEN_IN_DIGITS = 1e-4
#: So many units in the last place are told as such.
FEW_ULPS = 64


def bound_of(dtype: DTypeLike) -> float:
    """The relative difference that may be rounding; above it, the function is another.

    >>> bound_of("float64") == 1e-12, bound_of("bfloat16")
    (True, 0.1)
    """
    units = SAME_BOUND / float(np.finfo("float64").eps)
    return min(units * float(ml_dtypes.finfo(dtype).eps), LARGEST_BOUND)


def excess_of(
    old: np.ndarray, new: np.ndarray, noise: float = 0.0, least: float = 0.0
) -> float:
    """How many times the difference is what rounding explains; beyond 1, it is another.

    Args:
        old: an array.
        new: the array that stands for it now.
        noise: differences up to this size do not count.
        least: a relative difference that rounding explains in any dtype.
    """
    if not _are_comparable(old, new):
        return np.inf
    return relative_difference(old, new, noise) / max(bound_of(old.dtype), least)


def relative_difference(old: np.ndarray, new: np.ndarray, noise: float = 0.0) -> float:
    """The largest difference above `noise`, over the largest finite magnitude of `old`.

    It is infinite where only one is finite.
    """
    differences = _differences(_reals(old), _reals(new))
    largest = np.max(differences, initial=0.0, where=differences > noise)
    return float(largest) / (_largest(old) or 1.0)


def noise_of(arrays: Iterable[np.ndarray]) -> float:
    """What rounding may leave of a sum that is zero in mathematics.

    The terms of the sum are as large as the largest numbers of the arrays.
    """
    noise = 0.0
    for array in arrays:
        if is_floating(array):
            unit = float(ml_dtypes.finfo(array.dtype).eps) * _largest(array)
            noise = max(noise, unit)
    return FEW_ULPS * noise


def ulps(old: np.ndarray, new: np.ndarray) -> float:
    """The largest difference in units in the last place of the larger number."""
    limits = ml_dtypes.finfo(old.dtype)
    old_reals, new_reals = _reals(old), _reals(new)
    magnitudes = np.maximum(np.abs(old_reals), np.abs(new_reals))
    magnitudes = np.maximum(magnitudes, float(limits.tiny))
    magnitudes = np.where(np.isfinite(magnitudes), magnitudes, 1.0)

    exponents = np.floor(np.log2(magnitudes))
    units = float(limits.eps) * 2.0**exponents
    differences_in_units = _differences(old_reals, new_reals) / units
    return float(np.max(differences_in_units, initial=0.0))


def is_floating(array: np.ndarray) -> bool:
    """Whether its numbers are rounded: floating-point or complex ones."""
    return array.dtype.name.startswith(("float", "bfloat", "complex"))


def how_different(old: np.ndarray, new: np.ndarray) -> str:
    """How an array differs from an earlier one, in words, as "1.01 times as large"."""
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        return f"{new.dtype}{new.shape} instead of {old.dtype}{old.shape}"
    if not is_floating(old):
        first = int(np.argmax(old.ravel() != new.ravel()))
        return f"{_numbers(new, first)} instead of {_numbers(old, first)}"

    units = ulps(old, new)
    share = relative_difference(old, new)
    if units <= FEW_ULPS:
        return f"by {units:.0f} unit{'s' if units >= 2 else ''} in the last place"
    is_seen_in_digits = old.size == 1 and share > SEEN_IN_DIGITS
    if share <= bound_of(old.dtype) and not is_seen_in_digits:
        return f"by {share:.1e} of the largest number"

    old, new = _reals(old).ravel(), _reals(new).ravel()
    if old.size == 1:
        return f"{new[0]:.5g}, was {old[0]:.5g} ({abs(new[0] - old[0]):.1e})"
    if np.array_equal(np.sort(old), np.sort(new)):
        return "the same numbers in another order"
    factor = _factor(old, new)
    if factor:
        return f"{factor} times as large"
    if not new.any() or not old.any():
        return f"{_numbers(new)} instead of {_numbers(old)}"

    worst = int(np.argmax(_differences(old, new)))
    new_number, old_number = f"{new[worst]:.5g}", f"{old[worst]:.5g}"
    if not np.isfinite(share):
        return f"{new_number} instead of {old_number}"
    words = f"by {share:.2g} of the largest number"
    if new_number == old_number:
        return words
    return f"{words}, {new_number} instead of {old_number}"


def distribution_change(old: np.ndarray, new: np.ndarray) -> str:
    """How draws differ from earlier ones, as "the same distribution from other keys".

    Means and widths are the same up to four of their standard errors.
    """
    if not _are_comparable(old, new) or old.size < 2:
        return how_different(old, new)
    old_reals, new_reals = _reals(old).ravel(), _reals(new).ravel()
    if _factor(old_reals, new_reals):
        return how_different(old, new)
    old_width, new_width = float(np.std(old_reals)), float(np.std(new_reals))
    if not np.isfinite([old_width, new_width]).all() or not old_width:
        return how_different(old, new)

    size = old_reals.size
    moved = abs(float(np.mean(new_reals) - np.mean(old_reals)))
    if abs(new_width / old_width - 1) > 4 / np.sqrt(size):
        return f"other numbers, {new_width / old_width:.3g} times as wide"
    if moved > 4 * old_width * np.sqrt(2 / size):
        means = f"{np.mean(new_reals):.4g}, was {np.mean(old_reals):.4g}"
        return f"other numbers, with a mean of {means}"
    return "the same distribution from other keys"


def _are_comparable(old: np.ndarray, new: np.ndarray) -> bool:
    return (old.shape, old.dtype) == (new.shape, new.dtype) and is_floating(old)


def _factor(old: np.ndarray, new: np.ndarray) -> str:
    """The factor by which all numbers grew, with five digits; "" if there is none."""
    with np.errstate(all="ignore"):  # numbers may not be finite
        # the least-squares solution of `new = factor * old`
        factor = float(np.dot(old, new) / np.dot(old, old))
    text = f"{factor:.5g}"
    if not np.isfinite(factor) or text in ("0", "1"):
        return ""

    tolerance = 1e-6 * np.abs(new).max()
    is_scaled = np.allclose(new, factor * old, rtol=1e-5, atol=tolerance)
    return text if is_scaled else ""


def _numbers(array: np.ndarray, first: int = 0) -> str:
    """Three numbers of an array from a place on, as "..., 3, 4, 5, ..."."""
    numbers = [f"{number:.4g}" for number in np.ravel(array)[first : first + 3]]
    if first > 0:
        numbers.insert(0, "...")
    if np.size(array) > first + 3:
        numbers.append("...")
    return ", ".join(numbers)


def _reals(array: np.ndarray) -> np.ndarray:
    """The numbers in float64; of complex ones, the real and the imaginary parts."""
    if array.dtype.kind == "c":
        array = np.asarray([np.real(array), np.imag(array)])
    return array.astype("float64")


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude."""
    reals = _reals(array)
    return float(np.max(np.abs(reals), initial=0.0, where=np.isfinite(reals)))


def _differences(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Magnitudes of the differences; infinite where only one is finite.

    Two infinities of one sign are alike, and two NaNs.
    """
    are_both_nan = np.isnan(old) & np.isnan(new)
    are_alike = (old == new) | are_both_nan
    with np.errstate(all="ignore"):
        differences = np.abs(old - new)
    differences = np.where(are_alike, 0.0, differences)
    return np.where(np.isnan(differences), np.inf, differences)
