"""Looks values up among those of a program, in whatever layout they have there."""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

#: The most axes that are exchanged to find a layout.
MOST_AXES = 5
#: Numbers beyond it may be there to mask others.
MASKING = 1e6
#: The most numbers of an array that is taken apart into single entries.
MOST_ENTRIES = 1 << 14
#: The longest axis along which it is.
MOST_ALONG_AXIS = 64
#: Into so many parts of one size an array may be cut along an axis, besides its single
#: entries.
PARTS = (2, 3, 4)
#: The fewest numbers of two arrays that are compared before all of them are.
PROBES = 16
#: By how many tolerances the signatures of two arrays may differ that are the same.
SIGNATURE_SLACK = 8


class Signed(NamedTuple):
    """An array as `seen` shows it, with its signature.

    Both are kept, as to compute them takes longer than to compare them.
    """

    value: np.ndarray
    signature: np.ndarray


class Known:
    """The values of a program, in which other values are looked up.

    Values are the same up to a tolerance, relative to the largest number.
    """

    def __init__(self, values: Sequence[Any], tolerance: float):
        self.tolerance = tolerance
        #: By the number of a value; None where it tells nothing.
        self.signed: list[Signed | None] = []
        for value in values:
            self.signed.append(_signed(value) if comparable(value) else None)

        numbers: dict[int, list[int]] = {}
        signatures: dict[int, list[np.ndarray]] = {}
        for number, signed in enumerate(self.signed):
            if signed is not None:
                size = signed.value.size
                numbers.setdefault(size, []).append(number)
                signatures.setdefault(size, []).append(signed.signature)
        #: The numbers of values, by their size, and the signatures of the same values.
        self._numbers = {size: np.array(group) for size, group in numbers.items()}
        self._signatures = {size: np.array(rows) for size, rows in signatures.items()}
        #: The parts of a size into which the values may be cut.
        self._parts: dict[int, Known] = {}

    def same(
        self,
        value: np.ndarray | Signed,
        alike: Callable[[np.ndarray, np.ndarray, float], bool] | None = None,
    ) -> Iterator[int]:
        """The numbers of the values that are `alike`, in their order.

        By default, `layout` says whether two are.
        """
        if alike is None:
            alike = layout
        signed = value if isinstance(value, Signed) else _signed(value)
        size = signed.value.size
        if size not in self._numbers:
            return

        largest, sizes, *_ = signed.signature
        scales = np.array([largest, sizes, sizes, sizes])
        distances = np.abs(self._signatures[size] - signed.signature)
        is_near = (distances <= SIGNATURE_SLACK * self.tolerance * scales).all(1)
        for number in self._numbers[size][is_near].tolist():
            other = self.signed[number]
            if other and alike(signed.value, other.value, self.tolerance):
                yield number

    def has(self, value: np.ndarray | Signed) -> bool:
        return next(self.same(value), None) is not None

    def composed(self, value: Any) -> bool:
        """Whether a value is made of known ones.

        Each of its parts is known, cut along one of its axes, or it is itself a part of
        a known value.
        """
        value = seen(value)
        for parts in cuts(value):
            telling = [part for part in parts if comparable(part)]
            if telling and all(map(self.has, telling)):
                return True
        if value.size > MOST_ENTRIES:
            return False
        return self._parts_of(value.size).has(value)

    def _parts_of(self, size: int) -> "Known":
        """The parts of this size into which the values may be cut."""
        if size not in self._parts:
            parts = []
            for signed in self.signed:
                if signed is None or not _may_have_parts(signed.value, size):
                    continue
                for cut in cuts(signed.value):
                    parts += [part for part in cut if part.size == size]
            self._parts[size] = Known(parts, self.tolerance)
        return self._parts[size]


def _may_have_parts(whole: np.ndarray, size: int) -> bool:
    return whole.size > size and whole.size % size == 0


def comparable(value: Any) -> bool:
    """Whether something is an array of numbers that tells values apart.

    Flags, counters and constants do not, nor does an array with a NaN.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fc":
        return False
    if value.size < 2 or np.isnan(value).any():
        return False
    value = seen(value)
    return bool((value != value.flat[0]).any())


def seen(value: np.ndarray) -> np.ndarray:
    """An array of real numbers, with 0 for those that only mask others.

    A complex array has one more axis, of its real and its imaginary part. Numbers that
    are a million times those that are usual in it, as minus infinity under a softmax,
    are 0: it counts alone where they stand.
    """
    if value.dtype.kind == "c":
        value = np.stack([np.real(value), np.imag(value)], axis=-1)
    if max(value.max(initial=0), -value.min(initial=0)) <= MASKING:
        return value

    value = np.where(np.isinf(value), np.sign(value) * 1e300, value)
    sizes = np.abs(value)
    usual = np.median(sizes[sizes > 0])
    largest_usual = MASKING * max(min(usual, 1.0), 1e-300)
    is_usual = sizes <= largest_usual
    if not is_usual.any():
        return value / sizes.max()
    return np.where(is_usual, value, 0.0)


def layout(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size have the same numbers in another layout.

    One of them may be the other's negative, have its axes exchanged, or be reshaped.
    """
    slack = tolerance * max(np.abs(b).max(initial=0), 1e-300)
    return any(_moved(a, c, slack) or _moved(c, a, slack) for c in (b, -b))


def cuts(value: np.ndarray) -> Iterator[list[np.ndarray]]:
    """An array taken apart along each of its axes.

    The parts are single entries, or a few parts of one size.
    """
    value = _squeezed(value)
    if value.ndim > 1 and value.size <= MOST_ENTRIES:
        for axis, length in enumerate(value.shape):
            if length <= MOST_ALONG_AXIS:
                yield list(np.moveaxis(value, axis, 0))
    for axis, length in enumerate(value.shape):
        for parts in PARTS:
            if length % parts == 0 and length > parts:
                yield np.split(value, parts, axis)


def _squeezed(value: np.ndarray) -> np.ndarray:
    return value.reshape([length for length in value.shape if length > 1])


def _moved(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    """Whether an array is another one with its axes in some order, reshaped."""
    a = _squeezed(a)
    flat = b.reshape(-1)
    probes = np.linspace(0, a.size - 1, min(a.size, PROBES)).astype(int)
    in_order = tuple(range(a.ndim))
    orders = permutations(in_order) if a.ndim <= MOST_AXES else [in_order]
    for order in orders:
        moved = a.transpose(order)
        places = np.unravel_index(probes, moved.shape)
        if not _close(moved[places], flat[probes], slack):
            continue
        if _close(moved.reshape(-1), flat, slack):
            return True
    return False


def _close(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    return bool((np.abs(a - b) <= slack).all())


def _signed(value: np.ndarray) -> Signed:
    """An array as `seen` shows it, with its signature, which no layout changes.

    That is the largest magnitude, and relative to it the sums of magnitudes, of
    squares, and of squares with signs.
    """
    value = seen(value)
    largest = np.abs(value).max()
    flat = np.ascontiguousarray(value).reshape(-1) / largest
    sizes = np.abs(flat)
    signature = [largest, sizes.sum(), flat @ flat, abs(flat @ sizes)]
    return Signed(value, np.array(signature))
