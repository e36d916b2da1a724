"""Which values of two programs are the same numbers, in whatever layout."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from .layouts import MOST_AXES

LARGE = 1e6  # numbers beyond it may be there to mask others
MOST_ENTRIES = 1 << 14  # the most numbers of an array that is taken apart into single entries
PARTS = (2, 3, 4)  # into so many parts of one size an array may be cut along an axis, besides its single entries


class Signed(NamedTuple):
    """An array as `seen` shows it, with its signature: to compute both takes longer than to compare them."""

    value: np.ndarray
    signature: np.ndarray


class Known:
    """The values of a program, to look others up: they are the same up to a tolerance, relative to the largest."""

    def __init__(self, values: Sequence[Any], tolerance: float):
        self.tolerance = tolerance
        self.signed = [_signed(value) if comparable(value) else None for value in values]
        groups: dict[int, list[tuple[int, np.ndarray]]] = {}
        for number, some in enumerate(self.signed):
            if some is not None:
                groups.setdefault(some.value.size, []).append((number, some.signature))
        self._groups = {size: tuple(map(np.array, zip(*group, strict=True))) for size, group in groups.items()}
        self._slices: dict[int, Known] = {}

    def same(self, value: np.ndarray | Signed, alike: Any = None) -> Iterator[int]:
        """The numbers of the values that are `alike`, as `layout` says by default, the first first."""
        some = value if isinstance(value, Signed) else _signed(value)
        if some.value.size in self._groups:
            numbers, signatures = self._groups[some.value.size]
            largest, sizes, *_ = some.signature
            near = np.abs(signatures - some.signature) <= 8 * self.tolerance * np.array([largest, sizes, sizes, sizes])
            for number in map(int, numbers[near.all(1)]):
                other = self.signed[number]
                if other is not None and (alike or layout)(some.value, other.value, self.tolerance):
                    yield number

    def has(self, value: np.ndarray | Signed) -> bool:
        return next(self.same(value), None) is not None

    def composed(self, value: Any) -> bool:
        """Whether each part of a value is known, cut along one of its axes, or it is a part of one that is."""
        value = seen(value)
        for parts in cuts(value):
            some = [part for part in parts if comparable(part)]
            if some and all(map(self.has, some)):
                return True
        return value.size <= MOST_ENTRIES and self._parts_of(value.size).has(value)

    def _parts_of(self, size: int) -> "Known":
        if size not in self._slices:
            values = (some.value for some in self.signed if some is not None)
            wholes = (value for value in values if value.size > size and value.size % size == 0)
            parts = [part for whole in wholes for some in cuts(whole) for part in some if part.size == size]
            self._slices[size] = Known([part for part in parts if comparable(part)], self.tolerance)
        return self._slices[size]


def comparable(value: Any) -> bool:
    """Whether something is an array of numbers that tells values apart: no flag, counter or constant, and no NaN."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fc" or value.size < 2 or np.isnan(value).any():
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
    return any(_moved(*pair, slack) for other in (b, -b) for pair in ((a, other), (other, a)))


def shuffled(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size have the same entries, in whatever order."""
    return _close(np.sort(a, axis=None), np.sort(b, axis=None), tolerance * np.abs(b).max())


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


def _moved(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    a, flat = a.reshape([n for n in a.shape if n > 1]), b.reshape(-1)
    probes = np.linspace(0, a.size - 1, min(a.size, 16)).astype(int)
    for order in permutations(range(a.ndim)) if a.ndim <= MOST_AXES else [range(a.ndim)]:
        moved = a.transpose(order)
        places = np.unravel_index(probes, moved.shape)
        if _close(moved[places], flat[probes], slack) and _close(moved.reshape(-1), flat, slack):
            return True
    return False


def _close(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    return bool((np.abs(a - b) <= slack).all())


def _signed(value: np.ndarray) -> Signed:
    """An array as `seen` shows it, with its signature, which no layout changes.

    That is the largest magnitude, and relative to it the sums of magnitudes, of squares, and of squares with signs.
    """
    value = seen(value)
    largest = np.abs(value).max()
    flat = np.ascontiguousarray(value).reshape(-1) / largest
    sizes = np.abs(flat)
    return Signed(value, np.array([largest, sizes.sum(), flat @ flat, abs(flat @ sizes)]))
