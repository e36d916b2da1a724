"""How the parameters of one model hold those of another: transposed, reshaped, joined, split, or as the user says."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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


@dataclass(frozen=True)
class Transform:
    """A user's function of leaves of the reference that gives a leaf of the candidate."""

    sources: tuple[int, ...]
    function: Callable[..., Any]
    how: str = "by the mapping"
    is_plain: bool = True  # whether it needs no condition: no factor
    code: str = ""  # of leaves `a`, `b`, ..., where it is not plain

    def convert(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        """The candidate's leaf, of the reference's with an axis of sets in front."""
        sets = zip(*together([leaves[n] for n in self.sources]), strict=True)
        return np.stack([np.asarray(self.function(*arrays)) for arrays in sets])


@dataclass(frozen=True)
class LeafLayout:
    """Where the numbers of a candidate's leaf stand in the reference's."""

    sources: tuple[
        int, ...
    ]  # the numbers of the reference's leaves, in the order in which they are joined
    index: (
        np.ndarray
    )  # for each number its place in these leaves, flattened and one behind the other
    how: str  # it in words
    #: Whether axes, shapes, and joined and split leaves explain it; else entries stand in another order.
    is_plain: bool = True
    code: str = ""  # of leaves `a`, `b`, ..., where it is not plain and not too long

    def numbers_of(
        self, starts: Mapping[int, int], sizes: Mapping[int, int]
    ) -> np.ndarray:
        """Where its numbers stand, if each leaf of the reference begins at a number and has a size."""
        parts = [starts[n] + np.arange(sizes[n]) for n in self.sources]
        return np.concatenate(parts)[self.index]

    def convert(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        """The candidate's leaf, of the reference's with an axis of sets in front."""
        flat = [leaves[n].reshape(len(leaves[n]), -1) for n in self.sources]
        return np.take(
            flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1),
            self.index,
            axis=1,
        )

    def give_back(self, leaf: np.ndarray, totals: Sequence[np.ndarray]) -> None:
        """Add a candidate's leaf, as a gradient, to arrays of the shapes of the reference's."""
        sizes = [totals[n][0].size for n in self.sources]
        flat = np.zeros((len(leaf), sum(sizes)), leaf.dtype)
        flat[:, self.index] = leaf
        for n, part in zip(
            self.sources, np.split(flat, np.cumsum(sizes)[:-1], 1), strict=True
        ):
            np.add(totals[n], part.reshape(totals[n].shape), out=totals[n])

    @cached_property
    def numbers(self) -> frozenset[tuple[int, int]]:
        """Which numbers it holds: the first of its first source, and whole other sources."""
        return frozenset(
            {
                (self.sources[0], int(self.index.min())),
                *((n, -1) for n in self.sources[1:]),
            }
        )

    @cached_property
    def key(self) -> tuple[tuple[int, ...], bytes]:
        """The same for layouts that give the same leaf."""
        return self.sources, self.index.tobytes()


def whole(number: int, of: Shape, to: Shape) -> list[LeafLayout]:
    """The layouts of a leaf of the reference, by its number and shape, as another of its size, the simplest first."""
    return [
        LeafLayout((number,), index, how)
        for (how, _), index in _indices(of, to).items()
    ]


def joined(
    numbers: Sequence[int], shapes: Sequence[Shape], to: Shape
) -> list[LeafLayout]:
    """The layouts of several leaves, each as long as it has to be, joined along an axis in this order."""
    result, starts = [], np.cumsum([0, *map(prod, shapes)])
    for axis, length in enumerate(to):
        parts = [
            (*to[:axis], prod(shape) * length // prod(to), *to[axis + 1 :])
            for shape in shapes
        ]
        if sum(part[axis] for part in parts) != length or list(
            map(prod, parts)
        ) != list(map(prod, shapes)):
            continue
        ways = [_indices(*pair) for pair in zip(shapes, parts, strict=True)]
        for key in (key for key in ways[0] if all(key in some for some in ways)):
            index = np.concatenate(
                [some[key] + start for some, start in zip(ways, starts, strict=False)],
                axis,
            )
            words = "" if key[0] == "as it is" else f"{key[0]} and "
            result.append(
                LeafLayout(tuple(numbers), index, f"{words}joined along axis {axis}")
            )
    return _first_of_each(result, lambda layout: layout.key)


def piece(
    number: int, of: Shape, to: Shape, which: int, pieces: int
) -> list[LeafLayout]:
    """The layouts of one of several pieces of a leaf, cut along an axis, as another leaf."""
    result = []
    for axis, length in enumerate(to):
        for (how, _), index in _indices(
            of, (*to[:axis], length * pieces, *to[axis + 1 :])
        ).items():
            words = f"piece {which + 1} of {pieces} along axis {axis}"
            part = np.split(index, pieces, axis)[which]
            result.append(
                LeafLayout(
                    (number,), part, words if how == "as it is" else f"{how}, {words}"
                )
            )
    return _first_of_each(result, lambda layout: layout.key)


@lru_cache(maxsize=512)
def _indices(of: Shape, to: Shape) -> dict[tuple[str, int], np.ndarray]:
    """The places of an array's numbers in one of another shape, by how they are moved, and a number for equal words."""
    places, ways = np.arange(prod(of)).reshape(of), []
    a, b = [n for n in of if n > 1], [n for n in to if n > 1]
    few = max(len(a), len(b)) <= MOST_AXES
    for order in permutations(range(len(a))) if few else [tuple(range(len(a)))]:
        moved = places.reshape(a).transpose(order)
        if _refines(moved.shape, b) or _refines(b, moved.shape):
            if order == tuple(range(len(a))):
                ways.append((moved.reshape(to), "as it is" if of == to else "reshaped"))
            else:
                ways.append(
                    (
                        moved.reshape(to),
                        "transposed" + " and reshaped" * (list(moved.shape) != b),
                    )
                )
    for order in permutations(range(len(b))) if few and len(a) != len(b) else ():
        before = [
            b[n] for n in order
        ]  # the axes of the result, in the order of what is reshaped
        if _refines(before, a):
            ways.append(
                (
                    places.reshape(before).transpose(np.argsort(order)).reshape(to),
                    "reshaped and transposed",
                )
            )
    corner = tuple(
        slice(None, None, max(length // 4, 1)) for length in to
    )  # enough to tell layouts apart
    result: dict[tuple[str, int], np.ndarray] = {}
    of_words = Counter[str]()
    for index, how in _first_of_each(ways, lambda way: way[0][corner].tobytes()):
        result[how, of_words[how]] = index
        of_words[how] += 1
    return result


def _refines(fine: Sequence[int], coarse: Sequence[int]) -> bool:
    """Whether axes next to each other make up those of the other shape."""
    return prod(fine) == prod(coarse) and set(accumulate(coarse, mul)) <= set(
        accumulate(fine, mul)
    )


def _first_of_each(things: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    kept: dict[Any, Any] = {}
    for thing in things:
        kept.setdefault(key(thing), thing)
    return list(kept.values())


def find(path: str, leaves: Sequence[Leaf], whose: str) -> int:
    """The number of the leaf that a path of a mapping names: by its end, if that is enough."""
    wanted = re.sub(r"[.\[\]']+", "/", path).strip("/")
    paths = [leaf.path for leaf in leaves]
    if wanted in paths:
        return paths.index(wanted)
    ends = [
        n
        for n, p in enumerate(paths)
        if f"/{p}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{p}")
    ]
    if len(ends) != 1:
        known = ", ".join(paths[:20])
        raise InputError(
            f"the mapping names {path!r}, which is no parameter of the {whose}. It has: {known}."
        )
    return ends[0]


def mapped(
    target: Any, reference: Sequence[Leaf], leaf: Leaf
) -> Transform | LeafLayout:
    """What a mapping says that a leaf of the candidate is. Raises an InputError if it makes no sense."""
    is_pair = isinstance(target, tuple) and len(target) == 2 and callable(target[1])
    paths, function = target if is_pair else (target, None)
    paths = [paths] if isinstance(paths, str) else paths
    this = f"the mapping of {leaf.path!r}"
    if not isinstance(paths, tuple | list) or not all(
        isinstance(path, str) for path in paths
    ):
        raise InputError(
            f"{this} is {brief(repr(target))}, expected a path, or (path, function)."
        )
    if len(paths) != 1 and function is None:
        raise InputError(
            f"{this} has {len(paths)} paths: give a function of these leaves, too."
        )
    sources = tuple(find(path, reference, "reference") for path in paths)
    shapes = [reference[r].shape for r in sources]

    def result(flat: np.ndarray) -> np.ndarray:
        ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
        given = [
            part.reshape(shape)
            for part, shape in zip(np.split(flat, ends), shapes, strict=True)
        ]
        try:
            return np.asarray(
                given[0] if function is None else function(*given), np.float64
            )
        except Exception as error:
            raise InputError(
                f"{this} fails: {type(error).__name__}: {brief(error)}"
            ) from error

    size = sum(map(prod, shapes))
    counted = result(np.arange(1.0, size + 1))
    if counted.shape != leaf.shape:
        raise InputError(
            f"the mapping gives {leaf.path!r} an array of shape {counted.shape}, expected {leaf.shape}, of "
            f"{listed(map(str, shapes))}."
        )
    index = np.rint(counted).astype(int) - 1
    if (
        index.size == len(np.unique(index))
        and index.min(initial=0) >= 0
        and index.max(initial=0) < size
    ):
        values = np.random.default_rng(3).uniform(0.5, 1.5, size)
        if np.allclose(
            result(values), values[index], rtol=1e-6, atol=0
        ):  # values are kept, and not only their order
            return LeafLayout(sources, index, "by the mapping")
    assert function is not None
    return Transform(sources, function)
