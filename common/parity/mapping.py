"""The user's own word on which parameter is which."""

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..errors import InputError, brief, listed
from .layouts import Layout, Leaf, Transform


def find(path: str, leaves: Sequence[Leaf], whose: str) -> int:
    """The number of the leaf that a path of a mapping names: by its end, if that is enough."""
    wanted = re.sub(r"[.\[\]']+", "/", path).strip("/")
    paths = [leaf.path for leaf in leaves]
    if wanted in paths:
        return paths.index(wanted)
    ends = [n for n, p in enumerate(paths) if f"/{p}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{p}")]
    if len(ends) != 1:
        known = ", ".join(paths[:20])
        raise InputError(f"the mapping names {path!r}, which is no parameter of the {whose}. It has: {known}.")
    return ends[0]


def transform_of(target: Any, reference: Sequence[Leaf], leaf: Leaf) -> Transform | Layout:
    """What a mapping says that a leaf of the candidate is.

    Args:
        target: a path of the reference, or several, alone or with a function of these leaves.
        reference: all leaves of the reference.
        leaf: of the candidate.

    Raises:
        InputError: the mapping names a leaf that there is not, or gives one of another shape.
    """
    is_pair = isinstance(target, tuple) and len(target) == 2 and callable(target[1])
    paths, function = target if is_pair else (target, None)
    paths = [paths] if isinstance(paths, str) else paths
    this = f"the mapping of {leaf.path!r}"
    if not isinstance(paths, tuple | list) or not all(isinstance(path, str) for path in paths):
        raise InputError(f"{this} is {brief(repr(target))}, expected a path, or (path, function).")
    if len(paths) != 1 and function is None:
        raise InputError(f"{this} has {len(paths)} paths: give a function of these leaves, too.")
    sources = tuple(find(path, reference, "reference") for path in paths)
    shapes = [reference[r].shape for r in sources]

    def result(flat: np.ndarray) -> np.ndarray:
        """The candidate's leaf, of the numbers of all sources."""
        ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
        given = [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]
        try:
            return np.asarray(given[0] if function is None else function(*given), np.float64)
        except Exception as error:
            raise InputError(f"{this} fails: {type(error).__name__}: {brief(error)}") from error

    size = sum(map(prod, shapes))
    counted = result(np.arange(1.0, size + 1))
    if counted.shape != leaf.shape:
        raise InputError(
            f"the mapping gives {leaf.path!r} an array of shape {counted.shape}, expected {leaf.shape}, of "
            f"{listed(map(str, shapes))}."
        )
    index = np.rint(counted).astype(int) - 1
    if index.size == len(np.unique(index)) and index.min(initial=0) >= 0 and index.max(initial=0) < size:
        values = np.random.default_rng(3).uniform(0.5, 1.5, size)
        if np.allclose(result(values), values[index], rtol=1e-6, atol=0):  # values are kept, and not only their order
            return Layout(sources, index, "by the mapping")
    assert function is not None
    return Transform(sources, function)
