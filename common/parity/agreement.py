"""Which values of two programs are the same numbers, in whatever layout."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from .layouts import MOST_AXES

#: Numbers beyond it may be there to mask others.
LARGE = 1e6
#: The most numbers of an array that is taken apart into single entries.
MOST_ENTRIES = 1 << 14
#: Into so many parts of one size an array may be cut along an axis, besides its single entries.
PARTS = (2, 3, 4)


class Signed(NamedTuple):
    """An array as `seen` shows it, with its signature: to compute both takes longer than to compare them."""

    value: np.ndarray
    signature: np.ndarray


class Known:
    """The values of a program, so that others can be looked up among them.

    Values are the same up to a tolerance, relative to the largest magnitude.
    """

    def __init__(self, values: Sequence[Any], tolerance: float):
        self.tolerance = tolerance
        self.signed = [_signed(value) if comparable(value) else None for value in values]
        groups: dict[int, list[tuple[int, np.ndarray]]] = {}
        for number, some in enumerate(self.signed):
            if some is not None:
                groups.setdefault(some.value.size, []).append((number, some.signature))
        self._groups = {
            size: (np.array([n for n, _ in group]), np.array([signature for _, signature in group]))
            for size, group in groups.items()
        }
        self._slices: dict[int, Known] = {}

    def same(self, value: np.ndarray | Signed) -> Iterator[int]:
        """The numbers of the values that are this one or its negative, in some order of their axes, the first first."""
        some = value if isinstance(value, Signed) else _signed(value)
        return (n for n, other in self._near(some) if layout(some.value, other, self.tolerance))

    def shuffled(self, value: np.ndarray) -> Iterator[int]:
        """The numbers of the values that have the same entries, in whatever order."""
        some = _signed(value)
        for number, other in self._near(some):
            slack = self.tolerance * np.abs(other).max()
            if _close(np.sort(some.value, axis=None), np.sort(other, axis=None), slack):
                yield number

    def _near(self, some: Signed) -> Iterator[tuple[int, np.ndarray]]:
        """The values whose signature is that of an array, with their numbers."""
        if some.value.size in self._groups:
            numbers, signatures = self._groups[some.value.size]
            largest, sizes, *_ = some.signature
            near = np.abs(signatures - some.signature) <= 8 * self.tolerance * np.array([largest, sizes, sizes, sizes])
            for number in map(int, numbers[near.all(1)]):
                other = self.signed[number]
                assert other is not None
                yield number, other.value

    def partner(self, value: np.ndarray | Signed) -> int | None:
        """The number of the first value that is this one; None where there is none."""
        return next(self.same(value), None)

    def composed(self, value: Any) -> bool:
        """Whether each part of a value is known, cut along one of its axes, or it is a part of one that is."""
        for parts in cuts(seen(value)):
            some = [part for part in parts if telling(part)]
            if some and all(self.partner(part) is not None for part in some):
                return True
        size = seen(value).size
        return size <= MOST_ENTRIES and self._parts_of(size).partner(value) is not None

    def _parts_of(self, size: int) -> "Known":
        if size not in self._slices:
            larger = [some.value for some in self.signed if some is not None and some.value.size > size]
            wholes = [value for value in larger if value.size % size == 0]
            parts = [part for whole in wholes for some in cuts(whole) for part in some if part.size == size]
            self._slices[size] = Known([part for part in parts if telling(part)], self.tolerance)
        return self._slices[size]


def comparable(value: Any) -> bool:
    """Whether something is an array of numbers that tells values apart: not a flag, a counter, zeros or a constant."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fc" and telling(value)


def telling(value: np.ndarray) -> bool:
    """Whether an array has numbers that differ, none of them NaN."""
    if value.size < 2 or np.isnan(value).any():
        return False
    value = seen(value)
    return bool((value != value.flat[0]).any())


def seen(value: np.ndarray) -> np.ndarray:
    """An array of real numbers, with 0 for those that only mask others.

    A complex array has one more axis, of its real and its imaginary part. Numbers that are a million times those that
    are usual in it, as minus infinity under a softmax, are 0: it counts alone where they stand.
    """
    if value.dtype.kind == "c":
        value = np.stack([np.real(value), np.imag(value)], axis=-1)
    if max(value.max(initial=0), -value.min(initial=0)) <= LARGE:
        return value
    value = np.where(np.isinf(value), np.sign(value) * 1e300, value)
    sizes = np.abs(value)
    usual = np.median(sizes[sizes > 0])
    least = LARGE * max(min(usual, 1.0), 1e-300)
    return np.where(sizes > least, 0.0, value) if (sizes <= least).any() else value / sizes.max()


def layout(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size are the same or each other's negative, with axes exchanged, and reshaped."""
    slack = tolerance * max(np.abs(b).max(initial=0), 1e-300)
    for other in (b, -b):
        if _close(a.reshape(-1), other.reshape(-1), slack):
            return True
        if _transposed(a, other.reshape(-1), slack) or _transposed(other, a.reshape(-1), slack):
            return True
    return False


def cuts(value: np.ndarray) -> Iterator[list[np.ndarray]]:
    """An array taken apart along each of its axes, into single entries and into a few parts of one size."""
    value = value.reshape([n for n in value.shape if n > 1])
    for axis, length in enumerate(value.shape if value.ndim > 1 and value.size <= MOST_ENTRIES else ()):
        if length <= 64:
            yield list(np.moveaxis(value, axis, 0))
    for axis, length in enumerate(value.shape):
        for parts in PARTS:
            if length % parts == 0 and length > parts:
                yield np.split(value, parts, axis)


def _transposed(a: np.ndarray, flat: np.ndarray, slack: float) -> bool:
    a = a.reshape([n for n in a.shape if n > 1])
    if not 1 < a.ndim <= MOST_AXES:
        return False
    probes = np.linspace(0, a.size - 1, min(a.size, 16)).astype(int)
    for order in list(permutations(range(a.ndim)))[1:]:
        moved = a.transpose(order)
        places = np.unravel_index(probes, moved.shape)
        if _close(moved[places], flat[probes], slack) and _close(moved.reshape(-1), flat, slack):
            return True
    return False


def _signed(value: np.ndarray) -> Signed:
    shown = seen(value)
    return Signed(shown, _signature(shown))


def _close(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    return bool((np.abs(a - b) <= slack).all())


def _signature(value: np.ndarray) -> np.ndarray:
    """Numbers that no layout changes: the largest magnitude, and relative to it sums of magnitudes and of squares."""
    largest = np.abs(value).max()
    flat = np.ascontiguousarray(value).reshape(-1) / largest
    sizes = np.abs(flat)
    return np.array([largest, sizes.sum(), flat @ flat, abs(flat @ sizes)])
