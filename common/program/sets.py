"""Arrays with an axis in front for several sets of values, evaluated at once.

The axis has length 1 where all sets have the same array. Random keys, of which NumPy
has no arrays, are kept in an array of objects with one array of keys for each set.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray


def one_set(array: Any) -> Array:
    """An array, with an axis of sets in front that has length 1."""
    if isinstance(array, jax.Array) and is_key(array):
        return keys_of([array])
    return np.asarray(array)[None]


def together(arrays: Sequence[Array]) -> Sequence[Array]:
    """The arrays, each with as many sets of values as the one that has most."""
    most = max(map(len, arrays))
    return [
        a if len(a) == most else np.broadcast_to(a, (most, *a.shape[1:]))
        for a in arrays
    ]


def chosen(is_first: Array, first: Array, second: Array) -> Array:
    """For each set, the first array if `is_first` (sets,) is true, else the second."""
    if is_first.all():
        return first
    aligned = is_first.reshape(-1, *[1] * (first.ndim - 1))
    return np.where(aligned, first, second)


def at_step(a: Array, t: int) -> Array:
    """The arrays of one step: the axis of steps is behind that of sets."""
    if a.dtype == object:
        return keys_of([key[t] for key in a])
    return a[:, t]


def of_steps(*steps: Array) -> Array:
    """The results of all steps, with the axis of steps behind that of sets."""
    if steps[0].dtype != object:
        return np.stack(together(steps), axis=1)
    by_set = zip(*together(steps), strict=True)
    return keys_of([jnp.stack(keys) for keys in by_set])


def is_key(value: Any) -> bool:
    """Whether an atom of a trace, its type, or an array is of random keys."""
    return jnp.issubdtype(getattr(value, "aval", value).dtype, jax.dtypes.extended)


def keys_of(keys: Sequence[Any]) -> Array:
    """Arrays of random keys, one for each set, in an array of objects."""
    objects = np.empty(len(keys), object)
    for n, key in enumerate(keys):  # an assignment of all would ask for their entries
        objects[n] = key
    return objects
