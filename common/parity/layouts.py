"""How the parameters of one model hold those of another: transposed, reshaped, joined,
split, or as the user says.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, permutations
from math import prod
from operator import mul
from typing import Any

import numpy as np

from ..errors import InputError, brief, listed
from ..program.model import Leaf
from ..program.same_values import MOST_AXES
from ..program.sets import together

Shape = tuple[int, ...]
AS_IT_IS = "as it is"
BY_MAPPING = "by the mapping"
CORNER = 4  # so many places along each axis tell layouts apart


@dataclass(frozen=True)
class Transform:
    """A function of leaves of the reference that gives a leaf of the candidate.

    Args:
        sources: the numbers of the reference's leaves.
        function: of these leaves.
        how: it in words.
        is_plain: whether it needs no condition, as a factor would.
        code: it as an expression of leaves `a`, `b`, ..., where it is not plain.
    """

    sources: tuple[int, ...]
    function: Callable[..., Any]
    how: str = BY_MAPPING
    is_plain: bool = True
    code: str = ""

    def convert(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        """The candidate's leaf, of the reference's with an axis of sets in front."""
        sets = zip(*together([leaves[n] for n in self.sources]), strict=True)
        return np.stack([np.asarray(self.function(*arrays)) for arrays in sets])


@dataclass(frozen=True)
class LeafLayout:
    """Where the numbers of a candidate's leaf stand in the reference's.

    Args:
        sources: the numbers of the reference's leaves, in the order in which they are
            joined.
        index: for each number its place in these leaves, flattened and one behind the
            other.
        how: it in words.
        is_plain: whether axes, shapes, and joined and split leaves explain it; else
            entries stand in another order.
        code: it as an expression of leaves `a`, `b`, ..., where it is not plain and not
            too long.
    """

    sources: tuple[int, ...]
    index: np.ndarray
    how: str
    is_plain: bool = True
    code: str = ""

    def numbers_of(
        self, starts: Mapping[int, int], sizes: Mapping[int, int]
    ) -> np.ndarray:
        """Where its numbers stand, if each leaf of the reference begins at a number and
        has a size.
        """
        parts = [starts[n] + np.arange(sizes[n]) for n in self.sources]
        return np.concatenate(parts)[self.index]

    def convert(
        self, leaves: Sequence[np.ndarray] | Mapping[int, np.ndarray]
    ) -> np.ndarray:
        """The candidate's leaf, of the reference's with an axis of sets in front."""
        flat = [leaves[n].reshape(len(leaves[n]), -1) for n in self.sources]
        return np.take(np.concatenate(flat, axis=1), self.index, axis=1)

    def give_back(self, leaf: np.ndarray, totals: Sequence[np.ndarray]) -> None:
        """Add a candidate's leaf, as a gradient, to arrays of the shapes of the
        reference's.
        """
        sizes = [totals[n][0].size for n in self.sources]
        flat = np.zeros((len(leaf), sum(sizes)), leaf.dtype)
        flat[:, self.index] = leaf
        ends = np.cumsum(sizes)[:-1]
        parts = np.split(flat, ends, axis=1)
        for n, part in zip(self.sources, parts, strict=True):
            total = totals[n]
            total += part.reshape(total.shape)

    @cached_property
    def key(self) -> tuple[tuple[int, ...], bytes]:
        """The same for layouts that give the same leaf."""
        return self.sources, self.index.tobytes()


def whole(number: int, of: Shape, to: Shape) -> list[LeafLayout]:
    """The layouts of a leaf of the reference, by its number and shape, as another of
    its size, the simplest first.
    """
    layouts = []
    for (how, _), index in _indices(of, to).items():
        layouts.append(LeafLayout((number,), index, how))
    return layouts


def joined(
    numbers: Sequence[int], shapes: Sequence[Shape], to: Shape
) -> list[LeafLayout]:
    """The layouts of several leaves, each as long as it has to be, joined along an axis
    in this order.
    """
    sizes = [prod(shape) for shape in shapes]
    offsets = list(accumulate(sizes, initial=0))
    if offsets.pop() != prod(to):
        return []
    layouts = {}
    for axis, length in enumerate(to):
        parts = []
        for size in sizes:
            parts.append((*to[:axis], size * length // prod(to), *to[axis + 1 :]))
        if [prod(part) for part in parts] != sizes:
            continue
        every = [_indices(*pair) for pair in zip(shapes, parts, strict=True)]
        for key in every[0]:
            if not all(key in indices for indices in every):
                continue
            moved = [indices[key] for indices in every]
            moved = [index + n for index, n in zip(moved, offsets, strict=True)]
            words = f"joined along axis {axis}"
            if key[0] != AS_IT_IS:
                words = f"{key[0]} and {words}"
            index = np.concatenate(moved, axis)
            layout = LeafLayout(tuple(numbers), index, words)
            layouts.setdefault(layout.key, layout)
    return list(layouts.values())


def piece(
    number: int, of: Shape, to: Shape, which: int, pieces: int
) -> list[LeafLayout]:
    """The layouts of one of several pieces of a leaf, cut along an axis, as another
    leaf.
    """
    layouts = {}
    for axis, length in enumerate(to):
        together = (*to[:axis], length * pieces, *to[axis + 1 :])
        for (how, _), index in _indices(of, together).items():
            words = f"piece {which + 1} of {pieces} along axis {axis}"
            if how != AS_IT_IS:
                words = f"{how}, {words}"
            part = np.split(index, pieces, axis)[which]
            layout = LeafLayout((number,), part, words)
            layouts.setdefault(layout.key, layout)
    return list(layouts.values())


@lru_cache(maxsize=512)
def _indices(of: Shape, to: Shape) -> dict[tuple[str, int], np.ndarray]:
    """The places of an array's numbers in one of another shape, by how they are moved,
    and a number for equal words.
    """
    corner = tuple(slice(None, None, max(length // CORNER, 1)) for length in to)
    indices: dict[tuple[str, int], np.ndarray] = {}
    known: set[bytes] = set()
    counts: dict[str, int] = {}
    for how, index in _movements(of, to):
        in_corner = index[corner].tobytes()  # enough to tell layouts apart
        if in_corner not in known:
            known.add(in_corner)
            counts[how] = counts.get(how, 0) + 1
            indices[how, counts[how]] = index
    return indices


def _movements(of: Shape, to: Shape) -> Iterator[tuple[str, np.ndarray]]:
    """Ways in which an array's numbers may be moved into another shape, in words and as
    their places.
    """
    places = np.arange(prod(of)).reshape(of)
    before = [n for n in of if n > 1]
    after = [n for n in to if n > 1]
    can_move = max(len(before), len(after)) <= MOST_AXES
    in_order = tuple(range(len(before)))
    for order in permutations(in_order) if can_move else [in_order]:
        moved = places.reshape(before).transpose(order)
        if not _refines(moved.shape, after) and not _refines(after, moved.shape):
            continue
        if order == in_order:
            how = AS_IT_IS if of == to else "reshaped"
        else:
            how = "transposed"
            if list(moved.shape) != after:
                how = "transposed and reshaped"
        yield how, moved.reshape(to)
    if not can_move or len(before) == len(after):
        return
    for order in permutations(range(len(after))):
        axes = [after[n] for n in order]  # of the result, in the order before
        if _refines(axes, before):
            moved = places.reshape(axes).transpose(np.argsort(order))
            yield "reshaped and transposed", moved.reshape(to)


def _refines(fine: Sequence[int], coarse: Sequence[int]) -> bool:
    """Whether axes next to each other make up those of the other shape."""
    ends = set(accumulate(fine, mul))
    return prod(fine) == prod(coarse) and ends.issuperset(accumulate(coarse, mul))


def find(path: str, leaves: Sequence[Leaf], whose: str) -> int:
    """The number of the leaf that a path of a mapping names: by its end, if that is
    enough.
    """
    wanted = re.sub(r"[.\[\]']+", "/", path).strip("/")
    ends = []
    for number, leaf in enumerate(leaves):
        if leaf.path == wanted:
            return number
        longer, shorter = f"/{leaf.path}", f"/{wanted}"
        if longer.endswith(shorter) or shorter.endswith(longer):
            ends.append(number)
    if len(ends) != 1:
        paths = ", ".join(leaf.path for leaf in leaves[:20])
        raise InputError(
            f"the mapping names {path!r}, which is no parameter of the {whose}. It "
            f"has: {paths}."
        )
    return ends[0]


def mapped(
    target: Any, reference: Sequence[Leaf], leaf: Leaf
) -> Transform | LeafLayout:
    """What a mapping says that a leaf of the candidate is.

    Raises an InputError if it makes no sense.
    """
    this = f"the mapping of {leaf.path!r}"
    paths, function = _paths_and_function(target, this)
    sources = tuple(find(path, reference, "reference") for path in paths)
    shapes = [reference[n].shape for n in sources]
    sizes = [prod(shape) for shape in shapes]
    ends = np.cumsum(sizes)[:-1]

    def result(flat: np.ndarray) -> np.ndarray:
        parts = zip(np.split(flat, ends), shapes, strict=True)
        arrays = [part.reshape(shape) for part, shape in parts]
        if function is None:
            return arrays[0]
        try:
            return np.asarray(function(*arrays), np.float64)
        except Exception as error:
            raise InputError(
                f"{this} fails: {type(error).__name__}: {brief(error)}"
            ) from error

    # What a function does to 1, 2, 3, ... tells where each number goes, if it keeps
    # them.
    size = sum(sizes)
    counted = result(np.arange(1.0, size + 1))
    if counted.shape != leaf.shape:
        raise InputError(
            f"the mapping gives {leaf.path!r} an array of shape {counted.shape}, "
            f"expected {leaf.shape}, of {listed(map(str, shapes))}."
        )
    index = np.rint(counted).astype(int) - 1
    is_inside = index.min(initial=0) >= 0 and index.max(initial=0) < size
    if is_inside and index.size == len(np.unique(index)):
        values = np.random.default_rng(3).uniform(0.5, 1.5, size)
        if np.allclose(result(values), values[index], rtol=1e-6, atol=0):
            return LeafLayout(sources, index, BY_MAPPING)
    assert function is not None
    return Transform(sources, function)


def _paths_and_function(
    target: Any, this: str
) -> tuple[Sequence[str], Callable[..., Any] | None]:
    """The two parts of what a mapping says of a leaf.

    Raises an InputError if it is neither path nor pair.
    """
    paths, function = target, None
    if isinstance(target, tuple) and len(target) == 2 and callable(target[1]):
        paths, function = target
    if isinstance(paths, str):
        paths = [paths]
    is_list = isinstance(paths, tuple | list)
    if not is_list or not all(isinstance(path, str) for path in paths):
        raise InputError(
            f"{this} is {brief(repr(target))}, expected a path, or (path, function)."
        )
    if len(paths) != 1 and function is None:
        raise InputError(
            f"{this} has {len(paths)} paths: give a function of these leaves, too."
        )
    return paths, function
